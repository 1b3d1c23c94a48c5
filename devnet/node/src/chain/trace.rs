//! Running a transaction again, or a call, under a tracer.

use alloy::{primitives::B256, rpc::types::TransactionRequest};
use serde_json::{Value, json};

use super::{At, CallOverrides, Chain, Error, call::Prepared};
use crate::{
    execute::{Db, Run, Strictness},
    trace::{CallTracer, StepOptions, StepTracer, hostio_steps, prestate, selectors},
};

/// What a trace shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// Every EVM instruction.
    Steps(StepOptions),
    /// The tree of calls.
    Calls {
        /// Only its root.
        only_top: bool,
        /// With the logs of each call.
        with_logs: bool,
    },
    /// The accounts touched, as they were before.
    Prestate {
        /// What changed, before and after, instead.
        diff: bool,
    },
    /// How often each function selector was called.
    Selectors,
    /// What Stylus programs asked of the host.
    Hostios,
    /// Nothing.
    Nothing,
}

impl Chain {
    /// Traces a transaction in a block.
    ///
    /// # Errors
    /// It is in no block.
    pub fn trace_transaction(&self, hash: &B256, tracer: Tracer) -> Result<Value, Error> {
        let (block, _, mined) = self.mined(hash).ok_or(Error::UnknownTransaction(*hash))?;
        let run = Run {
            chain_id: self.chain_id,
            block: block.env(),
            recent: mined.recent.clone(),
            tx: mined.tx.env(),
            checks: Strictness::SenderWithCode,
        };
        self.trace(self.db(mined.before), run, tracer)
    }

    /// Traces every transaction of a block.
    ///
    /// # Errors
    /// A transaction fails to run again, which is a fault of the node.
    pub fn trace_block(&self, number: u64, tracer: Tracer) -> Result<Value, Error> {
        let hashes = self.block(number).into_iter().flat_map(|block| &block.txs);
        hashes
            .map(|mined| {
                let result = self.trace_transaction(&mined.tx.hash, tracer)?;
                Ok(json!({ "txHash": mined.tx.hash, "result": result }))
            })
            .collect()
    }

    /// Traces a call.
    ///
    /// # Errors
    /// The call makes no sense.
    pub fn trace_call(
        &mut self,
        request: &TransactionRequest,
        at: At,
        overrides: &CallOverrides,
        tracer: Tracer,
    ) -> Result<Value, Error> {
        self.at(at, |chain, version, block| {
            let Prepared { db, run } = chain.prepare(request, version, block, overrides)?;
            chain.trace(db, run, tracer)
        })
    }

    fn trace(&self, mut db: Db<'_>, run: Run, tracer: Tracer) -> Result<Value, Error> {
        match tracer {
            Tracer::Steps(options) => {
                let mut steps = StepTracer::new(options);
                let outcome = self.machine.inspect(&mut db, run, &mut steps)?;
                Ok(steps.into_json(&outcome.result))
            }
            Tracer::Calls {
                only_top,
                with_logs,
            } => {
                let mut calls = CallTracer::default();
                let outcome = self.machine.inspect(&mut db, run, &mut calls)?;
                Ok(json!(calls.into_frame(
                    &outcome.result,
                    only_top,
                    with_logs
                )))
            }
            Tracer::Selectors => {
                let mut calls = CallTracer::default();
                let outcome = self.machine.inspect(&mut db, run, &mut calls)?;
                Ok(selectors(&calls.into_frame(&outcome.result, false, false)))
            }
            Tracer::Prestate { diff } => {
                let before = db.clone();
                let outcome = self.machine.execute(&mut db, run)?;
                Ok(prestate(&before, &outcome.state, diff))
            }
            Tracer::Hostios => {
                let outcome = self.machine.execute_recording(&mut db, run)?;
                Ok(hostio_steps(&outcome.steps))
            }
            Tracer::Nothing => {
                self.machine.execute(&mut db, run)?;
                Ok(json!({}))
            }
        }
    }
}
