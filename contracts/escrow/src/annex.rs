//! What is seldom done with an order. The program `annex` is made of it; the escrow runs that on its own
//! storage. What is about no order, the annex passes on to the desk.

use alloc::{string::String, vec, vec::Vec};

use alloy_primitives::B256;
use stylus_sdk::prelude::*;
use vouch_abi::{
    Counters, IAttestation, IContract, IEscrow, IOffers, IUsage, Policy, Receipt, Terms, Verdict,
    call::{self, Answer, CONSTRUCTOR, Revert, SolCall},
    codec::{Codec, Reader},
    id,
    terms::{checked_total, extend, invalid, uses_offer},
};
use vouch_protocol::clause::{Clause, Clauses};

use crate::{
    Escrow, dispute,
    flows::Flows,
    money,
    rules::{Record, State},
};

/// The address of a bundle is announced, not the bundle.
const MAX_URI: usize = 2048;

/// The evidence that a provider announces: the arguments of `submitEvidence` after the terms.
struct Announced {
    phase: u8,
    attempt: u8,
    evidence: B256,
    outputs: B256,
    uri: String,
}

impl Announced {
    fn read(from: &mut Reader<'_>) -> Self {
        Self {
            phase: u8::read(from),
            attempt: u8::read(from),
            evidence: B256::read(from),
            outputs: B256::read(from),
            uri: String::read(from),
        }
    }
}

impl Escrow {
    /// Answers one call of the escrow that the escrow's own program does not answer, or has the desk answer it.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer_annex(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        let (selector, arguments) = call::split(calldata);
        match selector {
            // Deployers construct everything; here there is nothing to construct.
            CONSTRUCTOR => Ok(vec![]),
            IEscrow::submitEvidenceCall::SELECTOR
            | IEscrow::topUpCall::SELECTOR
            | IEscrow::settleCall::SELECTOR
            | IEscrow::releaseOutputCall::SELECTOR
            | IEscrow::disputeCall::SELECTOR
            | IEscrow::resolveCall::SELECTOR
            | IEscrow::refundCall::SELECTOR
            | IEscrow::disputeBondOfCall::SELECTOR
            | IEscrow::restoreCall::SELECTOR
            | IEscrow::idOfCall::SELECTOR => {
                let mut flows = Flows::default();
                let answer = self.annex_of_order(selector, arguments, &mut flows)?;
                self.execute(flows)?;
                Ok(answer)
            }
            _ => self.ask_desk(calldata),
        }
    }

    /// Answers the calls that begin with an order's terms.
    fn annex_of_order(&mut self, selector: [u8; 4], arguments: &[u8], flows: &mut Flows) -> Answer {
        let malformed = || call::malformed(selector);
        let order = self.named(arguments).ok_or_else(malformed)?;
        let mut rest = Reader::new(arguments);
        let (terms, record) = self.ordered(order, &mut rest);
        match selector {
            IEscrow::submitEvidenceCall::SELECTOR => {
                let announced = Announced::read(&mut rest);
                let announced = rest.value(announced).ok_or_else(malformed)?;
                self.submit_evidence(order, &terms, announced)
            }
            IEscrow::topUpCall::SELECTOR => {
                let duration = u32::read(&mut rest);
                let duration = rest.value(duration).ok_or_else(malformed)?;
                self.top_up(order, terms, &record, duration, flows)
            }
            IEscrow::releaseOutputCall::SELECTOR => {
                let policies = Vec::read(&mut rest);
                let said = (Receipt::read(&mut rest), Verdict::read(&mut rest));
                let (receipt, verdict) = rest.value(said).ok_or_else(malformed)?;
                self.release_output(order, &terms, &record, &policies, &receipt, verdict)
            }
            IEscrow::settleCall::SELECTOR => {
                let verdict = Verdict::read(&mut rest);
                let verdict = rest.value(verdict).ok_or_else(malformed)?;
                self.settle(order, &terms, verdict, flows)
            }
            IEscrow::disputeCall::SELECTOR => {
                let said = (B256::read(&mut rest), u16::read(&mut rest));
                let said = rest.value(said).ok_or_else(malformed)?;
                self.dispute(order, &terms, said, flows)
            }
            IEscrow::resolveCall::SELECTOR => {
                let said = (Verdict::read(&mut rest), u16::read(&mut rest));
                let (verdict, reason) = rest.value(said).ok_or_else(malformed)?;
                self.resolve(order, &terms, verdict, reason, flows)
            }
            _ => {
                rest.value(()).ok_or_else(malformed)?;
                match selector {
                    IEscrow::restoreCall::SELECTOR => self.restore(order, &terms),
                    // The escrow answers this itself but for disputed orders.
                    IEscrow::refundCall::SELECTOR => self.give_up(order, &terms, flows),
                    IEscrow::disputeBondOfCall::SELECTOR => {
                        call::returns::<IEscrow::disputeBondOfCall>(dispute::bond(&terms))
                    }
                    _ => call::returns::<IEscrow::idOfCall>(order),
                }
            }
        }
    }

    fn submit_evidence(&mut self, order: B256, terms: &Terms, announced: Announced) -> Answer {
        self.enter()?;
        let Announced {
            phase,
            attempt,
            evidence,
            outputs,
            uri,
        } = announced;
        let (caller, now) = (self.vm().msg_sender(), self.vm().block_timestamp());
        self.record(order)
            .announce(&order, terms, phase, &caller, now)?;
        if uri.len() > MAX_URI {
            return Err(invalid("uri"));
        }
        self.log(&IEscrow::EvidenceSubmitted {
            order,
            phase,
            attempt,
            evidence,
            outputs,
            uri,
        });
        Ok(vec![])
    }

    fn top_up(
        &mut self,
        order: B256,
        mut terms: Terms,
        record: &Record,
        duration: u32,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let now = self.vm().block_timestamp();
        let longer = record.top_up(&order, &terms, duration, now)?;
        let before = money::locked(&terms);
        extend(&mut terms, longer.topped_up)
            .and_then(|()| checked_total(&terms))
            .ok_or_else(|| invalid("total"))?;
        let amount = money::locked(&terms).saturating_sub(before);
        self.keep(order, &longer);
        self.owe(terms.token, &amount)?;
        self.log(&IEscrow::OrderToppedUp {
            order,
            payer: self.vm().msg_sender(),
            duration,
            amount,
        });
        flows.take(terms.token, amount);
        Ok(vec![])
    }

    fn settle(
        &mut self,
        order: B256,
        terms: &Terms,
        verdict: Verdict,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let record = self.record(order);
        record.settle(&order, terms, self.vm().block_timestamp())?;
        let (verdict, digest) = self.finished_by(order, verdict)?;
        self.settle_now(order, terms, &record, verdict, digest, flows);
        Ok(vec![])
    }

    /// The verdict, and its digest, if it is the one that finished the order.
    pub(crate) fn finished_by(
        &self,
        order: B256,
        verdict: Verdict,
    ) -> Result<(Verdict, B256), Revert> {
        let expected = self.disputable.get(order);
        let question = IAttestation::digestOfCall { verdict };
        self.is_digest(&question, expected)?;
        Ok((question.verdict, expected))
    }

    fn is_digest(&self, of: &IAttestation::digestOfCall, expected: B256) -> Result<(), Revert> {
        let found = self.ask(self.attestation.get(), &call::encode(of))?;
        if found != expected {
            return Err(IEscrow::VerdictMismatch { expected, found }.into());
        }
        Ok(())
    }

    fn release_output(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        policies: &[Policy],
        receipt: &Receipt,
        verdict: Verdict,
    ) -> Answer {
        self.enter()?;
        let left = match record.state {
            // Nothing that anybody vouches for.
            State::Refunded => Counters::default(),
            _ => {
                record.expect(&order, State::Settled)?;
                let (expected, found) = (record.receipt, id::receipt_id(receipt));
                if found != expected {
                    return Err(IEscrow::ReceiptMismatch { expected, found }.into());
                }
                let question = IAttestation::digestOfCall { verdict };
                self.is_digest(&question, receipt.verdict)?;
                question.verdict.counters
            }
        };
        if self.released.replace(order, true) {
            return Err(IEscrow::AlreadyReleased { order }.into());
        }
        let mut policies = policies.iter();
        for leg in &terms.legs {
            let counts = Clauses(leg.clauses).intersection(Clauses::TOTALS);
            if counts.is_empty() {
                continue;
            }
            let policy = policies.next().ok_or_else(|| invalid("policies"))?;
            let (expected, found) = (leg.policy, id::policy_id(policy));
            if found != expected {
                return Err(IUsage::PolicyMismatch { expected, found }.into());
            }
            let call = IUsage::releaseOutputCall {
                policy: expected,
                outputBytes: policy.outputBytes.saturating_sub(left.outputBytes),
                outputRows: policy.outputRows.saturating_sub(left.outputRows),
            };
            self.call(self.usage.get(), &call::encode(&call))?;
        }
        if policies.next().is_some() {
            return Err(invalid("policies"));
        }
        self.log(&IEscrow::OutputReleased { order });
        Ok(vec![])
    }

    /// Gives back volume and uses of a refunded order: a call of its own, so that a refund touches
    /// nothing but the order and its token.
    fn restore(&mut self, order: B256, terms: &Terms) -> Answer {
        self.enter()?;
        let restored = self.record(order).restore(&order)?;
        self.keep(order, &restored);
        let used = terms.legs.iter().filter(|leg| uses_offer(leg));
        let offers = used.map(|leg| leg.offer).collect();
        self.call(
            self.offers.get(),
            &call::encode(&IOffers::restoreCall { offers }),
        )?;
        self.release(terms)?;
        self.log(&IEscrow::UsesRestored { order });
        Ok(vec![])
    }

    /// Gives back the uses that were counted. Most policies count none: then nobody is called.
    fn release(&self, terms: &Terms) -> Result<(), Revert> {
        let counts = Clause::MaxUses.bit().with(Clause::MaxUsesPerBuyer);
        let mut call = IUsage::releaseCall {
            ids: Vec::new(),
            clauses: Vec::new(),
            buyer: terms.buyer,
        };
        for leg in &terms.legs {
            if !Clauses(leg.clauses).intersection(counts).is_empty() {
                call.ids.push(leg.policy);
                call.clauses.push(leg.clauses);
            }
        }
        if !call.ids.is_empty() {
            self.call(self.usage.get(), &call::encode(&call))?;
        }
        Ok(())
    }
}
