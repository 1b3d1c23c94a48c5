// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "./Receipts.sol";

/// A buyer that is a contract and wants to be told.
interface IResultConsumer {
    /// The buyer's order is settled; `receipt.outputs` is the SHA-256 of the sealed result. Called
    /// once for each order, by the delivery contract only: check `msg.sender`.
    function onResult(Receipt calldata receipt) external;
}

/// Tells buyers that are contracts about their settled orders. Paying never waits for it: the escrow
/// calls no buyer, neither when it pays nor when it refunds, and whoever cares brings the receipt
/// here afterwards. A buyer that reverts hurts nobody, and can be told again later.
contract Delivery is Receipts {
    /// Orders whose buyers were told.
    mapping(bytes32 order => bool) public delivered;

    event Delivered(bytes32 indexed order, address indexed buyer);

    error AlreadyDelivered(bytes32 order);

    constructor(IEscrow escrow_) Receipts(escrow_) {}

    /// Shows the buyer the receipt of its order. Anybody may call. Reverts with the buyer's error, and
    /// with `NotInState`, `ReceiptMismatch` or `AlreadyDelivered`.
    function deliver(Receipt calldata receipt) external {
        requireSettled(receipt);
        if (delivered[receipt.order]) revert AlreadyDelivered(receipt.order);
        delivered[receipt.order] = true;
        emit Delivered(receipt.order, receipt.buyer);
        IResultConsumer(receipt.buyer).onResult(receipt);
    }
}
