//! The broker at work: requests in, sealed keys or reasons out.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::B256;
use anyhow::{Context, Result};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};
use vouch_content::seal::{Purpose, seal};
use vouch_oracle::bundles::{Bundles, Sources};
use vouch_oracle::collateral::Supplier;

use crate::config::Config;
use crate::journal::{Answer, Journal};
use crate::keys::{Keys, RootKey};
use crate::release::{Refusal, Rules, decide};
use crate::request::{Released, Request};
use crate::view::{Endpoints, OrderView};

/// Bytes of the largest evidence bundle.
const MAX_BUNDLE: u64 = 16 << 20;
/// Bytes of the largest request.
const MAX_REQUEST: usize = 4096;
/// Requests decided at a time; more wait.
const CONCURRENT: usize = 8;
const FETCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A broker.
#[derive(Debug)]
pub struct Broker {
    endpoints: Endpoints,
    rules: Rules,
    supplier: Supplier,
    bundles: Bundles,
    sources: Sources,
    turns: Semaphore,
    state: Mutex<Books>,
}

/// What must not change between a decision and its entry.
#[derive(Debug)]
struct Books {
    keys: Keys,
    journal: Journal,
}

/// The file of keys in a broker's folder.
pub fn keys_file(dir: &Path) -> std::path::PathBuf {
    dir.join("keys.json")
}

/// The journal in a broker's folder.
pub fn journal_file(dir: &Path) -> std::path::PathBuf {
    dir.join("journal.jsonl")
}

impl Broker {
    /// A broker by its configuration.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub async fn start(config: &Config) -> Result<Self> {
        let endpoints = config.endpoints().await?;
        let chain_id = endpoints
            .markets
            .first()
            .map_or(0, |(_, market)| market.chain_id);
        let dir = &config.store.dir;
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let root = RootKey::load(&config.store.root_key)?;
        let state = Books {
            keys: Keys::open(&keys_file(dir), root)?,
            journal: Journal::open(&journal_file(dir))?,
        };
        let anchors = Arc::new(config.anchors(chain_id)?);
        let bundles = Bundles::open(dir.join("evidence"), MAX_BUNDLE)?;
        let supplier = Supplier::new(
            config.collateral.as_ref(),
            &keys_file(dir),
            bundles.clone(),
            Arc::clone(&anchors),
        );
        Ok(Self {
            rules: Rules {
                owners: config.owners.clone(),
                trust: config.trust,
                anchors,
            },
            supplier: supplier.context("collateral")?,
            bundles,
            sources: Sources::new(
                &config.evidence,
                reqwest::Client::builder().timeout(FETCH_TIMEOUT),
            )?,
            turns: Semaphore::new(CONCURRENT),
            state: Mutex::new(state),
            endpoints,
        })
    }

    /// Answers a request, and writes the answer down.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub async fn answer(&self, request: &Request, now: u64) -> Result<Released, Refusal> {
        let answered = self.consider(request, now).await;
        if let Err(refusal) = &answered {
            let answer = Answer::Refused {
                code: refusal.code().to_owned(),
                detail: refusal.to_string(),
            };
            tracing::info!(order = %request.order, asset = %request.asset, code = refusal.code(), "refused: {refusal}");
            let id = (request.order, request.asset, request.session);
            let written = self.state.lock().await.journal.append(now, id, answer);
            written.map_err(internal)?;
        }
        answered
    }

    async fn consider(&self, request: &Request, now: u64) -> Result<Released, Refusal> {
        let _turn = self.turns.acquire().await.map_err(internal)?;
        self.state.lock().await.check(request)?;
        let view = self.endpoints.view(request.order, now).await?;
        let bundle = match &view.announced {
            Some((job, _)) => self.bundle(job.evidence).await?,
            None => Vec::new(),
        };
        let evidence = self.judge(request, &view, &bundle).await?;
        // Checked again: another request of the session may have been granted meanwhile, or the key
        // revoked.
        let mut books = self.state.lock().await;
        books.check(request)?;
        let key = books.keys.key(request.asset).map_err(internal)?;
        let (order, asset) = (request.order, request.asset);
        let sealed =
            seal(request.session, &Purpose::Use { order, asset }, &key).map_err(internal)?;
        let id = (order, asset, request.session);
        let entry = books
            .journal
            .append(now, id, Answer::Released { evidence })
            .map_err(internal)?;
        tracing::info!(%order, %asset, session = %request.session, "released");
        Ok(Released {
            sealed: hex::encode(sealed),
            entry,
        })
    }

    /// The decision, with collateral fetched where it waits for that.
    async fn judge(
        &self,
        request: &Request,
        view: &OrderView,
        bundle: &[u8],
    ) -> Result<B256, Refusal> {
        let decide = |supplement| decide(request, view, bundle, supplement, &self.rules);
        let decided = decide(None);
        let reason = match &decided {
            Err(Refusal::Open { reason, .. }) if self.supplier.can_help(*reason) => *reason,
            _ => return decided,
        };
        let observed_at = view.announced.map_or(0, |(_, block)| block.timestamp);
        tracing::debug!(order = %request.order, "fetching collateral: {reason}");
        let supplied = self.supplier.supply(bundle, observed_at).await;
        let supplied = supplied.map_err(internal)?;
        decide(Some(&supplied.supplement)).map_err(|refusal| match refusal {
            Refusal::Open { reason, detail } => Refusal::Open {
                reason,
                detail: format!("{detail}; {}", supplied.note),
            },
            other => other,
        })
    }

    async fn bundle(&self, digest: B256) -> Result<Vec<u8>, Refusal> {
        if let Some(bundle) = self.bundles.get(digest).await.map_err(internal)? {
            return Ok(bundle);
        }
        let fetched = self.sources.fetch(&self.bundles, digest).await;
        fetched.map_err(Refusal::EvidenceMissing)?;
        let bundle = self.bundles.get(digest).await.map_err(internal)?;
        bundle.ok_or_else(|| Refusal::EvidenceMissing("nothing".into()))
    }

    /// The routes: keys, health, and the packs of `content`.
    pub fn router(self: Arc<Self>, content: Option<&Path>) -> Router {
        let router = Router::new()
            .route("/v1/keys", post(keys))
            .route("/healthz", get(async || "ok\n"))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(self);
        match content {
            Some(dir) => {
                router.nest_service("/v1/content", tower_http::services::ServeDir::new(dir))
            }
            None => router,
        }
    }
}

impl Books {
    /// Whether there is a key to release at all.
    fn check(&mut self, request: &Request) -> Result<(), Refusal> {
        self.keys.reload().map_err(internal)?;
        let asset = request.asset;
        let held = self
            .keys
            .held()
            .get(&asset)
            .ok_or(Refusal::UnknownAsset(asset))?;
        if let Some(at) = held.revoked_at {
            return Err(Refusal::Revoked { asset, at });
        }
        if self.journal.has_released(asset, request.session) {
            return Err(Refusal::Replayed(asset));
        }
        Ok(())
    }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::Internal(error.to_string())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            refusal if refusal.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        let body = json!({ "error": {
            "code": self.code(),
            "message": self.to_string(),
            "retry": self.is_retryable(),
        }});
        (status, Json(body)).into_response()
    }
}

async fn keys(
    State(broker): State<Arc<Broker>>,
    Json(request): Json<Request>,
) -> Result<Json<Released>, Refusal> {
    broker.answer(&request, now()).await.map(Json)
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use vouch_content::ContentKey;

    use super::*;

    #[test]
    fn there_is_nothing_to_release_twice_or_after_revocation() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootKey::create(&dir.path().join("root")).unwrap();
        let mut keys = Keys::open(&keys_file(dir.path()), root).unwrap();
        let [asset, session] = [1, 2].map(B256::repeat_byte);
        keys.import(asset, &ContentKey::generate().unwrap(), 1)
            .unwrap();
        let journal = Journal::open(&journal_file(dir.path())).unwrap();
        let mut books = Books { keys, journal };
        let mut request = Request {
            order: B256::ZERO,
            asset,
            session,
            signature: String::new(),
        };
        assert_eq!(books.check(&request), Ok(()));
        let released = Answer::Released {
            evidence: B256::ZERO,
        };
        books
            .journal
            .append(5, (request.order, asset, session), released)
            .unwrap();
        assert_eq!(books.check(&request).unwrap_err().code(), "replayed");
        // Another order does not make it another session.
        request.order = B256::repeat_byte(9);
        assert_eq!(books.check(&request).unwrap_err().code(), "replayed");
        request.session = B256::repeat_byte(3);
        assert_eq!(books.check(&request), Ok(()));
        // Revoked by another process, as the command does it.
        let root = RootKey::load(&dir.path().join("root")).unwrap();
        Keys::open(&keys_file(dir.path()), root)
            .unwrap()
            .revoke(asset, 7)
            .unwrap();
        assert_eq!(books.check(&request).unwrap_err().code(), "revoked");
        request.asset = B256::ZERO;
        assert_eq!(books.check(&request).unwrap_err().code(), "unknown_asset");
    }
}
