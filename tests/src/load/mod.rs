//! What the oracle can take: real daemons, evidence that is verified for real, and a chain that answers from
//! memory. What is measured is what stands between the two: intake, store, quorum, outbox.
//!
//! Everything shares the same cores: the daemons, the stubbed chain, and the verifier when it is measured
//! alone on the same bundles.

mod chain;
pub mod orders;
mod process;
mod rpc;
pub mod run;
pub mod settled;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::B256;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use vouch_evidence::{Anchors, Cache};
use vouch_protocol::Reason;
use vouch_verdict::{Case, Decision, decide};

/// Unix time in seconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Cores at hand.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the verifier does alone.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Alone {
    /// Cases a second on all cores.
    pub per_second: f64,
    /// Seconds of a core for each.
    pub cpu_per_case: f64,
}

impl Alone {
    /// The one with more cases a second.
    pub fn better(self, other: Self) -> Self {
        match self.per_second > other.per_second {
            true => self,
            false => other,
        }
    }
}

/// Has the verifier decide cases on all cores, for as long as `length`; with a `cache`, which is empty at first, as the
/// daemon does. Nothing else may be at work in this process.
pub fn verifier_alone(cases: &[Case], cache: Option<&Cache>, length: Duration) -> Result<Alone> {
    ensure!(!cases.is_empty(), "no cases");
    let roots = vouch_simulator::roots();
    let anchors = Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .context("the simulator's roots")?;
    let next = AtomicUsize::new(0);
    let used = process::own()?;
    let begun = Instant::now();
    let work = || {
        while begun.elapsed() < length {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let case = &cases[index % cases.len()];
            match decide(case, &anchors, cache, &mut ()) {
                Decision::Conclusive {
                    reason: Reason::Accepted,
                    ..
                } => {}
                other => return Err((case.announced.order, format!("{other:?}"))),
            }
        }
        Ok(())
    };
    let results: Vec<Result<(), (B256, String)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err((B256::ZERO, "panicked".to_owned()))))
            .collect()
    });
    for result in results {
        if let Err((order, what)) = result {
            anyhow::bail!("order {order}: expected to be accepted, found {what}");
        }
    }
    let decided = next.into_inner() as f64;
    Ok(Alone {
        per_second: decided / begun.elapsed().as_secs_f64(),
        cpu_per_case: (process::own()? - used) / decided,
    })
}
