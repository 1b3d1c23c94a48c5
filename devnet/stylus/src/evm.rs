//! revm's machine with Stylus programs in it.

use revm::{
    Database, Inspector,
    context::{BlockEnv, CfgEnv, Evm, FrameStack, Journal, TxEnv},
    handler::{
        EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult,
        evm::{ContextDbError, FrameInitResult},
        instructions::EthInstructions,
    },
    inspector::InspectorEvmTr,
    interpreter::{interpreter::EthInterpreter, interpreter_action::FrameInit},
};

use crate::{
    chain::Chain,
    env::{Env, Options, SPEC, config},
    execute::Vm,
};

/// The context of an execution over the database `DB`.
pub type Ctx<DB> = revm::Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, Chain>;

pub(crate) type Instructions<DB> = EthInstructions<EthInterpreter, Ctx<DB>>;

type Inner<DB, I> = Evm<Ctx<DB>, I, Instructions<DB>, EthPrecompiles, EthFrame>;

/// An EVM that runs frames with Stylus code in the WebAssembly engine.
pub struct StylusEvm<DB: Database, I> {
    pub(crate) inner: Inner<DB, I>,
    pub(crate) inspecting: bool,
    pub(crate) stack_floor: usize,
}

impl<DB: Database, I> std::fmt::Debug for StylusEvm<DB, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StylusEvm")
            .field("chain", &self.inner.ctx.chain)
            .finish_non_exhaustive()
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
            cfg: CfgEnv::<revm::primitives::hardfork::SpecId>::default(),
            journaled_state: revm::context::JournalTr::new(db),
            chain: Chain::new(vm.clone(), env, options.record_hostios),
            local: Default::default(),
            error: Ok(()),
        }
        .with_cfg(config(env, options.checks));
        let instructions = EthInstructions::new_mainnet_with_spec(SPEC);
        let precompiles = EthPrecompiles::new(SPEC);
        Self {
            inner: Evm::new_with_inspector(ctx, inspector, instructions, precompiles),
            inspecting,
            stack_floor,
        }
    }
}

impl<DB: Database, I> EvmTr for StylusEvm<DB, I> {
    type Context = Ctx<DB>;
    type Instructions = Instructions<DB>;
    type Precompiles = EthPrecompiles;
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
        self.inner.frame_init(init)
    }

    fn frame_run(
        &mut self,
    ) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        self.inner.frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.inner.frame_return_result(result)
    }
}

impl<DB: Database, I: Inspector<Ctx<DB>, EthInterpreter>> InspectorEvmTr for StylusEvm<DB, I> {
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
}
