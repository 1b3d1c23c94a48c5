//! The tree of calls.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Log, U256},
    rpc::types::trace::geth::{CallFrame, CallLogFrame},
    sol_types::{Revert, SolError},
};
use revm::{
    Inspector,
    context::{ContextTr, CreateScheme, result::ExecutionResult},
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InstructionResult,
        InterpreterResult, interpreter::EthInterpreter,
    },
};
use serde_json::{Value, json};

/// Builds the tree as frames open and close.
#[derive(Debug, Default)]
pub(crate) struct CallTracer {
    open: Vec<CallFrame>,
    root: Option<CallFrame>,
    logs: u64,
}

impl CallTracer {
    /// The tree, with the gas of the whole transaction at its root.
    pub(crate) fn into_frame(
        self,
        result: &ExecutionResult,
        only_top: bool,
        with_logs: bool,
    ) -> CallFrame {
        let mut root = self.root.unwrap_or_default();
        root.gas_used = U256::from(result.tx_gas_used());
        if only_top {
            root.calls.clear();
        }
        match with_logs && result.is_success() {
            true => drop_logs_of_failed(&mut root),
            false => drop_logs(&mut root),
        }
        root
    }

    fn close(&mut self, result: &InterpreterResult) {
        let Some(mut frame) = self.open.pop() else {
            return;
        };
        frame.gas_used = U256::from(result.gas.total_gas_spent());
        if !result.output.is_empty() {
            frame.output = Some(result.output.clone());
        }
        if !result.result.is_ok() {
            frame.error = Some(failure(result.result));
            if result.result == InstructionResult::Revert {
                frame.revert_reason = Revert::abi_decode(&result.output)
                    .ok()
                    .map(|revert| revert.reason);
            }
        }
        match self.open.last_mut() {
            Some(parent) => parent.calls.push(frame),
            None => self.root = Some(frame),
        }
    }
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for CallTracer {
    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let (kind, from, to) = match inputs.scheme {
            CallScheme::Call => ("CALL", inputs.caller, inputs.target_address),
            CallScheme::CallCode => ("CALLCODE", inputs.target_address, inputs.bytecode_address),
            CallScheme::DelegateCall => (
                "DELEGATECALL",
                inputs.target_address,
                inputs.bytecode_address,
            ),
            CallScheme::StaticCall => ("STATICCALL", inputs.caller, inputs.target_address),
        };
        self.open.push(CallFrame {
            from,
            to: Some(to),
            gas: U256::from(inputs.gas_limit),
            input: inputs.input.bytes(context),
            value: (inputs.scheme != CallScheme::StaticCall).then(|| inputs.call_value()),
            typ: kind.into(),
            ..CallFrame::default()
        });
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.close(&outcome.result);
    }

    fn create(&mut self, _: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let kind = match inputs.scheme() {
            CreateScheme::Create2 { .. } => "CREATE2",
            _ => "CREATE",
        };
        self.open.push(CallFrame {
            from: inputs.caller(),
            gas: U256::from(inputs.gas_limit()),
            input: inputs.init_code().clone(),
            value: Some(inputs.value()),
            typ: kind.into(),
            ..CallFrame::default()
        });
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        if let Some(frame) = self.open.last_mut() {
            frame.to = outcome.address;
        }
        self.close(&outcome.result);
    }

    fn log(&mut self, _: &mut C, log: Log) {
        let index = self.logs;
        self.logs += 1;
        let Some(frame) = self.open.last_mut() else {
            return;
        };
        frame.logs.push(CallLogFrame {
            address: Some(log.address),
            topics: Some(log.data.topics().to_vec()),
            data: Some(log.data.data.clone()),
            position: Some(frame.calls.len() as u64),
            index: Some(index),
        });
    }
}

fn drop_logs(frame: &mut CallFrame) {
    frame.logs.clear();
    frame.calls.iter_mut().for_each(drop_logs);
}

/// Logs of a failed call never happened, nor did those of the calls it made.
fn drop_logs_of_failed(frame: &mut CallFrame) {
    match frame.error {
        Some(_) => drop_logs(frame),
        None => frame.calls.iter_mut().for_each(drop_logs_of_failed),
    }
}

/// A failure in geth's words.
fn failure(result: InstructionResult) -> String {
    match result {
        InstructionResult::Revert => "execution reverted",
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::PrecompileOOG
        | InstructionResult::InvalidOperandOOG
        | InstructionResult::ReentrancySentryOOG => "out of gas",
        InstructionResult::OutOfFunds => "insufficient balance for transfer",
        InstructionResult::CallTooDeep => "max call depth exceeded",
        InstructionResult::InvalidJump => "invalid jump destination",
        InstructionResult::InvalidFEOpcode => "invalid opcode: INVALID",
        InstructionResult::OpcodeNotFound | InstructionResult::NotActivated => "invalid opcode",
        InstructionResult::StackUnderflow => "stack underflow",
        InstructionResult::StackOverflow => "stack limit reached",
        InstructionResult::StateChangeDuringStaticCall
        | InstructionResult::CallNotAllowedInsideStatic => "write protection",
        InstructionResult::CreateCollision => "contract address collision",
        InstructionResult::CreateContractSizeLimit => "max code size exceeded",
        InstructionResult::CreateInitCodeSizeLimit => "max initcode size exceeded",
        InstructionResult::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        other => return format!("{other:?}"),
    }
    .into()
}

/// How often each selector was called with how many bytes of arguments.
pub(crate) fn selectors(root: &CallFrame) -> Value {
    fn count(frame: &CallFrame, counts: &mut BTreeMap<String, u64>) {
        let is_call = !frame.typ.starts_with("CREATE");
        if let (true, Some((selector, arguments))) = (is_call, frame.input.split_first_chunk::<4>())
        {
            let key = format!("0x{}-{}", hex::encode(selector), arguments.len());
            *counts.entry(key).or_default() += 1;
        }
        frame.calls.iter().for_each(|call| count(call, counts));
    }
    let mut counts = BTreeMap::new();
    count(root, &mut counts);
    json!(counts)
}
