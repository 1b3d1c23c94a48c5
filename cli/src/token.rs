//! `vouch token`: the test token of development chains.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Exit, Failure, Format, Report};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make test tokens for an account.
    Mint(Mint),
    /// What an account has, and what the escrow owes it.
    Balance(Balance),
}

/// `token mint`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch token mint 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 1000"
)]
pub struct Mint {
    /// Who gets them.
    account: Address,
    /// How many, such as 12.5.
    amount: String,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `token balance`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouch token balance 0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)]
pub struct Balance {
    /// Whose.
    account: Address,
    /// Another token than the deployment's.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Mint(args) => args.format.emit(mint(&args).await),
            Self::Balance(args) => args.format.emit(balance(&args).await),
        }
    }
}

async fn mint(args: &Mint) -> Result<Report, Failure> {
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let token = Token::of(&market, market.addresses.token).await?;
    let amount = token.parse("AMOUNT", &args.amount)?;
    let receipt = market.mint(args.account, amount).await?;
    Ok(Report::new(
        json!({
            "account": args.account,
            "token": token.address,
            "amount": token.number(amount),
            "transaction": receipt.transaction_hash,
        }),
        format!("minted {} for {}\n", token.show(amount), args.account),
    ))
}

async fn balance(args: &Balance) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let token = Token::of(&market, args.token.unwrap_or(market.addresses.token)).await?;
    let balance = market.balance(token.address, args.account).await?;
    let escrow = market.escrow();
    let credit = escrow.creditOf(args.account, token.address).call().await;
    let credit = credit.map_err(vouch_client::Error::from)?;
    let mut text = format!("{}\n", token.show(balance));
    if !credit.is_zero() {
        text.push_str(&format!(
            "{} more to withdraw: vouch order withdraw\n",
            token.show(credit)
        ));
    }
    let json = json!({
        "account": args.account,
        "token": token.address,
        "symbol": token.symbol,
        "balance": token.number(balance),
        "credit": token.number(credit),
    });
    Ok(Report::new(json, text))
}
