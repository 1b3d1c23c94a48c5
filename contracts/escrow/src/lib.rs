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
//! hand; contract `offers` says why.
//!
//! What this program does not answer itself, two more answer, run on this contract's storage, because a
//! program may have 24,576 bytes: the [`annex`] what is seldom done with an order, the [`desk`] what is about
//! no order. Their addresses are fixed when the escrow is constructed. Nothing that moves an order to its end
//! needs them.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

mod annex;
mod chain;
mod deposit;
mod desk;
pub mod dispute;
pub mod flows;
pub mod money;
mod orders;
pub mod rules;
mod token;

use alloc::{vec, vec::Vec};
use core::mem::take;

use alloy_primitives::{Address, B256, Bytes, U256};
use stylus_sdk::{
    call::RawCall,
    prelude::*,
    storage::{StorageAddress, StorageB256, StorageBool, StorageMap, StorageU256},
};
use vouch_abi::{
    IContract, IEscrow, Terms, Verdict,
    call::{self, Answer, CONSTRUCTOR, Revert, SolCall},
    codec::{Codec, Reader},
    pack::unpack,
    terms::extend,
    wire::Event,
};

use crate::{
    flows::Flows,
    rules::{Record, State},
};

/// The contract's storage.
#[storage]
pub struct Escrow {
    governor: StorageAddress,
    /// In one word with the governor.
    paused: StorageBool,
    offers: StorageAddress,
    usage: StorageAddress,
    attestation: StorageAddress,
    annex: StorageAddress,
    desk: StorageAddress,
    /// [`rules::Record`]s by order.
    orders: StorageMap<B256, StorageB256>,
    /// Finished orders with a challenge window: the finish verdict's digest.
    disputable: StorageMap<B256, StorageB256>,
    /// By token: locked in open orders, and credited.
    owed: StorageMap<Address, StorageU256>,
    /// By account and token.
    credits: StorageMap<Address, StorageMap<Address, StorageU256>>,
    /// Decides disputes that are opened; zero: none can be.
    resolver: StorageAddress,
    disputes: StorageMap<B256, Disputed>,
    /// Ended orders whose unneeded output was given back.
    released: StorageMap<B256, StorageBool>,
}

/// A [`Dispute`](vouch_abi::Dispute) in two words.
#[storage]
pub(crate) struct Disputed {
    /// `deadline (8 bytes) || zeros (4) || challenger (20)`.
    opened: StorageB256,
    resolver: StorageAddress,
}

// A program has one entrypoint: annex and desk leave this one out.
#[cfg(feature = "program")]
mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use stylus_sdk::{ArbResult, host::VM};

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
        if call::split(calldata).0 == CONSTRUCTOR {
            return self.construct(calldata);
        }
        let mut flows = Flows::default();
        let answer = match call::split(calldata) {
            (IEscrow::multicallCall::SELECTOR, arguments) => {
                self.multicall(arguments, &mut flows)?
            }
            (selector @ IEscrow::multicallPackedCall::SELECTOR, arguments) => {
                let IEscrow::multicallPackedCall { packed } = call::arguments(selector, arguments)?;
                let arguments = unpack(&packed).ok_or_else(|| call::malformed(selector))?;
                self.multicall(&arguments, &mut flows)?
            }
            _ => self.answer_one(calldata, &mut flows)?,
        };
        self.execute(flows)?;
        Ok(answer)
    }

    /// Answers several calls of one caller: all, or none. Their tokens move once, at the end.
    fn multicall(&mut self, arguments: &[u8], flows: &mut Flows) -> Answer {
        let IEscrow::multicallCall { calls } =
            call::arguments(IEscrow::multicallCall::SELECTOR, arguments)?;
        let mut results = Vec::with_capacity(calls.len());
        for (index, calldata) in calls.iter().enumerate() {
            let result = self.answer_one(calldata, flows).map_err(|revert| {
                Revert::from(IEscrow::BatchFailed {
                    index: U256::from(index),
                    reason: revert.0.into(),
                })
            })?;
            results.push(Bytes::from(result));
        }
        call::returns::<IEscrow::multicallCall>(results)
    }

    /// Answers one call. Tokens do not move yet; those of the annex do.
    fn answer_one(&mut self, calldata: &[u8], flows: &mut Flows) -> Answer {
        let (selector, arguments) = call::split(calldata);
        let malformed = || call::malformed(selector);
        match selector {
            IEscrow::placeCall::SELECTOR => {
                let orders = self.place(arguments, None, flows)?;
                let order = orders.and_then(|orders| orders.first().copied());
                call::returns::<IEscrow::placeCall>(order.ok_or_else(malformed)?)
            }
            IEscrow::placeManyCall::SELECTOR => {
                let mut rest = Reader::new(arguments);
                B256::read(&mut rest);
                let salts = Vec::read(&mut rest);
                let salts = rest.value(salts).ok_or_else(malformed)?;
                let orders = self.place(arguments, Some(salts), flows)?;
                call::returns::<IEscrow::placeManyCall>(orders.ok_or_else(malformed)?)
            }
            IEscrow::acceptCall::SELECTOR
            | IEscrow::submitVerdictCall::SELECTOR
            | IEscrow::refundCall::SELECTOR => self.answer_of_order(calldata, flows),
            _ => self.ask_annex(calldata, flows),
        }
    }

    /// Answers the calls that begin with an order's terms: read once for all of them, because reading
    /// them is much of this contract's size.
    fn answer_of_order(&mut self, calldata: &[u8], flows: &mut Flows) -> Answer {
        let (selector, arguments) = call::split(calldata);
        let malformed = || call::malformed(selector);
        let order = self.named(arguments).ok_or_else(malformed)?;
        let mut rest = Reader::new(arguments);
        let (terms, record) = self.ordered(order, &mut rest);
        match selector {
            IEscrow::submitVerdictCall::SELECTOR => {
                let said = (Verdict::read(&mut rest), Bytes::read(&mut rest));
                let (verdict, signatures) = rest.value(said).ok_or_else(malformed)?;
                self.submit_verdict(order, &terms, &record, verdict, signatures, flows)
            }
            _ => {
                rest.value(()).ok_or_else(malformed)?;
                match selector {
                    IEscrow::acceptCall::SELECTOR => self.accept(order, &terms, &record, flows),
                    // What disputes left to pay back, the annex knows.
                    _ if record.state == State::Disputed => self.ask_annex(calldata, flows),
                    _ => self.refund(order, &terms, &record, flows),
                }
            }
        }
    }

    /// The terms that stand first in a call, with what was paid for since the order was placed, and its record.
    pub(crate) fn ordered(&self, order: B256, from: &mut Reader<'_>) -> (Terms, Record) {
        let mut terms = Terms::read(from);
        let record = self.record(order);
        // It fitted when it was paid for.
        let _ = extend(&mut terms, record.topped_up);
        (terms, record)
    }

    /// Has the annex answer, on this contract's storage.
    fn ask_annex(&mut self, calldata: &[u8], flows: &mut Flows) -> Answer {
        // What was counted as owed before must be there when the annex counts.
        self.execute(take(flows))?;
        self.run(self.annex.get(), calldata)
    }

    /// Has the desk answer, where there is one.
    fn ask_desk(&mut self, calldata: &[u8]) -> Answer {
        let desk = self.desk.get();
        if desk.is_zero() {
            return Err(call::unknown(call::split(calldata).0));
        }
        self.run(desk, calldata)
    }

    /// Runs another program on this contract's storage.
    fn run(&self, program: Address, calldata: &[u8]) -> Answer {
        let call = RawCall::new_delegate(self.vm()).clear_storage_cache();
        // No reference into storage is held, what was written is flushed before, and what was read is
        // read anew. The addresses are fixed by the constructor, the code at them cannot change.
        unsafe { call.call(program, calldata) }.map_err(Revert)
    }

    /// Has the desk construct the escrow, once: the desk is the last whom the constructor names.
    fn construct(&mut self, calldata: &[u8]) -> Answer {
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        let (selector, arguments) = call::split(calldata);
        let mut words = Reader::new(arguments);
        let desk = (0..6).map(|_| Address::read(&mut words)).last();
        let desk = words.value(desk).flatten();
        let desk = desk.ok_or_else(|| call::malformed(selector))?;
        self.run(desk, calldata)?;
        // An address without code succeeds, and has done nothing.
        if self.governor.get().is_zero() {
            return Err(IContract::UnexpectedAnswer { from: desk }.into());
        }
        Ok(vec![])
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
