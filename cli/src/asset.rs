//! `vouch asset`: assets as their owners encrypt, name and publish them.

pub(crate) mod uses;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use vouch_content::{ContentKey, DEFAULT_CHUNK_LEN, PrivateFile, find, pack, publish};

use crate::output::{Exit, Failure, Format, Report, fields};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// SHA-256 of a file.
    Digest(Digest),
    /// Encrypt a file: its pack and its key. The pack's digest is what an offer carries.
    Pack(Pack),
    /// Copy a pack to where sessions fetch it.
    Publish(Publish),
    /// Check a pack, and with its key what it decrypts to.
    Verify(Verify),
    /// Every use of an asset on chain, with its receipt.
    Uses(uses::Uses),
}

/// `asset pack`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch asset pack reviews.jsonl --store packs --key reviews.key

The key goes to your broker: vouch-broker import. Who has the pack alone learns its size and nothing else.")]
pub struct Pack {
    /// The asset.
    file: PathBuf,
    /// Folder of packs to put it into.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// File to write the content key to, readable by you alone.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Bytes of a chunk: a power of two from 4096 to 16777216.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK_LEN)]
    chunk: u32,
    #[command(flatten)]
    format: Format,
}

/// `asset publish`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch asset publish 0x5a1f… --store packs --to /srv/www/packs

Any server of static files that answers ranges does; a broker serves its own folder too.")]
pub struct Publish {
    /// The asset's digest.
    asset: B256,
    /// Folder of packs that has it.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Folder to publish it in.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// `asset verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch asset verify 0x5a1f… --store packs --key reviews.key

Exit status: 0 whole and authentic, 1 not.")]
pub struct Verify {
    /// The asset's digest.
    asset: B256,
    /// Folder of packs that has it.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// The content key: decrypts every chunk, and keeps none.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
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
    pub async fn run(self) -> Exit {
        match self {
            Self::Digest(args) => args.format.emit(digest(&args.file)),
            Self::Pack(args) => args.format.emit(make(&args)),
            Self::Publish(args) => args.format.emit(publish_pack(&args)),
            Self::Verify(args) => args.format.emit(verify(&args)),
            Self::Uses(args) => args.format.emit(uses::list(&args).await),
        }
    }
}

fn digest(path: &Path) -> Result<Report, Failure> {
    let (digest, size) = file_digest(path)?;
    let json = json!({ "file": path, "digest": digest, "bytes": size });
    Ok(Report::new(json, format!("{digest}\n")))
}

fn make(args: &Pack) -> Result<Report, Failure> {
    if args.file.is_dir() {
        let shown = args.file.display();
        return Err(Failure::usage(format!(
            "{shown}: expected a file, found a directory; pack it first (tar, zip)"
        )));
    }
    if args.key.exists() {
        let shown = args.key.display();
        return Err(Failure::usage(format!(
            "--key {shown}: is there already; its asset could be lost"
        )));
    }
    let (manifest, key) = pack(&args.file, &args.store, args.chunk)?;
    // The digits are secret too: wiped when done.
    let text = zeroize::Zeroizing::new(format!("{}\n", hex::encode(key.as_bytes())));
    PrivateFile::write(&args.key, text.as_bytes())?;
    let digest = manifest.digest();
    let json = json!({
        "asset": digest,
        "bytes": manifest.size,
        "chunks": manifest.chunks(),
        "encrypted_bytes": manifest.data_len(),
        "key": args.key,
    });
    let text = fields([
        ("asset", digest.to_string()),
        ("bytes", manifest.size.to_string()),
        ("chunks", manifest.chunks().to_string()),
        ("key", args.key.display().to_string()),
    ]);
    Ok(Report::new(json, text))
}

fn publish_pack(args: &Publish) -> Result<Report, Failure> {
    let dir = publish(&args.store, args.asset, &args.to)?;
    let json = json!({ "asset": args.asset, "folder": dir });
    Ok(Report::new(json, format!("{}\n", dir.display())))
}

fn verify(args: &Verify) -> Result<Report, Failure> {
    let mut pack = find(&args.store, args.asset)?;
    match &args.key {
        Some(path) => {
            let all = 0..pack.manifest().size;
            pack.decrypt(&read_key(path)?, all, &mut std::io::sink())?;
        }
        None => pack.verify()?,
    }
    let (size, chunks) = (pack.manifest().size, pack.manifest().chunks());
    let decrypted = args.key.is_some();
    let json =
        json!({ "asset": args.asset, "bytes": size, "chunks": chunks, "decrypted": decrypted });
    let how = if decrypted {
        "decrypts to"
    } else {
        "is whole:"
    };
    Ok(Report::new(
        json,
        format!("asset {} {how} {size} bytes\n", args.asset),
    ))
}

/// A content key's file.
pub fn read_key(path: &Path) -> Result<ContentKey, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading {}", path.display()))
        .map_err(Failure::Usage)?;
    let text = zeroize::Zeroizing::new(text);
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|_| Failure::usage(format!("{}: expected 64 hex digits", path.display())))?;
    Ok(ContentKey::from_bytes(key))
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
