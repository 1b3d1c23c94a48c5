// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// An owner of offers that is a contract (ERC-1271) and misbehaves on demand when it is asked for its
/// signature.
contract Owner {
    enum Mode {
        Signs,
        Refuses,
        Reverts,
        /// Takes all gas it is given.
        Burns,
        /// Answers nothing.
        Silent,
        /// Says yes, and much more than was asked.
        Floods,
        /// Says yes in a word that is no `bytes4`.
        Wider,
        /// Says yes only if a call it makes on the way fails.
        Reenters
    }

    bytes4 private constant YES = 0x1626ba7e;

    Mode public mode;
    address private target;
    bytes private data;

    error AsAsked();

    function set(Mode to, address target_, bytes calldata data_) external {
        mode = to;
        target = target_;
        data = data_;
    }

    /// Calls somebody in this contract's name.
    function run(address to, bytes calldata with) external {
        (bool ok,) = to.call(with);
        require(ok);
    }

    function isValidSignature(bytes32 hash, bytes calldata) external returns (bytes4) {
        if (mode == Mode.Refuses) return 0xffffffff;
        if (mode == Mode.Reverts) revert AsAsked();
        while (mode == Mode.Burns) hash = keccak256(abi.encode(hash));
        if (mode == Mode.Reenters) {
            (bool ok,) = target.call(data);
            return ok ? bytes4(0) : YES;
        }
        uint256 size = mode == Mode.Silent ? 0 : mode == Mode.Floods ? 0x8000 : 32;
        bytes32 word = bytes32(YES);
        if (mode == Mode.Wider) word |= bytes32(uint256(1));
        assembly {
            mstore(0, word)
            return(0, size)
        }
    }
}
