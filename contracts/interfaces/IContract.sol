// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// What every contract of the market answers alike. Their JSON ABIs list these errors too. Every call, also of a view,
/// may be refused with `UnknownFunction`, `MalformedCalldata`, `ValueRefused`; a constructor also with
/// `AlreadyConstructed`.
interface IContract {
    /// No function of the contract has this selector.
    error UnknownFunction(bytes4 selector);
    /// The arguments do not decode.
    error MalformedCalldata(bytes4 selector);
    /// The market takes tokens only.
    error ValueRefused(uint256 value);
    /// The constructor ran before.
    error AlreadyConstructed();
    /// The zero address stands where somebody must be named.
    error ZeroAddress();
    /// Another contract answered something else than its interface says.
    error UnexpectedAnswer(address from);
}
