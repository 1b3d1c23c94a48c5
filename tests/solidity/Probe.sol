// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What a node does with the EVM, made visible: state, events, ways to fail, calls and creation.
contract Probe {
    uint256 public count;
    uint128 public low;
    uint128 public high;
    mapping(address => uint256) public paid;

    event Counted(address indexed by, uint256 count);
    event Noted(bytes32 indexed a, bytes32 indexed b, bytes32 indexed c, string text);
    event Plain(uint256 value);
    event Unnamed(uint256 value) anonymous;

    error Refused(address who, uint256 value);

    constructor(uint256 start) payable {
        count = start;
        emit Counted(msg.sender, start);
    }

    receive() external payable {
        paid[msg.sender] += msg.value;
    }

    function add(uint256 n) external returns (uint256) {
        count += n;
        emit Counted(msg.sender, count);
        return count;
    }

    function pack(uint128 a, uint128 b) external {
        low = a;
        high = b;
    }

    function clear() external {
        count = 0;
        low = 0;
        high = 0;
    }

    function note(string calldata text) external {
        emit Noted(bytes32(uint256(1)), bytes32(uint256(2)), keccak256(bytes(text)), text);
        emit Plain(7);
        emit Unnamed(8);
    }

    function failWithText() external pure {
        revert("as asked");
    }

    function failWithError(uint256 value) external view {
        revert Refused(msg.sender, value);
    }

    function failWithNothing() external pure {
        require(false);
    }

    function failWithAssert() external pure {
        assert(false);
    }

    function failWithDivision(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function failAfterWriting() external {
        count = 999;
        emit Plain(999);
        revert("undone");
    }

    function failInvalid() external pure {
        assembly {
            invalid()
        }
    }

    function burn() external {
        while (true) count++;
    }

    function spend(uint256 rounds) external returns (uint256 sum) {
        for (uint256 i = 0; i < rounds; i++) sum += uint256(keccak256(abi.encode(i)));
        count = sum;
    }

    function fill(uint256 length) external pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i = 0; i < length; i += 32) data[i] = bytes1(uint8(i));
    }

    function environment() external view returns (address, address, uint256, uint256, uint256) {
        return (msg.sender, tx.origin, block.chainid, block.number, block.gaslimit);
    }

    function time() external view returns (uint256) {
        return block.timestamp;
    }

    function balances(address who) external view returns (uint256, bytes32, uint256) {
        return (who.balance, who.codehash, who.code.length);
    }

    function precompiles() external view returns (bytes32 hash, bytes memory same, address signer) {
        hash = sha256("vouch");
        (, same) = address(4).staticcall("identity");
        signer = ecrecover(keccak256("m"), 27, bytes32(uint256(1)), bytes32(uint256(1)));
    }

    function transient(uint256 value) external returns (uint256 read) {
        assembly {
            tstore(5, value)
            read := tload(5)
        }
    }

    function leftover() external view returns (uint256 read) {
        assembly {
            read := tload(5)
        }
    }

    function create(uint256 start) external payable returns (address) {
        return address(new Child{value: msg.value}(start));
    }

    function create2(bytes32 salt, uint256 start) external returns (address) {
        return address(new Child{salt: salt}(start));
    }

    function createFailing() external returns (bool failed) {
        try new Child(13) {}
        catch {
            failed = true;
        }
    }

    function callChild(Child child, uint256 value) external returns (uint256) {
        return child.set(value);
    }

    function delegateToChild(address child, uint256 value) external returns (bytes memory) {
        (bool ok, bytes memory out) = child.delegatecall(abi.encodeCall(Child.set, (value)));
        require(ok, "delegate failed");
        return out;
    }

    function staticToChild(address child) external view returns (bool ok) {
        (ok,) = child.staticcall{gas: 50_000}(abi.encodeCall(Child.set, (1)));
    }

    function recurse(uint256 depth) external returns (uint256) {
        if (depth == 0) return gasleft() > 0 ? 1 : 0;
        return 1 + this.recurse(depth - 1);
    }

    function send(address payable to) external payable {
        (bool ok,) = to.call{value: msg.value}("");
        require(ok, "not taken");
    }

    function destroy(address payable heir) external {
        selfdestruct(heir);
    }
}

/// Created and called by `Probe`.
contract Child {
    uint256 public value;

    event Set(address indexed by, uint256 value);

    constructor(uint256 start) payable {
        require(start != 13, "unlucky");
        value = start;
    }

    function set(uint256 to) external returns (uint256) {
        value = to;
        emit Set(msg.sender, to);
        return to * 2;
    }
}
