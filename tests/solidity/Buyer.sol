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
    /// Whether a call made while it was told ever succeeded.
    bool public entered;
    address[] private targets;
    bytes[] private data;

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

    /// Makes this call too while it is told.
    function addCall(address target, bytes calldata with) external {
        targets.push(target);
        data.push(with);
    }

    function onResult(Receipt calldata receipt) external {
        if (msg.sender != delivery) revert NotDelivery(msg.sender);
        if (deaf) revert Deaf();
        calls++;
        outputs = receipt.outputs;
        for (uint256 i = 0; i < targets.length; i++) {
            (bool ok,) = targets[i].call(data[i]);
            if (ok) entered = true;
        }
    }

    fallback() external payable {
        calls++;
    }

    receive() external payable {
        calls++;
    }
}
