//! What the store keeps, and which changes of a job are possible.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vouch_protocol::Reason;
use vouch_verdict::Announcement;

use crate::schema;

/// A phase of an order, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Name", from = "Name")]
pub struct Phase(pub vouch_protocol::Phase);

/// Start or finish.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Phase)]
pub(crate) enum Name {
    Start,
    Finish,
    Heartbeat,
}

impl From<Phase> for Name {
    fn from(phase: Phase) -> Self {
        match phase.0 {
            vouch_protocol::Phase::Start => Self::Start,
            vouch_protocol::Phase::Finish => Self::Finish,
            vouch_protocol::Phase::Heartbeat => Self::Heartbeat,
        }
    }
}

impl From<Name> for Phase {
    fn from(name: Name) -> Self {
        Self(match name {
            Name::Start => vouch_protocol::Phase::Start,
            Name::Finish => vouch_protocol::Phase::Finish,
            Name::Heartbeat => vouch_protocol::Phase::Heartbeat,
        })
    }
}

impl From<Phase> for u8 {
    fn from(phase: Phase) -> Self {
        phase.0 as Self
    }
}

/// A number that names no phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("phase: expected 1 to 3, found {0}")]
pub struct UnknownPhase(pub u8);

impl TryFrom<u8> for Phase {
    type Error = UnknownPhase;

    fn try_from(n: u8) -> Result<Self, UnknownPhase> {
        vouch_protocol::Phase::from_u8(n)
            .map(Self)
            .ok_or(UnknownPhase(n))
    }
}

/// A block, as far as the oracle cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockRef {
    /// Its number.
    pub number: u64,
    /// Its hash.
    #[schema(value_type = schema::Word)]
    pub hash: B256,
    /// Its time in Unix seconds.
    pub timestamp: u64,
}

/// One piece of evidence for one phase of one order: everything the provider announced is part of
/// the identity, so two announcements that differ anywhere are two jobs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct JobId {
    /// The order.
    #[schema(value_type = schema::Word)]
    pub order: B256,
    /// Start or finish.
    #[schema(value_type = Name)]
    pub phase: Phase,
    /// The provider's count of attempts at this phase.
    #[schema(maximum = 255)]
    pub attempt: u8,
    /// SHA-256 of the bundle.
    #[schema(value_type = schema::Word)]
    pub evidence: B256,
    /// SHA-256 of the sealed outputs; zero at the start.
    #[schema(value_type = schema::Word)]
    pub outputs: B256,
}

impl JobId {
    /// What was announced, as a verdict is decided about it.
    pub const fn announcement(&self) -> Announcement {
        Announcement {
            order: self.order,
            phase: self.phase.0,
            attempt: self.attempt,
            evidence: self.evidence,
            outputs: self.outputs,
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order,
            phase,
            attempt,
            evidence,
            ..
        } = self;
        write!(f, "{order}/{}/{attempt}/{evidence}", phase.0)
    }
}

/// Where a job stands. Each change is one atomic write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its event was taken in.
    Seen,
    /// Its bundle is in the evidence store.
    Fetched,
    /// A verdict was reached.
    Verified,
    /// A quorum of signatures is at hand.
    Signed,
    /// The transaction is in the outbox: sent or about to be.
    Submitted,
    /// The chain shows the phase decided, by this verdict or another.
    Final(Closing),
    /// Nothing more can be done.
    Abandoned {
        /// Why, in words.
        why: String,
    },
}

/// How the chain decided a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Closing {
    /// Block of the deciding event.
    pub block: BlockRef,
    /// Its transaction.
    #[schema(value_type = schema::Word)]
    pub tx: B256,
    /// The event.
    pub event: String,
    /// When it was taken in, in Unix milliseconds.
    pub at_ms: u64,
}

impl Stage {
    /// The stage's name in the API, in logs and in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Fetched => "fetched",
            Self::Verified => "verified",
            Self::Signed => "signed",
            Self::Submitted => "submitted",
            Self::Final(_) => "final",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Whether nothing is left to do.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Final(_) | Self::Abandoned { .. })
    }

    /// Whether the pipeline may take a job from here to `next`.
    pub const fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Seen, Self::Fetched)
            | (Self::Fetched, Self::Verified)
            | (Self::Verified, Self::Signed)
            | (Self::Signed, Self::Submitted) => true,
            (from, Self::Final(_) | Self::Abandoned { .. }) => !from.is_over(),
            _ => false,
        }
    }
}

/// What went wrong last, while the job goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// Number in the table of reasons; none where the trouble is not the evidence's.
    pub reason: Option<u16>,
    /// What happened.
    pub detail: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

impl Trouble {
    /// The reason's name, for logs and metrics.
    pub fn reason_name(&self) -> &'static str {
        self.reason
            .and_then(Reason::from_code)
            .map_or("none", Reason::name)
    }
}

/// A piece of evidence on its way to a verdict on chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// What it is about.
    pub id: JobId,
    /// Where it stands.
    pub stage: Stage,
    /// Block of the provider's announcement: its time is the verdict's `observedAt`.
    pub block: BlockRef,
    /// Where the provider says the bundle is. Never fetched from: sources are configured.
    pub uri: String,
    /// When the announcement was taken in, in Unix milliseconds.
    pub seen_at_ms: u64,
    /// When it came to its present stage, in Unix milliseconds.
    #[serde(default)]
    pub since_ms: u64,
    /// Failed tries at the present stage.
    pub tries: u32,
    /// What went wrong last.
    pub trouble: Option<Trouble>,
    /// The transaction that carried this oracle's verdict, once mined.
    pub mined: Option<Mined>,
}

/// A mined transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mined {
    /// The transaction.
    #[schema(value_type = schema::Word)]
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// Gas it used, for all verdicts in it.
    pub gas_used: u64,
    /// When the receipt was seen, in Unix milliseconds.
    pub at_ms: u64,
    /// From the announcement taken in to the receipt, in milliseconds.
    pub latency_ms: u64,
}

impl Job {
    /// A job as its announcement makes it.
    pub const fn new(id: JobId, block: BlockRef, uri: String, seen_at_ms: u64) -> Self {
        Self {
            id,
            stage: Stage::Seen,
            block,
            uri,
            seen_at_ms,
            since_ms: seen_at_ms,
            tries: 0,
            trouble: None,
            mined: None,
        }
    }
}

/// Finds a job by its place on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockJob {
    /// Block of the announcement.
    pub block: u64,
    /// The job.
    pub job: JobId,
}

/// Finds an operator's signature of a job's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShareKey {
    /// The job.
    pub job: JobId,
    /// The operator.
    pub signer: Address,
}

/// An operator's part of a quorum: its verdict about a job and its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The operator.
    #[schema(value_type = schema::Account)]
    pub signer: Address,
    /// Hash of the block in which the evidence was announced. It commits to everything the verdict
    /// depends on, so an honest operator signs one verdict for it.
    #[schema(value_type = schema::Word)]
    pub block: B256,
    /// ABI encoding of the interface's `Verdict`.
    #[schema(value_type = schema::Hex)]
    pub verdict: Bytes,
    /// EIP-712 digest of the verdict.
    #[schema(value_type = schema::Word)]
    pub digest: B256,
    /// Signature of the digest, for the contract.
    #[schema(value_type = schema::Hex)]
    pub signature: Bytes,
    /// Signature of digest, job and block together, for other operators.
    #[schema(value_type = schema::Hex)]
    pub statement: Bytes,
    /// When it came here, in Unix milliseconds.
    #[serde(default)]
    pub at_ms: u64,
}

/// Two signed statements of one operator that no honest operator makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Equivocation {
    /// The job.
    pub job: JobId,
    /// What it said first.
    pub first: Share,
    /// What it said then, about the same block.
    pub second: Share,
}

/// Finds an event: orders side by side, events in the order of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventKey {
    /// The order.
    pub order: B256,
    /// The block.
    pub block: u64,
    /// Position of the log in the block.
    pub index: u64,
}

/// An event of the escrow as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its block.
    pub block: BlockRef,
    /// Position of the log in the block.
    pub index: u64,
    /// Its transaction.
    pub tx: B256,
    /// Topics of the log.
    pub topics: Vec<B256>,
    /// Data of the log.
    pub data: Bytes,
}

/// A block up to which events were taken in, and the events of that block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The block.
    pub block: BlockRef,
    /// Its events.
    pub events: Vec<EventKey>,
}

/// What is known of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceMeta {
    /// Bytes.
    pub size: u64,
    /// Where it came from.
    pub source: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// A verdict on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredVerdict {
    /// ABI encoding of the interface's `Verdict`.
    #[schema(value_type = schema::Hex)]
    pub verdict: Bytes,
    /// EIP-712 digest that is signed.
    #[schema(value_type = schema::Word)]
    pub digest: B256,
    /// Number in the table of reasons.
    pub reason: u16,
    /// What decided it, in words.
    pub detail: String,
    /// Signatures of the digest at hand.
    #[schema(value_type = Vec<schema::Hex>)]
    pub signatures: Vec<Bytes>,
}

/// A transaction to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Calldata for the escrow.
    pub input: Bytes,
    /// When it was put here, in Unix milliseconds.
    pub at_ms: u64,
    /// Set before the first broadcast; kept until the nonce is used up.
    pub flight: Option<Flight>,
    /// The job is over or gone: only the nonce is waited for.
    pub released: bool,
}

/// A signed transaction and those it replaced, the same in every entry whose verdict it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// The account that pays.
    pub from: Address,
    /// Its nonce, the same in every replacement.
    pub nonce: u64,
    /// The newest, signed and encoded; empty in all entries but one.
    pub raw: Bytes,
    /// Every hash that may turn up in a block, newest last.
    pub hashes: Vec<B256>,
    /// Of the newest, in wei.
    pub max_fee_per_gas: u128,
    /// Of the newest, in wei.
    pub max_priority_fee_per_gas: u128,
    /// Gas limit.
    pub gas: u64,
    /// When the newest was signed, in Unix milliseconds.
    pub at_ms: u64,
}

/// Rows of the column family `meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MetaValue {
    /// Which market the store belongs to.
    Market(super::MarketId),
    /// The last block that was taken in.
    Cursor(BlockRef),
}
