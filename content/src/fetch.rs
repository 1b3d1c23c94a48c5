//! Fetching a pack from where its owner published it: checked chunk by chunk, and taken up again
//! where it was interrupted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::B256;
use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::RANGE;

use crate::error::Error;
use crate::files::open_partial;
use crate::manifest::{MANIFEST_LEN, Manifest};
use crate::pack::{find, publish};
use crate::tree::Tree;

/// How long a source may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Where packs are published: folders named by their digests.
#[derive(Clone, Debug)]
pub enum Source {
    /// `dir:PATH`: a folder.
    Dir(PathBuf),
    /// `http://…` or `https://…`: a server of static files that answers ranges.
    Http(reqwest::Url),
}

/// What fetching took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that were there from an earlier try, or from the beginning.
    pub kept: u64,
    /// Bytes that came from the source.
    pub received: u64,
}

impl Source {
    /// Reads `dir:PATH` or a URL.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("dir:") {
            return Ok(Self::Dir(path.into()));
        }
        let refuse = |detail: String| Error::Source {
            source_name: text.to_owned(),
            detail,
        };
        let url: reqwest::Url = format!("{}/", text.trim_end_matches('/'))
            .parse()
            .map_err(|error| refuse(format!("expected dir:PATH or a URL: {error}")))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Http(url)),
            other => Err(refuse(format!(
                "expected dir:, http: or https:, found {other}:"
            ))),
        }
    }

    /// Fetches an asset into a store. What an interrupted fetch has left there is checked and kept.
    ///
    /// # Errors
    /// [`Error`]; what has been checked so far stays for the next try, under another name.
    pub async fn fetch(&self, asset: B256, store: &Path) -> Result<Fetched, Error> {
        if let Ok(pack) = find(store, asset) {
            return Ok(Fetched {
                kept: pack.manifest().data_len(),
                received: 0,
            });
        }
        match self {
            Self::Dir(dir) => {
                let (from, to) = (dir.clone(), store.to_owned());
                let copied = tokio::task::spawn_blocking(move || publish(&from, asset, &to)).await;
                copied.map_err(|e| Error::io("fetching")(std::io::Error::other(e)))??;
                let received = find(store, asset)?.manifest().data_len();
                Ok(Fetched { kept: 0, received })
            }
            Self::Http(base) => Remote::new(base, asset)?.fetch(store).await,
        }
    }

    /// Fetches an asset from the first source that has it.
    ///
    /// # Errors
    /// [`Error::NotFetched`] with what each of them said.
    pub async fn fetch_from(sources: &[Self], asset: B256, store: &Path) -> Result<Fetched, Error> {
        let mut answers = Vec::new();
        for source in sources {
            match source.fetch(asset, store).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => answers.push(error.to_string()),
            }
        }
        if answers.is_empty() {
            answers.push("no sources are configured".to_owned());
        }
        Err(Error::NotFetched {
            digest: asset,
            answers: answers.join("; "),
        })
    }
}

/// One asset at one server.
struct Remote {
    http: reqwest::Client,
    base: reqwest::Url,
    asset: B256,
}

impl Remote {
    fn new(base: &reqwest::Url, asset: B256) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Source {
            source_name: base.to_string(),
            detail,
        };
        Ok(Self {
            http: reqwest::Client::builder()
                .read_timeout(SILENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| refuse(error.to_string()))?,
            base: base
                .join(&format!("{}/", hex::encode(asset)))
                .map_err(|error| refuse(error.to_string()))?,
            asset,
        })
    }

    fn refuse(&self, detail: impl std::fmt::Display) -> Error {
        Error::Source {
            source_name: self.base.to_string(),
            detail: detail.to_string(),
        }
    }

    async fn get(&self, name: &str, from: u64) -> Result<reqwest::Response, Error> {
        let url = self.base.join(name).map_err(|error| self.refuse(error))?;
        let mut request = self.http.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.refuse(chain(&error)))?;
        let expected = if from > 0 {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        match response.status() {
            status if status == expected => Ok(response),
            status => Err(self.refuse(format!("{name}: expected {expected}, found {status}"))),
        }
    }

    async fn small(&self, name: &str, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut body = self.get(name, 0).await?.bytes_stream();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.refuse(chain(&error)))?);
            if bytes.len() as u64 > length {
                return Err(self.refuse(format!("{name}: expected {length} bytes, found more")));
            }
        }
        Ok(bytes)
    }

    async fn fetch(&self, store: &Path) -> Result<Fetched, Error> {
        let partial = store.join(format!(".vouch-{}.part", hex::encode(self.asset)));
        std::fs::create_dir_all(&partial).map_err(Error::file(&partial))?;
        let manifest_bytes = self.small("manifest", MANIFEST_LEN as u64).await?;
        let manifest = Manifest::decode_as(&manifest_bytes, self.asset)?;
        let tree_bytes = self.small("tree", manifest.tree_len()).await?;
        let tree = Tree::decode(&tree_bytes, &manifest)?;

        let path = partial.join("data");
        let mut file = open_partial(&path)?;
        let done = checked(&mut file, &manifest, &tree).map_err(Error::file(&path))?;
        let kept = manifest.offset(done).min(manifest.data_len());
        file.set_len(kept).map_err(Error::file(&path))?;
        file.seek(SeekFrom::Start(kept))
            .map_err(Error::file(&path))?;
        if done < manifest.chunks() {
            self.receive(&mut file, &path, &manifest, &tree, done)
                .await?;
        }
        file.sync_all().map_err(Error::file(&path))?;
        for (name, bytes) in [("tree", &tree_bytes), ("manifest", &manifest_bytes)] {
            let path = partial.join(name);
            std::fs::write(&path, bytes).map_err(Error::file(&path))?;
        }
        let target = store.join(hex::encode(self.asset));
        std::fs::rename(&partial, &target).map_err(Error::file(&target))?;
        let received = manifest.data_len() - kept;
        Ok(Fetched { kept, received })
    }

    /// Receives the chunks from `first` on. Only checked ones are written.
    async fn receive(
        &self,
        file: &mut File,
        path: &Path,
        manifest: &Manifest,
        tree: &Tree,
        first: u64,
    ) -> Result<(), Error> {
        let mut body = self
            .get("data", manifest.offset(first))
            .await?
            .bytes_stream();
        let (mut index, mut chunk) = (first, Vec::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.refuse(chain(&error)))?;
            let mut piece = &piece[..];
            while !piece.is_empty() {
                if index == manifest.chunks() {
                    let expected = manifest.data_len();
                    return Err(self.refuse(format!("data: expected {expected} bytes, found more")));
                }
                // At most 16 MiB and a tag: fits.
                let length = manifest.encrypted_len(index) as usize;
                let (head, rest) = piece.split_at(piece.len().min(length - chunk.len()));
                chunk.extend_from_slice(head);
                piece = rest;
                if chunk.len() == length {
                    tree.check(index, &chunk)?;
                    file.write_all(&chunk).map_err(Error::file(path))?;
                    chunk.clear();
                    index += 1;
                }
            }
        }
        if index != manifest.chunks() {
            return Err(Error::Length {
                what: "data",
                expected: manifest.data_len(),
                found: manifest.offset(index).min(manifest.data_len()) + chunk.len() as u64,
            });
        }
        Ok(())
    }
}

/// How many chunks a partial file begins with that are the asset's.
fn checked(file: &mut File, manifest: &Manifest, tree: &Tree) -> std::io::Result<u64> {
    let mut chunk = Vec::new();
    for index in 0..manifest.chunks() {
        chunk.clear();
        (&*file)
            .take(manifest.encrypted_len(index))
            .read_to_end(&mut chunk)?;
        if tree.check(index, &chunk).is_err() {
            return Ok(index);
        }
    }
    Ok(manifest.chunks())
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
