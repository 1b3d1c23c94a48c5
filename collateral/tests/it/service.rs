//! A service on this machine that answers as a test tells it to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use vouch_collateral::{Addresses, Config, Fetcher, Request};
use vouch_evidence::Time;

/// One question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) target: String,
    pub(crate) method: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

type Answer = dyn Fn(usize, &Hit) -> Response<Body> + Send + Sync;

#[derive(Clone)]
struct Shared {
    hits: Arc<Mutex<Vec<Hit>>>,
    answer: Arc<Answer>,
}

pub(crate) struct Service {
    pub(crate) base: String,
    hits: Arc<Mutex<Vec<Hit>>>,
}

impl Service {
    /// Answers the n-th question, from 0, with `answer(n, question)`.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Hit) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let hits = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            hits: Arc::clone(&hits),
            answer: Arc::new(answer),
        };
        let app = Router::new().fallback(serve).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, hits }
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.hits.lock().len()
    }

    /// A fetcher for which this service is everybody, and that does not wait long.
    pub(crate) fn config(&self, cache: &Path) -> Config {
        let base = || self.base.clone();
        Config {
            addresses: Addresses {
                nvidia_rim: base(),
                nvidia_ocsp: base(),
                amd_kds: base(),
                intel_pcs: base(),
                intel_root: base(),
            },
            first_wait: Duration::from_millis(1),
            ..Config::new(cache.to_owned())
        }
    }

    pub(crate) fn fetcher(&self, cache: &Path) -> Fetcher {
        Fetcher::new(&self.config(cache)).unwrap()
    }
}

async fn serve(State(shared): State<Shared>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let hit = Hit {
        target: parts.uri.to_string(),
        method: parts.method.to_string(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
    };
    let number = {
        let mut hits = shared.hits.lock();
        hits.push(hit.clone());
        hits.len() - 1
    };
    (shared.answer)(number, &hit)
}

pub(crate) fn status(code: u16) -> Response<Body> {
    Response::builder()
        .status(code)
        .body(Body::from("an error page"))
        .unwrap()
}

pub(crate) fn with(name: &str, value: &str, mut response: Response<Body>) -> Response<Body> {
    let name: axum::http::HeaderName = name.parse().unwrap();
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

pub(crate) fn bytes(body: impl Into<Body>) -> Response<Body> {
    Response::new(body.into())
}

/// NVIDIA's answer with a manifest that is one in name only.
pub(crate) fn rim(id: &str, xml: &str) -> Response<Body> {
    let rim = STANDARD.encode(xml);
    bytes(serde_json::json!({ "id": id, "rim": rim, "sha256": "", "request_id": "1" }).to_string())
}

pub(crate) fn manifest(id: &str) -> Request {
    Request::Manifest(id.to_owned())
}

pub(crate) fn now() -> Time {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    Time::from_unix(seconds)
}
