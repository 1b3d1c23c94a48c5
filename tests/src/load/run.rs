//! One run: real daemons, a stubbed chain, and evidence that arrives by the clock or as fast as it is
//! dealt with.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use serde::Serialize;
use tempfile::TempDir;
use vouch_client::Deployment;
use vouch_client::deployment::{Contract, Entry};
use vouch_verdict::Case;

use super::chain::Chain;
use super::orders::{Batch, CHAIN_ID, IN_A_BLOCK, Maker, Order};
use super::process;
use super::rpc::{CODE, Server, Shown};
use crate::oracle::daemon::{Plan, tail};
use crate::oracle::postgres;

/// Time between blocks.
const BLOCK: Duration = Duration::from_millis(50);
/// Jobs at hand where evidence arrives as fast as it is dealt with.
pub const WINDOW: usize = 1000;
/// How long nothing may happen before a run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Batches that are made ahead where they are made on the way.
const AHEAD: usize = 40;

/// How evidence arrives.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals {
    /// There are always [`WINDOW`] jobs at hand.
    Dealt,
    /// So many a second, whatever has become of those before.
    Clock(f64),
}

/// Who works.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Operators, each with a daemon and a store of its own.
    pub operators: usize,
    /// How many of them must sign.
    pub quorum: u16,
    /// Where not zero: so many daemons on one `PostgreSQL` database, instead of one on its own.
    pub shared: usize,
}

impl Setting {
    /// One operator, with an embedded store.
    pub const ALONE: Self = Self {
        operators: 1,
        quorum: 1,
        shared: 0,
    };
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Verdicts submitted.
    pub jobs: usize,
    /// From the first announcement to the last verdict submitted.
    pub seconds: f64,
    /// Verdicts a second.
    pub per_second: f64,
    /// Half the verdicts were submitted within this many seconds of their announcement.
    pub p50_seconds: f64,
    /// 99 of 100 were.
    pub p99_seconds: f64,
    /// Seconds of a core that the daemons used, for each job.
    pub daemon_cpu_per_job: f64,
    /// The same of the stubbed chain's server.
    pub stub_cpu_per_job: f64,
    /// The same of all else in the load test's process: mining, and evidence where it is made on the way.
    pub load_cpu_per_job: f64,
    /// Transactions that failed.
    pub failed: usize,
}

/// A chain, and daemons that follow it.
#[derive(Debug)]
pub struct Bench {
    dir: TempDir,
    chain: Arc<Mutex<Chain>>,
    server: Server,
    maker: Option<Maker>,
    children: Vec<tokio::process::Child>,
    plans: Vec<Plan>,
    /// Accepted, not announced yet.
    waiting: VecDeque<Order>,
    // Ends after its clients.
    _postgres: Option<postgres::Server>,
}

impl Bench {
    /// Starts daemons; nothing where what they need is not installed.
    pub async fn start(setting: Setting) -> Result<Option<Self>> {
        let postgres = match setting.shared {
            0 => None,
            _ => match postgres::Server::start()? {
                Some(server) => Some(server),
                None => return Ok(None),
            },
        };
        let dir = tempfile::Builder::new().prefix("vouch-load-").tempdir()?;
        std::fs::create_dir(dir.path().join("bundles"))?;
        let deployment = deployment();
        deployment.save(&dir.path().join("31337.json"))?;
        let escrow = deployment.get(Contract::Escrow)?.address;
        let maker = Maker::new(escrow, super::now());
        let chain = Arc::new(Mutex::new(Chain::new(escrow)));
        let server = Server::start(Shown {
            chain: Arc::clone(&chain),
            escrow,
            quorum: setting.quorum,
            place: maker.place(),
        })?;
        let daemons = setting.shared.max(setting.operators);
        let mut plans = Vec::new();
        for index in 0..daemons {
            // Workers of one operator have its key.
            let key = if setting.shared > 0 { 0 } else { index };
            let key = PrivateKeySigner::from_bytes(&keccak256([b'k', u8::try_from(key)?]))?;
            let endpoints = vec![server.url(key.address())];
            let name = format!("oracle-{index}");
            let mut plan = Plan::within(dir.path(), &name, vec![key], endpoints)?;
            plan.store = postgres.as_ref().map(postgres::Server::url);
            plan.extra = format!("workers = {}\n", super::cores());
            plans.push(plan);
        }
        let urls: Vec<String> = plans.iter().map(Plan::url).collect();
        if setting.shared == 0 {
            for (plan, own) in plans.iter_mut().zip(&urls) {
                plan.peers = urls.iter().filter(|url| *url != own).cloned().collect();
            }
        }
        // All files first: the daemons read what each command writes again.
        let commands: Vec<_> = plans.iter().map(Plan::command).collect::<Result<_>>()?;
        let mut children = Vec::new();
        for (plan, mut command) in plans.iter().zip(commands) {
            let log = File::create(plan.log()).context("making a log")?;
            children.push(command.stderr(log).stdout(Stdio::null()).spawn()?);
        }
        let bench = Self {
            dir,
            chain,
            server,
            maker: Some(maker),
            children,
            plans,
            waiting: VecDeque::new(),
            _postgres: postgres,
        };
        bench.ready().await?;
        Ok(Some(bench))
    }

    async fn ready(&self) -> Result<()> {
        let begun = Instant::now();
        for plan in &self.plans {
            let url = format!("{}/readyz", plan.url());
            let up = async || {
                reqwest::get(&url)
                    .await
                    .is_ok_and(|a| a.status().is_success())
            };
            while !up().await {
                if begun.elapsed() > PATIENCE {
                    bail!("not ready:\n{}", tail(&plan.log()));
                }
                tokio::time::sleep(BLOCK).await;
            }
        }
        Ok(())
    }

    /// Makes evidence before it is needed: what the verifier is given about each job, and what to run.
    pub fn prepare(&mut self, jobs: usize) -> Result<(Vec<Case>, Vec<Batch>)> {
        let maker = self.maker.as_mut().context("the maker is at work")?;
        let bundles = self.dir.path().join("bundles");
        let mut cases = Vec::with_capacity(jobs);
        let mut batches = Vec::new();
        while cases.len() < jobs {
            let (batch, made) = maker.batch();
            leave(&bundles, &made)?;
            cases.extend(made);
            batches.push(batch);
        }
        Ok((cases, batches))
    }

    /// Runs jobs whose evidence was made before.
    pub async fn run(&mut self, batches: Vec<Batch>, arrivals: Arrivals) -> Result<Outcome> {
        let jobs = batches.iter().map(|batch| batch.orders.len()).sum();
        let (sender, made) = sync_channel(batches.len().max(1));
        for batch in batches {
            sender.send(batch)?;
        }
        self.flow(&made, jobs, arrivals).await
    }

    /// Runs jobs whose evidence is made on the way, and removes it afterwards; calls `each` after every
    /// `every` jobs.
    pub async fn run_long(
        &mut self,
        jobs: usize,
        every: usize,
        mut each: impl FnMut(&Self, &Outcome),
    ) -> Result<()> {
        let mut maker = self.maker.take().context("the maker is at work")?;
        let bundles = self.dir.path().join("bundles");
        let (sender, made) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            loop {
                let (batch, cases) = maker.batch();
                if leave(&bundles, &cases).is_err() || sender.send(batch).is_err() {
                    return;
                }
            }
        });
        let mut done = 0;
        while done < jobs {
            let outcome = self.flow(&made, every, Arrivals::Dealt).await?;
            done += outcome.jobs;
            each(self, &outcome);
        }
        Ok(())
    }

    async fn flow(
        &mut self,
        made: &Receiver<Batch>,
        jobs: usize,
        arrivals: Arrivals,
    ) -> Result<Outcome> {
        let (submitted_before, decided_before, failed_before) = self.counted();
        let (daemons, stub, own) = (self.cpu()?, self.server.cpu()?, process::own()?);
        let mut announced = 0;
        let mut ended = None;
        let begun = Instant::now();
        let mut tick = tokio::time::interval(BLOCK);
        let mut last = (Instant::now(), 0);
        loop {
            tick.tick().await;
            let (submitted, decided, _) = self.counted();
            let (submitted, decided) = (submitted - submitted_before, decided - decided_before);
            if submitted >= jobs && ended.is_none() {
                ended = Some(begun.elapsed());
            }
            if decided >= jobs {
                break;
            }
            if last.1 != submitted + decided {
                last = (Instant::now(), submitted + decided);
            }
            if last.0.elapsed() > PATIENCE {
                let logs: Vec<String> = self.plans.iter().map(|plan| tail(&plan.log())).collect();
                bail!(
                    "{submitted} of {jobs} verdicts submitted, {decided} decided, then nothing:\n{}",
                    logs.join("\n\n")
                );
            }
            let due = match arrivals {
                Arrivals::Dealt => submitted + WINDOW,
                Arrivals::Clock(rate) => (begun.elapsed().as_secs_f64() * rate) as usize,
            };
            let count = due.min(jobs).saturating_sub(announced);
            announced += count;
            self.announce(made, count)?;
        }
        let seconds = ended.unwrap_or_else(|| begun.elapsed()).as_secs_f64();
        let mut latencies = self.chain.lock().latencies()[submitted_before..].to_vec();
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        let per_job = |used: f64| used / jobs as f64;
        let stub = self.server.cpu()? - stub;
        Ok(Outcome {
            jobs,
            seconds,
            per_second: jobs as f64 / seconds,
            p50_seconds: at(0.50),
            p99_seconds: at(0.99),
            daemon_cpu_per_job: per_job(self.cpu()? - daemons),
            stub_cpu_per_job: per_job(stub),
            load_cpu_per_job: per_job(process::own()? - own - stub),
            failed: self.counted().2 - failed_before,
        })
    }

    /// Mines: what was sent, and `count` announcements, whose orders were accepted before.
    fn announce(&mut self, made: &Receiver<Batch>, count: usize) -> Result<()> {
        while self.waiting.len() < count {
            // Where evidence is made on the way this waits for it.
            let batch = made.recv().context("no more evidence")?;
            self.chain.lock().accept(&batch);
            self.waiting.extend(batch.orders);
        }
        let orders: Vec<Order> = self.waiting.drain(..count).collect();
        self.chain.lock().go_on(&orders);
        Ok(())
    }

    /// Verdicts submitted and decided, transactions failed.
    fn counted(&self) -> (usize, usize, usize) {
        let chain = self.chain.lock();
        (chain.latencies().len(), chain.decided(), chain.failed())
    }

    /// Waits until the daemons have closed every job and emptied their outboxes.
    pub async fn closed(&self) -> Result<()> {
        let begun = Instant::now();
        for plan in &self.plans {
            let url = format!("{}/metrics", plan.url());
            loop {
                self.chain.lock().go_on([]);
                let metrics = reqwest::get(&url).await?.text().await?;
                if metrics.contains("vouch_oracle_outbox_entries 0\n") {
                    break;
                }
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "the outbox is not empty:\n{}",
                    tail(&plan.log())
                );
                tokio::time::sleep(BLOCK).await;
            }
        }
        Ok(())
    }

    /// Seconds of a core that the daemons used so far.
    fn cpu(&self) -> Result<f64> {
        let used = self
            .pids()
            .map(|pid| process::cpu(&format!("/proc/{pid}/stat")));
        used.sum()
    }

    /// Bytes of memory that the daemons hold.
    pub fn resident(&self) -> Result<u64> {
        self.pids().map(process::resident).sum()
    }

    /// Bytes of the daemons' databases, without the evidence.
    pub fn stored(&self) -> u64 {
        let dirs = self.plans.iter().map(Plan::database);
        dirs.map(|dir| process::size(&dir)).sum()
    }

    fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().filter_map(tokio::process::Child::id)
    }
}

/// Leaves bundles where the daemons look for them.
fn leave(dir: &Path, cases: &[Case]) -> Result<()> {
    for case in cases {
        let path = dir.join(hex::encode(case.announced.evidence));
        std::fs::write(path, &case.bundle).context("writing a bundle")?;
    }
    Ok(())
}

/// Contracts at addresses of their own, all with the same code.
fn deployment() -> Deployment {
    let mut deployment = Deployment::new(CHAIN_ID);
    for (index, contract) in (1..).zip(Contract::ALL) {
        let entry = Entry {
            address: Address::repeat_byte(index),
            tx: Default::default(),
            block: 0,
            code_hash: keccak256(CODE),
            wasm_sha256: Default::default(),
        };
        deployment.contracts.insert(contract, entry);
    }
    deployment
}

/// Batches that make so many jobs.
pub const fn whole(jobs: usize) -> usize {
    jobs.div_ceil(IN_A_BLOCK) * IN_A_BLOCK
}
