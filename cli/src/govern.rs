//! `vouch govern`: the market's owner announces changes, anybody makes them once their time has come.

use alloy::primitives::{Address, B256};
use alloy::rpc::types::TransactionReceipt;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouch_client::governance::{Fate, Operation, describe, encode};
use vouch_client::revert::time;
use vouch_client::{Error, Market, send};

use crate::chain::{ChainArgs, SignerArgs};
use crate::output::{Align, Exit, Failure, Format, Report, Style, fields, table};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Offer the market to another owner, who has to accept it.
    Propose(Propose),
    /// Take over a market that was offered to this account.
    Accept(Plain),
    /// Announce a change of one of the contracts.
    Schedule(Schedule),
    /// Make a change whose time has come. Anybody may.
    Execute(Chosen),
    /// Take an announced change back.
    Cancel(Chosen),
    /// Stop new orders, at once. What runs goes on.
    Pause(Plain),
    /// The owner, the delay, and every change ever announced.
    List(List),
}

/// A command without arguments of its own.
#[derive(Debug, Args)]
pub struct Plain {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `govern propose`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch govern propose 0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)]
pub struct Propose {
    /// Who may take over.
    account: Address,
    #[command(flatten)]
    rest: Plain,
}

/// `govern schedule`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch govern schedule attestation setFee 1000000
  vouch govern schedule escrow setPaused false
  vouch govern schedule offers setProtocolFee '(0x70997970C51812dc3A010C7d01b50e0d17dc79C8,10000)'
  vouch govern schedule attestation setOperators '[0x70997970C51812dc3A010C7d01b50e0d17dc79C8]' '[]' 2")]
pub struct Schedule {
    /// Which contract: offers, usage, attestation, bonds or escrow.
    contract: String,
    /// Which of its functions.
    function: String,
    /// The function's arguments; lists in brackets.
    arguments: Vec<String>,
    #[command(flatten)]
    rest: Plain,
}

/// `govern execute` and `govern cancel`.
#[derive(Debug, Args)]
pub struct Chosen {
    /// The operation, as `vouch govern schedule` and `list` name it.
    operation: B256,
    #[command(flatten)]
    rest: Plain,
}

/// `govern list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Propose(args) => args.rest.format.emit(propose(&args).await),
            Self::Accept(args) => args.format.emit(accept(&args).await),
            Self::Schedule(args) => args.rest.format.emit(schedule(&args).await),
            Self::Execute(args) => args.rest.format.emit(execute(&args).await),
            Self::Cancel(args) => args.rest.format.emit(cancel(&args).await),
            Self::Pause(args) => args.format.emit(pause(&args).await),
            Self::List(args) => args.format.emit(list(&args).await),
        }
    }
}

async fn market(args: &Plain) -> Result<(Market, Address), Failure> {
    args.chain.market_as(&args.signer).await
}

fn done(mut json: Value, text: String, receipt: &TransactionReceipt) -> Report {
    json["transaction"] = json!(receipt.transaction_hash);
    Report::new(json, text)
}

async fn propose(args: &Propose) -> Result<Report, Failure> {
    let (market, _) = market(&args.rest).await?;
    let receipt = send(market.governance().proposeOwner(args.account)).await?;
    let text = format!("{} may take over with: vouch govern accept\n", args.account);
    Ok(done(json!({ "proposed": args.account }), text, &receipt))
}

async fn accept(args: &Plain) -> Result<Report, Failure> {
    let (market, account) = market(args).await?;
    let receipt = send(market.governance().acceptOwnership()).await?;
    let text = format!("{account} owns the market\n");
    Ok(done(json!({ "owner": account }), text, &receipt))
}

async fn schedule(args: &Schedule) -> Result<Report, Failure> {
    let data = encode(&args.contract, &args.function, &args.arguments).map_err(Failure::usage)?;
    let (market, _) = market(&args.rest).await?;
    let target = address(&market, &args.contract)?;
    let (operation, receipt) = market.schedule(target, data).await?;
    let text = format!(
        "{}\nscheduled as {}\nfrom {} on: vouch govern execute {}\n",
        describe(&operation.data),
        operation.id,
        time(operation.from),
        operation.id
    );
    Ok(done(as_json(&operation), text, &receipt))
}

fn address(market: &Market, contract: &str) -> Result<Address, Failure> {
    let addresses = &market.addresses;
    match contract {
        "offers" => Ok(addresses.offers),
        "usage" => Ok(addresses.usage),
        "attestation" => Ok(addresses.attestation),
        "escrow" => Ok(addresses.escrow),
        "bonds" => Ok(addresses.bonds),
        _ => Err(Failure::usage(format!(
            "{contract}: expected a contract that is governed: offers, usage, attestation, bonds or escrow"
        ))),
    }
}

async fn find(market: &Market, id: B256) -> Result<Operation, Failure> {
    let mut all = market.operations().await?.into_iter().rev();
    all.find(|operation| operation.id == id).ok_or_else(|| {
        Failure::usage(format!(
            "{id}: no such operation was ever scheduled; vouch govern list shows them"
        ))
    })
}

async fn execute(args: &Chosen) -> Result<Report, Failure> {
    let (market, _) = market(&args.rest).await?;
    let found = find(&market, args.operation).await?;
    let governance = market.governance();
    let receipt = send(governance.execute(found.target, found.data.clone())).await?;
    let found = Operation {
        fate: Fate::Executed,
        ..found
    };
    let text = format!("executed {}\n", describe(&found.data));
    Ok(done(as_json(&found), text, &receipt))
}

async fn cancel(args: &Chosen) -> Result<Report, Failure> {
    let (market, _) = market(&args.rest).await?;
    let receipt = send(market.governance().cancel(args.operation)).await?;
    let text = format!("{} is cancelled\n", args.operation);
    Ok(done(json!({ "operation": args.operation }), text, &receipt))
}

async fn pause(args: &Plain) -> Result<Report, Failure> {
    let (market, _) = market(args).await?;
    let escrow = market.addresses.escrow;
    let receipt = send(market.governance().pause(escrow)).await?;
    let text = "no new orders; to go on: vouch govern schedule escrow setPaused false\n";
    Ok(done(json!({ "paused": escrow }), text.into(), &receipt))
}

async fn list(args: &List) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let governance = market.governance();
    let owner = governance.owner().call().await.map_err(Error::from)?;
    let proposed = governance
        .proposedOwner()
        .call()
        .await
        .map_err(Error::from)?;
    let delay = governance.delay().call().await.map_err(Error::from)?;
    let (operations, now) = (market.operations().await?, market.now().await?);
    let mut rows = vec![
        ("owner", owner.to_string()),
        ("delay", format!("{delay} s")),
    ];
    if !proposed.is_zero() {
        rows.insert(1, ("proposed owner", proposed.to_string()));
    }
    let mut text = fields(rows);
    if !operations.is_empty() {
        let columns = [
            ("operation", Align::Left),
            ("call", Align::Left),
            ("state", Align::Left),
        ];
        let rows: Vec<Vec<String>> = operations
            .iter()
            .map(|operation| {
                let call = describe(&operation.data);
                vec![operation.id.to_string(), call, state(operation, now)]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&columns, &rows, Style::stdout()));
    }
    let json = json!({
        "owner": owner,
        "proposed": (!proposed.is_zero()).then_some(proposed),
        "delay": delay,
        "operations": operations.iter().map(as_json).collect::<Vec<_>>(),
    });
    Ok(Report::new(json, text))
}

/// Where a change stands at `now`.
fn state(operation: &Operation, now: u64) -> String {
    match operation.fate {
        Fate::Scheduled if now < operation.from => format!("from {}", time(operation.from)),
        Fate::Scheduled if now <= operation.until => "can be executed".into(),
        Fate::Scheduled => "too late".into(),
        fate => fate.to_string(),
    }
}

fn as_json(operation: &Operation) -> Value {
    json!({
        "operation": operation.id,
        "target": operation.target,
        "call": describe(&operation.data),
        "data": operation.data,
        "from": operation.from,
        "until": operation.until,
        "state": operation.fate.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_time() {
        let mut operation = Operation {
            id: B256::ZERO,
            target: Address::ZERO,
            data: Default::default(),
            from: 100,
            until: 200,
            fate: Fate::Scheduled,
        };
        assert!(state(&operation, 99).starts_with("from 1970"));
        assert_eq!(state(&operation, 100), "can be executed");
        assert_eq!(state(&operation, 200), "can be executed");
        assert_eq!(state(&operation, 201), "too late");
        operation.fate = Fate::Cancelled;
        assert_eq!(state(&operation, 150), "cancelled");
    }
}
