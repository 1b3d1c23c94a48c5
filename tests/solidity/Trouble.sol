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

    /// ERC-3009, as the token behaves.
    mapping(address => mapping(bytes32 => bool)) public authorizationState;

    error AuthorizationUsed(address authorizer, bytes32 nonce);
    error AuthorizationExpired();
    error CallerMustBeReceiver(address caller, address receiver);
    error WrongSigner(address signer);

    bytes32 private constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        bytes32 kind =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(kind, keccak256(bytes(name)), keccak256("1"), block.chainid, address(this)));
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        // Some tokens answer calls that they do not know, and do nothing.
        if (mode == Mode.Refuses) return;
        if (msg.sender != to) revert CallerMustBeReceiver(msg.sender, to);
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) revert AuthorizationExpired();
        if (authorizationState[from][nonce]) revert AuthorizationUsed(from, nonce);
        bytes32 said = keccak256(abi.encode(RECEIVE, from, to, value, validAfter, validBefore, nonce));
        address signer = ecrecover(keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), said)), v, r, s);
        if (signer == address(0) || signer != from) revert WrongSigner(signer);
        authorizationState[from][nonce] = true;
        before();
        move(from, to, value);
        afterwards(to, value);
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
