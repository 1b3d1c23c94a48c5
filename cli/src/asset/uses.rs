//! `vouch asset uses`: every order that used an asset, or pays a royalty for it, from the chain alone.

use alloy::primitives::{B256, U256};
use clap::Args;
use serde_json::json;
use vouch_abi::Receipt;
use vouch_abi::terms::uses_offer;
use vouch_client::{Market, Placed, State};

use crate::chain::{ChainArgs, Token};
use crate::output::{Align, Failure, Format, Report, Style, table};
use crate::receipt;

/// `asset uses`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch asset uses 0x5a1f… --json

An order that runs counts: its session may have the key. `vouch-broker reconcile` compares the list with the
releases of your own broker.")]
pub struct Uses {
    /// The asset's digest.
    asset: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

/// One order over an asset.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    placed: Placed,
    state: State,
    /// The order pays for something that was made from the asset, and does not use it.
    royalty: bool,
    pub(crate) token: Token,
    /// What the asset earned; none before the order is settled.
    pub(crate) paid: Option<U256>,
    receipt: Option<Receipt>,
}

/// Every order that used an asset.
///
/// # Errors
/// Where the endpoint fails, or shows a receipt that is not the one that the chain keeps the hash of.
pub(crate) async fn of(market: &Market, asset: B256) -> Result<Vec<Use>, Failure> {
    let mut uses = Vec::new();
    for placed in market.orders().await? {
        let legs = placed.terms.legs.iter().enumerate();
        let legs: Vec<usize> = legs
            .filter(|(_, leg)| leg.digest == asset)
            .map(|(index, _)| index)
            .collect();
        if legs.is_empty() {
            continue;
        }
        let royalty = legs.iter().all(|leg| !uses_offer(&placed.terms.legs[*leg]));
        let record = market.record(placed.order).await?;
        let token = Token::of(market, placed.terms.token).await?;
        let found = match record.state {
            State::Settled => Some(receipt::find(market, placed.order).await?),
            _ => None,
        };
        // Only what the chain keeps the hash of is a receipt.
        let confirmed = found
            .as_ref()
            .is_none_or(|found| receipt::hash(found) == record.commitment);
        if !confirmed {
            let order = placed.order;
            return Err(Failure::Failed(anyhow::anyhow!(
                "order {order}: the endpoint's receipt is not the one that the chain keeps"
            )));
        }
        let paid = found.as_ref().map(|found| {
            let paid = legs.iter().filter_map(|leg| found.paid.get(*leg).copied());
            paid.fold(U256::ZERO, U256::saturating_add)
        });
        uses.push(Use {
            placed,
            state: record.state,
            royalty,
            token,
            paid,
            receipt: found,
        });
    }
    Ok(uses)
}

pub(super) async fn list(args: &Uses) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let (mut uses, mut rows) = (Vec::new(), Vec::new());
    for found in of(&market, args.asset).await? {
        let Use {
            placed,
            state,
            royalty,
            token,
            paid,
            receipt,
        } = found;
        let way = if royalty { "royalty" } else { "use" };
        rows.push(vec![
            placed.order.to_string(),
            way.to_owned(),
            placed.terms.buyer.to_string(),
            state.to_string(),
            paid.map_or(String::new(), |paid| token.show(paid)),
        ]);
        uses.push(json!({
            "order": placed.order,
            "as": way,
            "buyer": placed.terms.buyer,
            "purpose": placed.terms.purpose,
            "state": state.name(),
            "paid": paid.map(|paid| token.number(paid)),
            "receipt": receipt.map(|found| receipt::to_json(&found, &token)),
        }));
    }
    let json = json!({ "asset": args.asset, "uses": uses });
    let text = match rows.is_empty() {
        true => format!("no order uses asset {}\n", args.asset),
        false => table(
            &[
                ("order", Align::Left),
                ("as", Align::Left),
                ("buyer", Align::Left),
                ("state", Align::Left),
                ("paid", Align::Right),
            ],
            &rows,
            Style::stdout(),
        ),
    };
    Ok(Report::new(json, text))
}
