//! The one place that knows the EVM.

use std::convert::Infallible;

use revm::{
    Inspector,
    context::{
        BlockEnv, TxEnv,
        result::{EVMError, HaltReason, InvalidTransaction, OutOfGasError},
    },
    database::CacheDB,
    interpreter::interpreter::EthInterpreter,
};
use vouch_stylus::{Checks, Ctx, Env, Options, Vm};
pub use vouch_stylus::{HostioStep, Outcome, RecentPrograms};

use crate::chain::{Error, history::View};

/// The state a transaction runs on: a version of the chain's, with changes on top.
pub type Db<'a> = CacheDB<View<'a>>;

/// Runs transactions.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    vm: Vm,
}

/// One transaction and where it runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// Chain id.
    pub chain_id: u64,
    /// The block around it.
    pub block: BlockEnv,
    /// Stylus programs run earlier in the block.
    pub recent: RecentPrograms,
    /// The transaction.
    pub tx: TxEnv,
    /// Whether it must be fit for a block, or is a mere question.
    pub checks: Strictness,
}

/// How strictly a transaction is checked before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// All rules for transactions in blocks.
    Block,
    /// Those, but the sender may be a contract: impersonation makes it possible.
    SenderWithCode,
    /// A call: no nonce, no fee, any sender.
    Call,
}

impl Machine {
    /// Runs a transaction; nothing is committed.
    ///
    /// # Errors
    /// The transaction may not run.
    pub fn execute(&self, db: &mut Db<'_>, run: Run) -> Result<Outcome, Error> {
        let (env, tx, options) = parts(run, false);
        vouch_stylus::transact(&self.vm, &env, db, tx, options)
            .map_err(|error| refused(error, options.checks))
    }

    /// Runs a transaction and records what the programs in it ask of the host.
    ///
    /// # Errors
    /// The transaction may not run.
    pub fn execute_recording(&self, db: &mut Db<'_>, run: Run) -> Result<Outcome, Error> {
        let (env, tx, options) = parts(run, true);
        vouch_stylus::transact(&self.vm, &env, db, tx, options)
            .map_err(|error| refused(error, options.checks))
    }

    /// Runs a transaction under the eyes of `inspector`.
    ///
    /// # Errors
    /// The transaction may not run.
    pub fn inspect<'d, 'a: 'd, I>(
        &self,
        db: &'d mut Db<'a>,
        run: Run,
        inspector: I,
    ) -> Result<Outcome, Error>
    where
        I: Inspector<Ctx<&'d mut Db<'a>>, EthInterpreter> + Send,
    {
        let (env, tx, options) = parts(run, false);
        vouch_stylus::inspect(&self.vm, &env, db, tx, options, inspector)
            .map_err(|error| refused(error, options.checks))
    }
}

fn parts(run: Run, record_hostios: bool) -> (Env, TxEnv, Options) {
    let mut env = Env::new(run.chain_id, run.block);
    env.recent = run.recent;
    let checks = match run.checks {
        Strictness::Block => Checks::Block,
        Strictness::SenderWithCode => Checks::Impersonated,
        Strictness::Call => Checks::Call,
    };
    (
        env,
        run.tx,
        Options {
            checks,
            record_hostios,
        },
    )
}

fn refused(error: EVMError<Infallible>, checks: Checks) -> Error {
    let invalid = match error {
        EVMError::Transaction(invalid) => invalid,
        EVMError::Database(never) => match never {},
        other => return Error::Internal(other.to_string()),
    };
    match invalid {
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => Error::TipAboveFee,
        InvalidTransaction::GasPriceLessThanBasefee => Error::FeeBelowBaseFee,
        InvalidTransaction::CallerGasLimitMoreThanBlock => Error::GasAboveBlock,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => match checks {
            Checks::Block | Checks::Impersonated => Error::IntrinsicGas,
            Checks::Call => Error::CallIntrinsicGas,
        },
        InvalidTransaction::LackOfFundForMaxFee { .. }
        | InvalidTransaction::OverflowPaymentInTransaction => Error::InsufficientFunds,
        InvalidTransaction::NonceTooLow { .. } => Error::NonceTooLow,
        InvalidTransaction::NonceOverflowInTransaction => Error::NonceMax,
        other => Error::InvalidTransaction(other.to_string()),
    }
}

/// The name other nodes give to an exceptional end.
pub fn halt_name(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::Basic) => "OutOfGas".into(),
        HaltReason::OutOfGas(OutOfGasError::MemoryLimit) => "MemoryLimitOOG".into(),
        HaltReason::OutOfGas(OutOfGasError::Memory) => "MemoryOOG".into(),
        HaltReason::OutOfGas(OutOfGasError::Precompile) => "PrecompileOOG".into(),
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "InvalidOperandOOG".into(),
        HaltReason::OutOfGas(OutOfGasError::ReentrancySentry) => "ReentrancySentryOOG".into(),
        HaltReason::PrecompileErrorWithContext(message) => format!("PrecompileError: {message}"),
        other => format!("{other:?}"),
    }
}

/// Whether more gas could have helped.
pub fn ran_out_of_gas(reason: &HaltReason) -> bool {
    matches!(reason, HaltReason::OutOfGas(_))
}
