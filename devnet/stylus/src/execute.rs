//! Running one transaction.

use std::{any::Any, panic::resume_unwind, thread};

use revm::{
    Database, Inspector,
    context::{
        ContextSetters, ContextTr, JournalTr, TxEnv,
        result::{EVMError, ExecutionResult},
    },
    handler::{EthFrame, Handler, MainnetHandler},
    inspector::{InspectorHandler, NoOpInspector},
    interpreter::interpreter::EthInterpreter,
    state::EvmState,
};

use crate::{
    chain::RecentPrograms,
    engine::Vm,
    env::{Checks, Env, Options},
    evm::{Ctx, StylusEvm},
    trace::HostioStep,
};

/// Stack reserved (not committed) for one execution. Nested programs recurse natively; a program
/// that would not fit is stopped with a depth error, see `evm`.
pub(crate) const STACK_BYTES: usize = 1 << 30;

/// What one transaction did. Nothing is committed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Success, revert or halt with gas, logs and output.
    pub result: ExecutionResult,
    /// Accounts touched, for [`revm::DatabaseCommit::commit`].
    pub state: EvmState,
    /// The block's recently run programs after this transaction, for [`Env::recent`].
    pub recent: RecentPrograms,
    /// Host calls of every program, if [`Options::record_hostios`] was set.
    pub steps: Vec<HostioStep>,
}

/// Runs `tx` on `db` in the environment `env`.
///
/// # Errors
/// The transaction is invalid (it does not belong in a block), or `db` failed.
pub fn transact<DB>(
    vm: &Vm,
    env: &Env,
    db: DB,
    tx: TxEnv,
    options: Options,
) -> Result<Outcome, EVMError<DB::Error>>
where
    DB: Database + Send,
    DB::Error: Send,
{
    run(vm, env, db, tx, options, NoOpInspector, false)
}

/// Runs `tx` like [`transact`] and reports every EVM step, every log and every frame, of EVM code
/// and of programs alike, to `inspector`. Pass `&mut inspector` to keep it.
///
/// # Errors
/// As [`transact`].
pub fn inspect<DB, I>(
    vm: &Vm,
    env: &Env,
    db: DB,
    tx: TxEnv,
    options: Options,
    inspector: I,
) -> Result<Outcome, EVMError<DB::Error>>
where
    DB: Database + Send,
    DB::Error: Send,
    I: Inspector<Ctx<DB>, EthInterpreter> + Send,
{
    run(vm, env, db, tx, options, inspector, true)
}

fn run<DB, I>(
    vm: &Vm,
    env: &Env,
    db: DB,
    tx: TxEnv,
    options: Options,
    inspector: I,
    inspecting: bool,
) -> Result<Outcome, EVMError<DB::Error>>
where
    DB: Database + Send,
    DB::Error: Send,
    I: Inspector<Ctx<DB>, EthInterpreter> + Send,
{
    on_big_stack(|floor| {
        let mut evm = StylusEvm::new(vm, env, db, options, inspector, inspecting, floor);
        let mut tx = tx;
        if options.checks == Checks::Call && tx.chain_id.is_some() {
            tx.chain_id = Some(env.chain_id);
        }
        evm.inner.ctx.set_tx(tx);
        let mut handler = MainnetHandler::<_, EVMError<DB::Error>, EthFrame>::default();
        let result = if inspecting {
            handler.inspect_run(&mut evm)
        } else {
            handler.run(&mut evm)
        };
        let state = evm.inner.ctx.journal_mut().finalize();
        let chain = evm.inner.ctx.chain;
        Ok(Outcome {
            result: result?,
            state,
            recent: chain.recent,
            steps: chain
                .recorder
                .map(|recorder| recorder.finish())
                .unwrap_or_default(),
        })
    })
    .unwrap_or_else(|error| Err(EVMError::Custom(error)))
}

/// Runs `body` on a fresh thread with [`STACK_BYTES`] of stack, giving it the lowest address it
/// may use. A panic becomes an error, so that no transaction can end the process.
fn on_big_stack<R: Send>(body: impl FnOnce(usize) -> R + Send) -> Result<R, String> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("stylus".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                let here = 0u8;
                let top = std::ptr::from_ref(&here) as usize;
                body(top.saturating_sub(STACK_BYTES))
            })
            .map_err(|error| {
                format!("could not start a thread with {STACK_BYTES} bytes of stack: {error}")
            })?;
        worker.join().map_err(describe_panic)
    })
}

fn describe_panic(payload: Box<dyn Any + Send>) -> String {
    let message = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(message), _) => (*message).to_owned(),
        (_, Some(message)) => message.clone(),
        _ => resume_unwind(payload),
    };
    format!("execution panicked: {message}")
}
