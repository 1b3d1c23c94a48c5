//! The state of one running program, and the means of its host functions.

use std::ptr::NonNull;

use revm::primitives::{Address, Bytes, U256};
use wasmtime::{AsContext, AsContextMut, Caller, Global, Memory, Val};

use crate::{
    hostio::StorageCache,
    machine::{Fatal, Frame, Machine},
    pricing::{gas_to_ink, ink_to_gas, page_gas},
    trace::HostioStep,
};

/// Why a program stopped other than by returning from its entry point.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Escape {
    /// It asked to stop with this status.
    #[error("exited with status {0}")]
    Exit(u32),
    #[error("out of ink")]
    OutOfInk,
    /// It passed a pointer outside its memory.
    #[error("pointer outside memory")]
    BadPointer,
    /// It asked for something it may not do.
    #[error("{0}")]
    Refused(&'static str),
    /// The database failed.
    #[error("fatal")]
    Fatal,
}

impl From<Fatal> for Escape {
    fn from(Fatal: Fatal) -> Self {
        Self::Fatal
    }
}

/// Facts about block and transaction that programs may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub basefee: U256,
    pub coinbase: Address,
    pub gas_limit: u64,
    pub number: u64,
    pub timestamp: u64,
    pub chain_id: u64,
    pub gas_price: U256,
    pub origin: Address,
}

/// Prices in force while a program runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub ink_per_gas: u32,
    pub free_pages: u16,
    pub page_gas: u16,
}

/// Handles to the parts of an instance that host functions use.
#[derive(Clone, Copy)]
pub(crate) struct Handles {
    pub memory: Memory,
    pub ink: Global,
}

/// One running program: the data of its store.
pub(crate) struct Guest {
    /// The machine this program runs in; see [`Guest::machine`].
    machine: NonNull<dyn Machine>,
    pub handles: Option<Handles>,
    pub frame: Frame,
    pub facts: Facts,
    pub prices: Prices,
    pub args: Bytes,
    pub output: Bytes,
    /// What the last call or creation returned.
    pub return_data: Bytes,
    pub refund: i64,
    pub storage: StorageCache,
    /// The account whose code was read last, with that code.
    pub last_code: Option<(Address, Bytes)>,
    pub tracing: bool,
}

impl Guest {
    /// A program about to run in `machine`.
    ///
    /// # Safety
    /// The store holding this guest must be dropped before `machine`'s borrow ends, and `machine`
    /// must not be used otherwise while the program runs.
    pub(crate) unsafe fn new<'a>(
        machine: &'a mut (dyn Machine + 'a),
        frame: Frame,
        facts: Facts,
        prices: Prices,
        args: Bytes,
    ) -> Self {
        let tracing = machine.chain().recorder.is_some();
        let machine = NonNull::from(machine);
        // SAFETY: only the lifetime changes; the caller promises that it outlives our use.
        let machine = unsafe {
            std::mem::transmute::<NonNull<dyn Machine + 'a>, NonNull<dyn Machine + 'static>>(
                machine,
            )
        };
        Self {
            machine,
            handles: None,
            frame,
            facts,
            prices,
            args,
            output: Bytes::new(),
            return_data: Bytes::new(),
            refund: 0,
            storage: StorageCache::default(),
            last_code: None,
            tracing,
        }
    }

    /// The machine this program runs in.
    pub(crate) fn machine(&mut self) -> &mut dyn Machine {
        // SAFETY: `new` demands that the machine outlives this guest and is not used otherwise
        // while the program runs. Nested programs reach it through their own guest, but only
        // inside a call made here, during which this borrow is not used.
        unsafe { self.machine.as_mut() }
    }
}

/// A host call in progress.
pub(crate) struct Hook<'a, 'b> {
    caller: &'a mut Caller<'b, Guest>,
    handles: Handles,
    args: Vec<u8>,
    outs: Vec<u8>,
    /// Address called and steps inside, for calls.
    pub nested: Option<(Address, Vec<HostioStep>)>,
}

/// Runs the body of the host function `name`.
pub(crate) fn hook<T>(
    mut caller: Caller<'_, Guest>,
    name: &'static str,
    body: impl FnOnce(&mut Hook<'_, '_>) -> Result<T, Escape>,
) -> wasmtime::Result<T> {
    let Some(handles) = caller.data().handles else {
        // Only an instance's own initialization runs before there are handles.
        return Err(wasmtime::Error::new(Escape::Refused(
            "host call before the program began",
        )));
    };
    let mut hook = Hook {
        caller: &mut caller,
        handles,
        args: vec![],
        outs: vec![],
        nested: None,
    };
    let start_ink = hook.ink();
    let result = body(&mut hook);
    if hook.guest().tracing {
        let end_ink = hook.ink();
        let (address, steps) = match hook.nested.take() {
            Some((address, steps)) => (Some(address), steps),
            None => (None, Vec::new()),
        };
        let step = HostioStep {
            name: name.to_owned(),
            args: std::mem::take(&mut hook.args).into(),
            outs: std::mem::take(&mut hook.outs).into(),
            start_ink,
            end_ink,
            address,
            steps,
        };
        if let Some(recorder) = &mut hook.guest_mut().machine().chain().recorder {
            recorder.push(step);
        }
    }
    result.map_err(wasmtime::Error::new)
}

impl Hook<'_, '_> {
    pub(crate) fn guest(&self) -> &Guest {
        self.caller.data()
    }

    pub(crate) fn guest_mut(&mut self) -> &mut Guest {
        self.caller.data_mut()
    }

    /// Notes an argument for the trace.
    pub(crate) fn arg(&mut self, bytes: impl AsRef<[u8]>) {
        if self.guest().tracing {
            self.args.extend_from_slice(bytes.as_ref());
        }
    }

    /// Notes a result for the trace.
    pub(crate) fn out(&mut self, bytes: impl AsRef<[u8]>) {
        if self.guest().tracing {
            self.outs.extend_from_slice(bytes.as_ref());
        }
    }

    /// Ink left.
    pub(crate) fn ink(&mut self) -> u64 {
        ink_left(self.handles, self.caller.as_context_mut())
    }

    fn set_ink(&mut self, ink: u64) -> Result<(), Escape> {
        self.handles
            .ink
            .set(self.caller.as_context_mut(), Val::I64(ink as i64))
            .map_err(|_| Escape::Refused("the ink global cannot be written"))
    }

    /// Whole gas left.
    pub(crate) fn gas(&mut self) -> u64 {
        ink_to_gas(self.ink(), self.guest().prices.ink_per_gas)
    }

    /// Charges ink.
    pub(crate) fn pay_ink(&mut self, ink: u64) -> Result<(), Escape> {
        match self.ink().checked_sub(ink) {
            Some(left) => self.set_ink(left),
            None => {
                self.set_ink(0)?;
                Err(Escape::OutOfInk)
            }
        }
    }

    /// Charges gas.
    pub(crate) fn pay_gas(&mut self, gas: u64) -> Result<(), Escape> {
        let ink = gas_to_ink(gas, self.guest().prices.ink_per_gas);
        self.pay_ink(ink)
    }

    /// Runs out of ink unless `gas` is left; charges nothing.
    pub(crate) fn require_gas(&mut self, gas: u64) -> Result<(), Escape> {
        let ink = gas_to_ink(gas, self.guest().prices.ink_per_gas);
        if self.ink() < ink {
            self.set_ink(0)?;
            return Err(Escape::OutOfInk);
        }
        Ok(())
    }

    /// Charges for moving `len` bytes out of the program.
    pub(crate) fn pay_for_read(&mut self, len: u32) -> Result<(), Escape> {
        self.pay_ink(read_ink(len))
    }

    /// Charges for moving `len` bytes into the program.
    pub(crate) fn pay_for_write(&mut self, len: u32) -> Result<(), Escape> {
        self.pay_ink(5040 + 30 * u64::from(len.saturating_sub(32)))
    }

    /// Charges for `pages` more pages of memory, and counts them.
    pub(crate) fn pay_for_pages(&mut self, pages: u16) -> Result<(), Escape> {
        let Prices {
            free_pages,
            page_gas: linear,
            ..
        } = self.guest().prices;
        let chain = self.guest_mut().machine().chain();
        let gas = page_gas(
            pages,
            chain.open_pages,
            chain.ever_pages,
            free_pages,
            linear,
        );
        // Pages count only once paid for, so that a failed request cannot raise later prices.
        self.pay_gas(gas)?;
        self.guest_mut().machine().chain().take_pages(pages);
        Ok(())
    }

    /// Copies bytes out of memory.
    pub(crate) fn read(&self, ptr: u32, len: u32) -> Result<Vec<u8>, Escape> {
        let data = self.handles.memory.data(self.caller.as_context());
        let start = ptr as usize;
        let end = start.checked_add(len as usize).ok_or(Escape::BadPointer)?;
        data.get(start..end)
            .map(<[u8]>::to_vec)
            .ok_or(Escape::BadPointer)
    }

    fn read_array<const N: usize>(&self, ptr: u32) -> Result<[u8; N], Escape> {
        let data = self.handles.memory.data(self.caller.as_context());
        data.get(ptr as usize..)
            .and_then(|bytes| bytes.first_chunk())
            .copied()
            .ok_or(Escape::BadPointer)
    }

    pub(crate) fn read_u256(&self, ptr: u32) -> Result<U256, Escape> {
        Ok(U256::from_be_bytes(self.read_array::<32>(ptr)?))
    }

    pub(crate) fn read_address(&self, ptr: u32) -> Result<Address, Escape> {
        Ok(Address::from(self.read_array::<20>(ptr)?))
    }

    /// Copies bytes into memory.
    pub(crate) fn write(&mut self, ptr: u32, bytes: &[u8]) -> Result<(), Escape> {
        let memory = self.handles.memory;
        memory
            .write(self.caller.as_context_mut(), ptr as usize, bytes)
            .map_err(|_| Escape::BadPointer)
    }

    pub(crate) fn write_u256(&mut self, ptr: u32, value: U256) -> Result<(), Escape> {
        self.write(ptr, &value.to_be_bytes::<32>())
    }

    /// Numbers in memory are little-endian, as the program's own are.
    pub(crate) fn write_u32(&mut self, ptr: u32, value: u32) -> Result<(), Escape> {
        self.write(ptr, &value.to_le_bytes())
    }
}

/// Ink for moving `len` bytes out of a program.
pub(crate) fn read_ink(len: u32) -> u64 {
    16_381 + 55 * u64::from(len.saturating_sub(32))
}

/// The ink an instance has left.
pub(crate) fn ink_left(handles: Handles, mut store: impl AsContextMut) -> u64 {
    match handles.ink.get(&mut store) {
        Val::I64(ink) => ink as u64,
        _ => 0,
    }
}
