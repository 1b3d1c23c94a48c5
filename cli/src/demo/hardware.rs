//! Evidence of real hardware: samples accepted as they are, refused with any one bit changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vouch_evidence::{Anchors, Cache, Rejection, Time, Verifier, decode, nvidia, sev_snp};
use vouch_protocol::Reason;

use crate::when;

/// Bits changed in each sample, one at a time, spread over its signed part.
const BITS: usize = 96;

/// Times at which the samples' certificates are valid.
const GPU_TIME: &str = "2025-09-01T00:00:00Z";
const CPU_TIME: &str = "2026-06-01T00:00:00Z";

/// What became of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) name: String,
    /// Why it was not accepted.
    pub(super) refused: Option<Reason>,
    /// Bits changed, and how many of the changes were refused.
    pub(super) bits: (usize, usize),
}

impl Sample {
    pub(super) fn is_right(&self) -> bool {
        self.refused.is_none() && self.bits.0 == self.bits.1
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "accepted": self.refused.is_none(),
            "reason": self.refused.map(Reason::name),
            "bits_changed": self.bits.0,
            "bits_refused": self.bits.1,
        })
    }
}

/// Where the samples are: `$VOUCH_EVIDENCE`, else `../shared/evidence`; none where neither is.
pub(super) fn directory() -> Result<Option<PathBuf>> {
    if let Some(dir) = std::env::var_os("VOUCH_EVIDENCE").filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        ensure!(
            dir.is_dir(),
            "VOUCH_EVIDENCE: {} is no directory",
            dir.display()
        );
        return Ok(Some(dir));
    }
    let dir = PathBuf::from("../shared/evidence");
    Ok(dir.is_dir().then_some(dir))
}

/// Verifies the samples in `dir`.
pub(super) fn verify(dir: &Path) -> Result<Vec<Sample>> {
    let anchors = Anchors::vendor();
    let mut samples = vec![gpu(&dir.join("nvidia/go-nvattest"), &anchors)?];
    for generation in ["milan", "genoa", "turin"] {
        samples.push(cpu(&dir.join("snp/ms-tee"), generation, &anchors)?);
    }
    Ok(samples)
}

fn gpu(dir: &Path, anchors: &Anchors) -> Result<Sample> {
    let report = decode::binary(&read(&dir.join("test_raw_gpu_attestation_report.dat"))?)?;
    let chain = decode::certificates(&read(
        &dir.join("test_gpu_attestation_certificate_chain.dat"),
    )?)?;
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let cache = Cache::new();
    let verifier = Verifier::new(anchors, time(GPU_TIME)?).with_cache(&cache);
    let signed = nvidia::Report::parse(&report)?.signed.len();
    Ok(sample("NVIDIA H100", &report, signed, |bytes| {
        let report = nvidia::Report::parse(bytes)?;
        nvidia::verify_observed(&report, &chain, &verifier, &mut ()).map(|_| ())
    }))
}

fn cpu(dir: &Path, generation: &str, anchors: &Anchors) -> Result<Sample> {
    let report = decode::binary(&read(
        &dir.join(format!("{generation}_attestation_report.bin")),
    )?)?;
    let vek = decode::certificates(&read(&dir.join(format!("{generation}_vcek.pem")))?)?;
    let vek = vek.first().context("the VCEK's file is empty")?;
    let cache = Cache::new();
    let verifier = Verifier::new(anchors, time(CPU_TIME)?).with_cache(&cache);
    let mut name = generation.to_owned();
    name[..1].make_ascii_uppercase();
    let name = format!("AMD EPYC {name}");
    Ok(sample(&name, &report, sev_snp::SIGNED_LEN, |bytes| {
        let report = sev_snp::Report::parse(bytes)?;
        sev_snp::verify_observed(&report, vek, None, &verifier, &mut ()).map(|_| ())
    }))
}

/// Verifies a report as it is, and with bits of its first `signed` bytes changed.
fn sample(
    name: &str,
    report: &[u8],
    signed: usize,
    verify: impl Fn(&[u8]) -> Result<(), Rejection>,
) -> Sample {
    let refused = verify(report).err().map(|rejection| rejection.reason);
    let total = signed * 8;
    let mut changed = report.to_vec();
    let mut found = 0;
    for i in 0..BITS {
        // First and last bit, and as many between; a different bit of the byte each time.
        let bit = i * (total - 1) / (BITS - 1);
        changed[bit / 8] ^= 1 << (bit % 8);
        found += usize::from(verify(&changed).is_err());
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    Sample {
        name: name.to_owned(),
        refused,
        bits: (BITS, found),
    }
}

fn time(text: &str) -> Result<Time> {
    when::instant(text)
        .map(Time::from_unix)
        .map_err(anyhow::Error::msg)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sampled_bit_lies_in_the_signed_part_and_counts_once() {
        use std::cell::RefCell;
        let seen = RefCell::new(Vec::new());
        let report = [0u8; 100];
        let sample = sample("x", &report, 60, |bytes| {
            match bytes.iter().position(|byte| *byte != 0) {
                None => Ok(()),
                Some(at) => {
                    seen.borrow_mut()
                        .push(at * 8 + bytes[at].trailing_zeros() as usize);
                    Err(Rejection::new(Reason::Malformed, "x", "0", "1"))
                }
            }
        });
        let seen = seen.into_inner();
        assert_eq!(sample.bits, (BITS, BITS));
        assert!(sample.is_right());
        assert_eq!((seen[0], seen[BITS - 1]), (0, 479));
        assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_verifier_that_misses_a_bit_is_found_out() {
        let sample = sample("x", &[0; 100], 60, |bytes| match bytes[0] {
            0 => Ok(()),
            _ => Err(Rejection::new(Reason::Malformed, "x", "0", "1")),
        });
        assert!(!sample.is_right());
    }
}
