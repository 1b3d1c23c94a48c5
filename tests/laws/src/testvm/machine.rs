//! The contracts, each on a [`TestVM`] of its own, and the calls between them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use alloy::primitives::{Address, B256, Bytes, U256, address};
use alloy::sol_types::SolCall;
use attestation::Attestation;
use bonds::Bonds;
use escrow::Escrow;
use governance::Governance;
use offers::Offers;
use revm::precompile::{hash::sha256_run, secp256k1::ec_recover_run};
use stylus_test::state::VMState;
use stylus_test::{AccountAccess, BlockAccess, TestVM};
use token::Token;
use usage::Usage;
use vouch_abi::IArbSys;
use vouch_abi::call::Revert;

use super::host::Frame;
use super::trouble::{self, Trouble};
use crate::lab::Reverted;

const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
const SHA256: Address = address!("0000000000000000000000000000000000000002");
const ARB_SYS: Address = address!("0000000000000000000000000000000000000064");

/// What a call returned, or the data of its revert.
pub type Outcome = Result<Vec<u8>, Vec<u8>>;

/// Topics and data of an event.
pub type Log = (Vec<B256>, Bytes);

/// Whose code stands at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the programs' names")]
pub enum Code {
    Governance,
    Bonds,
    Offers,
    Usage,
    Attestation,
    Escrow,
    Annex,
    Desk,
    /// The development token, misbehaving on demand.
    Token,
}

struct Account {
    code: Code,
    vm: TestVM,
    trouble: RefCell<Trouble>,
}

/// What a revert undoes.
enum Change {
    /// A word of storage, as it was before.
    Word(TestVM, U256, B256),
    Event(Log),
}

struct Inner {
    accounts: BTreeMap<Address, Account>,
    /// Who is being called.
    open: RefCell<Vec<Address>>,
    /// Since the transaction began.
    changes: RefCell<Vec<Change>>,
}

/// All of them. Cloning it gives another handle of the same.
#[derive(Clone)]
pub struct Machine(Rc<Inner>);

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Machine")
            .field(&self.0.accounts.keys())
            .finish()
    }
}

impl Machine {
    /// Contracts whose machines are in these states.
    pub fn new(states: impl IntoIterator<Item = (Code, VMState)>) -> Self {
        let account = |(code, state): (Code, VMState)| {
            let account = Account {
                code,
                vm: state.into(),
                trouble: RefCell::default(),
            };
            (account.vm.contract_address(), account)
        };
        Self(Rc::new(Inner {
            accounts: states.into_iter().map(account).collect(),
            open: RefCell::default(),
            changes: RefCell::default(),
        }))
    }

    /// The states that [`Self::new`] makes the same contracts of.
    pub fn states(&self) -> Vec<(Code, VMState)> {
        let accounts = self.0.accounts.values();
        accounts
            .map(|account| (account.code, account.vm.snapshot()))
            .collect()
    }

    /// The machine of the contract at an address.
    pub fn vm(&self, at: Address) -> &TestVM {
        &self.account(at).vm
    }

    fn account(&self, at: Address) -> &Account {
        let account = self.0.accounts.get(&at);
        account.unwrap_or_else(|| panic!("no contract at {at}"))
    }

    pub(super) fn trouble(&self, at: Address) -> &RefCell<Trouble> {
        &self.account(at).trouble
    }

    /// Seconds of Unix time.
    pub fn now(&self) -> u64 {
        self.any().block_timestamp()
    }

    /// A new block, `seconds` after the last.
    pub fn pass(&self, seconds: u64) {
        let (number, now) = (self.any().block_number() + 1, self.now() + seconds);
        for account in self.0.accounts.values() {
            account.vm.set_block_number(number);
            account.vm.set_block_timestamp(now);
        }
    }

    /// Block and chain are the same for all.
    fn any(&self) -> &TestVM {
        let first = self.0.accounts.values().next();
        first.map_or_else(|| panic!("no contracts"), |account| &account.vm)
    }

    /// A transaction of its own block; a revert changes nothing. Gives what it logged.
    ///
    /// # Errors
    /// The revert's data.
    pub fn send(&self, from: Address, to: Address, data: &[u8]) -> Result<Vec<Log>, Reverted> {
        self.pass(0);
        self.0.changes.borrow_mut().clear();
        self.call(from, to, data, false)?;
        let changes = self.0.changes.take().into_iter();
        let logs = changes.filter_map(|change| match change {
            Change::Event(log) => Some(log),
            Change::Word(..) => None,
        });
        Ok(logs.collect())
    }

    /// Asks a contract.
    ///
    /// # Errors
    /// The call reverted, or what it answered does not decode.
    pub fn ask<C: SolCall>(&self, to: Address, call: &C) -> anyhow::Result<C::Return> {
        let answer = self
            .call(Address::ZERO, to, &call.abi_encode(), true)
            .map_err(|data| anyhow::anyhow!("{}: {}", C::SIGNATURE, hex::encode(data)))?;
        Ok(C::abi_decode_returns(&answer)?)
    }

    /// A call of a contract, a precompile, or an account without code, which answers nothing.
    pub(super) fn call(&self, from: Address, to: Address, data: &[u8], fixed: bool) -> Outcome {
        let Some(account) = self.0.accounts.get(&to) else {
            return self.built_in(to, data);
        };
        let reentrant = self.0.open.borrow().contains(&to);
        self.0.open.borrow_mut().push(to);
        let frame = Frame::new(self, &account.vm, from, reentrant, fixed);
        let outcome = self.run(account.code, &frame, data);
        self.0.open.borrow_mut().pop();
        outcome
    }

    /// Another contract's code on the storage of the one that calls, and as that one.
    pub(super) fn delegate(&self, frame: &Frame, to: Address, data: &[u8]) -> Outcome {
        match self.0.accounts.get(&to) {
            Some(account) => self.run(account.code, &frame.beside(), data),
            None => Ok(Vec::new()),
        }
    }

    fn run(&self, code: Code, frame: &Frame, data: &[u8]) -> Outcome {
        let before = self.0.changes.borrow().len();
        let answer = match code {
            Code::Governance => Governance::from(frame).answer(data),
            Code::Bonds => Bonds::from(frame).answer(data),
            Code::Offers => Offers::from(frame).answer(data),
            Code::Usage => Usage::from(frame).answer(data),
            Code::Attestation => Attestation::from(frame).answer(data),
            Code::Escrow => Escrow::from(frame).answer(data),
            Code::Annex => Escrow::from(frame).answer_annex(data),
            Code::Desk => Escrow::from(frame).answer_desk(data),
            Code::Token => trouble::answer(frame, data, |frame| Token::from(frame).answer(data)),
        };
        match answer {
            Ok(answer) => {
                frame.flush();
                Ok(answer)
            }
            Err(Revert(reason)) => {
                self.undo(before);
                Err(reason)
            }
        }
    }

    fn built_in(&self, to: Address, data: &[u8]) -> Outcome {
        let answer = match to {
            ECRECOVER => ec_recover_run(data, u64::MAX).map(|answer| answer.bytes),
            SHA256 => sha256_run(data, u64::MAX).map(|answer| answer.bytes),
            ARB_SYS if data.starts_with(&IArbSys::arbBlockNumberCall::SELECTOR) => {
                Ok(B256::from(U256::from(self.any().block_number())).into())
            }
            _ => Ok(Bytes::new()),
        };
        answer.map(|bytes| bytes.to_vec()).map_err(|_| Vec::new())
    }

    pub(super) fn write(&self, vm: &TestVM, key: U256, value: B256) {
        let before = Change::Word(vm.clone(), key, vm.get_storage(key));
        self.0.changes.borrow_mut().push(before);
        vm.set_storage(key, value);
    }

    pub(super) fn log(&self, topics: &[B256], data: &[u8]) {
        let event = Change::Event((topics.to_vec(), data.to_vec().into()));
        self.0.changes.borrow_mut().push(event);
    }

    /// Goes back to when there were so many changes.
    fn undo(&self, count: usize) {
        let mut changes = self.0.changes.borrow_mut();
        for change in changes.drain(count..).rev() {
            if let Change::Word(vm, key, before) = change {
                vm.set_storage(key, before);
            }
        }
    }
}
