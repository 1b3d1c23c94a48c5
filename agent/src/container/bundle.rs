//! An OCI bundle, its deterministic form, and what is taken from its author's configuration.
//!
//! The form is a tar archive: `config.json`, then `rootfs` and everything in it, the entries of each folder
//! in the order of their names' bytes and right after the folder. An entry has its path, its permission
//! bits (no set-user-id and the like), owner 0, time 0, and a file's content or a link's target. A bundle's digest
//! is the archive's SHA-256.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use alloy::primitives::B256;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tar::{EntryType, Header};
use vouch_content::Hasher;

/// Bytes of the largest `config.json`.
const MAX_CONFIG: u64 = 1 << 20;
/// Folders inside of each other.
const MAX_DEPTH: usize = 64;

/// What its author says about the process. The rest of `config.json` is this agent's to say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Where it starts.
    #[serde(default = "root")]
    pub cwd: String,
    #[serde(default)]
    terminal: bool,
}

fn root() -> String {
    "/".to_owned()
}

#[derive(Deserialize)]
struct Author {
    #[serde(rename = "ociVersion")]
    version: String,
    process: Process,
    root: Root,
    #[serde(default)]
    hooks: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Root {
    path: String,
}

impl Process {
    /// What a bundle's `config.json` says.
    ///
    /// # Errors
    /// What is missing, or asks for something that this agent does not give.
    pub fn parse(config: &[u8]) -> Result<Self> {
        let author: Author = serde_json::from_slice(config).context("config.json")?;
        let Author {
            version,
            process,
            root,
            hooks,
        } = author;
        ensure!(
            version.starts_with("1."),
            "config.json: ociVersion: expected 1.x, found {version:?}"
        );
        ensure!(
            root.path == "rootfs",
            "config.json: root.path: expected \"rootfs\", found {:?}",
            root.path
        );
        ensure!(
            !process.args.is_empty(),
            "config.json: process.args: expected a program, found none"
        );
        ensure!(
            process.cwd.starts_with('/'),
            "config.json: process.cwd: expected an absolute path, found {:?}",
            process.cwd
        );
        ensure!(
            !process.terminal,
            "config.json: process.terminal: expected false, found true"
        );
        if let Some(hook) = hooks.keys().next() {
            bail!(
                "config.json: hooks: expected none, for they run outside of the container; found {hook:?}"
            );
        }
        Ok(process)
    }

    /// What the configuration in a bundle's folder says.
    ///
    /// # Errors
    /// As [`Self::parse`], or where it cannot be read.
    pub fn read(bundle: &Path) -> Result<Self> {
        let path = bundle.join("config.json");
        let file = File::open(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut config = Vec::new();
        file.take(MAX_CONFIG).read_to_end(&mut config)?;
        Self::parse(&config)
    }
}

/// SHA-256 of a bundle's archive.
///
/// # Errors
/// As [`pack`].
pub fn digest(bundle: &Path) -> Result<B256> {
    pack(bundle, io::sink())
}

/// Writes a bundle's archive, and gives its digest.
///
/// # Errors
/// What cannot be read, or does not belong into a bundle.
pub fn pack(bundle: &Path, out: impl Write) -> Result<B256> {
    let context = || format!("reading {}", bundle.display());
    for entry in std::fs::read_dir(bundle).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        ensure!(
            name == "config.json" || name == "rootfs",
            "a bundle's folder: expected config.json and rootfs alone, found {}",
            name.display()
        );
    }
    let mut builder = tar::Builder::new(Hashing {
        out,
        hash: Hasher::default(),
    });
    append(&mut builder, bundle, Path::new("config.json"), 0)?;
    append(&mut builder, bundle, Path::new("rootfs"), 0)?;
    Ok(builder.into_inner()?.hash.finish())
}

fn append(
    builder: &mut tar::Builder<impl Write>,
    bundle: &Path,
    path: &Path,
    depth: usize,
) -> Result<()> {
    let place = bundle.join(path);
    let context = || format!("reading {}", place.display());
    let metadata = place.symlink_metadata().with_context(context)?;
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(metadata.permissions().mode() & 0o777);
    if metadata.is_file() {
        header.set_size(metadata.len());
        let file = File::open(&place).with_context(context)?;
        let mut file = Exactly {
            file,
            left: metadata.len(),
        };
        builder
            .append_data(&mut header, path, &mut file)
            .with_context(context)?;
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        let target = std::fs::read_link(&place).with_context(context)?;
        builder
            .append_link(&mut header, path, &target)
            .with_context(context)?;
    } else if metadata.is_dir() {
        ensure!(
            depth < MAX_DEPTH,
            "{}: expected at most {MAX_DEPTH} folders inside of each other",
            path.display()
        );
        header.set_entry_type(EntryType::Directory);
        builder
            .append_data(&mut header, path.join(""), io::empty())
            .with_context(context)?;
        let names = std::fs::read_dir(&place).with_context(context)?;
        let names: io::Result<Vec<_>> = names.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names.with_context(context)?;
        names.sort();
        for name in names {
            append(builder, bundle, &path.join(name), depth + 1)?;
        }
    } else {
        bail!(
            "{}: expected a file, folder or link, found something else",
            path.display()
        );
    }
    Ok(())
}

/// Unpacks an archive made by [`pack`] into a folder, and reads nothing behind it.
///
/// # Errors
/// What could not be read or written.
pub(super) fn unpack(archive: &mut impl Read, folder: &Path) -> io::Result<()> {
    let mut reader = tar::Archive::new(&mut *archive);
    reader.set_preserve_permissions(true);
    reader.unpack(folder)?;
    // The reader stops at the first of the two blocks that end an archive.
    archive.read_exact(&mut [0; 512])
}

/// A file that must have the length its header says.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let found = self.file.read(out)?;
        let changed = || io::Error::other("the file changed while it was read");
        self.left = self.left.checked_sub(found as u64).ok_or_else(changed)?;
        if found == 0 && self.left > 0 && !out.is_empty() {
            return Err(changed());
        }
        Ok(found)
    }
}

struct Hashing<W> {
    out: W,
    hash: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    const CONFIG: &str = r#"{"ociVersion":"1.0.2","process":{"args":["/work"]},"root":{"path":"rootfs"},"mounts":[]}"#;

    fn bundle() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("bundle");
        std::fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
        std::fs::write(bundle.join("config.json"), CONFIG).unwrap();
        std::fs::write(bundle.join("rootfs/bin/work"), "program").unwrap();
        symlink("bin/work", bundle.join("rootfs/work")).unwrap();
        (dir, bundle)
    }

    #[test]
    fn the_digest_is_that_of_what_is_in_it_and_of_nothing_else() {
        let (dir, bundle) = bundle();
        let first = digest(&bundle).unwrap();
        // Another place, other times.
        let other = dir.path().join("other");
        let mut archive = Vec::new();
        assert_eq!(pack(&bundle, &mut archive).unwrap(), first);
        let behind = archive.len();
        archive.extend(b"behind");
        let mut reader = &archive[..];
        unpack(&mut reader, &other).unwrap();
        assert_eq!((reader, behind % 512), (&b"behind"[..], 0));
        assert_eq!(digest(&other).unwrap(), first);

        let program = other.join("rootfs/bin/work");
        let mut changes: Vec<Box<dyn Fn()>> = Vec::new();
        changes.push(Box::new(|| std::fs::write(&program, "Program").unwrap()));
        changes.push(Box::new(|| {
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }));
        changes.push(Box::new(|| {
            std::fs::remove_file(other.join("rootfs/work")).unwrap();
            symlink("bin/other", other.join("rootfs/work")).unwrap();
        }));
        changes.push(Box::new(|| {
            std::fs::create_dir(other.join("rootfs/empty")).unwrap()
        }));
        changes.push(Box::new(|| {
            std::fs::write(
                other.join("config.json"),
                CONFIG.replace("/work", "/bin/work"),
            )
            .unwrap();
        }));
        let mut seen = vec![first];
        for change in changes {
            change();
            let found = digest(&other).unwrap();
            assert!(!seen.contains(&found), "{} changes", seen.len());
            seen.push(found);
        }
    }

    #[test]
    fn what_does_not_belong_into_a_bundle_is_refused() {
        let (_dir, bundle) = bundle();
        let extra = bundle.join("notes");
        std::fs::write(&extra, "").unwrap();
        let error = digest(&bundle).unwrap_err().to_string();
        assert!(error.contains("notes"), "{error}");
        std::fs::remove_file(&extra).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(bundle.join("rootfs/socket")).unwrap();
        let error = digest(&bundle).unwrap_err().to_string();
        assert!(error.contains("rootfs/socket"), "{error}");
        std::fs::remove_dir_all(bundle.join("rootfs")).unwrap();
        let error = digest(&bundle).unwrap_err().to_string();
        assert!(error.contains("rootfs"), "{error}");
    }

    #[test]
    fn an_authors_configuration_is_read_or_refused_by_name() {
        let process = Process::parse(CONFIG.as_bytes()).unwrap();
        assert_eq!(
            (&process.args[..], &process.cwd[..]),
            (&["/work".to_owned()][..], "/")
        );
        for (from, to, named) in [
            ("\"1.0.2\"", "\"2.0.0\"", "ociVersion"),
            ("[\"/work\"]", "[]", "process.args"),
            ("[\"/work\"]", "[\"/work\"],\"cwd\":\"bin\"", "process.cwd"),
            (
                "[\"/work\"]",
                "[\"/work\"],\"terminal\":true",
                "process.terminal",
            ),
            ("\"rootfs\"", "\"/\"", "root.path"),
            ("\"mounts\":[]", "\"hooks\":{\"prestart\":[]}", "prestart"),
            ("{\"ociVersion\"", "{\"version\"", "ociVersion"),
            ("}", "", "config.json"),
        ] {
            let config = CONFIG.replacen(from, to, 1);
            assert_ne!(config, CONFIG);
            let error = format!("{:#}", Process::parse(config.as_bytes()).unwrap_err());
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
