//! What is done with a job: fetch, verify, sign, hand over to the outbox.
//!
//! Each step reads the job from the store, does its work, and ends with one transition. Doing a
//! step twice, or being killed anywhere in it, is the same as doing it once.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{B256, U256};
use alloy::sol_types::{SolCall, SolValue};
use tokio::sync::{Semaphore, watch};
use vouch_abi::{IEscrow, Verdict};
use vouch_client::Market;
use vouch_client::verdict::digest;
use vouch_evidence::{Anchors, Cache, Check, Explanation, Observe};
use vouch_protocol::{Phase, Reason, challenge};
use vouch_verdict::{Case, Decision};

use crate::bundles::{BundleError, Bundles, InHand, Sources};
use crate::chain::{Chain, Endpoints};
use crate::collateral::Supplier;
use crate::facts::{Order, Started};
use crate::keys::{Keyring, Signer};
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::quorum::{self, Exchange, Message};
use crate::store::model::{
    BlockRef, EvidenceMeta, Job, JobId, OutboxEntry, Stage, StoredVerdict, Trouble,
};
use crate::store::{Shared, Store, StoreError};
use crate::time::now_ms;

/// First wait after trouble; it doubles with each try.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait after trouble.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long the other operators may take to sign before that is trouble.
const OTHERS: Duration = Duration::from_secs(2);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The job moved on: take the next step.
    Advanced,
    /// Nothing yet: try again after this long, or when woken.
    Wait(Duration),
    /// The pipeline is done with the job, for now or for good.
    Over,
}

/// Why a step was not taken. The job stays where it was.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] vouch_client::Error),
    /// The evidence store failed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A worker thread died.
    #[error("verification: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// Why there is nothing to judge.
enum Lacking {
    /// It may come yet.
    For(Option<Reason>, String),
    /// It cannot come.
    Never(String),
}

/// Everything a step needs.
#[derive(Debug)]
pub struct Pipeline {
    /// Jobs.
    pub store: Arc<Store>,
    /// Bundles at hand.
    pub bundles: Bundles,
    /// Where others come from.
    pub sources: Sources,
    /// Those that were just fetched.
    pub in_hand: InHand,
    /// The market; its provider is replaced by the best endpoint's.
    pub market: Market,
    /// Ways to the chain.
    pub endpoints: Arc<Endpoints>,
    /// Who signs and pays.
    pub keys: Arc<Keyring>,
    /// The other operators.
    pub exchange: Arc<Exchange>,
    /// How long an operator with a quorum waits for each that should submit before it.
    pub stagger: Duration,
    /// Whom to trust.
    pub anchors: Arc<Anchors>,
    /// Who issued the certificates of devices that were seen before.
    pub issuers: Arc<Cache>,
    /// Where collateral comes from that bundles do not bring.
    pub supplier: Supplier,
    /// How many bundles are verified at a time.
    pub verifying: Semaphore,
    /// Policies of orders seen before.
    pub policies: Policies,
    /// The newest block.
    pub head: watch::Receiver<Option<BlockRef>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Pipeline {
    /// Takes one step with a job.
    ///
    /// # Errors
    /// [`StepError`]; the job stays where it was.
    pub async fn step(&self, id: &JobId) -> Result<Outcome, StepError> {
        let Some(job) = self.store.job(id)? else {
            return Ok(Outcome::Over);
        };
        if job.stage.is_over() || job.stage == Stage::Submitted {
            return Ok(Outcome::Over);
        }
        // Neither needs the order. Once they had to wait, it may be too late.
        match job.stage {
            Stage::Seen if job.tries == 0 => return self.fetch(&job).await,
            Stage::Verified if job.tries == 0 => return self.sign(&job).await,
            _ => {}
        }
        let Some(order) = Order::from_facts(id.order, &self.store.facts(id.order)?) else {
            return self.abandon(&job, "the order was never placed".into());
        };
        let deadline = order.deadline(id.phase.0);
        let head = *self.head.borrow();
        if let Some(head) = head
            && head.timestamp > deadline
        {
            let last = job.trouble.as_ref().map_or("none", |t| &t.detail);
            let why = format!(
                "the {} deadline {} has passed, last trouble: {last}",
                id.phase.0,
                vouch_client::revert::time(deadline)
            );
            return self.abandon(&job, why);
        }
        match job.stage {
            Stage::Seen => self.fetch(&job).await,
            Stage::Fetched => self.verify(&job, order).await,
            Stage::Verified => self.sign(&job).await,
            Stage::Signed => self.submit(&job, order).await,
            Stage::Submitted | Stage::Final(_) | Stage::Abandoned { .. } => Ok(Outcome::Over),
        }
    }

    #[tracing::instrument(level = "trace", skip_all)]
    async fn fetch(&self, job: &Job) -> Result<Outcome, StepError> {
        let digest = job.id.evidence;
        let (source, bytes) = match self.bundles.get(digest).await? {
            Some(bytes) => ("evidence store".to_owned(), bytes),
            None => match self.sources.fetch(&self.bundles, digest).await {
                Ok(found) => found,
                Err(answers) => {
                    return self.trouble(job, Some(Reason::EvidenceMissing), answers);
                }
            },
        };
        let size = bytes.len() as u64;
        let meta = EvidenceMeta {
            size,
            source,
            at_ms: now_ms(),
        };
        self.store.fetched(&job.id, &meta)?;
        self.in_hand.keep(digest, bytes);
        tracing::info!(job = %job.id, source = meta.source, size, "fetched");
        Ok(Outcome::Advanced)
    }

    #[tracing::instrument(level = "trace", skip_all)]
    async fn verify(&self, job: &Job, order: Order) -> Result<Outcome, StepError> {
        let case = match self.case(job, order).await? {
            Ok(case) => case,
            Err(Lacking::For(reason, detail)) => return self.trouble(job, reason, detail),
            Err(Lacking::Never(why)) => return self.abandon(job, why),
        };
        let domain = self.market.domain();
        let known = Some(&self.issuers);
        let (_, decision, (), note) = self.decide(case, known, ()).await?;
        let with = |detail: String| match &note {
            Some(note) => format!("{detail}; {note}"),
            None => detail,
        };
        match decision {
            Decision::Inconclusive { reason, detail } => {
                self.trouble(job, Some(reason), with(detail))
            }
            Decision::Conclusive {
                verdict,
                reason,
                detail,
            } => {
                let stored = StoredVerdict {
                    digest: digest(&verdict, &domain),
                    verdict: verdict.abi_encode().into(),
                    reason: reason.code(),
                    detail: with(detail),
                    signatures: Vec::new(),
                };
                self.store.verified(&job.id, &stored)?;
                self.metrics.verdict(reason);
                tracing::info!(
                    job = %job.id, code = reason.code(), reason = reason.name(),
                    digest = %stored.digest, detail = stored.detail, "verified"
                );
                Ok(Outcome::Advanced)
            }
        }
    }

    /// Every check of a job's evidence, made again for a person to read; what is lacking where it
    /// cannot be made.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn explain(
        &self,
        job: &Job,
    ) -> Result<Result<(Vec<u8>, Decision, Vec<Check>), String>, StepError> {
        let facts = self.store.facts(job.id.order)?;
        let Some(order) = Order::from_facts(job.id.order, &facts) else {
            return Ok(Err("the order was never placed".into()));
        };
        let case = match self.case(job, order).await? {
            Ok(case) => case,
            Err(Lacking::For(_, detail) | Lacking::Never(detail)) => return Ok(Err(detail)),
        };
        // All of it is to be shown, also what is known.
        let seen = Explanation::default();
        let (case, decision, explanation, _) = self.decide(case, None, seen).await?;
        Ok(Ok((case.bundle, decision, explanation.into_checks())))
    }

    /// Decides a case on a thread that may block, with collateral fetched where the bundle's leaves
    /// something open. Hands back the case, what the observer saw last, and a note of what was fetched.
    async fn decide<O>(
        &self,
        case: Case,
        issuers: Option<&Arc<Cache>>,
        observer: O,
    ) -> Result<(Case, Decision, O, Option<String>), StepError>
    where
        O: Observe + Clone + Send + 'static,
    {
        let (mut case, decision, seen) = self.decide_once(case, issuers, observer.clone()).await?;
        let Decision::Inconclusive { reason, .. } = &decision else {
            return Ok((case, decision, seen, None));
        };
        if !self.supplier.can_help(*reason) {
            return Ok((case, decision, seen, None));
        }
        let found = self.supplier.supply(&case.bundle, case.observed_at).await?;
        case.supplement = Some(found.supplement);
        let (case, decision, seen) = self.decide_once(case, issuers, observer).await?;
        Ok((case, decision, seen, Some(found.note)))
    }

    async fn decide_once<O>(
        &self,
        case: Case,
        issuers: Option<&Arc<Cache>>,
        mut observer: O,
    ) -> Result<(Case, Decision, O), StepError>
    where
        O: Observe + Send + 'static,
    {
        let (anchors, issuers) = (Arc::clone(&self.anchors), issuers.cloned());
        // Nobody closes it.
        let _permit = self.verifying.acquire().await;
        let started = std::time::Instant::now();
        let decided = tokio::task::spawn_blocking(move || {
            let decision =
                vouch_verdict::decide(&case, &anchors, issuers.as_deref(), &mut observer);
            (case, decision, observer)
        });
        let decided = decided.await?;
        self.metrics.verified(started.elapsed());
        Ok(decided)
    }

    /// Everything that the verdict about a job depends on.
    async fn case(&self, job: &Job, order: Order) -> Result<Result<Case, Lacking>, StepError> {
        let digest = job.id.evidence;
        let bundle = match self.in_hand.take(digest) {
            None => self.bundles.get(digest).await?,
            bundle => bundle,
        };
        let Some(bundle) = bundle else {
            // Fetched from a source again, or put by its provider again.
            let found = self.sources.fetch(&self.bundles, digest).await;
            let detail = match found {
                Ok(_) => "the bundle was gone from the evidence store, and is back",
                Err(_) => "the bundle is gone from the evidence store",
            };
            let reason = Some(Reason::EvidenceMissing);
            return Ok(Err(Lacking::For(reason, detail.to_owned())));
        };
        let phase = job.id.phase.0;
        let Some(mut block) = order.challenge_block(phase) else {
            let why = format!("evidence announced before the {phase} phase");
            return Ok(Err(Lacking::Never(why)));
        };
        if phase == Phase::Heartbeat {
            block = match self.named_block(job, block).await? {
                Ok(block) => block,
                Err(lacking) => return Ok(Err(lacking)),
            };
        }
        let market = self.market();
        let policies = self.policies.of(&market, &order).await?;
        let started = match &order.started {
            Some(started) if phase != Phase::Start => {
                let verdict = self.start_verdict(&market, job.id.order, started).await?;
                if verdict.is_none() {
                    let detail = format!(
                        "start verdict {} is not in transaction {}",
                        started.verdict, started.at.tx
                    );
                    return Ok(Err(Lacking::For(None, detail)));
                }
                verdict
            }
            _ => None,
        };
        Ok(Ok(Case {
            bundle,
            announced: job.id.announcement(),
            challenge: challenge(
                market.chain_id,
                market.addresses.escrow,
                job.id.order,
                phase,
                job.id.attempt,
                block.hash,
            ),
            // The announcement's block is the same for every operator: so is the verdict.
            observed_at: job.block.timestamp,
            challenged_at: block.timestamp,
            terms: order.terms,
            policies,
            started,
            supplement: None,
        }))
    }

    /// The block that a heartbeat's announcement names: one since the order's start (`first`), from before the
    /// announcement.
    async fn named_block(
        &self,
        job: &Job,
        first: BlockRef,
    ) -> Result<Result<BlockRef, Lacking>, StepError> {
        let named = U256::from_be_bytes(job.id.outputs.0);
        let number = u64::try_from(named)
            .ok()
            .filter(|number| (first.number..job.block.number).contains(number));
        let Some(number) = number else {
            let (first, last) = (first.number, job.block.number.saturating_sub(1));
            let why = format!("a heartbeat names a block from {first} to {last}, this one {named}");
            return Ok(Err(Lacking::Never(why)));
        };
        match self.endpoints.block(number).await {
            Ok(Some(header)) => Ok(Ok(header.block)),
            Ok(None) => {
                let detail = format!("block {number} is not at hand");
                Ok(Err(Lacking::For(None, detail)))
            }
            Err(error) => Ok(Err(Lacking::For(None, error.to_string()))),
        }
    }

    /// Signs with each of this daemon's keys, and goes on once a quorum has signed the same.
    #[tracing::instrument(level = "trace", skip_all)]
    async fn sign(&self, job: &Job) -> Result<Outcome, StepError> {
        let Some(mut stored) = self.store.verdict(&job.id)? else {
            return self.abandon(job, "its verdict is missing from the store".into());
        };
        let market = self.market();
        let operators = self.exchange.operators();
        let mut shares = self.store.shares(&job.id)?;
        shares.retain(|share| share.block == job.block.hash);
        let known = shares.len();
        let keys = self.keys.now();
        let mut signing = self.operators_among(&market, &keys.verdict).await?;
        if signing.is_empty() {
            signing = self.operators_among(&market, &keys.retiring).await?;
        }
        for signer in signing {
            if shares.iter().any(|share| share.signer == signer.address()) {
                continue;
            }
            let domain = market.domain();
            let share = Message::sign(job.id, job.block.hash, &stored, signer, &domain).await?;
            match self.store.share(&job.id, &share)? {
                Shared::New | Shared::Known => shares.push(share),
                refused => {
                    let detail = format!("own signature not kept: {refused:?}");
                    return self.trouble(job, None, detail);
                }
            }
        }
        // Kept before anybody sees it: what was signed once is not signed otherwise after a crash.
        let signed = self.store.durable(job.id).await?;
        if shares.len() > known {
            self.exchange.tell(&signed);
        }
        let quorum = operators.quorum(&market).await?;
        let mut active = Vec::with_capacity(shares.len());
        for share in shares {
            let weight = operators.weight(&market, share.signer).await?;
            if let Some(weight @ 1..) = weight {
                active.push((share, weight));
            }
        }
        let own = self.exchange.own();
        let (mut signed, reached) = quorum::choose(&active, stored.digest, &own, quorum);
        if reached < quorum {
            let waited = now_ms().checked_sub(job.since_ms);
            let left = OTHERS.saturating_sub(waited.map_or(OTHERS, Duration::from_millis));
            if !left.is_zero() {
                return Ok(Outcome::Wait(left));
            }
            let others = active.iter();
            let others = others.filter(|(share, _)| share.digest != stored.digest);
            let detail = format!(
                "operators of weight {reached} of {quorum} signed this verdict, {} another",
                others.count()
            );
            return self.trouble(job, None, detail);
        }
        // As the contract takes them.
        signed.sort_by_key(|share| share.signer);
        stored.signatures = signed.iter().map(|share| share.signature.clone()).collect();
        self.store.signed(&job.id, &stored)?;
        tracing::info!(job = %job.id, signatures = signed.len(), "signed");
        Ok(Outcome::Advanced)
    }

    /// Those of some keys that the contract counts.
    async fn operators_among<'k>(
        &self,
        market: &Market,
        keys: &'k [Signer],
    ) -> Result<Vec<&'k Signer>, StepError> {
        let operators = self.exchange.operators();
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            if operators.is_operator(market, key.address()).await? == Some(true) {
                found.push(key);
            }
        }
        Ok(found)
    }

    #[tracing::instrument(level = "trace", skip_all)]
    async fn submit(&self, job: &Job, order: Order) -> Result<Outcome, StepError> {
        let Some(stored) = self.store.verdict(&job.id)? else {
            return self.abandon(job, "its verdict is missing from the store".into());
        };
        if let Some(wait) = self.turn(job, stored.digest)? {
            return Ok(Outcome::Wait(wait));
        }
        let Ok(verdict) = Verdict::abi_decode(&stored.verdict) else {
            return self.abandon(job, "its verdict in the store cannot be read".into());
        };
        let call = IEscrow::submitVerdictCall {
            terms: order.terms,
            verdict,
            signatures: stored.signatures.concat().into(),
        };
        let entry = OutboxEntry {
            input: call.abi_encode().into(),
            at_ms: now_ms(),
            flight: None,
            released: false,
        };
        self.store.submitted(&job.id, &entry)?;
        tracing::info!(job = %job.id, "handed to the outbox");
        Ok(Outcome::Over)
    }

    /// How long to leave submission to operators whose turn is before; nothing when it is ours.
    fn turn(&self, job: &Job, digest: B256) -> Result<Option<Duration>, StepError> {
        let shares = self.store.shares(&job.id)?;
        let rank = quorum::rank(&shares, digest, &self.exchange.own());
        let turn = self.stagger.saturating_mul(rank);
        // A clock that was set back must not make the wait longer: then the turn is now.
        let waited = now_ms().checked_sub(job.since_ms);
        let waited = waited.map_or(turn, Duration::from_millis);
        Ok(turn.checked_sub(waited).filter(|wait| !wait.is_zero()))
    }

    /// The verdict that started an order, as it stands in the transaction.
    async fn start_verdict(
        &self,
        market: &Market,
        order: B256,
        started: &Started,
    ) -> Result<Option<Verdict>, StepError> {
        let placed = market.verdict_in(started.at.tx, order).await?;
        Ok(placed.filter(|verdict| digest(verdict, &market.domain()) == started.verdict))
    }

    fn market(&self) -> Market {
        self.endpoints.market(&self.market)
    }

    fn abandon(&self, job: &Job, why: String) -> Result<Outcome, StepError> {
        tracing::warn!(job = %job.id, code = "abandoned", why, "abandoned");
        self.store.abandoned(&job.id, why)?;
        self.metrics.abandoned();
        Ok(Outcome::Over)
    }

    fn trouble(
        &self,
        job: &Job,
        reason: Option<Reason>,
        detail: String,
    ) -> Result<Outcome, StepError> {
        let trouble = Trouble {
            reason: reason.map(Reason::code),
            detail,
            at_ms: now_ms(),
        };
        let wait = backoff(job.tries);
        tracing::warn!(
            job = %job.id, code = trouble.reason, reason = trouble.reason_name(),
            detail = trouble.detail, stage = job.stage.name(), tries = job.tries + 1,
            retry_ms = wait.as_millis() as u64, "no progress"
        );
        self.metrics.trouble(reason);
        self.store.troubled(&job.id, &job.stage, &trouble)?;
        Ok(Outcome::Wait(wait))
    }
}

/// How long to wait after the `tries`-th failure.
pub fn backoff(tries: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << tries.min(10))
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        assert_eq!(backoff(0), FIRST_WAIT);
        assert!(backoff(3) > backoff(2));
        assert_eq!(backoff(u32::MAX), LONGEST_WAIT);
    }
}
