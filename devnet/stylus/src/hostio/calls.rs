//! Calls, creations, return data and logs.

use revm::{
    interpreter::CreateScheme,
    primitives::{Address, B256, Bytes, Log, U256},
};
use wasmtime::{Caller, Linker};

use super::{EVM_API, HOSTIO, POINTER};
use crate::{
    guest::{Escape, Guest, Hook, hook},
    imports::VM_HOOKS,
    machine::{CallKind, Returned},
};

const WARM_ACCESS: u64 = 100;
const COLD_ACCESS_EXTRA: u64 = 2500;
const NEW_ACCOUNT: u64 = 25_000;
const VALUE_TRANSFER: u64 = 9000;
const STIPEND: u64 = 2300;
const CREATE: u64 = 32_000;
const KECCAK_WORD: u64 = 6;

/// A call's status for the program: 0 is success, anything else failure.
const FAILED: u32 = 2;

/// The pointers a program passes for a call.
struct CallArgs {
    address: u32,
    data: u32,
    len: u32,
    value: Option<u32>,
    gas: u64,
    ret_len: u32,
}

/// All but a 64th.
const fn most_of(gas: u64) -> u64 {
    gas - gas / 64
}

fn call(h: &mut Hook<'_, '_>, kind: CallKind, args: CallArgs) -> Result<u32, Escape> {
    h.pay_ink(HOSTIO + 3 * POINTER + EVM_API)?;
    h.pay_for_read(args.len)?;
    h.pay_for_read(args.len)?;
    let to = h.read_address(args.address)?;
    let data = Bytes::from(h.read(args.data, args.len)?);
    let value = match args.value {
        Some(ptr) => h.read_u256(ptr)?,
        None => U256::ZERO,
    };
    h.arg(to);
    h.arg(args.gas.to_be_bytes());
    if args.value.is_some() {
        h.arg(value.to_be_bytes::<32>());
    }
    h.arg(&data);

    if let Some(recorder) = &mut h.guest_mut().machine().chain().recorder {
        recorder.open();
    }
    let result = forward(h, kind, to, data, value, args.gas);
    if let Some(recorder) = &mut h.guest_mut().machine().chain().recorder {
        let steps = recorder.close();
        h.nested = Some((to, steps));
    }
    let (output, success) = result?;

    let len = output.len() as u32;
    h.guest_mut().return_data = output;
    h.write_u32(args.ret_len, len)?;
    let status = if success { 0 } else { FAILED };
    h.out(len.to_be_bytes());
    h.out([status as u8]);
    Ok(status)
}

/// Prices and makes a call; returns its output and whether it succeeded.
fn forward(
    h: &mut Hook<'_, '_>,
    kind: CallKind,
    to: Address,
    data: Bytes,
    value: U256,
    requested: u64,
) -> Result<(Bytes, bool), Escape> {
    let pays = !value.is_zero();
    if pays && h.guest().frame.is_static {
        return Ok((Bytes::new(), false));
    }
    let account = h.guest_mut().machine().account(to)?;
    let mut base = WARM_ACCESS;
    if account.is_cold {
        base += COLD_ACCESS_EXTRA;
    }
    if pays {
        base += VALUE_TRANSFER;
        if account.is_empty {
            base += NEW_ACCOUNT;
        }
    }
    let left = h.gas();
    if left < base {
        h.pay_gas(left)?;
        return Ok((Bytes::new(), false));
    }
    let mut gas = requested.min(most_of(left - base));
    if pays {
        gas += STIPEND;
    }
    let frame = h.guest().frame.clone();
    let returned = h
        .guest_mut()
        .machine()
        .call(&frame, kind, to, data, value, gas)?;
    settle(h, base, gas, &returned)?;
    Ok((returned.output, returned.success))
}

/// Charges what a call or creation used.
fn settle(h: &mut Hook<'_, '_>, base: u64, gas: u64, returned: &Returned) -> Result<(), Escape> {
    h.guest_mut().refund += returned.refund;
    h.pay_gas(base.saturating_add(gas.saturating_sub(returned.gas_left)))
}

/// The pointers a program passes for a creation.
struct CreateArgs {
    code: u32,
    len: u32,
    endowment: u32,
    salt: Option<u32>,
    address_out: u32,
    revert_len: u32,
}

fn create(h: &mut Hook<'_, '_>, args: CreateArgs) -> Result<(), Escape> {
    let pointers = if args.salt.is_some() { 4 } else { 3 };
    h.pay_ink(HOSTIO + pointers * POINTER + EVM_API)?;
    h.pay_for_read(args.len)?;
    h.pay_for_read(args.len)?;
    let endowment = h.read_u256(args.endowment)?;
    let salt = match args.salt {
        Some(ptr) => Some(h.read_u256(ptr)?),
        None => None,
    };
    let code = Bytes::from(h.read(args.code, args.len)?);
    h.arg(endowment.to_be_bytes::<32>());
    if let Some(salt) = salt {
        h.arg(salt.to_be_bytes::<32>());
    }
    h.arg(&code);

    if h.guest().frame.is_static {
        return Err(Escape::Refused("creation in a static call"));
    }
    let mut base = CREATE;
    if salt.is_some() {
        base += KECCAK_WORD * u64::from(args.len.div_ceil(32));
    }
    let left = h.gas();
    if left < base {
        return Err(Escape::Refused("not enough gas to create a contract"));
    }
    let gas = most_of(left - base);
    let scheme = match salt {
        Some(salt) => CreateScheme::Create2 { salt },
        None => CreateScheme::Create,
    };
    let frame = h.guest().frame.clone();
    let name = if salt.is_some() {
        "evm_create2"
    } else {
        "evm_create1"
    };
    let machine = h.guest_mut().machine();
    if let Some(recorder) = &mut machine.chain().recorder {
        recorder.open_evm(name);
    }
    let result = machine.create(&frame, scheme, code, endowment, gas);
    if let Some(recorder) = &mut machine.chain().recorder {
        let created = result.as_ref().ok().and_then(|returned| returned.created);
        recorder.close_evm(Some(created.unwrap_or_default()));
    }
    let returned = result?;
    settle(h, base, gas, &returned)?;

    // Only a revert leaves data to read; the program sees address zero for every failure.
    let output = if returned.reverted {
        returned.output
    } else {
        Bytes::new()
    };
    let len = output.len() as u32;
    let created = returned.created.unwrap_or_default();
    h.guest_mut().return_data = output;
    h.write_u32(args.revert_len, len)?;
    h.write(args.address_out, created.as_slice())?;
    h.out(created);
    h.out(len.to_be_bytes());
    Ok(())
}

fn read_return_data(
    h: &mut Hook<'_, '_>,
    dest: u32,
    offset: u32,
    size: u32,
) -> Result<u32, Escape> {
    h.pay_ink(HOSTIO + EVM_API)?;
    let data = h.guest().return_data.clone();
    let start = (offset as usize).min(data.len());
    let end = start.saturating_add(size as usize).min(data.len());
    let slice = data.slice(start..end);
    let len = slice.len() as u32;
    h.pay_for_write(len)?;
    h.arg(offset.to_be_bytes());
    h.arg(size.to_be_bytes());
    h.out(&slice);
    h.write(dest, &slice)?;
    Ok(len)
}

fn emit_log(h: &mut Hook<'_, '_>, data: u32, len: u32, topics: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + EVM_API)?;
    if topics > 4 || len < 32 * topics {
        return Err(Escape::Refused("log with bad topics"));
    }
    h.pay_for_read(len)?;
    h.pay_gas(375 * (1 + u64::from(topics)) + 8 * u64::from(len - 32 * topics))?;
    let bytes = h.read(data, len)?;
    h.arg(topics.to_be_bytes());
    h.arg(&bytes);
    if h.guest().frame.is_static {
        return Err(Escape::Refused("log in a static call"));
    }
    let (heads, data) = bytes.split_at(32 * topics as usize);
    let heads = heads.chunks_exact(32).map(B256::from_slice).collect();
    let acting = h.guest().frame.acting;
    let log = Log::new_unchecked(acting, heads, Bytes::copy_from_slice(data));
    h.guest_mut().machine().log(log);
    Ok(())
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        VM_HOOKS,
        "call_contract",
        |c: Caller<'_, Guest>,
         address: u32,
         data: u32,
         len: u32,
         value: u32,
         gas: u64,
         ret_len: u32| {
            let args = CallArgs {
                address,
                data,
                len,
                value: Some(value),
                gas,
                ret_len,
            };
            hook(c, "call_contract", |h| call(h, CallKind::Call, args))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "delegate_call_contract",
        |c: Caller<'_, Guest>, address: u32, data: u32, len: u32, gas: u64, ret_len: u32| {
            let args = CallArgs {
                address,
                data,
                len,
                value: None,
                gas,
                ret_len,
            };
            hook(c, "delegate_call_contract", |h| {
                call(h, CallKind::Delegate, args)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "static_call_contract",
        |c: Caller<'_, Guest>, address: u32, data: u32, len: u32, gas: u64, ret_len: u32| {
            let args = CallArgs {
                address,
                data,
                len,
                value: None,
                gas,
                ret_len,
            };
            hook(c, "static_call_contract", |h| {
                call(h, CallKind::Static, args)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "create1",
        |c: Caller<'_, Guest>,
         code: u32,
         len: u32,
         endowment: u32,
         address_out: u32,
         revert_len: u32| {
            let args = CreateArgs {
                code,
                len,
                endowment,
                salt: None,
                address_out,
                revert_len,
            };
            hook(c, "create1", |h| create(h, args))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "create2",
        |c: Caller<'_, Guest>,
         code: u32,
         len: u32,
         endowment: u32,
         salt: u32,
         address_out: u32,
         revert_len: u32| {
            let salt = Some(salt);
            let args = CreateArgs {
                code,
                len,
                endowment,
                salt,
                address_out,
                revert_len,
            };
            hook(c, "create2", |h| create(h, args))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "read_return_data",
        |c: Caller<'_, Guest>, dest: u32, offset: u32, size: u32| {
            hook(c, "read_return_data", |h| {
                read_return_data(h, dest, offset, size)
            })
        },
    )?;
    linker.func_wrap(VM_HOOKS, "return_data_size", |c: Caller<'_, Guest>| {
        hook(c, "return_data_size", |h| {
            h.pay_ink(HOSTIO)?;
            let len = h.guest().return_data.len() as u32;
            h.out(len.to_be_bytes());
            Ok(len)
        })
    })?;
    linker.func_wrap(
        VM_HOOKS,
        "emit_log",
        |c: Caller<'_, Guest>, data: u32, len: u32, topics: u32| {
            hook(c, "emit_log", |h| emit_log(h, data, len, topics))
        },
    )?;
    Ok(())
}
