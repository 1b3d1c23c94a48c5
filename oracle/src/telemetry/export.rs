//! Spans to a collector, by OTLP over HTTP, in batches from a thread of their own. A collector that is slow or away
//! costs spans and nothing else: what does not fit in the queue is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

use super::Told;
use crate::config::Config;
use crate::tls::Authorities;

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last batch may take.
const LAST: Duration = Duration::from_secs(3);

/// The way to the collector.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Starts to export where the configuration has a collector.
    pub(super) fn start(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(traces) = &config.traces else {
            return Ok(None);
        };
        let authorities = Authorities::load(config.trust.authorities.as_deref())?;
        let collector = Collector {
            http: authorities.client().timeout(TIMEOUT).build()?,
            runtime: Handle::current(),
            lost: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(&traces.endpoint)
            .with_timeout(TIMEOUT)
            .with_http_client(collector)
            .build()
            .with_context(|| format!("traces.endpoint {}", traces.endpoint))?;
        // OTEL_RESOURCE_ATTRIBUTES says more, such as which of several daemons this is.
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(traces.ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    /// Takes this daemon's spans, and what it logs in them.
    pub(super) fn layer(&self) -> Told {
        let ours = |meta: &Metadata<'_>| {
            meta.target().starts_with("vouch_oracle")
                && (meta.is_span() || *meta.level() <= Level::INFO)
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_filter(filter_fn(ours))
            .boxed()
    }

    pub(super) async fn stop(self) {
        // It waits for the batch, which needs this runtime.
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST));
        if let Ok(Err(error)) = stopped.await {
            tracing::debug!(%error, "the last spans are lost");
        }
    }
}

/// The collector. It is asked from the exporter's thread, which has no runtime.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last batch was lost: it is said once.
    lost: AtomicBool,
}

impl Collector {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let answer = http
                .execute(request.try_into()?)
                .await?
                .error_for_status()?;
            let status = answer.status();
            let mut response = Response::new(answer.bytes().await?);
            *response.status_mut() = status;
            Ok::<_, reqwest::Error>(response)
        });
        Ok(sending.await??)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.send(request).await;
        let lost = self.lost.swap(sent.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (&sent, lost) {
            tracing::warn!(code = "traces_lost", %error, "the collector takes no spans");
        }
        sent
    }
}
