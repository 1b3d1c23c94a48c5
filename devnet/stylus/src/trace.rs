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
    pub steps: Vec<HostioStep>,
}

/// Collects steps; the last list is the innermost open call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    levels: Vec<Vec<HostioStep>>,
    top: Vec<HostioStep>,
}

impl Recorder {
    fn current(&mut self) -> &mut Vec<HostioStep> {
        self.levels.last_mut().unwrap_or(&mut self.top)
    }

    /// Adds a finished step to the innermost open call.
    pub(crate) fn push(&mut self, step: HostioStep) {
        self.current().push(step);
    }

    /// Opens a nested call.
    pub(crate) fn open(&mut self) {
        self.levels.push(Vec::new());
    }

    /// Closes the innermost call and returns its steps.
    pub(crate) fn close(&mut self) -> Vec<HostioStep> {
        self.levels.pop().unwrap_or_default()
    }

    /// Every step of the transaction.
    pub(crate) fn finish(mut self) -> Vec<HostioStep> {
        while let Some(level) = self.levels.pop() {
            self.current().extend(level);
        }
        self.top
    }
}
