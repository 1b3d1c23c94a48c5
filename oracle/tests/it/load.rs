//! A share of `scripts/load-test`, without its clock: many jobs at once end once each.

use anyhow::{Context, Result};
use vouch_tests::load::run::{Arrivals, Bench, Setting};

/// Runs jobs, all at hand at once, until every daemon has closed its books.
async fn dealt(setting: Setting, jobs: usize) -> Result<()> {
    let Some(mut bench) = Bench::start(setting).await? else {
        return Ok(());
    };
    let (_, batches) = bench.prepare(jobs)?;
    let outcome = bench.run(batches, Arrivals::Dealt).await?;
    assert_eq!(outcome.jobs, jobs);
    assert_eq!(outcome.failed, 0, "a verdict was sent twice: {outcome:?}");
    bench.closed().await.context("closing the books")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_jobs_at_once_end_once_each() -> Result<()> {
    dealt(Setting::ALONE, 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_two_workers_end_once_each() -> Result<()> {
    let setting = Setting {
        shared: 2,
        ..Setting::ALONE
    };
    dealt(setting, 100).await
}
