//! Jobs: their stages, verdicts and transactions.

use alloy::primitives::B256;

use super::chain::jobs_of;
use super::columns::{
    Announced, Digests, Direction, Evidence, Jobs, Key, Open, Outbox, Span, Tx, Verdicts,
};
use super::model::{
    BlockJob, EvidenceMeta, Flight, Job, JobId, Mined, OutboxEntry, Stage, StoredVerdict, Trouble,
};
use super::{Store, StoreError};
use crate::time::now_ms;

impl Store {
    /// A job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.get::<Jobs>(id)
    }

    /// The jobs of an order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn jobs_of(&self, order: B256) -> Result<Vec<Job>, StoreError> {
        self.read(|tx| jobs_of(tx, order))
    }

    /// Every job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn jobs(&self) -> Result<impl Iterator<Item = Result<Job, StoreError>> + '_, StoreError> {
        let rows = self.pages::<Jobs>(Direction::Forward);
        Ok(rows.map(|row| row.map(|(_, job)| job)))
    }

    /// Jobs by their announcements, newest first, from before `before`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest(&self, before: Option<BlockJob>, limit: usize) -> Result<Vec<Job>, StoreError> {
        let after = before.map(|place| place.to_bytes());
        self.read(|tx| {
            let places = tx.some::<Announced>(Span {
                prefix: &[],
                after: after.as_deref(),
                direction: Direction::Reverse,
                limit,
            })?;
            let mut jobs = Vec::with_capacity(places.len());
            for (place, ()) in places {
                jobs.extend(tx.get::<Jobs>(&place.job)?);
            }
            Ok(jobs)
        })
    }

    /// The jobs that are not over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(|tx| tx.keys::<Open>())
    }

    /// What is known of a bundle.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evidence(&self, digest: B256) -> Result<Option<EvidenceMeta>, StoreError> {
        self.get::<Evidence>(&digest)
    }

    /// A job's verdict.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verdict(&self, id: &JobId) -> Result<Option<StoredVerdict>, StoreError> {
        self.get::<Verdicts>(id)
    }

    /// Jobs whose verdicts are to be sent, or have been and are waited for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(|tx| tx.keys::<Outbox>())
    }

    /// What is to be sent for a job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_entry(&self, id: &JobId) -> Result<Option<OutboxEntry>, StoreError> {
        self.get::<Outbox>(id)
    }

    /// Seen becomes fetched.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn fetched(&self, id: &JobId, meta: &EvidenceMeta) -> Result<(), StoreError> {
        self.advance(id, &Stage::Fetched, |tx| {
            tx.put::<Evidence>(&id.evidence, meta)
        })
    }

    /// Fetched becomes verified.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn verified(&self, id: &JobId, verdict: &StoredVerdict) -> Result<(), StoreError> {
        self.advance(id, &Stage::Verified, |tx| {
            tx.put::<Digests>(&verdict.digest, id)?;
            tx.put::<Verdicts>(id, verdict)
        })
    }

    /// The job whose verdict has this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job_of_verdict(&self, digest: B256) -> Result<Option<JobId>, StoreError> {
        self.get::<Digests>(&digest)
    }

    /// The contract does not take the signatures: they are collected anew. What is in flight keeps
    /// its nonce.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] unless it was signed or submitted.
    pub fn unsigned(&self, id: &JobId) -> Result<(), StoreError> {
        self.write(id.order, |tx| {
            let accepts = |stage: &Stage| matches!(stage, Stage::Signed | Stage::Submitted);
            let mut job = standing(tx, id, "submitted", accepts)?;
            job.stage = Stage::Verified;
            job.since_ms = now_ms();
            if let Some(mut verdict) = tx.get::<Verdicts>(id)? {
                verdict.signatures.clear();
                tx.put::<Verdicts>(id, &verdict)?;
            }
            release(tx, id)?;
            put_job(tx, &job)
        })
    }

    /// Verified becomes signed.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn signed(&self, id: &JobId, verdict: &StoredVerdict) -> Result<(), StoreError> {
        self.advance(id, &Stage::Signed, |tx| tx.put::<Verdicts>(id, verdict))
    }

    /// Signed becomes submitted. A transaction that is still in flight for an earlier life of the
    /// job (before a reorganisation) keeps its nonce, which the new one will use.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn submitted(&self, id: &JobId, entry: &OutboxEntry) -> Result<(), StoreError> {
        self.advance(id, &Stage::Submitted, |tx| {
            let earlier = tx.get::<Outbox>(id)?;
            let flight = earlier.and_then(|entry| entry.flight);
            let entry = OutboxEntry {
                flight,
                ..entry.clone()
            };
            tx.put::<Outbox>(id, &entry)
        })
    }

    /// The job is given up.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`].
    pub fn abandoned(&self, id: &JobId, why: String) -> Result<(), StoreError> {
        self.advance(id, &Stage::Abandoned { why }, |tx| release(tx, id))
    }

    /// A job that was given up is taken up again where it stood.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] unless it was given up.
    pub fn retry(&self, id: &JobId) -> Result<(), StoreError> {
        self.write(id.order, |tx| {
            let given_up = |stage: &Stage| matches!(stage, Stage::Abandoned { .. });
            let mut job = standing(tx, id, "abandoned", given_up)?;
            job.stage = stage_reached(tx, id)?;
            job.tries = 0;
            job.trouble = None;
            job.since_ms = now_ms();
            put_job(tx, &job)
        })
    }

    /// Notes what went wrong; the job stays where it is.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] unless the job stands at `stage`.
    pub fn troubled(
        &self,
        id: &JobId,
        stage: &Stage,
        trouble: &Trouble,
    ) -> Result<u32, StoreError> {
        self.write(id.order, |tx| {
            let mut job = standing(tx, id, stage.name(), |found| found == stage)?;
            job.tries = job.tries.saturating_add(1);
            job.trouble = Some(trouble.clone());
            tx.put::<Jobs>(id, &job)?;
            Ok(job.tries)
        })
    }

    /// One transaction was signed for the entries of `ids`: written before it is sent. Nothing is written
    /// unless all of them still wait for one; says whether they do.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn launched(&self, ids: &[JobId], flight: &Flight) -> Result<bool, StoreError> {
        self.lead(|tx| {
            let mut entries = Vec::with_capacity(ids.len());
            for id in ids {
                match tx.get::<Outbox>(id)? {
                    Some(entry) if entry.flight.is_none() && !entry.released => entries.push(entry),
                    _ => return Ok(false),
                }
            }
            for (id, entry) in ids.iter().zip(entries) {
                put_flight(tx, ids, id, entry, flight)?;
            }
            Ok(true)
        })
    }

    /// A transaction with the same nonce was signed in the place of the entries': written before it is
    /// sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn replaced(&self, ids: &[JobId], flight: &Flight) -> Result<(), StoreError> {
        self.lead(|tx| {
            for id in ids {
                if let Some(entry) = tx.get::<Outbox>(id)? {
                    put_flight(tx, ids, id, entry, flight)?;
                }
            }
            Ok(())
        })
    }

    /// The entry's transaction will not be mined, or did nothing: another is needed, unless the entry
    /// only waited for its nonce.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn grounded(&self, id: &JobId) -> Result<(), StoreError> {
        self.lead(|tx| match tx.get::<Outbox>(id)? {
            None => Ok(()),
            Some(entry) if entry.released => tx.delete::<Outbox>(id),
            Some(entry) => tx.put::<Outbox>(
                id,
                &OutboxEntry {
                    flight: None,
                    ..entry
                },
            ),
        })
    }

    /// A transaction was mined, of these entries. A released entry is done with; any other stays until the
    /// chain's event closes its job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mined(&self, entries: &[(JobId, Mined)]) -> Result<(), StoreError> {
        self.lead(|tx| {
            for (id, mined) in entries {
                if let Some(mut job) = tx.get::<Jobs>(id)? {
                    job.mined = Some(mined.clone());
                    tx.put::<Jobs>(id, &job)?;
                }
                if tx.get::<Outbox>(id)?.is_some_and(|entry| entry.released) {
                    tx.delete::<Outbox>(id)?;
                }
            }
            Ok(())
        })
    }

    fn advance(
        &self,
        id: &JobId,
        next: &Stage,
        mut also: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.write(id.order, |tx| {
            let mut job = standing(tx, id, next.name(), |found| found.may_become(next))?;
            job.stage = next.clone();
            job.since_ms = now_ms();
            job.tries = 0;
            if !job.stage.is_over() {
                job.trouble = None;
            }
            also(tx)?;
            put_job(tx, &job)
        })
    }
}

/// Writes a transaction's part in an entry: the first carries its bytes for all.
fn put_flight(
    tx: &mut Tx<'_>,
    ids: &[JobId],
    id: &JobId,
    entry: OutboxEntry,
    flight: &Flight,
) -> Result<(), StoreError> {
    let mut flight = flight.clone();
    if ids.first() != Some(id) {
        flight.raw = Default::default();
    }
    let flight = Some(flight);
    tx.put::<Outbox>(id, &OutboxEntry { flight, ..entry })
}

/// Writes a job, and whether it is open.
pub(super) fn put_job(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    match job.stage.is_over() {
        true => tx.delete::<Open>(&job.id)?,
        false => tx.put::<Open>(&job.id, &())?,
    }
    tx.put::<Jobs>(&job.id, job)
}

/// The chain decided the job. Where that was by its own transaction, its nonce is used up too.
pub(super) fn close(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    let flight = tx.get::<Outbox>(&job.id)?.and_then(|entry| entry.flight);
    let mined = job.mined.as_ref().map(|mined| mined.tx);
    match (flight, mined) {
        (Some(flight), Some(mined)) if flight.hashes.contains(&mined) => {
            tx.delete::<Outbox>(&job.id)
        }
        _ => release(tx, &job.id),
    }
}

/// The job needs its transaction no more. One that may have been sent is kept for its nonce.
pub(super) fn release(tx: &mut Tx<'_>, id: &JobId) -> Result<(), StoreError> {
    match tx.get::<Outbox>(id)? {
        None => Ok(()),
        Some(entry) if entry.flight.is_none() => tx.delete::<Outbox>(id),
        Some(entry) => tx.put::<Outbox>(
            id,
            &OutboxEntry {
                released: true,
                ..entry
            },
        ),
    }
}

/// How far a job got before the chain decided it, by what is still at hand.
pub(super) fn stage_reached(tx: &mut Tx<'_>, id: &JobId) -> Result<Stage, StoreError> {
    Ok(match tx.get::<Verdicts>(id)? {
        Some(verdict) if verdict.signatures.is_empty() => Stage::Verified,
        Some(_) => Stage::Signed,
        None if tx.get::<Evidence>(&id.evidence)?.is_some() => Stage::Fetched,
        None => Stage::Seen,
    })
}

fn standing(
    tx: &mut Tx<'_>,
    id: &JobId,
    expected: &'static str,
    accepts: impl FnOnce(&Stage) -> bool,
) -> Result<Job, StoreError> {
    let job = tx.get::<Jobs>(id)?;
    let found = job.as_ref().map_or("none", |job| job.stage.name());
    job.filter(|job| accepts(&job.stage))
        .ok_or_else(|| StoreError::Overtaken {
            id: Box::new(*id),
            expected,
            found,
        })
}
