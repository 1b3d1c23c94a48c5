//! `vouch demo`: one whole job on a local chain, in front of the user.

mod cast;
mod children;
mod hardware;
mod job;
mod ledger;
mod market;
mod screen;
mod story;
mod summary;
mod traces;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use vouch_simulator::Tamper;

use self::screen::{Screen, say};
use self::story::Settings;
use crate::output::{Exit, Style};

/// `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch demo
  vouch demo --tamper gpu-signature
  vouch demo --poor-dataset
  vouch demo --api-only
  vouch demo --kill agent
  vouch demo --operators 3 --json demo.json

./scripts/demo builds everything first. Exit status: 0 if every balance is exactly right and the order
ended as it must, 1 otherwise.")]
pub struct Demo {
    /// Spoil the evidence and watch the refund: gpu-signature, gpu-nonce, gpu-chain, cpu-signature,
    /// cpu-report-data, cpu-debug, wrong-root, outputs-digest or swapped-gpu.
    #[arg(long, value_name = "KIND")]
    tamper: Option<Tamper>,
    /// Offer a dataset of which every fourth record is spoilt: its owner is not paid.
    #[arg(long, conflicts_with = "tamper")]
    poor_dataset: bool,
    /// The dataset's owner lets nothing but API answers leave: the buyer gets no model.
    #[arg(long, conflicts_with_all = ["tamper", "poor_dataset", "kill"])]
    api_only: bool,
    /// End a program in the middle of the job, and watch the refund at the deadline.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["tamper", "poor_dataset"])]
    kill: Option<story::Kill>,
    /// Oracle operators.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=32))]
    operators: u8,
    /// Write the result there as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory of vouch-devnet, vouch-oracle, vouch-broker and vouch-agent [default: this program's].
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Directory of the contracts' wasm files [default: ../wasm32-unknown-unknown/release beside the
    /// programs].
    #[arg(long, value_name = "DIR", env = "VOUCH_WASM_DIR")]
    wasm_dir: Option<PathBuf>,
    /// The workload, a WASI module [default: ../wasm32-wasip1/release/language.wasm beside the programs].
    #[arg(long, value_name = "FILE", env = "VOUCH_WORKLOAD")]
    workload: Option<PathBuf>,
}

impl Demo {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        let failed = |error: &anyhow::Error| {
            let told = vouch_client::told(error.as_ref());
            eprintln!("\n{} {told}", Style::stderr().red("error:"));
            Exit::Failure
        };
        let mut terminated = match signal(SignalKind::terminate()) {
            Ok(terminated) => terminated,
            Err(error) => return failed(&error.into()),
        };
        // Dropping the story ends the child processes and removes the temporary directory.
        tokio::select! {
            ended = play(&self) => ended.unwrap_or_else(|error| failed(&error)),
            _ = tokio::signal::ctrl_c() => failed(&anyhow::anyhow!("interrupted")),
            _ = terminated.recv() => failed(&anyhow::anyhow!("terminated")),
        }
    }

    fn settings(&self) -> Result<Settings> {
        let bin_dir = match &self.bin_dir {
            Some(dir) => dir.clone(),
            None => {
                let program = std::env::current_exe().context("finding this program")?;
                program.parent().unwrap_or(Path::new(".")).to_owned()
            }
        };
        let wasm_dir = match &self.wasm_dir {
            Some(dir) => dir.clone(),
            None => bin_dir.join("../wasm32-unknown-unknown/release"),
        };
        let workload = match &self.workload {
            Some(file) => file.clone(),
            None => bin_dir.join("../wasm32-wasip1/release/language.wasm"),
        };
        Ok(Settings {
            bin_dir,
            wasm_dir,
            workload,
            poor_dataset: self.poor_dataset,
            api_only: self.api_only,
            kill: self.kill,
            operators: self.operators.into(),
            tamper: self.tamper,
        })
    }
}

async fn play(args: &Demo) -> Result<Exit> {
    let screen = Screen::new();
    let settings = args.settings()?;
    // Before anything takes time: is there evidence, and can the result be written?
    let evidence = hardware::directory()?;
    if let Some(path) = &args.json {
        std::fs::write(path, "").with_context(|| format!("writing {}", path.display()))?;
    }
    let outcome = story::play(&settings, screen).await?;
    let samples = match &evidence {
        Some(dir) => {
            let dir = dir.clone();
            let verified = tokio::task::spawn_blocking(move || hardware::verify(&dir)).await?;
            Some(verified.context("evidence of real hardware")?)
        }
        None => None,
    };
    let faults = summary::faults(
        &outcome,
        args.tamper,
        samples.as_deref().unwrap_or_default(),
    );
    say(&summary::text(
        &outcome,
        samples.as_deref(),
        &faults,
        screen.style,
    ));
    if samples.is_none() {
        let why = "Skipped evidence of real hardware: neither $VOUCH_EVIDENCE nor ../shared/evidence is there.";
        say(&format!("{}\n", screen.style.dim(why)));
    }
    if let Some(path) = &args.json {
        let json = summary::to_json(&outcome, args.tamper, samples.as_deref(), &faults);
        std::fs::write(path, format!("{json:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if faults.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    })
}
