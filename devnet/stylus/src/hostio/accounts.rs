//! Questions about accounts.

use revm::primitives::{Address, Bytes};
use wasmtime::{Caller, Linker};

use super::{EVM_API, HOSTIO, POINTER};
use crate::{
    guest::{Escape, Guest, Hook, hook},
    imports::VM_HOOKS,
};

const COLD_ACCOUNT: u64 = 2600;
const WARM_ACCOUNT: u64 = 100;
/// Gas for loading code of the greatest size; EXTCODECOPY before access lists.
const CODE_LOAD: u64 = 700;

fn access_gas(is_cold: bool) -> u64 {
    if is_cold { COLD_ACCOUNT } else { WARM_ACCOUNT }
}

fn account(
    h: &mut Hook<'_, '_>,
    address: u32,
    dest: u32,
    field: impl FnOnce(&crate::machine::AccountView) -> [u8; 32],
) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + 2 * POINTER + EVM_API)?;
    h.require_gas(COLD_ACCOUNT)?;
    let address = h.read_address(address)?;
    let view = h.guest_mut().machine().account(address)?;
    h.pay_gas(access_gas(view.is_cold))?;
    let value = field(&view);
    h.arg(address);
    h.out(value);
    h.write(dest, &value)
}

/// An account's code; free if it is the account asked about last.
fn code_of(h: &mut Hook<'_, '_>, address: Address) -> Result<Bytes, Escape> {
    if let Some((known, code)) = &h.guest().last_code
        && *known == address
    {
        return Ok(code.clone());
    }
    let (code, is_cold) = h.guest_mut().machine().code(address)?;
    h.pay_gas(CODE_LOAD + access_gas(is_cold))?;
    if !code.is_empty() {
        h.guest_mut().last_code = Some((address, code.clone()));
    }
    Ok(code)
}

fn account_code(
    h: &mut Hook<'_, '_>,
    address: u32,
    offset: u32,
    size: u32,
    dest: u32,
) -> Result<u32, Escape> {
    h.pay_ink(HOSTIO + EVM_API)?;
    let address = h.read_address(address)?;
    let code = code_of(h, address)?;
    h.pay_for_write(code.len() as u32)?;
    let start = (offset as usize).min(code.len());
    let end = start.saturating_add(size as usize).min(code.len());
    let slice = code.slice(start..end);
    h.arg(address);
    h.arg(offset.to_be_bytes());
    h.arg(size.to_be_bytes());
    h.out(&slice);
    h.write(dest, &slice)?;
    Ok(slice.len() as u32)
}

fn account_code_size(h: &mut Hook<'_, '_>, address: u32) -> Result<u32, Escape> {
    h.pay_ink(HOSTIO + EVM_API)?;
    let address = h.read_address(address)?;
    let len = code_of(h, address)?.len() as u32;
    h.arg(address);
    h.out(len.to_be_bytes());
    Ok(len)
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        VM_HOOKS,
        "account_balance",
        |c: Caller<'_, Guest>, address: u32, dest: u32| {
            hook(c, "account_balance", |h| {
                account(h, address, dest, |view| view.balance.to_be_bytes())
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "account_codehash",
        |c: Caller<'_, Guest>, address: u32, dest: u32| {
            hook(c, "account_codehash", |h| {
                account(h, address, dest, |view| view.code_hash.0)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "account_code",
        |c: Caller<'_, Guest>, address: u32, offset: u32, size: u32, dest: u32| {
            hook(c, "account_code", |h| {
                account_code(h, address, offset, size, dest)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "account_code_size",
        |c: Caller<'_, Guest>, address: u32| {
            hook(c, "account_code_size", |h| account_code_size(h, address))
        },
    )?;
    Ok(())
}
