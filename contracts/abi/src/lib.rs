//! The interface of every contract, once: the contracts, the Rust clients and the JSON ABI come
//! from these declarations.
//!
//! Amounts are in the smallest unit of their token, times are Unix seconds, durations are seconds.
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
        /// Distinguishes offers that are otherwise equal.
        bytes32 salt;
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
        uint8 minGpus;
        /// Bit 0 single GPU, bit 1 multi-GPU, bit 2 protected `PCIe`.
        uint8 gpuModes;
        uint32 revocationMaxAge;
        uint32 evidenceMaxAge;
        /// Allowed workload digests, listed or as the root of a Merkle tree; one of the two.
        bytes32[] workloads;
        bytes32 workloadRoot;
        address[] buyers;
        address[] providers;
        /// Bit 0 train, bit 1 fine-tune, bit 2 infer, bit 3 evaluate.
        uint8 purposes;
        uint64 maxUses;
        uint64 maxUsesPerBuyer;
        uint64 notBefore;
        uint64 notAfter;
        uint32 maxDuration;
        uint64 outputBytes;
        uint64 outputRows;
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

    /// One offer used by an order; or the share of somebody else, which has neither offer nor policy.
    struct Leg {
        bytes32 offer;
        bytes32 policy;
        /// 1 dataset, 2 model, 3 workload, 4 compute; 5 a share of what all those earn, on top of it.
        uint8 kind;
        /// Asset digest, copied from the offer.
        bytes32 digest;
        address payee;
        /// Locked for this leg: the price, or for compute `rate` times `Terms.maxDuration`.
        uint256 amount;
        /// Compute: price per second. Share: millionths. Otherwise zero.
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
        /// 1 start, 2 finish.
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

    /// What every contract of the market answers alike. Their JSON ABIs list these errors too.
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
        constructor(address governor);

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
        function publish(Offer offer, string uri) external returns (bytes32 id);
        /// Ends the caller's own offer for good; orders already placed go on.
        function cancel(bytes32 offer) external;
        /// Ends the caller's own offer for good, whether it was published or only signed.
        function revoke(Offer offer) external;
        /// Ends all offers that the caller has signed and not published, used before or not, whose
        /// salt is a smaller number than `nonce`.
        function raiseNonce(uint256 nonce) external;
        /// The smallest salt of a signed offer of an owner that counts.
        function nonceOf(address owner) external view returns (uint256 nonce);
        /// Derives the terms of an order from what a buyer asks for, and takes one use of each offer.
        /// For the escrow. Refuses with the escrow's errors what the escrow's interface lists.
        /// With a `count` it takes as many uses: for orders that differ in nothing but their salt.
        function sell(address buyer, OrderRequest request, uint64 count) external returns (Terms terms);
        /// Gives back one use of each offer of a refunded order. For the escrow.
        function restore(bytes32[] offers) external;
        /// Uses left, and whether orders may take them.
        function available(bytes32 offer) external view returns (uint64 volume, bool open);
        function idOf(Offer offer) external view returns (bytes32 id);
        function bindEscrow(address escrow) external;
        /// Sets the fee of orders placed from now on; those that stand keep theirs. For the governor. At
        /// most 50,000 millionths.
        function setProtocolFee(Fee fee) external;
        function protocolFee() external view returns (Fee fee);
        function governor() external view returns (address account);
        function escrow() external view returns (address account);
    }

    /// Under which constraints assets may be used, and how often they were.
    interface IUsage {
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

        /// What an order does with an asset, as far as the chain can judge it.
        struct Use {
            address buyer;
            address provider;
            uint8 purpose;
            uint32 maxDuration;
            /// Digest of the order's workload leg; zero where it has none.
            bytes32 workload;
        }

        /// Makes a policy known under its id, by event. Publishing twice is allowed and changes
        /// nothing; orders bring the policy, so one that was never published works as well.
        function publish(Policy policy) external returns (bytes32 id);
        /// Checks the on-chain clauses of each leg's policy against one use, and reserves the use where
        /// the policy counts uses, `count` times. Each policy must hash to what its leg's offer names. For
        /// the escrow.
        function reserve(Use use, OrderRequest request, uint64 count) external;
        /// Gives back a reservation of a refunded leg. For the escrow.
        function release(bytes32[] ids, uint32[] clauses, address buyer) external;
        /// Required clauses of a policy; reverts with `InvalidClause` where it contradicts itself.
        function requiredClauses(Policy policy) external view returns (uint32 clauses);
        function uses(bytes32 policy) external view returns (uint64 total);
        function usesBy(bytes32 policy, address buyer) external view returns (uint64 total);
        function idOf(Policy policy) external view returns (bytes32 id);
        function bindEscrow(address escrow) external;
        function governor() external view returns (address account);
        function escrow() external view returns (address account);
    }

    /// Who may say what the hardware showed, and what they said.
    interface IAttestation {
        constructor(address governor, address[] operators, uint16 quorum, uint256 fee, address bonds);

        event OperatorsChanged(address[] added, address[] removed, uint16 quorum);
        event FeeChanged(uint256 fee);
        event EscrowBound(address escrow);
        event VerdictAdmitted(bytes32 indexed order, uint8 indexed phase, bytes32 indexed digest, uint16 reason, address[] signers);
        /// A quorum signed the root of many verdicts: as long as operators and quorum stay the same,
        /// each of them needs a proof only.
        event BatchAdmitted(bytes32 indexed root, address[] signers);

        error NotGovernor(address caller);
        error NotEscrow(address caller, address escrow);
        error EscrowAlreadyBound(address escrow);
        /// There are at most 64.
        error TooManyOperators(uint256 limit);
        /// Signatures of a batch whose proof is not there: bytes expected and found.
        error ProofTruncated(uint256 expected, uint256 found);
        error InvalidQuorum(uint16 quorum, uint16 operators);
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

        /// Checks that a quorum signed the verdict. `signatures` is `r || s || v` of each operator, in
        /// ascending order of their addresses; or, for a verdict of a batch, `proof || signatures ||
        /// (128 + depth)`: the `depth` siblings on its way to the root, signatures of the root (none
        /// where it was admitted before), one byte. On an accepted start verdict it also takes the
        /// devices for the order until `busyUntil`; on any other it gives back those that serve the
        /// order. `busyUntil` zero leaves devices alone. For the escrow.
        function admit(Verdict verdict, bytes signatures, uint64 busyUntil) external returns (bytes32 digest, address[] signers);
        /// EIP-712 digest that operators sign.
        function digestOf(Verdict verdict) external view returns (bytes32 digest);
        /// Signers of a digest, or of a batch it is in; reverts unless they are a quorum.
        function signersOf(bytes32 digest, bytes signatures) external view returns (address[] signers);
        function setOperators(address[] added, address[] removed, uint16 quorum) external;
        /// Removes an operator at once: it contradicted itself, or has too little at stake. The quorum stays
        /// what it is, so where too few are left no verdict is admitted until the governor has added others;
        /// orders are refunded at their deadlines. For contract `bonds`. Emits `OperatorsChanged`; false for
        /// who is none; error `NotBonds`.
        function expel(address operator) external returns (bool removed);
        /// Where operators have their bonds; zero: they need none.
        function bonds() external view returns (address account);
        function setFee(uint256 fee) external;
        function isOperator(address account) external view returns (bool active);
        function operatorCount() external view returns (uint16 count);
        function quorum() external view returns (uint16 count);
        /// Smallest oracle fee of an order, in units of its token.
        function fee() external view returns (uint256 amount);
        /// The first 24 bytes of the id of the order a device serves, and until when; zero where the
        /// device is free.
        function holderOf(bytes32 device) external view returns (bytes24 order, uint64 until);
        function bindEscrow(address escrow) external;
        function governor() external view returns (address account);
        function escrow() external view returns (address account);
    }

    /// Holds the money: who has paid, who may be paid.
    interface IEscrow {
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

        error NotGovernor(address caller);
        error Paused();
        error Reentered();
        /// A call of a batch, counted from zero, failed with `reason`; nothing was done.
        error BatchFailed(uint256 index, bytes reason);
        error AlreadyRestored(bytes32 order);
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

        /// Places an order: derives its legs, takes one use of every offer and policy, and locks
        /// prices and oracle fee from the caller, the buyer.
        function place(OrderRequest request) external returns (bytes32 order);
        /// Places an order for each salt, alike in everything else; the request's own salt is not used.
        function placeMany(OrderRequest request, bytes32[] salts) external returns (bytes32[] orders);
        /// Uses the caller's EIP-2612 permit for its token, in a batch before the call that takes the
        /// token. A permit that fails, because somebody has used it before, does no harm where the
        /// allowance suffices.
        function permit(address token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        /// Takes `value` from `from` by an ERC-3009 authorisation to this contract, as a credit of `from`, whoever
        /// calls. In a batch before the call that takes the token, no approval is needed. An authorisation that
        /// fails, because somebody has brought it before, does no harm where the credit suffices. A token that
        /// brings less than `value` is refused.
        function depositWithAuthorization(address token, address from, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        /// The same by a Permit2 signature transfer to this contract, of which `owner` permits all that it signed.
        function depositWithPermit2(address token, address owner, uint256 value, uint256 nonce, uint256 deadline, bytes signature) external;
        /// The provider takes the order and locks its bond.
        function accept(Terms terms) external;
        /// The provider names the evidence bundle of a phase: 1 start, 2 finish, 3 a heartbeat. `outputs` is on
        /// finishing the SHA-256 of the sealed outputs it delivered, and for a heartbeat the number of the block
        /// whose hash its challenge is made of. `uri` says where the bundle can be had.
        function submitEvidence(Terms terms, uint8 phase, uint8 attempt, bytes32 evidence, bytes32 outputs, string uri) external;
        /// Anyone brings a verdict signed by a quorum. An accepted start verdict starts the order,
        /// an accepted finish verdict pays it (or opens the challenge window), a rejected verdict
        /// refunds it. An accepted heartbeat whose compute clauses hold attests the compute until it was
        /// observed: paid if the order then ends at its finish deadline.
        function submitVerdict(Terms terms, Verdict verdict, bytes signatures) external;
        /// Anyone settles a finished order once its challenge window has closed.
        function settle(Terms terms, Verdict verdict) external;
        /// Anyone disputes a finished order before its challenge window closes: its payment waits for the
        /// resolver. Takes `disputeBondOf(terms)` of the order's token from the caller. `reason` is the rejection
        /// that the finish verdict should have been. An order is disputed once at most.
        function dispute(Terms terms, bytes32 evidence, uint16 reason) external;
        /// The dispute's resolver says which reason the finish verdict should have had. Zero: the order is
        /// settled, and the legs' payees share the challenger's bond equally. A rejection: the order is
        /// refunded, and the challenger gets its bond back; for a forged one (1xx) it also gets half of the
        /// provider's bond, and the buyer the other half.
        function resolve(Terms terms, Verdict verdict, uint16 reason) external;
        /// What to dispute an order costs if the verdict stands: the provider's bond, or an eighth of the
        /// prices where that is more.
        function disputeBondOf(Terms terms) external view returns (uint256 amount);
        /// The dispute of an order; all zero where there was none.
        function disputeOf(bytes32 order) external view returns (Dispute dispute);
        /// The governor names who decides disputes from now on; zero: nobody, and no order can be disputed.
        /// Disputes that are open keep theirs.
        function setResolver(address resolver) external;
        function resolver() external view returns (address account);
        /// Anyone refunds an order whose current deadline has passed: accept, start or finish, or that of
        /// its dispute. A finished order is settled instead. What heartbeats attested of the compute leg is paid,
        /// the rest goes back to the buyer.
        function refund(Terms terms) external;
        /// Anyone gives the volume and the uses that a refunded order took back to its offers and
        /// policies, once. Apart from the refund, so that no other contract can stand in its way.
        function restore(Terms terms) external;
        /// Answers several calls of this contract's own functions, all or none. Tokens move once, at the
        /// end: from the caller what the calls take together, to each receiver what they give it together.
        function multicall(bytes[] calls) external returns (bytes[] results);
        /// `multicall` with its calldata's `abi.encode(calls)` packed by `FastLZ`, level 1 (`flzCompress` of
        /// Solady's `LibZip`): orders of a batch are much alike.
        function multicallPacked(bytes packed) external returns (bytes[] results);
        /// Pays the caller its credit: what earlier transfers could not deliver, deposits, operators' fees. Credit
        /// also pays, before an approved balance does, for what its account gives: an order's price, a bond.
        function withdraw(address token) external returns (uint256 amount);
        function creditOf(address account, address token) external view returns (uint256 amount);
        /// Escrowed for open orders and credits, per token. Never more than the balance.
        function owed(address token) external view returns (uint256 amount);
        function orderOf(bytes32 order) external view returns (OrderRecord record);
        function idOf(Terms terms) external view returns (bytes32 order);
        /// The challenge of a phase, while the chain still knows the block's hash (256 blocks).
        function challengeOf(bytes32 order, uint8 phase, uint8 attempt) external view returns (bytes32 challenge);
        function setPaused(bool paused) external;
        function paused() external view returns (bool);
        function offers() external view returns (address);
        function usage() external view returns (address);
        function attestation() external view returns (address);
        /// The second program of the escrow, which it runs on its own storage.
        function annex() external view returns (address);
        function desk() external view returns (address);
        function governor() external view returns (address account);
    }

    /// ERC-20 with EIP-2612 permits, as far as the market and its tests use it.
    interface IToken {
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

        function name() external view returns (string);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        /// Anyone may mint: this token is for development chains.
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
