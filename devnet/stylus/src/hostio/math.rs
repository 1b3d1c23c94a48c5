//! Arithmetic on 256 bits and hashing.

use revm::primitives::{U256, keccak256};
use wasmtime::{Caller, Linker};

use crate::{
    guest::{Escape, Guest, Hook, hook},
    imports::VM_HOOKS,
};

const DIV: u64 = 43_520;
const POW: u64 = 23_520;
const ADD_MOD: u64 = 49_560;
const MUL_MOD: u64 = 52_660;
const KECCAK: u64 = 121_800;
const KECCAK_WORD: u64 = 21_000;

/// Replaces the number at `a` by `f` of it and the number at `b`.
fn binary(
    h: &mut Hook<'_, '_>,
    a: u32,
    b: u32,
    f: impl FnOnce(U256, U256) -> U256,
) -> Result<(), Escape> {
    let (x, y) = (h.read_u256(a)?, h.read_u256(b)?);
    let z = f(x, y);
    h.arg(x.to_be_bytes::<32>());
    h.arg(y.to_be_bytes::<32>());
    h.out(z.to_be_bytes::<32>());
    h.write_u256(a, z)
}

/// Replaces the number at `a` by `f` of it and the numbers at `b` and `m`.
fn ternary(
    h: &mut Hook<'_, '_>,
    [a, b, m]: [u32; 3],
    f: impl FnOnce(U256, U256, U256) -> U256,
) -> Result<(), Escape> {
    let (x, y, n) = (h.read_u256(a)?, h.read_u256(b)?, h.read_u256(m)?);
    let z = f(x, y, n);
    h.arg(x.to_be_bytes::<32>());
    h.arg(y.to_be_bytes::<32>());
    h.arg(n.to_be_bytes::<32>());
    h.out(z.to_be_bytes::<32>());
    h.write_u256(a, z)
}

fn pow(h: &mut Hook<'_, '_>, a: u32, e: u32) -> Result<(), Escape> {
    h.pay_ink(POW)?;
    let zeros = h.read_u256(e)?.leading_zeros() as u64 / 8;
    h.pay_ink(3000 + 17_500 * (33 - zeros))?;
    binary(h, a, e, U256::wrapping_pow)
}

fn keccak(h: &mut Hook<'_, '_>, ptr: u32, len: u32, out: u32) -> Result<(), Escape> {
    h.pay_ink(KECCAK + KECCAK_WORD * u64::from(len.div_ceil(32).saturating_sub(2)))?;
    let input = h.read(ptr, len)?;
    let digest = keccak256(&input);
    h.arg(&input);
    h.out(digest);
    h.write(out, digest.as_slice())
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        VM_HOOKS,
        "math_div",
        |c: Caller<'_, Guest>, a: u32, b: u32| {
            hook(c, "math_div", |h| {
                h.pay_ink(DIV)?;
                binary(h, a, b, |x, y| x.checked_div(y).unwrap_or_default())
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "math_mod",
        |c: Caller<'_, Guest>, a: u32, b: u32| {
            hook(c, "math_mod", |h| {
                h.pay_ink(DIV)?;
                binary(h, a, b, |x, y| x.checked_rem(y).unwrap_or_default())
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "math_pow",
        |c: Caller<'_, Guest>, a: u32, e: u32| hook(c, "math_pow", |h| pow(h, a, e)),
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "math_add_mod",
        |c: Caller<'_, Guest>, a: u32, b: u32, m: u32| {
            hook(c, "math_add_mod", |h| {
                h.pay_ink(ADD_MOD)?;
                ternary(h, [a, b, m], U256::add_mod)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "math_mul_mod",
        |c: Caller<'_, Guest>, a: u32, b: u32, m: u32| {
            hook(c, "math_mul_mod", |h| {
                h.pay_ink(MUL_MOD)?;
                ternary(h, [a, b, m], U256::mul_mod)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "native_keccak256",
        |c: Caller<'_, Guest>, ptr: u32, len: u32, out: u32| {
            hook(c, "native_keccak256", |h| keccak(h, ptr, len, out))
        },
    )?;
    Ok(())
}
