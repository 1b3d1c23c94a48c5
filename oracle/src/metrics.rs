//! What is counted. Label sets are closed: reasons by the protocol's table, nothing from outside.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vouch_protocol::Reason;

use crate::api::Unwelcome;
use crate::quorum::Refused;
use crate::store::model::Mined;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Counters of a daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    verdicts: Family<ByReason, Counter>,
    troubles: Family<ByReason, Counter>,
    abandoned: Counter,
    malformed: Counter,
    reorganisations: Counter,
    replaced: Counter,
    shares_refused: Family<ByReason, Counter>,
    uploads_refused: Family<ByReason, Counter>,
    equivocations: Counter,
    requests_limited: Counter,
    outbox: Gauge,
    block: Gauge<u64, AtomicU64>,
    gas_balance: Gauge<f64, AtomicU64>,
    verification: Histogram,
    latency: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("vouch_oracle");
        let metrics = Self {
            verdicts: Family::default(),
            troubles: Family::default(),
            abandoned: Counter::default(),
            malformed: Counter::default(),
            reorganisations: Counter::default(),
            replaced: Counter::default(),
            shares_refused: Family::default(),
            uploads_refused: Family::default(),
            equivocations: Counter::default(),
            requests_limited: Counter::default(),
            outbox: Gauge::default(),
            block: Gauge::default(),
            gas_balance: Gauge::default(),
            verification: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0]),
            latency: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0]),
            registry: Registry::default(),
        };
        registry.register("verdicts", "Verdicts reached", metrics.verdicts.clone());
        registry.register(
            "troubles",
            "Steps without progress",
            metrics.troubles.clone(),
        );
        registry.register("jobs_abandoned", "Jobs given up", metrics.abandoned.clone());
        registry.register(
            "events_malformed",
            "Events skipped",
            metrics.malformed.clone(),
        );
        registry.register(
            "reorganisations",
            "Reorganisations rolled back",
            metrics.reorganisations.clone(),
        );
        registry.register(
            "transactions_replaced",
            "Transactions sent again with higher fees",
            metrics.replaced.clone(),
        );
        registry.register(
            "signatures_refused",
            "Other operators' signatures that were refused",
            metrics.shares_refused.clone(),
        );
        registry.register(
            "uploads_refused",
            "Evidence that was not taken",
            metrics.uploads_refused.clone(),
        );
        registry.register(
            "equivocations",
            "Operators seen to sign two verdicts about the same evidence",
            metrics.equivocations.clone(),
        );
        registry.register(
            "requests_limited",
            "Requests refused because their sender asks too often",
            metrics.requests_limited.clone(),
        );
        registry.register(
            "outbox_entries",
            "Transactions waiting",
            metrics.outbox.clone(),
        );
        registry.register(
            "block_number",
            "Newest block taken in",
            metrics.block.clone(),
        );
        registry.register(
            "gas_balance_ether",
            "What the account that pays for transactions has",
            metrics.gas_balance.clone(),
        );
        registry.register_with_unit(
            "verification",
            "Time to verify a bundle",
            Unit::Seconds,
            metrics.verification.clone(),
        );
        registry.register_with_unit(
            "verdict_latency",
            "From evidence announced to verdict on chain",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// A verdict was reached.
    pub fn verdict(&self, reason: Reason) {
        let reason = reason.name();
        self.verdicts.get_or_create(&ByReason { reason }).inc();
    }

    /// A step made no progress.
    pub fn trouble(&self, reason: Option<Reason>) {
        let reason = reason.map_or("none", Reason::name);
        self.troubles.get_or_create(&ByReason { reason }).inc();
    }

    /// A job was given up.
    pub fn abandoned(&self) {
        self.abandoned.inc();
    }

    /// A transaction was replaced.
    pub fn replaced(&self) {
        self.replaced.inc();
    }

    /// A request was refused because its sender asks too often.
    pub fn request_limited(&self) {
        self.requests_limited.inc();
    }

    /// Another operator's signature was refused.
    pub fn share_refused(&self, refused: &Refused) {
        let reason = refused.code();
        self.shares_refused
            .get_or_create(&ByReason { reason })
            .inc();
    }

    /// Evidence was not taken.
    pub fn upload_refused(&self, unwelcome: Unwelcome) {
        let reason = unwelcome.code();
        self.uploads_refused
            .get_or_create(&ByReason { reason })
            .inc();
    }

    /// An operator signed two verdicts about the same evidence.
    pub fn equivocated(&self) {
        self.equivocations.inc();
    }

    /// Entries in the outbox.
    pub fn outbox(&self, entries: usize) {
        self.outbox.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// What the account that pays for transactions has, in ether.
    pub fn gas_balance(&self, ether: f64) {
        self.gas_balance.set(ether);
    }

    /// A bundle was verified.
    pub fn verified(&self, took: Duration) {
        self.verification.observe(took.as_secs_f64());
    }

    /// A verdict was mined.
    pub fn mined(&self, mined: &Mined) {
        let latency = Duration::from_millis(mined.latency_ms);
        self.latency.observe(latency.as_secs_f64());
    }

    /// Intake caught up.
    pub fn caught_up(&self, progress: &crate::intake::Progress) {
        if let Some(head) = progress.head {
            self.block.set(head.number);
        }
        self.malformed.inc_by(progress.malformed.into());
        self.reorganisations.inc_by(progress.reorganisations.into());
    }

    /// The exposition format of `/metrics`.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &self.registry);
        out
    }
}
