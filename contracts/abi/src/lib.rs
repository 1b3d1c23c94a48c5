//! The interface of every contract, once: the contracts, the Rust clients and the JSON ABI come
//! from these declarations.
//!
//! Amounts are in the smallest unit of their token, times are Unix seconds, durations are seconds, shares and rates of
//! fees are millionths. A function's comment names the events it emits and the errors it refuses with; one that names no event
//! emits none. Views change nothing. What [`IContract`] lists for every call is not repeated.
//! Assets, evidence and outputs are named by SHA-256 digests; offers, policies, orders, verdicts
//! and receipts by keccak-256 hashes ([`id`]).
//!
//! With feature `json` every interface has a JSON ABI, with feature `rpc` also alloy bindings
//! (`IEscrow::new(address, provider)`); contracts build without either.
//!
//! The contracts read and write calldata through these types too ([`call`]): their selectors,
//! events and errors cannot differ from what clients are told.

#![no_std]
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "the documentation stands in the interfaces")]
#![allow(unreachable_pub, clippy::too_many_arguments, reason = "generated")]

extern crate alloc;

pub mod call;
pub mod codec;
#[cfg(feature = "json")]
pub mod export;
pub mod id;
pub mod merkle;
pub mod pack;
pub mod signature;
pub mod terms;
pub mod wire;

/// Declares interfaces, with a JSON ABI and client bindings where a feature asks for them (`sol!`
/// itself does not see `cfg_attr`).
macro_rules! interfaces {
    ($($tokens:tt)*) => {
        #[cfg(feature = "rpc")]
        alloy::sol! { #![sol(rpc, abi, all_derives)] $($tokens)* }
        #[cfg(all(feature = "json", not(feature = "rpc")))]
        alloy_sol_types::sol! { #![sol(abi, all_derives)] $($tokens)* }
        #[cfg(not(any(feature = "json", feature = "rpc")))]
        alloy_sol_types::sol! { #![sol(all_derives)] $($tokens)* }
    };
}

mod bonds;
mod governance;
mod payment;

pub use bonds::{IBonds, VerdictShare};
pub use governance::IGovernance;
pub use payment::{IAuthorized, IPermit2};

/// Ids of the development chains: no real money is there, so delays may be short and keys well known.
pub const DEVELOPMENT: [u64; 2] = [31_337, 412_346];

interfaces! {
    /// What somebody sells. Its hash, `keccak256(abi.encode(offer))`, is the offer's id: price and
    /// policy cannot change under an id.
    struct Offer {
        /// Who is bound by the offer, and paid.
        address owner;
        /// 1 dataset, 2 model, 3 workload, 4 compute.
        uint8 kind;
        /// Asset digest. For compute: zero.
        bytes32 digest;
        /// SHA-256 of the description published with the offer.
        bytes32 metadata;
        /// ERC-20 in which the price is counted.
        address token;
        /// Per use; for compute, per second of attested time.
        uint256 price;
        /// The usage policy the asset is offered under.
        bytes32 policy;
        /// Uses for sale.
        uint64 volume;
        /// Orders are accepted until then.
        uint64 openUntil;
        /// Compute only: the devices may serve several orders at a time.
        bool shared;
        /// What is paid out of the price to those from whose assets this one was made:
        /// `keccak256(abi.encode(royalties))`, zero where nobody. Datasets and models only.
        bytes32 lineage;
        /// Distinguishes offers that are otherwise equal.
        bytes32 salt;
    }

    /// A part of the price of something that was made from somebody's asset.
    struct Royalty {
        /// Owner of the asset.
        address payee;
        /// Asset digest.
        bytes32 digest;
        /// In millionths of the price.
        uint32 rate;
    }

    /// The constraints under which an asset may be used. Its hash, `keccak256(abi.encode(policy))`,
    /// is the policy's id. Each clause is a requirement, or an explicit "any": bit `i` of `any` is
    /// set for clause `i` of the table in `vouch-protocol`, and then the clause's fields are zero or
    /// empty. Any other mixture is refused.
    struct Policy {
        uint32 any;
        /// Bit 0 SEV-SNP, bit 1 TDX.
        uint8 cpuKinds;
        /// Smallest reported TCB, byte by byte, in the layout of the chip's generation.
        bytes8 minSnpTcb;
        /// TCB statuses that are good enough, by their bit.
        uint16 tdxStatuses;
        /// Bit 0 Hopper, bit 1 Blackwell.
        uint8 gpuArchitectures;
        /// At least so many.
        uint8 minGpus;
        /// Bit 0 single GPU, bit 1 multi-GPU, bit 2 protected `PCIe`.
        uint8 gpuModes;
        /// Seconds.
        uint32 revocationMaxAge;
        /// Seconds.
        uint32 evidenceMaxAge;
        /// Allowed workload digests: listed, as the root of a Merkle tree, or whatever one publisher offers
        /// as a workload, on chain or by its signature; one of the three.
        bytes32[] workloads;
        bytes32 workloadRoot;
        address publisher;
        address[] buyers;
        address[] providers;
        /// Bit 0 train, bit 1 fine-tune, bit 2 infer, bit 3 evaluate.
        uint8 purposes;
        /// Orders in total, and of one buyer.
        uint64 maxUses;
        uint64 maxUsesPerBuyer;
        /// First and last second in which an order may be placed.
        uint64 notBefore;
        uint64 notAfter;
        /// Seconds of attested time.
        uint32 maxDuration;
        /// What may leave one session.
        uint64 outputBytes;
        uint64 outputRows;
        /// What may leave all sessions together. Each order reserves what may leave its session; what it did
        /// not need can be released once it has ended. Only beside the clause of one session.
        Counters total;
        /// What an offer of something that was trained on the asset owes its owner, in millionths of its
        /// price; no clause, zero asks for nothing. At most 500,000.
        uint32 royalty;
    }

    /// What a dataset must measure to be worth paying for. Zero asks for nothing.
    struct Requirements {
        uint64 minRecords;
        uint64 minBytes;
        /// SHA-256 of the schema.
        bytes32 schema;
        /// Share of well-formed records, in millionths.
        uint32 minQuality;
    }

    struct Deadlines {
        uint64 accept;
        uint64 start;
        uint64 finish;
        /// Not before `finish` plus the challenge window.
        uint64 settle;
    }

    /// What somebody gets beside the payees: a share of what they are paid, on top of it.
    struct Fee {
        /// Zero where there is no fee.
        address recipient;
        /// In millionths of what the payees are paid.
        uint32 rate;
    }

    /// One offer used by an order; or what somebody else gets of what those earn, which has no policy.
    struct Leg {
        /// Royalty: the offer out of whose price it is paid, if that is. Share: zero.
        bytes32 offer;
        bytes32 policy;
        /// 1 dataset, 2 model, 3 workload, 4 compute; 5 a share of what all others earn, on top of it; 6 a
        /// royalty.
        uint8 kind;
        /// Asset digest, copied from the offer. Royalty: of the asset from which the offer's was made.
        bytes32 digest;
        address payee;
        /// Locked for this leg: the price less its royalties, or for compute `rate` times `Terms.maxDuration`.
        uint256 amount;
        /// Compute: price per second. Share and royalty: millionths. Otherwise zero.
        uint256 rate;
        /// Clauses of the policy (and, for datasets, the requirements) that the payment depends on.
        uint32 clauses;
    }

    /// An order as it was placed. Its hash together with chain and escrow is the order's id, so the
    /// contract keeps the hash and callers bring the terms.
    struct Terms {
        address buyer;
        /// Owner of the compute offer.
        address provider;
        address token;
        Leg[] legs;
        Requirements requirements;
        /// X25519 key to which the result is sealed.
        bytes32 resultKey;
        /// One bit of the purposes of a policy.
        uint8 purpose;
        uint32 maxDuration;
        Deadlines deadlines;
        uint64 challengeWindow;
        /// Locked by the provider on accepting, in `token`.
        uint256 bond;
        /// Shared by the operators who sign the verdict that ends the order.
        uint256 oracleFee;
        /// Whether the compute offer lets its devices serve several orders.
        bool shared;
        bytes32 salt;
    }

    struct LegRequest {
        Offer offer;
        Policy policy;
        /// Proof of the order's workload in `policy.workloadRoot`; empty where there is no root.
        bytes32[] workloadProof;
        /// The owner's signature, where the offer was not published: of the EIP-712 typed data `Offer`
        /// in the domain `{name: "Vouch", version: "1", chainId, verifyingContract: offers}`. 65 bytes,
        /// or what a contract that owns takes (ERC-1271). Empty where the offer was published.
        bytes signature;
        /// What hashes to the offer's lineage; empty where that is zero.
        Royalty[] royalties;
    }

    /// What a buyer asks for: the terms before the contract has derived the legs.
    struct OrderRequest {
        LegRequest[] legs;
        Requirements requirements;
        bytes32 resultKey;
        uint8 purpose;
        uint32 maxDuration;
        Deadlines deadlines;
        uint64 challengeWindow;
        uint256 bond;
        uint256 oracleFee;
        /// Largest rate of the protocol's fee that the buyer takes, in millionths.
        uint32 maxProtocolFee;
        Fee marketplaceFee;
        bytes32 salt;
    }

    struct Counters {
        uint64 outputBytes;
        uint64 outputRows;
    }

    struct DatasetMeasure {
        uint64 records;
        uint64 size;
        bytes32 schema;
        uint32 quality;
    }

    /// What operators say of one phase of an order. Signed as EIP-712 typed data in the domain
    /// `{name: "Vouch", version: "1", chainId, verifyingContract: attestation}`.
    struct Verdict {
        /// Order id.
        bytes32 order;
        /// 1 start, 2 finish, 3 heartbeat.
        uint8 phase;
        uint8 attempt;
        /// SHA-256 of the evidence bundle.
        bytes32 evidence;
        /// Leg `i`'s clauses that hold, at bits `32 i`.
        uint256 clauses;
        /// Number in the table of reasons of `vouch-protocol`.
        uint16 reason;
        bytes32[] devices;
        /// X25519 key of the session: content keys are sealed to it.
        bytes32 sessionKey;
        /// SHA-256 of the launch measurement.
        bytes32 measurement;
        bytes32 inputs;
        bytes32 outputs;
        Counters counters;
        DatasetMeasure[] datasets;
        uint64 observedAt;
    }

    /// Many verdicts, signed at once in the domain of `Verdict`: the root of the Merkle tree over their
    /// EIP-712 digests. A leaf is the digest hashed twice, a node the hash of its two children in
    /// ascending order.
    struct VerdictBatch {
        bytes32 root;
    }

    /// The settled proof of use of one order.
    struct Receipt {
        bytes32 order;
        address buyer;
        /// Asset digest of each leg.
        bytes32[] assets;
        /// What each leg's payee was paid.
        uint256[] paid;
        bytes32 measurement;
        bytes32[] devices;
        bytes32 evidence;
        bytes32 outputs;
        /// EIP-712 digest of the finish verdict.
        bytes32 verdict;
        uint64 settledAt;
    }

    /// What the escrow keeps of an order. Of a settled one it keeps the receipt's id and nothing else:
    /// its times are in the events.
    struct OrderRecord {
        /// 0 none, 1 placed, 2 accepted, 3 running, 4 finished, 5 settled, 6 refunded, 7 disputed.
        uint8 state;
        /// Block in which the order entered the state; the next challenge is made of its hash.
        uint64 sinceBlock;
        /// When the start verdict was observed.
        uint64 startedAt;
        /// When the finish verdict arrived; the challenge window opens then.
        uint64 finishedAt;
        /// Until when heartbeats attest the compute leg; zero without one.
        uint64 beatAt;
        /// Seconds of compute that were paid for after the order was placed.
        uint32 toppedUp;
        /// Finished and disputed: the finish verdict's digest. Settled: the receipt's id.
        bytes32 commitment;
    }

    /// What the escrow keeps of a dispute, also after its end.
    struct Dispute {
        /// Who disputed the order, and put the bond at stake.
        address challenger;
        /// Last second in which `resolver` may decide; afterwards anyone refunds the order.
        uint64 deadline;
        /// Who decides: the resolver when the order was disputed.
        address resolver;
    }

    /// What every contract of the market answers alike. Their JSON ABIs list these errors too. Every call, also of a view,
    /// may be refused with `UnknownFunction`, `MalformedCalldata`, `ValueRefused`; a constructor also with
    /// `AlreadyConstructed`.
    interface IContract {
        /// No function of the contract has this selector.
        error UnknownFunction(bytes4 selector);
        /// The arguments do not decode.
        error MalformedCalldata(bytes4 selector);
        /// The market takes tokens only.
        error ValueRefused(uint256 value);
        /// The constructor ran before.
        error AlreadyConstructed();
        /// The zero address stands where somebody must be named.
        error ZeroAddress();
        /// Another contract answered something else than its interface says.
        error UnexpectedAnswer(address from);
    }

    /// What is for sale.
    interface IOffers {
        /// Fixes the governor. Error `ZeroAddress`.
        constructor(address governor);

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
        function publish(Offer offer, string uri) external returns (bytes32 id);
        /// Publishes the caller's own offer of what a settled order of its own, to train or fine-tune, has
        /// made. Its lineage must be what the policies of the order's datasets and models ask for:
        /// `policies` are those, in the order of their legs. Emits `OfferPublished` and `OfferDerived`; errors
        /// `NotSettled`, `NotOwner`, `LineageMismatch`, `InvalidOffer`, `AlreadyPublished`, `IUsage.PolicyMismatch`.
        function publishDerived(Offer offer, string uri, Terms terms, Policy[] policies) external returns (bytes32 id);
        /// Ends the caller's own offer for good; orders already placed go on. Emits `OfferCancelled`; errors
        /// `NotPublished`, `NotOwner`.
        function cancel(bytes32 offer) external;
        /// Ends the caller's own offer for good, whether it was published or only signed. Emits `OfferCancelled`;
        /// error `NotOwner`.
        function revoke(Offer offer) external;
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
        function sell(address buyer, OrderRequest request, uint64 count) external returns (Terms terms);
        /// Gives back one use of each offer of a refunded order, also of closed offers. For the escrow, which says so
        /// by `UsesRestored`. Errors `NotEscrow`, `NotPublished`.
        function restore(bytes32[] offers) external;
        /// Uses left, and whether orders may take them now. Zero and false for what nobody published.
        function available(bytes32 offer) external view returns (uint64 volume, bool open);
        /// `keccak256(abi.encode(offer))`, whether it is published or not.
        function idOf(Offer offer) external view returns (bytes32 id);
        /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
        /// `EscrowAlreadyBound`.
        function bindEscrow(address escrow) external;
        /// Sets the fee of orders placed from now on; those that stand keep theirs. For the governor. At most 50,000
        /// millionths. Emits `ProtocolFeeSet`; errors `NotGovernor`, `InvalidFee`.
        function setProtocolFee(Fee fee) external;
        /// The fee of orders placed from now on, in millionths.
        function protocolFee() external view returns (Fee fee);
        /// Who may bind the contract and set the fee.
        function governor() external view returns (address account);
        /// Who may sell and restore; zero until the contract is bound.
        function escrow() external view returns (address account);
    }

    /// Under which constraints assets may be used, and how often they were.
    interface IUsage {
        /// Fixes the governor. Error `ZeroAddress`.
        constructor(address governor);

        event PolicyPublished(bytes32 indexed policy, address indexed publisher, Policy terms);
        event EscrowBound(address escrow);

        error NotGovernor(address caller);
        error NotEscrow(address caller, address escrow);
        error EscrowAlreadyBound(address escrow);
        /// As many sets of clauses as ids are expected.
        error LengthsDiffer(uint256 expected, uint256 found);
        /// The clause is both required and "any", or neither: its fields contradict its bit. Also:
        /// its fields are out of range, or the bit belongs to no clause of a policy.
        error InvalidClause(uint8 clause);
        error PolicyMismatch(bytes32 expected, bytes32 found);
        error BuyerRefused(bytes32 policy, address buyer);
        error ProviderRefused(bytes32 policy, address provider);
        error PurposeRefused(bytes32 policy, uint8 purpose, uint8 allowed);
        error WorkloadRefused(bytes32 policy, bytes32 workload);
        error DurationRefused(bytes32 policy, uint32 requested, uint32 allowed);
        error OutsideWindow(bytes32 policy, uint64 time, uint64 notBefore, uint64 notAfter);
        error UsesExhausted(bytes32 policy, uint64 limit);
        error BuyerUsesExhausted(bytes32 policy, address buyer, uint64 limit);
        /// All orders together would let more leave than the policy allows; `reserved` is what is spoken for.
        error OutputExhausted(bytes32 policy, uint8 clause, uint64 limit, uint64 reserved);
        error RoyaltyTooHigh(uint32 limit, uint32 found);

        /// What an order does with an asset, as far as the chain can judge it.
        struct Use {
            address buyer;
            address provider;
            uint8 purpose;
            uint32 maxDuration;
            /// Digest of the order's workload leg; zero where it has none.
            bytes32 workload;
            /// Owner of that leg's offer; zero where there is none.
            address publisher;
        }

        /// Makes a policy known under its id, by event. Publishing twice is allowed and changes nothing; orders bring
        /// the policy, so one that was never published works as well. For anyone. Emits `PolicyPublished`; errors
        /// `InvalidClause`, `RoyaltyTooHigh`.
        function publish(Policy policy) external returns (bytes32 id);
        /// Checks the on-chain clauses of each leg's policy against one use, and reserves the use where the policy
        /// counts uses, and what may leave its session where the policy limits that of all, `count` times. Each
        /// policy must hash to what its leg's offer names. For the escrow. Errors `NotEscrow`, `PolicyMismatch`,
        /// `InvalidClause`, `RoyaltyTooHigh`, `BuyerRefused`, `ProviderRefused`, `PurposeRefused`, `OutsideWindow`,
        /// `DurationRefused`, `WorkloadRefused`, `UsesExhausted`, `BuyerUsesExhausted`, `OutputExhausted`.
        function reserve(Use use, OrderRequest request, uint64 count) external;
        /// Gives back one use of each policy whose bits in `clauses` say that it counts uses: in total, of `buyer`,
        /// or both. For the escrow. Errors `NotEscrow`, `LengthsDiffer`.
        function release(bytes32[] ids, uint32[] clauses, address buyer) external;
        /// The clauses a policy requires, a bit each. Errors `InvalidClause` where it contradicts itself,
        /// `RoyaltyTooHigh`.
        function requiredClauses(Policy policy) external view returns (uint32 clauses);
        /// Gives back of a policy's output what an order had reserved and did not need, in bytes and rows. For the
        /// escrow. Error `NotEscrow`.
        function releaseOutput(bytes32 policy, uint64 outputBytes, uint64 outputRows) external;
        /// What has left all sessions, or is reserved by orders that may let it leave, in bytes and rows. Only what the
        /// policy limits is counted.
        function outputOf(bytes32 policy) external view returns (uint64 outputBytes, uint64 outputRows);
        /// Uses counted for a policy, less what was given back. Only policies with `maxUses` are counted.
        function uses(bytes32 policy) external view returns (uint64 total);
        /// Uses of one buyer, less what was given back. Only policies with `maxUsesPerBuyer` are counted.
        function usesBy(bytes32 policy, address buyer) external view returns (uint64 total);
        /// `keccak256(abi.encode(policy))`; a policy that contradicts itself has an id too.
        function idOf(Policy policy) external view returns (bytes32 id);
        /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
        /// `EscrowAlreadyBound`.
        function bindEscrow(address escrow) external;
        /// Who may bind the contract.
        function governor() external view returns (address account);
        /// Who may reserve and release; zero until the contract is bound.
        function escrow() external view returns (address account);
    }

    /// Who may say what the hardware showed, and what they said.
    interface IAttestation {
        /// Fixes the governor and contract `bonds` (zero: operators need no bond), and sets the first operators,
        /// whose bonds are not asked for yet. `fee` as in `setFee`. Emits `OperatorsChanged`, `FeeChanged`; errors
        /// `ZeroAddress`, `TooManyOperators`, `AlreadyOperator`, `InvalidQuorum`.
        constructor(address governor, address[] operators, uint16 quorum, uint256 fee, address bonds);

        event OperatorsChanged(address[] added, address[] removed, uint16 quorum);
        event FeeChanged(uint256 fee);
        event EscrowBound(address escrow);
        event VerdictAdmitted(bytes32 indexed order, uint8 indexed phase, bytes32 indexed digest, uint16 reason, address[] signers);
        /// A quorum signed the root of many verdicts: as long as operators and quorum stay the same,
        /// each of them needs a proof only.
        event BatchAdmitted(bytes32 indexed root, address[] signers);
        event WeightsSet(Weight[] weights, uint16 quorum);
        /// An operator cannot decide about evidence, for a reason that is not conclusive.
        event Abstained(bytes32 indexed order, address indexed operator, uint8 phase, uint8 attempt, uint16 reason);

        error NotGovernor(address caller);
        error NotEscrow(address caller, address escrow);
        error EscrowAlreadyBound(address escrow);
        /// There are at most 64.
        error TooManyOperators(uint256 limit);
        /// Signatures of a batch whose proof is not there: bytes expected and found.
        error ProofTruncated(uint256 expected, uint256 found);
        /// The quorum is zero, or more than the weight of all operators.
        error InvalidQuorum(uint16 quorum, uint16 weight);
        /// A weight of zero, or the weights of all operators do not fit 16 bits.
        error InvalidWeight(address operator, uint16 weight);
        /// An accepted or rejected verdict is signed, not abstained from.
        error Conclusive(uint16 reason);
        error NotOperator(address signer);
        error AlreadyOperator(address account);
        /// Signatures come in ascending order of their signers, each once.
        error SignersNotAscending(address previous, address next);
        /// Not 65 bytes, `v` neither 27 nor 28, `s` in the upper half, or no signer to recover.
        error InvalidSignature(uint256 index);
        error QuorumNotReached(uint16 expected, uint16 found);
        error DeviceBusy(bytes32 device, bytes24 order, uint64 until);
        /// The bond is below the minimum of contract `bonds`.
        error NotBonded(address account);
        error NotBonds(address caller, address bonds);

        /// What an operator's signature counts.
        struct Weight {
            address operator;
            uint16 weight;
        }

        /// Checks that a quorum signed the verdict. `signatures` is `r || s || v` of each operator, in ascending
        /// order of their addresses; or, for a verdict of a batch, `proof || signatures || (128 + depth)`: the
        /// `depth` siblings on its way to the root, signatures of the root (none where it was admitted before), one
        /// byte. On an accepted start verdict it also takes the devices for the order until `busyUntil`; on any other
        /// it gives back those that serve the order. `busyUntil` zero leaves devices alone. For the escrow. For the
        /// escrow. Emits `VerdictAdmitted`, and `BatchAdmitted` where it was the first of its batch; errors
        /// `NotEscrow`, `ProofTruncated`, `InvalidSignature`, `SignersNotAscending`, `NotOperator`,
        /// `QuorumNotReached`, `DeviceBusy`.
        function admit(Verdict verdict, bytes signatures, uint64 busyUntil) external returns (bytes32 digest, address[] signers);
        /// EIP-712 digest that operators sign: of this chain and this contract.
        function digestOf(Verdict verdict) external view returns (bytes32 digest);
        /// Signers of a digest, or of a batch it is in, in ascending order. Reverts unless they are a quorum: errors
        /// `ProofTruncated`, `InvalidSignature`, `SignersNotAscending`, `NotOperator`, `QuorumNotReached`.
        function signersOf(bytes32 digest, bytes signatures) external view returns (address[] signers);
        /// Removes operators, then adds others, whose signatures weigh 1, and sets what signatures must weigh
        /// together. Those of who was removed, and batches admitted before, count no more. For the governor. Emits
        /// `OperatorsChanged`; errors `NotGovernor`, `NotOperator`, `ZeroAddress`, `TooManyOperators`, `NotBonded`,
        /// `AlreadyOperator`, `InvalidWeight`, `InvalidQuorum`, and `UnexpectedAnswer` of contract `bonds`.
        function setOperators(address[] added, address[] removed, uint16 quorum) external;
        /// Sets what operators' signatures weigh, and what they must weigh together. For the governor. Emits
        /// `WeightsSet`; errors `NotGovernor`, `NotOperator`, `InvalidWeight`, `InvalidQuorum`.
        function setWeights(Weight[] weights, uint16 quorum) external;
        /// An operator says on chain that it cannot decide: an event, nothing else. Emits `Abstained`; errors
        /// `NotOperator`, `Conclusive`.
        function abstain(bytes32 order, uint8 phase, uint8 attempt, uint16 reason) external;
        /// What an account's signature weighs: zero where it is no operator.
        function weightOf(address account) external view returns (uint16 weight);
        /// What the signatures of all operators weigh together.
        function totalWeight() external view returns (uint16 weight);
        /// Removes an operator at once: it contradicted itself, or has too little at stake. The quorum stays
        /// what it is, so where too few are left no verdict is admitted until the governor has added others;
        /// orders are refunded at their deadlines. For contract `bonds`. Emits `OperatorsChanged`; false for
        /// who is none; error `NotBonds`.
        function expel(address operator) external returns (bool removed);
        /// Where operators have their bonds; zero: they need none.
        function bonds() external view returns (address account);
        /// Sets the smallest oracle fee of orders placed from now on, in units of whatever token an order is paid in.
        /// For the governor. Emits `FeeChanged`; error `NotGovernor`.
        function setFee(uint256 fee) external;
        /// Whether an account's signatures count.
        function isOperator(address account) external view returns (bool active);
        /// How many operators there are, at most 64.
        function operatorCount() external view returns (uint16 count);
        /// What the signatures of a verdict must weigh together.
        function quorum() external view returns (uint16 weight);
        /// Smallest oracle fee of an order, in units of its token.
        function fee() external view returns (uint256 amount);
        /// The first 24 bytes of the id of the order a device serves, and the last second of it; zero where the
        /// device is free.
        function holderOf(bytes32 device) external view returns (bytes24 order, uint64 until);
        /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
        /// `EscrowAlreadyBound`.
        function bindEscrow(address escrow) external;
        /// Who may change operators, quorum and fee.
        function governor() external view returns (address account);
        /// Who may have verdicts admitted; zero until the contract is bound.
        function escrow() external view returns (address account);
    }

    /// Holds the money: who has paid, who may be paid.
    ///
    /// A function that takes tokens takes the caller's credit first (`CreditSpent`), then what the caller has approved; it
    /// refuses with the token's own error, or `TokenRefused` where less arrives than was asked for, or `InvalidOrder("total")`
    /// where what is owed of the token would not fit a word. A function that pays tokens credits those whom the token does not
    /// pay (`Credited`), and refuses with `GasTooLow` where a payment would not have its gas. All that change anything but the
    /// governor's settings refuse with `Reentered` while one of them runs.
    interface IEscrow {
        /// Fixes whom the escrow works with: all but the governor must be contracts. Errors `ZeroAddress`,
        /// `UnexpectedAnswer`.
        constructor(address governor, address offers, address usage, address attestation, address annex, address desk);

        event OrderPlaced(bytes32 indexed order, address indexed buyer, address indexed provider, Terms terms);
        event OrderAccepted(bytes32 indexed order, address indexed provider);
        event EvidenceSubmitted(bytes32 indexed order, uint8 indexed phase, uint8 attempt, bytes32 evidence, bytes32 outputs, string uri);
        event OrderStarted(bytes32 indexed order, bytes32 indexed verdict, bytes32 sessionKey, bytes32[] devices);
        /// A heartbeat: compute is attested until `attestedUntil`, which is what it was before where the compute
        /// leg's clauses did not hold.
        event OrderBeat(bytes32 indexed order, bytes32 indexed verdict, uint8 attempt, uint64 attestedUntil);
        event OrderFinished(bytes32 indexed order, bytes32 indexed verdict, uint64 windowCloses);
        /// What a leg earned. Its payee gets one transfer for all that an order owes it, or a credit.
        event LegPaid(bytes32 indexed order, uint8 leg, address indexed payee, uint256 amount);
        event OrderSettled(bytes32 indexed order, Receipt receipt);
        /// `reason` is the verdict's, or zero where a deadline passed. `refund` went to the buyer,
        /// `bondToBuyer` on top of it; the rest of the bond went to the provider.
        event OrderRefunded(bytes32 indexed order, uint16 reason, uint256 refund, uint256 bondToBuyer);
        /// A bond of `bond` units froze the order's payment. The challenger says that the finish verdict
        /// should have had `reason`; `evidence` is the digest of what shows it, zero where it is the order's own
        /// evidence. `resolver` decides until `deadline`, afterwards anyone refunds.
        event OrderDisputed(bytes32 indexed order, address indexed challenger, address resolver, bytes32 evidence, uint16 reason, uint256 bond, uint64 deadline);
        /// The reason that the finish verdict should have had: zero where it stands and the order is settled.
        /// Otherwise the challenger got its bond back and `reward` units of the provider's.
        event DisputeResolved(bytes32 indexed order, address indexed challenger, uint16 reason, uint256 reward);
        /// Who decides disputes that are opened from now on; zero: no order can be disputed.
        event ResolverSet(address resolver);
        /// The order's volume and uses are for sale again.
        event UsesRestored(bytes32 indexed order);
        /// The oracle fee went to the operators who signed, as credits in equal shares; what does not
        /// divide went to the first.
        event FeeShared(bytes32 indexed order, address indexed token, uint256 amount, address[] operators);
        /// A transfer that failed became a credit, or a deposit did.
        event Credited(address indexed account, address indexed token, uint256 amount);
        event Withdrawn(address indexed account, address indexed token, uint256 amount);
        /// Credit paid for what its account gave in the same transaction.
        event CreditSpent(address indexed account, address indexed token, uint256 amount);
        event PausedSet(bool paused);
        /// `payer` locked `amount` more, shares included, for `duration` more seconds of compute.
        event OrderToppedUp(bytes32 indexed order, address indexed payer, uint32 duration, uint256 amount);
        /// What an ended order reserved of its policies' output and did not need is free again.
        event OutputReleased(bytes32 indexed order);

        error NotGovernor(address caller);
        error Paused();
        error Reentered();
        /// A call of a batch, counted from zero, failed with `reason`; nothing was done.
        error BatchFailed(uint256 index, bytes reason);
        error AlreadyRestored(bytes32 order);
        error AlreadyReleased(bytes32 order);
        /// The order is not settled by this receipt, or refunded.
        error ReceiptMismatch(bytes32 expected, bytes32 found);
        error WrongState(bytes32 order, uint8 expected, uint8 found);
        error NotProvider(address caller, address provider);
        error InvalidOrder(string field);
        error InvalidLeg(uint8 leg, string field);
        error MixedTokens(uint8 leg, address expected, address found);
        error DeadlinesNotAscending(uint64 earlier, uint64 later);
        error DeadlinePassed(uint64 deadline, uint64 time);
        error DeadlineNotPassed(uint64 deadline, uint64 time);
        error WindowOpen(uint64 closes, uint64 time);
        /// The challenge window has closed: the order can be settled, not disputed.
        error WindowClosed(uint64 closes, uint64 time);
        /// Nobody decides disputes: to open one would take the payees' pay by waiting.
        error NoResolver();
        error NotResolver(address caller, address resolver);
        /// A dispute says what the verdict should have been: a rejection.
        error NoRejection(uint16 reason);
        error FeeTooLow(uint256 expected, uint256 found);
        error VerdictMismatch(bytes32 expected, bytes32 found);
        error WrongPhase(uint8 expected, uint8 found);
        error Inconclusive(uint16 reason);
        error InputsMismatch(bytes32 expected, bytes32 found);
        error ObservedInFuture(uint64 observedAt, uint64 time);
        /// The compute is attested until then already: heartbeats only move forwards.
        error BeatNotLater(uint64 observedAt, uint64 beatAt);
        /// A finish verdict or heartbeat was observed before the start verdict.
        error ObservedBeforeStart(uint64 observedAt, uint64 startedAt);
        error TokenRefused(address token, uint256 expected, uint256 received);
        error NothingToWithdraw(address account, address token);
        /// Each transfer needs its share of gas, or a caller could turn payments into credits.
        error GasTooLow(uint64 expected, uint64 found);

        /// Places an order: derives its legs, takes one use of every offer and policy, and locks prices and oracle
        /// fee, in units of the order's token, from the caller, the buyer. Takes tokens. Emits `OrderPlaced`; errors
        /// `Paused`, `FeeTooLow`, `WrongState` where the same order was placed before, `UnexpectedAnswer`, and what
        /// `IOffers.sell` and `IUsage.reserve` refuse.
        function place(OrderRequest request) external returns (bytes32 order);
        /// Places an order for each salt, alike in everything else; the request's own salt is not used. Events and
        /// errors as of `place`, an `OrderPlaced` for each; `InvalidOrder("salts")` without any.
        function placeMany(OrderRequest request, bytes32[] salts) external returns (bytes32[] orders);
        /// Uses the caller's EIP-2612 permit for its token, in a batch before the call that takes the token. A permit
        /// that fails, because somebody has used it before, does no harm where the allowance suffices. Emits nothing,
        /// and refuses with nothing but `Reentered`.
        function permit(address token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        /// Takes `value` from `from` by an ERC-3009 authorisation to this contract, as a credit of `from`, whoever
        /// calls. In a batch before the call that takes the token, no approval is needed. An authorisation that
        /// fails, because somebody has brought it before, does no harm where the credit suffices. A token that brings
        /// less than `value` is refused. `value` in units of `token`. Emits `Credited`, unless the credit was there
        /// already; errors `TokenRefused`, the token's own, `InvalidOrder("total")`.
        function depositWithAuthorization(address token, address from, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        /// The same by a Permit2 signature transfer to this contract, of which `owner` permits all that it signed.
        /// The signature stands right behind the other arguments, as encoders put it: otherwise `MalformedCalldata`.
        /// Events and errors as of `depositWithAuthorization`, with Permit2's errors in place of the token's.
        function depositWithPermit2(address token, address owner, uint256 value, uint256 nonce, uint256 deadline, bytes signature) external;
        /// The provider takes the order and locks its bond, `terms.bond` units of the order's token, until the accept
        /// deadline. Takes tokens. Emits `OrderAccepted`; errors `WrongState`, `NotProvider`, `DeadlinePassed`.
        function accept(Terms terms) external;
        /// The provider names the evidence bundle of a phase: 1 start, 2 finish, 3 a heartbeat. `outputs` is on
        /// finishing the SHA-256 of the sealed outputs it delivered, and for a heartbeat the number of the block
        /// whose hash its challenge is made of. `uri` says where the bundle can be had. Emits `EvidenceSubmitted`;
        /// errors `WrongPhase`, `WrongState`, `NotProvider`, `DeadlinePassed`, `InvalidOrder("uri")`.
        function submitEvidence(Terms terms, uint8 phase, uint8 attempt, bytes32 evidence, bytes32 outputs, string uri) external;
        /// Anyone brings a verdict signed by a quorum. An accepted start verdict starts the order, an accepted finish
        /// verdict pays it (or opens the challenge window), a rejected verdict refunds it. An accepted heartbeat
        /// whose compute clauses hold attests the compute until it was observed: paid if the order then ends at its
        /// finish deadline. Pays tokens. Emits `OrderStarted`; or `OrderBeat`; or `FeeShared` and then
        /// `OrderFinished`, or `LegPaid` for each leg that earned something and `OrderSettled`, or `OrderRefunded`.
        /// Errors `WrongPhase`, `WrongState`, `VerdictMismatch` where it is of another order, `Inconclusive`,
        /// `ObservedInFuture`, `ObservedBeforeStart`, `BeatNotLater`, `DeadlinePassed`, `InputsMismatch`,
        /// `UnexpectedAnswer`, and what `IAttestation.admit` refuses.
        function submitVerdict(Terms terms, Verdict verdict, bytes signatures) external;
        /// Anyone pays for `duration` more seconds of compute, before the order has finished: its rate, and the
        /// shares of that. Neither deadlines nor what policies allow move. What is not earned goes back to the
        /// buyer. Takes tokens. Emits `OrderToppedUp`; errors `WrongState`, `DeadlinePassed`, `InvalidOrder`.
        function topUp(Terms terms, uint32 duration) external;
        /// Anyone settles a finished order once its challenge window has closed; `verdict` is the one that finished
        /// it. Pays tokens. Emits `LegPaid` for each leg that earned something, `OrderSettled`; errors `WrongState`,
        /// `WindowOpen`, `VerdictMismatch`.
        function settle(Terms terms, Verdict verdict) external;
        /// Anyone disputes a finished order before its challenge window closes: its payment waits for the resolver.
        /// Takes `disputeBondOf(terms)` of the order's token from the caller. `reason` is the rejection that the
        /// finish verdict should have been. An order is disputed once at most. Takes tokens. Emits `OrderDisputed`;
        /// errors `WrongState`, `WindowClosed`, `NoRejection`, `NoResolver`.
        function dispute(Terms terms, bytes32 evidence, uint16 reason) external;
        /// The dispute's resolver says which reason the finish verdict should have had. Zero: the order is settled,
        /// and the legs' payees share the challenger's bond equally. A rejection: the order is refunded, and the
        /// challenger gets its bond back; for a forged one (1xx) it also gets half of the provider's bond, and the
        /// buyer the other half. Until the dispute's deadline. Pays tokens. Emits `DisputeResolved`, then the events
        /// of `settle`, or `OrderRefunded`; errors `WrongState`, `DeadlinePassed`, `Inconclusive`, `NotResolver`,
        /// `VerdictMismatch`.
        function resolve(Terms terms, Verdict verdict, uint16 reason) external;
        /// What to dispute an order costs if the verdict stands, in units of its token: the provider's bond, or an
        /// eighth of the prices where that is more.
        function disputeBondOf(Terms terms) external view returns (uint256 amount);
        /// The dispute of an order; all zero where there was none.
        function disputeOf(bytes32 order) external view returns (Dispute dispute);
        /// The governor names who decides disputes from now on; zero: nobody, and no order can be disputed. Disputes
        /// that are open keep theirs. Emits `ResolverSet`; error `NotGovernor`.
        function setResolver(address resolver) external;
        /// Who decides disputes that are opened now; zero where none can be.
        function resolver() external view returns (address account);
        /// Anyone refunds an order whose current deadline has passed: accept, start or finish, or that of its
        /// dispute. A finished order is settled instead. What heartbeats attested of the compute leg is paid, the
        /// rest goes back to the buyer. Of a dispute that nobody decided everybody gets back what is theirs, the
        /// challenger its bond. Pays tokens. Emits `OrderRefunded`, and `LegPaid` for what heartbeats attested;
        /// errors `WrongState`, `DeadlineNotPassed`.
        function refund(Terms terms) external;
        /// Anyone gives the volume and the uses that a refunded order took back to its offers and policies, once.
        /// Apart from the refund, so that no other contract can stand in its way. Emits `UsesRestored`; errors
        /// `WrongState`, `AlreadyRestored`.
        function restore(Terms terms) external;
        /// Anyone gives back to the policies, once, what an ended order has reserved of their output for all
        /// sessions and did not need. `policies` are those of the legs with clause 21 or 22, in their order. Of a
        /// settled order `receipt` and `verdict` are its own, and say what left the session; of a refunded one
        /// they are not read. Emits `OutputReleased`; errors `WrongState`, `AlreadyReleased`, `ReceiptMismatch`,
        /// `VerdictMismatch`, `IUsage.PolicyMismatch`.
        function releaseOutput(Terms terms, Policy[] policies, Receipt receipt, Verdict verdict) external;
        /// Answers several calls of this contract's own functions, all or none. Tokens move once, at the end: from
        /// the caller what the calls take together, to each receiver what they give it together. (What is about no
        /// order, or seldom done with one, moves its own at once.) Emits what the calls emit; error `BatchFailed`
        /// with the place and the reason of a call that fails, and what tokens refuse at the end as it is.
        function multicall(bytes[] calls) external returns (bytes[] results);
        /// `multicall` with its calldata's `abi.encode(calls)` packed by `FastLZ`, level 1 (`flzCompress` of Solady's
        /// `LibZip`): orders of a batch are much alike. `MalformedCalldata` where that does not unpack.
        function multicallPacked(bytes packed) external returns (bytes[] results);
        /// Pays the caller its credit: what earlier transfers could not deliver, deposits, operators' fees. Credit
        /// also pays, before an approved balance does, for what its account gives: an order's price, a bond. Gives
        /// the units of `token` that were paid: all of it. Emits `Withdrawn`; errors `NothingToWithdraw`,
        /// `TokenRefused`, `GasTooLow`.
        function withdraw(address token) external returns (uint256 amount);
        /// What an account can withdraw, in units of `token`.
        function creditOf(address account, address token) external view returns (uint256 amount);
        /// Escrowed for open orders and credits, in units of `token`. Never more than the balance.
        function owed(address token) external view returns (uint256 amount);
        /// What is kept of an order; state 0 for one that was never placed.
        function orderOf(bytes32 order) external view returns (OrderRecord record);
        /// The id of an order with these terms on this chain, whether it was placed or not.
        function idOf(Terms terms) external view returns (bytes32 order);
        /// The challenge of the phase whose evidence the order waits for, 1 start or 2 finish, while the chain still
        /// knows the block's hash (256 blocks). Errors `WrongPhase`, and afterwards that of the chain's system
        /// contract.
        function challengeOf(bytes32 order, uint8 phase, uint8 attempt) external view returns (bytes32 challenge);
        /// Stops new orders, or lets them go on; everything else goes on all the time. For the governor. Emits
        /// `PausedSet`; error `NotGovernor`.
        function setPaused(bool paused) external;
        /// Whether new orders are stopped.
        function paused() external view returns (bool);
        /// Where offers are sold; fixed.
        function offers() external view returns (address);
        /// Where policies are checked and uses counted; fixed.
        function usage() external view returns (address);
        /// Where verdicts are admitted; fixed.
        function attestation() external view returns (address);
        /// The second program of the escrow, which it runs on its own storage; fixed.
        function annex() external view returns (address);
        /// The third program, run likewise; fixed.
        function desk() external view returns (address);
        /// Who may pause and name the resolver; fixed.
        function governor() external view returns (address account);
    }

    /// ERC-20 with EIP-2612 permits, as far as the market and its tests use it.
    interface IToken {
        /// A token without supply. Error `InvalidName`.
        constructor(string name, string symbol);

        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);

        error InsufficientBalance(address account, uint256 balance, uint256 needed);
        error InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error PermitExpired(uint256 deadline, uint256 time);
        error InvalidSigner(address signer, address owner);
        /// Names and symbols have 1 to 31 bytes.
        error InvalidName(uint256 expected, uint256 found);
        error SupplyOverflow(uint256 supply, uint256 minted);

        /// At most 31 bytes.
        function name() external view returns (string);
        /// At most 31 bytes.
        function symbol() external view returns (string);
        /// Six: a whole token is 1,000,000 units.
        function decimals() external view returns (uint8);
        /// Units there are.
        function totalSupply() external view returns (uint256);
        /// Units that an account holds.
        function balanceOf(address account) external view returns (uint256);
        /// Units that `spender` may still take from `owner`; the largest number is never used up.
        function allowance(address owner, address spender) external view returns (uint256);
        /// Moves `value` units from the caller. Emits `Transfer`; errors `InsufficientBalance`, `ZeroAddress`.
        function transfer(address to, uint256 value) external returns (bool);
        /// Moves `value` units that the caller was allowed. Emits `Transfer`; errors `InsufficientAllowance`,
        /// `InsufficientBalance`, `ZeroAddress`.
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        /// Lets `spender` take `value` units from the caller, in place of what it was allowed before. Emits
        /// `Approval`.
        function approve(address spender, uint256 value) external returns (bool);
        /// The same by `owner`'s signature (EIP-2612), once, until the last second of `deadline`. For anyone. Emits
        /// `Approval`; errors `PermitExpired`, `InvalidSigner`.
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        /// How many permits of an owner were used: the number that the next one signs.
        function nonces(address owner) external view returns (uint256);
        /// EIP-712 domain of permits: the token's name, version "1", this chain, this contract.
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        /// Makes `value` units. For anyone: this token is for development chains. Emits `Transfer` from the zero
        /// address; errors `ZeroAddress`, `SupplyOverflow`.
        function mint(address to, uint256 value) external;
    }

    /// How a contract says that a signature is its own (ERC-1271). Not ours.
    interface ISigner {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 magic);
    }

    /// What the contracts ask of Arbitrum's system contract at 0x64. Not ours.
    interface IArbSys {
        function arbBlockNumber() external view returns (uint256);
        function arbBlockHash(uint256 number) external view returns (bytes32);
    }
}
