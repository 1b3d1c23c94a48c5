//! What runs for an order: a WASI module or a container, within limits, from files to files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use anyhow::{Context, ensure};
use vouch_content::sha256;
use vouch_protocol::Counters;
use zeroize::Zeroizing;

use crate::config;
use crate::container::Container;
use crate::wasi::Module;

/// Something that turns input files into output files.
#[derive(Clone, Debug)]
pub enum Workload {
    /// WebAssembly, in a world made of memory.
    Wasi(Module),
    /// A process under a container runtime.
    Container(Container),
}

impl Workload {
    /// The configured workload and its digest: SHA-256 of the module, or of the bundle's archive.
    ///
    /// # Errors
    /// What cannot be read or is no workload; another digest than the configured one.
    pub fn open(config: &config::Workload) -> anyhow::Result<(Self, B256)> {
        let path = &config.file;
        let shown = || format!("workload: {}", path.display());
        let (workload, found) = if path.is_dir() {
            let program = std::env::current_exe().context("finding this program's file")?;
            let container = Container::open(path, config.runtime.as_deref(), &program);
            let container = container.with_context(shown)?;
            let digest = container.digest();
            (Self::Container(container), digest)
        } else {
            let module = std::fs::read(path).with_context(shown)?;
            (Self::Wasi(Module::new(&module)?), sha256(&module))
        };
        if let Some(expected) = config.digest {
            ensure!(
                found == expected,
                "workload.digest: expected {expected}, found {found}"
            );
        }
        Ok((workload, found))
    }

    /// Runs the workload to its end. `arguments` begin with its name; `seed` is what a module's randomness
    /// is derived from, `time` its clock's Unix seconds. Blocks.
    ///
    /// # Errors
    /// [`Violation`]; nothing of the output is kept then.
    pub fn run(
        &self,
        arguments: &[&str],
        inputs: &Files,
        seed: B256,
        time: u64,
        limits: &Limits,
    ) -> Result<Outputs, Violation> {
        match self {
            Self::Wasi(module) => module.run(arguments, inputs, seed, time, limits),
            Self::Container(container) => {
                container.run(arguments.get(1..).unwrap_or_default(), inputs, limits)
            }
        }
    }

    /// Where it runs, for people.
    pub const fn runtime(&self) -> &'static str {
        match self {
            Self::Wasi(_) => "WASI",
            Self::Container(_) => "container",
        }
    }
}

/// The digest of the workload in a file or folder, as [`Workload::open`] finds it.
///
/// # Errors
/// What cannot be read or is no bundle.
pub fn digest(path: &Path) -> anyhow::Result<B256> {
    if path.is_dir() {
        let digest = crate::container::bundle::digest(path);
        return digest.with_context(|| path.display().to_string());
    }
    let module = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(sha256(&module))
}

/// How long a run may take. It may be allowed more while it runs, by whoever has a copy of this.
#[derive(Clone, Debug)]
pub struct Allowed(Arc<AtomicU64>);

impl Allowed {
    /// So long for now, to the millisecond.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// Allows so much altogether, where that is more.
    pub fn extend(&self, whole: Duration) {
        self.0.fetch_max(millis(whole), Ordering::Relaxed);
    }
}

impl From<Duration> for Allowed {
    fn from(whole: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(millis(whole))))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a workload may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Units of work: about one for each instruction. WASI only.
    pub fuel: u64,
    /// Time on the clock, for work that fuel does not measure.
    pub time: Allowed,
    /// Bytes in `/out`.
    pub output_bytes: u64,
    /// Lines in `/out`.
    pub output_rows: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            fuel: 1 << 44,
            time: Duration::from_secs(3600).into(),
            output_bytes: u64::MAX,
            output_rows: u64::MAX,
        }
    }
}

/// Why a workload was stopped, or failed by itself. Its order is not paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It is no module for this world.
    #[error("module: {0}")]
    Module(String),
    /// It tried to use the network.
    #[error("network: expected none, found a call of {0}")]
    Network(&'static str),
    /// It named a file outside its folders, or tried to change its inputs. The name is not told: the
    /// workload chose it, and could put plaintext there.
    #[error("files: expected a file in /in to read or in /out, found another")]
    Outside(String),
    /// It asked for more memory.
    #[error("memory: expected at most {limit} bytes, found {asked} asked for")]
    Memory {
        /// Allowed.
        limit: u64,
        /// Asked for.
        asked: u64,
    },
    /// It was ended for using more memory than there is for it.
    #[error("memory: expected at most {0} bytes, found more used")]
    OutOfMemory(u64),
    /// It worked for too long.
    #[error("time: expected at most {0}")]
    Time(String),
    /// It wrote too much.
    #[error("output: expected at most {limit} {unit}, found more")]
    Output {
        /// Allowed.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// It left something that is no file.
    #[error("output: expected files and folders, found {0}")]
    Kind(&'static str),
    /// This machine could not run it.
    #[error("runtime: {0}")]
    Runtime(String),
    /// It ended with an error of its own.
    #[error("exit status: expected 0, found {0}")]
    Exit(i32),
    /// It trapped.
    #[error("trap: {0}")]
    Trap(String),
}

impl Violation {
    /// Stable name of the reason, for reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Module(_) => "module",
            Self::Network(_) => "network",
            Self::Outside(_) => "outside_folders",
            Self::Memory { .. } | Self::OutOfMemory(_) => "memory",
            Self::Time(_) => "time",
            Self::Output { .. } | Self::Kind(_) => "output",
            Self::Runtime(_) => "runtime",
            Self::Exit(_) => "exit_status",
            Self::Trap(_) => "trap",
        }
    }
}

/// Files by their names; wiped when dropped.
pub type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Lines, as the output budget counts them.
pub(crate) fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// What a run left in `/out`.
#[derive(Default, PartialEq, Eq)]
pub struct Outputs {
    /// The files.
    pub files: Files,
    /// Their bytes.
    pub bytes: u64,
    /// Their lines.
    pub rows: u64,
}

impl Outputs {
    /// What leaves the session with them.
    pub const fn counters(&self) -> Counters {
        Counters {
            output_bytes: self.bytes,
            output_rows: self.rows,
        }
    }
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content is not shown.
        let names: Vec<&String> = self.files.keys().collect();
        f.debug_struct("Outputs")
            .field("files", &names)
            .field("bytes", &self.bytes)
            .field("rows", &self.rows)
            .finish()
    }
}

/// Ends a run that takes too long. The thread ends with the run.
pub(crate) struct Watch {
    done: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl Watch {
    /// Calls `end` once what is `allowed` has passed.
    pub(crate) fn start(allowed: Allowed, end: impl FnOnce() + Send + 'static) -> Self {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            loop {
                let left = allowed.now().saturating_sub(begun.elapsed());
                if left.is_zero() {
                    end();
                    return true;
                }
                // It may be more by then.
                if ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                    return false;
                }
            }
        });
        Self {
            done: Some(done),
            thread: Some(thread),
        }
    }

    /// Whether the run was ended.
    pub(crate) fn stop(mut self) -> bool {
        self.join()
    }

    fn join(&mut self) -> bool {
        drop(self.done.take());
        let thread = self.thread.take();
        thread.is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_for_as_long_as_is_allowed_by_then() {
        let none = Watch::start(Duration::ZERO.into(), || ());
        assert!(none.stop());
        let allowed = Allowed::from(Duration::from_secs(1));
        let watch = Watch::start(allowed.clone(), || ());
        allowed.extend(Duration::from_secs(3600));
        allowed.extend(Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!watch.stop());
        assert_eq!(allowed.now(), Duration::from_secs(3600));
    }
}
