//! Sends own signatures to the other operators and takes theirs in. One task for each peer, so that
//! one who is down or slow costs the others nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use vouch_client::Market;

use super::{MAX_MESSAGE_BYTES, MAX_SHARES, Message, Operators, Refused};
use crate::chain::Endpoints;
use crate::keys::Keyring;
use crate::metrics::Metrics;
use crate::pipeline::backoff;
use crate::store::model::{JobId, Stage};
use crate::store::{Durable, Shared, Store, StoreError};
use crate::time::now_ms;

/// How often all open jobs are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a peer is asked again about a job that still lacks a quorum.
const REPEAT: Duration = Duration::from_secs(2);

/// Signatures of this daemon that a peer may be behind with, before all open jobs are looked at for it.
const NEWS: usize = 4096;

/// Another operator's daemon.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address as configured.
    pub url: reqwest::Url,
}

/// How a peer is doing.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct PeerState {
    /// Its address as configured.
    pub url: String,
    /// When it answered last, in Unix milliseconds.
    pub answered_at_ms: Option<u64>,
    /// What went wrong since.
    pub trouble: Option<String>,
}

/// The body of `POST /v1/signatures`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Signatures, at most [`MAX_SHARES`].
    #[schema(max_items = 64)]
    pub shares: Vec<Message>,
}

/// What became of one signature that was sent.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Received {
    /// `new`, `known`, `equivocated`, or why it was refused.
    pub status: String,
    /// Why, in words.
    #[serde(default)]
    pub message: String,
}

/// The answer to [`Shares`].
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// One for each signature that was sent.
    pub results: Vec<Received>,
    /// What the answering operator knows of the same jobs.
    pub shares: Vec<Message>,
}

/// Takes signatures in, and sends this daemon's.
#[derive(Debug)]
pub struct Exchange {
    store: Arc<Store>,
    market: Market,
    endpoints: Arc<Endpoints>,
    operators: Arc<Operators>,
    keys: Arc<Keyring>,
    metrics: Arc<Metrics>,
    /// Told of jobs with new signatures.
    jobs: mpsc::Sender<JobId>,
    /// Jobs that this daemon has signed, for the peers.
    news: broadcast::Sender<JobId>,
    peers: Mutex<Vec<PeerState>>,
}

impl Exchange {
    /// The exchange of a daemon that signs with `keys`.
    pub fn new(
        store: Arc<Store>,
        market: Market,
        endpoints: Arc<Endpoints>,
        keys: Arc<Keyring>,
        metrics: Arc<Metrics>,
        jobs: mpsc::Sender<JobId>,
    ) -> Self {
        Self {
            store,
            market,
            endpoints,
            operators: Arc::default(),
            keys,
            metrics,
            jobs,
            news: broadcast::Sender::new(NEWS),
            peers: Mutex::default(),
        }
    }

    /// Who the operators are.
    pub fn operators(&self) -> &Operators {
        &self.operators
    }

    /// The addresses this daemon signs with.
    pub fn own(&self) -> Vec<Address> {
        self.keys.now().operators()
    }

    /// How the peers are doing.
    pub fn peers(&self) -> Vec<PeerState> {
        self.states().clone()
    }

    /// This daemon has signed a job's verdict.
    pub fn tell(&self, signed: &Durable<JobId>) {
        // Nobody listens where there are no peers.
        let _ = self.news.send(*signed.get());
    }

    /// Takes in what another operator sent, and answers with what is known of the same jobs.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn receive(&self, shares: Vec<Message>) -> Result<Answer, StoreError> {
        let mut results = Vec::with_capacity(shares.len());
        let mut jobs: Vec<JobId> = Vec::new();
        for message in shares.into_iter().take(MAX_SHARES) {
            let id = message.job;
            results.push(match self.take(message).await? {
                Ok(shared) => {
                    if !jobs.contains(&id) {
                        jobs.push(id);
                    }
                    let status = match shared {
                        Shared::Known => "known",
                        Shared::Equivocated => "equivocated",
                        _ => "new",
                    };
                    Received {
                        status: status.to_owned(),
                        message: String::new(),
                    }
                }
                Err(refused) => Received {
                    status: refused.code().to_owned(),
                    message: refused.to_string(),
                },
            });
        }
        let mut known = Vec::new();
        for id in jobs {
            let shares = self.store.shares(&id)?;
            known.extend(shares.into_iter().map(|share| Message::of(id, share)));
        }
        known.truncate(MAX_SHARES);
        // Own signatures may be among them, and whoever is told of one keeps it.
        let answer = Answer {
            results,
            shares: known,
        };
        Ok(self.store.durable(answer).await?.into_inner())
    }

    /// Checks one signature and keeps it.
    async fn take(&self, message: Message) -> Result<Result<Shared, Refused>, StoreError> {
        let refuse = |refused: Refused| {
            self.metrics.share_refused(&refused);
            tracing::debug!(code = refused.code(), %refused, "signature refused");
            Ok(Err(refused))
        };
        if self.is_kept(&message)? {
            return Ok(Ok(Shared::Known));
        }
        let (id, share) = match message.check(&self.market.domain()) {
            Ok(checked) => checked,
            Err(refused) => return refuse(refused),
        };
        // Before the chain is asked: what nobody waits for costs one read.
        if self.store.job(&id)?.is_none() {
            return refuse(Refused::NoJob);
        }
        let market = self.endpoints.market(&self.market);
        match self.operators.is_operator(&market, share.signer).await {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return refuse(Refused::NotOperator),
            Ok(None) => return refuse(Refused::Busy),
            Err(error) => {
                tracing::debug!(%error, "operators cannot be asked for");
                return refuse(Refused::Busy);
            }
        }
        let shared = self.store.share(&id, &share)?;
        match shared {
            Shared::New => {
                tracing::info!(job = %id, signer = %share.signer, digest = %share.digest, "signature taken in");
                // Full only when jobs are being looked at anyway.
                let _ = self.jobs.try_send(id);
            }
            Shared::Known => {}
            Shared::Equivocated => {
                self.metrics.equivocated();
                tracing::error!(
                    code = "equivocation", job = %id, signer = %share.signer, digest = %share.digest,
                    "an operator signed two verdicts about the same evidence; see /v1/equivocations"
                );
            }
            Shared::NoJob => return refuse(Refused::NoJob),
            Shared::OtherBlock => return refuse(Refused::OtherBlock),
        }
        Ok(Ok(shared))
    }

    /// Whether a message is one that was checked and kept before, as most are that peers answer with.
    fn is_kept(&self, message: &Message) -> Result<bool, StoreError> {
        let shares = self.store.shares(&message.job)?.into_iter();
        let mut kept = shares.map(|share| Message::of(message.job, share));
        if !kept.any(|kept| kept == *message) {
            return Ok(false);
        }
        // Unless a reorganisation moved the announcement since.
        let job = self.store.job(&message.job)?;
        Ok(job.is_some_and(|job| job.block.hash == message.block))
    }

    /// Talks to every peer until cancelled. `http` says whom to believe that it is a peer, and how long one may take.
    pub async fn run(
        self: Arc<Self>,
        peers: Vec<Peer>,
        http: reqwest::ClientBuilder,
        cancel: CancellationToken,
    ) {
        *self.states() = peers
            .iter()
            .map(|peer| PeerState {
                url: peer.url.to_string(),
                ..Default::default()
            })
            .collect();
        let http = http
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        let http = match http {
            Ok(http) => http,
            Err(error) => {
                tracing::error!(code = "exchange_failed", %error, "no signatures are exchanged");
                return;
            }
        };
        let talks = peers
            .iter()
            .enumerate()
            .map(|(index, peer)| self.talk(index, peer, &http));
        tokio::select! {
            () = cancel.cancelled() => {}
            _ = futures::future::join_all(talks) => {}
        }
    }

    async fn talk(&self, index: usize, peer: &Peer, http: &reqwest::Client) {
        let mut news = self.news.subscribe();
        // When the peer was told of each open job.
        let mut told: HashMap<JobId, Instant> = HashMap::new();
        let mut failures = 0;
        // What to look at: all that are open where it is nothing in particular.
        let mut signed: Option<Vec<JobId>> = None;
        let mut look = tokio::time::Instant::now() + LOOK;
        loop {
            match self.round(peer, http, &mut told, signed.take()).await {
                Ok(()) => {
                    failures = 0;
                    self.note(index, None);
                }
                Err(trouble) => {
                    let wait = backoff(failures);
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(code = "peer_failed", peer = %peer.url, trouble, "peer does not answer");
                    }
                    self.note(index, Some(trouble));
                    // News do not hurry a peer that is down.
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            tokio::select! {
                biased;
                () = sleep_until(look) => look = tokio::time::Instant::now() + LOOK,
                jobs = heard(&mut news) => signed = jobs,
            }
        }
    }

    /// Tells a peer what it has not been told about `signed` jobs, or about all, in as many messages as that takes.
    async fn round(
        &self,
        peer: &Peer,
        http: &reqwest::Client,
        told: &mut HashMap<JobId, Instant>,
        signed: Option<Vec<JobId>>,
    ) -> Result<(), String> {
        let failed = |error: StoreError| error.to_string();
        let jobs = match signed {
            Some(signed) => {
                // Perhaps anew, after a reorganisation.
                signed.iter().for_each(|id| {
                    told.remove(id);
                });
                signed
            }
            None => {
                let open = self.store.open_jobs().map_err(failed)?;
                told.retain(|id, _| open.binary_search(id).is_ok());
                open
            }
        };
        let mine = self.own();
        let mut batch: Vec<Message> = Vec::new();
        for id in jobs {
            if let Some(at) = told.get(&id) {
                let waiting = at.elapsed() >= REPEAT
                    && self
                        .store
                        .job(&id)
                        .map_err(failed)?
                        .is_some_and(|job| job.stage == Stage::Verified);
                if !waiting {
                    continue;
                }
            }
            let shares = self.store.shares(&id).map_err(failed)?.into_iter();
            let own = shares.filter(|share| mine.contains(&share.signer));
            batch.extend(own.map(|share| Message::of(id, share)));
            if batch.len() + mine.len() > MAX_SHARES {
                let full = self.store.durable(std::mem::take(&mut batch)).await;
                self.send(peer, http, full.map_err(failed)?, told).await?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let rest = self.store.durable(batch).await.map_err(failed)?;
        self.send(peer, http, rest, told).await
    }

    async fn send(
        &self,
        peer: &Peer,
        http: &reqwest::Client,
        shares: Durable<Vec<Message>>,
        told: &mut HashMap<JobId, Instant>,
    ) -> Result<(), String> {
        let shares = shares.into_inner();
        let jobs: Vec<JobId> = shares.iter().map(|message| message.job).collect();
        let url = peer.url.join("v1/signatures").map_err(|e| e.to_string())?;
        let request = http.post(url).json(&Shares { shares });
        let response = request.send().await.map_err(|e| e.to_string())?;
        if !response.status().is_success() {
            return Err(format!("HTTP status {}", response.status()));
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|e| e.to_string())?);
            if bytes.len() > MAX_MESSAGE_BYTES {
                return Err(format!("answers with over {MAX_MESSAGE_BYTES} bytes"));
            }
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        for (id, result) in jobs.into_iter().zip(&answer.results) {
            match result.status.as_str() {
                "new" | "known" => {
                    told.insert(id, Instant::now());
                }
                // It may not have seen the block yet: told again when jobs are looked at next.
                "job_unknown" | "other_block" | "busy" => {}
                status => {
                    tracing::warn!(code = "peer_refused", peer = %peer.url, job = %id, status, message = result.message, "peer refuses our signature");
                    told.insert(id, Instant::now());
                }
            }
        }
        for message in answer.shares.into_iter().take(MAX_SHARES) {
            self.take(message).await.map_err(|e| e.to_string())?.ok();
        }
        Ok(())
    }

    fn note(&self, index: usize, trouble: Option<String>) {
        if let Some(state) = self.states().get_mut(index) {
            if trouble.is_none() {
                state.answered_at_ms = Some(now_ms());
            }
            state.trouble = trouble;
        }
    }

    fn states(&self) -> MutexGuard<'_, Vec<PeerState>> {
        // For people to look at: half an update is still an update.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs that were signed since the last time, once there are any; nothing in particular where there were too many.
async fn heard(news: &mut broadcast::Receiver<JobId>) -> Option<Vec<JobId>> {
    let mut jobs = match news.recv().await {
        Ok(first) => vec![first],
        Err(RecvError::Lagged(_)) => return None,
        // Not while the exchange is there.
        Err(RecvError::Closed) => return std::future::pending().await,
    };
    loop {
        match news.try_recv() {
            Ok(job) => jobs.push(job),
            Err(TryRecvError::Lagged(_)) => return None,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(jobs),
        }
    }
}
