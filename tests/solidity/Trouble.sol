// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import "./Coin.sol";

/// A token that misbehaves on demand, in the ways in which tokens do.
contract Trouble is Coin {
    enum Mode {
        Honest,
        /// Transfers fail.
        Reverts,
        /// Transfers answer false and move nothing.
        Refuses,
        /// Transfers take all gas they are given.
        Burns,
        /// A little less arrives than was sent.
        TakesFee,
        /// Transfers answer nothing.
        Silent,
        /// Transfers call somebody first.
        Reenters
    }

    Mode public mode;
    /// Whether a call made during a transfer ever succeeded.
    bool public reentered;
    address private target;
    bytes private data;

    error AsAsked();

    function misbehave(Mode to, address target_, bytes calldata data_) external {
        mode = to;
        target = target_;
        data = data_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        if (mode == Mode.Refuses) return false;
        before();
        move(msg.sender, to, value);
        return afterwards(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        if (mode == Mode.Refuses) return false;
        before();
        super.transferFrom(from, to, value);
        return afterwards(to, value);
    }

    function before() private {
        if (mode == Mode.Reverts) revert AsAsked();
        if (mode == Mode.Burns) while (true) data.push(0);
        if (mode == Mode.Reenters) {
            (bool ok,) = target.call(data);
            if (ok) reentered = true;
        }
    }

    function afterwards(address to, uint256 value) private returns (bool) {
        if (mode == Mode.TakesFee && value > 0) {
            uint256 fee = value / 100 + 1;
            balanceOf[to] -= fee;
            totalSupply -= fee;
        }
        if (mode == Mode.Silent) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}
