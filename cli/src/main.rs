//! The command line of buyers, owners, providers and operators.

use std::process::ExitCode;

fn main() -> ExitCode {
    vouch::main(std::env::args_os()).into()
}
