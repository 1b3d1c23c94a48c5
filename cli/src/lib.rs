//! `vouch`: what a buyer, owner, provider and operator do from a terminal.
//!
//! **Decides** how commands read and what they print: text for people, JSON for programs, and exit
//! status 0 (done, accepted), 1 (failed, rejected), 2 (inconclusive) or 64 (bad usage).
//!
//! **Trusts** the RPC endpoint it is given for what the chain says, and the vendor roots built into
//! `vouch-evidence` for what evidence says.
//!
//! **Leaves alone** how the market works (crate `vouch-client`, the contracts) and what makes
//! evidence good (crate `vouch-evidence`).

#![forbid(unsafe_code)]

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub mod asset;
pub mod call;
pub mod chain;
pub mod demo;
pub mod deploy;
pub mod evidence;
pub mod govern;
pub mod offer;
pub mod operator;
pub mod order;
pub mod output;
pub mod policy;
pub mod policy_file;
pub mod receipt;
pub mod result;
pub mod simulate;
pub mod token;
pub mod verify;
pub mod when;

use output::Exit;

/// Payment when the hardware vouches: a marketplace for confidential AI.
#[derive(Debug, Parser)]
#[command(
    name = "vouch",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Example:
  vouch verify nvidia --report report.bin --certs chain.pem

Exit status: 0 done or accepted, 1 failed or rejected, 2 inconclusive, 64 bad usage."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One whole job on a local chain, from offers to payment or refund.
    Demo(demo::Demo),
    /// Look into hardware evidence.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Check hardware evidence, offline unless collateral is to be fetched.
    #[command(subcommand)]
    Verify(Box<verify::Command>),
    /// Put the contracts on a chain.
    Deploy(deploy::Deploy),
    /// Change a market: announced by its owner, made by anybody once the delay is over.
    #[command(subcommand)]
    Govern(govern::Command),
    /// Operators: what they have at stake.
    #[command(subcommand)]
    Operator(operator::Command),
    /// Usage policies: under which constraints assets may be used.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Offers: what is for sale.
    #[command(subcommand)]
    Offer(offer::Command),
    /// Orders: one job, from escrow to payment or refund.
    #[command(subcommand)]
    Order(order::Command),
    /// Receipts: the settled proofs of use.
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Ask a model behind an API, once it is certain who answers.
    Call(Box<call::Call>),
    /// Results: the buyer's key, and what is sealed to it.
    #[command(subcommand)]
    Result(result::Command),
    /// The test token of development chains.
    #[command(subcommand)]
    Token(token::Command),
    /// Assets: encrypted, named and published.
    #[command(subcommand)]
    Asset(asset::Command),
    /// Evidence without the hardware, for development chains.
    #[command(subcommand)]
    Simulate(simulate::Command),
}

/// Runs the program with these arguments, the first being its name.
pub fn main<I, T>(args: I) -> Exit
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting the asynchronous runtime: {error}");
            return Exit::Failure;
        }
    };
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> Exit {
    match command {
        Command::Demo(args) => args.run().await,
        Command::Evidence(command) => command.run(),
        Command::Verify(command) => command.run().await,
        Command::Deploy(args) => args.run().await,
        Command::Govern(command) => command.run().await,
        Command::Operator(command) => command.run().await,
        Command::Policy(command) => command.run().await,
        Command::Offer(command) => command.run().await,
        Command::Order(command) => command.run().await,
        Command::Receipt(command) => command.run().await,
        Command::Call(args) => args.run().await,
        Command::Result(command) => command.run(),
        Command::Token(command) => command.run().await,
        Command::Asset(command) => command.run().await,
        Command::Simulate(command) => command.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
