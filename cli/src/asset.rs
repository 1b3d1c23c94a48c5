//! `vouch asset`: the digests that offers name assets by.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::output::{Exit, Failure, Format, Report};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// SHA-256 of a file: what an offer of it carries.
    Digest(Digest),
}

/// `asset digest`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch asset digest reviews.jsonl")]
pub struct Digest {
    /// The asset.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> Exit {
        match self {
            Self::Digest(args) => args.format.emit(digest(&args.file)),
        }
    }
}

fn digest(path: &Path) -> Result<Report, Failure> {
    let (digest, size) = file_digest(path)?;
    let json = json!({ "file": path, "digest": digest, "bytes": size });
    Ok(Report::new(json, format!("{digest}\n")))
}

/// SHA-256 and length of a file, read piece by piece.
pub fn file_digest(path: &Path) -> Result<(B256, u64), Failure> {
    if path.is_dir() {
        return Err(Failure::usage(format!(
            "{}: expected a file, found a directory; pack it first (tar, zip)",
            path.display()
        )));
    }
    let context = || format!("reading {}", path.display());
    let mut file = File::open(path)
        .with_context(context)
        .map_err(Failure::Usage)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).with_context(context)? {
            0 => return Ok((B256::new(hash.finalize().into()), size)),
            read => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("asset");
        std::fs::write(&path, b"abc").unwrap();
        let (digest, size) = file_digest(&path).unwrap();
        assert_eq!(size, 3);
        assert_eq!(
            hex::encode(digest),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(matches!(file_digest(dir.path()), Err(Failure::Usage(_))));
        assert!(matches!(
            file_digest(&dir.path().join("none")),
            Err(Failure::Usage(_))
        ));
    }
}
