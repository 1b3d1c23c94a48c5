//! From the escrow's events to what an order is.

use alloy::primitives::B256;
use alloy::sol_types::SolEventInterface;
use vouch_abi::IEscrow::{self, IEscrowEvents};
use vouch_abi::{Receipt, Terms};

use crate::store::model::{BlockRef, Fact, JobId, Phase};

/// What an event says, of those that concern one order's course.
#[derive(Debug)]
pub enum Event {
    /// The order was placed.
    Placed(Box<IEscrow::OrderPlaced>),
    /// The provider accepted it.
    Accepted,
    /// The provider announced evidence.
    Evidence {
        /// What was announced.
        job: JobId,
        /// Where the provider says the bundle is.
        uri: String,
    },
    /// A start verdict was accepted.
    Started {
        /// Its digest.
        verdict: B256,
        /// The session's X25519 key.
        session_key: B256,
        /// The devices that now serve the order.
        devices: Vec<B256>,
    },
    /// A heartbeat was accepted.
    Beat {
        /// Which of the provider's attempts: earlier ones cannot count any more.
        attempt: u8,
    },
    /// A finish verdict was accepted; the challenge window is open.
    Finished {
        /// Its digest.
        verdict: B256,
    },
    /// Its payment was frozen: evidence and verdict are needed until the order ends.
    Disputed,
    /// The payees were paid.
    Settled(Box<Receipt>),
    /// The buyer was refunded.
    Refunded {
        /// The verdict's reason; zero where a deadline passed.
        reason: u16,
    },
}

/// An event that is not what the interface promises.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// No event of the escrow reads like this.
    #[error("event: {0}")]
    Undecodable(#[from] alloy::sol_types::Error),
    /// The phase does not exist.
    #[error("event EvidenceSubmitted: {0}")]
    Phase(#[from] crate::store::model::UnknownPhase),
}

/// Reads a log: the order and what happened to it; nothing where it concerns no order's course.
///
/// # Errors
/// [`FactError`] for bytes that are no event of the escrow.
pub fn read(topics: &[B256], data: &[u8]) -> Result<Option<(B256, Event)>, FactError> {
    Ok(Some(match IEscrowEvents::decode_raw_log(topics, data)? {
        IEscrowEvents::OrderPlaced(e) => (e.order, Event::Placed(Box::new(e))),
        IEscrowEvents::OrderAccepted(e) => (e.order, Event::Accepted),
        IEscrowEvents::EvidenceSubmitted(e) => {
            let job = JobId {
                order: e.order,
                phase: Phase::try_from(e.phase)?,
                attempt: e.attempt,
                evidence: e.evidence,
                outputs: e.outputs,
            };
            (e.order, Event::Evidence { job, uri: e.uri })
        }
        IEscrowEvents::OrderStarted(e) => (
            e.order,
            Event::Started {
                verdict: e.verdict,
                session_key: e.sessionKey,
                devices: e.devices,
            },
        ),
        IEscrowEvents::OrderBeat(e) => (e.order, Event::Beat { attempt: e.attempt }),
        IEscrowEvents::OrderFinished(e) => (e.order, Event::Finished { verdict: e.verdict }),
        IEscrowEvents::OrderDisputed(e) => (e.order, Event::Disputed),
        IEscrowEvents::OrderSettled(e) => (e.order, Event::Settled(Box::new(e.receipt))),
        IEscrowEvents::OrderRefunded(e) => (e.order, Event::Refunded { reason: e.reason }),
        IEscrowEvents::LegPaid(_)
        | IEscrowEvents::OrderToppedUp(_)
        | IEscrowEvents::OutputReleased(_)
        | IEscrowEvents::UsesRestored(_)
        | IEscrowEvents::DisputeResolved(_)
        | IEscrowEvents::ResolverSet(_)
        | IEscrowEvents::FeeShared(_)
        | IEscrowEvents::Credited(_)
        | IEscrowEvents::CreditSpent(_)
        | IEscrowEvents::Withdrawn(_)
        | IEscrowEvents::PausedSet(_) => return Ok(None),
    }))
}

impl Event {
    /// The event's name in the interface.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Placed(_) => "OrderPlaced",
            Self::Accepted => "OrderAccepted",
            Self::Evidence { .. } => "EvidenceSubmitted",
            Self::Started { .. } => "OrderStarted",
            Self::Beat { .. } => "OrderBeat",
            Self::Finished { .. } => "OrderFinished",
            Self::Disputed => "OrderDisputed",
            Self::Settled(_) => "OrderSettled",
            Self::Refunded { .. } => "OrderRefunded",
        }
    }

    /// Which of the order's jobs this decides.
    pub const fn decides(&self) -> Option<Decided> {
        match self {
            Self::Placed(_) | Self::Accepted | Self::Evidence { .. } | Self::Disputed => None,
            Self::Started { .. } => Some(Decided::Start),
            Self::Beat { attempt } => Some(Decided::Heartbeats { until: *attempt }),
            Self::Finished { .. } | Self::Settled(_) | Self::Refunded { .. } => Some(Decided::All),
        }
    }
}

/// The jobs of an order that an event decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Those about its start.
    Start,
    /// Its heartbeats up to an attempt.
    Heartbeats {
        /// The attempt that counted.
        until: u8,
    },
    /// All of them.
    All,
}

impl Decided {
    /// Whether a job is among them.
    pub fn concerns(self, job: &JobId) -> bool {
        match self {
            Self::Start => job.phase.0 == vouch_protocol::Phase::Start,
            Self::Heartbeats { until } => {
                job.phase.0 == vouch_protocol::Phase::Heartbeat && job.attempt <= until
            }
            Self::All => true,
        }
    }
}

/// When and where an order entered a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The block.
    pub block: BlockRef,
    /// The transaction.
    pub tx: B256,
}

/// How an order started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When.
    pub at: At,
    /// Digest of the start verdict.
    pub verdict: B256,
    /// The session's X25519 key.
    pub session_key: B256,
    /// The devices that serve the order.
    pub devices: Vec<B256>,
}

/// An order, as its events tell it.
#[derive(Debug)]
pub struct Order {
    /// Its id.
    pub id: B256,
    /// Its terms.
    pub terms: Terms,
    /// When it was placed.
    pub placed: At,
    /// When the provider accepted it.
    pub accepted: Option<At>,
    /// How it started.
    pub started: Option<Started>,
    /// Its receipt.
    pub receipt: Option<Box<Receipt>>,
    /// Why it was refunded; zero where a deadline passed.
    pub refunded: Option<u16>,
}

impl Order {
    /// Tells an order from its events in the order of the chain; none without its `OrderPlaced`.
    pub fn from_facts(id: B256, facts: &[Fact]) -> Option<Self> {
        let mut order: Option<Self> = None;
        for fact in facts {
            let at = At {
                block: fact.block,
                tx: fact.tx,
            };
            let Ok(Some((_, event))) = read(&fact.topics, &fact.data) else {
                continue;
            };
            match (event, &mut order) {
                (Event::Placed(placed), order) => {
                    *order = Some(Self {
                        id,
                        terms: placed.terms,
                        placed: at,
                        accepted: None,
                        started: None,
                        receipt: None,
                        refunded: None,
                    });
                }
                (_, None)
                | (
                    Event::Evidence { .. }
                    | Event::Beat { .. }
                    | Event::Finished { .. }
                    | Event::Disputed,
                    _,
                ) => {}
                (Event::Accepted, Some(order)) => order.accepted = Some(at),
                (
                    Event::Started {
                        verdict,
                        session_key,
                        devices,
                    },
                    Some(order),
                ) => {
                    order.started = Some(Started {
                        at,
                        verdict,
                        session_key,
                        devices,
                    });
                }
                (Event::Settled(receipt), Some(order)) => order.receipt = Some(receipt),
                (Event::Refunded { reason }, Some(order)) => order.refunded = Some(reason),
            }
        }
        order
    }

    /// Whether money can no longer move: it was paid or given back, and nobody can dispute it.
    pub const fn is_over(&self) -> bool {
        self.receipt.is_some() || self.refunded.is_some()
    }

    /// The block whose hash the challenge of a phase is made of; of a heartbeat the first that it may be.
    pub fn challenge_block(&self, phase: vouch_protocol::Phase) -> Option<BlockRef> {
        match phase {
            vouch_protocol::Phase::Start => self.accepted.map(|at| at.block),
            vouch_protocol::Phase::Finish | vouch_protocol::Phase::Heartbeat => {
                self.started.as_ref().map(|started| started.at.block)
            }
        }
    }

    /// Until when the escrow takes a verdict of a phase, in Unix seconds.
    pub const fn deadline(&self, phase: vouch_protocol::Phase) -> u64 {
        match phase {
            vouch_protocol::Phase::Start => self.terms.deadlines.start,
            vouch_protocol::Phase::Finish | vouch_protocol::Phase::Heartbeat => {
                self.terms.deadlines.finish
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolEvent;

    use super::*;

    fn fact(event: &impl SolEvent) -> Fact {
        let log = event.encode_log_data();
        Fact {
            block: BlockRef {
                number: 1,
                hash: B256::ZERO,
                timestamp: 1,
            },
            index: 0,
            tx: B256::ZERO,
            topics: log.topics().to_vec(),
            data: log.data,
        }
    }

    /// What is over is forgotten: evidence must outlive a dispute about it.
    #[test]
    fn a_disputed_order_is_not_over_until_the_dispute_is() {
        let id = B256::repeat_byte(1);
        let mut facts = vec![
            fact(&IEscrow::OrderPlaced {
                order: id,
                ..Default::default()
            }),
            fact(&IEscrow::OrderFinished {
                order: id,
                ..Default::default()
            }),
            fact(&IEscrow::OrderDisputed {
                order: id,
                ..Default::default()
            }),
        ];
        let over = |facts: &[Fact]| Order::from_facts(id, facts).unwrap().is_over();
        assert!(!over(&facts));
        // Said by the transaction that also settles or refunds.
        facts.push(fact(&IEscrow::DisputeResolved {
            order: id,
            ..Default::default()
        }));
        assert!(!over(&facts));
        for end in [
            fact(&IEscrow::OrderSettled {
                order: id,
                ..Default::default()
            }),
            fact(&IEscrow::OrderRefunded {
                order: id,
                ..Default::default()
            }),
        ] {
            let ended = [&facts[..], &[end]].concat();
            assert!(over(&ended));
        }
    }

    #[test]
    fn an_event_decides_the_jobs_it_is_about() {
        use vouch_protocol::Phase::{Finish, Heartbeat, Start};
        let job = |phase, attempt| JobId {
            order: B256::ZERO,
            phase: Phase(phase),
            attempt,
            evidence: B256::ZERO,
            outputs: B256::ZERO,
        };
        let jobs = [
            job(Start, 0),
            job(Finish, 0),
            job(Heartbeat, 1),
            job(Heartbeat, 2),
        ];
        let beat = Decided::Heartbeats { until: 1 };
        for (decided, expected) in [
            (Decided::Start, [true, false, false, false]),
            (beat, [false, false, true, false]),
            (Decided::All, [true; 4]),
        ] {
            assert_eq!(jobs.each_ref().map(|job| decided.concerns(job)), expected);
        }
    }
}
