//! What buyers, providers, operators and anybody else do with orders.

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, Bytes};
use stylus_sdk::prelude::*;
use vouch_abi::{
    IAttestation, IEscrow, IUsage, Leg, Receipt, Terms, Verdict,
    call::{self, Answer, Revert, SolCall},
    codec, id,
    terms::{self, invalid},
    wire,
};

use crate::{
    Escrow,
    chain::unexpected,
    flows::Flows,
    money::{self, Split},
    rules::{Effect, Record, State},
};

impl Escrow {
    /// `arguments` begin with the request: the other contracts get it as it came. One order for each of
    /// `salts`, or one with the request's own. None where the arguments do not decode.
    pub(crate) fn place(
        &mut self,
        arguments: &[u8],
        salts: Option<Vec<B256>>,
        flows: &mut Flows,
    ) -> Result<Option<Vec<B256>>, Revert> {
        self.enter()?;
        if self.paused.get() {
            return Err(IEscrow::Paused {}.into());
        }
        let buyer = self.vm().msg_sender();
        let Some(request) = wire::request_bytes(arguments) else {
            return Ok(None);
        };
        let count = salts.as_ref().map_or(1, |salts| salts.len() as u64);
        if count == 0 {
            return Err(invalid("salts"));
        }
        let offers = self.offers.get();
        let mut answer = self.call(offers, &wire::forward_sale(buyer, request, count))?;
        // The offers' contract derives no terms whose sum does not fit a word.
        let terms: Terms = codec::decode(&answer).ok_or_else(|| unexpected(offers))?;
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
        let (workload, publisher) = terms::workload(&terms);
        let wanted = IUsage::Use {
            buyer,
            provider: terms.provider,
            purpose: terms.purpose,
            maxDuration: terms.maxDuration,
            workload,
            publisher,
        };
        let reserve = wire::forward_request(&wanted, request, count);
        self.call(self.usage.get(), &reserve)?;

        let (token, locked) = (terms.token, money::locked(&terms));
        let record = Record::placed(self.block()?);
        let mut orders = Vec::new();
        for salt in salts.unwrap_or_else(|| vec![terms.salt]) {
            wire::set_salt(&mut answer, &salt);
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
            self.keep(order, &record);
            self.owe(token, &locked)?;
            flows.take(token, locked);
            let event = wire::order_placed(order, buyer, terms.provider, &answer);
            self.vm().emit_log(&event, 4);
            orders.push(order);
        }
        Ok(Some(orders))
    }

    pub(crate) fn accept(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let provider = self.vm().msg_sender();
        let now = self.vm().block_timestamp();
        let accepted = record.accept(&order, terms, &provider, now, self.block()?)?;
        self.keep(order, &accepted);
        self.owe(terms.token, &terms.bond)?;
        self.log(&IEscrow::OrderAccepted { order, provider });
        flows.take(terms.token, terms.bond);
        Ok(vec![])
    }

    pub(crate) fn submit_verdict(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        verdict: Verdict,
        signatures: Bytes,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        let now = self.vm().block_timestamp();
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
        // deadline, after which it is refunded without another call. A heartbeat leaves it so.
        let busy_until = if terms.shared || effect == Effect::Beat {
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
            Effect::Beat => {
                let beaten = record.beat(terms, &verdict);
                self.keep(order, &beaten);
                self.log(&IEscrow::OrderBeat {
                    order,
                    verdict: digest,
                    attempt: verdict.attempt,
                    attestedUntil: beaten.beat_at,
                });
            }
            Effect::Finish => {
                let finished = record.finish(now, block);
                self.reward(order, terms, signers);
                if terms.challengeWindow == 0 {
                    self.settle_now(order, terms, &finished, verdict, digest, flows);
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
                    flows,
                );
            }
        }
        Ok(vec![])
    }

    pub(crate) fn refund(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        flows: &mut Flows,
    ) -> Answer {
        self.enter()?;
        record.expire(&order, terms, self.vm().block_timestamp())?;
        let split = Split::expired(terms, record.bonded(), record.attested());
        let refunded = record.refunded(self.block()?);
        self.refund_now(order, terms, &refunded, 0, &split, flows);
        Ok(vec![])
    }

    /// Pays an order by a finish verdict that nobody can dispute any more.
    pub(crate) fn settle_now(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        verdict: Verdict,
        digest: B256,
        flows: &mut Flows,
    ) {
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
        self.log_paid(order, terms, &split);
        self.log(&IEscrow::OrderSettled { order, receipt });
        split.pay(terms, flows);
    }

    fn log_paid(&self, order: B256, terms: &Terms, split: &Split) {
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
    }

    /// Gives back the money.
    pub(crate) fn refund_now(
        &mut self,
        order: B256,
        terms: &Terms,
        record: &Record,
        reason: u16,
        split: &Split,
        flows: &mut Flows,
    ) {
        self.keep(order, record);
        self.log_paid(order, terms, split);
        self.log(&IEscrow::OrderRefunded {
            order,
            reason,
            refund: split.refund,
            bondToBuyer: split.bond_to_buyer,
        });
        split.pay(terms, flows);
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

    pub(crate) fn keep(&mut self, order: B256, record: &Record) {
        self.orders.insert(order, record.pack());
    }
}

/// One word of each leg.
pub(crate) fn column(terms: &Terms, of: fn(&Leg) -> B256) -> Vec<B256> {
    let mut words = Vec::with_capacity(terms.legs.len());
    for leg in &terms.legs {
        words.push(of(leg));
    }
    words
}
