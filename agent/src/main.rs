//! `vouch-agent`: one order's job inside a trusted machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy::primitives::B256;
use clap::{Parser, Subcommand};
use serde_json::json;
use vouch_agent::config::Config;
use vouch_agent::doctor::examine;
use vouch_agent::job::Job;
use vouch_agent::report::Report;

/// Runs the job of one accepted order inside a trusted machine.
#[derive(Debug, Parser)]
#[command(name = "vouch-agent", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do the job of an order. Exit status 1 where it stopped; the order is refunded then.
    Run {
        /// The order.
        order: B256,
        /// Configuration, TOML.
        #[arg(long, value_name = "FILE", default_value = "agent.toml")]
        config: PathBuf,
        /// Tell each step as a line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what this machine lacks for real evidence. Exit status 1 where anything is missing.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// The digest under which a workload is offered on simulated hardware.
    Workload {
        /// The WASI module.
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run {
            order,
            config,
            json,
        } => run(order, &config, Report { json }).await,
        Command::Doctor { json } => return doctor(json),
        Command::Workload { file } => workload(&file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(order: B256, config: &Path, report: Report) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let done = async { Job::open(&config, order, report).await?.run().await };
    tokio::select! {
        done = done => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; the order will not be paid"),
    }
}

fn workload(file: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    let module = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let measurement = vouch_simulator::guest_measurement(&vouch_content::sha256(&module).0);
    println!(
        "{}",
        vouch_protocol::statement::workload_digest(&measurement)
    );
    Ok(())
}

fn doctor(as_json: bool) -> ExitCode {
    let findings = examine(Path::new("/"));
    let missing = findings.iter().any(|finding| finding.found.is_err());
    if as_json {
        let shown: Vec<_> = findings
            .iter()
            .map(|finding| match &finding.found {
                Ok(found) => json!({ "need": finding.need, "ok": true, "found": found }),
                Err(found) => json!({ "need": finding.need, "ok": false, "found": found }),
            })
            .collect();
        println!("{:#}", json!({ "ok": !missing, "findings": shown }));
    } else {
        for finding in &findings {
            match &finding.found {
                Ok(found) => println!("ok       {}: {found}", finding.need),
                Err(found) => println!("missing  {}: {found}", finding.need),
            }
        }
    }
    match missing {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
