//! Drives jobs: one task per open job, a bounded number of them at work.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{Outcome, Pipeline, StepError, backoff};
use crate::store::StoreError;
use crate::store::model::{JobId, Stage};

/// Runs until cancelled. Jobs come by `inbox`, when they are new or changed; a job that is already
/// being driven is woken instead.
pub async fn run(
    pipeline: Arc<Pipeline>,
    outbox: Arc<Notify>,
    mut inbox: mpsc::Receiver<JobId>,
    workers: usize,
    cancel: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(workers));
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
                        spawn(&mut tasks, &pipeline, &permits, &outbox, job, wake);
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
                        spawn(&mut tasks, &pipeline, &permits, &outbox, job, wake);
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

fn spawn(
    tasks: &mut JoinSet<JobId>,
    pipeline: &Arc<Pipeline>,
    permits: &Arc<Semaphore>,
    outbox: &Arc<Notify>,
    job: JobId,
    wake: Arc<Notify>,
) {
    let (pipeline, permits, outbox) = (pipeline.clone(), permits.clone(), outbox.clone());
    tasks.spawn(async move {
        let mut failures = 0;
        loop {
            let outcome = {
                let Ok(_permit) = permits.acquire().await else {
                    return job;
                };
                pipeline.step(&job).await
            };
            let wait = match outcome {
                Ok(Outcome::Advanced) => {
                    failures = 0;
                    continue;
                }
                Ok(Outcome::Over) => {
                    if let Ok(Some(found)) = pipeline.store.job(&job)
                        && found.stage == Stage::Submitted
                    {
                        outbox.notify_one();
                    }
                    return job;
                }
                Ok(Outcome::Wait(wait)) => wait,
                // The chain decided meanwhile, or a reorganisation took the job away: look again.
                Err(StepError::Store(StoreError::Overtaken { .. })) => continue,
                Err(error) => {
                    let wait = backoff(failures);
                    failures += 1;
                    tracing::warn!(%job, code = "step_failed", %error, retry_ms = wait.as_millis() as u64, "step failed");
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = wake.notified() => {}
            }
        }
    });
}
