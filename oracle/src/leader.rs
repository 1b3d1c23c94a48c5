//! What one daemon at a time does for a store: follow the chain, and send transactions.
//!
//! An embedded store has one daemon. On a shared one the daemons elect the leader; the others follow
//! the chain's head only, since deadlines are the chain's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use vouch_client::Market;

use crate::bundles::Bundles;
use crate::chain::{Chain, Endpoints};
use crate::config::Config;
use crate::facts::Order;
use crate::intake::Intake;
use crate::keys::Keyring;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::store::model::{BlockRef, Fact, Job, JobId};
use crate::store::{Store, StoreError};
use crate::time::now_ms;
use crate::uploads::Uploads;

/// How often the seat is asked for, and whether it is still held.
const SEAT: Duration = Duration::from_millis(500);

/// How often old jobs are looked for.
const TIDY: Duration = Duration::from_secs(3600);
/// Jobs that are looked at in one transaction.
const TIDIED: usize = 256;

/// Everything the leader's work needs.
#[derive(Debug)]
pub struct Leader {
    /// Jobs.
    pub store: Arc<Store>,
    /// Their evidence.
    pub bundles: Bundles,
    /// Those that were left for orders.
    pub uploads: Uploads,
    /// Ways to the chain.
    pub endpoints: Arc<Endpoints>,
    /// The market.
    pub market: Market,
    /// Who pays for transactions.
    pub keys: Arc<Keyring>,
    /// The configuration.
    pub config: Config,
    /// The newest block.
    pub head: watch::Receiver<Option<BlockRef>>,
    /// Where it is written.
    pub head_tx: watch::Sender<Option<BlockRef>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Takes jobs that are new or changed.
    pub jobs: mpsc::Sender<JobId>,
    /// Tells of new blocks.
    pub wake_intake: Arc<Notify>,
    /// Tells of new entries in the outbox.
    pub wake_outbox: Arc<Notify>,
}

impl Leader {
    /// Leads until cancelled.
    pub async fn lead(&self, cancel: CancellationToken) {
        let outbox = Outbox::new(
            Arc::clone(&self.store),
            Arc::clone(&self.endpoints),
            &self.market,
            Arc::clone(&self.keys),
            Duration::from_millis(self.config.submit.replace_after_ms),
            u128::from(self.config.submit.max_fee_gwei) * 1_000_000_000,
            self.head.clone(),
            Arc::clone(&self.metrics),
        );
        let intake = Intake::new(
            Arc::clone(&self.endpoints),
            Arc::clone(&self.store),
            self.market.first_block,
            self.config.chain.confirmations,
            self.config.chain.finality,
        );
        self.wake_outbox.notify_one();
        let sending = outbox.run(
            Arc::clone(&self.wake_outbox),
            self.jobs.clone(),
            cancel.clone(),
        );
        tokio::join!(
            sending,
            self.follow(intake, cancel.clone()),
            self.tidy(cancel)
        );
    }

    /// Leads whenever this daemon has the seat, until cancelled.
    pub async fn when_elected(self, cancel: CancellationToken) {
        loop {
            match self.store.try_lead() {
                Ok(Some(mut seat)) => {
                    let deposed = cancel.child_token();
                    let watching = async {
                        loop {
                            tokio::select! {
                                () = cancel.cancelled() => return,
                                () = tokio::time::sleep(SEAT) => {}
                            }
                            if !self.store.leads(&mut seat) {
                                tracing::warn!(code = "deposed", "the seat is lost, not leading");
                                deposed.cancel();
                                return;
                            }
                        }
                    };
                    tokio::join!(watching, self.lead(deposed.clone()));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(code = "election_failed", %error, "the seat cannot be asked for");
                }
            }
            self.look().await;
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(SEAT.min(self.config.poll())) => {}
            }
        }
    }

    /// Forgets, now and then, what nobody needs any more.
    async fn tidy(&self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(TIDY) => {}
            }
            let age = Duration::from_secs(self.config.store.keep_days.saturating_mul(86_400));
            let forgotten = match self.forget().await {
                Ok(()) => self.forget_unannounced(age).await,
                error => error,
            };
            if let Err(error) = forgotten {
                tracing::warn!(code = "not_tidied", %error, "old jobs are not forgotten yet");
            }
        }
    }

    /// Forgets the jobs of orders that ended `store.keep_days` ago, beyond any reorganisation, and
    /// their evidence.
    async fn forget(&self) -> Result<(), StoreError> {
        let keep = self.config.store.keep_days.saturating_mul(86_400_000);
        let before_ms = now_ms().saturating_sub(keep);
        let cursor = self.store.cursor()?.map_or(0, |cursor| cursor.number);
        let last = cursor.saturating_sub(self.config.chain.finality);
        let may_go = |job: &Job, facts: &[Fact]| {
            let ended = Order::from_facts(job.id.order, facts).is_some_and(|order| order.is_over());
            let settled = facts.iter().all(|fact| fact.block.number <= last);
            ended && settled && job.since_ms < before_ms
        };
        let mut place = None;
        loop {
            let (evidence, next) = self.store.forget_closed(place, TIDIED, may_go)?;
            let open = self.store.open_jobs()?;
            for digest in evidence {
                if open.iter().any(|job| job.evidence == digest) {
                    continue;
                }
                if let Err(error) = self.bundles.remove(digest).await {
                    tracing::warn!(code = "not_tidied", %digest, %error, "a bundle is left");
                }
            }
            if next.is_none() {
                return Ok(());
            }
            place = next;
            tokio::task::yield_now().await;
        }
    }

    /// Removes what was left for orders that are over or gone, and was never announced.
    async fn forget_unannounced(&self, age: Duration) -> Result<(), StoreError> {
        let marks = match self.uploads.older_than(age).await {
            Ok(marks) => marks,
            Err(error) => {
                tracing::warn!(code = "not_tidied", %error, "uploads are left");
                return Ok(());
            }
        };
        let open = self.store.open_jobs()?;
        for mark in marks {
            let facts = self.store.facts(mark.order)?;
            if Order::from_facts(mark.order, &facts).is_some_and(|order| !order.is_over()) {
                continue;
            }
            // Somebody may have announced it all the same, even for another order.
            let needed = self.store.evidence(mark.evidence)?.is_some()
                || open.iter().any(|job| job.evidence == mark.evidence);
            let removed = match needed {
                true => Ok(()),
                false => self.bundles.remove(mark.evidence).await,
            };
            let done = match removed {
                Ok(()) => self.uploads.forget(mark).await,
                error => error,
            };
            if let Err(error) = done {
                tracing::warn!(code = "not_tidied", digest = %mark.evidence, %error, "an upload is left");
            }
        }
        Ok(())
    }

    /// Asks for the head only.
    async fn look(&self) {
        match self.endpoints.head().await {
            Ok(header) => self.set_head(Some(header.block)),
            Err(error) => tracing::debug!(%error, "no head"),
        }
    }

    fn set_head(&self, new: Option<BlockRef>) {
        self.head_tx.send_if_modified(|head| {
            let changed = *head != new;
            *head = new;
            changed
        });
    }

    /// Catches up whenever a block is announced, and every `poll` anyway.
    async fn follow(&self, mut intake: Intake<Arc<Endpoints>>, cancel: CancellationToken) {
        // What a restart finds open goes on where it was.
        let mut touched = self.store.open_jobs().unwrap_or_else(|error| {
            tracing::error!(code = "store_failed", %error, "open jobs cannot be read");
            Vec::new()
        });
        let mut resumed = false;
        loop {
            // Cut off between blocks, never in a write: `take_in` and `roll_back` do not wait.
            let caught_up = tokio::select! {
                () = cancel.cancelled() => return,
                caught_up = intake.catch_up() => caught_up,
            };
            match caught_up {
                Ok(progress) => {
                    self.metrics.caught_up(&progress);
                    touched.extend(&progress.touched);
                    self.set_head(progress.head);
                    if !resumed {
                        resumed = true;
                        tracing::info!(
                            block = progress.head.map(|head| head.number),
                            open = touched.len(),
                            "caught up"
                        );
                    }
                }
                Err(error) => {
                    tracing::warn!(code = "intake_failed", %error, "intake stopped short");
                }
            }
            // Jobs wait for the first head: deadlines are the chain's.
            if self.head_tx.borrow().is_some() {
                for id in touched.drain(..) {
                    if self.jobs.send(id).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.wake_intake.notified() => {}
                () = tokio::time::sleep(self.config.poll()) => {}
            }
        }
    }
}
