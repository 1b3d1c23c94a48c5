//! `vouch operator`: what operators have at stake, and what becomes of one who contradicts itself.

use alloy::primitives::{Address, B256, Bytes, U256};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use vouch_abi::{IAttestation, IBonds, VerdictShare};
use vouch_client::revert::time;
use vouch_client::{Error, Market, send};
use vouch_protocol::Phase;

use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Align, Exit, Failure, Format, Report, Style, fields, table};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add to an operator's bond.
    Bond(Bond),
    /// Start to take this account's bond out; below the minimum it is no operator any more.
    Unbond(Unbond),
    /// Pay out what was taken out of the bond, and rewards.
    Withdraw(Plain),
    /// Post proofs that operators signed two verdicts about the same evidence: their bonds are lost.
    Slash(Slash),
    /// Say on chain that this operator cannot decide about an order's evidence.
    Abstain(Abstain),
    /// Operators, their bonds, and what has become of them.
    List(List),
}

/// `operator abstain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch operator abstain 0x91ab… --phase finish --reason 401

The daemon's page and `vouch-oracle job` say what an order waits for. Nothing but an event comes of it.")]
pub struct Abstain {
    /// Order id.
    order: B256,
    /// Which evidence: start, heartbeat or finish.
    #[arg(long, value_parser = ["start", "heartbeat", "finish"])]
    phase: String,
    /// Which try of the phase.
    #[arg(long, value_name = "N", default_value = "0")]
    attempt: u8,
    /// Number of the reason, from 300: what the vendors' collateral lacks.
    #[arg(long, value_name = "N")]
    reason: u16,
    #[command(flatten)]
    rest: Plain,
}

/// What every command that changes something needs.
#[derive(Debug, Args)]
pub struct Plain {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `operator bond`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch operator bond 1000 --operator 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")]
pub struct Bond {
    /// How much, such as 12.5.
    amount: String,
    /// Whose bond [default: this account's].
    #[arg(long, value_name = "ADDRESS")]
    operator: Option<Address>,
    #[command(flatten)]
    rest: Plain,
}

/// `operator unbond`.
#[derive(Debug, Args)]
pub struct Unbond {
    /// How much, such as 12.5.
    amount: String,
    #[command(flatten)]
    rest: Plain,
}

/// `operator slash`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch operator slash http://127.0.0.1:8640/v1/equivocations

A tenth of a lost bond is owed to this account: vouch operator withdraw.")]
pub struct Slash {
    /// Proofs as an oracle keeps them: the address of its `/v1/equivocations`, or a file with its answer.
    proofs: String,
    #[command(flatten)]
    rest: Plain,
}

/// `operator list`.
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
            Self::Bond(args) => args.rest.format.emit(bond(&args).await),
            Self::Unbond(args) => args.rest.format.emit(unbond(&args).await),
            Self::Withdraw(args) => args.format.emit(withdraw(&args).await),
            Self::Slash(args) => args.rest.format.emit(slash(&args).await),
            Self::Abstain(args) => args.rest.format.emit(abstain(&args).await),
            Self::List(args) => args.format.emit(list(&args).await),
        }
    }
}

/// The market in the account's name, and the token of its bonds.
async fn open(args: &Plain) -> Result<(Market, Address, Token), Failure> {
    let (market, account) = args.chain.market_as(&args.signer).await?;
    let token = bond_token(&market).await?;
    Ok((market, account, token))
}

async fn bond_token(market: &Market) -> Result<Token, Failure> {
    let address = market.bonds().token().call().await.map_err(Error::from)?;
    Token::of(market, address).await
}

async fn bond(args: &Bond) -> Result<Report, Failure> {
    let (market, account, token) = open(&args.rest).await?;
    let (operator, amount) = (
        args.operator.unwrap_or(account),
        token.parse("AMOUNT", &args.amount)?,
    );
    let (bonds, erc20) = (market.bonds(), market.erc20(token.address));
    let allowed = erc20.allowance(account, *bonds.address()).call().await;
    if allowed.map_err(Error::from)? < amount {
        send(erc20.approve(*bonds.address(), amount)).await?;
    }
    let receipt = send(bonds.bond(operator, amount)).await?;
    let json = json!({
        "operator": operator,
        "amount": token.number(amount),
        "transaction": receipt.transaction_hash,
    });
    let text = format!("{} more at stake for {operator}\n", token.show(amount));
    Ok(Report::new(json, text))
}

async fn unbond(args: &Unbond) -> Result<Report, Failure> {
    let (market, account, token) = open(&args.rest).await?;
    let amount = token.parse("AMOUNT", &args.amount)?;
    let receipt = send(market.bonds().unbond(amount)).await?;
    let event = receipt
        .decoded_log::<IBonds::Unbonding>()
        .context("a receipt without the event Unbonding")?;
    let removed = receipt
        .decoded_log::<IAttestation::OperatorsChanged>()
        .is_some();
    let mut text = format!(
        "{} can be withdrawn at {}\n",
        token.show(amount),
        time(event.until)
    );
    if removed {
        text.push_str(&format!("{account} is no operator any more\n"));
    }
    let json = json!({
        "operator": account,
        "amount": token.number(amount),
        "until": event.until,
        "removed": removed,
        "transaction": receipt.transaction_hash,
    });
    Ok(Report::new(json, text))
}

async fn withdraw(args: &Plain) -> Result<Report, Failure> {
    let (market, account, token) = open(args).await?;
    let receipt = send(market.bonds().withdraw()).await?;
    let event = receipt
        .decoded_log::<IBonds::Withdrawn>()
        .context("a receipt without the event Withdrawn")?;
    let json = json!({
        "account": account,
        "amount": token.number(event.amount),
        "transaction": receipt.transaction_hash,
    });
    let text = format!("{} paid to {account}\n", token.show(event.amount));
    Ok(Report::new(json, text))
}

/// What an oracle answers on `/v1/equivocations`; it says more than is needed here.
#[derive(Debug, Deserialize)]
struct Proofs {
    equivocations: Vec<Proof>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    job: Job,
    first: Statement,
    second: Statement,
}

#[derive(Debug, Deserialize)]
struct Job {
    order: B256,
    phase: String,
    attempt: u8,
    evidence: B256,
    outputs: B256,
}

#[derive(Debug, Deserialize)]
struct Statement {
    signer: Address,
    block: B256,
    digest: B256,
    statement: Bytes,
}

impl Proof {
    fn share(&self, statement: &Statement) -> Result<VerdictShare, Failure> {
        let Job {
            order,
            ref phase,
            attempt,
            evidence,
            outputs,
        } = self.job;
        let phase = phase_of(phase)?;
        Ok(VerdictShare {
            verdict: statement.digest,
            order,
            phase: phase as u8,
            attempt,
            evidence,
            outputs,
            announcedIn: statement.block,
        })
    }
}

async fn read(proofs: &str) -> Result<Proofs, Failure> {
    let text = if proofs.starts_with("http://") || proofs.starts_with("https://") {
        let answer = reqwest::get(proofs).await?.error_for_status()?;
        answer.text().await?
    } else {
        std::fs::read_to_string(proofs)
            .with_context(|| format!("reading {proofs}"))
            .map_err(Failure::Usage)?
    };
    serde_json::from_str(&text)
        .with_context(|| format!("{proofs}: expected what an oracle answers on /v1/equivocations"))
        .map_err(Failure::Usage)
}

async fn slash(args: &Slash) -> Result<Report, Failure> {
    let proofs = read(&args.proofs).await?.equivocations;
    let (market, _, token) = open(&args.rest).await?;
    let (mut done, mut text, mut failed) = (Vec::new(), String::new(), 0);
    for proof in &proofs {
        let operator = proof.first.signer;
        let call = IBonds::slashCall {
            first: proof.share(&proof.first)?,
            firstSignature: proof.first.statement.clone(),
            second: proof.share(&proof.second)?,
            secondSignature: proof.second.statement.clone(),
        };
        let bonds = market.bonds();
        let call = bonds.slash(
            call.first,
            call.firstSignature,
            call.second,
            call.secondSignature,
        );
        match send(call).await {
            Ok(receipt) => {
                let event = receipt
                    .decoded_log::<IBonds::Slashed>()
                    .context("a receipt without the event Slashed")?;
                let (lost, reward) = (token.show(event.amount), token.show(event.reward));
                text.push_str(&format!(
                    "{operator} has lost {lost}; the reward is {reward}\n"
                ));
                done.push(json!({
                    "operator": operator,
                    "lost": token.number(event.amount),
                    "reward": token.number(event.reward),
                    "transaction": receipt.transaction_hash,
                }));
            }
            Err(error) => {
                failed += 1;
                text.push_str(&format!("{operator}: {error}\n"));
                done.push(json!({ "operator": operator, "error": error.to_string() }));
            }
        }
    }
    if failed > 0 && failed == proofs.len() {
        return Err(Failure::Failed(anyhow!(
            "no proof was taken:\n{}",
            text.trim_end()
        )));
    }
    if proofs.is_empty() {
        text.push_str("no proofs: no operator has contradicted itself\n");
    }
    Ok(Report::new(json!({ "slashed": done }), text))
}

/// The phase with this name.
fn phase_of(name: &str) -> Result<Phase, Failure> {
    [Phase::Start, Phase::Heartbeat, Phase::Finish]
        .into_iter()
        .find(|known| known.name() == name)
        .with_context(|| format!("phase {name}: expected start, heartbeat or finish"))
        .map_err(Failure::Usage)
}

async fn abstain(args: &Abstain) -> Result<Report, Failure> {
    let phase = phase_of(&args.phase)? as u8;
    let (market, account) = args.rest.chain.market_as(&args.rest.signer).await?;
    let attestation = market.attestation();
    let receipt = send(attestation.abstain(args.order, phase, args.attempt, args.reason)).await?;
    let json = json!({
        "order": args.order,
        "operator": account,
        "phase": args.phase,
        "reason": args.reason,
        "transaction": receipt.transaction_hash,
    });
    let text = format!("{account} abstains\n");
    Ok(Report::new(json, text))
}

async fn list(args: &List) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let (bonds, attestation) = (market.bonds(), market.attestation());
    let token = bond_token(&market).await?;
    let minimum = bonds.minimum().call().await.map_err(Error::from)?;
    let quorum = attestation.quorum().call().await.map_err(Error::from)?;
    let delay = bonds.delay().call().await.map_err(Error::from)?;
    let operators = market.operators().await?;
    let total = attestation
        .totalWeight()
        .call()
        .await
        .map_err(Error::from)?;
    let (mut rows, mut shown) = (Vec::new(), Vec::new());
    for operator in &operators {
        let bond = bonds.bondOf(*operator).call().await.map_err(Error::from)?;
        let weight = attestation.weightOf(*operator).call().await;
        let weight = weight.map_err(Error::from)?;
        let leaving = match bond.leaving {
            U256::ZERO => "-".to_owned(),
            amount => format!("{} until {}", token.number(amount), time(bond.until)),
        };
        rows.push(vec![
            operator.to_string(),
            weight.to_string(),
            token.number(bond.bonded),
            leaving,
        ]);
        shown.push(json!({
            "operator": operator,
            "weight": weight,
            "bond": token.number(bond.bonded),
            "leaving": token.number(bond.leaving),
            "until": (!bond.leaving.is_zero()).then_some(bond.until),
        }));
    }
    let mut text = fields([
        ("quorum", format!("{quorum} of {total}")),
        ("least bond", token.show(minimum)),
        ("taken out after", crate::when::show_duration(delay)),
    ]);
    let columns = [
        ("operator", Align::Left),
        ("weight", Align::Right),
        ("bond", Align::Right),
        ("leaving", Align::Left),
    ];
    text.push('\n');
    text.push_str(&table(&columns, &rows, Style::stdout()));
    let json = json!({
        "quorum": quorum,
        "minimum": token.number(minimum),
        "delay": delay,
        "token": token.address,
        "operators": shown,
    });
    Ok(Report::new(json, text))
}
