//! `vouch simulate`: evidence without the hardware, for development chains.

use std::path::PathBuf;

use alloy::primitives::{B256, Bytes, U256};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use vouch_client::{Placed, is_development};
use vouch_protocol::{Counters, DatasetMeasure, Phase};
use vouch_simulator::{Hardware, Machine, Options, Product, Session, Tamper, Work, roots};

use crate::asset::file_digest;
use crate::chain::ChainArgs;
use crate::output::{Exit, Failure, Format, Report, fields};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a simulated evidence bundle for an order.
    Evidence(Box<Evidence>),
    /// Write the simulated vendors' roots, for an operator's configuration.
    Roots(Roots),
}

/// `simulate evidence`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch simulate evidence 0x91ab… --session session.hex --out start.json
  vouch simulate evidence 0x91ab… --session session.hex --outputs result.bin --records 1000 --out finish.json

Then: vouch order evidence 0x91ab… start.json --store http://127.0.0.1:8640")]
pub struct Evidence {
    /// Order id; the evidence is for the phase the order waits for.
    order: B256,
    /// Where the session's secret is kept from start to finish; made where it is missing.
    #[arg(long, value_name = "FILE")]
    session: PathBuf,
    /// Bundle to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Names the simulated devices: the same text, the same devices.
    #[arg(long, value_name = "TEXT", default_value = "vouch")]
    machine: String,
    /// Number of GPUs.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=16))]
    gpus: u8,
    /// Generation of the processor.
    #[arg(long, default_value = "genoa", value_parser = ["genoa", "turin"])]
    cpu: String,
    /// Launch measurement of the guest, 48 bytes.
    #[arg(long, value_name = "HEX")]
    measurement: Option<Bytes>,
    /// The lie to tell: gpu-signature, gpu-nonce, gpu-chain, cpu-signature, cpu-report-data,
    /// cpu-debug, wrong-root, outputs-digest or swapped-gpu.
    #[arg(long, value_name = "KIND")]
    tamper: Option<Tamper>,
    /// Which try of the phase this is.
    #[arg(long, value_name = "N", default_value = "0")]
    attempt: u8,
    /// While the order runs: a heartbeat instead of the finish.
    #[arg(long)]
    heartbeat: bool,
    /// Finish only: the sealed outputs.
    #[arg(long, value_name = "FILE", help_heading = "Work")]
    outputs: Option<PathBuf>,
    /// Finish only: rows that left the session.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Work")]
    output_rows: u64,
    /// Finish only: records of each dataset.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Work")]
    records: u64,
    /// Finish only: bytes of each dataset.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Work")]
    bytes: u64,
    /// Finish only: SHA-256 of each dataset's schema.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, hide_default_value = true, help_heading = "Work")]
    schema: B256,
    /// Finish only: share of well-formed records, in millionths.
    #[arg(
        long,
        value_name = "N",
        default_value = "1000000",
        help_heading = "Work"
    )]
    quality: u32,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

/// `simulate roots`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch simulate roots --dir simulated-roots

Name the files in an operator's configuration; it accepts them on development chains alone.")]
pub struct Roots {
    /// Directory to write to: nvidia-root.der, amd-ark.der, amd-ask.der.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Evidence(args) => args.format.emit(evidence(&args).await),
            Self::Roots(args) => args.format.emit(write_roots(&args)),
        }
    }
}

async fn evidence(args: &Evidence) -> Result<Report, Failure> {
    let measurement = match &args.measurement {
        Some(bytes) => bytes.as_ref().try_into().map_err(|_| {
            Failure::usage(format!(
                "--measurement: expected 48 bytes, found {}",
                bytes.len()
            ))
        })?,
        None => vouch_simulator::default_measurement(),
    };
    let market = args.chain.market().await?;
    if !is_development(market.chain_id) {
        return Err(Failure::usage(format!(
            "chain id {}: simulated evidence is for development chains (31337, 412346)",
            market.chain_id
        )));
    }
    let placed = market.terms(args.order).await?;
    let state = market.record(args.order).await?.state;
    let phase = match state {
        _ if args.heartbeat => Phase::Heartbeat,
        vouch_client::State::Running => Phase::Finish,
        _ => Phase::Start,
    };
    let (challenge, block) = match phase {
        Phase::Heartbeat => {
            let (challenge, block) = market.heartbeat(args.order, args.attempt).await?;
            (challenge, Some(U256::from_be_bytes(block.0)))
        }
        _ => {
            let challenge = market.challenge(args.order, phase, args.attempt).await?;
            (challenge, None)
        }
    };
    let inputs = inputs(&placed);
    let session = session(args)?;
    let statement = match phase {
        Phase::Start => session.start(challenge, inputs),
        Phase::Heartbeat => session.heartbeat(challenge, inputs, Counters::default()),
        Phase::Finish => session.finish(challenge, inputs, work(args, &placed)?),
    };
    let cpu = if args.cpu == "turin" {
        Product::Turin
    } else {
        Product::Genoa
    };
    let hardware = Hardware {
        gpus: args.gpus,
        cpu,
    };
    let machine = Machine::with_hardware(args.machine.as_bytes(), hardware);
    let options = Options {
        measurement,
        tamper: args.tamper,
    };
    let bundle = machine.bundle(&statement, &options).to_json();
    std::fs::write(&args.out, &bundle)
        .with_context(|| format!("writing {}", args.out.display()))?;
    let digest = file_digest(&args.out)?.0;
    let mut json = json!({
        "order": args.order,
        "phase": phase.name(),
        "evidence": digest,
        "file": args.out,
        "bytes": bundle.len(),
        "devices": machine.devices(),
        "session_key": session.encryption_key(),
        "outputs": statement.outputs,
    });
    if let Some(block) = block {
        json["block"] = json!(block.to_string());
    }
    let text = fields([
        ("phase", phase.to_string()),
        ("evidence", digest.to_string()),
        ("file", args.out.display().to_string()),
        ("session key", session.encryption_key().to_string()),
    ]);
    Ok(Report::new(json, text))
}

/// What the session of an order is given: its datasets and models.
pub fn inputs(placed: &Placed) -> B256 {
    let assets = placed
        .terms
        .legs
        .iter()
        .filter(|leg| matches!(leg.kind, 1 | 2));
    vouch_protocol::statement::inputs_digest(assets.map(|leg| &leg.digest))
}

fn work(args: &Evidence, placed: &Placed) -> Result<Work, Failure> {
    let path = args.outputs.as_ref().ok_or_else(|| {
        Failure::usage(
            "the order waits for finish evidence: give the sealed outputs with --outputs FILE",
        )
    })?;
    let (outputs, output_bytes) = file_digest(path)?;
    let measure = DatasetMeasure {
        records: args.records,
        bytes: args.bytes,
        schema: args.schema,
        quality: args.quality,
    };
    let datasets = placed.terms.legs.iter().filter(|leg| leg.kind == 1).count();
    Ok(Work {
        outputs,
        counters: Counters {
            output_bytes,
            output_rows: args.output_rows,
        },
        datasets: vec![measure; datasets],
    })
}

fn session(args: &Evidence) -> Result<Session, Failure> {
    let shown = args.session.display();
    if !args.session.exists() {
        let session = Session::generate();
        std::fs::write(
            &args.session,
            format!("{}\n", hex::encode(session.secret())),
        )
        .with_context(|| format!("writing --session {shown}"))?;
        return Ok(session);
    }
    let text = std::fs::read_to_string(&args.session)
        .with_context(|| format!("reading --session {shown}"))
        .map_err(Failure::Usage)?;
    let mut secret = [0; 32];
    hex::decode_to_slice(text.trim(), &mut secret)
        .map_err(|_| Failure::usage(format!("--session {shown}: expected 64 hex digits")))?;
    Ok(Session::from_secret(secret))
}

/// The roots as files: name and DER.
pub fn root_files() -> [(&'static str, Vec<u8>); 3] {
    let roots = roots();
    [
        ("nvidia-root.der", roots.nvidia),
        ("amd-ark.der", roots.amd_ark.to_vec()),
        ("amd-ask.der", roots.amd_ask.to_vec()),
    ]
}

fn write_roots(args: &Roots) -> Result<Report, Failure> {
    let context = || format!("writing to {}", args.dir.display());
    std::fs::create_dir_all(&args.dir).with_context(context)?;
    let mut written = Vec::new();
    for (name, der) in root_files() {
        let path = args.dir.join(name);
        std::fs::write(&path, der).with_context(context)?;
        written.push(path.display().to_string());
    }
    Ok(Report::new(
        json!({ "files": written }),
        format!("{}\n", written.join("\n")),
    ))
}
