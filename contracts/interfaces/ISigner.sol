// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// How a contract says that a signature is its own (ERC-1271). Not ours.
interface ISigner {
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magic);
}
