//! revm's machine with Stylus programs in it.

use revm::{
    Database, Inspector,
    bytecode::opcode::SELFDESTRUCT,
    context::{BlockEnv, CfgEnv, ContextTr, Evm, FrameStack, Journal, JournalTr, TxEnv},
    context_interface::context::ContextError,
    handler::{
        EthFrame, EvmTr, FrameInitOrResult, FrameResult, ItemOrResult,
        evm::{ContextDbError, FrameInitResult},
        instructions::EthInstructions,
    },
    inspector::{InspectorEvmTr, inspect_instructions},
    interpreter::{
        CallScheme, CreateScheme, FrameInput, Instruction, InstructionContext,
        InstructionExecResult, InstructionResult, InterpreterAction, instructions,
        interpreter::EthInterpreter, interpreter_action::FrameInit, interpreter_types::InputsTr,
    },
    primitives::{Address, Bytes, hardfork::SpecId},
};

use crate::{
    chain::Chain,
    code,
    engine::Vm,
    env::{Env, Options, SPEC, config},
    precompiles::Precompiles,
};

/// The context of an execution over the database `DB`.
pub type Ctx<DB> = revm::Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, Chain>;

pub(crate) type Instructions<DB> = EthInstructions<EthInterpreter, Ctx<DB>>;

type Inner<DB, I> = Evm<Ctx<DB>, I, Instructions<DB>, Precompiles, EthFrame>;

/// An EVM that runs frames with Stylus code in the WebAssembly engine.
pub struct StylusEvm<DB: Database, I> {
    pub(crate) inner: Inner<DB, I>,
    pub(crate) inspecting: bool,
    /// Lowest address the native stack may reach.
    pub(crate) stack_floor: usize,
    /// Why a program's host call failed fatally.
    pub(crate) fatal: Option<ContextError<DB::Error>>,
}

impl<DB: Database, I> std::fmt::Debug for StylusEvm<DB, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StylusEvm")
            .field("chain", &self.inner.ctx.chain)
            .finish_non_exhaustive()
    }
}

/// `SELFDESTRUCT`, which a Stylus account may not run through delegated code.
fn selfdestruct<DB: Database>(
    context: InstructionContext<'_, Ctx<DB>, EthInterpreter>,
) -> InstructionExecResult {
    let acting = context.interpreter.input.target_address();
    let version = context.host.chain.arbos_version;
    match context.host.journal_mut().code(acting) {
        Ok(code) if code::is_stylus(&code, version) => Err(InstructionResult::Revert),
        Ok(_) => instructions::host::selfdestruct(context),
        Err(error) => {
            context.host.error = Err(ContextError::Db(error));
            Err(InstructionResult::FatalExternalError)
        }
    }
}

impl<DB: Database, I> StylusEvm<DB, I> {
    pub(crate) fn new(
        vm: &Vm,
        env: &Env,
        db: DB,
        options: Options,
        inspector: I,
        inspecting: bool,
        stack_floor: usize,
    ) -> Self {
        let ctx = revm::Context {
            block: env.block.clone(),
            tx: TxEnv::default(),
            cfg: CfgEnv::<SpecId>::default(),
            journaled_state: JournalTr::new(db),
            chain: Chain::new(vm.clone(), env, options.record_hostios),
            local: Default::default(),
            error: Ok(()),
        }
        .with_cfg(config(env, options.checks));
        let mut instructions: Instructions<DB> = EthInstructions::new_mainnet_with_spec(SPEC);
        instructions.instruction_table_mut()[usize::from(SELFDESTRUCT)] =
            Instruction::new(selfdestruct::<DB>);
        let precompiles = Precompiles::new(SPEC);
        Self {
            inner: Evm::new_with_inspector(ctx, inspector, instructions, precompiles),
            inspecting,
            stack_floor,
            fatal: None,
        }
    }

    /// Whether the top frame runs a program.
    fn runs_program(&mut self) -> bool {
        let version = self.inner.ctx.chain.arbos_version;
        let frame = self.inner.frame_stack.get();
        matches!(frame.input, FrameInput::Call(_))
            && code::is_program(frame.interpreter.bytecode.original_byte_slice(), version)
    }

    /// The account whose open frames the top frame counts among; delegated frames count nowhere.
    fn counted(&mut self) -> Option<Address> {
        let frame = self.inner.frame_stack.get();
        let delegated = match &frame.input {
            FrameInput::Call(inputs) => {
                matches!(
                    inputs.scheme,
                    CallScheme::DelegateCall | CallScheme::CallCode
                )
            }
            _ => false,
        };
        (!delegated).then_some(frame.interpreter.input.target_address)
    }

    /// Ends or suspends the top frame.
    fn proceed(
        &mut self,
        mut action: InterpreterAction,
    ) -> Result<FrameInitOrResult<EthFrame>, ContextDbError<Ctx<DB>>> {
        let frame = self.inner.frame_stack.get();
        if frame.data.is_create() {
            refuse_reserved_code(&mut action, self.inner.ctx.chain.arbos_version);
        }
        let next =
            frame.process_next_action::<_, ContextDbError<Ctx<DB>>>(&mut self.inner.ctx, action)?;
        if let ItemOrResult::Result(result) = &next {
            frame.set_finished(true);
            let created = match result {
                FrameResult::Create(outcome) => outcome.address,
                FrameResult::Call(_) => None,
            };
            if let Some(address) = self.counted() {
                self.inner.ctx.chain.leave(address);
            }
            let target = self
                .inner
                .frame_stack
                .get()
                .interpreter
                .input
                .bytecode_address;
            self.close_evm_step(created.or(target));
        }
        Ok(next)
    }

    /// Whether the top frame was started by EVM code rather than by a program or a transaction:
    /// programs start each child on a stack of its own.
    fn started_by_evm(&self) -> bool {
        self.inner
            .frame_stack
            .index()
            .is_some_and(|index| index > 0)
    }

    fn close_evm_step(&mut self, address: Option<Address>) {
        if self.started_by_evm()
            && let Some(recorder) = &mut self.inner.ctx.chain.recorder
        {
            recorder.close_evm(address);
        }
    }
}

/// Refuses code that begins with 0xEF but is no Stylus code (EIP-3541).
fn refuse_reserved_code(action: &mut InterpreterAction, arbos_version: u64) {
    if let InterpreterAction::Return(result) = action
        && result.result.is_ok()
        && result.output.first() == Some(&0xef)
        && !code::is_stylus(&result.output, arbos_version)
    {
        result.result = InstructionResult::CreateContractStartingWithEF;
        result.output = Bytes::new();
        result.gas.spend_all();
    }
}

/// The name of the step for a frame that EVM code starts.
fn evm_step_name(input: &FrameInput) -> &'static str {
    match input {
        FrameInput::Call(inputs) => match inputs.scheme {
            CallScheme::Call | CallScheme::CallCode => "evm_call_contract",
            CallScheme::DelegateCall => "evm_delegate_call_contract",
            CallScheme::StaticCall => "evm_static_call_contract",
        },
        FrameInput::Create(inputs) => match inputs.scheme() {
            CreateScheme::Create2 { .. } => "evm_create2",
            _ => "evm_create1",
        },
        FrameInput::Empty => "evm_empty",
    }
}

impl<DB, I> EvmTr for StylusEvm<DB, I>
where
    DB: Database,
    I: Inspector<Ctx<DB>, EthInterpreter>,
{
    type Context = Ctx<DB>;
    type Instructions = Instructions<DB>;
    type Precompiles = Precompiles;
    type Frame = EthFrame;

    fn all(
        &self,
    ) -> (
        &Self::Context,
        &Self::Instructions,
        &Self::Precompiles,
        &FrameStack<Self::Frame>,
    ) {
        self.inner.all()
    }

    fn all_mut(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
    ) {
        self.inner.all_mut()
    }

    fn frame_init(
        &mut self,
        init: FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        let mut callee = None;
        let by_evm = self.inner.frame_stack.index().is_some();
        if by_evm && let Some(recorder) = &mut self.inner.ctx.chain.recorder {
            recorder.open_evm(evm_step_name(&init.frame_input));
            if let FrameInput::Call(inputs) = &init.frame_input {
                callee = Some(inputs.bytecode_address);
            }
        }
        match self.inner.frame_init(init)? {
            ItemOrResult::Item(_) => {}
            ItemOrResult::Result(result) => {
                if by_evm && let Some(recorder) = &mut self.inner.ctx.chain.recorder {
                    recorder.close_evm(callee.or(Some(Address::ZERO)));
                }
                return Ok(ItemOrResult::Result(result));
            }
        }
        if let Some(address) = self.counted() {
            self.inner.ctx.chain.enter(address);
        }
        Ok(ItemOrResult::Item(self.inner.frame_stack.get()))
    }

    fn frame_run(
        &mut self,
    ) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        let action = if self.runs_program() {
            InterpreterAction::Return(self.run_program()?)
        } else {
            let Evm {
                ctx,
                instruction,
                frame_stack,
                ..
            } = &mut self.inner;
            frame_stack.get().interpreter.run_plain(
                instruction.instruction_table(),
                instruction.gas_table(),
                ctx,
            )
        };
        self.proceed(action)
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.inner.frame_return_result(result)
    }
}

impl<DB, I> InspectorEvmTr for StylusEvm<DB, I>
where
    DB: Database,
    I: Inspector<Ctx<DB>, EthInterpreter>,
{
    type Inspector = I;

    fn all_inspector(
        &self,
    ) -> (
        &Self::Context,
        &Self::Instructions,
        &Self::Precompiles,
        &FrameStack<Self::Frame>,
        &Self::Inspector,
    ) {
        let Evm {
            ctx,
            inspector,
            instruction,
            precompiles,
            frame_stack,
        } = &self.inner;
        (ctx, instruction, precompiles, frame_stack, inspector)
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
        &mut Self::Inspector,
    ) {
        let Evm {
            ctx,
            inspector,
            instruction,
            precompiles,
            frame_stack,
        } = &mut self.inner;
        (ctx, instruction, precompiles, frame_stack, inspector)
    }

    fn inspect_frame_run(
        &mut self,
    ) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        let action = if self.runs_program() {
            InterpreterAction::Return(self.run_program()?)
        } else {
            let Evm {
                ctx,
                inspector,
                instruction,
                frame_stack,
                ..
            } = &mut self.inner;
            inspect_instructions(
                ctx,
                &mut frame_stack.get().interpreter,
                inspector,
                instruction.instruction_table(),
                instruction.gas_table(),
            )
        };
        let mut next = self.proceed(action)?;
        if let ItemOrResult::Result(result) = &mut next {
            let Evm {
                ctx,
                inspector,
                frame_stack,
                ..
            } = &mut self.inner;
            let input = &frame_stack.get().input;
            match (input, &mut *result) {
                (FrameInput::Call(inputs), FrameResult::Call(outcome)) => {
                    inspector.call_end(ctx, inputs, outcome);
                }
                (FrameInput::Create(inputs), FrameResult::Create(outcome)) => {
                    inspector.create_end(ctx, inputs, outcome);
                }
                _ => {}
            }
            inspector.frame_end(ctx, input, result);
        }
        Ok(next)
    }
}
