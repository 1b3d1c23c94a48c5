//! What the daemon tells of its work: logs on standard error and, built with feature `otel`, spans for an
//! OpenTelemetry collector.
//!
//! Spans have the level TRACE, below what logs show: a daemon without a collector makes none.

#[cfg_attr(not(feature = "otel"), path = "telemetry/no_export.rs")]
mod export;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::Config;
use export::Exporter;

/// What is told without `RUST_LOG`.
const LEVELS: &str = "warn,vouch_oracle=info";

/// Where something of what happens is told.
type Told = Box<dyn Layer<Registry> + Send + Sync>;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What was started, to be stopped once there is nothing more to tell.
#[derive(Debug)]
#[must_use = "the last spans leave when it is stopped"]
pub struct Telemetry {
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Starts logs and, where a configuration asks for it, the export of spans. To be called once, in a runtime.
    ///
    /// # Errors
    /// What is wrong with the way to the collector. One that does not answer is no error.
    pub fn start(format: Format, config: Option<&Config>) -> anyhow::Result<Self> {
        let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
        let logs = fmt::layer().with_writer(std::io::stderr);
        let logs: Told = match format {
            Format::Text => logs.with_filter(levels).boxed(),
            Format::Json => {
                let logs = logs.json().flatten_event(true);
                logs.with_filter(levels).boxed()
            }
        };
        let exporter = config.map(Exporter::start).transpose()?.flatten();
        let spans = exporter.as_ref().map(Exporter::layer);
        let told: Vec<Told> = std::iter::once(logs).chain(spans).collect();
        tracing_subscriber::registry().with(told).init();
        Ok(Self { exporter })
    }

    /// Sends what was not sent yet.
    pub async fn stop(self) {
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
    }
}
