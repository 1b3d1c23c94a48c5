//! Orders: what a buyer asks for, what the chain keeps, and the challenge that binds a session.

use std::fmt;
use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{B256, Bytes, TxHash, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, Log, TransactionReceipt};
use alloy::sol_types::{SolCall, SolEvent};
use vouch_abi::id::policy_id;
use vouch_abi::terms::{checked_share, is_asset, uses_offer};
use vouch_abi::{
    Deadlines, Fee, IEscrow, IOffers, IUsage, LegRequest, Offer, OrderRequest, Policy,
    Requirements, Royalty, Terms, Verdict,
};
use vouch_protocol::{Clauses, Phase, challenge};

use crate::calls::{calls, packed};
use crate::{Error, Market, send};

/// Number of the compute kind: its price is per second.
pub const COMPUTE: u8 = 4;

/// Where an order stands. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// The escrow has never seen it.
    None = 0,
    /// Paid for, waiting for the provider.
    Placed = 1,
    /// Waiting for the start verdict.
    Accepted = 2,
    /// Waiting for the finish verdict.
    Running = 3,
    /// Waiting for the challenge window to close.
    Finished = 4,
    /// Paid. Terminal.
    Settled = 5,
    /// Refunded. Terminal.
    Refunded = 6,
    /// Finished, and disputed: waiting for the resolver.
    Disputed = 7,
}

impl State {
    const ALL: [Self; 8] = [
        Self::None,
        Self::Placed,
        Self::Accepted,
        Self::Running,
        Self::Finished,
        Self::Settled,
        Self::Refunded,
        Self::Disputed,
    ];

    /// The state with this number.
    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.get(usize::from(n)).copied()
    }

    /// The state's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Placed => "placed",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Settled => "settled",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
        }
    }

    /// Whether money can no longer move.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Settled | Self::Refunded)
    }

    /// The state an order must be in for the verdict of a phase.
    pub const fn before(phase: Phase) -> Self {
        match phase {
            Phase::Start => Self::Accepted,
            Phase::Finish | Phase::Heartbeat => Self::Running,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the escrow keeps of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub state: State,
    /// Block in which it entered the state; zero once settled.
    pub since_block: u64,
    /// When the start verdict was observed; zero before.
    pub started_at: u64,
    /// When the finish verdict arrived; zero before.
    pub finished_at: u64,
    /// Until when heartbeats attest the compute leg; zero without one.
    pub beat_at: u64,
    /// Seconds of compute that were paid for after the order was placed.
    pub topped_up: u32,
    /// Finished and disputed: the finish verdict's digest. Settled: the receipt's id.
    pub commitment: B256,
}

/// An order as it was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The order's id.
    pub order: B256,
    /// Its terms, which every later call brings.
    pub terms: Terms,
}

/// How long each step of an order may take, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From placing to the provider's acceptance.
    pub accept: Duration,
    /// From there to the start verdict.
    pub start: Duration,
    /// From there to the finish verdict.
    pub finish: Duration,
    /// From there, and after the challenge window, to settlement.
    pub settle: Duration,
}

impl Schedule {
    /// The deadlines of an order placed at `now`.
    pub const fn deadlines(&self, now: u64, challenge_window: u64) -> Deadlines {
        let accept = now.saturating_add(self.accept.as_secs());
        let start = accept.saturating_add(self.start.as_secs());
        let finish = start.saturating_add(self.finish.as_secs());
        let settle = finish
            .saturating_add(challenge_window)
            .saturating_add(self.settle.as_secs());
        Deadlines {
            accept,
            start,
            finish,
            settle,
        }
    }
}

/// What a buyer decides, apart from the offers.
#[derive(Clone, Debug)]
pub struct Wish {
    /// One bit of the purposes of a policy.
    pub purpose: u8,
    /// Longest attested time, in seconds: what the compute leg locks money for.
    pub max_duration: u32,
    /// X25519 key to which the result is sealed.
    pub result_key: B256,
    /// What the datasets must measure.
    pub requirements: Requirements,
    /// How long each step may take.
    pub schedule: Schedule,
    /// Seconds in which the finish verdict may be disputed.
    pub challenge_window: u64,
    /// Asked of the provider.
    pub bond: U256,
    /// Paid to the operators.
    pub oracle_fee: U256,
    /// Highest rate of the protocol's fee to accept, in millionths.
    pub max_protocol_fee: u32,
    /// Of the marketplace that brought the buyer; default for none.
    pub marketplace_fee: Fee,
    /// Distinguishes orders that are otherwise equal.
    pub salt: B256,
}

impl Wish {
    /// The request for an order over `legs`, placed at `now` (Unix seconds).
    pub fn request(self, legs: Vec<LegRequest>, now: u64) -> OrderRequest {
        OrderRequest {
            legs,
            requirements: self.requirements,
            resultKey: self.result_key,
            purpose: self.purpose,
            maxDuration: self.max_duration,
            deadlines: self.schedule.deadlines(now, self.challenge_window),
            challengeWindow: self.challenge_window,
            bond: self.bond,
            oracleFee: self.oracle_fee,
            maxProtocolFee: self.max_protocol_fee,
            marketplaceFee: self.marketplace_fee,
            salt: self.salt,
        }
    }
}

/// An offer with its policy, as an order names it. `workloadProof` stays empty: only a policy with
/// a workload root needs one. So do `royalties`: only an offer with a lineage has some.
pub fn leg(offer: Offer, policy: Policy) -> LegRequest {
    LegRequest {
        offer,
        policy,
        workloadProof: Vec::new(),
        signature: Bytes::new(),
        royalties: Vec::new(),
    }
}

/// The royalties that an offer of what an order has made owes; `policies` are those of the order's legs.
pub fn royalties(terms: &Terms, policies: &[Policy]) -> Vec<Royalty> {
    let legs = terms.legs.iter().zip(policies);
    legs.filter(|(leg, policy)| is_asset(leg) && policy.royalty != 0)
        .map(|(leg, policy)| Royalty {
            payee: leg.payee,
            digest: leg.digest,
            rate: policy.royalty,
        })
        .collect()
}

/// What a request locks at most: every price, the compute rate for the longest duration, the oracle
/// fee, the marketplace's, and the highest protocol's fee that it accepts.
pub fn price(request: &OrderRequest) -> U256 {
    let prices = request
        .legs
        .iter()
        .map(|leg| {
            leg.offer
                .price
                .saturating_mul(units(leg, request.maxDuration))
        })
        .fold(U256::ZERO, U256::saturating_add);
    [request.maxProtocolFee, request.marketplaceFee.rate]
        .into_iter()
        .map(|rate| checked_share(&prices, rate).unwrap_or(U256::MAX))
        .chain([request.oracleFee])
        .fold(prices, U256::saturating_add)
}

fn units(leg: &LegRequest, max_duration: u32) -> U256 {
    match leg.offer.kind {
        COMPUTE => U256::from(max_duration),
        _ => U256::from(1),
    }
}

impl Market {
    /// Places an order. The escrow must have been approved for [`price`].
    ///
    /// # Errors
    /// [`Error::Reverted`] with the contract's reason, [`Error::EventMissing`].
    pub async fn place(
        &self,
        request: OrderRequest,
    ) -> Result<(Placed, TransactionReceipt), Error> {
        let receipt = send(self.escrow().place(request)).await?;
        let event = self.find_event::<IEscrow::OrderPlaced>(&receipt)?;
        Ok((
            Placed {
                order: event.order,
                terms: event.terms,
            },
            receipt,
        ))
    }

    /// Places an order in one batch with a call before it that lets the escrow take its price: see
    /// [`authorize`](Self::authorize).
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub async fn place_authorized(
        &self,
        request: OrderRequest,
        authorization: Bytes,
    ) -> Result<(Placed, TransactionReceipt), Error> {
        let place = IEscrow::placeCall { request }.abi_encode().into();
        let escrow = self.escrow();
        let receipt = send(escrow.multicallPacked(packed(&[authorization, place]))).await?;
        let event = self.find_event::<IEscrow::OrderPlaced>(&receipt)?;
        let (order, terms) = (event.order, event.terms);
        Ok((Placed { order, terms }, receipt))
    }

    /// An event of the escrow in a receipt.
    ///
    /// # Errors
    /// [`Error::EventMissing`].
    pub fn find_event<E: SolEvent>(&self, receipt: &TransactionReceipt) -> Result<E, Error> {
        receipt
            .logs()
            .iter()
            .filter(|log| log.address() == self.addresses.escrow)
            .find_map(|log| E::decode_log(&log.inner).ok())
            .map(|log| log.data)
            .ok_or(Error::EventMissing {
                tx: receipt.transaction_hash,
                event: E::SIGNATURE,
            })
    }

    /// Finds an order's terms by its id.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`], [`Error::Rpc`].
    pub async fn terms(&self, order: B256) -> Result<Placed, Error> {
        let log = self.placed_log(order).await?;
        let event = decode::<IEscrow::OrderPlaced>(&log, "event OrderPlaced")?;
        Ok(Placed {
            order,
            terms: event.terms,
        })
    }

    /// Events of the escrow that concern one order, oldest first.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn history(&self, order: B256) -> Result<Vec<Log>, Error> {
        let filter = Filter::new()
            .address(self.addresses.escrow)
            .from_block(self.first_block)
            .topic1(order);
        Ok(self.provider.get_logs(&filter).await?)
    }

    /// The orders placed so far, oldest first.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn orders(&self) -> Result<Vec<Placed>, Error> {
        let filter = Filter::new()
            .address(self.addresses.escrow)
            .from_block(self.first_block)
            .event_signature(IEscrow::OrderPlaced::SIGNATURE_HASH);
        let logs = self.provider.get_logs(&filter).await?;
        let placed = |log: &Log| {
            decode::<IEscrow::OrderPlaced>(log, "event OrderPlaced").map(|event| Placed {
                order: event.order,
                terms: event.terms,
            })
        };
        logs.iter().map(placed).collect()
    }

    /// What the escrow keeps of an order.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Decode`] for a state this program does not know.
    pub async fn record(&self, order: B256) -> Result<Record, Error> {
        let record = self.escrow().orderOf(order).call().await?;
        let state = State::from_u8(record.state).ok_or_else(|| Error::Decode {
            what: "order state",
            detail: format!("expected 0 to 7, found {}", record.state),
        })?;
        Ok(Record {
            state,
            since_block: record.sinceBlock,
            started_at: record.startedAt,
            finished_at: record.finishedAt,
            beat_at: record.beatAt,
            topped_up: record.toppedUp,
            commitment: record.commitment,
        })
    }

    /// The challenge that a session must answer for the order's next phase. For a heartbeat this is the one of the
    /// start verdict's block, which proves least: [`heartbeat`](Self::heartbeat) takes a fresh one.
    ///
    /// # Errors
    /// [`Error::WrongState`] where the order does not wait for this phase, [`Error::BlockMissing`].
    pub async fn challenge(&self, order: B256, phase: Phase, attempt: u8) -> Result<B256, Error> {
        let record = self.record(order).await?;
        let expected = State::before(phase);
        if record.state != expected {
            return Err(Error::WrongState {
                order,
                expected,
                found: record.state,
            });
        }
        let block = self
            .provider
            .get_block_by_number(record.since_block.into())
            .await?;
        let hash = block
            .ok_or(Error::BlockMissing(record.since_block))?
            .header
            .hash;
        Ok(challenge(
            self.chain_id,
            self.addresses.escrow,
            order,
            phase,
            attempt,
            hash,
        ))
    }

    /// The challenge of the newest block for a heartbeat, and that block's number, which the announcement names in
    /// place of the outputs: the heartbeat counts until that block's time.
    ///
    /// # Errors
    /// [`Error::WrongState`] where the order does not run, [`Error::BlockMissing`].
    pub async fn heartbeat(&self, order: B256, attempt: u8) -> Result<(B256, B256), Error> {
        let found = self.record(order).await?.state;
        if found != State::Running {
            return Err(Error::WrongState {
                order,
                expected: State::Running,
                found,
            });
        }
        let newest = BlockNumberOrTag::Latest;
        let block = self.provider.get_block_by_number(newest).await?;
        let header = block.ok_or(Error::BlockMissing(0))?.header;
        let challenge = challenge(
            self.chain_id,
            self.addresses.escrow,
            order,
            Phase::Heartbeat,
            attempt,
            header.hash,
        );
        Ok((challenge, U256::from(header.number).into()))
    }

    /// The policies of an order's legs, in their order, and one that asks nothing for a share or royalty: from the calldata that placed it, else from
    /// the policies published at `usage`. Each hashes to its leg's policy id.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`], [`Error::Decode`] where a policy is nowhere to be found.
    pub async fn policies(&self, placed: &Placed) -> Result<Vec<Policy>, Error> {
        let log = self.placed_log(placed.order).await?;
        self.policies_of(log.transaction_hash, &placed.terms).await
    }

    /// As [`policies`](Self::policies), where the transaction that placed the order is known.
    ///
    /// # Errors
    /// [`Error::Decode`] where a policy is nowhere to be found.
    pub async fn policies_of(
        &self,
        tx: Option<TxHash>,
        terms: &Terms,
    ) -> Result<Vec<Policy>, Error> {
        let mut brought = Vec::new();
        if let Some(tx) = tx
            && let Some(tx) = self.provider.get_transaction_by_hash(tx).await?
        {
            let requests = requests_in(alloy::consensus::Transaction::input(&tx));
            let legs = requests.flat_map(|request| request.legs);
            brought = legs.map(|leg| leg.policy).collect();
        }
        let mut policies = Vec::with_capacity(terms.legs.len());
        for leg in &terms.legs {
            if !uses_offer(leg) {
                policies.push(Policy {
                    any: Clauses::POLICY.0,
                    ..Policy::default()
                });
                continue;
            }
            let policy = match brought
                .iter()
                .find(|policy| policy_id(policy) == leg.policy)
            {
                Some(policy) => policy.clone(),
                None => self.published_policy(leg.policy).await?,
            };
            policies.push(policy);
        }
        Ok(policies)
    }

    /// What an offer pays to those from whose assets its own was made, and the order that made it. None where it was
    /// not published as derived.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Decode`].
    pub async fn lineage(&self, offer: B256) -> Result<Option<(B256, Vec<Royalty>)>, Error> {
        let filter = Filter::new()
            .address(self.addresses.offers)
            .from_block(self.first_block)
            .event_signature(IOffers::OfferDerived::SIGNATURE_HASH)
            .topic1(offer);
        let logs = self.provider.get_logs(&filter).await?;
        let Some(log) = logs.first() else {
            return Ok(None);
        };
        let event = decode::<IOffers::OfferDerived>(log, "event OfferDerived")?;
        Ok(Some((event.order, event.royalties)))
    }

    /// The verdict about an order that a transaction brought to the escrow; none where it did so through another
    /// contract.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn verdict_in(&self, tx: TxHash, order: B256) -> Result<Option<Verdict>, Error> {
        let found = self.provider.get_transaction_by_hash(tx).await?;
        Ok(found.and_then(|tx| {
            let input = alloy::consensus::Transaction::input(&tx);
            let verdicts = calls(input).into_iter().filter_map(|call| {
                let call = IEscrow::submitVerdictCall::abi_decode(&call).ok()?;
                Some(call.verdict)
            });
            verdicts.into_iter().find(|verdict| verdict.order == order)
        }))
    }

    /// A policy that was published at `usage`.
    ///
    /// # Errors
    /// [`Error::Decode`] where it was not.
    pub async fn published_policy(&self, id: B256) -> Result<Policy, Error> {
        let filter = Filter::new()
            .address(self.addresses.usage)
            .from_block(self.first_block)
            .event_signature(IUsage::PolicyPublished::SIGNATURE_HASH)
            .topic1(id);
        let logs = self.provider.get_logs(&filter).await?;
        logs.iter()
            .filter_map(|log| decode::<IUsage::PolicyPublished>(log, "event PolicyPublished").ok())
            .map(|event| event.terms)
            .find(|policy| policy_id(policy) == id)
            .ok_or_else(|| Error::Decode {
                what: "policy",
                detail: format!("{id} is neither in the order's calldata nor published"),
            })
    }

    async fn placed_log(&self, order: B256) -> Result<Log, Error> {
        let filter = Filter::new()
            .address(self.addresses.escrow)
            .from_block(self.first_block)
            .event_signature(IEscrow::OrderPlaced::SIGNATURE_HASH)
            .topic1(order);
        let log = self.provider.get_logs(&filter).await?.into_iter().next();
        log.ok_or(Error::OrderNotFound {
            order,
            escrow: self.addresses.escrow,
            from_block: self.first_block,
        })
    }
}

/// The requests in the calldata that placed orders.
fn requests_in(calldata: &[u8]) -> impl Iterator<Item = OrderRequest> {
    calls(calldata).into_iter().filter_map(|call| {
        IEscrow::placeCall::abi_decode(&call)
            .map(|call| call.request)
            .or_else(|_| IEscrow::placeManyCall::abi_decode(&call).map(|call| call.request))
            .ok()
    })
}

/// Reads a log as the event `E`.
///
/// # Errors
/// [`Error::Decode`].
pub fn decode<E: SolEvent>(log: &Log, what: &'static str) -> Result<E, Error> {
    E::decode_log(&log.inner)
        .map(|log| log.data)
        .map_err(|e| Error::Decode {
            what,
            detail: e.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let [accept, start, finish, settle] = [10, 20, 30, 40].map(Duration::from_secs);
        Schedule {
            accept,
            start,
            finish,
            settle,
        }
    }

    #[test]
    fn deadlines_follow_one_another_and_never_wrap() {
        let deadlines = schedule().deadlines(100, 5);
        assert_eq!(
            deadlines,
            Deadlines {
                accept: 110,
                start: 130,
                finish: 160,
                settle: 205
            }
        );
        assert_eq!(schedule().deadlines(u64::MAX, 5).settle, u64::MAX);
    }

    #[test]
    fn the_price_counts_compute_by_the_second_and_every_fee() {
        let offer = |kind, price| Offer {
            kind,
            price: U256::from(price),
            ..Default::default()
        };
        let request = OrderRequest {
            legs: vec![
                leg(offer(1, 100), Policy::default()),
                leg(offer(COMPUTE, 2), Policy::default()),
            ],
            maxDuration: 60,
            oracleFee: U256::from(7),
            ..Default::default()
        };
        assert_eq!(price(&request), U256::from(100 + 120 + 7));
        let fees = OrderRequest {
            maxProtocolFee: 50_000,
            marketplaceFee: Fee {
                rate: 10_000,
                ..Default::default()
            },
            ..request
        };
        assert_eq!(
            price(&fees),
            U256::from(100 + 120 + 7 + 11 + 2),
            "each rounded down"
        );
    }

    #[test]
    fn states_have_the_numbers_of_the_contract() {
        for (n, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, n);
            assert_eq!(State::from_u8(n as u8), Some(state));
        }
        assert_eq!(State::from_u8(State::ALL.len() as u8), None);
        assert!(State::Settled.is_terminal() && !State::Finished.is_terminal());
    }
}
