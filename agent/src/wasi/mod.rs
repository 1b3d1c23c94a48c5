//! Workloads as WebAssembly with WASI (preview 1), in a world of two folders.
//!
//! The world is made here and not taken from the machine: `/in` and `/out` are bytes in this process's
//! memory, the clock stands still, randomness is derived from the order. There is nothing else that a
//! module could reach, so an egress rule is enforced and not only promised, and the same inputs give
//! the same outputs. What a module tries beyond that ends it, with the reason.

mod files;
mod host;
mod memory;

use alloy::primitives::B256;
use vouch_content::Hasher;
use wasmtime::{Config, Engine, Linker, OptLevel, Store, Trap};

pub use files::Folder;
use files::World;

use crate::workload::{Files, Limits, Outputs, Violation, Watch};

/// A compiled workload.
#[derive(Clone)]
pub struct Module {
    engine: Engine,
    module: wasmtime::Module,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Module")
    }
}

impl Module {
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
        let module = wasmtime::Module::from_binary(&engine, wasm).map_err(refuse)?;
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
        let world = World::new(arguments, inputs, seed, time, limits.clone());
        let mut store = Store::new(&self.engine, world);
        store.limiter(|world| &mut world.memory);
        store.set_fuel(limits.fuel).map_err(refuse)?;
        store.set_epoch_deadline(1);
        let mut linker = Linker::new(&self.engine);
        host::define(&mut linker).map_err(refuse)?;
        let engine = self.engine.clone();
        let watch = Watch::start(limits.time.clone(), move || engine.increment_epoch());
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
        Some(Trap::Interrupt) => Violation::Time(format!("{} s", limits.time.now().as_secs())),
        Some(trap) => Violation::Trap(trap.to_string()),
        None => Violation::Module(format!("{error:#}")),
    })
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
