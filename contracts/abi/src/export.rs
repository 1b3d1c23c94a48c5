//! What `cargo stylus` asks a contract's binary for.

use alloc::{format, string::String};

use alloy_sol_types::private::alloy_json_abi::JsonAbi;

extern crate std;

/// The answer to the arguments the process was started with: after `constructor` the constructor's
/// signature, otherwise the whole interface in Solidity.
pub fn answer(abi: &JsonAbi, name: &str) -> String {
    if std::env::args().nth(1).as_deref() == Some("constructor") {
        return constructor(abi);
    }
    abi.to_sol(name, None)
}

fn constructor(abi: &JsonAbi) -> String {
    let Some(constructor) = &abi.constructor else {
        return String::new();
    };
    let mut inputs = String::new();
    for input in &constructor.inputs {
        let separator = if inputs.is_empty() { "" } else { ", " };
        inputs += &format!("{separator}{} {}", input.ty, input.name);
    }
    format!("constructor({inputs})\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IAttestation, IToken};

    #[test]
    fn constructors_are_written_as_cargo_stylus_reads_them() {
        assert_eq!(
            constructor(&IAttestation::abi::contract()),
            "constructor(address governor, address[] operators, uint16 quorum, uint256 fee, address bonds)\n"
        );
        assert_eq!(
            constructor(&IToken::abi::contract()),
            "constructor(string name, string symbol)\n"
        );
    }
}
