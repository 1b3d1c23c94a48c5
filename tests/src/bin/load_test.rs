//! Measures what the oracle can take, and prints one table. `vouch_tests::load` says how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use vouch_evidence::Cache;
use vouch_tests::load::run::{Arrivals, Bench, Outcome, Setting, whole};
use vouch_tests::load::{cores, settled, verifier_alone};

/// How long the verifier is measured alone, before and after the pipeline.
const ALONE: Duration = Duration::from_secs(3);
/// Jobs after which memory is looked at; a tenth of all where they are fewer than ten times that.
const EVERY: usize = 10_000;
const MIB: f64 = (1 << 20) as f64;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// The pipeline against the verifier alone, and latency at half its load.
    Pipeline,
    /// Operators that sign the same verdicts.
    Operators,
    /// Daemons on one `PostgreSQL` database.
    Workers,
    /// Orders settled on the local chain.
    Settled,
    /// Memory and speed over many jobs.
    Long,
}

/// Measures what the oracle can take.
#[derive(Debug, Parser)]
struct Args {
    /// Write the figures there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What to measure; everything but `long` by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Jobs of a run.
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// Jobs of the part `long`.
    #[arg(long, default_value_t = 100_000)]
    long_jobs: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let parts = match args.only.is_empty() {
        true => vec![
            Part::Pipeline,
            Part::Operators,
            Part::Workers,
            Part::Settled,
        ],
        false => args.only.clone(),
    };
    println!("{} cores", cores());
    let jobs = whole(args.jobs);
    let mut figures: BTreeMap<&str, Value> = BTreeMap::from([("cores", json!(cores()))]);
    for part in parts {
        match part {
            Part::Pipeline => figures.insert("pipeline", pipeline(jobs).await?),
            Part::Operators => figures.insert("operators", operators(jobs).await?),
            Part::Workers => figures.insert("workers", workers(jobs).await?),
            Part::Settled => figures.insert("settled", settled().await?),
            Part::Long => figures.insert("long", long(args.long_jobs).await?),
        };
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn print(what: &str, outcome: &Outcome) {
    println!(
        "{what:<34} {:>7.0} verdicts/s   p50 {:>6.0} ms   p99 {:>6.0} ms   {:.2} ms of a core each, the stub {:.2} ms, the load {:.2} ms",
        outcome.per_second,
        outcome.p50_seconds * 1e3,
        outcome.p99_seconds * 1e3,
        outcome.daemon_cpu_per_job * 1e3,
        outcome.stub_cpu_per_job * 1e3,
        outcome.load_cpu_per_job * 1e3,
    );
}

/// A run in a setting of its own; none where what it needs is not installed.
async fn once(what: &str, setting: Setting, jobs: usize) -> Result<Option<Outcome>> {
    let Some(mut bench) = Bench::start(setting).await? else {
        return Ok(None);
    };
    let (_, batches) = bench.prepare(jobs)?;
    let outcome = bench.run(batches, Arrivals::Dealt).await?;
    bench.closed().await?;
    print(what, &outcome);
    Ok(Some(outcome))
}

async fn pipeline(jobs: usize) -> Result<Value> {
    let mut bench = Bench::start(Setting::ALONE).await?.context("a daemon")?;
    let (cases, batches) = bench.prepare(jobs)?;
    // Before and after, since a machine is not always as fast: the better counts.
    let alone = |cache: Option<&Cache>| verifier_alone(&cases, cache, ALONE);
    let (new, known) = (alone(None)?, alone(Some(&Cache::new()))?);
    let dealt = bench.run(batches, Arrivals::Dealt).await?;
    let new = new.better(alone(None)?);
    let known = known.better(alone(Some(&Cache::new()))?);
    for (what, alone) in [("unknown", &new), ("known", &known)] {
        println!(
            "{:<34} {:>7.0} verdicts/s {:>34} {:.2} ms of a core each",
            format!("verifier alone, issuers {what}"),
            alone.per_second,
            "",
            alone.cpu_per_case * 1e3
        );
    }
    print("pipeline", &dealt);
    let [of_new, of_known] = [new, known].map(|alone| dealt.per_second / alone.per_second);
    println!(
        "{:<34} {:>6.0} % with issuers unknown, {:.0} % with issuers known",
        "pipeline, of the verifier alone",
        of_new * 100.0,
        of_known * 100.0
    );
    let half = dealt.per_second / 2.0;
    let (_, batches) = bench.prepare(jobs)?;
    let timed = bench.run(batches, Arrivals::Clock(half)).await?;
    print("pipeline, half the load", &timed);
    bench.closed().await?;
    Ok(json!({
        "verifier_alone": new, "verifier_alone_issuers_known": known, "pipeline": dealt,
        "share": of_new, "share_issuers_known": of_known, "half_load": timed,
    }))
}

async fn operators(jobs: usize) -> Result<Value> {
    let mut found = serde_json::Map::new();
    for operators in [1, 3, 5] {
        let setting = Setting {
            operators,
            quorum: u16::try_from(operators / 2 + 1)?,
            shared: 0,
        };
        let what = format!("operators: {operators}, quorum {}", setting.quorum);
        if let Some(outcome) = once(&what, setting, jobs / operators).await? {
            found.insert(operators.to_string(), json!(outcome));
        }
    }
    Ok(found.into())
}

async fn workers(jobs: usize) -> Result<Value> {
    let mut found = serde_json::Map::new();
    for shared in [1, 2] {
        let setting = Setting {
            shared,
            ..Setting::ALONE
        };
        let what = format!("PostgreSQL, workers: {shared}");
        if let Some(outcome) = once(&what, setting, jobs / 5).await? {
            found.insert(shared.to_string(), json!(outcome));
        }
    }
    Ok(found.into())
}

async fn settled() -> Result<Value> {
    let mut found = serde_json::Map::new();
    for lanes in [1, 8, 24] {
        let measured = settled::measure(lanes, Duration::from_secs(15)).await?;
        println!(
            "{:<34} {:>7.1} orders/s",
            format!("settled, {lanes} at a time"),
            measured.per_second
        );
        found.insert(lanes.to_string(), json!(measured));
    }
    Ok(found.into())
}

async fn long(jobs: usize) -> Result<Value> {
    let mut bench = Bench::start(Setting::ALONE).await?.context("a daemon")?;
    let mut rows = Vec::new();
    let mut done = 0;
    bench
        .run_long(jobs, whole(EVERY.min(jobs / 10)), |bench, outcome| {
            done += outcome.jobs;
            let resident = bench.resident().unwrap_or_default();
            let stored = bench.stored();
            println!(
                "after {done:>7} jobs {:>20} {:>6.0} verdicts/s   {:>5.0} MiB of memory   {:>5.0} MiB of database",
                "",
                outcome.per_second,
                resident as f64 / MIB,
                stored as f64 / MIB
            );
            rows.push(json!({
                "jobs": done, "outcome": outcome, "resident_bytes": resident, "stored_bytes": stored,
            }));
        })
        .await?;
    Ok(rows.into())
}
