//! What the chain says of an order: asked of every endpoint, believed where they agree and are not
//! behind.

use std::time::Duration;

use alloy::eips::BlockId;
use alloy::primitives::B256;
use alloy::providers::Provider;
use vouch_abi::{Policy, Terms, Verdict};
use vouch_client::{Market, Record};
use vouch_oracle::facts::{Event, Order};
use vouch_oracle::store::model::{BlockRef, Fact, JobId, Phase};

/// What all endpoints say of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// What the escrow keeps.
    pub record: Record,
    /// The order's events, oldest first.
    pub facts: Vec<Fact>,
    /// The order's terms.
    pub terms: Terms,
    /// The policies of its legs.
    pub policies: Vec<Policy>,
    /// The verdict that started it, where one did.
    pub verdict: Option<Verdict>,
    /// Digest of that verdict, as operators sign it.
    pub verdict_digest: Option<B256>,
    /// The latest start evidence that the provider announced (or, where the order runs, the evidence
    /// that started it), with the block of its announcement.
    pub announced: Option<(JobId, BlockRef)>,
    /// The challenge of that evidence.
    pub challenge: Option<B256>,
}

impl OrderView {
    /// The order, as its events tell it.
    pub fn order(&self, id: B256) -> Option<Order> {
        Order::from_facts(id, &self.facts)
    }
}

/// Why there is no view to decide on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// An endpoint did not answer.
    #[error("endpoint {endpoint}: {detail}")]
    Unreachable {
        /// Which.
        endpoint: String,
        /// Why.
        detail: String,
    },
    /// The newest block is too old, or from the future.
    #[error(
        "endpoint {endpoint}: expected a newest block of at most {limit} s, found one of {age} s"
    )]
    Stale {
        /// Which.
        endpoint: String,
        /// Allowed, in seconds.
        limit: u64,
        /// Its age in seconds; negative where it is from the future.
        age: i64,
    },
    /// Two endpoints say different things.
    #[error("endpoints {first} and {second}: expected one answer, found two for {what}")]
    Disagree {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What about.
        what: &'static str,
    },
    /// No such order.
    #[error("order {0}: not on this chain")]
    Unknown(B256),
}

/// One endpoint's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The endpoint.
    pub endpoint: String,
    /// Its newest block.
    pub head: BlockRef,
    /// What it says of the order.
    pub view: OrderView,
}

/// Which view of the chain is good enough.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// Seconds that the newest block may be old.
    pub max_age: u64,
    /// Blocks that endpoints may be apart.
    pub max_lag: u64,
    /// Development chains may run ahead of the clock.
    pub may_run_ahead: bool,
}

/// The view that all answers agree on at `now` (Unix seconds). `common` gives the hash that an endpoint
/// has for a block, so that two chains of equal length are told apart.
///
/// # Errors
/// [`ViewError::Stale`], [`ViewError::Disagree`].
pub fn agree(
    answers: Vec<Answer>,
    common: &[B256],
    now: u64,
    fresh: Freshness,
) -> Result<OrderView, ViewError> {
    for answer in &answers {
        let age = i64::try_from(now)
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(answer.head.timestamp);
        let ahead = age < 0 && age.unsigned_abs() > fresh.max_age && !fresh.may_run_ahead;
        if ahead || age > i64::try_from(fresh.max_age).unwrap_or(i64::MAX) {
            return Err(ViewError::Stale {
                endpoint: answer.endpoint.clone(),
                limit: fresh.max_age,
                age,
            });
        }
    }
    let mut answers = answers.into_iter();
    let Some(first) = answers.next() else {
        let detail = "no endpoints are configured".to_owned();
        return Err(ViewError::Unreachable {
            endpoint: "none".into(),
            detail,
        });
    };
    for (index, other) in answers.enumerate() {
        let disagree = |what| ViewError::Disagree {
            first: first.endpoint.clone(),
            second: other.endpoint.clone(),
            what,
        };
        if first.head.number.abs_diff(other.head.number) > fresh.max_lag {
            return Err(disagree("the newest block"));
        }
        if common.first() != common.get(index + 1) {
            return Err(disagree("the hash of a block"));
        }
        if first.view != other.view {
            return Err(disagree("the order"));
        }
    }
    Ok(first.view)
}

/// The endpoints of one market.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// By their addresses.
    pub markets: Vec<(String, Market)>,
    /// How long each may take.
    pub timeout: Duration,
    /// What is good enough.
    pub fresh: Freshness,
}

impl Endpoints {
    /// The view of an order that all endpoints agree on.
    ///
    /// # Errors
    /// [`ViewError`].
    pub async fn view(&self, order: B256, now: u64) -> Result<OrderView, ViewError> {
        let mut answers = Vec::new();
        for (endpoint, market) in &self.markets {
            let unreachable = |detail: String| ViewError::Unreachable {
                endpoint: endpoint.clone(),
                detail,
            };
            let asked = tokio::time::timeout(self.timeout, ask(market, order)).await;
            let answered =
                asked.map_err(|_| unreachable(format!("no answer within {:?}", self.timeout)))?;
            let (head, view) = match answered {
                Ok(answer) => answer,
                Err(vouch_client::Error::OrderNotFound { order, .. }) => {
                    return Err(ViewError::Unknown(order));
                }
                Err(error) => return Err(unreachable(error.to_string())),
            };
            answers.push(Answer {
                endpoint: endpoint.clone(),
                head,
                view,
            });
        }
        let number = answers
            .iter()
            .map(|answer| answer.head.number)
            .min()
            .unwrap_or_default();
        let mut common = Vec::new();
        for (endpoint, market) in &self.markets {
            let block = tokio::time::timeout(self.timeout, block(market, number)).await;
            let unreachable = |detail: String| ViewError::Unreachable {
                endpoint: endpoint.clone(),
                detail,
            };
            let block =
                block.map_err(|_| unreachable(format!("no answer within {:?}", self.timeout)))?;
            common.push(block.map_err(|error| unreachable(error.to_string()))?.hash);
        }
        agree(answers, &common, now, self.fresh)
    }
}

async fn block(market: &Market, number: u64) -> Result<BlockRef, vouch_client::Error> {
    let block = market.provider.get_block_by_number(number.into()).await?;
    let block = block.ok_or(vouch_client::Error::BlockMissing(number))?;
    Ok(BlockRef {
        number,
        hash: block.header.hash,
        timestamp: block.header.timestamp,
    })
}

async fn ask(market: &Market, order: B256) -> Result<(BlockRef, OrderView), vouch_client::Error> {
    let head = market.provider.get_block(BlockId::latest()).await?;
    let head = head
        .ok_or(vouch_client::Error::BlockMissing(u64::MAX))?
        .header;
    let head = BlockRef {
        number: head.number,
        hash: head.hash,
        timestamp: head.timestamp,
    };
    let placed = market.terms(order).await?;
    let policies = market.policies(&placed).await?;
    let mut facts = Vec::new();
    for log in market.history(order).await? {
        let missing = |what| vouch_client::Error::Decode {
            what: "log",
            detail: format!("without {what}"),
        };
        let number = log.block_number.ok_or_else(|| missing("its block"))?;
        facts.push(Fact {
            block: block(market, number).await?,
            index: log.log_index.ok_or_else(|| missing("its position"))?,
            tx: log
                .transaction_hash
                .ok_or_else(|| missing("its transaction"))?,
            topics: log.topics().to_vec(),
            data: log.data().data.clone(),
        });
    }
    // After the events: an order that ends in between is seen as ended.
    let record = market.record(order).await?;
    let told = Order::from_facts(order, &facts);
    let mut verdict = None;
    if let Some(started) = told.as_ref().and_then(|order| order.started.as_ref()) {
        verdict = market.verdict_in(started.at.tx, order).await?;
    }
    let announced = announced(&facts, verdict.as_ref());
    let challenge = match (&announced, told.as_ref().and_then(|order| order.accepted)) {
        (Some((job, _)), Some(accepted)) => Some(vouch_protocol::challenge(
            market.chain_id,
            market.addresses.escrow,
            order,
            vouch_protocol::Phase::Start,
            job.attempt,
            accepted.block.hash,
        )),
        _ => None,
    };
    let verdict_digest = verdict
        .as_ref()
        .map(|verdict| vouch_client::verdict::digest(verdict, &market.domain()));
    let view = OrderView {
        record,
        terms: placed.terms,
        policies,
        verdict,
        verdict_digest,
        announced,
        challenge,
        facts,
    };
    Ok((head, view))
}

/// The announcement that counts: the one the verdict names, else the latest.
fn announced(facts: &[Fact], verdict: Option<&Verdict>) -> Option<(JobId, BlockRef)> {
    let mut found = None;
    for fact in facts {
        let Ok(Some((_, Event::Evidence { job, .. }))) =
            vouch_oracle::facts::read(&fact.topics, &fact.data)
        else {
            continue;
        };
        let counts = job.phase == Phase(vouch_protocol::Phase::Start)
            && verdict.is_none_or(|verdict| {
                (verdict.evidence, verdict.attempt) == (job.evidence, job.attempt)
            });
        if counts {
            found = Some((job, fact.block));
        }
    }
    found
}
