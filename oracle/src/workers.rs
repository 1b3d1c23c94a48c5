//! Drives jobs: one task per job at hand, a bounded number of them at work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, trace_span};

use crate::pipeline::{Outcome, Pipeline, StepError, backoff};
use crate::store::StoreError;
use crate::store::model::{JobId, Stage};

/// How long a lease of a job in a shared store lasts: so long a dead worker holds jobs up.
const LEASE: Duration = Duration::from_secs(5);
/// How often a shared store is asked for jobs.
const CLAIM: Duration = Duration::from_millis(100);
/// Jobs at work at a time, for each bundle that is verified at a time: most of them wait for an endpoint
/// or a disk.
const AT_WORK: usize = 16;

/// Failures after which the wait for an endpoint grows no longer.
const CHAIN_TRIES: u32 = 3;

/// Runs until cancelled. Jobs come by `inbox`, when they are new or changed; a job that is already
/// being driven is woken instead.
pub async fn run(
    pipeline: Arc<Pipeline>,
    outbox: Arc<Notify>,
    mut inbox: mpsc::Receiver<JobId>,
    workers: usize,
    cancel: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(workers * AT_WORK));
    let mut tasks = JoinSet::new();
    // Open jobs: how to wake each, and whether it was asked for since its task began.
    let mut open: HashMap<JobId, (Arc<Notify>, bool)> = HashMap::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            job = inbox.recv() => {
                let Some(job) = job else { break };
                match open.get_mut(&job) {
                    Some((wake, again)) => {
                        *again = true;
                        wake.notify_one();
                    }
                    None => {
                        let wake = Arc::new(Notify::new());
                        open.insert(job, (Arc::clone(&wake), false));
                        tasks.spawn(drive(pipeline.clone(), permits.clone(), outbox.clone(), job, wake));
                    }
                }
            }
            Some(done) = tasks.join_next() => {
                let Ok(job) = done else { continue };
                // Asked for while its task was ending: look once more.
                match open.get_mut(&job) {
                    Some((wake, again)) if *again => {
                        *again = false;
                        let wake = Arc::clone(wake);
                        tasks.spawn(drive(pipeline.clone(), permits.clone(), outbox.clone(), job, wake));
                    }
                    _ => {
                        open.remove(&job);
                    }
                }
            }
        }
    }
    // A step that is cut short changes nothing: its transition was not written.
    tasks.shutdown().await;
}

/// Drives one job until there is nothing to do, or its next step is the outbox's.
async fn drive(
    pipeline: Arc<Pipeline>,
    permits: Arc<Semaphore>,
    outbox: Arc<Notify>,
    job: JobId,
    wake: Arc<Notify>,
) -> JobId {
    let mut failures = 0;
    loop {
        let Some(wait) = advance(&pipeline, &permits, &outbox, &job, &mut failures).await else {
            return job;
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wake.notified() => {}
        }
    }
}

/// Takes steps for as long as they lead on, as one of those at work: what was begun goes before what was not, or all
/// jobs would wait for the disk at one time and be verified at another. Returns how long to wait before the next step;
/// nothing where there is none.
async fn advance(
    pipeline: &Pipeline,
    permits: &Semaphore,
    outbox: &Notify,
    job: &JobId,
    failures: &mut u32,
) -> Option<Duration> {
    let _permit = permits.acquire().await.ok()?;
    loop {
        match step(pipeline, job).await {
            Ok(Outcome::Advanced) => *failures = 0,
            Ok(Outcome::Over) => {
                let found = pipeline.store.job(job).ok().flatten();
                if found.is_some_and(|found| found.stage == Stage::Submitted) {
                    outbox.notify_one();
                }
                return None;
            }
            Ok(Outcome::Wait(wait)) => return Some(wait),
            // The chain decided meanwhile, or a reorganisation took the job away: look again.
            Err(StepError::Store(StoreError::Overtaken { .. })) => {}
            Err(error) => {
                // An endpoint may answer the next question: it is not left alone for long.
                let longest = match error {
                    StepError::Chain(_) => CHAIN_TRIES,
                    _ => u32::MAX,
                };
                let wait = backoff((*failures).min(longest));
                *failures = failures.saturating_add(1);
                tracing::warn!(%job, code = "step_failed", %error, retry_ms = wait.as_millis() as u64, "step failed");
                return Some(wait);
            }
        }
    }
}

/// Takes one step in its span.
async fn step(pipeline: &Pipeline, job: &JobId) -> Result<Outcome, StepError> {
    let span = trace_span!(
        "step",
        order = %job.order,
        phase = %job.phase.0,
        attempt = job.attempt,
        evidence = %job.evidence,
        otel.status_description = Empty,
        otel.status_code = Empty,
    );
    let outcome = pipeline.step(job).instrument(span.clone()).await;
    if let Err(error) = &outcome {
        span.record("otel.status_code", "error");
        span.record("otel.status_description", error.to_string());
    }
    outcome
}

/// Runs until cancelled on a store that other daemons share. Jobs are leased; `inbox` only says
/// which need not wait longer.
pub async fn run_shared(
    pipeline: Arc<Pipeline>,
    outbox: Arc<Notify>,
    mut inbox: mpsc::Receiver<JobId>,
    workers: usize,
    cancel: CancellationToken,
) {
    // Another life of this daemon must not renew the leases of the last.
    let name = format!("{:016x}", rand_name());
    let permits = Arc::new(Semaphore::new(workers * AT_WORK));
    let mut tasks = JoinSet::new();
    // What is worked on, by its task.
    let mut working: HashMap<tokio::task::Id, JobId> = HashMap::new();
    // Whether there are more jobs than were claimed last.
    let mut more = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            job = inbox.recv() => {
                let Some(job) = job else { break };
                if let Err(error) = pipeline.store.wake(&job) {
                    tracing::debug!(%job, %error, "not woken, its wait will end");
                }
                continue;
            }
            Some(ended) = tasks.join_next_with_id() => {
                // Also where it panicked: then its lease ends.
                working.remove(&ended.map_or_else(|error| error.id(), |(task, ())| task));
                // Claimed by halves: one question for many jobs.
                if !(more && working.len() <= workers * AT_WORK / 2) {
                    continue;
                }
            }
            () = tokio::time::sleep(CLAIM) => {}
        }
        let free = (workers * AT_WORK).saturating_sub(working.len());
        let leased = working.values().copied();
        let claimed = match pipeline.store.claim(&name, leased, LEASE, free) {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(code = "claim_failed", %error, "no jobs can be claimed");
                tokio::time::sleep(backoff(2)).await;
                continue;
            }
        };
        more = claimed.len() >= free;
        for job in claimed {
            let (pipeline, permits) = (Arc::clone(&pipeline), Arc::clone(&permits));
            let (outbox, name) = (Arc::clone(&outbox), name.clone());
            let task = tasks.spawn(async move {
                let mut failures = 0;
                let wait = advance(&pipeline, &permits, &outbox, &job, &mut failures).await;
                // What is submitted waits for the chain; it is looked at now and then all the same.
                let wait = wait.unwrap_or(LEASE);
                if let Err(error) = pipeline.store.park(&name, &job, wait) {
                    tracing::debug!(%job, %error, "lease not given back, it will end");
                }
            });
            working.insert(task.id(), job);
        }
    }
    tasks.shutdown().await;
}

/// A name that no other worker has.
fn rand_name() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Seeded by the system for each process.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
