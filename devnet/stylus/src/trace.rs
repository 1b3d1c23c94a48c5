//! A record of the host calls programs make.

use revm::primitives::{Address, Bytes};

/// One host call, or the entry to or return from a program.
///
/// The shape is the one `stylusTracer` reports: each run of a program begins with
/// `user_entrypoint` and ends with `user_returned`, calls carry the steps of the program they
/// reached, and a program reached from EVM code appears under an `evm_*_contract` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostioStep {
    /// Name of the host function.
    pub name: String,
    /// Values the program passed, in order, memory already read.
    pub args: Bytes,
    /// Values the program got back.
    pub outs: Bytes,
    /// Ink left before the call.
    pub start_ink: u64,
    /// Ink left after it.
    pub end_ink: u64,
    /// The address called, for calls.
    pub address: Option<Address>,
    /// What the called program did, for calls.
    pub steps: Vec<Self>,
}

/// Collects steps; the last level is the innermost open call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    levels: Vec<Level>,
    top: Vec<HostioStep>,
}

#[derive(Clone, Debug, Default)]
struct Level {
    /// The step to add when the level closes, for calls made by EVM code.
    step: Option<HostioStep>,
    steps: Vec<HostioStep>,
}

impl Recorder {
    /// Adds a finished step to the innermost open call.
    pub(crate) fn push(&mut self, step: HostioStep) {
        match self.levels.last_mut() {
            Some(level) => level.steps.push(step),
            None => self.top.push(step),
        }
    }

    /// Opens a call made by a program.
    pub(crate) fn open(&mut self) {
        self.levels.push(Level::default());
    }

    /// Closes a call made by a program and returns its steps.
    pub(crate) fn close(&mut self) -> Vec<HostioStep> {
        self.levels.pop().unwrap_or_default().steps
    }

    /// Opens a call made by EVM code.
    pub(crate) fn open_evm(&mut self, name: &str) {
        let step = HostioStep {
            name: name.to_owned(),
            ..HostioStep::default()
        };
        self.levels.push(Level {
            step: Some(step),
            steps: Vec::new(),
        });
    }

    /// Closes a call made by EVM code.
    pub(crate) fn close_evm(&mut self, address: Option<Address>) {
        if let Some(Level {
            step: Some(mut step),
            steps,
        }) = self.levels.pop()
        {
            step.address = address;
            step.steps = steps;
            self.push(step);
        }
    }

    /// Every step of the transaction.
    pub(crate) fn finish(self) -> Vec<HostioStep> {
        self.top
    }
}
