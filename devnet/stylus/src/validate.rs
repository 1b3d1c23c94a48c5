//! Which modules may become programs.
//!
//! Beside WebAssembly's own validity these are rules about features, sizes, imports and exports.
//! Rules about single instructions are enforced by [`crate::instrument`], which sees them all.

use std::ops::Range;

use wasmparser::{
    ExternalKind, FuncToValidate, FuncType, FunctionBody, MemoryType, Operator, Parser, Payload,
    TypeRef, ValType, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::imports::{self, PAY_FOR_MEMORY_GROW, VM_HOOKS};

/// Export a program is entered by.
pub const ENTRYPOINT: &str = "user_entrypoint";
/// Export under which a start function is kept.
pub const START: &str = "stylus_start";
/// Export of the program's memory.
pub const MEMORY: &str = "memory";

const MAX_DATA_SEGMENTS: u32 = 128;
const MAX_ELEMENT_SEGMENTS: u32 = 128;
const MAX_EXPORTS: u32 = 1024;
const MAX_FUNCTIONS: u32 = 4096;
const MAX_GLOBALS: u32 = 32_768;
const MAX_IMPORTS: u32 = 513;
const MAX_TABLE_ENTRIES: u64 = 4096;
const MAX_ELEMENTS: u32 = 4096;
const MAX_NAME: usize = 512;

/// What the chain asks of modules.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether debug imports, further exports and start functions are allowed.
    pub debug: bool,
    /// Most pages of memory a module may begin with.
    pub max_initial_pages: u16,
}

/// Why a module may not become a program.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModuleError {
    /// Malformed or invalid WebAssembly, or a feature that is not enabled.
    #[error("invalid module: {0}")]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// A component, or a section that programs may not have.
    #[error("unexpected {0} in module")]
    Unexpected(&'static str),
    /// Too much of something.
    #[error("{what}: {count}, at most {limit} allowed")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much there may be.
        limit: u64,
    },
    /// An import the host does not offer.
    #[error("no host function {module}.{name} to import")]
    UnknownImport {
        /// Module imported from.
        module: String,
        /// Name imported.
        name: String,
    },
    /// An import with another type than the host's.
    #[error("import {module}.{name} has the wrong type")]
    ImportType {
        /// Module imported from.
        module: String,
        /// Name imported.
        name: String,
    },
    /// Memory can grow but could not be paid for.
    #[error("missing import {VM_HOOKS}.{PAY_FOR_MEMORY_GROW}: memory can grow")]
    MissingPayForMemoryGrow,
    /// A required export is absent or of the wrong kind or type.
    #[error("missing export {name}: expected {expected}")]
    MissingExport {
        /// Name of the export.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// An export whose name the instrumentation needs.
    #[error("export {0} has a reserved name")]
    ReservedExport(String),
    /// A start function on a chain that is not a debug chain.
    #[error("start functions are not allowed")]
    Start,
    /// An instruction that programs may not contain.
    #[error("instruction {0} is not supported")]
    Instruction(String),
    /// A function could need more stack than a frame may have.
    #[error("function {function} needs a frame of {size} words, at most {limit} allowed")]
    Frame {
        /// Index of the function.
        function: u32,
        /// Words needed.
        size: u64,
        /// Words allowed.
        limit: u64,
    },
}

/// A module that keeps all rules but those about single instructions.
pub struct Module<'a> {
    pub(crate) wasm: &'a [u8],
    pub(crate) types: Vec<FuncType>,
    pub(crate) imported_functions: u32,
    /// Types of the module's own functions.
    pub(crate) functions: Vec<u32>,
    pub(crate) globals: u32,
    pub(crate) memory: MemoryType,
    pub(crate) exports: Vec<(&'a str, ExternalKind, u32)>,
    pub(crate) start: Option<u32>,
    /// Index of the imported `pay_for_memory_grow`.
    pub(crate) pay_for_memory_grow: Option<u32>,
    pub(crate) data_bytes: u32,
    pub(crate) elements: u32,
    pub(crate) bodies: Vec<(FuncToValidate<ValidatorResources>, FunctionBody<'a>)>,
    /// Contents of each section by id, custom sections left out.
    pub(crate) sections: Vec<(u8, Range<usize>)>,
}

impl std::fmt::Debug for Module<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("bytes", &self.wasm.len())
            .field("functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS
}

fn limit(
    what: &'static str,
    count: impl Into<u64>,
    limit: impl Into<u64>,
) -> Result<(), ModuleError> {
    let (count, limit) = (count.into(), limit.into());
    if count > limit {
        Err(ModuleError::Limit { what, count, limit })
    } else {
        Ok(())
    }
}

impl<'a> Module<'a> {
    /// Reads `wasm` and checks it against `rules`.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn parse(wasm: &'a [u8], rules: &Rules) -> Result<Self, ModuleError> {
        let mut validator = Validator::new_with_features(features());
        let mut parser = Parser::new(0);
        parser.set_features(features());
        let mut module = Self {
            wasm,
            types: Vec::new(),
            imported_functions: 0,
            functions: Vec::new(),
            globals: 0,
            memory: MemoryType {
                memory64: false,
                shared: false,
                initial: 0,
                maximum: Some(0),
                page_size_log2: None,
            },
            exports: Vec::new(),
            start: None,
            pay_for_memory_grow: None,
            data_bytes: 0,
            elements: 0,
            bodies: Vec::new(),
            sections: Vec::new(),
        };
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            module.check_counts(&payload)?;
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                module.bodies.push((function, body));
            }
            module.read(&payload, rules)?;
            if let Some((id, range)) = payload.as_section()
                && id != 0
            {
                module.sections.push((id, range));
            }
        }
        module.check_whole(rules)?;
        Ok(module)
    }

    /// Refuses oversized sections before they are read.
    fn check_counts(&self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::ImportSection(s) => limit("imports", s.count(), MAX_IMPORTS),
            Payload::FunctionSection(s) => limit("functions", s.count(), MAX_FUNCTIONS),
            Payload::GlobalSection(s) => limit("globals", s.count(), MAX_GLOBALS),
            Payload::ExportSection(s) => limit("exports", s.count(), MAX_EXPORTS),
            Payload::ElementSection(s) => {
                limit("element segments", s.count(), MAX_ELEMENT_SEGMENTS)
            }
            Payload::DataCountSection { count, .. } => {
                limit("data segments", *count, MAX_DATA_SEGMENTS)
            }
            Payload::DataSection(s) => limit("data segments", s.count(), MAX_DATA_SEGMENTS),
            _ => Ok(()),
        }
    }

    /// Notes what a section that passed validation holds.
    fn read(&mut self, payload: &Payload<'a>, rules: &Rules) -> Result<(), ModuleError> {
        match payload {
            Payload::Version {
                encoding: wasmparser::Encoding::Component,
                ..
            } => {
                return Err(ModuleError::Unexpected("component"));
            }
            Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.read_import(import?, rules)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                let mut entries = 0u64;
                for table in section.clone() {
                    entries = entries.saturating_add(table?.ty.initial);
                }
                limit("table entries", entries, MAX_TABLE_ENTRIES)?;
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memory = memory?;
                }
                limit("memories", section.count(), 1u32)?;
                limit(
                    "initial pages of memory",
                    self.memory.initial,
                    rules.max_initial_pages,
                )?;
            }
            Payload::GlobalSection(section) => self.globals = section.count(),
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    limit(
                        "bytes in an export's name",
                        export.name.len() as u64,
                        MAX_NAME as u64,
                    )?;
                    self.exports.push((export.name, export.kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => {
                if !rules.debug {
                    return Err(ModuleError::Start);
                }
                self.start = Some(*func);
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.elements = self.elements.saturating_add(match element?.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    });
                }
                limit("element entries", self.elements, MAX_ELEMENTS)?;
            }
            Payload::DataSection(section) => {
                for data in section.clone() {
                    // A module has at most 128 KiB, so neither sum nor cast can overflow.
                    self.data_bytes = self.data_bytes.saturating_add(data?.data.len() as u32);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read_import(
        &mut self,
        import: wasmparser::Import<'_>,
        rules: &Rules,
    ) -> Result<(), ModuleError> {
        let names = || (import.module.to_owned(), import.name.to_owned());
        limit(
            "bytes in an import's name",
            import.name.len() as u64,
            MAX_NAME as u64,
        )?;
        limit(
            "bytes in an import's name",
            import.module.len() as u64,
            MAX_NAME as u64,
        )?;
        let TypeRef::Func(ty) = import.ty else {
            return Err(ModuleError::Unexpected("import that is not a function"));
        };
        let Some(host) = imports::find(import.module, import.name, rules.debug) else {
            let (module, name) = names();
            return Err(ModuleError::UnknownImport { module, name });
        };
        let matches = self
            .types
            .get(ty as usize)
            .is_some_and(|ty| host.has_type(ty.params(), ty.results()));
        if !matches {
            let (module, name) = names();
            return Err(ModuleError::ImportType { module, name });
        }
        if host.module == VM_HOOKS && host.name == PAY_FOR_MEMORY_GROW {
            self.pay_for_memory_grow
                .get_or_insert(self.imported_functions);
        }
        self.imported_functions += 1;
        Ok(())
    }

    /// Rules that need the whole module.
    fn check_whole(&self, rules: &Rules) -> Result<(), ModuleError> {
        let memory = ModuleError::MissingExport {
            name: MEMORY,
            expected: "the module's memory",
        };
        match self.export(MEMORY) {
            Some((ExternalKind::Memory, 0)) => {}
            _ => return Err(memory),
        }
        let entrypoint = ModuleError::MissingExport {
            name: ENTRYPOINT,
            expected: "a function (i32) -> i32",
        };
        match self.export(ENTRYPOINT) {
            Some((ExternalKind::Func, index)) => {
                let ty = self.function_type(index).ok_or(entrypoint.clone())?;
                if ty.params() != [ValType::I32] || ty.results() != [ValType::I32] {
                    return Err(entrypoint);
                }
            }
            _ => return Err(entrypoint),
        }
        for (name, ..) in &self.exports {
            let injected = rules.debug && crate::instrument::INJECTED.contains(name);
            if *name == START || injected {
                return Err(ModuleError::ReservedExport((*name).to_owned()));
            }
        }
        let growable = self.memory.maximum != Some(self.memory.initial);
        if growable && self.pay_for_memory_grow.is_none() {
            return Err(ModuleError::MissingPayForMemoryGrow);
        }
        Ok(())
    }

    fn export(&self, wanted: &str) -> Option<(ExternalKind, u32)> {
        self.exports
            .iter()
            .find(|(name, ..)| *name == wanted)
            .map(|(_, kind, index)| (*kind, *index))
    }

    /// The type of one of the module's own functions.
    fn function_type(&self, index: u32) -> Option<&FuncType> {
        let own = index.checked_sub(self.imported_functions)?;
        self.types.get(*self.functions.get(own as usize)? as usize)
    }
}

/// Refuses instructions that programs may not contain.
///
/// # Errors
/// Floating-point arithmetic, comparison and conversion; bulk operations other than
/// `memory.copy` and `memory.fill`; everything of later proposals.
pub(crate) fn check_instruction(op: &Operator<'_>) -> Result<(), ModuleError> {
    use Operator as O;
    let priced = crate::pricing::instruction_ink(op, |_| 0) != u64::MAX;
    // These move bits without computing; they may be present, but never run.
    let inert = matches!(
        op,
        O::F32Const { .. }
            | O::F64Const { .. }
            | O::F32Load { .. }
            | O::F64Load { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32ReinterpretI32
            | O::F64ReinterpretI64
    );
    if priced || inert {
        return Ok(());
    }
    let text = format!("{op:?}");
    let name = text.split([' ', '{']).next().unwrap_or_default();
    Err(ModuleError::Instruction(name.to_owned()))
}
