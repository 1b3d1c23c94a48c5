//! Money in and out. Tokens are foreign code: what they take in is measured, what they pay out is
//! bounded, and what they refuse to pay becomes a credit.

use alloy_primitives::{Address, B256, U256};
use stylus_sdk::{call::RawCall, prelude::*};
use vouch_abi::{
    IEscrow, IToken,
    call::{self, Revert, SolEvent},
    terms::invalid,
    wire::Event,
};

use crate::{
    Escrow,
    chain::word,
    flows::{Flow, Flows},
};

/// Gas for one payment: several times what the dearest common token takes.
const TRANSFER_GAS: u64 = 200_000;
/// Gas that must be left before a payment, so that 63 of 64 parts of it, less what the call itself
/// costs, are at least [`TRANSFER_GAS`]. Otherwise whoever calls could starve a payment into a
/// credit.
const GAS_BEFORE_TRANSFER: u64 = 210_000;
/// A token's own error is passed on up to this size.
const MAX_ERROR: usize = 260;

impl Escrow {
    /// Counts money in, before it comes.
    pub(crate) fn owe(&mut self, token: Address, amount: &U256) -> Result<(), Revert> {
        let mut owed = self.owed.setter(token);
        let sum = owed
            .get()
            .checked_add(*amount)
            .ok_or_else(|| invalid("total"))?;
        owed.set(sum);
        Ok(())
    }

    /// Counts money out, before it goes.
    pub(crate) fn release_owed(&mut self, token: Address, amount: &U256) {
        let mut owed = self.owed.setter(token);
        // What goes out was counted in.
        let rest = owed.get().saturating_sub(*amount);
        owed.set(rest);
    }

    /// Takes `amount`, already counted as owed, from an account that has approved it. Afterwards the
    /// contract holds all that it owes, so a token that delivers less than it was asked for (a fee on
    /// transfers) is refused.
    pub(crate) fn pull(&self, token: Address, from: Address, amount: U256) -> Result<(), Revert> {
        let to = self.vm().contract_address();
        let transfer = call::encode(&IToken::transferFromCall {
            from,
            to,
            value: amount,
        });
        let accepted = self.accepts(token, &transfer)?;
        let held = self.held(token);
        let owed = self.owed.get(token);
        if !accepted || held < owed {
            // What was owed before was there before.
            let missing = owed.saturating_sub(held);
            let received = if accepted {
                amount.saturating_sub(missing)
            } else {
                U256::ZERO
            };
            return Err(refused(token, amount, received));
        }
        Ok(())
    }

    /// Whether a call that is to take money in says that it did. A reason of a usual size is passed on.
    pub(crate) fn accepts(&self, to: Address, calldata: &[u8]) -> Result<bool, Revert> {
        match self.call(to, calldata) {
            Ok(answer) => Ok(answer.is_empty() || is_true(&answer)),
            Err(revert) if (4..=MAX_ERROR).contains(&revert.0.len()) => Err(revert),
            Err(_) => Ok(false),
        }
    }

    /// Units of a token that the contract holds; none of what does not answer.
    pub(crate) fn held(&self, token: Address) -> U256 {
        let account = self.vm().contract_address();
        let question = call::encode(&IToken::balanceOfCall { account });
        self.ask(token, &question).unwrap_or_default().into()
    }

    /// Takes what it can of an amount, already counted as owed, from an account's credit; gives the rest.
    fn spend_credit(&mut self, token: Address, account: Address, amount: U256) -> U256 {
        let credit = self.credit(account, token);
        let left = credit.saturating_sub(amount);
        let spent = credit.saturating_sub(left);
        if !spent.is_zero() {
            self.set_credit(account, token, left);
            self.release_owed(token, &spent);
            self.log_credit(IEscrow::CreditSpent::SIGNATURE_HASH, token, account, spent);
        }
        amount.saturating_sub(spent)
    }

    /// Moves the tokens: in from the caller, its credit first, then out to each receiver, or to its credit.
    pub(crate) fn execute(&mut self, flows: Flows) -> Result<(), Revert> {
        let caller = self.vm().msg_sender();
        for Flow { token, amount, .. } in flows.inward {
            let rest = self.spend_credit(token, caller, amount);
            if !rest.is_zero() {
                self.pull(token, caller, rest)?;
            }
        }
        for Flow { token, amount, .. } in &flows.outward {
            self.release_owed(*token, amount);
        }
        for Flow {
            token,
            account,
            amount,
        } in flows.outward
        {
            if !self.push(token, account, amount)? {
                self.owe(token, &amount)?;
                self.give_credit(token, account, amount);
            }
        }
        Ok(())
    }

    /// Whether the token says that it has paid. Never hands it more than [`TRANSFER_GAS`], never
    /// takes more than a word of its answer.
    pub(crate) fn push(&self, token: Address, to: Address, amount: U256) -> Result<bool, Revert> {
        let found = self.vm().evm_gas_left();
        if found < GAS_BEFORE_TRANSFER {
            return Err(IEscrow::GasTooLow {
                expected: GAS_BEFORE_TRANSFER,
                found,
            }
            .into());
        }
        let transfer = call::encode(&IToken::transferCall { to, value: amount });
        // No reference into storage is held across the call, and all writes go before it.
        let answer = unsafe {
            RawCall::new(self.vm())
                .gas(TRANSFER_GAS)
                .limit_return_data(0, 32)
                .flush_storage_cache()
                .call(token, &transfer)
        };
        Ok(match answer {
            Ok(answer) if answer.is_empty() => self.vm().code_size(token) > 0,
            Ok(answer) => is_true(&answer),
            Err(_) => false,
        })
    }

    pub(crate) fn credit(&self, account: Address, token: Address) -> U256 {
        self.credits.getter(account).get(token)
    }

    pub(crate) fn set_credit(&mut self, account: Address, token: Address, credit: U256) {
        self.credits.setter(account).insert(token, credit);
    }

    /// Credits what is already owed, and says so.
    pub(crate) fn give_credit(&mut self, token: Address, account: Address, amount: U256) {
        self.add_credit(token, account, amount);
        self.log_credit(IEscrow::Credited::SIGNATURE_HASH, token, account, amount);
    }

    /// Logs one of the events about credit, which differ in nothing but their signature.
    pub(crate) fn log_credit(&self, event: B256, token: Address, account: Address, amount: U256) {
        let (mut bytes, topics) = IEscrow::Credited {
            account,
            token,
            amount,
        }
        .log();
        if let Some(signature) = bytes.first_chunk_mut() {
            *signature = event.0;
        }
        self.vm().emit_log(&bytes, topics);
    }

    pub(crate) fn add_credit(&mut self, token: Address, account: Address, amount: U256) {
        if amount.is_zero() {
            return;
        }
        // Bounded by what is owed, which does not overflow.
        let sum = self.credit(account, token).saturating_add(amount);
        self.set_credit(account, token, sum);
    }
}

pub(crate) fn refused(token: Address, expected: U256, received: U256) -> Revert {
    IEscrow::TokenRefused {
        token,
        expected,
        received,
    }
    .into()
}

/// Whether an answer begins with the word `true`.
fn is_true(answer: &[u8]) -> bool {
    word(answer) == Some(B256::with_last_byte(1))
}
