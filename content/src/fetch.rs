//! Fetching a pack from where its owner published it: checked chunk by chunk, and taken up again
//! where it was interrupted.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use tokio::sync::mpsc::{Receiver, channel};

use crate::error::Error;
use crate::files::open_partial;
use crate::manifest::{MANIFEST_LEN, Manifest};
use crate::ordered::in_order;
use crate::pack::{find, publish, read_exactly};
use crate::tree::Tree;

/// How long a source may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Pieces of a body, some hundred kilobytes each at most, that wait to be checked.
const PIECES_IN_FLIGHT: usize = 16;

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
                apart(move || publish(&from, asset, &to)).await?;
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
        let tree = Arc::new(Tree::decode(&tree_bytes, &manifest)?);

        let path = partial.join("data");
        let mut file = open_partial(&path)?;
        let (there, leaves) = (file.try_clone().map_err(Error::file(&path))?, tree.clone());
        let done = apart(move || checked(&there, &manifest, &leaves)).await?;
        let kept = manifest.offset(done).min(manifest.data_len());
        file.set_len(kept).map_err(Error::file(&path))?;
        file.seek(SeekFrom::Start(kept))
            .map_err(Error::file(&path))?;
        if done < manifest.chunks() {
            self.receive(&file, &path, manifest, &tree, done).await?;
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
        file: &File,
        path: &Path,
        manifest: Manifest,
        tree: &Arc<Tree>,
        first: u64,
    ) -> Result<(), Error> {
        let mut body = self
            .get("data", manifest.offset(first))
            .await?
            .bytes_stream();
        let (pieces, received) = channel(PIECES_IN_FLIGHT);
        let mut received = Pieces::new(received);
        let mut out = file.try_clone().map_err(Error::file(path))?;
        let (tree, file) = (tree.clone(), path.to_owned());
        let writing = apart(move || {
            in_order(
                first..manifest.chunks(),
                |index, chunk| received.fill(chunk, manifest.encrypted_len(index)),
                |index, chunk| tree.check(index, chunk),
                |_, chunk, ()| out.write_all(chunk).map_err(Error::file(&file)),
            )?;
            received.end(manifest.data_len())
        });
        let writing = tokio::spawn(writing);
        let mut broken = None;
        while let Some(piece) = body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    broken = Some(self.refuse(chain(&error)));
                    break;
                }
            };
            // Whoever checks and writes has stopped, and says why.
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        drop(pieces);
        let written = writing.await.map_err(ended)?;
        broken.map_or(written, Err)
    }
}

/// Does what blocks apart from what waits.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::io("fetching")(std::io::Error::other(error))
}

/// The pieces of a body, as they come, cut into chunks.
struct Pieces {
    received: Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn new(received: Receiver<Bytes>) -> Self {
        let piece = Bytes::new();
        Self { received, piece }
    }

    /// Waits for the next bytes; none where the body has ended.
    fn next(&mut self) -> Option<&mut Bytes> {
        while self.piece.is_empty() {
            self.piece = self.received.blocking_recv()?;
        }
        Some(&mut self.piece)
    }

    fn fill(&mut self, chunk: &mut Vec<u8>, length: u64) -> Result<(), Error> {
        chunk.clear();
        // At most 16 MiB and a tag: fits.
        let length = length as usize;
        while chunk.len() < length {
            let Some(piece) = self.next() else {
                return Err(Error::Length {
                    what: "chunk",
                    expected: length as u64,
                    found: chunk.len() as u64,
                });
            };
            let missing = piece.len().min(length - chunk.len());
            chunk.extend_from_slice(&piece.split_to(missing));
        }
        Ok(())
    }

    fn end(&mut self, expected: u64) -> Result<(), Error> {
        match self.next() {
            None => Ok(()),
            Some(more) => Err(Error::Length {
                what: "data",
                expected,
                found: expected.saturating_add(more.len() as u64),
            }),
        }
    }
}

/// How many chunks a partial file begins with that are the asset's.
fn checked(mut file: &File, manifest: &Manifest, tree: &Tree) -> Result<u64, Error> {
    let mut whole = 0;
    let all = in_order(
        0..manifest.chunks(),
        |index, chunk| read_exactly(&mut file, chunk, manifest.encrypted_len(index)),
        |index, chunk| tree.check(index, chunk),
        |_, _, ()| {
            whole += 1;
            Ok(())
        },
    );
    match all {
        Ok(()) | Err(Error::Chunk { .. } | Error::Length { .. }) => Ok(whole),
        Err(other) => Err(other),
    }
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
