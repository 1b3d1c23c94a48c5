// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// What is for sale.
interface IOffers {
    event OfferPublished(bytes32 indexed offer, address indexed owner, uint8 indexed kind, Offer terms, string uri);
    /// Signed offers of the owner whose salt, read as a number, is smaller are void.
    event NonceRaised(address indexed owner, uint256 nonce);
    event OfferCancelled(bytes32 indexed offer, address indexed owner);
    event EscrowBound(address escrow);
    event ProtocolFeeSet(Fee fee);

    error NotOwner(address caller, address owner);
    error NotGovernor(address caller);
    error NotEscrow(address caller, address escrow);
    error EscrowAlreadyBound(address escrow);
    error AlreadyPublished(bytes32 offer);
    error NotPublished(bytes32 offer);
    error OfferClosed(bytes32 offer, uint64 openUntil, uint64 time);
    error VolumeExhausted(bytes32 offer);
    error InvalidOffer(string field);
    /// The offer was not published, and the signature that came with it is not its owner's.
    error InvalidSignature(bytes32 offer, address owner);
    /// The owner has voided signed offers with this salt.
    error OfferVoid(bytes32 offer, uint256 salt, uint256 nonce);
    /// Nonces only rise.
    error NonceNotAbove(uint256 nonce, uint256 found);
    /// The fee's rate is above the limit, or it has a rate and nobody to get it, or the other way round.
    error InvalidFee(Fee found, uint32 limit);

    /// Publishes the caller's own offer. `uri` says where the description can be had.
    function publish(Offer calldata offer, string calldata uri) external returns (bytes32 id);
    /// Ends the caller's own offer for good; orders already placed go on.
    function cancel(bytes32 offer) external;
    /// Ends the caller's own offer for good, whether it was published or only signed.
    function revoke(Offer calldata offer) external;
    /// Ends all offers that the caller has signed and not published, used before or not, whose
    /// salt is a smaller number than `nonce`.
    function raiseNonce(uint256 nonce) external;
    /// The smallest salt of a signed offer of an owner that counts.
    function nonceOf(address owner) external view returns (uint256 nonce);
    /// Derives the terms of an order from what a buyer asks for, and takes one use of each offer.
    /// For the escrow. Refuses with the escrow's errors what the escrow's interface lists.
    /// With a `count` it takes as many uses: for orders that differ in nothing but their salt.
    function sell(address buyer, OrderRequest calldata request, uint64 count) external returns (Terms memory terms);
    /// Gives back one use of each offer of a refunded order. For the escrow.
    function restore(bytes32[] calldata offers) external;
    /// Uses left, and whether orders may take them.
    function available(bytes32 offer) external view returns (uint64 volume, bool open);
    function idOf(Offer calldata offer) external view returns (bytes32 id);
    function bindEscrow(address escrow) external;
    /// Sets the fee of orders placed from now on; those that stand keep theirs. For the governor. At
    /// most 50,000 millionths.
    function setProtocolFee(Fee calldata fee) external;
    function protocolFee() external view returns (Fee memory fee);
    function governor() external view returns (address account);
    function escrow() external view returns (address account);
}
