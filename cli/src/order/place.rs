//! `vouch order place`.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::json;
use vouch_abi::{Fee, LegRequest, Requirements};
use vouch_client::Error;
use vouch_client::authorize::Way;
use vouch_client::order::{Schedule, Wish, leg, price};

use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Failure, Format, Report};
use crate::policy_file::{PURPOSES, millionths};
use crate::{offer, when};

/// What is signed instead of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Authorize {
    /// EIP-2612.
    Permit,
    /// ERC-3009.
    Erc3009,
    /// A signature transfer of Permit2.
    Permit2,
}

impl From<Authorize> for Way {
    fn from(how: Authorize) -> Self {
        match how {
            Authorize::Permit => Self::Permit,
            Authorize::Erc3009 => Self::Authorization,
            Authorize::Permit2 => Self::Permit2,
        }
    }
}

/// `order place`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vouch order place --offer 0xdata… --offer 0xmodel… --offer 0xgpu… \\
    --purpose train --max-duration 1h --max-price 250 --result-key 0x1f5c…

The offers' prices and policies are those at the block of the order; --max-price bounds the whole.")]
pub struct Place {
    /// Published offer; one for each dataset, model and workload, and one of compute.
    #[arg(long, value_name = "ID", required = true)]
    offer: Vec<B256>,
    /// What the job does.
    #[arg(long, value_parser = PURPOSES)]
    purpose: String,
    /// Longest attested time that compute is paid for.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::short_duration)]
    max_duration: u32,
    /// Refuse to lock more than this, all fees included.
    #[arg(long, value_name = "AMOUNT")]
    max_price: String,
    /// X25519 public key to which the result is sealed.
    #[arg(long, value_name = "HEX")]
    result_key: B256,
    /// Asked of the provider, who loses it to the buyer for forged evidence.
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    bond: String,
    /// Paid to the operators [default: the smallest allowed].
    #[arg(long, value_name = "AMOUNT")]
    oracle_fee: Option<String>,
    /// Refuse a protocol's fee above this, in percent [default: what it is now].
    #[arg(long, value_name = "PERCENT", value_parser = millionths, help_heading = "Fees")]
    max_protocol_fee: Option<u32>,
    /// Who brought you here, to be paid on top of what the sellers earn.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "marketplace_fee",
        help_heading = "Fees"
    )]
    marketplace: Option<Address>,
    /// How much of it, in percent: at most 20.
    #[arg(long, value_name = "PERCENT", value_parser = millionths, requires = "marketplace", help_heading = "Fees")]
    marketplace_fee: Option<u32>,
    /// Seconds in which the finish verdict may be disputed.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = when::duration)]
    challenge_window: u64,
    /// Until the provider has accepted.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::duration)]
    accept_within: u64,
    /// From there until the session is attested.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::duration)]
    start_within: u64,
    /// From there until the work is attested.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = when::duration)]
    finish_within: u64,
    /// From there until the payment.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::duration)]
    settle_within: u64,
    /// Fewest records the dataset must have.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Dataset")]
    min_records: u64,
    /// Fewest bytes the dataset must have.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Dataset")]
    min_bytes: u64,
    /// SHA-256 of the schema the dataset must have.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, hide_default_value = true, help_heading = "Dataset")]
    schema: B256,
    /// Smallest share of well-formed records, in millionths.
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Dataset")]
    min_quality: u32,
    /// Sign for the money in the order's own transaction, instead of approving the escrow in one before it. What the
    /// token knows: permit (EIP-2612), erc3009, or permit2, which it must have been approved for once.
    #[arg(long, value_name = "HOW")]
    authorize: Option<Authorize>,
    /// Distinguishes orders that are otherwise equal.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, hide_default_value = true)]
    salt: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn run(args: &Place) -> Result<Report, Failure> {
    let (market, buyer) = args.chain.market_as(&args.signer).await?;
    let mut legs = Vec::with_capacity(args.offer.len());
    for id in &args.offer {
        let published = offer::find(&market, *id).await?;
        let policy = market.published_policy(published.offer.policy).await?;
        let royalties = match market.lineage(*id).await? {
            Some((_, royalties)) => royalties,
            None => Vec::new(),
        };
        legs.push(LegRequest {
            royalties,
            ..leg(published.offer, policy)
        });
    }
    let token = Token::of(&market, legs[0].offer.token).await?;
    let oracle_fee = match &args.oracle_fee {
        Some(fee) => token.parse("--oracle-fee", fee)?,
        None => market
            .attestation()
            .fee()
            .call()
            .await
            .map_err(Error::from)?,
    };
    let max_protocol_fee = match args.max_protocol_fee {
        Some(most) => most,
        None => {
            let fee = market.offers().protocolFee().call().await;
            fee.map_err(Error::from)?.rate
        }
    };
    let seconds = Duration::from_secs;
    let wish = Wish {
        purpose: purpose_bit(&args.purpose),
        max_duration: args.max_duration,
        result_key: args.result_key,
        requirements: Requirements {
            minRecords: args.min_records,
            minBytes: args.min_bytes,
            schema: args.schema,
            minQuality: args.min_quality,
        },
        schedule: Schedule {
            accept: seconds(args.accept_within),
            start: seconds(args.start_within),
            finish: seconds(args.finish_within),
            settle: seconds(args.settle_within),
        },
        challenge_window: args.challenge_window,
        bond: token.parse("--bond", &args.bond)?,
        oracle_fee,
        max_protocol_fee,
        marketplace_fee: Fee {
            recipient: args.marketplace.unwrap_or_default(),
            rate: args.marketplace_fee.unwrap_or_default(),
        },
        salt: args.salt,
    };
    let request = wish.request(legs, market.now().await?);
    let locked = price(&request);
    let most = token.parse("--max-price", &args.max_price)?;
    if locked > most {
        return Err(Failure::usage(format!(
            "--max-price {}: the order would lock {}",
            args.max_price,
            token.show(locked)
        )));
    }
    let balance = market.balance(token.address, buyer).await?;
    if balance < locked {
        return Err(Failure::usage(format!(
            "{buyer} has {}, the order locks {}",
            token.show(balance),
            token.show(locked)
        )));
    }
    let (placed, receipt) = match args.authorize {
        None => {
            approve(&market, &token, buyer, locked).await?;
            market.place(request).await?
        }
        Some(how) => {
            let signer = args.signer.signer(market.chain_id)?;
            let until = request.deadlines.accept;
            let signed = market.authorize(how.into(), token.address, locked, until, &signer);
            let signed = signed.await.map_err(|error| {
                let how = how.to_possible_value();
                let how = how.as_ref().map_or("", |how| how.get_name());
                let symbol = &token.symbol;
                Failure::Failed(anyhow!(error).context(format!(
                    "--authorize {how}: {symbol} does not answer as such a token; leave it out to approve the escrow"
                )))
            })?;
            market.place_authorized(request, signed).await?
        }
    };
    let json = json!({
        "order": placed.order,
        "state": "placed",
        "locked": token.number(locked),
        "token": token.address,
        "transaction": receipt.transaction_hash,
    });
    Ok(Report::new(
        json,
        format!("{}\nlocked {}\n", placed.order, token.show(locked)),
    ))
}

/// Lets the escrow take `amount`, unless it already may.
pub(super) async fn approve(
    market: &vouch_client::Market,
    token: &Token,
    account: alloy::primitives::Address,
    amount: U256,
) -> Result<(), Failure> {
    let allowance = market
        .erc20(token.address)
        .allowance(account, market.addresses.escrow)
        .call()
        .await
        .map_err(Error::from)?;
    if allowance < amount {
        market.approve(token.address, amount).await?;
    }
    Ok(())
}

fn purpose_bit(name: &str) -> u8 {
    PURPOSES
        .iter()
        .position(|known| *known == name)
        .map_or(0, |bit| 1 << bit)
}
