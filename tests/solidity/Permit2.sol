// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import "../../contracts/interfaces/IPermit2.sol";

/// Transfers by signature as Permit2 makes them, for tests: the same typed data, order of checks and errors.
contract Permit2 is IPermit2 {
    mapping(address => mapping(uint256 => uint256)) public nonceBitmap;

    error SignatureExpired(uint256 signatureDeadline);
    error InvalidAmount(uint256 maxAmount);
    error InvalidNonce();
    error InvalidSigner();

    bytes32 private constant PERMISSIONS = keccak256("TokenPermissions(address token,uint256 amount)");
    bytes32 private constant TRANSFER = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
    );

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        bytes32 kind = keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(kind, keccak256("Permit2"), block.chainid, address(this)));
    }

    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external {
        if (block.timestamp > permit.deadline) revert SignatureExpired(permit.deadline);
        if (transferDetails.requestedAmount > permit.permitted.amount) revert InvalidAmount(permit.permitted.amount);
        uint256 bit = 1 << (permit.nonce & 0xff);
        uint256 used = nonceBitmap[owner][permit.nonce >> 8];
        if (used & bit != 0) revert InvalidNonce();
        nonceBitmap[owner][permit.nonce >> 8] = used | bit;
        bytes32 permitted = keccak256(abi.encode(PERMISSIONS, permit.permitted.token, permit.permitted.amount));
        // Only whom the owner named may use it: the caller.
        bytes32 said = keccak256(abi.encode(TRANSFER, permitted, msg.sender, permit.nonce, permit.deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), said));
        if (signature.length != 65) revert InvalidSigner();
        address signer = ecrecover(
            digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64])
        );
        if (signer == address(0) || signer != owner) revert InvalidSigner();
        (bool ok, bytes memory answer) = permit.permitted.token.call(
            abi.encodeWithSignature(
                "transferFrom(address,address,uint256)", owner, transferDetails.to, transferDetails.requestedAmount
            )
        );
        require(ok && (answer.length == 0 || abi.decode(answer, (bool))), "TRANSFER_FROM_FAILED");
    }
}
