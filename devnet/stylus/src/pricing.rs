//! What things cost: instructions, pages, starting a program, activating one.
//!
//! Ink is the unit inside a program; [`INK_PER_GAS`] of it make one gas unless the chain owner
//! changes the price. Every table here is for Stylus versions 1 and 2.

use std::sync::LazyLock;

use revm::primitives::U256;
use wasmparser::Operator;

/// Default price: ink for one gas.
pub const INK_PER_GAS: u32 = 10_000;

/// Charged at the head of every block beside its instructions.
pub const BLOCK_HEADER_INK: u64 = 2450;

/// Charged for every byte of `memory.fill` and `memory.copy`.
pub const BULK_BYTE_INK: u64 = 100;

/// Most pages of guest memory a transaction can pay for.
pub const MAX_PAGES: u16 = 128;

/// The page ramp at [`MAX_PAGES`], in gas.
const RAMP_TOP: f64 = 31_874_000.0;

/// The ink of one instruction. `params` is the number of parameters of the type a
/// `call_indirect` names. Instructions without a price cost more than anyone has.
// Grouped as the published table is, not by price.
#[expect(clippy::match_same_arms)]
pub fn instruction_ink(op: &Operator<'_>, params: impl FnOnce(u32) -> u64) -> u64 {
    use Operator as O;
    match op {
        O::Unreachable
        | O::Return
        | O::Nop
        | O::I32Const { .. }
        | O::I64Const { .. }
        | O::Block { .. }
        | O::Loop { .. }
        | O::Else
        | O::End => 1,
        O::Drop => 9,
        O::Br { .. } | O::BrIf { .. } | O::If { .. } => 765,
        O::Select => 1250,
        O::Call { .. } => 3800,
        O::CallIndirect { type_index, .. } => 13_610 + 650 * params(*type_index),
        O::BrTable { targets } => 2400 + 325 * u64::from(targets.len()),
        O::LocalGet { .. } | O::LocalTee { .. } => 75,
        O::LocalSet { .. } => 210,
        O::GlobalGet { .. } => 225,
        O::GlobalSet { .. } => 575,
        O::I32Load { .. }
        | O::I32Load8S { .. }
        | O::I32Load8U { .. }
        | O::I32Load16S { .. }
        | O::I32Load16U { .. } => 670,
        O::I64Load { .. }
        | O::I64Load8S { .. }
        | O::I64Load8U { .. }
        | O::I64Load16S { .. }
        | O::I64Load16U { .. }
        | O::I64Load32S { .. }
        | O::I64Load32U { .. } => 680,
        O::I32Store { .. } | O::I32Store8 { .. } | O::I32Store16 { .. } => 825,
        O::I64Store { .. }
        | O::I64Store8 { .. }
        | O::I64Store16 { .. }
        | O::I64Store32 { .. }
        | O::MemoryCopy { .. }
        | O::MemoryFill { .. } => 950,
        O::MemorySize { .. } => 3000,
        O::MemoryGrow { .. } => 8050,
        O::I32Add
        | O::I32Sub
        | O::I32And
        | O::I32Or
        | O::I32Xor
        | O::I32Shl
        | O::I32ShrS
        | O::I32ShrU
        | O::I32Rotl
        | O::I32Rotr => 70,
        O::I64Add
        | O::I64Sub
        | O::I64And
        | O::I64Or
        | O::I64Xor
        | O::I64Shl
        | O::I64ShrS
        | O::I64ShrU
        | O::I64Rotl
        | O::I64Rotr
        | O::I32WrapI64
        | O::I64ExtendI32S
        | O::I64ExtendI32U
        | O::I32Extend8S
        | O::I32Extend16S
        | O::I64Extend8S
        | O::I64Extend16S
        | O::I64Extend32S => 100,
        O::I32Mul | O::I64Mul => 160,
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU => 1120,
        O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => 1270,
        O::I32Clz | O::I32Ctz | O::I64Clz | O::I64Ctz => 210,
        O::I32Popcnt => 2650,
        O::I64Popcnt => 6000,
        O::I32Eqz
        | O::I32Eq
        | O::I32Ne
        | O::I32LtS
        | O::I32LtU
        | O::I32GtS
        | O::I32GtU
        | O::I32LeS
        | O::I32LeU
        | O::I32GeS
        | O::I32GeU => 170,
        O::I64Eqz
        | O::I64Eq
        | O::I64Ne
        | O::I64LtS
        | O::I64LtU
        | O::I64GtS
        | O::I64GtU
        | O::I64LeS
        | O::I64LeU
        | O::I64GeS
        | O::I64GeU => 225,
        _ => u64::MAX,
    }
}

/// Ink worth `gas`, saturating.
pub const fn gas_to_ink(gas: u64, ink_per_gas: u32) -> u64 {
    gas.saturating_mul(ink_per_gas as u64)
}

/// Whole gas worth `ink`, rounded down.
pub const fn ink_to_gas(ink: u64, ink_per_gas: u32) -> u64 {
    if ink_per_gas == 0 {
        0
    } else {
        ink / ink_per_gas as u64
    }
}

/// The exponential part of the page price.
static RAMP: LazyLock<[u64; MAX_PAGES as usize + 1]> = LazyLock::new(|| {
    // The top entry is the definition itself, which rounding could miss by one.
    std::array::from_fn(|pages| {
        if pages == MAX_PAGES as usize {
            RAMP_TOP as u64
        } else {
            RAMP_TOP.powf(pages as f64 / f64::from(MAX_PAGES)).floor() as u64
        }
    })
});

/// Gas for taking `new` more pages when `open` are in use and `ever` is the most that ever were,
/// given `free` pages without charge and `linear` gas for each other one.
pub fn page_gas(new: u16, open: u16, ever: u16, free: u16, linear: u16) -> u64 {
    let now_open = open.saturating_add(new);
    let now_ever = ever.max(now_open);
    if now_ever <= free {
        return 0;
    }
    if now_ever > MAX_PAGES {
        return u64::MAX;
    }
    let priced = now_open.saturating_sub(free) - open.saturating_sub(free);
    let ramp = RAMP[usize::from(now_ever)] - RAMP[usize::from(ever)];
    (u64::from(linear) * u64::from(priced)).saturating_add(ramp)
}

/// What a module's shape says about its costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Functions defined in the module.
    pub functions: u32,
    /// Parameters and results of those functions.
    pub signature_values: u32,
    /// Bytes of the module.
    pub wasm_bytes: u32,
    /// Globals, including those the instrumentation adds.
    pub globals: u32,
    /// Bytes in data segments.
    pub data_bytes: u32,
    /// Entries in element segments.
    pub elements: u32,
    /// Initial pages of memory.
    pub footprint: u16,
    /// Instructions after instrumentation.
    pub instructions: u32,
}

impl Shape {
    /// Estimated bytes of native code.
    pub fn asm_estimate(&self) -> u32 {
        let [functions, types, bytes, ..] = self.wide();
        let estimate =
            512_000 + functions * 996_829 / 1000 + types * 11_416 / 1000 + bytes * 62_628 / 10_000;
        estimate.min(u64::from(u32::MAX)) as u32
    }

    /// Gas units to start the program when it is cached.
    pub fn cached_init_cost(&self) -> u64 {
        let [functions, types, bytes, globals, data] = self.wide();
        functions * 13_420 / 100_000
            + types * 89 / 100_000
            + bytes * 122 / 100_000
            + globals * 1628 / 1000
            + data * 75_244 / 100_000
            + 5 * u64::from(self.footprint)
    }

    /// Gas units to load the program when it is not cached (version 2: without the cached part).
    pub fn init_cost(&self) -> u64 {
        let [functions, types, bytes, ..] = self.wide();
        functions * 8252 / 1000 + types * 1059 / 1000 + bytes * 1286 / 10_000
    }

    /// Gas for analysing the module when it is activated.
    pub fn analysis_gas(&self) -> u64 {
        let [functions, _, bytes, ..] = self.wide();
        let micros = bytes * 31_733 / 100_000
            + functions * 17_263 / 100_000
            + u64::from(self.data_bytes) * 17_376 / 100_000
            + u64::from(self.elements) * 17_376 / 100_000
            + 2217 * u64::from(self.footprint)
            + u64::from(self.instructions) * 535 / 1000;
        28 * micros
    }

    fn wide(&self) -> [u64; 5] {
        [
            self.functions.into(),
            self.signature_values.into(),
            self.wasm_bytes.into(),
            self.globals.into(),
            u64::from(self.data_bytes) + u64::from(self.elements),
        ]
    }
}

/// Fixed part of the gas of an activation.
pub const ACTIVATION_FIXED_GAS: u64 = 1_659_168;

/// Wei to keep a module of `asm` bytes when `demand` bytes are in demand already.
pub fn data_fee(asm: u32, demand: u32) -> U256 {
    const FLOOR_PRICE: u64 = 82_928_201;
    const INERTIA: u64 = 21_360_419;
    let exponent = 10_000 * u64::from(demand) / INERTIA;
    U256::from(FLOOR_PRICE) * exp_bips(exponent) / U256::from(10_000) * U256::from(asm)
}

/// Demand after `seconds` have passed.
pub fn decayed_demand(demand: u32, seconds: u64) -> u32 {
    let gone = seconds.saturating_mul(34_865).min(u64::from(u32::MAX));
    demand.saturating_sub(gone as u32)
}

/// `e^(bips / 10000)` in hundredths of a percent, by four terms of its series in Horner's form.
fn exp_bips(bips: u64) -> U256 {
    let one = U256::from(10_000);
    let bips = U256::from(bips);
    let mut value = one + bips / U256::from(4);
    for divisor in (1..4u64).rev() {
        value = one + value * bips / (U256::from(divisor) * one);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramp_follows_the_formula() {
        assert_eq!(RAMP[0], 1);
        assert_eq!(RAMP[1], 1);
        // 31874000^(1/2) = 5645.7
        assert_eq!(RAMP[64], 5645);
        assert_eq!(RAMP[128], 31_874_000);
        assert!(RAMP.is_sorted());
    }

    #[test]
    fn pages_are_free_then_linear_then_steep() {
        assert_eq!(page_gas(2, 0, 0, 2, 1000), 0);
        // Third page: 1000 and no step on the ramp (E[3] = 1, E[2] = 1).
        assert_eq!(page_gas(1, 2, 2, 2, 1000), 1000);
        // Taking again what was open before costs only the linear part.
        assert_eq!(page_gas(8, 2, 10, 2, 1000), 8000);
        assert_eq!(page_gas(126, 2, 2, 2, 1000), 126_000 + 31_874_000 - 1);
        assert_eq!(page_gas(129, 0, 0, 2, 1000), u64::MAX);
        assert_eq!(page_gas(u16::MAX, 1, 1, 2, 1000), u64::MAX);
    }

    #[test]
    fn shape_costs_by_hand() {
        let shape = Shape {
            functions: 10,
            signature_values: 30,
            wasm_bytes: 1000,
            globals: 5,
            data_bytes: 90,
            elements: 10,
            footprint: 1,
            instructions: 2000,
        };
        assert_eq!(shape.asm_estimate(), 512_000 + 9968 + 342 + 6262);
        assert_eq!(shape.cached_init_cost(), 1 + 1 + 8 + 75 + 5);
        assert_eq!(shape.init_cost(), 82 + 31 + 128);
        assert_eq!(shape.analysis_gas(), 28 * (317 + 1 + 15 + 1 + 2217 + 1070));
    }

    #[test]
    fn data_fee_grows_with_demand() {
        assert_eq!(data_fee(1000, 0), U256::from(82_928_201_000u64));
        // Demand equal to the inertia: e = 2.7083 by four terms.
        assert_eq!(exp_bips(10_000), U256::from(27_083));
        assert!(data_fee(1000, 21_360_419) > data_fee(1000, 0) * U256::from(2));
        assert_eq!(decayed_demand(100_000, 2), 30_270);
        assert_eq!(decayed_demand(100, 2), 0);
        assert_eq!(decayed_demand(100, u64::MAX), 0);
    }

    #[test]
    fn ink_conversions_saturate() {
        assert_eq!(gas_to_ink(u64::MAX, INK_PER_GAS), u64::MAX);
        assert_eq!(ink_to_gas(19_999, INK_PER_GAS), 1);
        assert_eq!(ink_to_gas(1, 0), 0);
    }
}
