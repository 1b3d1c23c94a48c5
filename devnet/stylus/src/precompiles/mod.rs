//! Arbitrum's precompiles.
//!
//! What a local chain and the Stylus tools need is answered: activation and its parameters,
//! the cache of programs, chain owners, block and gas facts. Messages to a parent chain,
//! retryable tickets and address tables do not exist here, and calling them reverts.

mod abi;
mod arb_wasm;
mod cache;
mod owner;
mod system;

use alloy_sol_types::{SolCall, SolError, SolEvent, SolInterface};
use revm::{
    Database,
    context::{Block, ContextTr, Journal, JournalTr},
    context_interface::context::ContextError,
    handler::{EthPrecompiles, PrecompileProvider},
    interpreter::{CallInputs, CallValue, Gas, InstructionResult, InterpreterResult},
    primitives::{Address, AddressSet, Bytes, Log, U256, address, hardfork::SpecId},
};

use crate::evm::Ctx;

/// Facts about the chain and its blocks.
pub const ARB_SYS: Address = address!("0x0000000000000000000000000000000000000064");
/// Balances and codes of accounts.
pub const ARB_INFO: Address = address!("0x0000000000000000000000000000000000000065");
/// Public facts about the chain's owners and settings.
pub const ARB_OWNER_PUBLIC: Address = address!("0x000000000000000000000000000000000000006b");
/// Prices.
pub const ARB_GAS_INFO: Address = address!("0x000000000000000000000000000000000000006c");
/// Settings, for chain owners only.
pub const ARB_OWNER: Address = address!("0x0000000000000000000000000000000000000070");
/// Programs and their parameters.
pub const ARB_WASM: Address = address!("0x0000000000000000000000000000000000000071");
/// Which programs are kept cached.
pub const ARB_WASM_CACHE: Address = address!("0x0000000000000000000000000000000000000072");
/// Shortcuts of debug chains.
pub const ARB_DEBUG: Address = address!("0x00000000000000000000000000000000000000ff");

/// Every Arbitrum precompile.
pub const ADDRESSES: [Address; 8] = [
    ARB_SYS,
    ARB_INFO,
    ARB_OWNER_PUBLIC,
    ARB_GAS_INFO,
    ARB_OWNER,
    ARB_WASM,
    ARB_WASM_CACHE,
    ARB_DEBUG,
];

/// Gas for each word of arguments and results.
const WORD_GAS: u64 = 3;

/// Ethereum's precompiles and Arbitrum's.
#[derive(Clone, Debug)]
pub struct Precompiles {
    ethereum: EthPrecompiles,
    warm: AddressSet,
}

impl Precompiles {
    pub(crate) fn new(spec: SpecId) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let warm = with_arbitrum(&ethereum);
        Self { ethereum, warm }
    }
}

fn with_arbitrum(ethereum: &EthPrecompiles) -> AddressSet {
    let mut warm = AddressSet::default();
    warm.clone_from(ethereum.warm_addresses());
    for address in ADDRESSES {
        warm.insert(address);
    }
    warm
}

impl<DB: Database> PrecompileProvider<Ctx<DB>> for Precompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        let changed =
            <EthPrecompiles as PrecompileProvider<Ctx<DB>>>::set_spec(&mut self.ethereum, spec);
        self.warm = with_arbitrum(&self.ethereum);
        changed
    }

    fn run(
        &mut self,
        context: &mut Ctx<DB>,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        if !ADDRESSES.contains(&inputs.bytecode_address) {
            return self.ethereum.run(context, inputs);
        }
        if inputs.bytecode_address == ARB_DEBUG && !context.chain.debug {
            return Ok(None);
        }
        Ok(Some(
            Call::new(context, inputs).run(inputs.bytecode_address),
        ))
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }

    fn contains(&self, address: &Address) -> bool {
        self.warm.contains(address)
    }
}

/// How a precompile's method ends other than by returning.
#[derive(Debug)]
enum Fault {
    /// A revert with this data; gas not used is kept.
    Revert(Bytes),
    /// A revert without data that takes all gas: no such method, or not allowed to call it.
    Refused,
    OutOfGas,
    /// The database failed; the context holds the cause.
    Fatal,
}

impl Fault {
    fn custom(error: impl SolError) -> Self {
        Self::Revert(error.abi_encode().into())
    }
}

type Answer = Result<Vec<u8>, Fault>;

/// What a method does to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    View,
    Write,
    Payable,
}

/// Encodes what `C` returns.
fn returns<C: SolCall>(value: &C::Return) -> Answer {
    Ok(C::abi_encode_returns(value))
}

/// A call to a precompile.
struct Call<'a, DB: Database> {
    ctx: &'a mut Ctx<DB>,
    input: Bytes,
    acting: Address,
    caller: Address,
    value: U256,
    is_static: bool,
    gas: Gas,
}

impl<'a, DB: Database> Call<'a, DB> {
    fn new(ctx: &'a mut Ctx<DB>, inputs: &CallInputs) -> Self {
        let input = inputs.input.bytes(ctx);
        let value = match inputs.value {
            CallValue::Transfer(value) => value,
            CallValue::Apparent(_) => U256::ZERO,
        };
        Self {
            ctx,
            input,
            acting: inputs.target_address,
            caller: inputs.caller,
            value,
            is_static: inputs.is_static,
            gas: Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir),
        }
    }

    fn run(mut self, precompile: Address) -> InterpreterResult {
        let answer = self.answer(precompile);
        let (result, output) = match answer {
            Ok(output) => (InstructionResult::Return, output.into()),
            Err(Fault::Revert(data)) => (InstructionResult::Revert, data),
            Err(Fault::Refused) => {
                self.gas.spend_all();
                (InstructionResult::Revert, Bytes::new())
            }
            Err(Fault::OutOfGas) => (InstructionResult::PrecompileOOG, Bytes::new()),
            Err(Fault::Fatal) => (InstructionResult::FatalExternalError, Bytes::new()),
        };
        if result.is_halt() {
            self.gas.spend_all();
        }
        InterpreterResult {
            result,
            output,
            gas: self.gas,
        }
    }

    fn answer(&mut self, precompile: Address) -> Answer {
        if self.acting != precompile {
            return Err(Fault::Refused);
        }
        let args = (self.input.len() as u64).saturating_sub(4);
        self.burn(WORD_GAS * args.div_ceil(32))?;
        let output = match precompile {
            ARB_SYS => system::arb_sys(self),
            ARB_INFO => system::arb_info(self),
            ARB_GAS_INFO => system::arb_gas_info(self),
            ARB_OWNER_PUBLIC => owner::arb_owner_public(self),
            ARB_OWNER => owner::arb_owner(self),
            ARB_DEBUG => owner::arb_debug(self),
            ARB_WASM => arb_wasm::arb_wasm(self),
            ARB_WASM_CACHE => cache::arb_wasm_cache(self),
            _ => Err(Fault::Refused),
        }?;
        self.burn(WORD_GAS * (output.len() as u64).div_ceil(32))?;
        Ok(output)
    }

    /// Reads the method called and its arguments.
    fn decode<I: SolInterface>(&self) -> Result<I, Fault> {
        I::abi_decode(&self.input).map_err(|_| Fault::Refused)
    }

    /// Checks that the call may have the effects of `method`.
    fn begin(&self, method: Method) -> Result<(), Fault> {
        let writes = method != Method::View;
        let pays = method != Method::Payable && !self.value.is_zero();
        if (writes && self.is_static) || pays {
            Err(Fault::Refused)
        } else {
            Ok(())
        }
    }

    fn burn(&mut self, gas: u64) -> Result<(), Fault> {
        if self.gas.record_regular_cost(gas) {
            Ok(())
        } else {
            Err(Fault::OutOfGas)
        }
    }

    fn log(&mut self, event: &impl SolEvent) {
        let log = Log {
            address: self.acting,
            data: event.encode_log_data(),
        };
        self.ctx.journal_mut().log(log);
    }

    fn journal(&mut self) -> &mut Journal<DB> {
        self.ctx.journal_mut()
    }

    /// Seconds of Unix time.
    fn now(&self) -> u64 {
        self.ctx.block.timestamp().saturating_to()
    }

    /// Unwraps what the database returned.
    fn db<T>(&mut self, result: Result<T, DB::Error>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.ctx.error = Err(ContextError::Db(error));
            Fault::Fatal
        })
    }

    /// Where fees go: the first chain owner.
    fn network_fee_account(&mut self) -> Result<Address, Fault> {
        let owners = crate::params::CHAIN_OWNERS.all(self.journal());
        Ok(self.db(owners)?.first().copied().unwrap_or_default())
    }

    /// Moves `amount` of what this call brought to `to`.
    fn send(&mut self, to: Address, amount: U256) -> Result<(), Fault> {
        let from = self.acting;
        let sent = self.journal().transfer(from, to, amount);
        match self.db(sent)? {
            None => Ok(()),
            Some(_) => Err(Fault::Refused),
        }
    }
}
