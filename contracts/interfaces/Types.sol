// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// What an operator says about a job beside the verdict itself: which verdict it signed for which
/// evidence, announced in which block. Signed as EIP-712 typed data in the domain of `Verdict`. Two of one
/// signer that differ in the verdict alone are a proof against it: no honest operator makes them.
struct VerdictShare {
    // EIP-712 digest of the verdict.
    bytes32 verdict;
    bytes32 order;
    uint8 phase;
    uint8 attempt;
    bytes32 evidence;
    bytes32 outputs;
    // Hash of the block in which the evidence was announced.
    bytes32 announcedIn;
}

/// What somebody sells. Its hash, `keccak256(abi.encode(offer))`, is the offer's id: price and
/// policy cannot change under an id.
struct Offer {
    // Who is bound by the offer, and paid.
    address owner;
    // 1 dataset, 2 model, 3 workload, 4 compute.
    uint8 kind;
    // Asset digest. For compute: zero.
    bytes32 digest;
    // SHA-256 of the description published with the offer.
    bytes32 metadata;
    // ERC-20 in which the price is counted.
    address token;
    // Per use; for compute, per second of attested time.
    uint256 price;
    // The usage policy the asset is offered under.
    bytes32 policy;
    // Uses for sale.
    uint64 volume;
    // Orders are accepted until then.
    uint64 openUntil;
    // Compute only: the devices may serve several orders at a time.
    bool shared;
    // What is paid out of the price to those from whose assets this one was made:
    // `keccak256(abi.encode(royalties))`, zero where nobody. Datasets and models only.
    bytes32 lineage;
    // Distinguishes offers that are otherwise equal.
    bytes32 salt;
}

/// A part of the price of something that was made from somebody's asset.
struct Royalty {
    // Owner of the asset.
    address payee;
    // Asset digest.
    bytes32 digest;
    // In millionths of the price.
    uint32 rate;
}

/// The constraints under which an asset may be used. Its hash, `keccak256(abi.encode(policy))`,
/// is the policy's id. Each clause is a requirement, or an explicit "any": bit `i` of `any` is
/// set for clause `i` of the table in `vouch-protocol`, and then the clause's fields are zero or
/// empty. Any other mixture is refused.
struct Policy {
    uint32 any;
    // Bit 0 SEV-SNP, bit 1 TDX.
    uint8 cpuKinds;
    // Smallest reported TCB, byte by byte, in the layout of the chip's generation.
    bytes8 minSnpTcb;
    // TCB statuses that are good enough, by their bit.
    uint16 tdxStatuses;
    // Bit 0 Hopper, bit 1 Blackwell.
    uint8 gpuArchitectures;
    // At least so many.
    uint8 minGpus;
    // Bit 0 single GPU, bit 1 multi-GPU, bit 2 protected `PCIe`.
    uint8 gpuModes;
    // Seconds.
    uint32 revocationMaxAge;
    // Seconds.
    uint32 evidenceMaxAge;
    // Allowed workload digests: listed, as the root of a Merkle tree, or whatever one publisher offers
    // as a workload, on chain or by its signature; one of the three.
    bytes32[] workloads;
    bytes32 workloadRoot;
    address publisher;
    address[] buyers;
    address[] providers;
    // Bit 0 train, bit 1 fine-tune, bit 2 infer, bit 3 evaluate.
    uint8 purposes;
    // Orders in total, and of one buyer.
    uint64 maxUses;
    uint64 maxUsesPerBuyer;
    // First and last second in which an order may be placed.
    uint64 notBefore;
    uint64 notAfter;
    // Seconds of attested time.
    uint32 maxDuration;
    // What may leave one session.
    uint64 outputBytes;
    uint64 outputRows;
    // What may leave all sessions together. Each order reserves what may leave its session; what it did
    // not need can be released once it has ended. Only beside the clause of one session.
    Counters total;
    // What an offer of something that was trained on the asset owes its owner, in millionths of its
    // price; no clause, zero asks for nothing. At most 500,000.
    uint32 royalty;
}

/// What a dataset must measure to be worth paying for. Zero asks for nothing.
struct Requirements {
    uint64 minRecords;
    uint64 minBytes;
    // SHA-256 of the schema.
    bytes32 schema;
    // Share of well-formed records, in millionths.
    uint32 minQuality;
}

struct Deadlines {
    uint64 accept;
    uint64 start;
    uint64 finish;
    // Not before `finish` plus the challenge window.
    uint64 settle;
}

/// What somebody gets beside the payees: a share of what they are paid, on top of it.
struct Fee {
    // Zero where there is no fee.
    address recipient;
    // In millionths of what the payees are paid.
    uint32 rate;
}

/// One offer used by an order; or what somebody else gets of what those earn, which has no policy.
struct Leg {
    // Royalty: the offer out of whose price it is paid, if that is. Share: zero.
    bytes32 offer;
    bytes32 policy;
    // 1 dataset, 2 model, 3 workload, 4 compute; 5 a share of what all others earn, on top of it; 6 a
    // royalty.
    uint8 kind;
    // Asset digest, copied from the offer. Royalty: of the asset from which the offer's was made.
    bytes32 digest;
    address payee;
    // Locked for this leg: the price less its royalties, or for compute `rate` times `Terms.maxDuration`.
    uint256 amount;
    // Compute: price per second. Share and royalty: millionths. Otherwise zero.
    uint256 rate;
    // Clauses of the policy (and, for datasets, the requirements) that the payment depends on.
    uint32 clauses;
}

/// An order as it was placed. Its hash together with chain and escrow is the order's id, so the
/// contract keeps the hash and callers bring the terms.
struct Terms {
    address buyer;
    // Owner of the compute offer.
    address provider;
    address token;
    Leg[] legs;
    Requirements requirements;
    // X25519 key to which the result is sealed.
    bytes32 resultKey;
    // One bit of the purposes of a policy.
    uint8 purpose;
    uint32 maxDuration;
    Deadlines deadlines;
    uint64 challengeWindow;
    // Locked by the provider on accepting, in `token`.
    uint256 bond;
    // Shared by the operators who sign the verdict that ends the order.
    uint256 oracleFee;
    // Whether the compute offer lets its devices serve several orders.
    bool shared;
    bytes32 salt;
}

struct LegRequest {
    Offer offer;
    Policy policy;
    // Proof of the order's workload in `policy.workloadRoot`; empty where there is no root.
    bytes32[] workloadProof;
    // The owner's signature, where the offer was not published: of the EIP-712 typed data `Offer`
    // in the domain `{name: "Vouch", version: "1", chainId, verifyingContract: offers}`. 65 bytes,
    // or what a contract that owns takes (ERC-1271). Empty where the offer was published.
    bytes signature;
    // What hashes to the offer's lineage; empty where that is zero.
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
    // Largest rate of the protocol's fee that the buyer takes, in millionths.
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
    // Order id.
    bytes32 order;
    // 1 start, 2 finish, 3 heartbeat.
    uint8 phase;
    uint8 attempt;
    // SHA-256 of the evidence bundle.
    bytes32 evidence;
    // Leg `i`'s clauses that hold, at bits `32 i`.
    uint256 clauses;
    // Number in the table of reasons of `vouch-protocol`.
    uint16 reason;
    bytes32[] devices;
    // X25519 key of the session: content keys are sealed to it.
    bytes32 sessionKey;
    // SHA-256 of the launch measurement.
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
    // Asset digest of each leg.
    bytes32[] assets;
    // What each leg's payee was paid.
    uint256[] paid;
    bytes32 measurement;
    bytes32[] devices;
    bytes32 evidence;
    bytes32 outputs;
    // EIP-712 digest of the finish verdict.
    bytes32 verdict;
    uint64 settledAt;
}

/// What the escrow keeps of an order. Of a settled one it keeps the receipt's id and nothing else:
/// its times are in the events.
struct OrderRecord {
    // 0 none, 1 placed, 2 accepted, 3 running, 4 finished, 5 settled, 6 refunded, 7 disputed.
    uint8 state;
    // Block in which the order entered the state; the next challenge is made of its hash.
    uint64 sinceBlock;
    // When the start verdict was observed.
    uint64 startedAt;
    // When the finish verdict arrived; the challenge window opens then.
    uint64 finishedAt;
    // Until when heartbeats attest the compute leg; zero without one.
    uint64 beatAt;
    // Seconds of compute that were paid for after the order was placed.
    uint32 toppedUp;
    // Finished and disputed: the finish verdict's digest. Settled: the receipt's id.
    bytes32 commitment;
}

/// What the escrow keeps of a dispute, also after its end.
struct Dispute {
    // Who disputed the order, and put the bond at stake.
    address challenger;
    // Last second in which `resolver` may decide; afterwards anyone refunds the order.
    uint64 deadline;
    // Who decides: the resolver when the order was disputed.
    address resolver;
}
