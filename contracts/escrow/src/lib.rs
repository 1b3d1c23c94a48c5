//! Holds the money: who has paid, who may be paid.
//!
//! **Decides** which call may move it where ([`rules`]), and how what
//! it locked is split when it ends ([`money`]). Orders are content-addressed: callers bring the
//! terms, the contract keeps one word per order, and a second one while a challenge window is open.
//!
//! **Trusts** contract `attestation` that a verdict is a quorum's, `offers` that the terms are those
//! of the offers, `usage` that an order may use what it names. It does not trust tokens: what one takes in is measured, and a
//! payment it refuses becomes a credit. The governor can stop new orders and nothing else.
//!
//! **Leaves alone** what the hardware showed.
//!
//! Every function goes from existence over shape and authorisation to effects, event and last the
//! token. Functions that change anything refuse to be entered while another one runs. Dispatched by
//! `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

mod chain;
pub mod money;
mod orders;
pub mod rules;
mod token;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, Bytes, U256};
use stylus_sdk::{
    ArbResult,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageB256, StorageBool, StorageMap, StorageU256},
};
use vouch_abi::{
    IContract, IEscrow, OrderRecord, Terms, Verdict,
    call::{self, Answer, Revert, SolCall},
    codec::{Codec, Reader},
    dispatch,
    wire::Event,
};

use crate::{orders::Announced, rules::State};

/// The contract's storage.
#[storage]
pub struct Escrow {
    governor: StorageAddress,
    /// In one word with the governor.
    paused: StorageBool,
    offers: StorageAddress,
    usage: StorageAddress,
    attestation: StorageAddress,
    /// [`rules::Record`]s by order.
    orders: StorageMap<B256, StorageB256>,
    /// Finished orders whose challenge window is open: the finish verdict's digest.
    disputable: StorageMap<B256, StorageB256>,
    /// By token: locked in open orders, and credited.
    owed: StorageMap<Address, StorageU256>,
    /// By account and token.
    credits: StorageMap<Address, StorageMap<Address, StorageU256>>,
}

/// Functions whose first argument is the terms of an order.
const OF_ORDERS: [[u8; 4]; 7] = [
    IEscrow::acceptCall::SELECTOR,
    IEscrow::submitEvidenceCall::SELECTOR,
    IEscrow::submitVerdictCall::SELECTOR,
    IEscrow::settleCall::SELECTOR,
    IEscrow::refundCall::SELECTOR,
    IEscrow::restoreCall::SELECTOR,
    IEscrow::idOfCall::SELECTOR,
];

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Escrow::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Escrow {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IEscrow::constructorCall>(calldata)? {
            return self.construct(&arguments);
        }
        let (selector, arguments) = call::split(calldata);
        let permit = selector == IEscrow::placeWithPermitCall::SELECTOR;
        if permit || selector == IEscrow::placeCall::SELECTOR {
            return self
                .place(arguments, permit)?
                .ok_or_else(|| call::malformed(selector))
                .and_then(call::returns::<IEscrow::placeCall>);
        }
        if OF_ORDERS.contains(&selector) {
            return self.answer_of_order(selector, arguments);
        }
        dispatch!(calldata, {
            call: IEscrow::withdrawCall => self.withdraw(call.token),
            call: IEscrow::creditOfCall => {
                call::returns::<IEscrow::creditOfCall>(self.credit(call.account, call.token))
            },
            call: IEscrow::owedCall => {
                call::returns::<IEscrow::owedCall>(self.owed.get(call.token))
            },
            call: IEscrow::orderOfCall => self.order_of(call.order),
            call: IEscrow::challengeOfCall => {
                self.challenge_of(call.order, call.phase, call.attempt)
            },
            call: IEscrow::setPausedCall => self.set_paused(call.paused),
            call: IEscrow::pausedCall => {
                call::returns::<IEscrow::pausedCall>(self.paused.get())
            },
            call: IEscrow::offersCall => {
                call::returns::<IEscrow::offersCall>(self.offers.get())
            },
            call: IEscrow::usageCall => call::returns::<IEscrow::usageCall>(self.usage.get()),
            call: IEscrow::attestationCall => {
                call::returns::<IEscrow::attestationCall>(self.attestation.get())
            },
            call: IEscrow::governorCall => {
                call::returns::<IEscrow::governorCall>(self.governor.get())
            },
        })
    }

    /// Answers the calls that begin with an order's terms: read once for all of them, because reading
    /// them is much of this contract's size.
    fn answer_of_order(&mut self, selector: [u8; 4], arguments: &[u8]) -> Answer {
        let malformed = || call::malformed(selector);
        let order = self.named(arguments).ok_or_else(malformed)?;
        let mut rest = Reader::new(arguments);
        let terms = Terms::read(&mut rest);
        match selector {
            IEscrow::submitVerdictCall::SELECTOR => {
                let said = (Verdict::read(&mut rest), Bytes::read(&mut rest));
                let (verdict, signatures) = rest.value(said).ok_or_else(malformed)?;
                self.submit_verdict(order, &terms, verdict, signatures)
            }
            IEscrow::submitEvidenceCall::SELECTOR => {
                let announced = Announced::read(&mut rest);
                let announced = rest.value(announced).ok_or_else(malformed)?;
                self.submit_evidence(order, &terms, announced)
            }
            IEscrow::settleCall::SELECTOR => {
                let verdict = Verdict::read(&mut rest);
                let verdict = rest.value(verdict).ok_or_else(malformed)?;
                self.settle(order, &terms, verdict)
            }
            _ => {
                rest.value(()).ok_or_else(malformed)?;
                match selector {
                    IEscrow::acceptCall::SELECTOR => self.accept(order, &terms),
                    IEscrow::refundCall::SELECTOR => self.refund(order, &terms),
                    IEscrow::restoreCall::SELECTOR => self.restore(order, &terms),
                    _ => call::returns::<IEscrow::idOfCall>(order),
                }
            }
        }
    }

    fn construct(&mut self, arguments: &IEscrow::constructorCall) -> Answer {
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        let &IEscrow::constructorCall {
            governor,
            offers,
            usage,
            attestation,
        } = arguments;
        if governor.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        // A call of an address without code would succeed and mean nothing.
        for contract in [offers, usage, attestation] {
            if self.vm().code_size(contract) == 0 {
                return Err(IContract::UnexpectedAnswer { from: contract }.into());
            }
        }
        self.governor.set(governor);
        self.offers.set(offers);
        self.usage.set(usage);
        self.attestation.set(attestation);
        Ok(vec![])
    }

    fn set_paused(&mut self, paused: bool) -> Answer {
        let caller = self.vm().msg_sender();
        if caller != self.governor.get() {
            return Err(IEscrow::NotGovernor { caller }.into());
        }
        self.paused.set(paused);
        self.log(&IEscrow::PausedSet { paused });
        Ok(vec![])
    }

    fn order_of(&self, order: B256) -> Answer {
        let record = self.record(order);
        call::returns::<IEscrow::orderOfCall>(OrderRecord {
            state: record.state as u8,
            sinceBlock: record.since_block,
            startedAt: record.started_at,
            finishedAt: record.finished_at,
            commitment: match record.state {
                State::Finished => self.disputable.get(order),
                _ => record.receipt,
            },
        })
    }

    /// For functions that change anything: refuses calls that a token makes while it is being
    /// called by one of them.
    fn enter(&self) -> Result<(), Revert> {
        if self.vm().msg_reentrant() {
            return Err(IEscrow::Reentered {}.into());
        }
        Ok(())
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
