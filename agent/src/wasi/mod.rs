//! Workloads as WebAssembly with WASI (preview 1), in a world of two folders.
//!
//! The world is made here and not taken from the machine: `/in` and `/out` are bytes in this process's
//! memory, the clock stands still, randomness is derived from the order. There is nothing else that a
//! module could reach, so an egress rule is enforced and not only promised, and the same inputs give
//! the same outputs. What a module tries beyond that ends it, with the reason.

mod files;
mod host;
mod memory;

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::B256;
use vouch_content::Hasher;
use vouch_protocol::Counters;
use wasmtime::{Config, Engine, Linker, Module, OptLevel, Store, Trap};
use zeroize::Zeroizing;

pub use files::Folder;
use files::World;

/// What a workload may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Units of work: about one for each instruction.
    pub fuel: u64,
    /// Time on the clock, for work that fuel does not measure.
    pub time: Duration,
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
            time: Duration::from_secs(3600),
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
            Self::Memory { .. } => "memory",
            Self::Time(_) => "time",
            Self::Output { .. } => "output",
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

/// A compiled workload.
#[derive(Clone)]
pub struct Workload {
    engine: Engine,
    module: Module,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workload")
    }
}

impl Workload {
    /// Compiles a module.
    ///
    /// # Errors
    /// [`Violation::Module`].
    pub fn new(wasm: &[u8]) -> Result<Self, Violation> {
        let refuse = |error: wasmtime::Error| Violation::Module(format!("{error:#}"));
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            // The same inputs give the same outputs on every processor.
            .cranelift_nan_canonicalization(true)
            .consume_fuel(true)
            .epoch_interruption(true);
        let engine = Engine::new(&config).map_err(refuse)?;
        let module = Module::from_binary(&engine, wasm).map_err(refuse)?;
        Ok(Self { engine, module })
    }

    /// Runs the workload to its end. `seed` is what its randomness is derived from, `time` the clock's
    /// Unix seconds. Blocks.
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
        let refuse = |error: wasmtime::Error| Violation::Module(format!("{error:#}"));
        let world = World::new(arguments, inputs, seed, time, *limits);
        let mut store = Store::new(&self.engine, world);
        store.limiter(|world| &mut world.memory);
        store.set_fuel(limits.fuel).map_err(refuse)?;
        store.set_epoch_deadline(1);
        let mut linker = Linker::new(&self.engine);
        host::define(&mut linker).map_err(refuse)?;
        let watch = Watch::start(&self.engine, limits.time);
        let ran = linker
            .instantiate(&mut store, &self.module)
            .and_then(|instance| {
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
                start.call(&mut store, ())
            });
        drop(watch);
        if let Err(error) = ran
            && let Some(violation) = stopped(&error, &store, limits)
        {
            return Err(violation);
        }
        Ok(store.into_data().into_outputs())
    }
}

/// Why a run ended early; none where it ended itself well.
fn stopped(error: &wasmtime::Error, store: &Store<World>, limits: &Limits) -> Option<Violation> {
    if let Some(violation) = error.downcast_ref::<Violation>() {
        return match violation {
            Violation::Exit(0) => None,
            other => Some(other.clone()),
        };
    }
    if let Some(violation) = store.data().memory.violation(limits.memory) {
        return Some(violation);
    }
    Some(match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Violation::Time(format!("{} units of work", limits.fuel)),
        Some(Trap::Interrupt) => Violation::Time(format!("{} s", limits.time.as_secs())),
        Some(trap) => Violation::Trap(trap.to_string()),
        None => Violation::Module(format!("{error:#}")),
    })
}

/// Ends a run that takes too long. The thread ends with the run.
struct Watch(
    Option<std::sync::mpsc::Sender<()>>,
    Option<std::thread::JoinHandle<()>>,
);

impl Watch {
    fn start(engine: &Engine, limit: Duration) -> Self {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let engine = engine.clone();
        let thread = std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        Self(Some(done), Some(thread))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.take());
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

/// Bytes that look random and are the same for the same seed.
struct Seeded {
    seed: B256,
    count: u64,
}

impl Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for block in out.chunks_mut(32) {
            let mut hash = Hasher::default();
            hash.update(b"vouch/workload-randomness/v1");
            hash.update(self.seed.as_slice());
            hash.update(&self.count.to_be_bytes());
            self.count += 1;
            block.copy_from_slice(&hash.finish()[..block.len()]);
        }
    }
}
