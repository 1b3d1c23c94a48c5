//! Calls that leave no trace: `eth_call`, gas estimates, access lists.

use alloy::{
    eips::{
        Typed2718,
        eip2930::{AccessList, AccessListItem},
    },
    primitives::{Address, B256, Bytes, TxKind, U256},
    rpc::types::{
        BlockOverrides, TransactionRequest,
        state::{AccountOverride, StateOverride},
    },
};
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, TxEnv, result::ExecutionResult},
    context_interface::either::Either,
    database::DatabaseRef,
    state::EvmState,
};

use super::{At, Chain, Error, history::Version};
use crate::execute::{Db, Outcome, RecentPrograms, Run, Strictness, halt_name, ran_out_of_gas};

/// What a call pretends about state and block.
#[derive(Clone, Debug, Default)]
pub struct CallOverrides {
    /// Accounts that are different.
    pub state: Option<StateOverride>,
    /// Block fields that are different.
    pub block: Option<Box<BlockOverrides>>,
}

/// A call ready to run.
pub(super) struct Prepared<'a> {
    pub(super) db: Db<'a>,
    pub(super) run: Run,
}

impl Chain {
    /// Runs a call and returns its output.
    ///
    /// # Errors
    /// It reverts, ends exceptionally, or makes no sense.
    pub fn call(
        &mut self,
        request: TransactionRequest,
        at: At,
        overrides: CallOverrides,
    ) -> Result<Bytes, Error> {
        self.at(at, |chain, version, block| {
            let mut call = chain.prepare(&request, version, block, &overrides)?;
            let outcome = chain.machine.execute(&mut call.db, call.run)?;
            output(outcome.result)
        })
    }

    /// The least gas limit with which a transaction succeeds; above a million gas, at most a
    /// fiftieth more.
    ///
    /// # Errors
    /// It reverts or ends exceptionally whatever the limit.
    pub fn estimate(
        &mut self,
        request: TransactionRequest,
        at: At,
        overrides: CallOverrides,
    ) -> Result<u64, Error> {
        self.at(at, |chain, version, block| {
            let most = chain.most_gas(&request, version, &block, &overrides);
            let mut request = request;
            request.gas = Some(most);
            let Prepared { db, run } = chain.prepare(&request, version, block, &overrides)?;
            let attempt = |gas: u64| -> Result<Outcome, Error> {
                let mut run = run.clone();
                run.tx.gas_limit = gas;
                chain.machine.execute(&mut db.clone(), run)
            };
            let first = attempt(most)?;
            match &first.result {
                ExecutionResult::Success { .. } => {}
                ExecutionResult::Halt { reason, .. } if ran_out_of_gas(reason) => {
                    return Err(Error::OutOfGas { allowance: most });
                }
                _ => return output(first.result).map(|_| most),
            }
            let gas = first.result.gas();
            // Invariant: `low` is not enough, `high` is. What was spent before refunds is the
            // least that can be; it is enough unless the program keeps some gas back.
            let mut low = gas.total_gas_spent().saturating_sub(1);
            let mut high = most;
            // Next, with a stipend and the part withheld from sub-calls.
            let withheld = (gas.total_gas_spent() + 2_300) * 64 / 63;
            for likely in [gas.total_gas_spent(), withheld] {
                if low < likely && likely < high {
                    match succeeds(attempt(likely))? {
                        true => high = likely,
                        false => low = likely,
                    }
                }
            }
            while high - low > tolerance(high) {
                let middle = low + (high - low) / 2;
                match succeeds(attempt(middle))? {
                    true => high = middle,
                    false => low = middle,
                }
            }
            Ok(high)
        })
    }

    /// The addresses and slots a transaction touches, and the gas it uses when it lists them.
    ///
    /// # Errors
    /// It reverts or ends exceptionally.
    pub fn access_list(
        &mut self,
        request: TransactionRequest,
        at: At,
        overrides: CallOverrides,
    ) -> Result<(AccessList, u64), Error> {
        self.at(at, |chain, version, block| {
            let Prepared { db, run } = chain.prepare(&request, version, block, &overrides)?;
            let first = chain.machine.execute(&mut db.clone(), run.clone())?;
            let created = first.result.created_address();
            output(first.result)?;
            let callee = run.tx.kind.to().copied().or(created);
            let list = touched(&first.state, run.tx.caller, callee, run.block.beneficiary);
            let mut again = run;
            again.tx.access_list = list.clone();
            if again.tx.tx_type == 0 {
                again.tx.tx_type = 1;
            }
            let second = chain.machine.execute(&mut db.clone(), again)?;
            let used = second.result.tx_gas_used();
            output(second.result)?;
            Ok((list, used))
        })
    }

    /// The largest gas limit worth trying for a request.
    fn most_gas(
        &self,
        request: &TransactionRequest,
        version: Version,
        block: &BlockEnv,
        overrides: &CallOverrides,
    ) -> u64 {
        let limit = block.gas_limit.min(self.call_gas_limit);
        // A limit below that of a plain transfer is a slip, not a wish.
        let mut most = request
            .gas
            .filter(|gas| *gas >= 21_000)
            .unwrap_or(limit)
            .min(limit);
        let price = request.fee_cap().filter(|price| *price > 0);
        if let (Some(price), Some(from)) = (price, request.from) {
            let balance = overridden(overrides, &from)
                .and_then(|account| account.balance)
                .unwrap_or_else(|| self.history.account_at(&from, version).balance);
            let left = balance.saturating_sub(request.value.unwrap_or_default());
            most = most.min((left / U256::from(price)).saturating_to());
        }
        most
    }

    /// Makes a request ready to run at `version` in `block`.
    pub(super) fn prepare(
        &self,
        request: &TransactionRequest,
        version: Version,
        block: BlockEnv,
        overrides: &CallOverrides,
    ) -> Result<Prepared<'_>, Error> {
        let mut block = block;
        if let Some(fields) = &overrides.block {
            override_block(&mut block, fields)?;
        }
        let mut db = self.db(version);
        for (address, account) in overrides.state.iter().flatten() {
            override_account(&mut db, *address, account)?;
        }
        let caller = request.from.unwrap_or_default();
        let limit = block.gas_limit.min(self.call_gas_limit);
        let tx = TxEnv {
            tx_type: request.minimal_tx_type().ty(),
            caller,
            gas_limit: request.gas.unwrap_or(limit).min(limit),
            gas_price: request.fee_cap().unwrap_or_default(),
            kind: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            data: request.input.input().cloned().unwrap_or_default(),
            nonce: 0,
            chain_id: Some(self.chain_id),
            access_list: request.access_list.clone().unwrap_or_default(),
            gas_priority_fee: request.max_priority_fee_per_gas,
            authorization_list: request
                .authorization_list
                .iter()
                .flatten()
                .cloned()
                .map(Either::Left)
                .collect(),
            ..TxEnv::default()
        };
        if request.blob_versioned_hashes.is_some() {
            return Err(Error::BlobTransaction);
        }
        let account = db.basic_ref(caller).unwrap_or_default().unwrap_or_default();
        let affordable = U256::from(tx.gas_price)
            .checked_mul(U256::from(request.gas.unwrap_or_default()))
            .and_then(|gas| gas.checked_add(tx.value))
            .is_some_and(|cost| cost <= account.balance);
        if !affordable {
            return Err(Error::InsufficientFunds);
        }
        let tx = TxEnv {
            nonce: account.nonce,
            ..tx
        };
        let run = Run {
            chain_id: self.chain_id,
            block,
            recent: RecentPrograms::default(),
            tx,
            checks: Strictness::Call,
        };
        Ok(Prepared { db, run })
    }
}

/// The output of a call that succeeded.
fn output(result: ExecutionResult) -> Result<Bytes, Error> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(Error::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(Error::Halted(halt_name(&reason))),
    }
}

/// How far an estimate may be above the least gas that suffices. A transaction of more than a
/// million gas is slow to try, and a fiftieth more of its gas limit harms nobody.
fn tolerance(gas: u64) -> u64 {
    if gas > 1_000_000 { gas / 50 } else { 1 }
}

/// Whether an attempt with some gas limit succeeded; a limit below the fixed costs did not.
fn succeeds(attempt: Result<Outcome, Error>) -> Result<bool, Error> {
    match attempt {
        Ok(outcome) => Ok(outcome.result.is_success()),
        Err(Error::CallIntrinsicGas) => Ok(false),
        Err(error) => Err(error),
    }
}

fn overridden<'a>(overrides: &'a CallOverrides, address: &Address) -> Option<&'a AccountOverride> {
    overrides.state.as_ref()?.get(address)
}

fn override_block(block: &mut BlockEnv, fields: &BlockOverrides) -> Result<(), Error> {
    if let Some(number) = fields.number {
        block.number = number;
    }
    if let Some(time) = fields.time {
        block.timestamp = U256::from(time);
    }
    if let Some(gas_limit) = fields.gas_limit {
        block.gas_limit = gas_limit;
    }
    if let Some(coinbase) = fields.coinbase {
        block.beneficiary = coinbase;
    }
    if let Some(random) = fields.random {
        block.prevrandao = Some(random);
    }
    if let Some(difficulty) = fields.difficulty {
        block.difficulty = difficulty;
    }
    if let Some(base_fee) = fields.base_fee {
        block.basefee = base_fee.try_into().map_err(|_| {
            Error::Refused(format!(
                "block override `baseFee` is {base_fee}, more than 64 bits"
            ))
        })?;
    }
    Ok(())
}

fn override_account(
    db: &mut Db<'_>,
    address: Address,
    account: &AccountOverride,
) -> Result<(), Error> {
    let mut info = db
        .basic_ref(address)
        .unwrap_or_default()
        .unwrap_or_default();
    if let Some(balance) = account.balance {
        info.balance = balance;
    }
    if let Some(nonce) = account.nonce {
        info.nonce = nonce;
    }
    if let Some(code) = &account.code {
        let code = Bytecode::new_raw_checked(code.clone())
            .unwrap_or_else(|_| Bytecode::new_legacy(code.clone()));
        info.code_hash = code.hash_slow();
        info.code = Some(code);
    }
    if account.move_precompile_to.is_some() {
        return Err(Error::Refused(format!(
            "state override of {address}: `movePrecompileToAddress` is not supported"
        )));
    }
    db.insert_account_info(address, info);
    let words = |slots: &alloy::primitives::map::B256HashMap<B256>| {
        slots
            .iter()
            .map(|(key, value)| (U256::from_be_bytes(key.0), U256::from_be_bytes(value.0)))
            .collect::<Vec<_>>()
    };
    match (&account.state, &account.state_diff) {
        (Some(_), Some(_)) => Err(Error::Refused(format!(
            "state override of {address}: give `state` or `stateDiff`, not both"
        ))),
        (Some(slots), None) => {
            let Ok(()) = db.replace_account_storage(address, words(slots).into_iter().collect());
            Ok(())
        }
        (None, diff) => {
            for (key, value) in diff.iter().flat_map(words) {
                let Ok(()) = db.insert_account_storage(address, key, value);
            }
            Ok(())
        }
    }
}

/// What a transaction touched beyond what it names anyway.
fn touched(state: &EvmState, from: Address, to: Option<Address>, coinbase: Address) -> AccessList {
    let mut items: Vec<AccessListItem> = state
        .iter()
        .filter(|(address, account)| {
            let named = **address == from || Some(**address) == to || **address == coinbase;
            (!named && !is_precompile(address)) || !account.storage.is_empty()
        })
        .map(|(address, account)| {
            let mut storage_keys: Vec<B256> =
                account.storage.keys().map(|key| B256::from(*key)).collect();
            storage_keys.sort();
            AccessListItem {
                address: *address,
                storage_keys,
            }
        })
        .collect();
    items.sort_by_key(|item| item.address);
    AccessList(items)
}

/// Addresses that are warm anyway: Ethereum's precompiles, and those of Arbitrum.
fn is_precompile(address: &Address) -> bool {
    let bytes = address.as_slice();
    let low = u64::from_be_bytes(bytes[12..].try_into().expect("eight bytes"));
    bytes[..12].iter().all(|byte| *byte == 0)
        && (low <= 0x11 || low == 0x100 || (0x64..=0xff).contains(&low))
}
