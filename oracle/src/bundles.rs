//! The evidence store: bundles by SHA-256 digest, in a directory, and the sources they are fetched
//! from. Bytes that do not have their digest never get in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::B256;
use futures::StreamExt;
use sha2::{Digest, Sha256};

/// Why a bundle was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes have another digest.
    #[error("evidence {expected}: the bytes have SHA-256 {found}")]
    Digest {
        /// Asked for.
        expected: B256,
        /// Of the bytes.
        found: B256,
    },
    /// Too many bytes.
    #[error("evidence: expected at most {limit} bytes (evidence.max_bytes)")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The disk failed.
    #[error("evidence store {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A source failed.
    #[error("source {source_name}: {detail}")]
    Source {
        /// Which.
        source_name: String,
        /// What happened.
        detail: String,
    },
    /// The configuration names a source that cannot be one.
    #[error("evidence.sources: {source_name:?}: {detail}")]
    Unusable {
        /// Which.
        source_name: String,
        /// Why not.
        detail: String,
    },
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> B256 {
    B256::new(Sha256::digest(bytes).into())
}

/// A directory of bundles named by their digests.
#[derive(Clone, Debug)]
pub struct Bundles {
    dir: PathBuf,
    max_bytes: u64,
}

impl Bundles {
    /// The store in a directory, which is made where it is not there.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub fn open(dir: PathBuf, max_bytes: u64) -> Result<Self, BundleError> {
        std::fs::create_dir_all(&dir).map_err(|source| disk(&dir, source))?;
        Ok(Self { dir, max_bytes })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Most bytes of a bundle.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Stores a bundle under its digest. Storing it again changes nothing.
    ///
    /// # Errors
    /// [`BundleError::Digest`], [`BundleError::TooLarge`], [`BundleError::Disk`].
    pub async fn put(&self, expected: B256, bytes: Vec<u8>) -> Result<(), BundleError> {
        self.check(expected, &bytes)?;
        let path = self.path(expected);
        let write = move || {
            // A file that rotted is written again.
            if std::fs::read(&path).is_ok_and(|kept| kept == bytes) {
                return Ok(());
            }
            let mut draft = tempfile_beside(&path)?;
            std::io::Write::write_all(&mut draft.1, &bytes)?;
            draft.1.sync_all()?;
            std::fs::rename(&draft.0, &path)
        };
        let result = tokio::task::spawn_blocking(write).await;
        result
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|source| disk(&self.path(expected), source))
    }

    /// A bundle; none where it is not here. What has rotted on disk is not here.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub async fn get(&self, expected: B256) -> Result<Option<Vec<u8>>, BundleError> {
        let Some(bytes) = read_limited(&self.path(expected), self.max_bytes).await? else {
            return Ok(None);
        };
        Ok(self.check(expected, &bytes).is_ok().then_some(bytes))
    }

    /// Removes a bundle; one that is not here is gone already.
    ///
    /// # Errors
    /// [`BundleError::Disk`].
    pub async fn remove(&self, digest: B256) -> Result<(), BundleError> {
        let path = self.path(digest);
        match tokio::fs::remove_file(&path).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk(&path, e)),
            _ => Ok(()),
        }
    }

    fn path(&self, digest: B256) -> PathBuf {
        self.dir.join(hex::encode(digest))
    }

    fn check(&self, expected: B256, bytes: &[u8]) -> Result<(), BundleError> {
        if bytes.len() as u64 > self.max_bytes {
            let limit = self.max_bytes;
            return Err(BundleError::TooLarge { limit });
        }
        let found = digest(bytes);
        if found != expected {
            return Err(BundleError::Digest { expected, found });
        }
        Ok(())
    }
}

/// A place where providers leave bundles.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory with files named by digest.
    Dir(PathBuf),
    /// A server that answers `GET <base>v1/evidence/<digest>`.
    Http(reqwest::Url),
}

/// The configured sources, asked in order.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<(String, Source)>,
    http: reqwest::Client,
}

impl Sources {
    /// The sources by their configured names.
    ///
    /// # Errors
    /// [`BundleError::Unusable`].
    pub fn new(names: &[String], timeout: Duration) -> Result<Self, BundleError> {
        let mut sources = Vec::with_capacity(names.len());
        for name in names {
            let unusable = |detail: String| BundleError::Unusable {
                source_name: name.clone(),
                detail,
            };
            let source = match name.strip_prefix("dir:") {
                Some(path) => Source::Dir(path.into()),
                None => {
                    let base = format!("{}/", name.trim_end_matches('/'));
                    Source::Http(base.parse().map_err(|e| unusable(format!("{e}")))?)
                }
            };
            sources.push((name.clone(), source));
        }
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| BundleError::Unusable {
                source_name: "http".into(),
                detail: e.to_string(),
            })?;
        Ok(Self { sources, http })
    }

    /// Fetches a bundle from the first source that has it. Returns where it came from; where none
    /// has it, what each source said.
    ///
    /// # Errors
    /// The sources' answers, one text.
    pub async fn fetch(&self, bundles: &Bundles, digest: B256) -> Result<(String, u64), String> {
        let mut answers = Vec::new();
        for (name, source) in &self.sources {
            let found = match source {
                Source::Dir(dir) => {
                    let path = dir.join(hex::encode(digest));
                    read_limited(&path, bundles.max_bytes).await
                }
                Source::Http(base) => self.get(name, base, digest, bundles.max_bytes).await,
            };
            let stored = match found {
                Ok(None) => {
                    answers.push(format!("{name}: not there"));
                    continue;
                }
                Ok(Some(bytes)) => {
                    let size = bytes.len() as u64;
                    bundles.put(digest, bytes).await.map(|()| size)
                }
                Err(error) => Err(error),
            };
            match stored {
                Ok(size) => return Ok((name.clone(), size)),
                Err(error) => answers.push(format!("{name}: {error}")),
            }
        }
        if answers.is_empty() {
            answers.push("no evidence.sources are configured".to_owned());
        }
        Err(answers.join("; "))
    }

    async fn get(
        &self,
        name: &str,
        base: &reqwest::Url,
        digest: B256,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        let failed = |detail: String| BundleError::Source {
            source_name: name.to_owned(),
            detail,
        };
        let url = base
            .join(&format!("v1/evidence/{}", hex::encode(digest)))
            .map_err(|e| failed(e.to_string()))?;
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|e| failed(e.to_string()))?;
        match response.status() {
            reqwest::StatusCode::OK => {}
            reqwest::StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(failed(format!("HTTP status {other}"))),
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|e| failed(e.to_string()))?);
            if bytes.len() as u64 > limit {
                return Err(BundleError::TooLarge { limit });
            }
        }
        Ok(Some(bytes))
    }
}

async fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, BundleError> {
    let path = path.to_owned();
    // One visit to a thread that may block, not one for each question to the disk.
    let read = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            let file = std::fs::File::open(&path)?;
            let meta = file.metadata()?;
            if !meta.is_file() {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            let mut bytes = Vec::with_capacity(meta.len().min(limit) as usize);
            // One byte more than allowed shows that there are more.
            std::io::Read::read_to_end(
                &mut std::io::Read::take(file, limit.saturating_add(1)),
                &mut bytes,
            )?;
            Ok(bytes)
        }
    });
    match read.await.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
        Ok(bytes) if bytes.len() as u64 > limit => Err(BundleError::TooLarge { limit }),
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(disk(&path, source)),
    }
}

fn disk(path: &Path, source: std::io::Error) -> BundleError {
    BundleError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// A new file beside `path`, under a name no other writer uses.
fn tempfile_beside(path: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    let file = std::fs::File::create(&draft)?;
    Ok((draft, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundles(limit: u64) -> (tempfile::TempDir, Bundles) {
        let dir = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(dir.path().join("evidence"), limit).unwrap();
        (dir, bundles)
    }

    #[tokio::test]
    async fn a_bundle_is_found_by_its_digest_and_stored_once() {
        let (_dir, bundles) = bundles(1024);
        let id = digest(b"bundle");
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        assert_eq!(
            bundles.get(id).await.unwrap().as_deref(),
            Some(&b"bundle"[..])
        );
        bundles.remove(id).await.unwrap();
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.remove(id).await.unwrap();
    }

    #[tokio::test]
    async fn other_and_too_many_bytes_are_refused() {
        let (_dir, bundles) = bundles(8);
        let error = bundles.put(digest(b"a"), b"b".to_vec()).await.unwrap_err();
        assert!(matches!(error, BundleError::Digest { .. }), "{error}");
        let large = vec![0; 9];
        let error = bundles.put(digest(&large), large).await.unwrap_err();
        assert!(
            matches!(error, BundleError::TooLarge { limit: 8 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_rotted_on_disk_is_not_there() {
        let (_dir, bundles) = bundles(1024);
        let id = digest(b"bundle");
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        std::fs::write(bundles.path(id), b"bundlf").unwrap();
        assert_eq!(bundles.get(id).await.unwrap(), None);
        bundles.put(id, b"bundle".to_vec()).await.unwrap();
        assert!(bundles.get(id).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn sources_are_asked_in_order_and_bad_ones_passed_over() {
        let (dir, bundles) = bundles(16);
        let id = digest(b"bundle");
        let name = hex::encode(id);
        for (source, content) in [
            ("a", None),
            ("b", Some(&b"other"[..])),
            ("c", Some(&b"bundle"[..])),
        ] {
            let path = dir.path().join(source);
            std::fs::create_dir(&path).unwrap();
            if let Some(content) = content {
                std::fs::write(path.join(&name), content).unwrap();
            }
        }
        let source = |name| format!("dir:{}", dir.path().join(name).display());
        let timeout = Duration::from_secs(1);
        let closed = "http://127.0.0.1:1/".to_owned();
        let bad = Sources::new(&[source("a"), source("b"), closed.clone()], timeout).unwrap();
        let answers = bad.fetch(&bundles, id).await.unwrap_err();
        assert!(
            answers.contains("not there") && answers.contains("SHA-256"),
            "{answers}"
        );
        assert!(answers.contains("127.0.0.1:1"), "{answers}");
        let good = Sources::new(&[source("b"), closed, source("c")], timeout).unwrap();
        let (from, size) = good.fetch(&bundles, id).await.unwrap();
        assert_eq!((from, size), (source("c"), 6));
        assert!(bundles.get(id).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn no_sources_is_said() {
        let (_dir, bundles) = bundles(16);
        let sources = Sources::new(&[], Duration::from_secs(1)).unwrap();
        let answers = sources.fetch(&bundles, B256::ZERO).await.unwrap_err();
        assert!(answers.contains("evidence.sources"), "{answers}");
        assert!(Sources::new(&["http://".to_owned()], Duration::from_secs(1)).is_err());
    }
}
