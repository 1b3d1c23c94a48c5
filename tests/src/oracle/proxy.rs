//! Proxies between the oracle and what it depends on, for what networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy that is slow, and cuts its connections when told to.
#[derive(Debug)]
pub struct Tcp {
    address: SocketAddr,
    cuts: Arc<watch::Sender<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Tcp {
    /// Forwards to `target` (`host:port`), each piece of data late by `delay`.
    pub async fn start(target: String, delay: Duration) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), target, delay).await
    }

    /// The same at an address.
    pub async fn start_at(address: SocketAddr, target: String, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(address).await.context("a proxy's port")?;
        let address = listener.local_addr()?;
        let cuts = Arc::new(watch::Sender::new(0));
        let ends = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, mut cut) = (target.clone(), ends.subscribe());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(&target).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::select! {
                        _ = cut.changed() => {}
                        () = copy(near_in, far_out, delay) => {}
                        () = copy(far_in, near_out, delay) => {}
                    }
                });
            }
        });
        Ok(Self {
            address,
            cuts,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    delay: Duration,
) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                tokio::time::sleep(delay).await;
                if to.write_all(&piece[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What may happen to one JSON-RPC request or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is lost.
    Lost,
    /// The request is served, and its answer is lost.
    Unanswered,
    /// The answer comes late.
    Late,
    /// The request is served twice; the second answer comes.
    Twice,
    /// Half of the answer comes.
    Half,
    /// Something else comes.
    Garbage,
    /// The provider limits rates.
    TooMany,
    /// The provider breaks down.
    Broken,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Unanswered,
        Self::Late,
        Self::Twice,
        Self::Half,
        Self::Garbage,
        Self::TooMany,
        Self::Broken,
    ];
}

/// A proxy for JSON-RPC over HTTP that does one of [`Fault`] to a share of the requests.
#[derive(Debug)]
pub struct Rpc {
    address: SocketAddr,
    counts: Arc<Mutex<[usize; Fault::ALL.len()]>>,
    task: tokio::task::JoinHandle<()>,
}

impl Rpc {
    /// Forwards to `target` (a URL); `percent` of the requests meet a fault, which ones follows from
    /// `seed`.
    pub async fn start(target: String, percent: u32, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("a proxy's port")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Mutex::new([0; Fault::ALL.len()]));
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let counted = Arc::clone(&counts);
        let answer = move |body: Bytes| {
            let (http, target) = (http.clone(), target.clone());
            let (rng, counted) = (Arc::clone(&rng), Arc::clone(&counted));
            async move {
                let fault = {
                    let mut rng = rng.lock();
                    let hit = rng.random_range(0..100) < percent;
                    let which = rng.random_range(0..Fault::ALL.len());
                    hit.then(|| {
                        counted.lock()[which] += 1;
                        Fault::ALL[which]
                    })
                };
                serve(&http, &target, body, fault).await
            }
        };
        let app = Router::new().route("/", post(answer));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("a proxy ended: {error}");
            }
        });
        Ok(Self {
            address,
            counts,
            task,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each fault happened, in the order of [`Fault::ALL`].
    pub fn counts(&self) -> [usize; Fault::ALL.len()] {
        *self.counts.lock()
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    http: &reqwest::Client,
    target: &str,
    body: Bytes,
    fault: Option<Fault>,
) -> Response {
    let kind = [("content-type", "application/json")];
    let gateway = StatusCode::BAD_GATEWAY.into_response();
    match fault {
        Some(Fault::Lost) => return gateway,
        Some(Fault::Garbage) => return (kind, "{\"jsonrpc\": \u{1f525}").into_response(),
        Some(Fault::TooMany) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Fault::Broken) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Late) => tokio::time::sleep(Duration::from_millis(300)).await,
        _ => {}
    }
    let ask = async || {
        let request = http.post(target).header("content-type", "application/json");
        request.body(body.clone()).send().await?.bytes().await
    };
    if fault == Some(Fault::Twice) {
        let _ = ask().await;
    }
    match (ask().await, fault) {
        (Err(_), _) | (_, Some(Fault::Unanswered)) => gateway,
        (Ok(answer), Some(Fault::Half)) => (kind, answer.slice(..answer.len() / 2)).into_response(),
        (Ok(answer), _) => (kind, answer).into_response(),
    }
}
