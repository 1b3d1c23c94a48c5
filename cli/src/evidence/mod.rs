//! `vouch evidence`: what is in a capture, before anything is verified.

mod json;
mod reports;
mod tree;
mod x509;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vouch_evidence::decode;

use crate::output::{Exit, Failure, Format, Report};
use tree::Node;

/// What to do with evidence.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print any capture as a tree: reports, quotes, certificates, collateral, bundles, tokens.
    Show(Show),
}

/// `evidence show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch evidence show report.bin
  vouch evidence show evidence.json --json

What a file is, its contents say; bytes may be raw, hex or base64, PEM or DER. Nothing is verified.
Exit status: 0 shown, 1 not known, 64 bad usage.")]
pub struct Show {
    /// The capture.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> Exit {
        match self {
            Self::Show(args) => args.format.emit(args.show()),
        }
    }
}

impl Show {
    fn show(&self) -> Result<Report, Failure> {
        let bytes = std::fs::read(&self.file)
            .map_err(|error| Failure::usage(format!("{}: {error}", self.file.display())))?;
        let (kind, node) = read(&bytes)
            .map_err(|why| Failure::Failed(anyhow::anyhow!("{}: {why}", self.file.display())))?;
        let mut json = node.to_json();
        if let Some(members) = json.as_object_mut() {
            members.insert("kind".into(), kind.clone().into());
        }
        let text = format!("{kind}, not verified\n{}", node.to_text());
        Ok(Report::new(json, text))
    }
}

/// What a capture is, and what is in it; else why it is nothing that is known.
fn read(bytes: &[u8]) -> Result<(String, Node), String> {
    let start = bytes.trim_ascii_start();
    match start.first() {
        None => return Err("the file is empty".into()),
        Some(b'{' | b'[') => return json::read(bytes),
        Some(b'<') => return x509::manifest(bytes),
        Some(_) => {}
    }
    if start.starts_with(b"-----BEGIN") {
        return x509::pem(bytes);
    }
    let raw = decode::binary(bytes).map_err(|rejection| rejection.to_string())?;
    if raw.starts_with(b"-----BEGIN") {
        return x509::pem(&raw);
    }
    if matches!(raw.first(), Some(b'{' | b'[')) {
        return json::read(&raw);
    }
    binary(&raw)
}

/// A binary format by its first bytes.
fn binary(raw: &[u8]) -> Result<(String, Node), String> {
    let known = match raw {
        [0x11, 0xe0, ..] => reports::nvidia(raw),
        [b'H', b'C', b'L', b'A', ..] => reports::hcl(raw),
        [0xff, b'T', b'C', b'G', ..] => reports::tpm(raw),
        [2..=5, 0, 0, 0, ..] if raw.len() == vouch_evidence::sev_snp::REPORT_LEN => {
            reports::sev_snp(raw)
        }
        [3..=5, 0, 2 | 3, 0, ..] => reports::tdx(raw),
        [0x30, ..] => return x509::der(raw),
        _ => {
            let start = hex::encode(raw.get(..8).unwrap_or(raw));
            return Err(format!(
                "expected a GPU, SEV-SNP, TDX or HCL report, a TPM quote, a certificate, collateral, JSON or XML; found {} bytes that begin with {start}",
                raw.len()
            ));
        }
    };
    known.map_err(|rejection| rejection.to_string())
}

#[cfg(test)]
mod tests {
    use vouch_simulator::{Machine, Options, Session};

    use super::tree::text;
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let (kind, node) = read(bytes).unwrap();
        format!("{kind}\n{}", node.to_text())
    }

    #[test]
    fn simulated_captures_are_shown_in_every_encoding() {
        let start = Session::from_secret([5; 32]).start([1; 32].into(), [3; 32].into());
        let machine = Machine::new(b"show");
        let evidence = machine.evidence(&start, &Options::default());
        let gpu = &evidence.gpus[0];
        for (bytes, expected) in [
            (gpu.report.clone(), "measurements"),
            (hex::encode(&gpu.report).into_bytes(), "nonce"),
            (gpu.chain.concat(), "NVIDIA Device Identity CA"),
            (evidence.cpu.report.clone(), "reported_tcb"),
            (evidence.cpu.chain[0].clone(), "SEV-VCEK"),
            (evidence.bundle().to_json(), "statement"),
        ] {
            let text = shown(&bytes);
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
    }

    #[test]
    fn what_is_nothing_is_an_error() {
        for bytes in [
            &b""[..],
            b"hello, world",
            b"{",
            b"{}",
            b"[]",
            b"<x>",
            b"\x30\x03\x02\x01\x07",
            b"\x11\xe0",
            b"HCLA",
            b"\xffTCG",
            b"\x04\x00\x02\x00",
            b"\x00\x01\x02",
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            b"-----BEGIN X509 CRL-----\nMAMCAQc=\n-----END X509 CRL-----",
        ] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn trees_are_indented_and_long_values_are_whole() {
        let node = Node::branch([
            ("a", text("1")),
            ("b", Node::branch([("c", text("x".repeat(200)))])),
        ]);
        assert_eq!(
            node.to_text(),
            format!("  a  1\n  b\n    c  {}\n", "x".repeat(200))
        );
    }
}
