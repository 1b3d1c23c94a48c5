//! Arguments, results, and facts about frame, transaction and block.

use revm::primitives::Bytes;
use wasmtime::{Caller, Linker};

use super::{HOSTIO, POINTER};
use crate::{
    guest::{Escape, Guest, Hook, hook},
    imports::{PAY_FOR_MEMORY_GROW, VM_HOOKS},
};

fn read_args(h: &mut Hook<'_, '_>, dest: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO)?;
    let args = h.guest().args.clone();
    h.pay_for_write(args.len() as u32)?;
    h.out(&args);
    h.write(dest, &args)
}

fn write_result(h: &mut Hook<'_, '_>, ptr: u32, len: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO)?;
    h.pay_for_read(len)?;
    h.pay_for_read(len)?;
    let output = Bytes::from(h.read(ptr, len)?);
    h.arg(&output);
    h.guest_mut().output = output;
    Ok(())
}

fn pay_for_memory_grow(h: &mut Hook<'_, '_>, pages: u32) -> Result<(), Escape> {
    // More pages than a u16 holds cost as much as those: more than anyone has.
    let pages = pages.min(u32::from(u16::MAX)) as u16;
    h.arg(pages.to_be_bytes());
    if pages == 0 {
        h.pay_ink(HOSTIO)
    } else {
        h.pay_for_pages(pages)
    }
}

/// Defines functions that write one fact to memory.
macro_rules! written {
    ($linker:ident, $($name:literal => $bytes:expr;)*) => {$(
        $linker.func_wrap(VM_HOOKS, $name, |c: Caller<'_, Guest>, dest: u32| {
            hook(c, $name, |h| {
                h.pay_ink(HOSTIO + POINTER)?;
                let bytes = ($bytes)(h.guest());
                h.out(bytes);
                h.write(dest, bytes.as_ref())
            })
        })?;
    )*};
}

/// Defines functions that return one fact.
macro_rules! returned {
    ($linker:ident, $($name:literal => $value:expr;)*) => {$(
        $linker.func_wrap(VM_HOOKS, $name, |c: Caller<'_, Guest>| {
            hook(c, $name, |h| {
                h.pay_ink(HOSTIO)?;
                let value = ($value)(h);
                h.out(value.to_be_bytes());
                Ok(value)
            })
        })?;
    )*};
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(VM_HOOKS, "read_args", |c: Caller<'_, Guest>, dest: u32| {
        hook(c, "read_args", |h| read_args(h, dest))
    })?;
    linker.func_wrap(
        VM_HOOKS,
        "write_result",
        |c: Caller<'_, Guest>, ptr: u32, len: u32| {
            hook(c, "write_result", |h| write_result(h, ptr, len))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "exit_early",
        |c: Caller<'_, Guest>, status: u32| {
            hook(c, "exit_early", |h| {
                h.arg(status.to_be_bytes());
                Err::<(), _>(Escape::Exit(status))
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        PAY_FOR_MEMORY_GROW,
        |c: Caller<'_, Guest>, pages: u32| {
            hook(c, PAY_FOR_MEMORY_GROW, |h| pay_for_memory_grow(h, pages))
        },
    )?;
    written! { linker,
        "block_basefee" => |g: &Guest| g.facts.basefee.to_be_bytes::<32>();
        "block_coinbase" => |g: &Guest| g.facts.coinbase;
        "contract_address" => |g: &Guest| g.frame.acting;
        "msg_sender" => |g: &Guest| g.frame.caller;
        "msg_value" => |g: &Guest| g.frame.value.to_be_bytes::<32>();
        "tx_gas_price" => |g: &Guest| g.facts.gas_price.to_be_bytes::<32>();
        "tx_origin" => |g: &Guest| g.facts.origin;
    }
    returned! { linker,
        "block_gas_limit" => |h: &mut Hook<'_, '_>| h.guest().facts.gas_limit;
        "block_number" => |h: &mut Hook<'_, '_>| h.guest().facts.number;
        "block_timestamp" => |h: &mut Hook<'_, '_>| h.guest().facts.timestamp;
        "chainid" => |h: &mut Hook<'_, '_>| h.guest().facts.chain_id;
        "evm_gas_left" => |h: &mut Hook<'_, '_>| h.gas();
        "evm_ink_left" => |h: &mut Hook<'_, '_>| h.ink();
        "tx_ink_price" => |h: &mut Hook<'_, '_>| h.guest().prices.ink_per_gas;
        "msg_reentrant" => |h: &mut Hook<'_, '_>| {
            let acting = h.guest().frame.acting;
            u32::from(h.guest_mut().machine().chain().is_reentrant(&acting))
        };
    }
    Ok(())
}
