//! The functions a module may import.

use wasmparser::ValType;

/// Module of the functions every program may import.
pub const VM_HOOKS: &str = "vm_hooks";

/// The import every module with growable memory must have.
pub const PAY_FOR_MEMORY_GROW: &str = "pay_for_memory_grow";

/// A host function: module, name, parameters, results. `i` is i32, `I` i64, `f` f32, `F` f64.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Module to import from.
    pub module: &'static str,
    /// Name of the function.
    pub name: &'static str,
    params: &'static str,
    results: &'static str,
}

const fn hook(name: &'static str, params: &'static str, results: &'static str) -> Import {
    Import {
        module: VM_HOOKS,
        name,
        params,
        results,
    }
}

const fn console(name: &'static str, params: &'static str, results: &'static str) -> Import {
    Import {
        module: "console",
        name,
        params,
        results,
    }
}

const fn debug(name: &'static str) -> Import {
    Import {
        module: "debug",
        name,
        params: "",
        results: "",
    }
}

/// Every host function; those outside `vm_hooks` exist on debug chains only.
pub const IMPORTS: &[Import] = &[
    hook("read_args", "i", ""),
    hook("write_result", "ii", ""),
    hook("exit_early", "i", ""),
    hook("storage_load_bytes32", "ii", ""),
    hook("storage_cache_bytes32", "ii", ""),
    hook("storage_flush_cache", "i", ""),
    hook("transient_load_bytes32", "ii", ""),
    hook("transient_store_bytes32", "ii", ""),
    hook("call_contract", "iiiiIi", "i"),
    hook("delegate_call_contract", "iiiIi", "i"),
    hook("static_call_contract", "iiiIi", "i"),
    hook("create1", "iiiii", ""),
    hook("create2", "iiiiii", ""),
    hook("read_return_data", "iii", "i"),
    hook("return_data_size", "", "i"),
    hook("emit_log", "iii", ""),
    hook("account_balance", "ii", ""),
    hook("account_code", "iiii", "i"),
    hook("account_code_size", "i", "i"),
    hook("account_codehash", "ii", ""),
    hook("block_basefee", "i", ""),
    hook("block_coinbase", "i", ""),
    hook("block_gas_limit", "", "I"),
    hook("block_number", "", "I"),
    hook("block_timestamp", "", "I"),
    hook("chainid", "", "I"),
    hook("contract_address", "i", ""),
    hook("evm_gas_left", "", "I"),
    hook("evm_ink_left", "", "I"),
    hook("msg_reentrant", "", "i"),
    hook("msg_sender", "i", ""),
    hook("msg_value", "i", ""),
    hook("tx_gas_price", "i", ""),
    hook("tx_ink_price", "", "i"),
    hook("tx_origin", "i", ""),
    hook("math_div", "ii", ""),
    hook("math_mod", "ii", ""),
    hook("math_pow", "ii", ""),
    hook("math_add_mod", "iii", ""),
    hook("math_mul_mod", "iii", ""),
    hook("native_keccak256", "iii", ""),
    hook(PAY_FOR_MEMORY_GROW, "i", ""),
    console("log_txt", "ii", ""),
    console("log_i32", "i", ""),
    console("log_i64", "I", ""),
    console("log_f32", "f", ""),
    console("log_f64", "F", ""),
    console("tee_i32", "i", "i"),
    console("tee_i64", "I", "I"),
    console("tee_f32", "f", "f"),
    console("tee_f64", "F", "F"),
    debug("null_host"),
    debug("start_benchmark"),
    debug("end_benchmark"),
];

/// Finds a host function available on a chain.
pub fn find(module: &str, name: &str, debug_chain: bool) -> Option<&'static Import> {
    IMPORTS
        .iter()
        .find(|import| import.module == module && import.name == name)
        .filter(|import| debug_chain || import.module == VM_HOOKS)
}

impl Import {
    /// Whether this function has the given type.
    pub fn has_type(&self, params: &[ValType], results: &[ValType]) -> bool {
        fn equal(letters: &str, types: &[ValType]) -> bool {
            letters.len() == types.len()
                && letters.bytes().zip(types).all(|(letter, ty)| match ty {
                    ValType::I32 => letter == b'i',
                    ValType::I64 => letter == b'I',
                    ValType::F32 => letter == b'f',
                    ValType::F64 => letter == b'F',
                    _ => false,
                })
        }
        equal(self.params, params) && equal(self.results, results)
    }

    /// This import in the text format.
    #[cfg(test)]
    pub(crate) fn to_wat(self) -> String {
        let types = |letters: &str| {
            let names = letters.chars().map(|letter| match letter {
                'i' => "i32 ",
                'I' => "i64 ",
                'f' => "f32 ",
                _ => "f64 ",
            });
            names.collect::<String>()
        };
        format!(
            "(import {:?} {:?} (func (param {}) (result {})))",
            self.module,
            self.name,
            types(self.params),
            types(self.results)
        )
    }
}
