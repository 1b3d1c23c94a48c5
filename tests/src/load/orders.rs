//! Orders that were never placed, with evidence that is as good as that of any: what the stubbed chain
//! shows, and what the verifier is given when it is measured alone.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolCall, SolEvent};
use vouch_abi::{Deadlines, Fee, IEscrow, Leg, Offer, OrderRequest, Policy, Terms, id};
use vouch_client::order::{COMPUTE, leg};
use vouch_evidence::bundle::Bundle;
use vouch_protocol::clause::{Clause, Clauses};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Phase, challenge};
use vouch_simulator::{Machine, Options, Session};
use vouch_verdict::{Announcement, Case};

/// The chain's id: a development chain's, since the roots are a simulator's.
pub const CHAIN_ID: u64 = 31337;
/// Orders that are accepted in one block.
pub const IN_A_BLOCK: usize = 50;
/// Machines that take turns: no two neighbours give evidence of the same devices.
const MACHINES: usize = 64;
/// Longest time of an order, in seconds.
const MAX_DURATION: u32 = 3600;
/// Prices, as good as any.
const PRICE: u64 = 3;

/// An event of the escrow.
#[derive(Clone, Debug)]
pub struct Event {
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
}

impl Event {
    pub(super) fn of(event: &impl SolEvent) -> Self {
        let data = event.encode_log_data();
        Self {
            topics: data.topics().to_vec(),
            data: data.data,
        }
    }
}

/// An order whose provider has evidence to announce.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id; the transaction that placed it goes by the same name.
    pub id: B256,
    /// SHA-256 of the bundle.
    pub evidence: B256,
    /// The announcement.
    pub announced: Event,
}

/// Orders that are accepted in the same block.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Hash of that block.
    pub block: B256,
    /// Placing and accepting, by the order.
    pub before: Vec<(B256, Event)>,
    /// The orders.
    pub orders: Vec<Order>,
}

/// Makes orders.
#[derive(Debug)]
pub struct Maker {
    escrow: Address,
    policy: Policy,
    compute: Offer,
    dataset: Offer,
    machines: Vec<Machine>,
    now: u64,
    made: u64,
}

impl Maker {
    /// A maker of orders in an escrow, placed at `now` (Unix seconds).
    pub fn new(escrow: Address, now: u64) -> Self {
        let required = Clauses::NONE.with(Clause::DebugOff);
        let policy = Policy {
            any: Clauses::POLICY.without(required).0,
            ..Default::default()
        };
        let offer = |kind, digest| Offer {
            owner: Address::repeat_byte(kind),
            kind,
            digest,
            token: Address::repeat_byte(9),
            price: U256::from(PRICE),
            policy: id::policy_id(&policy),
            volume: u64::MAX,
            openUntil: u64::MAX,
            ..Default::default()
        };
        let machine = |index: usize| Machine::new(format!("load {index}").as_bytes());
        Self {
            escrow,
            dataset: offer(1, B256::repeat_byte(1)),
            compute: offer(COMPUTE, B256::ZERO),
            policy,
            machines: (0..MACHINES).map(machine).collect(),
            now,
            made: 0,
        }
    }

    /// Calldata that places such an order, with the policies of its legs.
    pub fn place(&self) -> Bytes {
        let terms = self.terms(0);
        let legs = [&self.dataset, &self.compute];
        let request = OrderRequest {
            legs: legs
                .map(|offer| leg(offer.clone(), self.policy.clone()))
                .into(),
            requirements: terms.requirements,
            resultKey: terms.resultKey,
            purpose: terms.purpose,
            maxDuration: terms.maxDuration,
            deadlines: terms.deadlines,
            challengeWindow: terms.challengeWindow,
            bond: terms.bond,
            oracleFee: terms.oracleFee,
            maxProtocolFee: 0,
            marketplaceFee: Fee::default(),
            salt: terms.salt,
        };
        IEscrow::placeCall { request }.abi_encode().into()
    }

    /// The next orders, and what the verifier is given about each.
    pub fn batch(&mut self) -> (Batch, Vec<Case>) {
        let block =
            keccak256([b"vouch/load/accepted".as_slice(), &self.made.to_be_bytes()].concat());
        let mut batch = Batch {
            block,
            before: Vec::new(),
            orders: Vec::new(),
        };
        let mut cases = Vec::with_capacity(IN_A_BLOCK);
        for _ in 0..IN_A_BLOCK {
            let (case, placed) = self.case(block);
            let order = case.announced.order;
            let accepted = IEscrow::OrderAccepted {
                order,
                provider: case.terms.provider,
            };
            let announced = IEscrow::EvidenceSubmitted {
                order,
                phase: Phase::Start as u8,
                attempt: 0,
                evidence: case.announced.evidence,
                outputs: B256::ZERO,
                uri: String::new(),
            };
            batch.before.push((order, placed));
            batch.before.push((order, Event::of(&accepted)));
            batch.orders.push(Order {
                id: order,
                evidence: case.announced.evidence,
                announced: Event::of(&announced),
            });
            cases.push(case);
        }
        (batch, cases)
    }

    /// What the verifier is given about the next order, and its first event.
    fn case(&mut self, accepted_in: B256) -> (Case, Event) {
        self.made += 1;
        let terms = self.terms(self.made);
        let order = id::order_id(CHAIN_ID, self.escrow, &terms);
        let inputs = inputs_digest([&self.dataset.digest]);
        let challenge = challenge(CHAIN_ID, self.escrow, order, Phase::Start, 0, accepted_in);
        let statement = Session::generate().start(challenge, inputs);
        let machine = &self.machines[(self.made % MACHINES as u64) as usize];
        let bundle = machine.bundle(&statement, &Options::default()).to_json();
        let placed = Event::of(&IEscrow::OrderPlaced {
            order,
            buyer: terms.buyer,
            provider: terms.provider,
            terms: terms.clone(),
        });
        let case = Case {
            announced: Announcement {
                order,
                phase: Phase::Start,
                attempt: 0,
                evidence: Bundle::digest(&bundle),
                outputs: B256::ZERO,
            },
            bundle,
            policies: vec![self.policy.clone(); terms.legs.len()],
            terms,
            challenge,
            challenged_at: self.now,
            observed_at: self.now + 1,
            started: None,
            supplement: None,
        };
        (case, placed)
    }

    fn terms(&self, salt: u64) -> Terms {
        let clauses = Clauses::POLICY.without(Clauses(self.policy.any)).0;
        let leg = |offer: &Offer| Leg {
            offer: id::offer_id(offer),
            policy: offer.policy,
            kind: offer.kind,
            digest: offer.digest,
            payee: offer.owner,
            amount: match offer.kind {
                COMPUTE => offer.price * U256::from(MAX_DURATION),
                _ => offer.price,
            },
            rate: match offer.kind {
                COMPUTE => offer.price,
                _ => U256::ZERO,
            },
            clauses,
        };
        Terms {
            buyer: Address::repeat_byte(7),
            provider: self.compute.owner,
            token: self.compute.token,
            legs: vec![leg(&self.dataset), leg(&self.compute)],
            resultKey: B256::repeat_byte(7),
            purpose: 1 << 2,
            maxDuration: MAX_DURATION,
            deadlines: Deadlines {
                accept: self.now + 100_000,
                start: self.now + 200_000,
                finish: self.now + 300_000,
                settle: self.now + 400_000,
            },
            bond: U256::from(500),
            oracleFee: U256::from(51),
            salt: U256::from(salt).into(),
            ..Default::default()
        }
    }
}
