//! Storage: a cache per frame over the acting account's slots, and transient storage.

use revm::primitives::{HashMap, U256};
use wasmtime::{Caller, Linker};

use super::{EVM_API, HOSTIO, POINTER};
use crate::{
    guest::{Escape, Guest, Hook, hook},
    imports::VM_HOOKS,
    pricing::ink_to_gas,
};

/// Slots a frame has read or written.
///
/// Writes reach the EVM only when the program flushes. Slots flush in the order they were first
/// used.
#[derive(Debug, Default)]
pub(crate) struct StorageCache {
    index: HashMap<U256, usize>,
    slots: Vec<Slot>,
    reads: u32,
    writes: u32,
}

#[derive(Debug)]
struct Slot {
    key: U256,
    value: U256,
    /// What the EVM holds, if this frame knows.
    known: Option<U256>,
}

impl StorageCache {
    fn get(&self, key: &U256) -> Option<U256> {
        self.index
            .get(key)
            .and_then(|at| self.slots.get(*at))
            .map(|slot| slot.value)
    }

    fn loaded(&mut self, key: U256, value: U256) {
        self.index.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            value,
            known: Some(value),
        });
    }

    fn write(&mut self, key: U256, value: U256) {
        match self.index.get(&key).and_then(|at| self.slots.get_mut(*at)) {
            Some(slot) => slot.value = value,
            None => {
                self.index.insert(key, self.slots.len());
                self.slots.push(Slot {
                    key,
                    value,
                    known: None,
                });
            }
        }
    }

    /// Slots whose value the EVM does not hold yet; they count as flushed from here on.
    fn take_dirty(&mut self) -> Vec<(U256, U256)> {
        let mut dirty = Vec::new();
        for slot in &mut self.slots {
            if slot.known != Some(slot.value) {
                slot.known = Some(slot.value);
                dirty.push((slot.key, slot.value));
            }
        }
        dirty
    }

    fn clear(&mut self) {
        self.index.clear();
        self.slots.clear();
    }

    /// Gas for keeping one more read in the cache.
    fn read_gas(&mut self) -> u64 {
        self.reads = self.reads.saturating_add(1);
        match self.reads {
            0..=32 => 0,
            33..=128 => 2,
            _ => 10,
        }
    }

    /// Gas for keeping one more write in the cache.
    fn write_gas(&mut self) -> u64 {
        self.writes = self.writes.saturating_add(1);
        match self.writes {
            0..=8 => 0,
            9..=64 => 7,
            _ => 10,
        }
    }
}

const COLD_SLOAD: u64 = 2100;
const WARM_SLOAD: u64 = 100;
/// EIP-2200: no storage is written with this much gas or less.
const SSTORE_SENTRY: u64 = 2300;
/// Most that keeping one entry in the cache costs.
const CACHE_ENTRY: u64 = 10;

fn load(h: &mut Hook<'_, '_>, key: u32, dest: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + 2 * POINTER)?;
    let evm_api = ink_to_gas(EVM_API, h.guest().prices.ink_per_gas);
    h.require_gas(COLD_SLOAD + CACHE_ENTRY + evm_api)?;
    let key = h.read_u256(key)?;
    let guest = h.guest_mut();
    let mut gas = guest.storage.read_gas();
    let value = match guest.storage.get(&key) {
        Some(value) => value,
        None => {
            let acting = guest.frame.acting;
            let (value, is_cold) = guest.machine().sload(acting, key)?;
            gas += if is_cold { COLD_SLOAD } else { WARM_SLOAD } + evm_api;
            guest.storage.loaded(key, value);
            value
        }
    };
    h.pay_gas(gas)?;
    h.arg(key.to_be_bytes::<32>());
    h.out(value.to_be_bytes::<32>());
    h.write_u256(dest, value)
}

fn cache(h: &mut Hook<'_, '_>, key: u32, value: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + 2 * POINTER)?;
    h.require_gas(SSTORE_SENTRY + CACHE_ENTRY)?;
    let (key, value) = (h.read_u256(key)?, h.read_u256(value)?);
    let gas = h.guest_mut().storage.write_gas();
    h.pay_gas(gas)?;
    h.arg(key.to_be_bytes::<32>());
    h.arg(value.to_be_bytes::<32>());
    h.guest_mut().storage.write(key, value);
    Ok(())
}

fn flush(h: &mut Hook<'_, '_>, clear: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + EVM_API)?;
    h.require_gas(SSTORE_SENTRY)?;
    h.arg([u8::from(clear != 0)]);
    let guest = h.guest_mut();
    let dirty = guest.storage.take_dirty();
    if clear != 0 {
        guest.storage.clear();
    }
    if dirty.is_empty() {
        return Ok(());
    }
    if guest.frame.is_static {
        return Err(Escape::Refused("storage flush in a static call"));
    }
    let acting = guest.frame.acting;
    for (key, value) in dirty {
        let guest = h.guest_mut();
        let (gas, refund) = guest.machine().sstore(acting, key, value)?;
        guest.refund += refund;
        h.pay_gas(gas)?;
    }
    Ok(())
}

fn transient_load(h: &mut Hook<'_, '_>, key: u32, dest: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + 2 * POINTER + EVM_API)?;
    h.pay_gas(WARM_SLOAD)?;
    let key = h.read_u256(key)?;
    let acting = h.guest().frame.acting;
    let value = h.guest_mut().machine().tload(acting, key);
    h.arg(key.to_be_bytes::<32>());
    h.out(value.to_be_bytes::<32>());
    h.write_u256(dest, value)
}

fn transient_store(h: &mut Hook<'_, '_>, key: u32, value: u32) -> Result<(), Escape> {
    h.pay_ink(HOSTIO + 2 * POINTER + EVM_API)?;
    h.pay_gas(WARM_SLOAD)?;
    let (key, value) = (h.read_u256(key)?, h.read_u256(value)?);
    if h.guest().frame.is_static {
        return Err(Escape::Refused("transient store in a static call"));
    }
    let acting = h.guest().frame.acting;
    h.arg(key.to_be_bytes::<32>());
    h.arg(value.to_be_bytes::<32>());
    h.guest_mut().machine().tstore(acting, key, value);
    Ok(())
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        VM_HOOKS,
        "storage_load_bytes32",
        |c: Caller<'_, Guest>, key: u32, dest: u32| {
            hook(c, "storage_load_bytes32", |h| load(h, key, dest))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "storage_cache_bytes32",
        |c: Caller<'_, Guest>, key: u32, value: u32| {
            hook(c, "storage_cache_bytes32", |h| cache(h, key, value))
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "storage_flush_cache",
        |c: Caller<'_, Guest>, clear: u32| hook(c, "storage_flush_cache", |h| flush(h, clear)),
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "transient_load_bytes32",
        |c: Caller<'_, Guest>, key: u32, dest: u32| {
            hook(c, "transient_load_bytes32", |h| {
                transient_load(h, key, dest)
            })
        },
    )?;
    linker.func_wrap(
        VM_HOOKS,
        "transient_store_bytes32",
        |c: Caller<'_, Guest>, key: u32, value: u32| {
            hook(c, "transient_store_bytes32", |h| {
                transient_store(h, key, value)
            })
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(n: u64) -> U256 {
        U256::from(n)
    }

    #[test]
    fn a_written_slot_is_dirty_until_flushed() {
        let mut cache = StorageCache::default();
        cache.write(word(1), word(0));
        cache.write(word(2), word(5));
        assert_eq!(cache.take_dirty(), [(word(1), word(0)), (word(2), word(5))]);
        assert_eq!(cache.take_dirty(), []);
        cache.write(word(2), word(6));
        assert_eq!(cache.take_dirty(), [(word(2), word(6))]);
    }

    #[test]
    fn writing_back_what_was_loaded_is_not_dirty() {
        let mut cache = StorageCache::default();
        cache.loaded(word(1), word(7));
        cache.write(word(1), word(8));
        cache.write(word(1), word(7));
        assert_eq!(cache.take_dirty(), []);
        assert_eq!(cache.get(&word(1)), Some(word(7)));
        cache.clear();
        assert_eq!(cache.get(&word(1)), None);
    }

    #[test]
    fn entries_get_dearer() {
        let mut cache = StorageCache::default();
        let reads: Vec<u64> = (0..130).map(|_| cache.read_gas()).collect();
        assert_eq!(
            [reads[31], reads[32], reads[127], reads[128]],
            [0, 2, 2, 10]
        );
        let writes: Vec<u64> = (0..66).map(|_| cache.write_gas()).collect();
        assert_eq!(
            [writes[7], writes[8], writes[63], writes[64]],
            [0, 7, 7, 10]
        );
    }
}
