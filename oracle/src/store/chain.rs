//! What comes from the chain: blocks, events, announcements and decisions. The leader's to write.

use std::collections::BTreeMap;

use alloy::primitives::B256;

use super::columns::{
    Announced, Blocks, Digests, Direction, Events, Evidence, Jobs, Meta, Open, Outbox, Shares,
    Span, Tx, Verdicts,
};
use super::jobs::{close, put_job, release, stage_reached};
use super::model::{BlockJob, BlockRef, Checkpoint, Fact, Job, JobId, MetaValue, Stage};
use super::{Intake, Store, StoreError};

/// Most checkpoints that are forgotten in one transaction.
const PRUNED: usize = 1024;

impl Store {
    /// The last block that was taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cursor(&self) -> Result<Option<BlockRef>, StoreError> {
        self.read(cursor)
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
        self.lead(|tx| {
            if let Some(cursor) = cursor(tx)?
                && cursor.number + 1 != start
            {
                return Err(StoreError::Gap {
                    expected: cursor.number + 1,
                    found: start,
                });
            }
            put_events(tx, end, &intake)?;
            // By order: a range may bring very many.
            let mut touched: BTreeMap<B256, Vec<Job>> = BTreeMap::new();
            for job in &intake.jobs {
                let jobs = touched.entry(job.id.order).or_default();
                // Announced twice: the first announcement counts.
                if tx.get::<Jobs>(&job.id)?.is_none() && jobs.iter().all(|j| j.id != job.id) {
                    jobs.push(job.clone());
                }
            }
            for (order, decided, closing) in &intake.closings {
                let jobs = touched.entry(*order).or_default();
                for job in jobs_of(tx, *order)? {
                    if jobs.iter().all(|other| other.id != job.id) {
                        jobs.push(job);
                    }
                }
                for job in jobs {
                    if decided.concerns(&job.id) && !job.stage.is_over() {
                        job.stage = Stage::Final(closing.clone());
                        job.since_ms = closing.at_ms;
                        close(tx, job)?;
                    }
                }
            }
            for job in touched.values().flatten() {
                put_job(tx, job)?;
                tx.put::<Announced>(&place(job), &())?;
            }
            tx.put::<Meta>(&"cursor".into(), &MetaValue::Cursor(end))?;
            Ok(touched.into_values().flatten().map(|job| job.id).collect())
        })
    }

    /// Forgets every block after `to`, which is a checkpoint (or none, to forget all): events and
    /// announcements vanish, decisions are undone. Returns the jobs that are open again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn roll_back(&self, to: Option<BlockRef>) -> Result<Vec<JobId>, StoreError> {
        let keeps = |number: u64| to.is_some_and(|to| number <= to.number);
        self.lead(|tx| {
            let mut orders = Vec::new();
            let newest_first = Span {
                prefix: &[],
                after: None,
                direction: Direction::Reverse,
                limit: usize::MAX,
            };
            for (number, checkpoint) in tx.some::<Blocks>(newest_first)? {
                if keeps(number) {
                    break;
                }
                for key in &checkpoint.events {
                    tx.delete::<Events>(key)?;
                    orders.push(key.order);
                }
                tx.delete::<Blocks>(&number)?;
            }
            orders.sort_unstable();
            orders.dedup();
            let mut reopened = Vec::new();
            for order in orders {
                for mut job in jobs_of(tx, order)? {
                    if !keeps(job.block.number) {
                        forget(tx, &job)?;
                        release(tx, &job.id)?;
                    } else if let Stage::Final(closing) = &job.stage
                        && !keeps(closing.block.number)
                    {
                        job.stage = stage_reached(tx, &job.id)?;
                        job.mined = None;
                        put_job(tx, &job)?;
                        reopened.push(job.id);
                    }
                }
            }
            match to {
                Some(block) => tx.put::<Meta>(&"cursor".into(), &MetaValue::Cursor(block))?,
                None => tx.delete::<Meta>(&"cursor".into())?,
            }
            Ok(reopened)
        })
    }

    /// Checkpoints, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoints(
        &self,
    ) -> Result<impl Iterator<Item = Result<BlockRef, StoreError>> + '_, StoreError> {
        let rows = self.pages::<Blocks>(Direction::Reverse);
        Ok(rows.map(|row| row.map(|(_, checkpoint)| checkpoint.block)))
    }

    /// Forgets the hashes of blocks older than `before`: they are final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(&self, before: u64) -> Result<(), StoreError> {
        let oldest = Span {
            prefix: &[],
            after: None,
            direction: Direction::Forward,
            limit: 1,
        };
        // Mostly there is nothing to do: found out without a transaction that writes.
        let first = self.read(|tx| tx.some::<Blocks>(oldest))?;
        if first.first().is_none_or(|(number, _)| *number >= before) {
            return Ok(());
        }
        let oldest = Span {
            limit: PRUNED,
            ..oldest
        };
        self.lead(|tx| {
            for (number, _) in tx.some::<Blocks>(oldest)? {
                if number < before {
                    tx.delete::<Blocks>(&number)?;
                }
            }
            Ok(())
        })
    }

    /// Forgets orders whose jobs are all over, have nothing in the outbox, and `may_go`, with their
    /// events. Looks at `limit` jobs after a place; returns the evidence of what was forgotten, and the
    /// place to go on from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_closed(
        &self,
        after: Option<BlockJob>,
        limit: usize,
        may_go: impl Fn(&Job, &[Fact]) -> bool,
    ) -> Result<(Vec<B256>, Option<BlockJob>), StoreError> {
        use super::columns::Key;
        let after = after.map(|place| place.to_bytes());
        self.lead(|tx| {
            let span = Span {
                prefix: &[],
                after: after.as_deref(),
                direction: Direction::Forward,
                limit,
            };
            let rows = tx.some::<Announced>(span)?;
            let next = match rows.len() < limit {
                true => None,
                false => rows.last().map(|(place, ())| *place),
            };
            let mut evidence = Vec::new();
            let mut orders = Vec::new();
            for (place, ()) in rows {
                let order = place.job.order;
                if orders.contains(&order) {
                    continue;
                }
                orders.push(order);
                let jobs = jobs_of(tx, order)?;
                let facts = facts(tx, order)?;
                let mut over = true;
                for job in &jobs {
                    let waiting = tx.get::<Outbox>(&job.id)?.is_some();
                    over &= job.stage.is_over() && !waiting && may_go(job, &facts);
                }
                if !over {
                    continue;
                }
                for job in &jobs {
                    forget(tx, job)?;
                    evidence.push(job.id.evidence);
                }
                for (key, _) in tx.all::<Events>(order.as_slice())? {
                    tx.delete::<Events>(&key)?;
                }
            }
            Ok((evidence, next))
        })
    }

    /// Events of an order, in the order of the chain.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn facts(&self, order: B256) -> Result<Vec<Fact>, StoreError> {
        self.read(|tx| facts(tx, order))
    }
}

fn cursor(tx: &mut Tx<'_>) -> Result<Option<BlockRef>, StoreError> {
    Ok(match tx.get::<Meta>(&"cursor".into())? {
        Some(MetaValue::Cursor(block)) => Some(block),
        _ => None,
    })
}

fn put_events(tx: &mut Tx<'_>, end: BlockRef, intake: &Intake) -> Result<(), StoreError> {
    let empty = |block| Checkpoint {
        block,
        events: Vec::new(),
    };
    let mut checkpoints = BTreeMap::from([(end.number, empty(end))]);
    for (key, fact) in &intake.events {
        let at = fact.block;
        let checkpoint = checkpoints.entry(at.number);
        checkpoint.or_insert_with(|| empty(at)).events.push(*key);
        tx.put::<Events>(key, fact)?;
    }
    for checkpoint in checkpoints.values() {
        tx.put::<Blocks>(&checkpoint.block.number, checkpoint)?;
    }
    Ok(())
}

fn facts(tx: &mut Tx<'_>, order: B256) -> Result<Vec<Fact>, StoreError> {
    let rows = tx.all::<Events>(order.as_slice())?;
    Ok(rows.into_iter().map(|(_, fact)| fact).collect())
}

pub(super) fn jobs_of(tx: &mut Tx<'_>, order: B256) -> Result<Vec<Job>, StoreError> {
    let rows = tx.all::<Jobs>(order.as_slice())?;
    Ok(rows.into_iter().map(|(_, job)| job).collect())
}

const fn place(job: &Job) -> BlockJob {
    BlockJob {
        block: job.block.number,
        job: job.id,
    }
}

/// Removes a job and what hangs on it, but for its outbox entry. Proofs against operators stay.
fn forget(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    use super::columns::Key;
    tx.delete::<Jobs>(&job.id)?;
    tx.delete::<Open>(&job.id)?;
    tx.delete::<Announced>(&place(job))?;
    if let Some(verdict) = tx.get::<Verdicts>(&job.id)? {
        tx.delete::<Digests>(&verdict.digest)?;
    }
    tx.delete::<Verdicts>(&job.id)?;
    tx.delete::<Evidence>(&job.id.evidence)?;
    for (key, _) in tx.all::<Shares>(&job.id.to_bytes())? {
        tx.delete::<Shares>(&key)?;
    }
    Ok(())
}
