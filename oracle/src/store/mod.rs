//! What survives a crash: cursor, events, jobs, verdicts, operators' signatures and the outbox.
//!
//! Every method that changes something is one atomic transaction, and checks first that the job still
//! stands where the caller believes: a step that was overtaken changes nothing. The rules are the same
//! on both backends: `RocksDB` in the process, or a `PostgreSQL` server that several daemons share.
//!
//! What is written survives the death of the process at once, and that of the machine in the order in
//! which it was written: nothing is there without what was before. So a step needs no disk to wait for;
//! after a power cut the last ones are taken again and come to the same. Only what is told to others
//! must not be forgotten: it is [`Durable`] first.

mod chain;
mod columns;
mod durable;
mod jobs;
pub mod model;
mod postgres;
mod rocks;
mod shares;

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::facts::Decided;
use columns::{Column, Direction, Meta, Row, Span, Tx};
use durable::Progress;
use model::{Closing, EventKey, Fact, Job, JobId, MetaValue};
use rocks::Rocks;

pub use durable::Durable;
pub use postgres::Seat;
pub use shares::Shared;

/// Which market a store belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MarketId {
    /// The chain.
    pub chain_id: u64,
    /// The escrow.
    #[schema(value_type = crate::schema::Account)]
    pub escrow: Address,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The embedded database failed.
    #[error("store: {0}")]
    Database(#[from] rocksdb::Error),
    /// A write had failed, and the database could not be opened again since.
    #[error("store: closed after a failed write; it is opened again with the next")]
    Closed,
    /// The `PostgreSQL` server failed.
    #[error("store: PostgreSQL: {0}")]
    Server(String),
    /// The `PostgreSQL` server is not there, is just starting or stopping, or has too much to do.
    #[error("store: PostgreSQL does not answer: {0}")]
    Away(String),
    /// Another daemon leads now: what this one was about to write as leader is not written.
    #[error("store: another daemon leads (term {found}, this one's was {held})")]
    Deposed {
        /// This daemon's term.
        held: u64,
        /// The present term.
        found: u64,
    },
    /// The directory cannot be used.
    #[error("store: {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store was made for another market.
    #[error(
        "store {place}: made for escrow {} on chain id {}, expected escrow {} on chain id {}; use another store",
        found.escrow, found.chain_id, expected.escrow, expected.chain_id
    )]
    OtherMarket {
        /// Which.
        place: String,
        /// Configured.
        expected: MarketId,
        /// In the store.
        found: MarketId,
    },
    /// A value could not be written.
    #[error("store: column {column}: {source}")]
    Encode {
        /// The column.
        column: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A value could not be read.
    #[error("store: column {column} holds something else: {source}")]
    Decode {
        /// The column.
        column: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A key could not be read.
    #[error("store: column {column} has a key of another shape")]
    Key {
        /// The column.
        column: &'static str,
    },
    /// The database lacks a column.
    #[error("store: column {column} is missing")]
    ColumnMissing {
        /// The column.
        column: &'static str,
    },
    /// The job is gone, or stands elsewhere than the caller believes.
    #[error("job {id}: expected stage {expected}, found {found}")]
    Overtaken {
        /// The job.
        id: Box<JobId>,
        /// What the caller believed.
        expected: &'static str,
        /// The stage in the store, or `none`.
        found: &'static str,
    },
    /// The range does not follow the cursor.
    #[error("store: expected blocks from {expected}, found {found}")]
    Gap {
        /// The block after the cursor.
        expected: u64,
        /// The first block offered.
        found: u64,
    },
}

/// What one range of blocks brought.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// Events of the escrow, in the order of the chain.
    pub events: Vec<(EventKey, Fact)>,
    /// Jobs that are announced by them.
    pub jobs: Vec<Job>,
    /// What they decide: order, which of its jobs, how.
    pub closings: Vec<(B256, Decided, Closing)>,
}

/// What is done in one transaction.
type Work<'a> = dyn FnMut(&mut Tx<'_>) -> Result<(), StoreError> + 'a;

/// Where rows are kept.
trait Backend: std::fmt::Debug + Send + Sync {
    /// Reads: each row, and each list of rows, as it is when it is asked for.
    fn read(&self, work: &mut Work<'_>) -> Result<(), StoreError>;

    /// Reads and writes what concerns one order: everything or nothing, and after everything that was written
    /// before. `work` may be called again where another writer came between.
    fn write(&self, about: B256, work: &mut Work<'_>) -> Result<(), StoreError>;

    /// The same of any orders, for what only the leader may write.
    fn lead(&self, work: &mut Work<'_>) -> Result<(), StoreError>;

    /// Returns once the disk has everything that was written before.
    fn sync(&self) -> Result<(), StoreError>;

    /// The server, where several daemons share it.
    fn shared(&self) -> Option<&postgres::Postgres> {
        None
    }
}

/// Rows read at a time where all are gone through.
const PAGE: usize = 512;

/// The store.
#[derive(Debug)]
pub struct Store {
    backend: Box<dyn Backend>,
    progress: Progress,
}

impl Store {
    /// Opens the embedded store of a market, making it where there is none.
    ///
    /// # Errors
    /// [`StoreError::OtherMarket`] for a store of another market; [`StoreError::Database`] where
    /// another process has it open.
    pub fn open(path: &Path, market: MarketId) -> Result<Self, StoreError> {
        let backend = Box::new(Rocks::open(path)?);
        Self::on(backend).of(market, &path.display().to_string())
    }

    /// Opens a store to look at, also while a daemon has it open.
    ///
    /// # Errors
    /// [`StoreError::Database`] where there is none.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::on(Box::new(Rocks::open_to_read(path)?)))
    }

    fn on(backend: Box<dyn Backend>) -> Self {
        let progress = Progress::default();
        Self { backend, progress }
    }

    /// The store, where it is the market's or nobody's yet.
    fn of(self, market: MarketId, place: &str) -> Result<Self, StoreError> {
        let found = self.write(B256::ZERO, |tx| {
            if let Some(MetaValue::Market(found)) = tx.get::<Meta>(&"market".into())? {
                return Ok(found);
            }
            tx.put::<Meta>(&"market".into(), &MetaValue::Market(market))?;
            Ok(market)
        })?;
        if found != market {
            let (place, expected) = (place.to_owned(), market);
            return Err(StoreError::OtherMarket {
                place,
                expected,
                found,
            });
        }
        Ok(self)
    }

    /// The market the store belongs to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn market(&self) -> Result<Option<MarketId>, StoreError> {
        Ok(match self.get::<Meta>(&"market".into())? {
            Some(MetaValue::Market(market)) => Some(market),
            _ => None,
        })
    }

    fn get<C: Column>(&self, key: &C::Key) -> Result<Option<C::Value>, StoreError> {
        self.read(|tx| tx.get::<C>(key))
    }

    fn all<C: Column>(&self, prefix: &[u8]) -> Result<Vec<Row<C>>, StoreError> {
        self.read(|tx| tx.all::<C>(prefix))
    }

    /// Every row of a column, read page by page.
    fn pages<'a, C: Column>(
        &'a self,
        direction: Direction,
    ) -> impl Iterator<Item = Result<Row<C>, StoreError>> + 'a
    where
        C::Key: 'a,
        C::Value: 'a,
    {
        let mut page = Vec::new().into_iter();
        let mut after: Option<Vec<u8>> = None;
        let mut last = false;
        std::iter::from_fn(move || {
            if let Some(row) = page.next() {
                return Some(Ok(row));
            }
            if last {
                return None;
            }
            let span = Span {
                prefix: &[],
                after: after.as_deref(),
                direction,
                limit: PAGE,
            };
            match self.read(|tx| tx.some::<C>(span)) {
                Ok(rows) => {
                    last = rows.len() < PAGE;
                    after = rows.last().map(|(key, _)| columns::Key::to_bytes(key));
                    page = rows.into_iter();
                    page.next().map(Ok)
                }
                Err(error) => {
                    last = true;
                    Some(Err(error))
                }
            }
        })
    }

    fn read<T>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut done = None;
        self.backend.read(&mut |tx| {
            done = Some(work(tx)?);
            Ok(())
        })?;
        done.ok_or_else(nothing_done)
    }

    fn write<T>(
        &self,
        about: B256,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut done = None;
        self.backend.write(about, &mut |tx| {
            done = Some(work(tx)?);
            Ok(())
        })?;
        self.progress.wrote();
        done.ok_or_else(nothing_done)
    }

    fn lead<T>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut done = None;
        self.backend.lead(&mut |tx| {
            done = Some(work(tx)?);
            Ok(())
        })?;
        self.progress.wrote();
        done.ok_or_else(nothing_done)
    }
}

/// A backend that returned without having done the work.
fn nothing_done() -> StoreError {
    StoreError::Server("the transaction was not run".into())
}

#[cfg(test)]
mod tests;
