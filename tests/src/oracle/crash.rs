//! Kills the oracle at random points while orders flow, and audits what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::audit::{self, Report};
use super::daemon::{Daemon, Plan};
use super::fair::{Fair, Size};
use super::lane::{Done, Lane};
use super::postgres::Server;

/// What the daemon says on its way: each is a place to die right after.
const MILESTONES: [&str; 10] = [
    "listening",
    "caught up",
    "taken in",
    "fetched",
    "verified",
    "signed",
    "handed to the outbox",
    "sending",
    "verdict on chain",
    "OrderS",
];
/// Longest life of a daemon that nobody sees reach its milestone.
const LONGEST: Duration = Duration::from_millis(1500);
/// One in so many kills of a shared store's workers is followed by a crash of the server.
const SERVER_EVERY: usize = 12;

/// How a crash test is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many times a daemon is killed.
    pub kills: usize,
    /// Orders at a time.
    pub lanes: usize,
    /// What the random points come from.
    pub seed: u64,
    /// Where the daemon keeps what it knows.
    pub store: Where,
}

/// Kinds of stores.
#[derive(Clone, Debug)]
pub enum Where {
    /// Embedded: one daemon.
    Embedded,
    /// A server of the test's own, which is crashed too: two daemons.
    Private,
    /// A database that somebody else runs: two daemons.
    Url(String),
}

/// What a crash test came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Times a daemon was killed.
    pub kills: usize,
    /// Times the database server was.
    pub server_crashes: usize,
    /// What became of the orders.
    pub report: Report,
    /// How long it took.
    pub took: Duration,
}

/// Runs a crash test; nothing where what it needs is not installed.
pub async fn run(settings: &Settings) -> Result<Option<Outcome>> {
    let server = match settings.store {
        Where::Private => match Server::start()? {
            Some(server) => Some(server),
            None => return Ok(None),
        },
        _ => None,
    };
    let url = match (&server, &settings.store) {
        (Some(server), _) => Some(server.url()),
        (None, Where::Url(url)) => Some(url.clone()),
        _ => None,
    };
    let begun = Instant::now();
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: settings.lanes,
    };
    let (fair, lanes) = Fair::open(size).await?;
    let workers = if url.is_some() { 2 } else { 1 };
    let mut plans = Vec::new();
    for i in 0..workers {
        let mut plan = Plan::new(&fair, &format!("oracle-{i}"), fair.operators.clone())?;
        plan.store = url.clone();
        plans.push(plan);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut work = tokio::task::JoinSet::new();
    for lane in lanes {
        work.spawn(flow(lane, Arc::clone(&stop)));
    }
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut daemons: Vec<Option<Daemon>> = (0..workers).map(|_| None).collect();
    let mut server_crashes = 0;
    for kill in 0..settings.kills {
        let victim = rng.random_range(0..workers);
        for (slot, plan) in daemons.iter_mut().zip(&plans) {
            if slot.is_none() {
                *slot = Some(plan.start().await?);
            }
        }
        let daemon = daemons[victim].take().context("nobody to kill")?;
        live(daemon, &mut rng)
            .await
            .with_context(|| format!("kill {kill} with seed {}", settings.seed))?;
        if let Some(server) = &server
            && kill % SERVER_EVERY == SERVER_EVERY - 1
        {
            server.crash()?;
            server_crashes += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (slot, plan) in daemons.iter_mut().zip(&plans) {
        if slot.is_none() {
            *slot = Some(plan.start().await?);
        }
    }
    let mut orders = Vec::new();
    while let Some(done) = work.join_next().await {
        orders.extend(done.context("a lane")?.with_context(|| {
            let ends: Vec<String> = plans
                .iter()
                .map(|plan| super::daemon::tail(&plan.log()))
                .collect();
            format!("seed {}; logs end:\n{}", settings.seed, ends.join("\n\n"))
        })?);
    }
    let senders: Vec<Address> = fair
        .operators
        .iter()
        .map(PrivateKeySigner::address)
        .collect();
    let report = audit::chain(&fair, &orders, &senders).await?;
    for slot in daemons {
        let mut daemon = slot.context("a daemon that was not started")?;
        // Orders may all have ended before the last daemon listened.
        daemon.ready().await?;
        audit::books(&daemon, report.verdicts).await?;
    }
    Ok(Some(Outcome {
        kills: settings.kills,
        server_crashes,
        report,
        took: begun.elapsed(),
    }))
}

/// Lets a daemon live until a random point, and kills it.
async fn live(mut daemon: Daemon, rng: &mut StdRng) -> Result<()> {
    if rng.random_range(0..3) == 0 {
        let life = rng.random_range(0..LONGEST.as_millis() as u64);
        tokio::time::sleep(Duration::from_millis(life)).await;
    } else {
        let milestone = MILESTONES[rng.random_range(0..MILESTONES.len())];
        daemon.says(milestone, LONGEST).await;
        let after = rng.random_range(0..4_000);
        tokio::time::sleep(Duration::from_micros(after)).await;
    }
    daemon.kill().await
}

/// One order after the other, until told to stop.
async fn flow(mut lane: Lane, stop: Arc<AtomicBool>) -> Result<Vec<Done>> {
    // Between two kills the daemon may have no time to get anywhere.
    lane.patience = Duration::from_secs(600);
    let mut done = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        done.push(lane.order().await?);
    }
    Ok(done)
}
