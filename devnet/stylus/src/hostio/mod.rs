//! The functions programs import, with their exact charges in ink and gas.
//!
//! Pointers are addresses in the program's memory. Numbers of 256 bits are big-endian there,
//! lengths that the host writes are little-endian. Each function charges before it acts.

mod accounts;
mod calls;
mod context;
mod debug;
mod math;
mod storage;

use wasmtime::Linker;

use crate::guest::Guest;

pub(crate) use storage::StorageCache;

/// Part of the price of host functions: entering the host.
const HOSTIO: u64 = 8400;
/// Writing a pointer's worth of result.
const POINTER: u64 = 5040;
/// Reaching into the EVM.
const EVM_API: u64 = 59_673;

/// Defines every host function.
///
/// # Errors
/// A function is defined twice, which is a mistake here.
pub(crate) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    context::define(linker)?;
    storage::define(linker)?;
    accounts::define(linker)?;
    calls::define(linker)?;
    math::define(linker)?;
    debug::define(linker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::IMPORTS;
    use wasmtime::Engine;

    /// The table that decides activation and the functions that run agree.
    #[test]
    fn every_import_is_defined_with_its_type() {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        define(&mut linker).unwrap();
        let mut text = String::from("(module ");
        for import in IMPORTS {
            text += &import.to_wat();
        }
        text += ")";
        let module = wasmtime::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        assert!(linker.instantiate_pre(&module).is_ok());
    }
}
