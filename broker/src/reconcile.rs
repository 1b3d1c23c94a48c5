//! The journal next to the chain: every release has its order, every paid use its release.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use serde::Serialize;
use vouch_abi::terms::is_asset;
use vouch_abi::{IEscrow, Leg};
use vouch_client::{Error, Market, State};

use crate::journal::{Answer, Entry};

/// One use of an asset, or what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The order.
    pub order: B256,
    /// The asset.
    pub asset: B256,
    /// Whether the journal has a release for it.
    pub released: bool,
    /// Where the order stands.
    pub state: &'static str,
    /// What the chain paid for the asset, in the token's smallest unit; none where it is not settled.
    pub paid: Option<String>,
    /// Digest of the finish evidence, of a settled order.
    pub evidence: Option<B256>,
    /// What does not fit together.
    pub fault: Option<&'static str>,
}

/// Compares the journal with the receipts of all orders that use one of `assets` under an offer of its owner.
///
/// # Errors
/// [`Error`].
pub async fn reconcile(
    market: &Market,
    entries: &[Entry],
    assets: &BTreeSet<B256>,
    owners: &[Address],
) -> Result<Vec<Use>, Error> {
    let released: BTreeSet<(B256, B256)> = entries
        .iter()
        .filter(|entry| matches!(entry.answer, Answer::Released { .. }))
        .map(|entry| (entry.order, entry.asset))
        .collect();
    let mut uses = Vec::new();
    let mut seen = BTreeSet::new();
    for placed in market.orders().await? {
        let legs = placed.terms.legs.iter();
        let is_ours = |leg: &&Leg| {
            is_asset(leg) && owners.contains(&leg.payee) && assets.contains(&leg.digest)
        };
        let ours: BTreeSet<B256> = legs.clone().filter(is_ours).map(|leg| leg.digest).collect();
        if ours.is_empty() {
            continue;
        }
        let record = market.record(placed.order).await?;
        let mut receipt = None;
        if record.state == State::Settled {
            let logs = market.history(placed.order).await?;
            receipt = logs.iter().find_map(|log| {
                let event = alloy::sol_types::SolEvent::decode_log(&log.inner);
                event
                    .ok()
                    .map(|event: alloy::primitives::Log<IEscrow::OrderSettled>| event.data.receipt)
            });
        }
        for asset in ours {
            seen.insert((placed.order, asset));
            let released = released.contains(&(placed.order, asset));
            let paid = receipt.as_ref().and_then(|receipt| {
                let paid = legs
                    .clone()
                    .zip(&receipt.paid)
                    .filter(|(leg, _)| is_ours(leg) && leg.digest == asset)
                    .map(|(_, paid)| *paid);
                paid.reduce(|sum, paid| sum.saturating_add(paid))
            });
            // Where nothing was released nobody can have used the asset, whatever was paid.
            let unreleased = receipt.is_some() && !released;
            uses.push(Use {
                order: placed.order,
                asset,
                released,
                state: record.state.name(),
                paid: paid.map(|paid| paid.to_string()),
                evidence: receipt.as_ref().map(|receipt| receipt.evidence),
                fault: unreleased.then_some("settled, but its key was never released"),
            });
        }
    }
    for (order, asset) in released.difference(&seen) {
        uses.push(Use {
            order: *order,
            asset: *asset,
            released: true,
            state: State::None.name(),
            paid: None,
            evidence: None,
            fault: Some("released, but the chain has no such order"),
        });
    }
    Ok(uses)
}
