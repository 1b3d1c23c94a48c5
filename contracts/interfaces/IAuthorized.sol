// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// Transfers by authorisation (ERC-3009). Not ours.
interface IAuthorized {
    function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool used);
}
