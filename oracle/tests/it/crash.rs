//! A share of `scripts/crash-test`: `VOUCH_KILLS` says how many kills, where the default is too few.

use anyhow::Result;
use vouch_tests::oracle::crash::{Settings, Where, run};
use vouch_tests::oracle::from_env;

async fn crash(store: Where, kills: usize, seed: u64) -> Result<()> {
    let settings = Settings {
        kills: from_env("VOUCH_KILLS", kills),
        lanes: 2,
        seed: from_env("VOUCH_SEED", seed),
        store,
    };
    if let Some(outcome) = run(&settings).await? {
        eprintln!("{outcome:?}");
        assert!(outcome.report.settled > 0, "no order was paid");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_paid_once_however_often_the_daemon_dies() -> Result<()> {
    crash(Where::Embedded, 25, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_and_their_server_die_and_every_order_is_paid_once() -> Result<()> {
    crash(Where::Private, 14, 2).await
}
