//! Disputes in the model, in the rules alone, and as steps.

use alloy::primitives::{Address, B256};
use anyhow::Result;
use escrow::dispute;
use escrow::flows::Flows;
use escrow::money::Split;
use proptest::prelude::*;
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_abi::call::Revert;
use vouch_abi::{Dispute, Terms, Verdict, id};
use vouch_protocol::Reason;

use crate::market::{BOND, BUYERS, DATASET_OWNER, GOVERNOR, MODEL_OWNER, PROVIDER, STRANGER};
use crate::model::{Model, State};
use crate::play::Play;
use crate::rules::{ATTESTATION, CHAIN_ID, Rules, refusal};
use crate::shares::{MARKETPLACE, TREASURY};
use crate::world::World;

/// Those who can pay for a dispute.
const CHALLENGERS: [Address; 3] = [BUYERS[0], BUYERS[1], PROVIDER];
/// Who may decide: at first the second.
pub(crate) const RESOLVERS: [Address; 3] = [
    Address::ZERO,
    Address::repeat_byte(0xd1),
    Address::repeat_byte(0xd2),
];
/// Seconds for a decision.
const WEEK: u64 = 604_800;

/// What is said of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Opinion {
    Right,
    Policy,
    Forged,
    Undecided,
}

impl Opinion {
    fn reason(self) -> u16 {
        match self {
            Self::Right => Reason::Accepted,
            Self::Policy => Reason::DebugEnabled,
            Self::Forged => Reason::GpuSignatureInvalid,
            Self::Undecided => Reason::ManifestMissing,
        }
        .code()
    }
}

/// Steps about disputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DisputeStep {
    Open {
        order: usize,
        by: usize,
        opinion: Opinion,
    },
    Resolve {
        order: usize,
        opinion: Opinion,
        /// The one who decides, or another.
        by_other: bool,
        /// Another verdict than the one that finished the order.
        other_verdict: bool,
    },
    Appoint {
        resolver: usize,
    },
}

/// Any of them.
pub fn any() -> impl Strategy<Value = DisputeStep> {
    use Opinion::*;
    let order = 0..8_usize;
    let claim = prop_oneof![
        6 => prop::sample::select(vec![Policy, Forged]),
        1 => prop::sample::select(vec![Right, Undecided]),
    ];
    let ruling = prop::sample::select(vec![Right, Right, Policy, Forged, Undecided]);
    let (other, mistaken) = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    prop_oneof![
        6 => (order.clone(), 0..3_usize, claim)
            .prop_map(|(order, by, opinion)| DisputeStep::Open { order, by, opinion }),
        6 => (order, ruling, other, mistaken).prop_map(
            |(order, opinion, by_other, other_verdict)| DisputeStep::Resolve {
                order,
                opinion,
                by_other,
                other_verdict,
            },
        ),
        2 => prop::sample::select(vec![0_usize, 1, 1, 2, 2])
            .prop_map(|resolver| DisputeStep::Appoint { resolver }),
    ]
}

/// A dispute as the model knows it.
#[derive(Clone, Copy, Debug)]
pub struct Disputed {
    challenger: Address,
    resolver: Address,
    /// Last second of the resolver.
    pub until: u64,
}

impl Model {
    fn may_dispute(&self, place: usize, by: Address, opinion: Opinion) -> bool {
        let order = &self.orders[place];
        order.state == State::Finished
            && self.now < order.boundary()
            && matches!(opinion, Opinion::Policy | Opinion::Forged)
            && self.resolver != Address::ZERO
            && self.can_give(order.token, by, order.stake())
    }

    fn dispute(&mut self, place: usize, challenger: Address) {
        let stake = self.orders[place].stake();
        self.pull(self.orders[place].token, challenger, stake);
        let order = &mut self.orders[place];
        order.state = State::Disputed;
        order.dispute = Some(Disputed {
            challenger,
            resolver: self.resolver,
            until: self.now + WEEK,
        });
    }

    fn may_resolve(&self, place: usize, by: Address, opinion: Opinion) -> bool {
        let order = &self.orders[place];
        order.state == State::Disputed
            && order
                .dispute
                .is_some_and(|dispute| dispute.resolver == by && self.now <= dispute.until)
            && opinion != Opinion::Undecided
    }

    fn resolve(&mut self, place: usize, opinion: Opinion) {
        let (stake, price) = (self.orders[place].stake(), self.orders[place].price());
        let marketplace = (self.orders[place].marketplace > 0).then_some(MARKETPLACE);
        let (token, challenger) = self.end_dispute(place);
        match opinion {
            Opinion::Right => {
                let sellers = [DATASET_OWNER, MODEL_OWNER, PROVIDER, TREASURY];
                let waited: Vec<Address> = sellers.into_iter().chain(marketplace).collect();
                let count = waited.len() as u128;
                self.pay(token, waited[0], stake % count);
                for who in waited {
                    self.pay(token, who, stake / count);
                }
                self.settle(place);
            }
            _ => {
                self.pay(token, challenger, stake);
                let buyer = BUYERS[self.orders[place].buyer];
                self.pay(token, buyer, price);
                if opinion == Opinion::Forged {
                    self.pay(token, challenger, BOND / 2);
                    self.pay(token, buyer, BOND - BOND / 2);
                } else {
                    self.pay(token, PROVIDER, BOND);
                }
            }
        }
    }

    /// Nobody decided: everybody gets back what is theirs.
    pub(crate) fn give_up(&mut self, place: usize) {
        // The annex pays by itself.
        self.end_transaction();
        let (stake, price) = (self.orders[place].stake(), self.orders[place].price());
        let (token, challenger) = self.end_dispute(place);
        self.pay(token, challenger, stake);
        self.pay(token, PROVIDER, BOND);
        let buyer = BUYERS[self.orders[place].buyer];
        self.pay(token, buyer, price);
        self.end_transaction();
    }

    fn end_dispute(&mut self, place: usize) -> (usize, Address) {
        let order = &mut self.orders[place];
        order.state = State::Refunded;
        let challenger = order.dispute.map(|dispute| dispute.challenger);
        (order.token, challenger.unwrap_or_default())
    }
}

impl<W: World> Play<W> {
    /// An order in a state, where there is one: disputes are rare otherwise. Else any.
    fn order_that_is(&self, state: State, number: usize) -> Option<usize> {
        let orders = self.model.orders.iter().enumerate();
        let found: Vec<usize> = orders
            .filter(|(_, order)| order.state == state)
            .map(|(place, _)| place)
            .collect();
        let place = number.checked_rem(found.len());
        place.map_or_else(|| self.order(number), |place| Some(found[place]))
    }

    pub(crate) fn disputes(&mut self, step: DisputeStep) -> Result<()> {
        match step {
            DisputeStep::Open { order, by, opinion } => {
                let Some(order) = self.order_that_is(State::Finished, order) else {
                    return Ok(());
                };
                let by = CHALLENGERS[by];
                let call = IEscrow::disputeCall {
                    terms: self.terms[order].clone(),
                    evidence: B256::ZERO,
                    reason: opinion.reason(),
                };
                let expected = self.model.may_dispute(order, by, opinion);
                let found = self.world.tell(by, IEscrowCalls::dispute(call));
                if self.agree(expected, &found)? {
                    self.model.dispute(order, by);
                    self.tally.disputed += 1;
                }
            }
            DisputeStep::Resolve {
                order,
                opinion,
                by_other,
                other_verdict,
            } => {
                let Some(order) = self.order_that_is(State::Disputed, order) else {
                    return Ok(());
                };
                let resolver = self.model.orders[order].dispute.map(|found| found.resolver);
                let by = resolver.filter(|_| !by_other).unwrap_or(STRANGER);
                let mut verdict = self.finished[order].clone().unwrap_or_default();
                verdict.attempt += u8::from(other_verdict);
                let call = IEscrow::resolveCall {
                    terms: self.terms[order].clone(),
                    verdict,
                    reason: opinion.reason(),
                };
                let expected = !other_verdict && self.model.may_resolve(order, by, opinion);
                let found = self.world.tell(by, IEscrowCalls::resolve(call));
                if self.agree(expected, &found)? {
                    self.model.resolve(order, opinion);
                }
            }
            DisputeStep::Appoint { resolver } => {
                let resolver = RESOLVERS[resolver];
                let call = IEscrow::setResolverCall { resolver };
                let found = self.world.tell(GOVERNOR, IEscrowCalls::setResolver(call));
                self.agree(true, &found)?;
                self.model.resolver = resolver;
            }
        }
        Ok(())
    }
}

impl Rules {
    pub(crate) fn open_dispute(
        &mut self,
        from: Address,
        call: &IEscrow::disputeCall,
        flows: &mut Flows,
    ) -> Result<(), Revert> {
        let (order, terms, record) = self.ordered(call.terms.clone());
        let disputed = record.dispute(&order, &terms, call.reason, self.now, self.block)?;
        if self.resolver.is_zero() {
            return Err(refusal("nobody decides"));
        }
        self.keep(order, &disputed);
        let opened = Dispute {
            challenger: from,
            deadline: dispute::deadline(self.now),
            resolver: self.resolver,
        };
        self.disputes.insert(order, opened);
        flows.take(terms.token, dispute::bond(&terms));
        Ok(())
    }

    pub(crate) fn resolve_dispute(
        &mut self,
        from: Address,
        call: &IEscrow::resolveCall,
        flows: &mut Flows,
    ) -> Result<(), Revert> {
        let (order, terms, record) = self.ordered(call.terms.clone());
        let terms = &terms;
        let found = self.disputes.get(&order).cloned().unwrap_or_default();
        let ruling = record.resolve(&order, &found, call.reason, self.now)?;
        if from != found.resolver {
            return Err(refusal("somebody else decides"));
        }
        let digest = self.finished_by(order, &call.verdict)?;
        match ruling {
            dispute::Ruling::Stands => {
                dispute::compensate(terms, flows);
                self.settle(order, terms, &call.verdict, digest, flows);
            }
            dispute::Ruling::Falls { forged } => {
                let (split, reward) = dispute::overturn(terms, forged);
                self.keep(order, &record.refunded(self.block));
                flows.give(terms.token, found.challenger, dispute::bond(terms) + reward);
                split.pay(terms, flows);
            }
        }
        Ok(())
    }

    pub(crate) fn give_up_dispute(
        &mut self,
        order: B256,
        terms: &Terms,
        flows: &mut Flows,
    ) -> Result<(), Revert> {
        let found = self.disputes.get(&order).cloned().unwrap_or_default();
        let record = self.record(order);
        record.give_up(&order, &found, self.now)?;
        self.keep(order, &record.refunded(self.block));
        flows.give(terms.token, found.challenger, dispute::bond(terms));
        Split::rejected(terms, false).pay(terms, flows);
        Ok(())
    }

    /// The digest of the verdict that finished an order, if it is this one.
    pub(crate) fn finished_by(&self, order: B256, verdict: &Verdict) -> Result<B256, Revert> {
        let digest = id::verdict_digest(CHAIN_ID, ATTESTATION, verdict);
        if self.disputable.get(&order) != Some(&digest) {
            return Err(refusal("another verdict"));
        }
        Ok(digest)
    }
}
