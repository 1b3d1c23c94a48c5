//! Prints what each contract takes on chain, and fails where one is past the limit of an account.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vouch_tests::program::{MAX_CODE_BYTES, encode};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments
        .next()
        .context("usage: contract-sizes WASM_DIR CONTRACT...")?;
    let contracts: Vec<String> = arguments.collect();
    ensure!(
        !contracts.is_empty(),
        "usage: contract-sizes WASM_DIR CONTRACT..."
    );

    let mut too_large = Vec::new();
    println!(
        "{:<14} {:>10} {:>10} {:>8}",
        "contract", "wasm", "on chain", "of limit"
    );
    for contract in contracts {
        let path = Path::new(&dir).join(format!("{contract}.wasm"));
        let wasm = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let size = encode(&wasm)?.len();
        println!(
            "{contract:<14} {:>10} {size:>10} {:>7}%",
            wasm.len(),
            size * 100 / MAX_CODE_BYTES
        );
        if size > MAX_CODE_BYTES {
            too_large.push(format!("{contract} by {} bytes", size - MAX_CODE_BYTES));
        }
    }
    if !too_large.is_empty() {
        bail!(
            "past the limit of {MAX_CODE_BYTES} bytes: {}",
            too_large.join(", ")
        );
    }
    Ok(())
}
