//! `vouch verify`: is this evidence what the vendor's hardware signed? Offline, unless collateral is
//! to be fetched.

mod azure;
mod bundle;
mod eat;
mod judged;
mod nvidia;
mod outcome;
mod sev_snp;
mod supplies;
mod tdx;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use vouch_evidence::{Anchors, Rejection, Time, decode};

use crate::output::{Exit, Failure, Format};
use crate::when;

pub use outcome::{Outcome, Verdict};

/// What to verify.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attestation reports of NVIDIA GPUs and switches.
    Nvidia(nvidia::Nvidia),
    /// An AMD SEV-SNP attestation report.
    SevSnp(sev_snp::SevSnp),
    /// An Intel TDX quote.
    Tdx(tdx::Tdx),
    /// A confidential machine of Azure: its paravisor's report and its TPM's quote.
    Azure(azure::Azure),
    /// A session's evidence bundle: its devices, and that they vouch for each other.
    Bundle(bundle::VerifyBundle),
}

/// What every verification takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Time of verification, RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = when::instant)]
    at: Option<u64>,
    /// Show every check: what was compared, where, and where its rule comes from.
    #[arg(long)]
    explain: bool,
    /// Also trust the simulator's roots. Its keys are public: this proves nothing.
    #[arg(long)]
    trust_simulator: bool,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Nvidia(args) => args.common.format.emit(nvidia::run(&args).await),
            Self::SevSnp(args) => args.common.format.emit(sev_snp::run(&args).await),
            Self::Tdx(args) => args.common.format.emit(tdx::run(&args).await),
            Self::Azure(args) => args.common.format.emit(azure::run(&args).await),
            Self::Bundle(args) => args.common.format.emit(bundle::run(&args).await),
        }
    }
}

impl Common {
    fn time(&self) -> Time {
        Time::from_unix(self.at.unwrap_or_else(when::now))
    }

    fn anchors(&self) -> Result<Anchors, Rejection> {
        if self.trust_simulator {
            simulator_anchors()
        } else {
            Ok(Anchors::vendor())
        }
    }
}

/// The vendors' roots and the simulator's.
///
/// # Errors
/// Those of [`Anchors::with_simulated`].
pub fn simulator_anchors() -> Result<Anchors, Rejection> {
    let roots = vouch_simulator::roots();
    Anchors::vendor().with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
}

/// What its host can debug keeps no secret, however genuine it is: refused unless a policy waives it.
fn no_debug(field: &'static str, debug: bool) -> Result<(), Rejection> {
    if debug {
        let reason = vouch_protocol::Reason::DebugEnabled;
        return Err(Rejection::new(
            reason,
            field,
            "debugging off",
            "debugging on",
        ));
    }
    Ok(())
}

/// Reads a file named by a flag.
fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .with_context(|| format!("{flag} {}", path.display()))
        .map_err(Failure::Usage)
}

/// The file of a flag that clap has made sure is there.
fn required<'a>(flag: &str, path: &'a Option<PathBuf>) -> Result<&'a Path, Failure> {
    path.as_deref()
        .ok_or_else(|| Failure::usage(format!("{flag}: missing")))
}

/// 64 bytes; clap reads a bare array as a list.
#[derive(Clone, Copy, Debug)]
struct ReportData([u8; 64]);

fn report_data(text: &str) -> Result<ReportData, String> {
    decode::hex_array(text)
        .map(ReportData)
        .map_err(|r| format!("expected {}, found {}", r.expected, r.found))
}
