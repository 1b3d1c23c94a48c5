//! Every EVM instruction.

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::{Address, B256, U256};
use revm::{
    Inspector,
    bytecode::opcode::{OpCode, SLOAD, SSTORE},
    context::{ContextTr, result::ExecutionResult},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, Jumps, MemoryTr, ReturnData},
    },
};
use serde_json::{Value, json};

/// What each step shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOptions {
    /// The memory.
    pub memory: bool,
    /// The stack.
    pub stack: bool,
    /// The slots used so far, at steps that use one.
    pub storage: bool,
    /// What the last call returned.
    pub return_data: bool,
    /// Most steps; 0 for all.
    pub limit: u64,
}

/// Most steps kept whatever the request says, so that a trace does not exhaust the memory.
const MOST_STEPS: usize = 1_000_000;

/// Records instructions as they run.
#[derive(Debug)]
pub(crate) struct StepTracer {
    options: StepOptions,
    depth: u64,
    steps: Vec<Value>,
    /// The step being run: its index, gas before, and the slot it uses.
    current: Option<(usize, u64, Option<U256>)>,
    storage: HashMap<Address, BTreeMap<B256, B256>>,
}

impl StepTracer {
    pub(crate) fn new(options: StepOptions) -> Self {
        Self {
            options,
            depth: 0,
            steps: Vec::new(),
            current: None,
            storage: HashMap::new(),
        }
    }

    /// The whole trace.
    pub(crate) fn into_json(self, result: &ExecutionResult) -> Value {
        json!({
            "failed": !result.is_success(),
            "gas": result.tx_gas_used(),
            "returnValue": result.output().cloned().unwrap_or_default(),
            "structLogs": self.steps,
        })
    }

    fn is_full(&self) -> bool {
        let limit = usize::try_from(self.options.limit).unwrap_or(MOST_STEPS);
        self.steps.len() >= MOST_STEPS || (limit > 0 && self.steps.len() >= limit)
    }
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for StepTracer {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        self.current = None;
        if self.is_full() {
            return;
        }
        let opcode = interpreter.bytecode.opcode();
        let name = OpCode::new(opcode).map_or_else(
            || format!("opcode {opcode:#x} not defined"),
            |op| op.as_str().to_owned(),
        );
        let stack = interpreter.stack.data();
        let mut step = json!({
            "pc": interpreter.bytecode.pc(),
            "op": name,
            "gas": interpreter.gas.remaining(),
            "gasCost": 0,
            "depth": self.depth,
            "refund": interpreter.gas.refunded(),
        });
        if self.options.stack {
            step["stack"] = json!(stack);
        }
        if self.options.return_data {
            step["returnData"] = json!(interpreter.return_data.buffer());
        }
        if self.options.memory {
            let memory = interpreter.memory.slice(0..interpreter.memory.size());
            let words = memory
                .chunks(32)
                .map(|word| format!("0x{}", hex::encode(word)));
            step["memory"] = words.collect();
        }
        let slot = matches!(opcode, SLOAD | SSTORE)
            .then(|| stack.last().copied())
            .flatten();
        if let (SSTORE, [.., value, key]) = (opcode, stack.as_slice()) {
            let slots = self
                .storage
                .entry(interpreter.input.target_address())
                .or_default();
            slots.insert(B256::from(*key), B256::from(*value));
        }
        self.current = Some((self.steps.len(), interpreter.gas.remaining(), slot));
        self.steps.push(step);
    }

    fn step_end(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        let Some((index, before, slot)) = self.current.take() else {
            return;
        };
        let Some(step) = self.steps.get_mut(index) else {
            return;
        };
        step["gasCost"] = json!(before.saturating_sub(interpreter.gas.remaining()));
        let Some(key) = slot.filter(|_| self.options.storage) else {
            return;
        };
        let slots = self
            .storage
            .entry(interpreter.input.target_address())
            .or_default();
        if step["op"] == "SLOAD"
            && let Some(value) = interpreter.stack.data().last()
        {
            slots.insert(B256::from(key), B256::from(*value));
        }
        step["storage"] = json!(slots);
    }

    fn call(&mut self, _: &mut C, _: &mut CallInputs) -> Option<CallOutcome> {
        self.depth += 1;
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, _: &mut CallOutcome) {
        self.depth -= 1;
    }

    fn create(&mut self, _: &mut C, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.depth += 1;
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, _: &mut CreateOutcome) {
        self.depth -= 1;
    }
}
