// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import "../../contracts/interfaces/IEscrow.sol";
import "../../contracts/interfaces/IToken.sol";
import "../../contracts/adapters/Delivery.sol";

/// A contract that buys: what an integrator writes. It holds the money, places an order, and is told
/// the result.
contract Buyer is IResultConsumer {
    IEscrow public immutable escrow;
    address public immutable delivery;
    bytes32 public order;
    /// SHA-256 of the sealed result.
    bytes32 public outputs;
    /// Calls of any kind that were made here beside those of its user.
    uint256 public calls;
    /// Refuses to be told, for as long as it is set.
    bool public deaf;

    error NotDelivery(address caller);
    error Deaf();

    constructor(IEscrow escrow_, address delivery_) {
        escrow = escrow_;
        delivery = delivery_;
    }

    function buy(IToken token, OrderRequest calldata request) external returns (bytes32) {
        token.approve(address(escrow), type(uint256).max);
        order = escrow.place(request);
        return order;
    }

    function setDeaf(bool to) external {
        deaf = to;
    }

    function onResult(Receipt calldata receipt) external {
        if (msg.sender != delivery) revert NotDelivery(msg.sender);
        if (deaf) revert Deaf();
        calls++;
        outputs = receipt.outputs;
    }

    fallback() external payable {
        calls++;
    }

    receive() external payable {
        calls++;
    }
}
