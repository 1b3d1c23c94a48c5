//! Disks that fill up, clocks that jump, vendors who do not answer, databases that start late.

use std::time::Duration;

use anyhow::{Context, Result};
use vouch_client::State;
use vouch_protocol::Clause;
use vouch_tests::oracle::audit;
use vouch_tests::oracle::clock::Clock;
use vouch_tests::oracle::daemon::{Daemon, Plan, tail};
use vouch_tests::oracle::disk::Disk;
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::lane::{Done, Lane};
use vouch_tests::oracle::postgres::Server;
use vouch_tests::oracle::vendor::{Day, Vendor};

const ONE: Size = Size {
    operators: 1,
    quorum: 1,
    lanes: 1,
};

async fn order(lane: &mut Lane, plan: &Plan) -> Result<Done> {
    let done = lane.order().await;
    done.with_context(|| tail(&plan.log()))
}

async fn check(fair: &Fair, daemon: &Daemon, orders: &[Done]) -> Result<()> {
    let sender = fair.operators[0].address();
    let report = audit::chain(fair, orders, &[sender]).await?;
    audit::books(daemon, report.verdicts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_holds_up_orders_and_loses_none() -> Result<()> {
    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let Some(disk) = Disk::new(&fair.path().join("disk"), 16)? else {
        return Ok(());
    };
    disk.give(&mut plan);
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = vec![order(&mut lane, &plan).await?];
    for _ in 0..2 {
        disk.fill(&daemon)?;
        let seen = std::fs::read_to_string(plan.log())?.len();
        let full = async {
            while !std::fs::read_to_string(plan.log())?[seen..].contains("No space left on device")
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // More than one step fails.
            tokio::time::sleep(Duration::from_secs(1)).await;
            disk.clear(&daemon)
        };
        let (done, ()) = tokio::try_join!(order(&mut lane, &plan), full)?;
        orders.push(done);
        orders.push(order(&mut lane, &plan).await?);
    }
    check(&fair, &daemon, &orders).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_changes_nothing() -> Result<()> {
    const DAY: i64 = 86_400;
    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let Some(clock) = Clock::new(fair.path())? else {
        return Ok(());
    };
    clock.give(&mut plan);
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = vec![order(&mut lane, &plan).await?];
    for days in [400, -400, 10_000, 0] {
        clock.set(days * DAY)?;
        orders.push(order(&mut lane, &plan).await?);
        let jobs = daemon.get("/v1/jobs").await?;
        let seen = jobs["jobs"].as_array().context("jobs")?.iter();
        let newest = seen.filter_map(|job| job["seen_at_ms"].as_i64()).max();
        let now = std::time::UNIX_EPOCH.elapsed()?.as_secs().cast_signed();
        if days > 0 {
            let ahead = newest.context("no job")? / 1000 - now;
            assert!(
                (ahead - days * DAY).abs() < DAY,
                "the daemon is {ahead} s ahead"
            );
        }
        // In the midst of an order too.
        let jump = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            clock.set(-days * DAY / 2)
        };
        let (done, ()) = tokio::try_join!(order(&mut lane, &plan), jump)?;
        orders.push(done);
    }
    check(&fair, &daemon, &orders).await
}

#[tokio::test(flavor = "multi_thread")]
async fn vendors_who_do_not_answer_hold_up_verdicts_and_refuse_none() -> Result<()> {
    let (fair, mut lanes) = Fair::open_with(ONE, &[Clause::DebugOff, Clause::Revocation]).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let vendor = Vendor::start(lane.machine(), Day::Broken).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.extra = vendor.config();
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let bad_days = async {
        for day in [Day::TooMany, Day::Broken, Day::Garbage, Day::Slow] {
            vendor.set(day);
            while vendor.asked() == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // What was asked is answered before the next day.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let jobs = daemon.get("/v1/jobs").await?;
            assert_eq!(jobs["jobs"][0]["stage"], "fetched", "{day:?}: {jobs}");
        }
        vendor.set(Day::Good);
        anyhow::Ok(())
    };
    let (done, ()) = tokio::try_join!(order(&mut lane, &plan), bad_days)?;
    assert_eq!(done.state, State::Settled);
    let second = order(&mut lane, &plan).await?;
    check(&fair, &daemon, &[done, second]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_starts_after_the_daemon_is_waited_for() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.store = Some(server.url());
    server.stop()?;
    let mut daemon = plan.start().await?;
    let waits = daemon.says("store_away", Duration::from_secs(30)).await;
    assert!(waits, "{}", tail(&plan.log()));
    server.up()?;
    daemon.ready().await?;
    let orders = [order(&mut lane, &plan).await?];
    check(&fair, &daemon, &orders).await
}
