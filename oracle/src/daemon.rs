//! Puts the parts together and takes them down in order.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use alloy::providers::{DynProvider, Provider};
use anyhow::Context;
use axum::Router;
use axum::serve::{Listener, ListenerExt};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use vouch_client::{Deployment, Market, connect};
use vouch_evidence::Anchors;

use crate::api::{self, Api, Balance};
use crate::bundles::{Bucket, Bundles, InHand, Objects, Sources};
use crate::chain::Endpoints;
use crate::collateral::Supplier;
use crate::config::{Config, Simulated};
use crate::keys::{Keyring, Signers};
use crate::leader::Leader;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::policies::Policies;
use crate::quorum::Exchange;
use crate::store::model::JobId;
use crate::store::{MarketId, Store, StoreError};
use crate::tls::{Authorities, Handshakes, Identity};
use crate::uploads::Uploads;
use crate::{survey, workers};

/// How long an endpoint is left alone after it failed to connect.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long a database server that does not answer is waited for at the start.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// How often the gas account's balance is asked for.
const BALANCE: Duration = Duration::from_secs(15);

/// A configuration whose market, keys and roots have been checked against the chain.
#[derive(Debug)]
pub struct Checked {
    config: Config,
    market: Market,
    deployment: Deployment,
    endpoints: Vec<(String, String, Option<DynProvider>)>,
    keys: Keyring,
    anchors: Anchors,
    identity: Option<Arc<Identity>>,
    authorities: Authorities,
    bucket: Option<Bucket>,
}

impl Checked {
    /// Asks for what may be away for a while when the daemon starts: the evidence's bucket.
    ///
    /// # Errors
    /// What the bucket's service answers, or that it does not.
    pub async fn reach(&self) -> anyhow::Result<()> {
        if let Some(bucket) = &self.bucket {
            bucket.reach().await?;
        }
        Ok(())
    }
}

/// Asks a running daemon to read its keys and its certificate again.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The configuration's file. Only its keys are taken over; the certificate's files stay those of the start.
    pub file: PathBuf,
    /// Told when they have changed.
    pub asked: Arc<Notify>,
}

/// Checks everything that can be checked before the daemon runs.
///
/// # Errors
/// What is wrong, with the configuration's key where there is one.
pub async fn check(config: Config) -> anyhow::Result<Checked> {
    let deployment = Deployment::load(&config.chain.deployment)?;
    config.check_chain(deployment.chain_id)?;
    let signers = Signers::load(&config.keys).await?;
    let identity = config.server.tls.clone().map(Identity::load).transpose()?;
    let authorities = Authorities::load(config.trust.authorities.as_deref())?;
    let timeout = Duration::from_millis(config.evidence.timeout_ms);
    let bucket = config.evidence.bucket.as_ref();
    let bucket = bucket
        .map(|bucket| Bucket::new(bucket, timeout, &authorities))
        .transpose()?;
    let anchors = anchors(config.trust.simulated.as_ref())?;
    let mut endpoints = Vec::new();
    let mut failures = Vec::new();
    for (i, url) in config.chain.endpoints.iter().enumerate() {
        let name = format!("chain.endpoints[{i}]");
        let timeout = Duration::from_millis(config.chain.timeout_ms);
        let provider = match tokio::time::timeout(timeout, connect(url, None)).await {
            Ok(Ok(provider)) => {
                let deployed = deployment.verify(&provider).await;
                deployed.with_context(|| name.clone())?;
                Some(provider)
            }
            Ok(Err(error)) => {
                failures.push(format!("{name} {url}: {error}"));
                None
            }
            Err(_) => {
                failures.push(format!("{name} {url}: no answer"));
                None
            }
        };
        endpoints.push((name, url.clone(), provider));
    }
    for failure in &failures {
        tracing::warn!(
            code = "endpoint_down",
            failure,
            "endpoint is down, tried again later"
        );
    }
    let up = endpoints
        .iter()
        .find_map(|(_, _, provider)| provider.clone());
    let Some(first) = up else {
        anyhow::bail!("no endpoint answers: {}", failures.join("; "));
    };
    let market = Market::open(&deployment, first).await?;
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
        operators = ?signers.operators(), gas = %signers.gas.address(),
        simulated = anchors.trusts_simulator(), "configuration checked"
    );
    Ok(Checked {
        config,
        deployment,
        market,
        endpoints,
        keys: Keyring::new(signers),
        anchors,
        identity: identity.map(Arc::new),
        authorities,
        bucket,
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
pub async fn run(
    checked: Checked,
    reload: Reload,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let Checked {
        config,
        deployment,
        market,
        endpoints,
        keys,
        anchors,
        identity,
        authorities,
        bucket,
    } = checked;
    let keys = Arc::new(keys);
    let id = MarketId {
        chain_id: market.chain_id,
        escrow: market.addresses.escrow,
    };
    let Some(store) = open_store(&config, &authorities, id, &cancel).await? else {
        return Ok(());
    };
    let store = Arc::new(store);
    let max_bytes = config.evidence.max_bytes;
    let bundles = match bucket {
        Some(bucket) => Bundles::new(Objects::Bucket(bucket), max_bytes),
        None => Bundles::open(config.evidence_dir(), max_bytes)?,
    };
    let timeout = Duration::from_millis(config.evidence.timeout_ms);
    let http = authorities.client().timeout(timeout);
    let sources = Sources::new(&config.evidence.sources, http)?;
    let rpc_timeout = Duration::from_millis(config.chain.timeout_ms);
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
    let exchange = Arc::new(Exchange::new(
        Arc::clone(&store),
        market.clone(),
        Arc::clone(&endpoints),
        Arc::clone(&keys),
        Arc::clone(&metrics),
        jobs_tx.clone(),
    ));

    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("server.listen {}", config.server.listen))?;
    tracing::info!(listen = %listener.local_addr()?, tls = identity.is_some(), "listening");
    let leader = Leader {
        store: Arc::clone(&store),
        bundles: bundles.clone(),
        uploads: Uploads::beside(&bundles),
        endpoints: Arc::clone(&endpoints),
        market: market.clone(),
        keys: Arc::clone(&keys),
        config: config.clone(),
        head,
        metrics: Arc::clone(&metrics),
        head_tx,
        jobs: jobs_tx.clone(),
        wake_intake: Arc::clone(&wake_intake),
        wake_outbox: Arc::clone(&wake_outbox),
    };
    let pipeline = Arc::new(Pipeline {
        store: Arc::clone(&store),
        bundles,
        sources,
        in_hand: InHand::default(),
        market,
        endpoints,
        keys,
        anchors,
        issuers: Arc::default(),
        exchange: Arc::clone(&exchange),
        supplier,
        verifying: Semaphore::new(config.server.workers * 2),
        policies: Policies::default(),
        stagger: Duration::from_millis(config.quorum.stagger_ms),
        head: leader.head.clone(),
        metrics: Arc::clone(&metrics),
    });

    let (gas_tx, gas) = watch::channel(None);
    let rate = NonZeroU32::new(config.server.requests_per_second)
        .zip(NonZeroU32::new(config.server.burst))
        .map(|(per_second, burst)| api::Rate::new(per_second, burst, Arc::clone(&metrics)));
    let shown = Api {
        store: Arc::clone(&store),
        bundles: pipeline.bundles.clone(),
        uploads: leader.uploads.clone(),
        anchors: Arc::clone(&pipeline.anchors),
        head: leader.head.clone(),
        metrics: Arc::clone(&metrics),
        exchange: Arc::clone(&exchange),
        pipeline: Arc::clone(&pipeline),
        gas,
        limits: Arc::new(api::Limits::new(config.server.workers)),
        arrived,
    };
    let app = api::router(shown, rate);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(watch_gas(Arc::clone(&pipeline), gas_tx, cancel.clone()));
    tasks.spawn(take_over(
        Arc::clone(&pipeline),
        identity.clone(),
        reload,
        jobs_tx.clone(),
        cancel.clone(),
    ));
    match identity {
        Some(identity) => {
            let handshakes = Handshakes::new(listener, identity);
            tasks.spawn(serve(handshakes, app, cancel.clone()))
        }
        None => tasks.spawn(serve(listener, app, cancel.clone())),
    };
    let endpoints = Arc::clone(&pipeline.endpoints);
    tasks.spawn(watch_heads(endpoints, wake_intake, cancel.clone()));
    let (endpoints, stop) = (Arc::clone(&pipeline.endpoints), cancel.clone());
    tasks.spawn(async move { endpoints.reconnect(&deployment, stop).await });
    let endpoints = Arc::clone(&pipeline.endpoints);
    tasks.spawn(survey::run(endpoints, config.poll(), cancel.clone()));
    let timeout = Duration::from_millis(config.quorum.timeout_ms);
    let http = authorities.client().timeout(timeout);
    tasks.spawn(exchange.run(config.peers(), http, cancel.clone()));
    tasks.spawn(wake_arrived(arrived_rx, Arc::clone(&store), jobs_tx));
    let (workers, stop) = (config.server.workers, cancel.clone());
    if store.is_shared() {
        tasks.spawn(workers::run_shared(
            pipeline,
            wake_outbox,
            jobs_rx,
            workers,
            stop,
        ));
        tasks.spawn(leader.when_elected(cancel.clone()));
    } else {
        tasks.spawn(workers::run(pipeline, wake_outbox, jobs_rx, workers, stop));
        let stop = cancel.clone();
        tasks.spawn(async move { leader.lead(stop).await });
    }

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

/// Opens the store; none where the daemon was stopped first. A server that does not answer is waited for:
/// it may be starting as well.
async fn open_store(
    config: &Config,
    authorities: &Authorities,
    id: MarketId,
    cancel: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let Some(url) = &config.store.url else {
        return Ok(Some(Store::open(&config.store.dir, id)?));
    };
    let begun = Instant::now();
    loop {
        match Store::connect(url, authorities, id) {
            Err(error @ StoreError::Away(_)) if begun.elapsed() < STORE_PATIENCE => {
                tracing::warn!(code = "store_away", %error, "waiting for the store");
            }
            opened => return Ok(Some(opened?)),
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(None),
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}

/// Asks now and then what the account that pays for transactions has.
async fn watch_gas(
    pipeline: Arc<Pipeline>,
    balance: watch::Sender<Option<Balance>>,
    cancel: CancellationToken,
) {
    loop {
        let account = pipeline.keys.now().gas.address();
        if let Some(provider) = pipeline.endpoints.current() {
            match provider.get_balance(account).await {
                Ok(wei) => {
                    pipeline.metrics.gas_balance(f64::from(wei) / 1e18);
                    let wei = wei.to_string();
                    balance.send_replace(Some(Balance { account, wei }));
                }
                Err(error) => tracing::debug!(%error, "no balance"),
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(BALANCE) => {}
        }
    }
}

/// Serves the API until `stop`; requests that have begun are answered.
async fn serve<L>(listener: L, app: Router, stop: CancellationToken)
where
    L: Listener<Addr = SocketAddr>,
{
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    // A tapped listener is one that axum knows to say who sent a request.
    let served = axum::serve(listener.tap_io(|_| ()), app);
    if let Err(error) = served.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(code = "server_failed", %error, "HTTP server stopped");
    }
}

/// Takes keys from the configuration's file and the certificate from its own when asked. Where they cannot be had,
/// those in use stay.
async fn take_over(
    pipeline: Arc<Pipeline>,
    identity: Option<Arc<Identity>>,
    reload: Reload,
    jobs: mpsc::Sender<JobId>,
    cancel: CancellationToken,
) {
    let chain_id = pipeline.market.chain_id;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = reload.asked.notified() => {}
        }
        match identity.as_ref().map(|identity| identity.renew()) {
            None => {}
            Some(Ok(())) => tracing::info!("certificate renewed"),
            Some(Err(error)) => {
                tracing::error!(code = "certificate_refused", %error, "the certificate in use stays");
            }
        }
        let read = async {
            let config = Config::load(&reload.file)?;
            config.check_chain(chain_id)?;
            anyhow::Ok(Signers::load(&config.keys).await?)
        };
        match read.await {
            Ok(signers) => {
                pipeline.keys.change(signers);
                let keys = pipeline.keys.now();
                tracing::info!(operators = ?keys.operators(), gas = %keys.gas.address(), "keys changed");
            }
            Err(error) => {
                tracing::error!(
                    code = "keys_refused",
                    error = format!("{error:#}"),
                    "the keys in use stay"
                );
                continue;
            }
        }
        // Those who wait for a signature that could not be given need not wait longer.
        for id in pipeline.store.open_jobs().unwrap_or_default() {
            if jobs.send(id).await.is_err() {
                return;
            }
        }
    }
}

/// Tells intake of new blocks as endpoints with subscriptions announce them. One that breaks is
/// tried again; intake polls meanwhile, so nothing is lost.
async fn watch_heads(endpoints: Arc<Endpoints>, wake: Arc<Notify>, cancel: CancellationToken) {
    let streams = (0..endpoints.len()).map(|index| {
        let (endpoints, wake) = (&endpoints, &wake);
        async move {
            loop {
                if let Some(provider) = endpoints.get(index) {
                    // HTTP endpoints have no subscriptions.
                    if provider.client().pubsub_frontend().is_none() {
                        return;
                    }
                    match provider.subscribe_blocks().await {
                        Ok(subscription) => {
                            let mut blocks = subscription.into_stream();
                            while blocks.next().await.is_some() {
                                wake.notify_one();
                            }
                            tracing::warn!(
                                code = "subscription_lost",
                                endpoint = index,
                                "subscription ended, polling"
                            );
                        }
                        Err(error) => {
                            tracing::debug!(endpoint = index, %error, "no subscription, polling");
                        }
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
        let Ok(open) = store.open_jobs() else {
            continue;
        };
        for id in open.into_iter().filter(|id| id.evidence == digest) {
            if jobs.send(id).await.is_err() {
                return;
            }
        }
    }
}
