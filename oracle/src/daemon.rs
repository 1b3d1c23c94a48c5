//! Puts the parts together and takes them down in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use anyhow::Context;
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use vouch_client::{Deployment, Market, connect};
use vouch_evidence::Anchors;

use crate::api::{self, Api};
use crate::bundles::{Bundles, Sources};
use crate::chain::Endpoints;
use crate::collateral::Supplier;
use crate::config::{Config, Simulated};
use crate::intake::Intake;
use crate::keys::Signers;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pipeline::Pipeline;
use crate::store::model::{BlockRef, JobId, Stage};
use crate::store::{MarketId, Store};
use crate::workers;

/// How long an endpoint is left alone after it failed to connect.
const RECONNECT: Duration = Duration::from_secs(1);

/// A configuration whose market, keys and roots have been checked against the chain.
#[derive(Debug)]
pub struct Checked {
    config: Config,
    market: Market,
    endpoints: Vec<(String, alloy::providers::DynProvider)>,
    signers: Signers,
    anchors: Anchors,
}

/// Checks everything that can be checked before the daemon runs.
///
/// # Errors
/// What is wrong, with the configuration's key where there is one.
pub async fn check(config: Config) -> anyhow::Result<Checked> {
    let deployment = Deployment::load(&config.chain.deployment)?;
    config.check_chain(deployment.chain_id)?;
    let signers = Signers::load(&config.keys)?;
    let anchors = anchors(config.trust.simulated.as_ref())?;
    let mut endpoints = Vec::new();
    let mut failures = Vec::new();
    for (i, url) in config.chain.endpoints.iter().enumerate() {
        let timeout = Duration::from_millis(config.chain.timeout_ms);
        match tokio::time::timeout(timeout, connect(url, None)).await {
            Ok(Ok(provider)) => endpoints.push((format!("chain.endpoints[{i}]"), provider)),
            Ok(Err(error)) => failures.push(format!("chain.endpoints[{i}] {url}: {error}")),
            Err(_) => failures.push(format!("chain.endpoints[{i}] {url}: no answer")),
        }
    }
    for failure in &failures {
        tracing::warn!(code = "endpoint_down", failure, "endpoint left out");
    }
    let Some((_, first)) = endpoints.first() else {
        anyhow::bail!("no endpoint answers: {}", failures.join("; "));
    };
    let market = Market::open(&deployment, first.clone()).await?;
    for (name, provider) in &endpoints {
        let deployed = deployment.verify(provider).await;
        deployed.with_context(|| name.clone())?;
    }
    let attestation = market.attestation();
    let quorum = attestation.quorum().call().await?;
    for (i, signer) in signers.verdict.iter().enumerate() {
        let (address, key) = (signer.address(), format!("keys.verdict[{i}]"));
        if !attestation.isOperator(address).call().await? {
            tracing::warn!(code = "not_operator", key, %address, "not an operator: its signature will not count");
        }
    }
    tracing::info!(
        chain_id = market.chain_id, escrow = %market.addresses.escrow, quorum,
        operators = signers.verdict.len(), gas = %signers.gas.address(),
        simulated = anchors.trusts_simulator(), "configuration checked"
    );
    Ok(Checked {
        config,
        market,
        endpoints,
        signers,
        anchors,
    })
}

/// The vendors' roots, and a simulator's where the configuration names them.
///
/// # Errors
/// What is wrong with a simulator's certificate.
pub fn anchors(simulated: Option<&Simulated>) -> anyhow::Result<Anchors> {
    let vendor = Anchors::vendor();
    let Some(simulated) = simulated else {
        return Ok(vendor);
    };
    let read = |key: &str, path: &Path| {
        let bytes = std::fs::read(path)
            .with_context(|| format!("trust.simulated.{key}: {}", path.display()))?;
        anyhow::Ok(bytes)
    };
    let nvidia = read("nvidia_root", &simulated.nvidia_root)?;
    let ark = read("amd_ark", &simulated.amd_ark)?;
    let ask = read("amd_ask", &simulated.amd_ask)?;
    vendor
        .with_simulated(&nvidia, &ark, &ask)
        .map_err(|rejection| anyhow::anyhow!("trust.simulated: {rejection}"))
}

/// Runs until `cancel`.
///
/// # Errors
/// What kept the daemon from starting. Once it runs, it goes on.
pub async fn run(checked: Checked, cancel: CancellationToken) -> anyhow::Result<()> {
    let Checked {
        config,
        market,
        endpoints,
        signers,
        anchors,
    } = checked;
    let id = MarketId {
        chain_id: market.chain_id,
        escrow: market.addresses.escrow,
    };
    let store = Arc::new(Store::open(&config.store.dir, id)?);
    let bundles = Bundles::open(config.evidence_dir(), config.evidence.max_bytes)?;
    let timeout = Duration::from_millis(config.evidence.timeout_ms);
    let sources = Sources::new(&config.evidence.sources, timeout)?;
    let rpc_timeout = Duration::from_millis(config.chain.timeout_ms);
    let streams = endpoints.clone();
    let endpoints = Arc::new(Endpoints::new(
        endpoints,
        market.addresses.escrow,
        rpc_timeout,
    ));
    let anchors = Arc::new(anchors);
    let supplier = Supplier::new(
        config.collateral.as_ref(),
        &config.store.dir,
        bundles.clone(),
        Arc::clone(&anchors),
    )
    .context("collateral")?;
    let metrics = Arc::new(Metrics::default());
    let (head_tx, head) = watch::channel(None);
    let (jobs_tx, jobs_rx) = mpsc::channel(1024);
    let (arrived, arrived_rx) = mpsc::channel(1024);
    let wake_outbox = Arc::new(Notify::new());
    let wake_intake = Arc::new(Notify::new());

    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("server.listen {}", config.server.listen))?;
    tracing::info!(listen = %listener.local_addr()?, "listening");
    let app = api::router(Api {
        store: Arc::clone(&store),
        bundles: bundles.clone(),
        anchors: Arc::clone(&anchors),
        head: head.clone(),
        metrics: Arc::clone(&metrics),
        arrived,
    });
    let outbox = Outbox::new(
        Arc::clone(&store),
        Arc::clone(&endpoints),
        &market,
        signers.gas.clone(),
        Duration::from_millis(config.submit.replace_after_ms),
        u128::from(config.submit.max_fee_gwei) * 1_000_000_000,
        head.clone(),
        Arc::clone(&metrics),
    );
    let intake = Intake::new(
        Arc::clone(&endpoints),
        Arc::clone(&store),
        market.first_block,
        config.chain.confirmations,
        config.chain.finality,
    );
    let poll = config.poll();
    let workers_count = config.server.workers;
    let pipeline = Arc::new(Pipeline {
        store: Arc::clone(&store),
        bundles,
        sources,
        market,
        endpoints,
        signers,
        anchors,
        supplier,
        head,
        metrics: Arc::clone(&metrics),
    });

    let mut tasks = tokio::task::JoinSet::new();
    let stop = cancel.clone();
    tasks.spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(code = "server_failed", %error, "HTTP server stopped");
        }
    });
    tasks.spawn(watch_heads(
        streams,
        Arc::clone(&wake_intake),
        cancel.clone(),
    ));
    tasks.spawn(outbox.run(Arc::clone(&wake_outbox), jobs_tx.clone(), cancel.clone()));
    tasks.spawn(workers::run(
        pipeline,
        Arc::clone(&wake_outbox),
        jobs_rx,
        workers_count,
        cancel.clone(),
    ));
    tasks.spawn(wake_arrived(
        arrived_rx,
        Arc::clone(&store),
        jobs_tx.clone(),
    ));
    tasks.spawn(follow(
        intake,
        Arc::clone(&store),
        metrics,
        head_tx,
        jobs_tx,
        wake_intake,
        poll,
        cancel.clone(),
    ));
    wake_outbox.notify_one();

    cancel.cancelled().await;
    tracing::info!("stopping");
    // Every part stops between two writes; the server finishes its requests.
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .is_err()
    {
        tracing::warn!(code = "slow_stop", "cutting off what is still running");
    }
    tasks.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Catches up whenever a block is announced, and every `poll` anyway.
#[allow(clippy::too_many_arguments, reason = "spawned once, by `run`")]
async fn follow(
    mut intake: Intake<Arc<Endpoints>>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    head: watch::Sender<Option<BlockRef>>,
    jobs: mpsc::Sender<JobId>,
    wake: Arc<Notify>,
    poll: Duration,
    cancel: CancellationToken,
) {
    // What a restart finds open goes on where it was.
    let mut touched = open_jobs(&store);
    let mut resumed = false;
    loop {
        // Cut off between blocks, never in a write: `take_in` and `roll_back` do not wait.
        let caught_up = tokio::select! {
            () = cancel.cancelled() => return,
            caught_up = intake.catch_up() => caught_up,
        };
        match caught_up {
            Ok(progress) => {
                metrics.caught_up(&progress);
                touched.extend(&progress.touched);
                head.send_if_modified(|head| {
                    let changed = *head != progress.head;
                    *head = progress.head;
                    changed
                });
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
        if head.borrow().is_some() {
            for id in touched.drain(..) {
                if jobs.send(id).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
    }
}

fn open_jobs(store: &Store) -> Vec<JobId> {
    let jobs = match store.jobs() {
        Ok(jobs) => jobs,
        Err(error) => {
            tracing::error!(code = "store_failed", %error, "open jobs cannot be read");
            return Vec::new();
        }
    };
    jobs.filter_map(|job| match job {
        Ok(job) => (!job.stage.is_over()).then_some(job.id),
        Err(error) => {
            tracing::error!(code = "store_failed", %error, "job skipped");
            None
        }
    })
    .collect()
}

/// Tells intake of new blocks as endpoints with subscriptions announce them. One that breaks is
/// tried again; intake polls meanwhile, so nothing is lost.
async fn watch_heads(
    endpoints: Vec<(String, alloy::providers::DynProvider)>,
    wake: Arc<Notify>,
    cancel: CancellationToken,
) {
    use alloy::providers::Provider;
    let streams = endpoints.into_iter().map(|(name, provider)| {
        let wake = Arc::clone(&wake);
        async move {
            // HTTP endpoints have no subscriptions.
            if provider.client().pubsub_frontend().is_none() {
                return;
            }
            loop {
                match provider.subscribe_blocks().await {
                    Ok(subscription) => {
                        let mut blocks = subscription.into_stream();
                        while blocks.next().await.is_some() {
                            wake.notify_one();
                        }
                        tracing::warn!(code = "subscription_lost", endpoint = name, "subscription ended, polling");
                    }
                    Err(error) => {
                        tracing::warn!(code = "subscription_failed", endpoint = name, %error, "no subscription, polling");
                    }
                }
                tokio::time::sleep(RECONNECT).await;
            }
        }
    });
    tokio::select! {
        () = cancel.cancelled() => {}
        _ = futures::future::join_all(streams) => {}
    }
}

/// Wakes the jobs that wait for a bundle that was put here.
async fn wake_arrived(
    mut arrived: mpsc::Receiver<B256>,
    store: Arc<Store>,
    jobs: mpsc::Sender<JobId>,
) {
    while let Some(digest) = arrived.recv().await {
        let waiting: Vec<JobId> = match store.jobs() {
            Ok(all) => all
                .filter_map(Result::ok)
                .filter(|job| job.id.evidence == digest && job.stage == Stage::Seen)
                .map(|job| job.id)
                .collect(),
            Err(_) => continue,
        };
        for id in waiting {
            if jobs.send(id).await.is_err() {
                return;
            }
        }
    }
}
