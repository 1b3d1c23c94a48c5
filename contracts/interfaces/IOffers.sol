// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// What is for sale.
interface IOffers {
    /// Fixes the governor. Error `ZeroAddress`.

    event OfferPublished(bytes32 indexed offer, address indexed owner, uint8 indexed kind, Offer terms, string uri);
    /// Signed offers of the owner whose salt, read as a number, is smaller are void.
    event NonceRaised(address indexed owner, uint256 nonce);
    event OfferCancelled(bytes32 indexed offer, address indexed owner);
    event EscrowBound(address escrow);
    event ProtocolFeeSet(Fee fee);
    /// What the offer sells was made by a settled order from its datasets and models.
    event OfferDerived(bytes32 indexed offer, bytes32 indexed order, Royalty[] royalties);

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
    /// The escrow has not settled the order: nothing can have been made by it.
    error NotSettled(bytes32 order, uint8 state);
    /// Hash of the royalties that the parents' policies ask for, and what the offer names instead.
    error LineageMismatch(bytes32 expected, bytes32 found);

    /// Publishes the caller's own offer. `uri` says where the description can be had, in at most 2,048 bytes.
    /// Emits `OfferPublished`; errors `AlreadyPublished`, `InvalidOffer` (with the field's name), `NotOwner`.
    function publish(Offer calldata offer, string calldata uri) external returns (bytes32 id);
    /// Publishes the caller's own offer of what a settled order of its own, to train or fine-tune, has
    /// made. Its lineage must be what the policies of the order's datasets and models ask for:
    /// `policies` are those, in the order of their legs. Emits `OfferPublished` and `OfferDerived`; errors
    /// `NotSettled`, `NotOwner`, `LineageMismatch`, `InvalidOffer`, `AlreadyPublished`, `IUsage.PolicyMismatch`.
    function publishDerived(Offer calldata offer, string calldata uri, Terms calldata terms, Policy[] calldata policies) external returns (bytes32 id);
    /// Ends the caller's own offer for good; orders already placed go on. Emits `OfferCancelled`; errors
    /// `NotPublished`, `NotOwner`.
    function cancel(bytes32 offer) external;
    /// Ends the caller's own offer for good, whether it was published or only signed. Emits `OfferCancelled`;
    /// error `NotOwner`.
    function revoke(Offer calldata offer) external;
    /// Ends all offers that the caller has signed and not published, used before or not, whose salt is a smaller
    /// number than `nonce`. Emits `NonceRaised`; error `NonceNotAbove`.
    function raiseNonce(uint256 nonce) external;
    /// The smallest salt, as a number, of a signed offer of an owner that counts; at first zero.
    function nonceOf(address owner) external view returns (uint256 nonce);
    /// Derives the terms of an order from what a buyer asks for, and takes `count` uses of each offer: for orders
    /// that differ in nothing but their salt. For the escrow. Emits `OfferPublished` for an offer that comes with
    /// its owner's signature, the first time. Errors `NotEscrow`, `NotPublished`, `OfferClosed`,
    /// `VolumeExhausted`, `InvalidFee`; for signed offers `InvalidOffer`, `InvalidSignature`, `OfferVoid`; and of
    /// the escrow's `InvalidOrder`, `InvalidLeg`, `MixedTokens`, `DeadlinePassed`, `DeadlinesNotAscending`.
    function sell(address buyer, OrderRequest calldata request, uint64 count) external returns (Terms memory terms);
    /// Gives back one use of each offer of a refunded order, also of closed offers. For the escrow, which says so
    /// by `UsesRestored`. Errors `NotEscrow`, `NotPublished`.
    function restore(bytes32[] calldata offers) external;
    /// Uses left, and whether orders may take them now. Zero and false for what nobody published.
    function available(bytes32 offer) external view returns (uint64 volume, bool open);
    /// `keccak256(abi.encode(offer))`, whether it is published or not.
    function idOf(Offer calldata offer) external view returns (bytes32 id);
    /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
    /// `EscrowAlreadyBound`.
    function bindEscrow(address escrow) external;
    /// Sets the fee of orders placed from now on; those that stand keep theirs. For the governor. At most 50,000
    /// millionths. Emits `ProtocolFeeSet`; errors `NotGovernor`, `InvalidFee`.
    function setProtocolFee(Fee calldata fee) external;
    /// The fee of orders placed from now on, in millionths.
    function protocolFee() external view returns (Fee memory fee);
    /// Who may bind the contract and set the fee.
    function governor() external view returns (address account);
    /// Who may sell and restore; zero until the contract is bound.
    function escrow() external view returns (address account);
}
