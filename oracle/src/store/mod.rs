//! What survives a crash: cursor, events, jobs, verdicts and the outbox, in `RocksDB`.
//!
//! Every method that changes something is one atomic, synced write batch, and checks first that the
//! job still stands where the caller believes: a step that was overtaken changes nothing.

mod columns;
pub mod model;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use alloy::primitives::{Address, B256};
use rocksdb::{ColumnFamilyDescriptor, DB, Direction, Options};
use serde::{Deserialize, Serialize};

use columns::{Batch, Blocks, Events, Evidence, Jobs, Meta, NAMES, Outbox, Verdicts, get, scan};
use model::{
    BlockRef, Checkpoint, Closing, EventKey, EvidenceMeta, Fact, Flight, Job, JobId, MetaValue,
    Mined, OutboxEntry, Stage, StoredVerdict, Trouble,
};

/// Which market a store belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketId {
    /// The chain.
    pub chain_id: u64,
    /// The escrow.
    pub escrow: Address,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database failed.
    #[error("store: {0}")]
    Database(#[from] rocksdb::Error),
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
        "store {}: made for escrow {} on chain id {}, expected escrow {} on chain id {}; use another store.dir",
        path.display(), found.escrow, found.chain_id, expected.escrow, expected.chain_id
    )]
    OtherMarket {
        /// The directory.
        path: PathBuf,
        /// Configured.
        expected: MarketId,
        /// In the store.
        found: MarketId,
    },
    /// A value could not be written.
    #[error("store: column {column}: {source}")]
    Encode {
        /// The column family.
        column: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A value could not be read.
    #[error("store: column {column} holds something else: {source}")]
    Decode {
        /// The column family.
        column: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A key could not be read.
    #[error("store: column {column} has a key of another shape")]
    Key {
        /// The column family.
        column: &'static str,
    },
    /// The database lacks a column family.
    #[error("store: column {column} is missing")]
    ColumnMissing {
        /// The column family.
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
    /// Phases that they decide: order, phase (both where none), how.
    pub closings: Vec<(B256, Option<vouch_protocol::Phase>, Closing)>,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    db: DB,
    /// Held while a change is prepared and written.
    writer: Mutex<()>,
}

impl Store {
    /// Opens the store of a market, making it where there is none.
    ///
    /// # Errors
    /// [`StoreError::OtherMarket`] for a store of another market; [`StoreError::Database`] where
    /// another process has it open.
    pub fn open(path: &Path, market: MarketId) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_keep_log_file_num(4);
        let families = NAMES
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(*name, Options::default()));
        let store = Self {
            db: DB::open_cf_descriptors(&options, path, families)?,
            writer: Mutex::new(()),
        };
        match store.market()? {
            None => {
                let mut batch = Batch::new(&store.db);
                batch.put::<Meta>(&"market".into(), &MetaValue::Market(market))?;
                batch.commit()?;
            }
            Some(found) if found != market => {
                let (path, expected) = (path.to_owned(), market);
                return Err(StoreError::OtherMarket {
                    path,
                    expected,
                    found,
                });
            }
            Some(_) => {}
        }
        Ok(store)
    }

    /// Opens a store to look at, also while a daemon has it open.
    ///
    /// # Errors
    /// [`StoreError::Database`] where there is none.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let db = DB::open_cf_for_read_only(&Options::default(), path, NAMES, false)?;
        Ok(Self {
            db,
            writer: Mutex::new(()),
        })
    }

    /// The market the store belongs to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn market(&self) -> Result<Option<MarketId>, StoreError> {
        Ok(match get::<Meta>(&self.db, &"market".into())? {
            Some(MetaValue::Market(market)) => Some(market),
            _ => None,
        })
    }

    /// The last block that was taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cursor(&self) -> Result<Option<BlockRef>, StoreError> {
        Ok(match get::<Meta>(&self.db, &"cursor".into())? {
            Some(MetaValue::Cursor(block)) => Some(block),
            _ => None,
        })
    }

    /// Takes in what the blocks after the cursor up to `end` brought.
    ///
    /// # Errors
    /// [`StoreError::Gap`] unless `start` follows the cursor.
    pub fn take_in(
        &self,
        start: u64,
        end: BlockRef,
        intake: Intake,
    ) -> Result<Vec<JobId>, StoreError> {
        let _writer = self.lock();
        if let Some(cursor) = self.cursor()?
            && cursor.number + 1 != start
        {
            return Err(StoreError::Gap {
                expected: cursor.number + 1,
                found: start,
            });
        }
        let mut batch = Batch::new(&self.db);
        let mut checkpoints = vec![Checkpoint {
            block: end,
            events: Vec::new(),
        }];
        for (key, fact) in intake.events {
            let at = fact.block;
            match checkpoints.iter_mut().find(|c| c.block == at) {
                Some(checkpoint) => checkpoint.events.push(key),
                None => checkpoints.push(Checkpoint {
                    block: at,
                    events: vec![key],
                }),
            }
            batch.put::<Events>(&key, &fact)?;
        }
        for checkpoint in &checkpoints {
            batch.put::<Blocks>(&checkpoint.block.number, checkpoint)?;
        }
        let mut touched: Vec<Job> = Vec::new();
        for job in intake.jobs {
            // Announced twice: the first announcement counts.
            if self.job(&job.id)?.is_none() && touched.iter().all(|other| other.id != job.id) {
                touched.push(job);
            }
        }
        for (order, phase, closing) in intake.closings {
            for job in self.jobs_of(order)? {
                if touched.iter().all(|other| other.id != job.id) {
                    touched.push(job);
                }
            }
            for job in touched.iter_mut().filter(|job| job.id.order == order) {
                let concerned = phase.is_none_or(|phase| job.id.phase.0 == phase);
                if concerned && !job.stage.is_over() {
                    job.stage = Stage::Final(closing.clone());
                    self.release(&mut batch, &job.id)?;
                }
            }
        }
        for job in &touched {
            batch.put::<Jobs>(&job.id, job)?;
        }
        batch.put::<Meta>(&"cursor".into(), &MetaValue::Cursor(end))?;
        batch.commit()?;
        Ok(touched.into_iter().map(|job| job.id).collect())
    }

    /// Forgets every block after `to`, which is a checkpoint (or none, to forget all): events and
    /// announcements vanish, decisions are undone. Returns the jobs that are open again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn roll_back(&self, to: Option<BlockRef>) -> Result<Vec<JobId>, StoreError> {
        let _writer = self.lock();
        let keeps = |number: u64| to.is_some_and(|to| number <= to.number);
        let mut batch = Batch::new(&self.db);
        let mut orders = Vec::new();
        for row in scan::<Blocks>(&self.db, &[], Direction::Reverse)? {
            let (number, checkpoint) = row?;
            if keeps(number) {
                break;
            }
            for key in &checkpoint.events {
                batch.delete::<Events>(key)?;
                orders.push(key.order);
            }
            batch.delete::<Blocks>(&number)?;
        }
        orders.sort_unstable();
        orders.dedup();
        let mut reopened = Vec::new();
        for order in orders {
            for mut job in self.jobs_of(order)? {
                if !keeps(job.block.number) {
                    batch.delete::<Jobs>(&job.id)?;
                    batch.delete::<Verdicts>(&job.id)?;
                    self.release(&mut batch, &job.id)?;
                } else if let Stage::Final(closing) = &job.stage
                    && !keeps(closing.block.number)
                {
                    job.stage = self.stage_reached(&job.id)?;
                    job.mined = None;
                    batch.put::<Jobs>(&job.id, &job)?;
                    reopened.push(job.id);
                }
            }
        }
        match to {
            Some(block) => batch.put::<Meta>(&"cursor".into(), &MetaValue::Cursor(block))?,
            None => batch.delete::<Meta>(&"cursor".into())?,
        }
        batch.commit()?;
        Ok(reopened)
    }

    /// Checkpoints, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoints(
        &self,
    ) -> Result<impl Iterator<Item = Result<BlockRef, StoreError>> + '_, StoreError> {
        let rows = scan::<Blocks>(&self.db, &[], Direction::Reverse)?;
        Ok(rows.map(|row| row.map(|(_, checkpoint)| checkpoint.block)))
    }

    /// Forgets the hashes of blocks older than `before`: they are final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&self, before: u64) -> Result<(), StoreError> {
        let _writer = self.lock();
        let mut batch = Batch::new(&self.db);
        let mut any = false;
        for row in scan::<Blocks>(&self.db, &[], Direction::Forward)? {
            let (number, _) = row?;
            if number >= before {
                break;
            }
            batch.delete::<Blocks>(&number)?;
            any = true;
        }
        if any { batch.commit() } else { Ok(()) }
    }

    /// Events of an order, in the order of the chain.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn facts(&self, order: B256) -> Result<Vec<Fact>, StoreError> {
        scan::<Events>(&self.db, order.as_slice(), Direction::Forward)?
            .map(|row| row.map(|(_, fact)| fact))
            .collect()
    }

    /// A job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        get::<Jobs>(&self.db, id)
    }

    /// The jobs of an order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn jobs_of(&self, order: B256) -> Result<Vec<Job>, StoreError> {
        scan::<Jobs>(&self.db, order.as_slice(), Direction::Forward)?
            .map(|row| row.map(|(_, job)| job))
            .collect()
    }

    /// Every job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn jobs(&self) -> Result<impl Iterator<Item = Result<Job, StoreError>> + '_, StoreError> {
        let rows = scan::<Jobs>(&self.db, &[], Direction::Forward)?;
        Ok(rows.map(|row| row.map(|(_, job)| job)))
    }

    /// What is known of a bundle.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evidence(&self, digest: B256) -> Result<Option<EvidenceMeta>, StoreError> {
        get::<Evidence>(&self.db, &digest)
    }

    /// A job's verdict.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verdict(&self, id: &JobId) -> Result<Option<StoredVerdict>, StoreError> {
        get::<Verdicts>(&self.db, id)
    }

    /// Transactions to be sent or waited for, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox(&self) -> Result<Vec<(JobId, OutboxEntry)>, StoreError> {
        let mut entries =
            scan::<Outbox>(&self.db, &[], Direction::Forward)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|(_, entry)| entry.at_ms);
        Ok(entries)
    }

    /// Seen becomes fetched.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn fetched(&self, id: &JobId, meta: &EvidenceMeta) -> Result<(), StoreError> {
        self.advance(id, Stage::Fetched, |batch| {
            batch.put::<Evidence>(&id.evidence, meta)
        })
    }

    /// Fetched becomes verified.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn verified(&self, id: &JobId, verdict: &StoredVerdict) -> Result<(), StoreError> {
        self.advance(id, Stage::Verified, |batch| {
            batch.put::<Verdicts>(id, verdict)
        })
    }

    /// Verified becomes signed.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn signed(&self, id: &JobId, verdict: &StoredVerdict) -> Result<(), StoreError> {
        self.advance(id, Stage::Signed, |batch| {
            batch.put::<Verdicts>(id, verdict)
        })
    }

    /// Signed becomes submitted. A transaction that is still in flight for an earlier life of the
    /// job (before a reorganisation) keeps its nonce, which the new one will use.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn submitted(&self, id: &JobId, entry: OutboxEntry) -> Result<(), StoreError> {
        self.advance(id, Stage::Submitted, |batch| {
            let earlier = get::<Outbox>(&self.db, id)?;
            let flight = earlier.and_then(|entry| entry.flight);
            batch.put::<Outbox>(id, &OutboxEntry { flight, ..entry })
        })
    }

    /// The job is given up.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn abandoned(&self, id: &JobId, why: String) -> Result<(), StoreError> {
        self.advance(id, Stage::Abandoned { why }, |batch| {
            self.release(batch, id)
        })
    }

    /// Notes what went wrong; the job stays where it is.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] unless the job stands at `stage`.
    pub fn troubled(&self, id: &JobId, stage: &Stage, trouble: Trouble) -> Result<u32, StoreError> {
        let _writer = self.lock();
        let mut job = self.standing(id, stage.name(), |found| found == stage)?;
        job.tries = job.tries.saturating_add(1);
        job.trouble = Some(trouble);
        let mut batch = Batch::new(&self.db);
        batch.put::<Jobs>(id, &job)?;
        batch.commit()?;
        Ok(job.tries)
    }

    /// A transaction was signed for an entry, or a replacement: written before it is sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn in_flight(&self, id: &JobId, flight: Option<Flight>) -> Result<(), StoreError> {
        let _writer = self.lock();
        let Some(entry) = get::<Outbox>(&self.db, id)? else {
            return Ok(());
        };
        let mut batch = Batch::new(&self.db);
        if flight.is_none() && entry.released {
            batch.delete::<Outbox>(id)?;
        } else {
            batch.put::<Outbox>(id, &OutboxEntry { flight, ..entry })?;
        }
        batch.commit()
    }

    /// The entry's transaction was mined. A released entry is done with; any other stays until the
    /// chain's event closes its job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mined(&self, id: &JobId, mined: &Mined) -> Result<(), StoreError> {
        let _writer = self.lock();
        let mut batch = Batch::new(&self.db);
        if let Some(mut job) = self.job(id)? {
            job.mined = Some(mined.clone());
            batch.put::<Jobs>(id, &job)?;
        }
        if get::<Outbox>(&self.db, id)?.is_some_and(|entry| entry.released) {
            batch.delete::<Outbox>(id)?;
        }
        batch.commit()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        // The guarded value is nothing, so a panic elsewhere cannot have left it half changed.
        self.writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn advance(
        &self,
        id: &JobId,
        next: Stage,
        also: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _writer = self.lock();
        let mut job = self.standing(id, next.name(), |found| found.may_become(&next))?;
        job.stage = next;
        job.tries = 0;
        if !job.stage.is_over() {
            job.trouble = None;
        }
        let mut batch = Batch::new(&self.db);
        also(&mut batch)?;
        batch.put::<Jobs>(id, &job)?;
        batch.commit()
    }

    fn standing(
        &self,
        id: &JobId,
        expected: &'static str,
        accepts: impl FnOnce(&Stage) -> bool,
    ) -> Result<Job, StoreError> {
        let job = self.job(id)?;
        let found = job.as_ref().map_or("none", |job| job.stage.name());
        job.filter(|job| accepts(&job.stage))
            .ok_or_else(|| StoreError::Overtaken {
                id: Box::new(*id),
                expected,
                found,
            })
    }

    /// The job needs its transaction no more. One that may have been sent is kept for its nonce.
    fn release(&self, batch: &mut Batch<'_>, id: &JobId) -> Result<(), StoreError> {
        match get::<Outbox>(&self.db, id)? {
            None => Ok(()),
            Some(entry) if entry.flight.is_none() => batch.delete::<Outbox>(id),
            Some(entry) => batch.put::<Outbox>(
                id,
                &OutboxEntry {
                    released: true,
                    ..entry
                },
            ),
        }
    }

    /// How far a job got before the chain decided it, by what is still at hand.
    fn stage_reached(&self, id: &JobId) -> Result<Stage, StoreError> {
        Ok(match self.verdict(id)? {
            Some(verdict) if verdict.signatures.is_empty() => Stage::Verified,
            Some(_) => Stage::Signed,
            None if self.evidence(id.evidence)?.is_some() => Stage::Fetched,
            None => Stage::Seen,
        })
    }
}

#[cfg(test)]
mod tests;
