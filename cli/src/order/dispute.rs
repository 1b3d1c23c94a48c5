//! Disputes about finish verdicts.

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::json;
use vouch_abi::IEscrow;
use vouch_client::{Error, State, send};
use vouch_protocol::{Class, Reason};

use super::place::approve;
use super::progress::finish_verdict;
use super::step_json;
use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Failure, Format, Report};

/// `order dispute`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch order dispute 0x91ab… --because gpu_chain_invalid --evidence 0x52c0…

Costs the provider's bond, or an eighth of the prices where that is more: lost to the payees if the verdict
stands, given back if it falls, with half of the provider's bond on top where the evidence was forged.")]
pub struct Dispute {
    /// Order id.
    order: B256,
    /// What the verdict should have been: name or number of a rejection.
    #[arg(long, value_name = "REASON", value_parser = rejection)]
    because: Reason,
    /// SHA-256 of what shows it [default: the order's own evidence].
    #[arg(long, value_name = "HEX")]
    evidence: Option<B256>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

/// `order resolve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch order resolve 0x91ab… --stands
  vouch order resolve 0x91ab… --because gpu_chain_invalid")]
pub struct Resolve {
    /// Order id.
    order: B256,
    #[command(flatten)]
    ruling: Ruling,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Ruling {
    /// The verdict was right: the order is paid.
    #[arg(long)]
    stands: bool,
    /// What the verdict should have been, name or number: the order is refunded.
    #[arg(long, value_name = "REASON", value_parser = rejection)]
    because: Option<Reason>,
}

fn rejection(text: &str) -> Result<Reason, String> {
    let named = |reason: &&Reason| reason.name() == text || reason.code().to_string() == text;
    Reason::ALL
        .iter()
        .find(named)
        .filter(|reason| matches!(reason.class(), Class::Forged | Class::Policy))
        .copied()
        .ok_or_else(|| {
            "expected a rejection of the table of reasons (docs/protocol.md), such as gpu_chain_invalid or 111".into()
        })
}

pub(super) async fn open(args: &Dispute) -> Result<Report, Failure> {
    let (market, account) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let terms = placed.terms.clone();
    let escrow = market.escrow();
    let bond = escrow.disputeBondOf(terms.clone()).call().await;
    let bond = bond.map_err(Error::from)?;
    let token = Token::of(&market, terms.token).await?;
    if !bond.is_zero() {
        approve(&market, &token, account, bond).await?;
    }
    let evidence = args.evidence.unwrap_or_default();
    let receipt = send(escrow.dispute(terms, evidence, args.because.code())).await?;
    let event = market.find_event::<IEscrow::OrderDisputed>(&receipt)?;
    let mut json = step_json(&placed, State::Disputed, receipt.transaction_hash);
    json["bond"] = json!(token.number(event.bond));
    json["resolver"] = json!(event.resolver);
    json["deadline"] = json!(event.deadline);
    let text = format!(
        "disputed, {} at stake; {} decides until {}\n",
        token.show(event.bond),
        event.resolver,
        vouch_client::revert::time(event.deadline)
    );
    Ok(Report::new(json, text))
}

pub(super) async fn resolve(args: &Resolve) -> Result<Report, Failure> {
    let (market, account) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let dispute = market.escrow().disputeOf(placed.order).call().await;
    let dispute = dispute.map_err(Error::from)?;
    if dispute.challenger == Address::ZERO {
        return Err(Failure::usage(format!(
            "order {}: was never disputed",
            placed.order
        )));
    }
    if dispute.resolver != account {
        return Err(Failure::usage(format!(
            "order {}: its dispute is decided by {}, this account is {account}",
            placed.order, dispute.resolver
        )));
    }
    let verdict = finish_verdict(&market, &placed).await?;
    let reason = args.ruling.because.unwrap_or(Reason::Accepted);
    let call = market.escrow();
    let call = call.resolve(placed.terms.clone(), verdict, reason.code());
    let receipt = send(call).await?;
    let (state, text) = match reason {
        Reason::Accepted => (
            State::Settled,
            "the verdict stands, the order is settled\n".to_owned(),
        ),
        reason => (
            State::Refunded,
            format!("the verdict falls ({reason}), the order is refunded\n"),
        ),
    };
    let mut json = step_json(&placed, state, receipt.transaction_hash);
    json["reason"] = json!(reason.code());
    Ok(Report::new(json, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_is_about_a_rejection() {
        assert_eq!(rejection("gpu_chain_invalid"), Ok(Reason::GpuChainInvalid));
        assert_eq!(rejection("200"), Ok(Reason::DebugEnabled));
        for other in ["", "accepted", "0", "manifest_missing", "400", "99", "GPU"] {
            assert!(rejection(other).is_err(), "{other}");
        }
    }
}
