// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "../interfaces/IEscrow.sol";

/// What the adapters believe: an order's outcome as the escrow keeps it. They hold no money and have
/// no owner; anybody may call them, and what they are shown is checked against the escrow's hashes.
abstract contract Receipts {
    uint8 internal constant SETTLED = 5;
    uint8 internal constant REFUNDED = 6;

    /// Whose orders count.
    IEscrow public immutable escrow;

    error NotInState(bytes32 order, uint8 expected, uint8 found);
    error ReceiptMismatch(bytes32 expected, bytes32 found);
    error OrderMismatch(bytes32 expected, bytes32 found);

    constructor(IEscrow escrow_) {
        escrow = escrow_;
    }

    /// Reverts unless `receipt` is that of a settled order.
    function requireSettled(Receipt calldata receipt) internal view {
        OrderRecord memory record = escrow.orderOf(receipt.order);
        if (record.state != SETTLED) revert NotInState(receipt.order, SETTLED, record.state);
        // The escrow keeps 31 bytes of it, in one word with the order's state.
        bytes32 found = keccak256(abi.encode(receipt)) & bytes32(type(uint256).max >> 8);
        if (found != record.commitment) revert ReceiptMismatch(record.commitment, found);
    }

    /// Reverts unless the order of these terms ended in a refund; returns its id.
    function requireRefunded(Terms calldata terms) internal view returns (bytes32 order) {
        order = escrow.idOf(terms);
        uint8 state = escrow.orderOf(order).state;
        if (state != REFUNDED) revert NotInState(order, REFUNDED, state);
    }

    /// Reverts unless the receipt is of the order with these terms.
    function requireTerms(Receipt calldata receipt, Terms calldata terms) internal view {
        bytes32 found = escrow.idOf(terms);
        if (found != receipt.order) revert OrderMismatch(receipt.order, found);
    }
}
