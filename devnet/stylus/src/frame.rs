//! Running one frame of a program: what it pays to begin, and what its end means to the EVM.

use revm::{
    Database, Inspector,
    context::{Block, Cfg, ContextTr, Journal, JournalTr, Transaction},
    context_interface::context::ContextError,
    handler::evm::ContextDbError,
    interpreter::{
        CallInputs, FrameInput, Gas, InstructionResult, InterpreterResult,
        interpreter::EthInterpreter,
    },
    primitives::{Address, Bytes},
};
use wasmtime::{Store, Val};

use crate::{
    code::{self, Code, CodeError, decompress},
    engine::{CompileError, Compiled, PROGRAM_STACK},
    evm::{Ctx, StylusEvm},
    guest::{Escape, Facts, Guest, Handles, Prices, ink_left},
    instrument::{INK_LEFT, INK_STATUS, STACK_LEFT},
    machine::Frame,
    params::Params,
    pricing::{gas_to_ink, ink_to_gas, page_gas},
    program::Program,
    trace::HostioStep,
    validate::{ENTRYPOINT, MEMORY, START},
};

/// Native stack that the host's own functions need between two programs.
const HOST_STACK: usize = 192 << 10;

/// How a program's run ended.
#[derive(Debug)]
enum End {
    Returned(u32),
    OutOfInk,
    OutOfStack,
    /// A trap or a refused host call.
    Failed(String),
    Fatal,
}

/// Why a module cannot be brought to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError<E> {
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("database failed")]
    Database(E),
}

/// Reads an account's code without marking the account warm.
fn peek_code<DB: Database>(
    journal: &mut Journal<DB>,
    address: Address,
) -> Result<Bytes, DB::Error> {
    let (db, state) = journal.db_and_state_mut();
    let info = match state.get(&address) {
        Some(account) => account.info.clone(),
        None => db.basic(address)?.unwrap_or_default(),
    };
    let code = match info.code {
        Some(code) => code,
        None => db.code_by_hash(info.code_hash)?,
    };
    Ok(code.original_bytes())
}

/// The module that `code` holds or leads to.
fn load_module<DB: Database>(
    journal: &mut Journal<DB>,
    code: &[u8],
    arbos_version: u64,
    limit: usize,
) -> Result<Vec<u8>, LoadError<DB::Error>> {
    match Code::parse(code, arbos_version)? {
        Code::Classic { compressed } => Ok(decompress(compressed, limit)?),
        Code::Fragment { .. } => Err(CodeError::NotStylus.into()),
        Code::Root { length, fragments } => {
            let mut slices = Vec::new();
            for address in fragments {
                let code = peek_code(journal, address).map_err(LoadError::Database)?;
                slices.push((address, code));
            }
            join_fragments(&slices, length, arbos_version, limit).map_err(Into::into)
        }
    }
}

/// Decompresses a large program from the codes of its fragments.
pub(crate) fn join_fragments(
    fragments: &[(Address, Bytes)],
    length: u32,
    arbos_version: u64,
    limit: usize,
) -> Result<Vec<u8>, CodeError> {
    let mut stream = Vec::new();
    for (address, code) in fragments {
        match Code::parse(code, arbos_version) {
            Ok(Code::Fragment { slice }) => stream.extend_from_slice(slice),
            _ => return Err(CodeError::NotFragment(*address)),
        }
    }
    let wasm = decompress(&stream, limit)?;
    if wasm.len() != length as usize {
        return Err(CodeError::StatedLength {
            actual: wasm.len(),
            stated: length,
        });
    }
    Ok(wasm)
}

/// A frame's end by an exceptional halt, which takes all gas.
fn halt(mut gas: Gas, result: InstructionResult) -> InterpreterResult {
    gas.spend_all();
    gas.set_refund(0);
    InterpreterResult {
        result,
        output: Bytes::new(),
        gas,
    }
}

impl<DB, I> StylusEvm<DB, I>
where
    DB: Database,
    I: Inspector<Ctx<DB>, EthInterpreter>,
{
    /// Runs the program of the top frame.
    pub(crate) fn run_program(&mut self) -> Result<InterpreterResult, ContextDbError<Ctx<DB>>> {
        let frame = self.inner.frame_stack.get();
        let depth = frame.depth;
        let code = frame.interpreter.bytecode.original_bytes();
        let FrameInput::Call(inputs) = &frame.input else {
            return Err(ContextError::Custom(
                "a program runs only when called".to_owned(),
            ));
        };
        let inputs = inputs.clone();
        // The buffer that arguments may lie in changes with the first nested call.
        let args = inputs.input.bytes(&self.inner.ctx);
        let mut gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);

        let codehash = inputs.known_bytecode.0;
        let now = self.inner.ctx.block.timestamp().saturating_to::<u64>();
        let params = Params::load(self.inner.ctx.journal_mut()).map_err(ContextError::Db)?;
        let program =
            Program::load(self.inner.ctx.journal_mut(), codehash).map_err(ContextError::Db)?;
        if program.check(&params, now).is_err() {
            return Ok(halt(gas, InstructionResult::NotActivated));
        }

        let chain = &mut self.inner.ctx.chain;
        let recent = chain.recent.touch(codehash, params.block_cache_size.into())
            && chain.arbos_version >= crate::code::FRAGMENTS_SINCE;
        let start = program.start_gas(&params, recent).saturating_add(page_gas(
            program.footprint,
            chain.open_pages,
            chain.ever_pages,
            params.free_pages,
            params.page_gas,
        ));
        if !gas.record_regular_cost(start) {
            return Ok(halt(gas, InstructionResult::OutOfGas));
        }
        if self.stack_left() < PROGRAM_STACK + HOST_STACK {
            // As at the EVM's own depth limit, the caller keeps what the call did not use.
            let gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
            let result = InstructionResult::CallTooDeep;
            return Ok(InterpreterResult {
                result,
                output: Bytes::new(),
                gas,
            });
        }

        let chain = &self.inner.ctx.chain;
        let (vm, debug, version) = (chain.vm.clone(), chain.debug, chain.arbos_version);
        let limit = params.max_wasm_size as usize;
        let journal = self.inner.ctx.journal_mut();
        let module = if code::is_root(&code) {
            // The hash of a root says nothing about its fragments.
            load_module(journal, &code, version, limit)
                .and_then(|wasm| vm.module(&wasm, debug).map_err(Into::into))
        } else {
            vm.code(codehash, debug, || {
                load_module(journal, &code, version, limit)
            })
        };
        let module = match module {
            Ok(module) => module,
            Err(LoadError::Database(error)) => return Err(ContextError::Db(error)),
            Err(error) => {
                // Only parameters changed since activation lead here.
                tracing::warn!(%codehash, %error, "activated program cannot be loaded");
                return Ok(halt(gas, InstructionResult::NotActivated));
            }
        };

        let chain = &mut self.inner.ctx.chain;
        let open_pages = chain.open_pages;
        chain.take_pages(program.footprint);
        let frame = Frame {
            acting: inputs.target_address,
            caller: inputs.caller,
            value: inputs.value.get(),
            is_static: inputs.is_static,
            depth,
        };
        let ink = gas_to_ink(gas.remaining(), params.ink_price);
        let run = self.run_module(&module, &params, frame, args, ink);
        self.inner.ctx.chain.open_pages = open_pages;
        Ok(match run.end {
            End::Fatal => {
                let unknown = || ContextError::Custom("host call failed".to_owned());
                return Err(self.fatal.take().unwrap_or_else(unknown));
            }
            End::OutOfInk => halt(gas, InstructionResult::OutOfGas),
            End::OutOfStack => halt(gas, InstructionResult::CallTooDeep),
            End::Failed(reason) => {
                tracing::debug!(program = %inputs.target_address, reason, "program failed");
                gas.set_remaining(ink_to_gas(run.ink, params.ink_price).min(gas.remaining()));
                finish(gas, &inputs, InstructionResult::Revert, Bytes::new())
            }
            End::Returned(status) => {
                gas.set_remaining(ink_to_gas(run.ink, params.ink_price).min(gas.remaining()));
                let result = if status == 0 {
                    gas.record_refund(run.refund);
                    InstructionResult::Return
                } else {
                    InstructionResult::Revert
                };
                finish(gas, &inputs, result, run.output)
            }
        })
    }

    /// Native stack between here and the floor.
    fn stack_left(&self) -> usize {
        let here = 0u8;
        (std::ptr::from_ref(&here) as usize).saturating_sub(self.stack_floor)
    }

    fn facts(&self) -> Facts {
        let ctx = &self.inner.ctx;
        let basefee = ctx.block.basefee();
        Facts {
            basefee: revm::primitives::U256::from(basefee),
            coinbase: ctx.block.beneficiary(),
            gas_limit: ctx.block.gas_limit(),
            number: ctx.block.number().saturating_to(),
            timestamp: ctx.block.timestamp().saturating_to(),
            chain_id: ctx.cfg.chain_id(),
            gas_price: revm::primitives::U256::from(ctx.tx.effective_gas_price(basefee.into())),
            origin: ctx.tx.caller(),
        }
    }

    fn record(&mut self, name: &str, args: &[u8], outs: &[u8], ink: u64) {
        if let Some(recorder) = &mut self.inner.ctx.chain.recorder {
            recorder.push(HostioStep {
                name: name.to_owned(),
                args: Bytes::copy_from_slice(args),
                outs: Bytes::copy_from_slice(outs),
                start_ink: ink,
                end_ink: ink,
                address: None,
                steps: Vec::new(),
            });
        }
    }

    /// Instantiates a module and runs it to its end with `ink`.
    fn run_module(
        &mut self,
        module: &Compiled,
        params: &Params,
        frame: Frame,
        args: Bytes,
        ink: u64,
    ) -> Run {
        // Calldata is bounded by the block's gas, far below 4 GiB.
        let args_len = args.len() as u32;
        self.record("user_entrypoint", &args_len.to_be_bytes(), &[], ink);
        let facts = self.facts();
        let prices = Prices {
            ink_per_gas: params.ink_price,
            free_pages: params.free_pages,
            page_gas: params.page_gas,
        };
        let engine = self.inner.ctx.chain.vm.engine().clone();
        // SAFETY: the store is dropped at the end of this block, and until then `self` is
        // reached only through the guest.
        let run = {
            let guest = unsafe { Guest::new(self, frame, facts, prices, args) };
            let mut store = Store::new(&engine, guest);
            let (end, ink) = run_instance(&mut store, module, params, args_len, ink);
            let guest = store.into_data();
            Run {
                end,
                ink,
                output: guest.output,
                refund: guest.refund,
            }
        };
        let status = match run.end {
            End::Returned(status) => status,
            _ => 1,
        };
        self.record("user_returned", &[], &status.to_be_bytes(), run.ink);
        run
    }
}

/// What a run left behind.
struct Run {
    end: End,
    ink: u64,
    output: Bytes,
    refund: i64,
}

/// Runs an instance of `module`; returns how it ended and the ink it left.
fn run_instance(
    store: &mut Store<Guest>,
    module: &Compiled,
    params: &Params,
    args_len: u32,
    ink: u64,
) -> (End, u64) {
    let failed = |error: wasmtime::Error| (End::Failed(format!("{error:#}")), ink);
    let missing = |what: &str| (End::Failed(format!("no {what} in the module")), ink);
    let instance = match module.pre.instantiate(&mut *store) {
        Ok(instance) => instance,
        Err(error) => return failed(error),
    };
    let Some(memory) = instance.get_memory(&mut *store, MEMORY) else {
        return missing(MEMORY);
    };
    let Some(ink_global) = instance.get_global(&mut *store, INK_LEFT) else {
        return missing(INK_LEFT);
    };
    let Some(stack) = instance.get_global(&mut *store, STACK_LEFT) else {
        return missing(STACK_LEFT);
    };
    let Some(status) = instance.get_global(&mut *store, INK_STATUS) else {
        return missing(INK_STATUS);
    };
    let handles = Handles {
        memory,
        ink: ink_global,
    };
    store.data_mut().handles = Some(handles);
    let set = ink_global
        .set(&mut *store, Val::I64(ink as i64))
        .and_then(|()| stack.set(&mut *store, Val::I32(params.max_stack_depth as i32)));
    if let Err(error) = set {
        return failed(error);
    }
    let mut result = Ok(0);
    if module.has_start {
        result = instance
            .get_typed_func::<(), ()>(&mut *store, START)
            .and_then(|start| start.call(&mut *store, ()))
            .map(|()| 0);
    }
    if result.is_ok() {
        result = instance
            .get_typed_func::<u32, u32>(&mut *store, ENTRYPOINT)
            .and_then(|entry| entry.call(&mut *store, args_len));
    }
    let left = ink_left(handles, &mut *store);
    let out_of_ink = matches!(status.get(&mut *store), Val::I32(1..));
    let out_of_stack = matches!(stack.get(&mut *store), Val::I32(0));
    let end = match result {
        Ok(status) => End::Returned(status),
        Err(error) => match error.downcast_ref::<Escape>() {
            Some(Escape::Exit(status)) => End::Returned(*status),
            Some(Escape::OutOfInk) => End::OutOfInk,
            Some(Escape::Fatal) => End::Fatal,
            Some(escape) => End::Failed(escape.to_string()),
            None if out_of_ink => End::OutOfInk,
            None if out_of_stack => End::OutOfStack,
            None => match error.downcast_ref::<wasmtime::Trap>() {
                Some(wasmtime::Trap::StackOverflow) => End::OutOfStack,
                _ => End::Failed(format!("{error:#}")),
            },
        },
    };
    let left = if matches!(end, End::OutOfInk | End::OutOfStack) {
        0
    } else {
        left
    };
    (end, left)
}

/// Ends a frame, having it pay at least what returning its data would cost in the EVM.
fn finish(
    mut gas: Gas,
    inputs: &CallInputs,
    result: InstructionResult,
    output: Bytes,
) -> InterpreterResult {
    let words = (output.len() as u64).div_ceil(32);
    let floor = 3 * words + words * words / 512;
    match inputs.gas_limit.checked_sub(floor) {
        Some(most) => gas.set_remaining(gas.remaining().min(most)),
        None => return halt(gas, InstructionResult::OutOfGas),
    }
    InterpreterResult {
        result,
        output,
        gas,
    }
}
