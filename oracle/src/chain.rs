//! The chain as intake sees it: headers and logs. Behind a trait, so that reorganisations can be
//! played in tests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::Filter;
use alloy::transports::{RpcError, TransportErrorKind};
use tokio_util::sync::CancellationToken;
use vouch_client::{Deployment, Error, Market, connect};

use crate::pipeline::backoff;
use crate::store::model::BlockRef;
use crate::survey::Findings;

/// Waits after each time that no endpoint answered.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(160),
];

/// A block and its parent's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The block.
    pub block: BlockRef,
    /// Hash of the block before it.
    pub parent: B256,
}

/// A log of the escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLog {
    /// Number of its block.
    pub number: u64,
    /// Hash of its block.
    pub hash: B256,
    /// Position in the block.
    pub index: u64,
    /// Its transaction.
    pub tx: B256,
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
}

/// Why the chain did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No endpoint answered; the last one's error.
    #[error("no endpoint answered, the last one: {0}")]
    Endpoints(#[from] vouch_client::Error),
    /// An endpoint took too long.
    #[error("endpoint did not answer within {0:?}")]
    Timeout(Duration),
    /// An answer lacks a field.
    #[error("log without {0}")]
    Incomplete(&'static str),
    /// Endpoints contradict one another.
    #[error("endpoints show different chains, and none has a majority")]
    Disagreement,
}

/// Where blocks and logs come from.
pub trait Chain: Send + Sync {
    /// The newest block.
    fn head(&self) -> impl Future<Output = Result<Header, ChainError>> + Send;
    /// A block by number; none where the chain is shorter.
    fn block(&self, number: u64)
    -> impl Future<Output = Result<Option<Header>, ChainError>> + Send;
    /// The escrow's logs in the blocks `from..=to`.
    fn logs(
        &self,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Vec<RawLog>, ChainError>> + Send;
}

/// One way to the chain.
#[derive(Debug)]
struct Endpoint {
    name: String,
    url: String,
    /// None while it is down, or shows another market.
    provider: RwLock<Option<DynProvider>>,
    /// It lags, or shows another chain than the others.
    left: AtomicBool,
}

impl Endpoint {
    fn provider(&self) -> Option<DynProvider> {
        let provider = self.provider.read();
        provider.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, provider: Option<DynProvider>) {
        let slot = self.provider.write();
        *slot.unwrap_or_else(PoisonError::into_inner) = provider;
    }
}

/// The chain through one or more endpoints: the one that answered last is asked first.
#[derive(Debug)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    /// They show different chains, and nobody can say which is right.
    doubt: AtomicBool,
    escrow: Address,
    timeout: Duration,
}

impl Endpoints {
    /// Endpoints, of which there is at least one: name, URL and, where it answered already, provider.
    pub fn new(
        endpoints: Vec<(String, String, Option<DynProvider>)>,
        escrow: Address,
        timeout: Duration,
    ) -> Self {
        let endpoint = |(name, url, provider)| Endpoint {
            name,
            url,
            provider: RwLock::new(provider),
            left: AtomicBool::new(false),
        };
        Self {
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            current: AtomicUsize::new(0),
            doubt: AtomicBool::new(false),
            escrow,
            timeout,
        }
    }

    /// The endpoint that is asked first.
    pub fn current(&self) -> Option<DynProvider> {
        self.in_turn().find_map(|(_, endpoint)| endpoint.provider())
    }

    /// Those that are not left, the one that answered last before the others.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.current.load(Ordering::Relaxed);
        let all = self.endpoints.iter().enumerate().cycle().skip(first);
        let all = all.take(self.endpoints.len());
        all.filter(|(_, endpoint)| !endpoint.left.load(Ordering::Relaxed))
    }

    /// Every endpoint's newest block, or its block of a height; none where it does not answer.
    pub(crate) async fn views(&self, height: Option<u64>) -> Vec<Option<BlockRef>> {
        let id = height.map_or(BlockId::latest(), Into::into);
        let views = self.endpoints.iter().map(|endpoint| async move {
            let provider = endpoint.provider()?;
            let asked = tokio::time::timeout(self.timeout, async { provider.get_block(id).await });
            asked.await.ok()?.ok()?.as_ref().map(block_ref)
        });
        futures::future::join_all(views).await
    }

    /// Takes over what a survey found.
    pub(crate) fn judge(&self, found: &Findings) {
        for (endpoint, fault) in self.endpoints.iter().zip(&found.faults) {
            let name = &endpoint.name;
            match (
                endpoint.left.swap(fault.is_some(), Ordering::Relaxed),
                fault,
            ) {
                (false, Some(fault)) => {
                    tracing::warn!(code = "endpoint_left", endpoint = name, %fault, "endpoint is left");
                }
                (true, None) => tracing::info!(endpoint = name, "endpoint is used again"),
                _ => {}
            }
        }
        if self.doubt.swap(found.doubt, Ordering::Relaxed) != found.doubt {
            match found.doubt {
                true => tracing::error!(
                    code = "endpoints_disagree",
                    "endpoints show different chains, and none has a majority: nothing is taken in"
                ),
                false => tracing::info!("endpoints agree again"),
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// One of them, by its place, where it is up.
    pub fn get(&self, index: usize) -> Option<DynProvider> {
        self.endpoints.get(index).and_then(Endpoint::provider)
    }

    /// Connects again, until cancelled, to whichever endpoint is down. One that shows another market
    /// than the deployment's is not used.
    pub async fn reconnect(&self, deployment: &Deployment, cancel: CancellationToken) {
        let mut failures = 0;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(backoff(failures)) => {}
            }
            let down = self.endpoints.iter().filter(|e| e.provider().is_none());
            let mut any = false;
            for endpoint in down {
                let connected = async {
                    let provider = connect(&endpoint.url, None).await?;
                    deployment.verify(&provider).await?;
                    Ok::<_, Error>(provider)
                };
                match tokio::time::timeout(self.timeout, connected).await {
                    Ok(Ok(provider)) => {
                        tracing::info!(endpoint = endpoint.name, "endpoint is up");
                        endpoint.set(Some(provider));
                    }
                    Ok(Err(error)) => {
                        any = true;
                        tracing::debug!(endpoint = endpoint.name, %error, "endpoint is down");
                    }
                    Err(_) => any = true,
                }
            }
            failures = if any { failures + 1 } else { 2 };
        }
    }

    /// The market as the endpoint that is asked first shows it.
    pub fn market(&self, market: &Market) -> Market {
        match self.current() {
            Some(provider) => market.with(provider),
            None => market.clone(),
        }
    }

    /// Asks the endpoints in turn, and again where none answered: what a network lost once, it brings
    /// the next time.
    async fn ask<T, F>(&self, question: impl Fn(DynProvider) -> F) -> Result<T, ChainError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut last = ChainError::Timeout(self.timeout);
        for wait in AGAIN {
            match self.ask_each(&question).await {
                Err(ChainError::Endpoints(error)) if is_transport(&error) => last = error.into(),
                done => return done,
            }
            tokio::time::sleep(wait).await;
        }
        Err(last)
    }

    async fn ask_each<T, F>(&self, question: impl Fn(DynProvider) -> F) -> Result<T, ChainError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut last = ChainError::Timeout(self.timeout);
        for (at, endpoint) in self.in_turn() {
            let Some(provider) = endpoint.provider() else {
                continue;
            };
            let name = &endpoint.name;
            match tokio::time::timeout(self.timeout, question(provider)).await {
                Ok(Ok(answer)) => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error)) => {
                    tracing::debug!(endpoint = name, %error, "endpoint failed");
                    if is_gone(&error) {
                        // Its connection will not come back by itself.
                        endpoint.set(None);
                    }
                    last = error.into();
                }
                Err(_) => {
                    tracing::debug!(endpoint = name, timeout = ?self.timeout, "endpoint timed out");
                    last = ChainError::Timeout(self.timeout);
                }
            }
        }
        Err(last)
    }

    async fn header(&self, id: BlockId) -> Result<Option<Header>, ChainError> {
        let block = self
            .ask(|provider| async move { Ok(provider.get_block(id).await?) })
            .await?;
        Ok(block.map(|block| Header {
            block: block_ref(&block),
            parent: block.header.parent_hash,
        }))
    }
}

fn block_ref(block: &alloy::rpc::types::Block) -> BlockRef {
    BlockRef {
        number: block.header.number,
        hash: block.header.hash,
        timestamp: block.header.timestamp,
    }
}

/// Whether the question or its answer got lost, rather than being answered with an error.
const fn is_transport(error: &Error) -> bool {
    matches!(
        error,
        Error::Rpc(RpcError::Transport(_) | RpcError::DeserError { .. } | RpcError::NullResp)
    )
}

/// Whether a WebSocket's backend has given up.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::Rpc(RpcError::Transport(kind)) => matches!(kind, TransportErrorKind::BackendGone),
        _ => false,
    }
}

impl Chain for Endpoints {
    async fn head(&self) -> Result<Header, ChainError> {
        if self.doubt.load(Ordering::Relaxed) {
            return Err(ChainError::Disagreement);
        }
        let head = self.header(BlockId::latest()).await?;
        head.ok_or(ChainError::Incomplete("newest block"))
    }

    async fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        self.header(BlockId::Number(BlockNumberOrTag::Number(number)))
            .await
    }

    async fn logs(&self, from: u64, to: u64) -> Result<Vec<RawLog>, ChainError> {
        let filter = Filter::new()
            .address(self.escrow)
            .from_block(from)
            .to_block(to);
        let filter = &filter;
        let logs = self
            .ask(|provider| async move { Ok(provider.get_logs(filter).await?) })
            .await?;
        let raw = |log: alloy::rpc::types::Log| {
            Ok(RawLog {
                number: log
                    .block_number
                    .ok_or(ChainError::Incomplete("block number"))?,
                hash: log.block_hash.ok_or(ChainError::Incomplete("block hash"))?,
                index: log.log_index.ok_or(ChainError::Incomplete("log index"))?,
                tx: log
                    .transaction_hash
                    .ok_or(ChainError::Incomplete("transaction hash"))?,
                topics: log.topics().to_vec(),
                data: log.data().data.clone(),
            })
        };
        // A log of another contract would be the endpoint's invention.
        logs.into_iter()
            .filter(|log| !log.removed && log.address() == self.escrow)
            .map(raw)
            .collect()
    }
}

impl<C: Chain> Chain for std::sync::Arc<C> {
    async fn head(&self) -> Result<Header, ChainError> {
        C::head(self).await
    }

    async fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        C::block(self, number).await
    }

    async fn logs(&self, from: u64, to: u64) -> Result<Vec<RawLog>, ChainError> {
        C::logs(self, from, to).await
    }
}
