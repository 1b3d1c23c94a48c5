//! Workloads as containers: a process under an installed `runc` or `crun`, cut off from the machine.
//!
//! **Decides** everything that the runtime is told ([`bundle`] says what an author may choose): no network, no
//! capabilities, a root that cannot be written to, `/in` and `/out` in memory.
//! **Trusts** the kernel and the runtime, which the machine's evidence covers. **Leaves alone** the clock and
//! randomness: unlike in WASI, a run need not repeat exactly.
//!
//! A second process of this program ([`inside`]) holds a copy of the bundle and all of the files, in
//! namespaces of its own: a mount of memory that nobody else sees, and process ids under it. Once it or the agent ends, in whichever
//! way, the kernel ends every process of the container and frees the memory. What it copied is what was hashed,
//! so nobody can change a bundle between its check and its run.

pub mod bundle;
mod cell;
pub mod inside;
pub mod runtime;
mod spec;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::B256;
use anyhow::Result;

use crate::workload::{Files, Limits, Outputs, Violation};
use bundle::Process;
use cell::Cell;

/// A container that can be run, by its bundle.
#[derive(Clone, Debug)]
pub struct Container {
    settings: Settings,
    /// Started by the first run and used by the next ones, which then need not copy the bundle.
    cell: Arc<Mutex<Option<Cell>>>,
}

#[derive(Clone, Debug)]
struct Settings {
    bundle: PathBuf,
    digest: B256,
    runtime: PathBuf,
    /// `vouch-agent`.
    program: PathBuf,
    privileged: bool,
}

impl Container {
    /// A bundle's container. `runtime` is the runtime's program, where it is not to be looked for;
    /// `program` is `vouch-agent`.
    ///
    /// # Errors
    /// What is wrong with the bundle, or missing on this machine.
    pub fn open(bundle: &Path, runtime: Option<&Path>, program: &Path) -> Result<Self> {
        Process::read(bundle)?;
        let settings = Settings {
            digest: bundle::digest(bundle)?,
            bundle: bundle.to_owned(),
            runtime: runtime::find(runtime)?,
            program: program.to_owned(),
            privileged: runtime::privileged(),
        };
        Ok(Self {
            settings,
            cell: Arc::default(),
        })
    }

    /// As a user without rights would run it, whoever runs the agent: in a user namespace of its own, and
    /// with memory limited for each process instead of for all together.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.settings.privileged = false;
        self
    }

    /// SHA-256 of the bundle's archive.
    pub const fn digest(&self) -> B256 {
        self.settings.digest
    }

    /// Runs the container to its end, with `arguments` after its author's. One run at a time; blocks.
    ///
    /// # Errors
    /// [`Violation`]; nothing of the output is kept then, and no process is left.
    pub fn run(
        &self,
        arguments: &[&str],
        inputs: &Files,
        limits: &Limits,
    ) -> Result<Outputs, Violation> {
        let mut held = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell = match held.take() {
            Some(cell) => cell,
            None => Cell::start(&self.settings)?,
        };
        let outputs = cell.run(arguments, inputs, limits)?;
        // After a violation the next run begins in a new one.
        *held = Some(cell);
        Ok(outputs)
    }
}
