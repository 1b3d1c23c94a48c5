//! Activating programs, and everything about activated ones.

use std::sync::Arc;

use revm::{
    Database,
    context::JournalTr,
    primitives::{Address, B256, Bytes, U256},
};

use super::{
    Answer, Call, Fault, Method,
    abi::ArbWasm::{self, ArbWasmCalls as Calls},
    returns,
};
use crate::{
    code::{Code, decompress},
    engine::Compiled,
    frame::join_fragments,
    params::{Params, charge_data},
    pricing::ACTIVATION_FIXED_GAS,
    program::{Program, ProgramError, hours},
};

/// What `pageRamp` reports. The ramp itself follows the formula in [`crate::pricing`].
const PAGE_RAMP: u64 = 620_674_314;
/// Gas every activation pays beside its analysis. Only an owner of a live chain would raise it.
const EXTRA_ACTIVATION_GAS: u64 = 0;
const COLD_ACCOUNT: u64 = 2600;
const WARM_ACCOUNT: u64 = 100;
const COPY_WORD: u64 = 3;

impl From<ProgramError> for Fault {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotActivated => Self::custom(ArbWasm::ProgramNotActivated {}),
            ProgramError::NeedsUpgrade { have, want } => {
                Self::custom(ArbWasm::ProgramNeedsUpgrade {
                    version: have,
                    stylusVersion: want,
                })
            }
            ProgramError::Expired { age } => {
                Self::custom(ArbWasm::ProgramExpired { ageInSeconds: age })
            }
        }
    }
}

pub(super) fn arb_wasm<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<Calls>()?;
    call.begin(match method {
        Calls::activateProgram(_) | Calls::codehashKeepalive(_) => Method::Payable,
        _ => Method::View,
    })?;
    let params = call.params()?;
    match method {
        Calls::activateProgram(args) => {
            let (version, fee) = activate(call, &params, args.program)?;
            returns::<ArbWasm::activateProgramCall>(&ArbWasm::activateProgramReturn {
                version,
                dataFee: fee,
            })
        }
        Calls::codehashKeepalive(args) => {
            keepalive(call, &params, args.codehash)?;
            Ok(Vec::new())
        }
        Calls::stylusVersion(_) => returns::<ArbWasm::stylusVersionCall>(&params.version),
        Calls::codehashVersion(args) => {
            let program = call.active(&params, args.codehash)?;
            returns::<ArbWasm::codehashVersionCall>(&program.version)
        }
        Calls::codehashAsmSize(args) => {
            let program = call.active(&params, args.codehash)?;
            let bytes = program.asm_kb.saturating_mul(1024);
            returns::<ArbWasm::codehashAsmSizeCall>(&bytes)
        }
        Calls::programVersion(args) => {
            let program = call.active_at(&params, args.program)?;
            returns::<ArbWasm::programVersionCall>(&program.version)
        }
        Calls::programInitGas(args) => {
            let program = call.active_at(&params, args.program)?;
            let (load, start) = program.init_gas(&params);
            // Since version 2 a program that is not cached pays both.
            let uncached = if program.version > 1 {
                load + start
            } else {
                load
            };
            returns::<ArbWasm::programInitGasCall>(&(uncached, start).into())
        }
        Calls::programMemoryFootprint(args) => {
            let program = call.active_at(&params, args.program)?;
            returns::<ArbWasm::programMemoryFootprintCall>(&program.footprint)
        }
        Calls::programTimeLeft(args) => {
            let program = call.active_at(&params, args.program)?;
            let left = program.time_left(&params, call.now());
            returns::<ArbWasm::programTimeLeftCall>(&left)
        }
        Calls::inkPrice(_) => returns::<ArbWasm::inkPriceCall>(&params.ink_price),
        Calls::maxStackDepth(_) => returns::<ArbWasm::maxStackDepthCall>(&params.max_stack_depth),
        Calls::freePages(_) => returns::<ArbWasm::freePagesCall>(&params.free_pages),
        Calls::pageGas(_) => returns::<ArbWasm::pageGasCall>(&params.page_gas),
        Calls::pageRamp(_) => returns::<ArbWasm::pageRampCall>(&PAGE_RAMP),
        Calls::pageLimit(_) => returns::<ArbWasm::pageLimitCall>(&params.page_limit),
        Calls::minInitGas(_) => {
            let load = u64::from(params.min_init_gas) * 128;
            let start = u64::from(params.min_cached_init_gas) * 32;
            returns::<ArbWasm::minInitGasCall>(&(load, start).into())
        }
        Calls::initCostScalar(_) => {
            let percent = u64::from(params.init_cost_scalar) * 2;
            returns::<ArbWasm::initCostScalarCall>(&percent)
        }
        Calls::expiryDays(_) => returns::<ArbWasm::expiryDaysCall>(&params.expiry_days),
        Calls::keepaliveDays(_) => returns::<ArbWasm::keepaliveDaysCall>(&params.keepalive_days),
        Calls::blockCacheSize(_) => {
            returns::<ArbWasm::blockCacheSizeCall>(&params.block_cache_size)
        }
        Calls::activationGas(_) => returns::<ArbWasm::activationGasCall>(&EXTRA_ACTIVATION_GAS),
    }
}

impl<DB: Database> Call<'_, DB> {
    pub(super) fn params(&mut self) -> Result<Params, Fault> {
        let params = Params::load(self.journal());
        self.db(params)
    }

    pub(super) fn program(&mut self, codehash: B256) -> Result<Program, Fault> {
        let program = Program::load(self.journal(), codehash);
        self.db(program)
    }

    /// The record of a program that may run now.
    fn active(&mut self, params: &Params, codehash: B256) -> Result<Program, Fault> {
        let program = self.program(codehash)?;
        program.check(params, self.now())?;
        Ok(program)
    }

    fn active_at(&mut self, params: &Params, address: Address) -> Result<Program, Fault> {
        let codehash = self.codehash(address)?;
        self.active(params, codehash)
    }

    pub(super) fn codehash(&mut self, address: Address) -> Result<B256, Fault> {
        let hash = self.journal().code_hash(address);
        Ok(self.db(hash)?.data)
    }

    /// Gives `fee` to the chain and what is left of the value to the caller.
    fn settle(&mut self, fee: U256) -> Result<(), Fault> {
        let Some(rest) = self.value.checked_sub(fee) else {
            let (have, want) = (self.value, fee);
            return Err(Fault::custom(ArbWasm::ProgramInsufficientValue {
                have,
                want,
            }));
        };
        let fees = self.network_fee_account()?;
        self.send(fees, fee)?;
        let caller = self.caller;
        self.send(caller, rest)
    }
}

/// Activates the program at `address`; returns its version and the fee taken.
fn activate<DB: Database>(
    call: &mut Call<'_, DB>,
    params: &Params,
    address: Address,
) -> Result<(u16, U256), Fault> {
    call.burn(ACTIVATION_FIXED_GAS + EXTRA_ACTIVATION_GAS)?;
    let codehash = call.codehash(address)?;
    let code = call.journal().code(address);
    let code = call.db(code)?.data;
    let now = call.now();
    let known = call.program(codehash)?;
    if known.check(params, now).is_ok() {
        return Err(Fault::custom(ArbWasm::ProgramUpToDate {}));
    }
    let wasm = module_of(call, params, &code)?;
    let compiled = compile(call, params, &wasm)?;
    let shape = compiled.shape;
    call.burn(shape.analysis_gas())?;

    let asm = shape.asm_estimate();
    let (Ok(init_cost), Ok(cached_cost)) = (
        u16::try_from(shape.init_cost()),
        u16::try_from(shape.cached_init_cost()),
    ) else {
        return Err(Fault::Refused);
    };
    let asm_kb = asm.div_ceil(1024);
    let fee = charge_data(call.journal(), asm, now);
    let fee = call.db(fee)?;
    call.settle(fee)?;

    let program = Program {
        version: params.version,
        init_cost,
        cached_cost,
        footprint: shape.footprint,
        activated_at: hours(now),
        asm_kb,
        cached: known.cached,
    };
    let saved = program.save(call.journal(), codehash);
    call.db(saved)?;
    call.log(&ArbWasm::ProgramActivated {
        codehash,
        moduleHash: compiled.hash,
        program: address,
        dataFee: fee,
        version: params.version,
    });
    Ok((params.version, fee))
}

/// Reads the module behind `code`, paying for its fragments if it has any.
fn module_of<DB: Database>(
    call: &mut Call<'_, DB>,
    params: &Params,
    code: &Bytes,
) -> Result<Vec<u8>, Fault> {
    let version = call.ctx.chain.arbos_version;
    let limit = params.max_wasm_size as usize;
    let not_wasm = || Fault::custom(ArbWasm::ProgramNotWasm {});
    let (length, addresses) = match Code::parse(code, version) {
        Ok(Code::Classic { compressed }) => {
            return decompress(compressed, limit).map_err(|_| Fault::Refused);
        }
        Ok(Code::Root { length, fragments }) => (length, fragments),
        Ok(Code::Fragment { .. }) | Err(_) => return Err(not_wasm()),
    };
    if addresses.is_empty()
        || addresses.len() > usize::from(params.max_fragments)
        || length > params.max_wasm_size
    {
        return Err(Fault::Refused);
    }
    let mut fragments = Vec::new();
    for address in addresses {
        let loaded = call.journal().code(address);
        let loaded = call.db(loaded)?;
        let access = if loaded.is_cold {
            COLD_ACCOUNT
        } else {
            WARM_ACCOUNT
        };
        call.burn(access + COPY_WORD * (loaded.data.len() as u64).div_ceil(32))?;
        fragments.push((address, loaded.data));
    }
    join_fragments(&fragments, length, version, limit).map_err(|_| Fault::Refused)
}

/// Compiles a module for activation. A module that breaks the rules takes all gas.
fn compile<DB: Database>(
    call: &Call<'_, DB>,
    params: &Params,
    wasm: &[u8],
) -> Result<Arc<Compiled>, Fault> {
    let chain = &call.ctx.chain;
    let module = chain.vm.module(wasm, chain.debug).map_err(|error| {
        tracing::info!(%error, "activation failed");
        Fault::Refused
    })?;
    let pages = params.page_limit.saturating_sub(chain.open_pages);
    if module.shape.footprint > pages {
        tracing::info!(
            footprint = module.shape.footprint,
            pages,
            "activation failed"
        );
        return Err(Fault::Refused);
    }
    Ok(module)
}

/// Renews the activation of `codehash`.
fn keepalive<DB: Database>(
    call: &mut Call<'_, DB>,
    params: &Params,
    codehash: B256,
) -> Result<(), Fault> {
    let mut program = call.active(params, codehash)?;
    let now = call.now();
    let age = program.age(now);
    if age < u64::from(params.keepalive_days) * 86_400 {
        return Err(Fault::custom(ArbWasm::ProgramKeepaliveTooSoon {
            ageInSeconds: age,
        }));
    }
    let asm = program.asm_kb.saturating_mul(1024);
    let fee = charge_data(call.journal(), asm, now);
    let fee = call.db(fee)?;
    call.settle(fee)?;
    program.activated_at = hours(now);
    let saved = program.save(call.journal(), codehash);
    call.db(saved)?;
    call.log(&ArbWasm::ProgramLifetimeExtended {
        codehash,
        dataFee: fee,
    });
    Ok(())
}
