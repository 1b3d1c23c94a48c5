//! Evidence on its way: from the hardware to the operators and into the order's history.

use std::convert::Infallible;
use std::time::Duration;

use alloy::primitives::B256;
use anyhow::{Context, Result};
use serde_json::json;
use vouch_client::{send, told};
use vouch_evidence::bundle::Bundle;
use vouch_protocol::{Phase, Statement};

use super::Job;

impl Job<'_> {
    /// Shows now and then that the session still runs, where the configuration says so: should the order come to its
    /// deadline without a finish, the compute is paid for what was shown.
    pub(super) async fn heartbeats(&self) -> Infallible {
        let Some(seconds) = self.config.heartbeat_seconds else {
            return std::future::pending().await;
        };
        for attempt in (0..=u8::MAX).cycle() {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if let Err(error) = self.beat(attempt).await {
                // The next one may do; the work does not depend on it.
                self.report.step(
                    "heartbeat_failed",
                    json!({ "attempt": attempt, "reason": told(error.as_ref()) }),
                );
            }
        }
        std::future::pending().await
    }

    async fn beat(&self, attempt: u8) -> Result<()> {
        let (challenge, block) = self.market.heartbeat(self.placed.order, attempt).await?;
        let statement = self.session.start(challenge, self.inputs);
        self.announce(Phase::Heartbeat, attempt, block, &statement)
            .await
    }

    /// Has the hardware vouch for a statement, leaves the evidence with the operators, and announces it with
    /// what it names: the outputs, or a heartbeat's block.
    pub(super) async fn announce(
        &self,
        phase: Phase,
        attempt: u8,
        named: B256,
        statement: &Statement,
    ) -> Result<()> {
        let bundle = self
            .backend
            .evidence(statement)
            .with_context(|| format!("{phase} evidence"))?
            .to_json();
        let digest = Bundle::digest(&bundle);
        let size = bundle.len();
        let url = self
            .market
            .upload(
                &self.config.evidence,
                self.placed.order,
                digest,
                bundle,
                &self.signer,
            )
            .await?;
        let escrow = self.market.escrow();
        let terms = self.placed.terms.clone();
        let call = escrow.submitEvidence(terms, phase as u8, attempt, digest, named, url);
        // Told before it is sent: what follows on the chain is then no surprise.
        self.report.step(
            "evidence",
            json!({ "phase": phase.name(), "digest": digest, "bytes": size }),
        );
        let receipt = send(call).await.context("announcing evidence")?;
        self.report.step(
            "announced",
            json!({
                "phase": phase.name(),
                "digest": digest,
                "transaction": receipt.transaction_hash,
                "gas": receipt.gas_used,
            }),
        );
        Ok(())
    }
}
