//! What tokens are to move once everything else is done: for each token one transfer from the
//! caller, and one to each receiver, however many orders a batch is about.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

/// An amount of a token that an account gives or gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Of which token.
    pub token: Address,
    /// Who gets it; the caller is the only one who gives, and is not named.
    pub account: Address,
    /// Never zero.
    pub amount: U256,
}

/// All flows of a call.
#[derive(Debug, Default)]
pub struct Flows {
    /// What the caller gives, one for each token. Counted as owed before it comes.
    pub inward: Vec<Flow>,
    /// What accounts get, in the order in which they were first named. Counted as owed until it goes.
    pub outward: Vec<Flow>,
}

impl Flows {
    /// The caller gives an amount.
    pub fn take(&mut self, token: Address, amount: U256) {
        add(&mut self.inward, token, Address::ZERO, amount);
    }

    /// An account gets an amount.
    pub fn give(&mut self, token: Address, account: Address, amount: U256) {
        add(&mut self.outward, token, account, amount);
    }
}

/// Sums cannot overflow: they are parts of what is owed, which does not.
fn add(flows: &mut Vec<Flow>, token: Address, account: Address, amount: U256) {
    if amount.is_zero() {
        return;
    }
    let same = |flow: &&mut Flow| flow.token == token && flow.account == account;
    match flows.iter_mut().find(same) {
        Some(flow) => flow.amount = flow.amount.saturating_add(amount),
        None => flows.push(Flow {
            token,
            account,
            amount,
        }),
    }
}
