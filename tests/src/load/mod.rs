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
use vouch_evidence::Anchors;
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

/// Cases a second that the verifier decides alone on all cores, for as long as `length`.
pub fn verifier_alone(cases: &[Case], length: Duration) -> Result<f64> {
    ensure!(!cases.is_empty(), "no cases");
    let roots = vouch_simulator::roots();
    let anchors = Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .context("the simulator's roots")?;
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let work = || {
        while begun.elapsed() < length {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let case = &cases[index % cases.len()];
            match decide(case, &anchors, &mut ()) {
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
    Ok(next.into_inner() as f64 / begun.elapsed().as_secs_f64())
}
