//! What is done with a job: fetch, verify, sign, hand over to the outbox.
//!
//! Each step reads the job from the store, does its work, and ends with one transition. Doing a
//! step twice, or being killed anywhere in it, is the same as doing it once.

use std::sync::Arc;
use std::time::Duration;

use alloy::sol_types::{SolCall, SolValue};
use tokio::sync::watch;
use vouch_abi::{IEscrow, Verdict};
use vouch_client::Market;
use vouch_client::verdict::{Signed, concatenate, digest};
use vouch_evidence::Anchors;
use vouch_protocol::{Phase, Reason, challenge};

use crate::bundles::{BundleError, Bundles, Sources};
use crate::chain::Endpoints;
use crate::collateral::Supplier;
use crate::facts::{Order, Started};
use crate::judge::{self, Case, Decision};
use crate::keys::Signers;
use crate::metrics::Metrics;
use crate::store::model::{
    BlockRef, EvidenceMeta, Job, JobId, OutboxEntry, Stage, StoredVerdict, Trouble,
};
use crate::store::{Store, StoreError};
use crate::time::now_ms;

/// First wait after trouble; it doubles with each try.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait after trouble.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

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

/// Everything a step needs.
#[derive(Debug)]
pub struct Pipeline {
    /// Jobs.
    pub store: Arc<Store>,
    /// Bundles at hand.
    pub bundles: Bundles,
    /// Where others come from.
    pub sources: Sources,
    /// The market; its provider is replaced by the best endpoint's.
    pub market: Market,
    /// Ways to the chain.
    pub endpoints: Arc<Endpoints>,
    /// Who signs.
    pub signers: Signers,
    /// Whom to trust.
    pub anchors: Arc<Anchors>,
    /// Where collateral comes from that bundles do not bring.
    pub supplier: Supplier,
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
            Stage::Signed => self.submit(&job, order),
            Stage::Submitted | Stage::Final(_) | Stage::Abandoned { .. } => Ok(Outcome::Over),
        }
    }

    async fn fetch(&self, job: &Job) -> Result<Outcome, StepError> {
        let digest = job.id.evidence;
        let (source, size) = match self.bundles.get(digest).await? {
            Some(bytes) => ("evidence store".to_owned(), bytes.len() as u64),
            None => match self.sources.fetch(&self.bundles, digest).await {
                Ok(found) => found,
                Err(answers) => {
                    return self.trouble(job, Some(Reason::EvidenceMissing), answers);
                }
            },
        };
        let meta = EvidenceMeta {
            size,
            source,
            at_ms: now_ms(),
        };
        self.store.fetched(&job.id, &meta)?;
        tracing::info!(job = %job.id, source = meta.source, size, "fetched");
        Ok(Outcome::Advanced)
    }

    async fn verify(&self, job: &Job, order: Order) -> Result<Outcome, StepError> {
        let Some(bundle) = self.bundles.get(job.id.evidence).await? else {
            let detail = "the bundle is gone from the evidence store".to_owned();
            // Fetched from a source again, or put by its provider again.
            let found = self.sources.fetch(&self.bundles, job.id.evidence).await;
            return match found {
                Ok(_) => Ok(Outcome::Advanced),
                Err(_) => self.trouble(job, Some(Reason::EvidenceMissing), detail),
            };
        };
        let phase = job.id.phase.0;
        let Some(block) = order.challenge_block(phase) else {
            return self.abandon(job, format!("evidence announced before the {phase} phase"));
        };
        let market = self.market();
        let policies = market
            .policies_of(Some(order.placed.tx), &order.terms)
            .await?;
        let started = match &order.started {
            Some(started) if phase == Phase::Finish => {
                let verdict = self.start_verdict(&market, started).await?;
                if verdict.is_none() {
                    let detail = format!(
                        "start verdict {} is not in transaction {}",
                        started.verdict, started.at.tx
                    );
                    return self.trouble(job, None, detail);
                }
                verdict
            }
            _ => None,
        };
        let case = Case {
            bundle,
            job: job.id,
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
            order,
            policies,
            started,
            supplement: None,
        };
        let (mut case, mut decision) = self.decide(case).await?;
        let mut supplied = None;
        if let Decision::Inconclusive { reason, .. } = &decision
            && self.supplier.can_help(*reason)
        {
            let found = self.supplier.supply(&case.bundle, case.observed_at).await?;
            case.supplement = Some(found.supplement);
            supplied = Some(found.note);
            decision = self.decide(case).await?.1;
        }
        let with = |detail: String| match &supplied {
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
                    digest: digest(&verdict, &market.domain()),
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

    /// Decides a case on a thread that may block, and hands it back.
    async fn decide(&self, case: Case) -> Result<(Case, Decision), StepError> {
        let anchors = Arc::clone(&self.anchors);
        let started = std::time::Instant::now();
        let decided = tokio::task::spawn_blocking(move || {
            let decision = judge::decide(&case, &anchors);
            (case, decision)
        });
        let decided = decided.await?;
        self.metrics.verified(started.elapsed());
        Ok(decided)
    }

    async fn sign(&self, job: &Job) -> Result<Outcome, StepError> {
        let Some(mut stored) = self.store.verdict(&job.id)? else {
            return self.abandon(job, "its verdict is missing from the store".into());
        };
        let attestation = self.market().attestation();
        let quorum = attestation
            .quorum()
            .call()
            .await
            .map_err(vouch_client::Error::from)?;
        let mut signed = Vec::with_capacity(self.signers.verdict.len());
        for signer in &self.signers.verdict {
            let active = attestation.isOperator(signer.address()).call().await;
            if active.map_err(vouch_client::Error::from)? {
                signed.push(Signed::new(stored.digest, signer)?);
            }
        }
        // More than the quorum would only cost gas.
        signed.truncate(usize::from(quorum));
        if signed.len() < usize::from(quorum) {
            let detail = format!(
                "expected {quorum} signatures of operators, this daemon has {}",
                signed.len()
            );
            return self.trouble(job, None, detail);
        }
        stored.signatures = signed
            .iter()
            .map(|signed| signed.signature.as_bytes().to_vec().into())
            .collect();
        self.store.signed(&job.id, &stored)?;
        tracing::info!(job = %job.id, signatures = signed.len(), "signed");
        Ok(Outcome::Advanced)
    }

    fn submit(&self, job: &Job, order: Order) -> Result<Outcome, StepError> {
        let Some(stored) = self.store.verdict(&job.id)? else {
            return self.abandon(job, "its verdict is missing from the store".into());
        };
        let signatures: Result<Vec<_>, _> = stored
            .signatures
            .iter()
            .map(|bytes| Signed::recover(stored.digest, bytes))
            .collect();
        let verdict = Verdict::abi_decode(&stored.verdict);
        let (Ok(signatures), Ok(verdict)) = (signatures, verdict) else {
            return self.abandon(job, "its verdict in the store cannot be read".into());
        };
        let call = IEscrow::submitVerdictCall {
            terms: order.terms,
            verdict,
            signatures: concatenate(signatures),
        };
        let entry = OutboxEntry {
            input: call.abi_encode().into(),
            at_ms: now_ms(),
            flight: None,
            released: false,
        };
        self.store.submitted(&job.id, entry)?;
        tracing::info!(job = %job.id, "handed to the outbox");
        Ok(Outcome::Over)
    }

    /// The verdict that started an order, as it stands in the transaction.
    async fn start_verdict(
        &self,
        market: &Market,
        started: &Started,
    ) -> Result<Option<Verdict>, StepError> {
        let placed = market.verdict_in(started.at.tx).await?;
        Ok(placed.filter(|verdict| digest(verdict, &market.domain()) == started.verdict))
    }

    fn market(&self) -> Market {
        match self.endpoints.current() {
            Some((_, provider)) => self.market.with(provider.clone()),
            None => self.market.clone(),
        }
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
        self.store.troubled(&job.id, &job.stage, trouble)?;
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
