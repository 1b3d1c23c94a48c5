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

/// Parts that run beside each other, each on a chain of its own.
macro_rules! crashes {
    ($($name:ident: $store:expr, $kills:literal kills, seed $seed:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() -> Result<()> {
                crash($store, $kills, $seed).await
            }
        )*
    };
}

/// However often the daemon dies, every order is paid once.
mod alone {
    use super::*;

    crashes! {
        first: Where::Embedded, 50 kills, seed 1;
        second: Where::Embedded, 50 kills, seed 2;
        third: Where::Embedded, 50 kills, seed 3;
        fourth: Where::Embedded, 50 kills, seed 4;
    }
}

/// However often two workers and their server die, every order is paid once.
mod two_workers {
    use super::*;

    crashes! {
        first: Where::Private, 25 kills, seed 5;
        second: Where::Private, 25 kills, seed 6;
    }
}
