// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IArbWasm {
    function codehashAsmSize(bytes32 codehash) external view returns (uint32);
}

interface IArbWasmCache {
    function cacheProgram(address program) external;
    function evictCodehash(bytes32 codehash) external;
    function codehashIsCached(bytes32 codehash) external view returns (bool);
}

interface IArbOwnerPublic {
    function isChainOwner(address account) external view returns (bool);
}

/// Sells places in the chain's program cache by auction: a program goes in for the highest bid, and
/// when the cache is full the lowest bids go out. Bids lose weight with time: one placed a second
/// later counts for `decay` wei more.
///
/// It answers what `cargo stylus cache` asks. The queue is searched from end to end, which is right
/// for a development chain and nothing larger.
contract CacheManager {
    struct Entry {
        bytes32 code;
        uint64 size;
        uint192 bid;
    }

    IArbWasm private constant ARB_WASM = IArbWasm(address(0x71));
    IArbWasmCache private constant CACHE = IArbWasmCache(address(0x72));
    IArbOwnerPublic private constant OWNERS = IArbOwnerPublic(address(0x6b));

    /// Bytes of native code the cache may hold. The first word comes with the chain's first block.
    uint64 public cacheSize;
    /// Bytes it holds.
    uint64 public queueSize;
    /// Wei by which a bid outweighs an equal one of a second earlier.
    uint64 public decay;
    /// Whether bids are refused.
    bool public isPaused;
    Entry[] public entries;

    event InsertBid(bytes32 indexed codehash, address program, uint192 bid, uint64 size);
    event DeleteBid(bytes32 indexed codehash, uint192 bid, uint64 size);

    error AsmTooLarge(uint256 asm, uint256 queueSize, uint256 cacheSize);
    error AlreadyCached(bytes32 codehash);
    error BidTooSmall(uint192 bid, uint192 min);
    error BidsArePaused();
    error NotChainOwner(address caller);

    modifier onlyOwner() {
        if (!OWNERS.isChainOwner(msg.sender)) revert NotChainOwner(msg.sender);
        _;
    }

    /// Caches `program`, evicting lower bids where there is no room. The value sent is the bid; it
    /// does not come back.
    function placeBid(address program) external payable {
        if (isPaused) revert BidsArePaused();
        bytes32 code = program.codehash;
        if (CACHE.codehashIsCached(code)) revert AlreadyCached(code);
        uint64 size = ARB_WASM.codehashAsmSize(code);
        (uint192 min, uint256 evictions) = room(size);
        uint192 paid = uint192(msg.value);
        if (paid < min) revert BidTooSmall(paid, min);
        for (uint256 i = 0; i < evictions; i++) evictLowest();
        uint192 bid = paid + weight();
        entries.push(Entry(code, size, bid));
        queueSize += size;
        CACHE.cacheProgram(program);
        emit InsertBid(code, program, bid, size);
    }

    /// The smallest bid that caches `program` now, in wei.
    function getMinBid(address program) external view returns (uint192 min) {
        (min,) = room(ARB_WASM.codehashAsmSize(program.codehash));
    }

    /// The smallest bid that caches a program of `size` bytes of native code now, in wei.
    function getMinBid(uint64 size) external view returns (uint192 min) {
        (min,) = room(size);
    }

    function setCacheSize(uint64 size) external onlyOwner {
        cacheSize = size;
    }

    function setDecay(uint64 rate) external onlyOwner {
        decay = rate;
    }

    function setPaused(bool paused) external onlyOwner {
        isPaused = paused;
    }

    /// What bids weigh more by now for having been placed late.
    function weight() private view returns (uint192) {
        return uint192(block.timestamp) * decay;
    }

    /// The bid that makes room for `size` bytes, and how many of the lowest have to go for it.
    function room(uint64 size) private view returns (uint192 min, uint256 evictions) {
        if (size > cacheSize) revert AsmTooLarge(size, queueSize, cacheSize);
        int256 free = int256(uint256(cacheSize)) - int256(uint256(queueSize));
        Entry[] memory queue = entries;
        for (uint256 left = queue.length; free < int256(uint256(size)); left--) {
            uint256 index = lowest(queue, left);
            free += int256(uint256(queue[index].size));
            min = queue[index].bid;
            queue[index] = queue[left - 1];
            evictions++;
        }
        uint192 late = weight();
        min = min > late ? min - late : 0;
    }

    function evictLowest() private {
        uint256 index = lowest(entries, entries.length);
        Entry memory gone = entries[index];
        entries[index] = entries[entries.length - 1];
        entries.pop();
        queueSize -= gone.size;
        CACHE.evictCodehash(gone.code);
        emit DeleteBid(gone.code, gone.bid, gone.size);
    }

    function lowest(Entry[] memory queue, uint256 count) private pure returns (uint256 index) {
        for (uint256 i = 1; i < count; i++) if (queue[i].bid < queue[index].bid) index = i;
    }
}
