//! The steps of an order after it was placed.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, TxHash, U256};
use alloy::sol_types::SolEvent;
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use vouch_abi::terms::extend;
use vouch_abi::{IEscrow, Leg, Policy, Verdict};
use vouch_client::{Error, Market, Placed, State, send};
use vouch_protocol::{Clauses, Phase};

use super::{OrderArgs, place::approve, step_json, view};
use crate::asset::file_digest;
use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Failure, Format, Report};
use crate::{receipt, when};

/// `order evidence`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch order evidence 0x91ab… bundle.json --store http://127.0.0.1:8640

The phase is the one the order waits for: start once accepted, finish once running, where a heartbeat names the block
of its challenge.")]
pub struct Evidence {
    /// Order id.
    order: B256,
    /// Evidence bundle.
    bundle: PathBuf,
    /// Upload the bundle to this evidence store first, and announce it there.
    #[arg(long, value_name = "URL", conflicts_with = "uri")]
    store: Option<String>,
    /// Where the bundle can be had already.
    #[arg(long, value_name = "URI", default_value = "")]
    uri: String,
    /// Finish only: the sealed outputs that were delivered.
    #[arg(long, value_name = "FILE", conflicts_with = "outputs_digest")]
    outputs: Option<PathBuf>,
    /// Finish only: SHA-256 of the sealed outputs, where they are elsewhere.
    #[arg(long, value_name = "HEX")]
    outputs_digest: Option<B256>,
    /// Announce a heartbeat of a running order, challenged by this block.
    #[arg(long, value_name = "BLOCK", conflicts_with_all = ["outputs", "outputs_digest"])]
    heartbeat: Option<u64>,
    /// Which try of the phase this is.
    #[arg(long, value_name = "N", default_value = "0")]
    attempt: u8,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

/// `order withdraw`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch order withdraw --keystore operator.json --password-file secret"
)]
pub struct Withdraw {
    /// Another token than the deployment's.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn accept(args: &OrderArgs) -> Result<Report, Failure> {
    let (market, account) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    if placed.terms.provider != account {
        return Err(Failure::usage(format!(
            "order {}: for provider {}, this account is {account}",
            placed.order, placed.terms.provider
        )));
    }
    let token = Token::of(&market, placed.terms.token).await?;
    if !placed.terms.bond.is_zero() {
        approve(&market, &token, account, placed.terms.bond).await?;
    }
    let receipt = send(market.escrow().accept(placed.terms.clone())).await?;
    let text = format!("accepted, bond {}\n", token.show(placed.terms.bond));
    Ok(Report::new(
        step_json(&placed, State::Accepted, receipt.transaction_hash),
        text,
    ))
}

pub(super) async fn evidence(args: &Evidence) -> Result<Report, Failure> {
    let bytes = std::fs::read(&args.bundle)
        .with_context(|| format!("reading bundle {}", args.bundle.display()))
        .map_err(Failure::Usage)?;
    let digest = file_digest(&args.bundle)?.0;
    let delivered = match (&args.outputs, args.outputs_digest) {
        (Some(path), _) => Some(file_digest(path)?.0),
        (None, digest) => digest,
    };
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let phase = waits_for(market.record(args.order).await?.state)
        .ok_or_else(|| Failure::usage(format!("order {}: waits for no evidence", args.order)))?;
    let (phase, delivered) = match args.heartbeat {
        Some(block) => (Phase::Heartbeat, Some(U256::from(block).into())),
        None => (phase, delivered),
    };
    let outputs = match (phase, delivered) {
        (Phase::Start, None) => B256::ZERO,
        (Phase::Start, Some(_)) => {
            return Err(Failure::usage(
                "outputs: the order waits for start evidence, which has none",
            ));
        }
        (Phase::Finish | Phase::Heartbeat, Some(digest)) => digest,
        (Phase::Finish | Phase::Heartbeat, None) => {
            return Err(Failure::usage(
                "finish evidence: give --outputs FILE or --outputs-digest HEX",
            ));
        }
    };
    let uri = match &args.store {
        Some(store) => {
            let signer = args.signer.signer(market.chain_id)?;
            let uploaded = market.upload(store, placed.order, digest, bytes, &signer);
            uploaded.await.map_err(anyhow::Error::from)?
        }
        None => args.uri.clone(),
    };
    let escrow = market.escrow();
    let call = escrow.submitEvidence(
        placed.terms.clone(),
        phase as u8,
        args.attempt,
        digest,
        outputs,
        uri.clone(),
    );
    let receipt = send(call).await?;
    let json = json!({
        "order": placed.order,
        "phase": phase.name(),
        "attempt": args.attempt,
        "evidence": digest,
        "outputs": outputs,
        "uri": uri,
        "transaction": receipt.transaction_hash,
    });
    Ok(Report::new(
        json,
        format!("announced {phase} evidence {digest}\n"),
    ))
}

/// The phase whose evidence an order in this state waits for.
const fn waits_for(state: State) -> Option<Phase> {
    match state {
        State::Accepted => Some(Phase::Start),
        State::Running => Some(Phase::Finish),
        _ => None,
    }
}

pub(super) async fn refund(args: &OrderArgs) -> Result<Report, Failure> {
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let receipt = send(market.escrow().refund(placed.terms.clone())).await?;
    let event = market.find_event::<IEscrow::OrderRefunded>(&receipt)?;
    // The owners' business rather than the buyer's, but nobody else may come by. The refund stands
    // whatever becomes of it.
    let restored = send(market.escrow().restore(placed.terms.clone())).await;
    let token = Token::of(&market, placed.terms.token).await?;
    let mut json = step_json(&placed, State::Refunded, receipt.transaction_hash);
    json["refund"] = json!(token.number(event.refund));
    json["uses_restored"] = json!(restored.is_ok());
    Ok(Report::new(
        json,
        format!("refunded {}\n", token.show(event.refund)),
    ))
}

pub(super) async fn settle(args: &OrderArgs) -> Result<Report, Failure> {
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let verdict = finish_verdict(&market, &placed).await?;
    let receipt = send(market.escrow().settle(placed.terms.clone(), verdict)).await?;
    let json = step_json(&placed, State::Settled, receipt.transaction_hash);
    Ok(Report::new(json, format!("settled {}\n", placed.order)))
}

/// `order top-up`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch order top-up 0x91ab… --for 30m --max-price 40

Deadlines stay, and so does what the policies allow. What compute does not earn of it goes back to the buyer.")]
pub struct TopUp {
    /// Order id.
    order: B256,
    /// How much longer compute is paid for.
    #[arg(long = "for", value_name = "DURATION", value_parser = when::short_duration)]
    duration: u32,
    /// Refuse to lock more than this, all fees included.
    #[arg(long, value_name = "AMOUNT")]
    max_price: String,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn top_up(args: &TopUp) -> Result<Report, Failure> {
    let (market, payer) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let topped_up = market.record(args.order).await?.topped_up;
    let token = Token::of(&market, placed.terms.token).await?;
    let locked = |duration: u32| {
        let mut terms = placed.terms.clone();
        extend(&mut terms, duration).map(|()| view::locked(&terms))
    };
    let longer = topped_up.checked_add(args.duration).and_then(locked);
    let (Some(before), Some(after)) = (locked(topped_up), longer) else {
        return Err(Failure::usage(format!(
            "--for: {} s more do not fit what an order can lock",
            args.duration
        )));
    };
    let amount = after.saturating_sub(before);
    if amount > token.parse("--max-price", &args.max_price)? {
        return Err(Failure::usage(format!(
            "--max-price {}: it would lock {}",
            args.max_price,
            token.show(amount)
        )));
    }
    approve(&market, &token, payer, amount).await?;
    let receipt = send(market.escrow().topUp(placed.terms, args.duration)).await?;
    let event = market.find_event::<IEscrow::OrderToppedUp>(&receipt)?;
    let json = json!({
        "order": args.order,
        "seconds": event.duration,
        "locked": token.number(event.amount),
        "transaction": receipt.transaction_hash,
    });
    let text = format!("locked {} more\n", token.show(event.amount));
    Ok(Report::new(json, text))
}

pub(super) async fn release(args: &OrderArgs) -> Result<Report, Failure> {
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let placed = market.terms(args.order).await?;
    let policies = market.policies(&placed).await?;
    let legs = placed.terms.legs.iter().zip(policies);
    let counts = |leg: &Leg| {
        !Clauses(leg.clauses)
            .intersection(Clauses::TOTALS)
            .is_empty()
    };
    let policies: Vec<Policy> = legs
        .filter(|(leg, _)| counts(leg))
        .map(|(_, policy)| policy)
        .collect();
    if policies.is_empty() {
        return Err(Failure::usage(format!(
            "order {}: none of its policies limits the output of all sessions together",
            args.order
        )));
    }
    let state = market.record(args.order).await?.state;
    let (receipt, verdict) = match state {
        State::Settled => {
            let verdict = settling_verdict(&market, &placed).await?;
            (receipt::find(&market, args.order).await?, verdict)
        }
        // The contract says what it expects of any other state.
        _ => Default::default(),
    };
    let escrow = market.escrow();
    let call = escrow.releaseOutput(placed.terms.clone(), policies, receipt, verdict);
    let receipt = send(call).await?;
    let json = step_json(&placed, state, receipt.transaction_hash);
    let text = "what it did not need of its policies' output is free again\n";
    Ok(Report::new(json, text.to_owned()))
}

/// The finish verdict of a settled order, from the transaction that brought it.
async fn settling_verdict(market: &Market, placed: &Placed) -> Result<Verdict, Failure> {
    let logs = market.history(placed.order).await?;
    let of = |topic: B256| logs.iter().find(|log| log.topic0() == Some(&topic));
    // With a challenge window the verdict came before the payment.
    let log = of(IEscrow::OrderFinished::SIGNATURE_HASH)
        .or_else(|| of(IEscrow::OrderSettled::SIGNATURE_HASH));
    let tx = log.and_then(|log| log.transaction_hash);
    let tx = tx.context("a settled order without the event OrderSettled")?;
    brought_in(market, placed, tx).await
}

/// The verdict that finished an order, from the transaction that brought it.
pub(super) async fn finish_verdict(market: &Market, placed: &Placed) -> Result<Verdict, Failure> {
    let logs = market.history(placed.order).await?;
    let finished = logs
        .iter()
        .find(|log| log.topic0() == Some(&IEscrow::OrderFinished::SIGNATURE_HASH));
    let tx = finished
        .and_then(|log| log.transaction_hash)
        .ok_or_else(|| {
            Failure::usage(format!("order {}: has no finish verdict yet", placed.order))
        })?;
    brought_in(market, placed, tx).await
}

async fn brought_in(market: &Market, placed: &Placed, tx: TxHash) -> Result<Verdict, Failure> {
    market.verdict_in(tx, placed.order).await?.ok_or_else(|| {
        // A verdict that another contract brought stands inside that contract's calldata.
        Failure::Failed(anyhow!(
            "transaction {tx}: expected a call of submitVerdict about order {}",
            placed.order
        ))
    })
}

pub(super) async fn withdraw(args: &Withdraw) -> Result<Report, Failure> {
    let (market, account) = args.chain.market_as(&args.signer).await?;
    let token = Token::of(&market, args.token.unwrap_or(market.addresses.token)).await?;
    let escrow = market.escrow();
    let credit = escrow
        .creditOf(account, token.address)
        .call()
        .await
        .map_err(Error::from)?;
    if credit.is_zero() {
        let json = json!({ "account": account, "amount": "0" });
        return Ok(Report::new(
            json,
            format!("nothing to withdraw for {account}\n"),
        ));
    }
    let receipt = send(escrow.withdraw(token.address)).await?;
    let json = json!({
        "account": account,
        "token": token.address,
        "amount": token.number(credit),
        "transaction": receipt.transaction_hash,
    });
    Ok(Report::new(
        json,
        format!("withdrew {}\n", token.show(credit)),
    ))
}
