//! Rewriting a module so that it pays for what it does.
//!
//! Four globals are appended: ink left, a status, a scratch word, and stack left. Every function
//! is then rewritten so that
//!
//! * each block of instructions begins by paying ink for all of them, and traps with status 1 if
//!   it cannot;
//! * `memory.fill` and `memory.copy` first pay for each byte;
//! * entering a function takes its frame from the stack left, and traps leaving zero if it does
//!   not fit, so that unbounded recursion ends at the same depth on every machine;
//! * `memory.grow` first calls the host to pay for the pages.
//!
//! Original instructions are copied byte for byte; indices do not shift.

use wasm_encoder::{
    BlockType, CodeSection, Encode, ExportKind, ExportSection, Instruction as I, RawSection,
    SectionId,
};
use wasmparser::{ExternalKind, FuncValidatorAllocations, FunctionBody, Operator, ValType};

use crate::{
    pricing::{BLOCK_HEADER_INK, BULK_BYTE_INK, Shape, instruction_ink},
    validate::{ENTRYPOINT, MEMORY, Module, ModuleError, START, check_instruction},
};

/// Exported names of the injected globals, in index order.
pub const INJECTED: [&str; 4] = [INK_LEFT, INK_STATUS, SCRATCH, STACK_LEFT];
/// Ink left, i64.
pub const INK_LEFT: &str = "stylus_ink_left";
/// 1 once a block could not be paid for, i32.
pub const INK_STATUS: &str = "stylus_ink_status";
/// Working space of the injected code, i32.
pub const SCRATCH: &str = "stylus_scratch_global";
/// Words of stack left, i32; 0 once a function did not fit.
pub const STACK_LEFT: &str = "stylus_stack_left";

const MAX_LOCALS: u64 = 348;
const MAX_INSTRUCTIONS: u64 = 65_536;
/// Largest frame of one function, in words.
const MAX_FRAME: u64 = 10_240;
/// Most values one function may have in flight.
const MAX_CONTENTION: u64 = 4096;
/// Words every frame takes beside its values.
const FRAME_OVERHEAD: u64 = 4;

/// A module that meters itself.
#[derive(Clone, Debug)]
pub struct Instrumented {
    /// The rewritten module.
    pub wasm: Vec<u8>,
    /// What the module's costs depend on.
    pub shape: Shape,
    /// Whether the module has a start function, exported as `stylus_start`.
    pub has_start: bool,
}

/// Indices of the injected globals and of the host function to pay for pages.
#[derive(Clone, Copy)]
struct Injected {
    ink: u32,
    status: u32,
    scratch: u32,
    stack: u32,
    pay_for_memory_grow: Option<u32>,
}

/// Rewrites `module`.
///
/// # Errors
/// A function is invalid, too large, or contains an instruction that programs may not contain.
pub fn instrument(mut module: Module<'_>, debug: bool) -> Result<Instrumented, ModuleError> {
    let first = module.globals;
    let injected = Injected {
        ink: first,
        status: first + 1,
        scratch: first + 2,
        stack: first + 3,
        pay_for_memory_grow: module.pay_for_memory_grow,
    };
    let bodies = std::mem::take(&mut module.bodies);
    let mut code = CodeSection::new();
    let mut instructions = 0u32;
    let mut allocations = FuncValidatorAllocations::default();
    for (function, body) in bodies {
        let mut rewriter = Rewriter {
            module: &module,
            injected,
            out: Vec::new(),
            count: 0,
            index: function.index,
        };
        let mut validator = function.into_validator(allocations);
        rewriter.function(&mut validator, &body)?;
        allocations = validator.into_allocations();
        instructions = instructions.saturating_add(rewriter.count);
        code.raw(&rewriter.out);
    }

    let wasm = assemble(&module, debug, &code);
    let values = |ty: &u32| {
        module
            .types
            .get(*ty as usize)
            .map_or(0, |ty| ty.params().len() + ty.results().len())
    };
    let shape = Shape {
        functions: module.functions.len() as u32,
        signature_values: module.functions.iter().map(values).sum::<usize>() as u32,
        wasm_bytes: module.wasm.len() as u32,
        globals: module.globals + INJECTED.len() as u32,
        data_bytes: module.data_bytes,
        elements: module.elements,
        // `Module::parse` limits the initial pages to a u16.
        footprint: module.memory.initial as u16,
        instructions,
    };
    Ok(Instrumented {
        wasm,
        shape,
        has_start: module.start.is_some(),
    })
}

/// Puts the rewritten sections between the untouched ones.
fn assemble(module: &Module<'_>, debug: bool, code: &CodeSection) -> Vec<u8> {
    let mut out = wasm_encoder::Module::new();
    let raw = |id: SectionId| {
        module
            .sections
            .iter()
            .find(|(section, _)| *section == id as u8)
            .and_then(|(_, range)| module.wasm.get(range.clone()))
    };
    let copy = |out: &mut wasm_encoder::Module, id: SectionId| {
        if let Some(data) = raw(id) {
            out.section(&RawSection { id: id as u8, data });
        }
    };
    for id in [
        SectionId::Type,
        SectionId::Import,
        SectionId::Function,
        SectionId::Table,
        SectionId::Memory,
    ] {
        copy(&mut out, id);
    }
    out.section(&RawSection {
        id: SectionId::Global as u8,
        data: &globals(module),
    });
    out.section(&exports(module, debug));
    copy(&mut out, SectionId::Element);
    copy(&mut out, SectionId::DataCount);
    if !module.functions.is_empty() {
        out.section(code);
    }
    copy(&mut out, SectionId::Data);
    out.finish()
}

/// The module's globals followed by the injected ones.
fn globals(module: &Module<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    (module.globals + INJECTED.len() as u32).encode(&mut data);
    let own = module
        .sections
        .iter()
        .find(|(id, _)| *id == SectionId::Global as u8);
    if let Some(bytes) = own.and_then(|(_, range)| module.wasm.get(range.clone())) {
        // The count comes first; skip its bytes, which need not be the shortest encoding.
        let count = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        data.extend_from_slice(bytes.get(count..).unwrap_or_default());
    }
    // Mutable, initially zero: i64, then three of i32.
    data.extend([0x7e, 0x01, 0x42, 0x00, 0x0b]);
    for _ in 0..3 {
        data.extend([0x7f, 0x01, 0x41, 0x00, 0x0b]);
    }
    data
}

/// The exports programs keep and those of the injected globals.
fn exports(module: &Module<'_>, debug: bool) -> ExportSection {
    let mut section = ExportSection::new();
    for (name, kind, index) in &module.exports {
        if debug || [ENTRYPOINT, MEMORY].contains(name) {
            let kind = match kind {
                ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
                ExternalKind::Table => ExportKind::Table,
                ExternalKind::Memory => ExportKind::Memory,
                ExternalKind::Global => ExportKind::Global,
                ExternalKind::Tag => ExportKind::Tag,
            };
            section.export(name, kind, *index);
        }
    }
    if let Some(start) = module.start {
        section.export(START, ExportKind::Func, start);
    }
    for (offset, name) in INJECTED.iter().enumerate() {
        section.export(name, ExportKind::Global, module.globals + offset as u32);
    }
    section
}

/// What an instruction asks of the instrumentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    Return,
    Bulk,
    Grow,
}

/// One instruction of the original function.
struct Step {
    /// Where its bytes begin in the module.
    start: usize,
    extra: Extra,
    /// Ink of the block it heads, if it heads one.
    block_ink: Option<u64>,
}

/// What the first reading of a function finds.
struct Survey {
    steps: Vec<Step>,
    end: usize,
    /// Most values in flight, with those of the metering code.
    height: u64,
    /// Whether a branch leaves the function instead of a `return`.
    branches_out: bool,
}

struct Rewriter<'a, 'm> {
    module: &'m Module<'a>,
    injected: Injected,
    out: Vec<u8>,
    count: u32,
    index: u32,
}

type Validator = wasmparser::FuncValidator<wasmparser::ValidatorResources>;

impl Rewriter<'_, '_> {
    fn function(
        &mut self,
        validator: &mut Validator,
        body: &FunctionBody<'_>,
    ) -> Result<(), ModuleError> {
        let mut locals = 0u64;
        for local in body.get_locals_reader()? {
            locals = locals.saturating_add(local?.0.into());
        }
        self.limit("locals of a function", locals, MAX_LOCALS)?;
        let survey = self.survey(validator, body)?;
        let frame = survey.height + locals + FRAME_OVERHEAD;
        if frame > MAX_FRAME || survey.height > MAX_CONTENTION {
            let (size, limit) = if frame > MAX_FRAME {
                (frame, MAX_FRAME)
            } else {
                (survey.height, MAX_CONTENTION)
            };
            return Err(ModuleError::Frame {
                function: self.index,
                size,
                limit,
            });
        }
        self.write(body, &survey, frame as i32)?;
        self.limit(
            "instructions of a function",
            u64::from(self.count),
            MAX_INSTRUCTIONS,
        )
    }

    fn limit(&self, what: &'static str, count: u64, limit: u64) -> Result<(), ModuleError> {
        if count > limit {
            Err(ModuleError::Limit { what, count, limit })
        } else {
            Ok(())
        }
    }

    /// Validates the function and finds its blocks.
    fn survey(
        &self,
        validator: &mut Validator,
        body: &FunctionBody<'_>,
    ) -> Result<Survey, ModuleError> {
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let mut steps: Vec<Step> = Vec::new();
        let (mut height, mut branches_out) = (0u64, false);
        let (mut head, mut ink) = (0, 0u64);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (op, start) = operators.read_with_offset()?;
            check_instruction(&op)?;
            let before = u64::from(validator.operand_stack_height());
            let outermost = validator.control_stack_height().saturating_sub(1);
            validator.op(start, &op)?;

            let params = |ty: u32| {
                self.module
                    .types
                    .get(ty as usize)
                    .map_or(0, |ty| ty.params().len() as u64)
            };
            ink = ink.saturating_add(instruction_ink(&op, params));
            let at = steps.len();
            let extra = match op {
                Operator::Return => Extra::Return,
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => Extra::Bulk,
                Operator::MemoryGrow { .. } => Extra::Grow,
                _ => Extra::None,
            };
            branches_out |= match &op {
                Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                    *relative_depth == outermost
                }
                Operator::BrTable { targets } => {
                    targets.default() == outermost
                        || targets.targets().flatten().any(|depth| depth == outermost)
                }
                _ => false,
            };
            // The ink check at a head and the charge for bulk operations each push two values
            // more than the program has there.
            if head == at || extra == Extra::Bulk {
                height = height.max(before + 2);
            }
            height = height.max(validator.operand_stack_height().into());
            steps.push(Step {
                start,
                extra,
                block_ink: None,
            });
            if ends_block(&op) {
                if let Some(step) = steps.get_mut(head) {
                    step.block_ink = Some(ink);
                }
                (head, ink) = (at + 1, 0);
            }
            if steps.len() as u64 > MAX_INSTRUCTIONS {
                self.limit(
                    "instructions of a function",
                    steps.len() as u64,
                    MAX_INSTRUCTIONS,
                )?;
            }
        }
        operators.finish()?;
        Ok(Survey {
            steps,
            end: operators.original_position(),
            height,
            branches_out,
        })
    }

    fn write(
        &mut self,
        body: &FunctionBody<'_>,
        survey: &Survey,
        frame: i32,
    ) -> Result<(), ModuleError> {
        let range = body.range();
        let first = survey.steps.first().map_or(range.end, |step| step.start);
        self.copy(range.start, first);
        self.enter(frame);
        if survey.branches_out {
            // A branch to the function's own label must pass the epilogue too. One more block
            // around the body catches it; labels inside need no change.
            let block = self.result_type()?;
            self.put(&I::Block(block));
        }
        let last = survey.steps.len().saturating_sub(1);
        for (at, step) in survey.steps.iter().enumerate() {
            if let Some(ink) = step.block_ink {
                self.pay(ink.saturating_add(BLOCK_HEADER_INK));
            }
            match step.extra {
                Extra::None => {}
                Extra::Return => self.leave(frame),
                Extra::Bulk => self.pay_bulk(),
                Extra::Grow => self.pay_pages(),
            }
            if at == last {
                if survey.branches_out {
                    self.put(&I::End);
                }
                self.leave(frame);
                self.put(&I::Return);
            }
            let end = survey
                .steps
                .get(at + 1)
                .map_or(survey.end, |next| next.start);
            self.copy(step.start, end);
            self.count += 1;
        }
        Ok(())
    }

    fn result_type(&self) -> Result<BlockType, ModuleError> {
        let own = self.index.saturating_sub(self.module.imported_functions);
        let ty = self
            .module
            .functions
            .get(own as usize)
            .copied()
            .unwrap_or_default();
        match self.module.types.get(ty as usize).map(|ty| ty.results()) {
            Some([]) | None => Ok(BlockType::Empty),
            Some([ValType::I32]) => Ok(BlockType::Result(wasm_encoder::ValType::I32)),
            Some([ValType::I64]) => Ok(BlockType::Result(wasm_encoder::ValType::I64)),
            Some([ValType::F32]) => Ok(BlockType::Result(wasm_encoder::ValType::F32)),
            Some([ValType::F64]) => Ok(BlockType::Result(wasm_encoder::ValType::F64)),
            Some(_) => Err(ModuleError::Unexpected("function with several results")),
        }
    }

    /// Copies original bytes.
    fn copy(&mut self, start: usize, end: usize) {
        self.out
            .extend_from_slice(self.module.wasm.get(start..end).unwrap_or_default());
    }

    fn put(&mut self, instruction: &I<'_>) {
        instruction.encode(&mut self.out);
        self.count += 1;
    }

    fn put_all(&mut self, instructions: &[I<'_>]) {
        for instruction in instructions {
            self.put(instruction);
        }
    }

    /// Pays `ink` or traps.
    fn pay(&mut self, ink: u64) {
        let Injected { ink: left, .. } = self.injected;
        self.put_all(&[I::GlobalGet(left), I::I64Const(ink as i64), I::I64LtU]);
        self.trap_out_of_ink();
        self.put_all(&[
            I::GlobalGet(left),
            I::I64Const(ink as i64),
            I::I64Sub,
            I::GlobalSet(left),
        ]);
    }

    /// Pays for each byte of a bulk operation whose length is on top of the stack.
    fn pay_bulk(&mut self) {
        let Injected {
            ink: left, scratch, ..
        } = self.injected;
        // 100 * 2^32 fits into 64 bits.
        let price = [
            I::GlobalGet(scratch),
            I::I64ExtendI32U,
            I::I64Const(BULK_BYTE_INK as i64),
            I::I64Mul,
        ];
        self.put_all(&[I::GlobalSet(scratch), I::GlobalGet(left)]);
        self.put_all(&price);
        self.put(&I::I64LtU);
        self.trap_out_of_ink();
        self.put(&I::GlobalGet(left));
        self.put_all(&price);
        self.put_all(&[I::I64Sub, I::GlobalSet(left), I::GlobalGet(scratch)]);
    }

    /// Traps with status 1 if the condition on the stack holds.
    fn trap_out_of_ink(&mut self) {
        let Injected { status, .. } = self.injected;
        self.put_all(&[
            I::If(BlockType::Empty),
            I::I32Const(1),
            I::GlobalSet(status),
            I::Unreachable,
            I::End,
        ]);
    }

    /// Takes the function's frame from the stack left, or traps leaving zero.
    fn enter(&mut self, frame: i32) {
        let Injected { stack, .. } = self.injected;
        self.put_all(&[
            I::GlobalGet(stack),
            I::I32Const(frame),
            I::I32LeU,
            I::If(BlockType::Empty),
            I::I32Const(0),
            I::GlobalSet(stack),
            I::Unreachable,
            I::End,
            I::GlobalGet(stack),
            I::I32Const(frame),
            I::I32Sub,
            I::GlobalSet(stack),
        ]);
    }

    /// Gives the function's frame back.
    fn leave(&mut self, frame: i32) {
        let Injected { stack, .. } = self.injected;
        self.put_all(&[
            I::GlobalGet(stack),
            I::I32Const(frame),
            I::I32Add,
            I::GlobalSet(stack),
        ]);
    }

    /// Has the host charge for the pages on top of the stack.
    fn pay_pages(&mut self) {
        let Injected {
            scratch,
            pay_for_memory_grow,
            ..
        } = self.injected;
        // A memory of fixed size may still contain `memory.grow`, which then always fails.
        if let Some(host) = pay_for_memory_grow {
            self.put_all(&[
                I::GlobalSet(scratch),
                I::GlobalGet(scratch),
                I::Call(host),
                I::GlobalGet(scratch),
            ]);
        }
    }
}

/// Whether an instruction is the last of its block.
fn ends_block(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::End
            | O::Else
            | O::Return
            | O::Loop { .. }
            | O::Br { .. }
            | O::BrTable { .. }
            | O::BrIf { .. }
            | O::If { .. }
            | O::Call { .. }
            | O::CallIndirect { .. }
    )
}

#[cfg(test)]
mod tests;
