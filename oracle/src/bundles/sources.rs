//! Where bundles are looked for that are not here.

use std::path::PathBuf;

use alloy::primitives::B256;
use futures::StreamExt;

use super::{BundleError, Bundles, directory};

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
    /// The sources by their configured names. `http` says how servers are asked, and for how long.
    ///
    /// # Errors
    /// [`BundleError::Unusable`].
    pub fn new(names: &[String], http: reqwest::ClientBuilder) -> Result<Self, BundleError> {
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
        let http = http
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
    pub async fn fetch(
        &self,
        bundles: &Bundles,
        digest: B256,
    ) -> Result<(String, Vec<u8>), String> {
        let mut answers = Vec::new();
        for (name, source) in &self.sources {
            let found = match source {
                Source::Dir(dir) => {
                    let path = dir.join(hex::encode(digest));
                    directory::read(path, bundles.max_bytes).await
                }
                Source::Http(base) => self.get(name, base, digest, bundles.max_bytes).await,
            };
            let stored = match found {
                Ok(None) => {
                    answers.push(format!("{name}: not there"));
                    continue;
                }
                Ok(Some(bytes)) => {
                    let stored = bundles.put_fetched(digest, bytes.clone()).await;
                    stored.map(|()| bytes)
                }
                Err(error) => Err(error),
            };
            match stored {
                Ok(bytes) => return Ok((name.clone(), bytes)),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::digest;
    use super::super::tests::bundles;
    use super::*;

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
        let http = || reqwest::Client::builder().timeout(Duration::from_secs(1));
        let closed = "http://127.0.0.1:1/".to_owned();
        let bad = Sources::new(&[source("a"), source("b"), closed.clone()], http()).unwrap();
        let answers = bad.fetch(&bundles, id).await.unwrap_err();
        assert!(
            answers.contains("not there") && answers.contains("SHA-256"),
            "{answers}"
        );
        assert!(answers.contains("127.0.0.1:1"), "{answers}");
        let good = Sources::new(&[source("b"), closed, source("c")], http()).unwrap();
        let (from, bytes) = good.fetch(&bundles, id).await.unwrap();
        assert_eq!((from, &bytes[..]), (source("c"), &b"bundle"[..]));
        assert!(bundles.get(id).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn no_sources_is_said() {
        let (_dir, bundles) = bundles(16);
        let http = reqwest::Client::builder;
        let sources = Sources::new(&[], http()).unwrap();
        let answers = sources.fetch(&bundles, B256::ZERO).await.unwrap_err();
        assert!(answers.contains("evidence.sources"), "{answers}");
        assert!(Sources::new(&["http://".to_owned()], http()).is_err());
    }
}
