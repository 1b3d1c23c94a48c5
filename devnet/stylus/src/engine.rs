//! Compiling modules, once each.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use revm::primitives::{B256, keccak256};
use wasmtime::{Config, Engine, InstancePre, Linker, OptLevel};

use crate::{
    guest::Guest,
    hostio,
    instrument::{Instrumented, instrument},
    pricing::Shape,
    validate::{Module, ModuleError, Rules},
};

/// Native stack one program may use. The instrumentation ends recursion earlier; this is the net
/// below it, and with the depth limit of calls it bounds the stack of a whole transaction.
pub(crate) const PROGRAM_STACK: usize = 768 << 10;

/// Most modules kept compiled.
const CACHE_CAPACITY: usize = 256;

/// Why a module could not be made runnable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompileError {
    /// The module breaks a rule.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The engine refused it.
    #[error("engine: {0}")]
    Engine(String),
}

/// A module ready to be instantiated.
pub(crate) struct Compiled {
    pub pre: InstancePre<Guest>,
    pub shape: Shape,
    pub has_start: bool,
    /// Hash of the instrumented module.
    pub hash: B256,
}

/// The WebAssembly engine with its cache of compiled modules. Cheap to clone; clones share the
/// cache. One per process is enough.
#[derive(Clone)]
pub struct Vm {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Mutex<Cache>,
}

/// Compiled modules by what they were compiled from, and which module a code hash stands for.
#[derive(Default)]
struct Cache {
    modules: HashMap<Key, (Arc<Compiled>, u64)>,
    codes: HashMap<Key, B256>,
    clock: u64,
}

/// A module's or a code's hash, and for which kind of chain it was compiled. Parameters such as
/// the page limit only decide whether a module may be activated, not what it becomes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    hash: B256,
    debug: bool,
}

impl Default for Vm {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm")
            .field("modules", &self.inner.cache.lock().modules.len())
            .finish()
    }
}

impl Vm {
    /// An engine with an empty cache.
    ///
    /// # Panics
    /// The engine does not support this processor.
    pub fn new() -> Self {
        let (engine, linker) = Self::configured().expect("engine for this processor");
        Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                cache: Mutex::default(),
            }),
        }
    }

    fn configured() -> wasmtime::Result<(Engine, Linker<Guest>)> {
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            .cranelift_nan_canonicalization(true)
            .max_wasm_stack(PROGRAM_STACK)
            .wasm_backtrace_max_frames(None)
            // Programs are small and many may be open at once, so address space is not spent on
            // guard regions; accesses are checked instead.
            .memory_reservation(u64::from(crate::pricing::MAX_PAGES) << 16)
            .memory_reservation_for_growth(0)
            .memory_guard_size(0)
            .guard_before_linear_memory(false);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        hostio::define(&mut linker)?;
        Ok((engine, linker))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The compiled form of the module that the code with hash `codehash` holds by itself;
    /// `wasm` is asked for only if it is not in the cache.
    ///
    /// # Errors
    /// `wasm` failed, or the module breaks a rule.
    pub(crate) fn code<E: From<CompileError>>(
        &self,
        codehash: B256,
        debug: bool,
        wasm: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Compiled>, E> {
        let code = Key {
            hash: codehash,
            debug,
        };
        let known = {
            let mut cache = self.inner.cache.lock();
            let module = cache.codes.get(&code).copied();
            module.and_then(|hash| cache.get(&Key { hash, debug }))
        };
        if let Some(module) = known {
            return Ok(module);
        }
        let wasm = wasm()?;
        let module = self.module(&wasm, debug)?;
        self.inner.cache.lock().codes.insert(code, keccak256(&wasm));
        Ok(module)
    }

    /// The compiled form of a module, which may begin with as many pages as any.
    ///
    /// # Errors
    /// The module breaks a rule.
    pub(crate) fn module(&self, wasm: &[u8], debug: bool) -> Result<Arc<Compiled>, CompileError> {
        let key = Key {
            hash: keccak256(wasm),
            debug,
        };
        if let Some(module) = self.inner.cache.lock().get(&key) {
            return Ok(module);
        }
        // Compiled outside the lock: others need not wait, and doing it twice does no harm.
        let module = Arc::new(self.compile(wasm, debug)?);
        self.inner.cache.lock().insert(key, module.clone());
        Ok(module)
    }

    /// Checks, instruments and compiles a module.
    fn compile(&self, wasm: &[u8], debug: bool) -> Result<Compiled, CompileError> {
        let rules = Rules {
            debug,
            max_initial_pages: crate::pricing::MAX_PAGES,
        };
        let module = Module::parse(wasm, &rules)?;
        let Instrumented {
            wasm,
            shape,
            has_start,
        } = instrument(module, debug)?;
        let failed = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let module = wasmtime::Module::from_binary(&self.inner.engine, &wasm).map_err(failed)?;
        let pre = self.inner.linker.instantiate_pre(&module).map_err(failed)?;
        Ok(Compiled {
            pre,
            shape,
            has_start,
            hash: keccak256(&wasm),
        })
    }
}

impl Cache {
    fn get(&mut self, key: &Key) -> Option<Arc<Compiled>> {
        self.clock += 1;
        let (module, used) = self.modules.get_mut(key)?;
        *used = self.clock;
        Some(module.clone())
    }

    fn insert(&mut self, key: Key, module: Arc<Compiled>) {
        self.clock += 1;
        if self.modules.len() >= CACHE_CAPACITY
            && let Some(oldest) = self
                .modules
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key)
        {
            self.modules.remove(&oldest);
            self.codes.retain(|_, hash| *hash != oldest.hash);
        }
        self.modules.insert(key, (module, self.clock));
    }
}
