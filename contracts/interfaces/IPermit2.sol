// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// Transfers by signature, as far as the escrow uses them (Permit2). Not ours.
interface IPermit2 {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    function permitTransferFrom(PermitTransferFrom calldata permit, SignatureTransferDetails calldata transferDetails, address owner, bytes calldata signature) external;
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}
