//! Orders a second on a real chain, from placing to payment.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use vouch_client::State;

use crate::oracle::daemon::Plan;
use crate::oracle::fair::{Fair, Size};

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// Orders that were paid, each with two verdicts.
    pub orders: usize,
    /// Buyers and providers at a time.
    pub lanes: usize,
    /// From the first placed to the last paid.
    pub seconds: f64,
    /// Orders a second.
    pub per_second: f64,
}

/// Has `lanes` buyers and providers do orders for `length`, with one daemon.
pub async fn measure(lanes: usize, length: Duration) -> Result<Settled> {
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes,
    };
    let (fair, all) = Fair::open(size).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.extra = format!("workers = {}\n", super::cores());
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let begun = Instant::now();
    let mut work = tokio::task::JoinSet::new();
    for mut lane in all {
        work.spawn(async move {
            let mut orders = 0;
            while begun.elapsed() < length {
                let done = lane.order().await?;
                ensure!(
                    done.state == done.expected,
                    "order {}: expected {}, it is {}",
                    done.order,
                    done.expected,
                    done.state
                );
                // Now and then a provider lies, and its order is refunded.
                orders += usize::from(done.state == State::Settled);
            }
            anyhow::Ok(orders)
        });
    }
    let mut orders = 0;
    while let Some(done) = work.join_next().await {
        orders += done.context("a lane")??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Settled {
        orders,
        lanes,
        seconds,
        per_second: orders as f64 / seconds,
    })
}
