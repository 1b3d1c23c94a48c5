//! `vouch result`: the buyer's key, and what is sealed to it.

use std::path::PathBuf;

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use vouch_content::PrivateFile;
use vouch_content::result::open_file;
use vouch_content::seal::KeyPair;
use zeroize::Zeroizing;

use crate::output::{Exit, Failure, Format, Report};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a result key: its public half goes into the order.
    Key(Key),
    /// Open a sealed result.
    Open(Open),
}

/// `result key`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch result key --out result.key")]
pub struct Key {
    /// File to write the secret half to, readable by you alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// `result open`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch result open result.vouch --order 0x91ab… --key result.key --out result.tar"
)]
pub struct Open {
    /// The sealed result.
    file: PathBuf,
    /// The order it is of.
    #[arg(long, value_name = "ID")]
    order: B256,
    /// The secret half of the order's result key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File to write: a tar archive of the outputs. There only once it is whole.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> Exit {
        match self {
            Self::Key(args) => args.format.emit(key(&args)),
            Self::Open(args) => args.format.emit(open(&args)),
        }
    }
}

fn key(args: &Key) -> Result<Report, Failure> {
    if args.out.exists() {
        let shown = args.out.display();
        return Err(Failure::usage(format!(
            "--out {shown}: is there already; its results could be lost"
        )));
    }
    let pair = KeyPair::generate()?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(*pair.secret())));
    PrivateFile::write(&args.out, text.as_bytes())?;
    let json = json!({ "result_key": pair.public(), "file": args.out });
    Ok(Report::new(json, format!("{}\n", pair.public())))
}

fn open(args: &Open) -> Result<Report, Failure> {
    let shown = args.key.display();
    let text = std::fs::read_to_string(&args.key)
        .with_context(|| format!("reading --key {shown}"))
        .map_err(Failure::Usage)?;
    let text = Zeroizing::new(text);
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *secret)
        .map_err(|_| Failure::usage(format!("--key {shown}: expected 64 hex digits")))?;
    let pair = KeyPair::from_secret(&secret)?;
    open_file(&args.file, &pair, args.order, &args.out)?;
    let json = json!({ "order": args.order, "file": args.out });
    Ok(Report::new(json, format!("{}\n", args.out.display())))
}
