//! Follows the escrow's events: everything between the cursor and the head is taken in by ranges,
//! whatever woke us, so nothing is missed by a lost subscription.
//!
//! The cursor carries its block's hash. Where the chain has another hash, intake walks back over
//! its checkpoints to one that both share, forgets what came after, and goes forward again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;

use crate::chain::{Chain, ChainError, Header, RawLog};
use crate::facts::{self, Event};
use crate::store::model::{BlockRef, Closing, EventKey, Fact, Job, JobId};
use crate::store::{Intake as Range, Store, StoreError};
use crate::time::now_ms;

/// Most blocks asked for at once.
const MAX_RANGE: u64 = 4096;
/// How long an endpoint may be behind the cursor before the chain is taken to be shorter.
const LAG_PATIENCE: Duration = Duration::from_secs(10);

/// Why intake stopped before the head.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain was reorganised beyond what is kept.
    #[error(
        "reorganisation deeper than chain.finality ({finality} blocks): no checkpoint is on the endpoint's chain; check the endpoints, then start over with an empty store.dir"
    )]
    TooDeep {
        /// Blocks after which hashes are forgotten.
        finality: u64,
    },
    /// The endpoint is behind the cursor.
    #[error("the endpoint's newest block is {head}, behind block {cursor} already taken in")]
    Behind {
        /// The cursor.
        cursor: u64,
        /// The endpoint's newest block.
        head: u64,
    },
}

/// What catching up brought.
#[derive(Debug, Default)]
pub struct Progress {
    /// Jobs that are new or changed.
    pub touched: Vec<JobId>,
    /// The newest block of the chain.
    pub head: Option<BlockRef>,
    /// Reorganisations seen.
    pub reorganisations: u32,
    /// Events that could not be read.
    pub malformed: u32,
}

/// Takes in events.
#[derive(Debug)]
pub struct Intake<C> {
    chain: C,
    store: Arc<Store>,
    /// No event is older.
    first_block: u64,
    /// Blocks that must lie on top of a block before it is taken in.
    confirmations: u64,
    /// Blocks after which no reorganisation is expected.
    finality: u64,
    range: u64,
    behind_since: Option<Instant>,
    /// What was taken in before a failure, and nobody has been told of.
    untold: Progress,
}

impl<C: Chain> Intake<C> {
    /// Intake from a chain into a store.
    pub fn new(
        chain: C,
        store: Arc<Store>,
        first_block: u64,
        confirmations: u64,
        finality: u64,
    ) -> Self {
        Self {
            chain,
            store,
            first_block,
            confirmations,
            finality,
            range: MAX_RANGE,
            behind_since: None,
            untold: Progress::default(),
        }
    }

    /// Where blocks come from.
    pub const fn chain(&self) -> &C {
        &self.chain
    }

    /// Takes in everything up to the newest block that has its confirmations.
    ///
    /// # Errors
    /// [`IntakeError`]; what was taken in before stays, and the next call goes on from there and tells
    /// of it.
    pub async fn catch_up(&mut self) -> Result<Progress, IntakeError> {
        let mut progress = std::mem::take(&mut self.untold);
        match self.advance(&mut progress).await {
            Ok(()) => Ok(progress),
            Err(error) => {
                self.untold = progress;
                Err(error)
            }
        }
    }

    async fn advance(&mut self, progress: &mut Progress) -> Result<(), IntakeError> {
        loop {
            let head = self.chain.head().await?;
            progress.head = Some(head.block);
            if let Some(to) = self.fork(head.block.number).await? {
                progress.touched.extend(self.store.roll_back(to)?);
                progress.reorganisations += 1;
                tracing::warn!(
                    code = "reorganisation",
                    to = to.map(|block| block.number),
                    "the chain was reorganised, rolled back"
                );
            }
            let start = self
                .store
                .cursor()?
                .map_or(self.first_block, |cursor| cursor.number.saturating_add(1));
            let target = head.block.number.saturating_sub(self.confirmations);
            if start > target {
                return Ok(());
            }
            let end = target.min(start.saturating_add(self.range.saturating_sub(1)));
            match self.range(start, end).await {
                Ok(Some((end, range, malformed))) => {
                    progress.malformed += malformed;
                    progress
                        .touched
                        .extend(self.store.take_in(start, end, range)?);
                    self.range = self.range.saturating_mul(2).min(MAX_RANGE);
                    self.store.prune(end.number.saturating_sub(self.finality))?;
                }
                // The chain moved while we read: look again.
                Ok(None) => {}
                // Providers limit ranges by blocks or by answers; find out how much is allowed.
                Err(IntakeError::Chain(error)) if self.range > 1 => {
                    self.range /= 2;
                    tracing::debug!(%error, range = self.range, "narrower range");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where to roll back to; nothing where the cursor is on the chain.
    async fn fork(&mut self, head: u64) -> Result<Option<Option<BlockRef>>, IntakeError> {
        let Some(cursor) = self.store.cursor()? else {
            return Ok(None);
        };
        if cursor.number > head {
            let since = *self.behind_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LAG_PATIENCE && self.shares(self.newest_until(head)?).await? {
                let cursor = cursor.number;
                return Err(IntakeError::Behind { cursor, head });
            }
        } else if self.shares(Some(cursor)).await? {
            self.behind_since = None;
            return Ok(None);
        }
        self.behind_since = None;
        let checkpoints = self
            .store
            .checkpoints()?
            .collect::<Result<Vec<_>, StoreError>>()?;
        let oldest = checkpoints.last().map_or(0, |block| block.number);
        for checkpoint in checkpoints {
            if checkpoint.number <= head && self.shares(Some(checkpoint)).await? {
                return Ok(Some(Some(checkpoint)));
            }
        }
        // Everything that was ever taken in is still known by its hash: start over.
        if cursor.number.saturating_sub(oldest) < self.finality {
            return Ok(Some(None));
        }
        Err(IntakeError::TooDeep {
            finality: self.finality,
        })
    }

    fn newest_until(&self, head: u64) -> Result<Option<BlockRef>, StoreError> {
        for checkpoint in self.store.checkpoints()? {
            let checkpoint = checkpoint?;
            if checkpoint.number <= head {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }

    /// Whether the chain has the block; it has "no block".
    async fn shares(&self, block: Option<BlockRef>) -> Result<bool, IntakeError> {
        let Some(block) = block else { return Ok(true) };
        let found = self.chain.block(block.number).await?;
        Ok(found.is_some_and(|found| found.block.hash == block.hash))
    }

    /// What a range brought, and how many of its events could not be read; nothing where the chain
    /// changed meanwhile.
    async fn range(
        &self,
        start: u64,
        end: u64,
    ) -> Result<Option<(BlockRef, Range, u32)>, IntakeError> {
        let (Some(first), Some(last)) =
            (self.chain.block(start).await?, self.chain.block(end).await?)
        else {
            return Ok(None);
        };
        if let Some(cursor) = self.store.cursor()?
            && cursor.hash != first.parent
        {
            return Ok(None);
        }
        let logs = self.chain.logs(start, end).await?;
        let mut headers = vec![first, last];
        let mut range = Range::default();
        let mut malformed = 0;
        for log in logs {
            if log.number < start || log.number > end {
                continue;
            }
            let Some(header) = self.header(&mut headers, log.number).await? else {
                return Ok(None);
            };
            if header.block.hash != log.hash {
                return Ok(None);
            }
            if let Err(error) = take(log, header.block, &mut range) {
                malformed += 1;
                tracing::warn!(code = "malformed", block = header.block.number, %error, "event skipped");
            }
        }
        let unmoved = self.chain.block(end).await?.map(|now| now.block.hash);
        Ok((unmoved == Some(last.block.hash)).then_some((last.block, range, malformed)))
    }

    async fn header(
        &self,
        known: &mut Vec<Header>,
        number: u64,
    ) -> Result<Option<Header>, IntakeError> {
        if let Some(header) = known.iter().find(|header| header.block.number == number) {
            return Ok(Some(*header));
        }
        let header = self.chain.block(number).await?;
        known.extend(header);
        Ok(header)
    }
}

fn take(log: RawLog, block: BlockRef, range: &mut Range) -> Result<(), facts::FactError> {
    let Some((order, event)) = facts::read(&log.topics, &log.data)? else {
        return Ok(());
    };
    announce(order, &event, block, log.tx);
    if let Some(decided) = event.decides() {
        let closing = Closing {
            block,
            tx: log.tx,
            event: event.name().to_owned(),
            at_ms: now_ms(),
        };
        range.closings.push((order, decided, closing));
    }
    if let Event::Evidence { job, uri } = event {
        range.jobs.push(Job::new(job, block, uri, now_ms()));
    }
    let key = EventKey {
        order,
        block: block.number,
        index: log.index,
    };
    let fact = Fact {
        block,
        index: log.index,
        tx: log.tx,
        topics: log.topics,
        data: log.data,
    };
    range.events.push((key, fact));
    Ok(())
}

fn announce(order: B256, event: &Event, block: BlockRef, tx: B256) {
    tracing::info!(%order, event = event.name(), block = block.number, %tx, "taken in");
}

#[cfg(test)]
mod tests;
