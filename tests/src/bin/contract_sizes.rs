//! Prints what each contract takes on chain, and fails where one leaves too little room under the
//! limit of an account.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vouch_client::program::{MAX_CODE, Program};

/// Bytes that a contract may take, so that there is room to spare under the limit.
const ROOM: usize = 22_000;

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

    let mut refused = Vec::new();
    println!(
        "{:<14} {:>10} {:>10} {:>9}",
        "contract", "wasm", "on chain", "of limit"
    );
    for contract in contracts {
        let path = Path::new(&dir).join(format!("{contract}.wasm"));
        let wasm = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        match Program::from_wasm(&contract, &wasm) {
            Ok(program) => {
                let size = program.code.len();
                let share = size * 100 / MAX_CODE;
                println!("{contract:<14} {:>10} {size:>10} {share:>8}%", wasm.len());
                if size > ROOM {
                    refused.push(format!(
                        "{contract}: expected at most {ROOM} bytes, found {size}"
                    ));
                }
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    if !refused.is_empty() {
        bail!("{}", refused.join("\n"));
    }
    Ok(())
}
