//! A chain in this process: the virtual machine of the devnet over a map, without blocks to build,
//! signatures of transactions or RPC. One call takes well under a millisecond.

use alloy::primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy::sol_types::{SolCall, SolEvent};
use anyhow::{Context, Result, bail};
use revm::DatabaseCommit;
use revm::context::{BlockEnv, TxEnv, result::ExecutionResult};
use revm::database::InMemoryDB;
use revm::state::AccountInfo;
use vouch_stylus::{Checks, Env, Options, Vm, genesis_accounts};

/// Where the first block stands in time.
pub const GENESIS: u64 = 1_800_000_000;
const CHAIN_ID: u64 = 31_337;
/// More than any call here takes.
const GAS: u64 = 30_000_000;

/// What a transaction that succeeded gave.
#[derive(Clone, Debug)]
pub struct Done {
    /// What the called function returned; for a creation nothing.
    pub output: Bytes,
    /// The created contract.
    pub created: Option<Address>,
    /// Events, in their order.
    pub logs: Vec<Log>,
    /// Gas used, refunds taken off.
    pub gas: u64,
}

impl Done {
    /// The first event of this kind.
    pub fn event<E: SolEvent>(&self) -> Option<E> {
        self.logs
            .iter()
            .find_map(|log| E::decode_log(log).ok())
            .map(|log| log.data)
    }
}

/// The data of a revert; empty where the call ended in another way.
pub type Reverted = Bytes;

/// The chain. Cloning it is a snapshot.
#[derive(Clone, Debug)]
pub struct Lab {
    vm: Vm,
    env: Env,
    db: InMemoryDB,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A chain with its system accounts.
    pub fn new() -> Self {
        let mut db = InMemoryDB::default();
        for (address, info, storage) in genesis_accounts() {
            db.insert_account_info(address, info);
            for (slot, value) in storage {
                // A map does not fail.
                let _ = db.insert_account_storage(address, slot, value);
            }
        }
        let block = BlockEnv {
            number: U256::from(1),
            timestamp: U256::from(GENESIS),
            gas_limit: 1 << 50,
            basefee: 0,
            ..BlockEnv::default()
        };
        Self {
            vm: Vm::new(),
            env: Env::new(CHAIN_ID, block),
            db,
        }
    }

    /// Seconds of Unix time.
    pub fn now(&self) -> u64 {
        self.env.block.timestamp.saturating_to()
    }

    /// The chain's id.
    pub const fn chain_id(&self) -> u64 {
        self.env.chain_id
    }

    /// Makes this another chain, for signatures that come from elsewhere.
    pub fn set_chain_id(&mut self, id: u64) {
        self.env.chain_id = id;
    }

    /// A new block, `seconds` after the last.
    pub fn pass(&mut self, seconds: u64) {
        self.env.block.number += U256::from(1);
        self.env.block.timestamp += U256::from(seconds);
        self.env.recent = Default::default();
    }

    /// Gives an account wei.
    pub fn fund(&mut self, account: Address, wei: U256) {
        let info = AccountInfo {
            balance: wei,
            ..AccountInfo::default()
        };
        self.db.insert_account_info(account, info);
    }

    /// Puts a contract's code at another address, where others expect it.
    pub fn copy_code(&mut self, from: Address, to: Address) {
        let account = self.db.cache.accounts.get(&from);
        let info = account.map(|account| account.info.clone());
        self.db.insert_account_info(to, info.unwrap_or_default());
    }

    /// A slot of an account's storage.
    pub fn slot(&self, account: Address, slot: U256) -> U256 {
        let account = self.db.cache.accounts.get(&account);
        account
            .and_then(|account| account.storage.get(&slot))
            .copied()
            .unwrap_or_default()
    }

    /// Sends a transaction of its own block; a revert changes nothing.
    ///
    /// # Errors
    /// The revert's data.
    pub fn send(
        &mut self,
        from: Address,
        to: Address,
        data: impl Into<Bytes>,
    ) -> Result<Done, Reverted> {
        self.pass(0);
        self.transact(from, TxKind::Call(to), data.into(), U256::ZERO, GAS)
    }

    /// Sends a typed call.
    ///
    /// # Errors
    /// The revert's data.
    pub fn tell(
        &mut self,
        from: Address,
        to: Address,
        call: &impl SolCall,
    ) -> Result<Done, Reverted> {
        self.send(from, to, call.abi_encode())
    }

    /// Sends a call with value and a gas limit of its own.
    ///
    /// # Errors
    /// The revert's data.
    pub fn send_with(
        &mut self,
        from: Address,
        to: Address,
        data: impl Into<Bytes>,
        value: U256,
        gas: u64,
    ) -> Result<Done, Reverted> {
        self.pass(0);
        self.transact(from, TxKind::Call(to), data.into(), value, gas)
    }

    /// Asks a contract; nothing is kept.
    ///
    /// # Errors
    /// The call reverted, or what it answered does not decode.
    pub fn ask<C: SolCall>(&mut self, to: Address, call: &C) -> Result<C::Return> {
        let outcome = self.run(
            Address::ZERO,
            TxKind::Call(to),
            call.abi_encode().into(),
            U256::ZERO,
            GAS,
        )?;
        match outcome.result {
            ExecutionResult::Success { output, .. } => {
                C::abi_decode_returns(output.data()).context("reading an answer")
            }
            other => bail!("{}: {other:?}", C::SIGNATURE),
        }
    }

    /// Creates a contract.
    ///
    /// # Errors
    /// The constructor failed.
    pub fn create(&mut self, from: Address, code: Vec<u8>) -> Result<Address> {
        self.pass(0);
        let done = self
            .transact(from, TxKind::Create, code.into(), U256::ZERO, GAS)
            .map_err(|data| anyhow::anyhow!("creation reverted: {data}"))?;
        done.created.context("nothing was created")
    }

    fn run(
        &mut self,
        caller: Address,
        kind: TxKind,
        data: Bytes,
        value: U256,
        gas_limit: u64,
    ) -> Result<vouch_stylus::Outcome> {
        let tx = TxEnv {
            caller,
            kind,
            data,
            value,
            gas_limit,
            chain_id: Some(self.env.chain_id),
            ..TxEnv::default()
        };
        let options = Options {
            checks: Checks::Call,
            ..Options::default()
        };
        Ok(vouch_stylus::transact(
            &self.vm,
            &self.env,
            &mut self.db,
            tx,
            options,
        )?)
    }

    fn transact(
        &mut self,
        from: Address,
        kind: TxKind,
        data: Bytes,
        value: U256,
        gas: u64,
    ) -> Result<Done, Reverted> {
        let outcome = match self.run(from, kind, data, value, gas) {
            Ok(outcome) => outcome,
            // Only an invalid transaction or a broken machine leads here.
            Err(error) => panic!("the machine failed: {error:#}"),
        };
        self.db.commit(outcome.state);
        match outcome.result {
            ExecutionResult::Success {
                output, logs, gas, ..
            } => Ok(Done {
                created: output.address().copied(),
                output: output.into_data(),
                logs,
                gas: gas.tx_gas_used(),
            }),
            ExecutionResult::Revert { output, .. } => Err(output),
            ExecutionResult::Halt { .. } => Err(Bytes::new()),
        }
    }
}

/// The selector of an error, for comparing it with a revert's.
pub fn is_error<E: alloy::sol_types::SolError>(reverted: &Reverted) -> bool {
    reverted.get(..4) == Some(&E::SELECTOR)
}

/// A number as a word.
pub fn word(number: u64) -> B256 {
    U256::from(number).into()
}
