//! Budgets of what may leave all sessions: overdrawn, given back twice, or on false papers.

use alloy::primitives::B256;
use vouch_abi::id::policy_id;
use vouch_abi::{
    Counters, IEscrow, IOffers, IUsage, LegRequest, Offer, OrderRequest, Policy, Receipt, Terms,
    Verdict,
};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{BUYERS, Market, PACE, PROVIDER, STRANGER};
use vouch_protocol::{Clause, Clauses, Phase};

use super::{balanced, refused, submit, tell};

/// Ten bytes may leave a session, twenty-five all of them.
struct Vault {
    market: Market,
    request: OrderRequest,
    policy: Policy,
}

impl Vault {
    fn new() -> Self {
        let mut market = Market::new();
        let mut request = market.request(0, 0, 1);
        let limits = Clauses::NONE
            .with(Clause::OutputBytes)
            .with(Clause::TotalOutputBytes);
        let policy = Policy {
            any: Clauses::POLICY.without(limits).0,
            outputBytes: 10,
            total: Counters {
                outputBytes: 25,
                outputRows: 0,
            },
            ..Policy::default()
        };
        let offer = Offer {
            policy: policy_id(&policy),
            ..request.legs[0].offer.clone()
        };
        let publish = IOffers::publishCall {
            offer: offer.clone(),
            uri: String::new(),
        };
        let (owner, offers) = (offer.owner, market.offers);
        market.must(owner, offers, &publish).expect("published");
        request.legs[0] = LegRequest {
            offer,
            policy: policy.clone(),
            ..request.legs[0].clone()
        };
        Self {
            market,
            request,
            policy,
        }
    }

    fn place(&mut self) -> Result<(B256, Terms), Reverted> {
        self.request.salt.0[0] += 1;
        self.market.place(BUYERS[0], self.request.clone())
    }

    fn reserved(&mut self) -> u64 {
        let policy = policy_id(&self.policy);
        let (usage, call) = (self.market.usage, IUsage::outputOfCall { policy });
        let found = self.market.lab.ask(usage, &call).expect("an answer");
        found.outputBytes
    }

    /// An order that let so many bytes leave, with its papers.
    fn paid(&mut self, bytes: u64) -> (Terms, Receipt, Verdict) {
        let (order, terms) = self.place().expect("an order");
        let accept = IEscrow::acceptCall {
            terms: terms.clone(),
        };
        tell(&mut self.market, PROVIDER, &accept).expect("accepted");
        let start = self.market.verdict(order, &terms, Phase::Start, 1);
        submit(&mut self.market, &terms, &start).expect("started");
        let finish = Verdict {
            counters: Counters {
                outputBytes: bytes,
                outputRows: 0,
            },
            ..self.market.verdict(order, &terms, Phase::Finish, 1)
        };
        let done = submit(&mut self.market, &terms, &finish).expect("paid");
        let settled = done.event::<IEscrow::OrderSettled>().expect("a receipt");
        (terms, settled.receipt, finish)
    }

    fn release(
        &mut self,
        (terms, receipt, verdict): &(Terms, Receipt, Verdict),
        policies: Vec<Policy>,
    ) -> Result<Done, Reverted> {
        let call = IEscrow::releaseOutputCall {
            terms: terms.clone(),
            policies,
            receipt: receipt.clone(),
            verdict: verdict.clone(),
        };
        tell(&mut self.market, STRANGER, &call)
    }
}

#[test]
fn what_sessions_let_leave_stays_spent_and_the_rest_comes_back_once() {
    let mut vault = Vault::new();
    let papers = vault.paid(4);
    vault.place().expect("a second order");
    assert_eq!(vault.reserved(), 20);
    refused::<IUsage::OutputExhausted>(vault.place(), "a third");
    let policies = vec![vault.policy.clone()];
    vault.release(&papers, policies.clone()).expect("released");
    assert_eq!(vault.reserved(), 14);
    let again = vault.release(&papers, policies);
    refused::<IEscrow::AlreadyReleased>(again, "twice");
    vault.place().expect("a third order");
    assert_eq!(vault.reserved(), 24);
    refused::<IUsage::OutputExhausted>(vault.place(), "a fourth");
    balanced(&mut vault.market);
}

#[test]
fn a_session_that_let_more_leave_than_it_may_gets_nothing_back() {
    let mut vault = Vault::new();
    let papers = vault.paid(u64::MAX);
    let policies = vec![vault.policy.clone()];
    vault.release(&papers, policies).expect("released");
    assert_eq!(vault.reserved(), 10);
}

#[test]
fn nothing_comes_back_on_false_papers() {
    let mut vault = Vault::new();
    let (terms, receipt, verdict) = vault.paid(9);
    let policies = vec![vault.policy.clone()];
    let mut less = verdict.clone();
    less.counters.outputBytes = 0;
    let found = vault.release(
        &(terms.clone(), receipt.clone(), less.clone()),
        policies.clone(),
    );
    refused::<IEscrow::VerdictMismatch>(found, "another verdict");
    let digest = vouch_client::verdict::digest(
        &less,
        &vouch_client::verdict::domain(vault.market.lab.chain_id(), vault.market.attestation),
    );
    let forged = Receipt {
        verdict: digest,
        ..receipt.clone()
    };
    let found = vault.release(&(terms.clone(), forged, less), policies.clone());
    refused::<IEscrow::ReceiptMismatch>(found, "another receipt");
    let papers = (terms, receipt, verdict);
    let generous = Policy {
        outputBytes: 25,
        ..vault.policy.clone()
    };
    let found = vault.release(&papers, vec![generous]);
    refused::<IUsage::PolicyMismatch>(found, "another policy");
    for (what, policies) in [
        ("no policy", vec![]),
        ("too many", vec![vault.policy.clone(); 2]),
    ] {
        refused::<IEscrow::InvalidOrder>(vault.release(&papers, policies), what);
    }
    vault.release(&papers, policies).expect("the right ones");
    assert_eq!(vault.reserved(), 9);
}

#[test]
fn an_order_that_runs_keeps_what_it_reserved_and_a_refunded_one_gives_all_back() {
    let mut vault = Vault::new();
    let (_, terms) = vault.place().expect("an order");
    let policies = vec![vault.policy.clone()];
    let papers = (terms.clone(), Receipt::default(), Verdict::default());
    let found = vault.release(&papers, policies.clone());
    refused::<IEscrow::WrongState>(found, "not over");
    vault.market.lab.pass(3 * PACE);
    tell(&mut vault.market, STRANGER, &IEscrow::refundCall { terms }).expect("refunded");
    vault.release(&papers, policies.clone()).expect("released");
    assert_eq!(vault.reserved(), 0);
    let again = vault.release(&papers, policies);
    refused::<IEscrow::AlreadyReleased>(again, "twice");
}
