//! What buyers, providers, operators and anybody else do with orders.

use alloc::{string::String, vec, vec::Vec};

use alloy_primitives::{Address, B256, Bytes};
use stylus_sdk::prelude::*;
use vouch_abi::{
    IAttestation, IEscrow, IOffers, IUsage, Leg, Receipt, Terms, Verdict,
    call::{self, Answer, Revert, SolCall},
    codec::{self, Codec, Reader},
    id,
    terms::{self, checked_total, invalid},
    wire,
};
use vouch_protocol::clause::{Clause, Clauses};

use crate::{
    Escrow,
    chain::unexpected,
    money::{self, Split},
    rules::{Effect, Record, State},
};

/// The address of a bundle is announced, not the bundle.
const MAX_URI: usize = 2048;

/// The evidence that a provider announces: the arguments of `submitEvidence` after the terms.
pub(crate) struct Announced {
    phase: u8,
    attempt: u8,
    evidence: B256,
    outputs: B256,
    uri: String,
}

impl Announced {
    pub(crate) fn read(from: &mut Reader<'_>) -> Self {
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
    /// `arguments` are those of `place` or, with a permit, of `placeWithPermit`: the other contracts
    /// get the request as it came. None where the arguments do not decode.
    pub(crate) fn place(&mut self, arguments: &[u8], permit: bool) -> Result<Option<B256>, Revert> {
        self.enter()?;
        if self.paused.get() {
            return Err(IEscrow::Paused {}.into());
        }
        let buyer = self.vm().msg_sender();
        let Some(request) = wire::request_bytes(arguments) else {
            return Ok(None);
        };
        let offers = self.offers.get();
        let answer = self.call(offers, &wire::forward_sale(buyer, request))?;
        let terms: Terms = codec::decode(&answer).ok_or_else(|| unexpected(offers))?;
        // From here on no sum over the order's money can overflow.
        checked_total(&terms).ok_or_else(|| invalid("total"))?;
        let fee = self
            .ask(self.attestation.get(), &IAttestation::feeCall::SELECTOR)?
            .into();
        if terms.oracleFee < fee {
            return Err(IEscrow::FeeTooLow {
                expected: fee,
                found: terms.oracleFee,
            }
            .into());
        }
        let order = self.order_id(answer.get(32..).unwrap_or_default());
        let found = self.record(order).state as u8;
        if found != State::None as u8 {
            return Err(IEscrow::WrongState {
                order,
                expected: State::None as u8,
                found,
            }
            .into());
        }

        let (token, locked) = (terms.token, money::locked(&terms));
        self.keep(order, &Record::placed(self.block()?));
        self.owe(token, &locked)?;
        let wanted = IUsage::Use {
            buyer,
            provider: terms.provider,
            purpose: terms.purpose,
            maxDuration: terms.maxDuration,
            workload: terms::workload(&terms),
        };
        self.call(self.usage.get(), &wire::forward_request(&wanted, request))?;
        let event = wire::order_placed(order, buyer, terms.provider, &answer);
        self.vm().emit_log(&event, 4);
        if permit {
            let escrow = self.vm().contract_address();
            let Some(permit) = wire::forward_permit(buyer, escrow, arguments) else {
                return Ok(None);
            };
            // Whoever saw the permit may have used it: what counts is the allowance.
            let _ = self.call(token, &permit);
        }
        self.pull(token, buyer, locked)?;
        Ok(Some(order))
    }

    pub(crate) fn accept(&mut self, order: B256, terms: &Terms) -> Answer {
        self.enter()?;
        let provider = self.vm().msg_sender();
        let now = self.vm().block_timestamp();
        let accepted = self
            .record(order)
            .accept(&order, terms, &provider, now, self.block()?)?;
        self.keep(order, &accepted);
        self.owe(terms.token, &terms.bond)?;
        self.log(&IEscrow::OrderAccepted { order, provider });
        self.pull(terms.token, provider, terms.bond)?;
        Ok(vec![])
    }

    pub(crate) fn submit_evidence(
        &mut self,
        order: B256,
        terms: &Terms,
        announced: Announced,
    ) -> Answer {
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

    pub(crate) fn submit_verdict(
        &mut self,
        order: B256,
        terms: &Terms,
        verdict: Verdict,
        signatures: Bytes,
    ) -> Answer {
        self.enter()?;
        let now = self.vm().block_timestamp();
        let record = self.record(order);
        let effect = record.judge(&order, terms, &verdict, now)?;
        if !matches!(effect, Effect::Reject { .. }) {
            let expected = self.sha256(&terms::inputs(terms))?;
            if verdict.inputs != expected {
                return Err(IEscrow::InputsMismatch {
                    expected,
                    found: verdict.inputs,
                }
                .into());
            }
        }
        // Shared devices are nobody's alone. An exclusive device is the order's until its last
        // deadline, after which it is refunded without another call.
        let busy_until = if terms.shared {
            0
        } else {
            terms.deadlines.finish
        };
        let (verdict, digest, signers) = self.admit(verdict, signatures, busy_until)?;
        let block = self.block()?;
        match effect {
            Effect::Start => {
                self.keep(order, &record.start(verdict.observedAt, block));
                self.log(&IEscrow::OrderStarted {
                    order,
                    verdict: digest,
                    sessionKey: verdict.sessionKey,
                    devices: verdict.devices,
                });
            }
            Effect::Finish => {
                let finished = record.finish(now, block);
                self.reward(order, terms, signers);
                if terms.challengeWindow == 0 {
                    self.settle_now(order, terms, &finished, verdict, digest)?;
                } else {
                    self.keep(order, &finished);
                    self.disputable.insert(order, digest);
                    let closes = finished.window_closes(terms);
                    self.log(&IEscrow::OrderFinished {
                        order,
                        verdict: digest,
                        windowCloses: closes,
                    });
                }
            }
            Effect::Reject { forged } => {
                self.reward(order, terms, signers);
                let split = Split::rejected(terms, forged);
                self.refund_now(
                    order,
                    terms,
                    &record.refunded(block),
                    verdict.reason,
                    &split,
                )?;
            }
        }
        Ok(vec![])
    }

    pub(crate) fn settle(&mut self, order: B256, terms: &Terms, verdict: Verdict) -> Answer {
        self.enter()?;
        let record = self.record(order);
        record.settle(&order, terms, self.vm().block_timestamp())?;
        let expected = self.disputable.get(order);
        let question = IAttestation::digestOfCall { verdict };
        let found = self.ask(self.attestation.get(), &call::encode(&question))?;
        if found != expected {
            return Err(IEscrow::VerdictMismatch { expected, found }.into());
        }
        self.settle_now(order, terms, &record, question.verdict, expected)?;
        Ok(vec![])
    }

    pub(crate) fn refund(&mut self, order: B256, terms: &Terms) -> Answer {
        self.enter()?;
        let record = self.record(order);
        record.expire(&order, terms, self.vm().block_timestamp())?;
        let split = Split::expired(terms, record.bonded());
        self.refund_now(order, terms, &record.refunded(self.block()?), 0, &split)?;
        Ok(vec![])
    }

    /// Gives back volume and uses of a refunded order: a call of its own, so that a refund touches
    /// nothing but the order and its token.
    pub(crate) fn restore(&mut self, order: B256, terms: &Terms) -> Answer {
        self.enter()?;
        let restored = self.record(order).restore(&order)?;
        self.keep(order, &restored);
        let offers = column(terms, |leg| leg.offer);
        self.call(
            self.offers.get(),
            &call::encode(&IOffers::restoreCall { offers }),
        )?;
        self.release(terms)?;
        self.log(&IEscrow::UsesRestored { order });
        Ok(vec![])
    }

    /// Pays an order by a finish verdict that nobody can dispute any more.
    fn settle_now(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        verdict: Verdict,
        digest: B256,
    ) -> Result<(), Revert> {
        let split = Split::earned(
            terms,
            verdict.clauses,
            record.started_at,
            verdict.observedAt,
        );
        let receipt = Receipt {
            order,
            buyer: terms.buyer,
            assets: column(terms, |leg| leg.digest),
            paid: split.paid.clone(),
            measurement: verdict.measurement,
            devices: verdict.devices,
            evidence: verdict.evidence,
            outputs: verdict.outputs,
            verdict: digest,
            settledAt: self.vm().block_timestamp(),
        };
        self.keep(order, &Record::settled(id::receipt_id(&receipt)));
        for ((index, leg), &amount) in (0..).zip(&terms.legs).zip(&split.paid) {
            if !amount.is_zero() {
                self.log(&IEscrow::LegPaid {
                    order,
                    leg: index,
                    payee: leg.payee,
                    amount,
                });
            }
        }
        self.log(&IEscrow::OrderSettled { order, receipt });
        self.pay(terms.token, &split.transfers(terms))
    }

    /// Gives back the money.
    fn refund_now(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        reason: u16,
        split: &Split,
    ) -> Result<(), Revert> {
        self.keep(order, record);
        self.log(&IEscrow::OrderRefunded {
            order,
            reason,
            refund: split.refund,
            bondToBuyer: split.bond_to_buyer,
        });
        self.pay(terms.token, &split.transfers(terms))
    }

    /// Credits the oracle fee to the signers of the verdict that ends the order.
    fn reward(&mut self, order: B256, terms: &Terms, operators: Vec<Address>) {
        let count = u16::try_from(operators.len()).unwrap_or(u16::MAX);
        for (share, operator) in money::shares(terms.oracleFee, count).zip(&operators) {
            self.add_credit(terms.token, *operator, share);
        }
        self.log(&IEscrow::FeeShared {
            order,
            token: terms.token,
            amount: terms.oracleFee,
            operators,
        });
    }

    fn admit(
        &self,
        verdict: Verdict,
        signatures: Bytes,
        busy_until: u64,
    ) -> Result<(Verdict, B256, Vec<Address>), Revert> {
        let attestation = self.attestation.get();
        let call = IAttestation::admitCall {
            verdict,
            signatures,
            busyUntil: busy_until,
        };
        let answer = self.call(attestation, &call::encode(&call))?;
        let IAttestation::admitReturn { digest, signers } =
            codec::read(&answer).ok_or_else(|| unexpected(attestation))?;
        Ok((call.verdict, digest, signers))
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

    /// The order whose terms stand first in a call.
    pub(crate) fn named(&self, arguments: &[u8]) -> Option<B256> {
        wire::terms_bytes(arguments).map(|terms| self.order_id(terms))
    }

    fn order_id(&self, terms: &[u8]) -> B256 {
        id::order_id_of(self.vm().chain_id(), self.vm().contract_address(), terms)
    }

    pub(crate) fn record(&self, order: B256) -> Record {
        Record::unpack(&self.orders.get(order))
    }

    fn keep(&mut self, order: B256, record: &Record) {
        self.orders.insert(order, record.pack());
    }
}

/// One word of each leg.
fn column(terms: &Terms, of: fn(&Leg) -> B256) -> Vec<B256> {
    let mut words = Vec::with_capacity(terms.legs.len());
    for leg in &terms.legs {
        words.push(of(leg));
    }
    words
}
