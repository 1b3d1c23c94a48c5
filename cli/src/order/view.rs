//! `vouch order show` and `vouch order list`.

use alloy::primitives::{Address, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEventInterface;
use clap::Args;
use serde_json::{Value, json};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::Terms;
use vouch_abi::terms::{extend, is_share, uses_offer};
use vouch_client::revert::time;
use vouch_protocol::{Clauses, Phase, Reason};

use super::ShowArgs;
use crate::chain::{ChainArgs, Token};
use crate::offer::kind_name;
use crate::output::{Align, Failure, Format, Report, Style, count, fields, table};
use crate::policy_file::percent;

/// `order list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch order list --account 0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)]
pub struct List {
    /// Only orders of this buyer, provider or payee.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn show(args: &ShowArgs) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let mut placed = market.terms(args.order).await?;
    let record = market.record(args.order).await?;
    // It fitted when it was paid for.
    let _ = extend(&mut placed.terms, record.topped_up);
    let token = Token::of(&market, placed.terms.token).await?;
    let history: Vec<(u64, String)> = market
        .history(args.order)
        .await?
        .iter()
        .filter_map(|log| Some((log.block_number?, event_text(log, &token)?)))
        .collect();
    let terms = &placed.terms;
    let deadline = |at: u64| time(at);
    let mut rows = vec![
        ("order", placed.order.to_string()),
        (
            "state",
            // Of a settled order the chain keeps only the receipt's id.
            match record.since_block {
                0 => record.state.to_string(),
                block => format!("{}, since block {block}", record.state),
            },
        ),
        ("buyer", terms.buyer.to_string()),
        ("provider", terms.provider.to_string()),
        ("locked", token.show(locked(terms))),
        ("bond", token.show(terms.bond)),
        ("accept until", deadline(terms.deadlines.accept)),
        ("start until", deadline(terms.deadlines.start)),
        ("finish until", deadline(terms.deadlines.finish)),
        ("settle until", deadline(terms.deadlines.settle)),
    ];
    for leg in &terms.legs {
        if !uses_offer(leg) {
            let (percent, payee) = (percent(leg.rate.saturating_to()), leg.payee);
            let amount = token.show(leg.amount);
            let text = if is_share(leg) {
                format!("{percent} % of what is earned to {payee}, {amount} at most")
            } else {
                format!("{amount} to {payee}\n{percent} % for {}", leg.digest)
            };
            rows.push((kind_name(leg.kind), text));
            continue;
        }
        let clauses = Clauses(leg.clauses);
        let asks = if clauses.is_empty() {
            "nothing".to_owned()
        } else {
            clauses.to_string()
        };
        rows.push((
            kind_name(leg.kind),
            format!(
                "{} to {}\nasks for {asks}",
                token.show(leg.amount),
                leg.payee
            ),
        ));
    }
    for (block, text) in &history {
        rows.push(("", format!("block {block}: {text}")));
    }
    let history: Vec<Value> = history
        .iter()
        .map(|(block, text)| json!({ "block": block, "event": text }))
        .collect();
    let mut json = summary(
        &placed.order.to_string(),
        terms,
        record.state.name(),
        &token,
    );
    json["deadlines"] = json!({
        "accept": terms.deadlines.accept,
        "start": terms.deadlines.start,
        "finish": terms.deadlines.finish,
        "settle": terms.deadlines.settle,
    });
    json["history"] = Value::Array(history);
    Ok(Report::new(json, fields(rows)))
}

pub(super) async fn list(args: &List) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let (mut entries, mut rows) = (Vec::new(), Vec::new());
    let mut token: Option<Token> = None;
    for placed in market.orders().await? {
        let terms = &placed.terms;
        let concerns = |account| {
            terms.buyer == account
                || terms.provider == account
                || terms.legs.iter().any(|leg| leg.payee == account)
        };
        if args.account.is_some_and(|account| !concerns(account)) {
            continue;
        }
        if token
            .as_ref()
            .is_none_or(|token| token.address != terms.token)
        {
            token = Some(Token::of(&market, terms.token).await?);
        }
        let Some(token) = &token else { continue };
        let state = market.record(placed.order).await?.state;
        rows.push(vec![
            placed.order.to_string(),
            state.name().to_owned(),
            token.show(locked(terms)),
            count(terms.legs.len(), "leg"),
        ]);
        entries.push(summary(
            &placed.order.to_string(),
            terms,
            state.name(),
            token,
        ));
    }
    let columns = [
        ("order", Align::Left),
        ("state", Align::Left),
        ("locked", Align::Right),
        ("job", Align::Left),
    ];
    let text = match rows.is_empty() {
        true => "no orders\n".to_owned(),
        false => table(&columns, &rows, Style::stdout()),
    };
    Ok(Report::new(Value::Array(entries), text))
}

/// What an order locked: its legs and the oracle fee.
pub(super) fn locked(terms: &Terms) -> U256 {
    terms
        .legs
        .iter()
        .fold(terms.oracleFee, |sum, leg| sum.saturating_add(leg.amount))
}

fn summary(order: &str, terms: &Terms, state: &str, token: &Token) -> Value {
    let legs: Vec<Value> = terms
        .legs
        .iter()
        .map(|leg| {
            let clauses: Vec<&str> = Clauses(leg.clauses)
                .iter()
                .map(|clause| clause.name())
                .collect();
            json!({
                "kind": kind_name(leg.kind),
                "offer": leg.offer,
                "policy": leg.policy,
                "digest": leg.digest,
                "payee": leg.payee,
                "amount": token.number(leg.amount),
                "clauses": clauses,
            })
        })
        .collect();
    json!({
        "order": order,
        "state": state,
        "buyer": terms.buyer,
        "provider": terms.provider,
        "token": terms.token,
        "locked": token.number(locked(terms)),
        "bond": token.number(terms.bond),
        "oracle_fee": token.number(terms.oracleFee),
        "legs": legs,
    })
}

/// An event of the escrow as a sentence.
pub(crate) fn event_text(log: &Log, token: &Token) -> Option<String> {
    let phase = |number| Phase::from_u8(number).map_or("unknown", Phase::name);
    let reason = |code| match Reason::from_code(code) {
        Some(Reason::Accepted) | None => "a deadline passed".to_owned(),
        Some(reason) => reason.to_string(),
    };
    Some(match IEscrowEvents::decode_log(&log.inner).ok()?.data {
        IEscrowEvents::OrderPlaced(event) => format!("placed by {}", event.buyer),
        IEscrowEvents::OrderAccepted(event) => format!("accepted by {}", event.provider),
        IEscrowEvents::EvidenceSubmitted(event) => {
            format!("{} evidence {}", phase(event.phase), event.evidence)
        }
        IEscrowEvents::OrderStarted(event) => format!("started by verdict {}", event.verdict),
        IEscrowEvents::OrderBeat(event) => format!(
            "still running: compute attested until {}",
            vouch_client::revert::time(event.attestedUntil)
        ),
        IEscrowEvents::OrderFinished(event) => format!("finished by verdict {}", event.verdict),
        IEscrowEvents::LegPaid(event) => {
            format!(
                "leg {} paid {} to {}",
                event.leg,
                token.show(event.amount),
                event.payee
            )
        }
        IEscrowEvents::OrderSettled(_) => "settled".to_owned(),
        IEscrowEvents::OrderRefunded(event) => {
            format!(
                "refunded {}: {}",
                token.show(event.refund),
                reason(event.reason)
            )
        }
        IEscrowEvents::OrderDisputed(event) => format!(
            "disputed by {}, who says {} and stakes {}",
            event.challenger,
            reason(event.reason),
            token.show(event.bond)
        ),
        IEscrowEvents::DisputeResolved(event) => match event.reason {
            0 => "the disputed verdict stands".to_owned(),
            code => format!("the disputed verdict falls: {}", reason(code)),
        },
        IEscrowEvents::OrderToppedUp(event) => format!(
            "{} more for {} by {}",
            token.show(event.amount),
            crate::when::show_duration(event.duration.into()),
            event.payer
        ),
        IEscrowEvents::OutputReleased(_) => "output that it did not need is free again".to_owned(),
        IEscrowEvents::UsesRestored(_) => "its uses are for sale again".to_owned(),
        _ => return None,
    })
}
