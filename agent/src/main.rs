//! `vouch-agent`: one order's job inside a trusted machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy::primitives::B256;
use clap::{Parser, Subcommand};
use serde_json::json;
use vouch_agent::backend::nvml::LIBRARY;
use vouch_agent::config::Config;
use vouch_agent::container::inside;
use vouch_agent::doctor::{containers, examine, gpus};
use vouch_agent::job::Job;
use vouch_agent::report::Report;
use vouch_client::told;

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
    /// The digest under which a workload is offered on simulated hardware, and its own.
    Workload {
        /// The WASI module, or the folder of an OCI bundle.
        file: PathBuf,
        /// Its own digest alone, for `workload.digest` of a configuration.
        #[arg(long)]
        own: bool,
    },
    /// What runs containers, in namespaces of its own: started by `run`, told its work on standard input.
    #[command(hide = true)]
    Inside,
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
        Command::Workload { file, own } => workload(&file, own),
        Command::Inside => inside::serve().map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(error.as_ref()));
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

fn workload(file: &Path, own: bool) -> anyhow::Result<()> {
    let digest = vouch_agent::workload::digest(file)?;
    let measurement = vouch_simulator::guest_measurement(&digest.0);
    let shown = match own {
        true => digest,
        false => vouch_protocol::statement::workload_digest(&measurement),
    };
    println!("{shown}");
    Ok(())
}

fn doctor(as_json: bool) -> ExitCode {
    let mut findings = examine(Path::new("/"));
    findings.extend([gpus(Path::new(LIBRARY)), containers()]);
    let missing = findings
        .iter()
        .any(|finding| finding.always && finding.found.is_err());
    if as_json {
        let shown: Vec<_> = findings
            .iter()
            .map(|finding| match &finding.found {
                Ok(found) => json!({ "need": finding.need, "ok": true, "always": finding.always, "found": found }),
                Err(found) => json!({ "need": finding.need, "ok": false, "always": finding.always, "found": found }),
            })
            .collect();
        println!("{:#}", json!({ "ok": !missing, "findings": shown }));
    } else {
        for finding in &findings {
            match &finding.found {
                Ok(found) => println!("ok       {}: {found}", finding.need),
                Err(found) if finding.always => println!("missing  {}: {found}", finding.need),
                Err(found) => println!(
                    "absent   {}: {found} (only for such workloads)",
                    finding.need
                ),
            }
        }
    }
    match missing {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
