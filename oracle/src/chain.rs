//! The chain as intake sees it: headers and logs. Behind a trait, so that reorganisations can be
//! played in tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::Filter;

use crate::store::model::BlockRef;

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

/// The chain through one or more endpoints: the one that answered last is asked first.
#[derive(Debug)]
pub struct Endpoints {
    providers: Vec<(String, DynProvider)>,
    current: AtomicUsize,
    escrow: Address,
    timeout: Duration,
}

impl Endpoints {
    /// Endpoints by name, of which there is at least one.
    pub fn new(providers: Vec<(String, DynProvider)>, escrow: Address, timeout: Duration) -> Self {
        Self {
            providers,
            current: AtomicUsize::new(0),
            escrow,
            timeout,
        }
    }

    /// The endpoint that is asked first.
    pub fn current(&self) -> Option<&(String, DynProvider)> {
        self.providers.get(self.current.load(Ordering::Relaxed))
    }

    async fn ask<T, F>(&self, question: impl Fn(DynProvider) -> F) -> Result<T, ChainError>
    where
        F: Future<Output = Result<T, vouch_client::Error>>,
    {
        let first = self.current.load(Ordering::Relaxed);
        let mut last = ChainError::Timeout(self.timeout);
        for i in 0..self.providers.len() {
            let at = first.wrapping_add(i) % self.providers.len();
            let Some((name, provider)) = self.providers.get(at) else {
                continue;
            };
            match tokio::time::timeout(self.timeout, question(provider.clone())).await {
                Ok(Ok(answer)) => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error)) => {
                    tracing::debug!(endpoint = name, %error, "endpoint failed");
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
            block: BlockRef {
                number: block.header.number,
                hash: block.header.hash,
                timestamp: block.header.timestamp,
            },
            parent: block.header.parent_hash,
        }))
    }
}

impl Chain for Endpoints {
    async fn head(&self) -> Result<Header, ChainError> {
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
