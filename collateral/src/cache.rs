//! Answers on disk: one file each, written whole or not at all. A file that is not what was written
//! is as good as none.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vouch_evidence::Time;

use crate::answer::Content;
use crate::request::Request;

/// The version of the layout.
const VERSION: u32 = 1;
/// Bytes of the largest file that is read: the largest answer, and its chain.
const MAX_FILE_LEN: u64 = 5 * 1024 * 1024;
/// Most files of one service. When there are more, the oldest go.
const MAX_FILES: usize = 10_000;
/// Characters of a name that is meant for people.
const MAX_NAME_LEN: usize = 80;

/// The directory of one fetcher, which several processes may share.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// First line of a file; the answer follows.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    /// The question, so that a file put under another's name is not its answer.
    key: String,
    /// Of the answer and the chain.
    sha256: String,
    /// Unix seconds.
    until: u64,
    /// Hexadecimal DER.
    chain: Vec<String>,
}

impl Cache {
    pub(crate) fn open(dir: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// What is kept for a question, expired or not.
    pub(crate) fn read(&self, request: &Request, key: &str) -> Option<Content> {
        let path = self.path(request, key);
        let file = std::fs::File::open(&path).ok()?;
        let read = read_file(file, key);
        if read.is_none() {
            // It is written again when the service has answered.
            tracing::warn!(path = %path.display(), "collateral: a damaged file in the cache is ignored");
        }
        read
    }

    /// Keeps an answer.
    pub(crate) fn write(
        &self,
        request: &Request,
        key: &str,
        content: &Content,
    ) -> std::io::Result<()> {
        let path = self.path(request, key);
        let dir = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir)?;
        let head = Head {
            version: VERSION,
            key: key.to_owned(),
            sha256: digest(&content.bytes, &content.chain),
            until: content.until.unix(),
            chain: content.chain.iter().map(hex::encode).collect(),
        };
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut file, &head)?;
        file.write_all(b"\n")?;
        file.write_all(&content.bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        shrink(dir, MAX_FILES)
    }

    /// A name that people recognise, made unique by the question's digest.
    fn path(&self, request: &Request, key: &str) -> PathBuf {
        let name: String = request
            .to_string()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '_'
                }
            })
            .take(MAX_NAME_LEN)
            .collect();
        let digest = hex::encode(Sha256::digest(key));
        let unique = digest.get(..16).unwrap_or(&digest);
        self.dir
            .join(request.service().key())
            .join(format!("{name}-{unique}"))
    }
}

fn read_file(file: std::fs::File, key: &str) -> Option<Content> {
    use std::io::Read;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let content = Content {
        bytes: rest.get(1..)?.to_vec(),
        chain: head
            .chain
            .iter()
            .map(|der| hex::decode(der).ok())
            .collect::<Option<_>>()?,
        until: Time::from_unix(head.until),
    };
    let whole = head.version == VERSION
        && head.key == key
        && head.sha256 == digest(&content.bytes, &content.chain);
    whole.then_some(content)
}

fn digest(bytes: &[u8], chain: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(bytes).chain(chain.iter().map(Vec::as_slice)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// Removes the oldest files of a directory that has more than `most`.
fn shrink(dir: &Path, most: usize) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Another process may have removed it meanwhile.
        if let Ok(written) = entry.metadata().and_then(|meta| meta.modified()) {
            files.push((written, entry.path()));
        }
    }
    if files.len() > most {
        files.sort();
        for (_, path) in files.iter().take(files.len() - most) {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "nvidia_rim/v1/rim/A";

    fn content() -> Content {
        Content {
            bytes: b"<x>\nbytes".to_vec(),
            chain: vec![vec![1, 2], vec![3]],
            until: Time::from_unix(7),
        }
    }

    fn request() -> Request {
        Request::Manifest("../A/../".into())
    }

    #[test]
    fn what_is_written_is_read_and_stays_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("c")).unwrap();
        assert_eq!(cache.read(&request(), KEY), None);
        cache.write(&request(), KEY, &content()).unwrap();
        assert_eq!(cache.read(&request(), KEY), Some(content()));
        assert_eq!(cache.read(&request(), "other"), None);
        let path = cache.path(&request(), KEY);
        assert!(path.starts_with(dir.path().join("c/nvidia_rim")));
        assert!(path.is_file());
    }

    #[test]
    fn every_changed_byte_makes_a_file_worthless() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().to_owned()).unwrap();
        cache.write(&request(), KEY, &content()).unwrap();
        let path = cache.path(&request(), KEY);
        let whole = std::fs::read(&path).unwrap();
        // Except the time until which it counts, which the verifier looks up for itself.
        let until = String::from_utf8_lossy(&whole).find("\"until\":").unwrap() + 8;
        for index in (0..whole.len()).filter(|index| *index != until) {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let read = cache.read(&request(), KEY);
            assert!(read.is_none() || read == Some(content()), "byte {index}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.read(&request(), KEY), None, "{length} bytes");
        }
    }

    #[test]
    fn the_oldest_files_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for (age, name) in ["c", "a", "b"].iter().enumerate() {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let at = old + std::time::Duration::from_secs(1_000 + age as u64);
            file.set_modified(at).unwrap();
        }
        shrink(dir.path(), 2).unwrap();
        let left: Vec<bool> = ["a", "b", "c"]
            .iter()
            .map(|n| dir.path().join(n).exists())
            .collect();
        assert_eq!(left, [true, true, false]);
    }
}
