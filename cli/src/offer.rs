//! `vouch offer`: what is for sale.

use std::path::{Path, PathBuf};

use alloy::primitives::{B256, Bytes};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use vouch_abi::id::{lineage, offer_id, policy_id};
use vouch_abi::terms::is_asset;
use vouch_abi::{IOffers, Offer, Policy, Royalty, Terms};
use vouch_client::order::{COMPUTE, decode, royalties};
use vouch_client::{Error, Market, send};

use crate::asset::file_digest;
use crate::chain::{ChainArgs, SignerArgs, Token};
use crate::output::{Align, Exit, Failure, Format, Report, Style, fields, table};
use crate::policy_file::percent;
use crate::{policy, when};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Offer a dataset, model, workload or machine.
    Publish(Box<Publish>),
    /// End an offer; orders already placed go on.
    Cancel(Cancel),
    /// What is for sale.
    List(List),
    /// One offer.
    Show(Show),
}

/// What an offer is of. The numbers are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Records to work on.
    Dataset = 1,
    /// Weights to work with.
    Model = 2,
    /// The program that works.
    Workload = 3,
    /// The machine it works on, by the second.
    Compute = 4,
}

/// The name of a kind's number.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "dataset",
        2 => "model",
        3 => "workload",
        4 => "compute",
        5 => "share",
        6 => "royalty",
        _ => "unknown",
    }
}

/// `offer publish`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vouch offer publish --kind dataset --file reviews.jsonl --price 120 --policy policy.toml
  vouch offer publish --kind compute --price 0.02 --policy policy.toml --volume 1000
  vouch offer publish --kind model --digest 0x77c2… --price 300 --policy policy.toml --derived-from 0x91ab…")]
pub struct Publish {
    /// What it is.
    #[arg(long)]
    kind: Kind,
    /// The asset; its SHA-256 is the offer's digest.
    #[arg(long, value_name = "FILE", conflicts_with = "digest")]
    file: Option<PathBuf>,
    /// The asset's digest, where the file is elsewhere.
    #[arg(long, value_name = "HEX")]
    digest: Option<B256>,
    /// Price per use, or for compute per second of attested time.
    #[arg(long, value_name = "AMOUNT")]
    price: String,
    /// Usage policy: a file (published with the offer where needed), or the id of a published one.
    #[arg(long, value_name = "FILE|ID")]
    policy: String,
    /// Uses for sale.
    #[arg(long, value_name = "N", default_value = "1")]
    volume: u64,
    /// How long orders are accepted.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = when::duration)]
    open_for: u64,
    /// Description to publish with the offer; its SHA-256 is in the offer.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Where the description can be had.
    #[arg(long, value_name = "URI", default_value = "")]
    uri: String,
    /// Compute only: the machine may serve several orders at a time.
    #[arg(long)]
    shared: bool,
    /// Dataset or model only: the settled order of yours that made it. What the owners of its datasets and models ask
    /// for is paid out of the price.
    #[arg(long, value_name = "ORDER")]
    derived_from: Option<B256>,
    /// Distinguishes offers that are otherwise equal.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, hide_default_value = true)]
    salt: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `offer cancel`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch offer cancel 0x5c1e…")]
pub struct Cancel {
    /// Offer id.
    offer: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    format: Format,
}

/// `offer list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch offer list --kind model")]
pub struct List {
    /// Of this kind only.
    #[arg(long)]
    kind: Option<Kind>,
    /// Also those that take no more orders.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

/// `offer show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vouch offer show 0x5c1e…")]
pub struct Show {
    /// Offer id.
    offer: B256,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    format: Format,
}

impl Command {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        match self {
            Self::Publish(args) => args.format.emit(publish(&args).await),
            Self::Cancel(args) => args.format.emit(cancel(&args).await),
            Self::List(args) => args.format.emit(list(&args).await),
            Self::Show(args) => args.format.emit(show(&args).await),
        }
    }
}

/// An offer as it was published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its id.
    pub id: B256,
    /// Its terms.
    pub offer: Offer,
    /// Where its description can be had.
    pub uri: String,
}

/// Published offers, oldest first; one only where `id` is given.
pub async fn published(market: &Market, id: Option<B256>) -> Result<Vec<Published>, Failure> {
    let mut filter = Filter::new()
        .address(market.addresses.offers)
        .from_block(market.first_block)
        .event_signature(IOffers::OfferPublished::SIGNATURE_HASH);
    if let Some(id) = id {
        filter = filter.topic1(id);
    }
    let logs = market
        .provider
        .get_logs(&filter)
        .await
        .map_err(Error::from)?;
    let mut found = Vec::with_capacity(logs.len());
    for log in &logs {
        let event = decode::<IOffers::OfferPublished>(log, "event OfferPublished")?;
        found.push(Published {
            id: event.offer,
            offer: event.terms,
            uri: event.uri,
        });
    }
    Ok(found)
}

/// One published offer.
pub async fn find(market: &Market, id: B256) -> Result<Published, Failure> {
    published(market, Some(id)).await?.pop().ok_or_else(|| {
        Failure::usage(format!(
            "offer {id}: not published here; see `vouch offer list`"
        ))
    })
}

async fn publish(args: &Publish) -> Result<Report, Failure> {
    let digest = match (&args.file, args.digest, args.kind) {
        (None, None, Kind::Compute) => B256::ZERO,
        (_, _, Kind::Compute) => {
            return Err(Failure::usage(
                "--kind compute: a machine has no digest; leave out --file and --digest",
            ));
        }
        (Some(file), _, _) => file_digest(file)?.0,
        (None, Some(digest), _) => digest,
        (None, None, _) => return Err(Failure::usage("give the asset with --file or --digest")),
    };
    if args.shared && args.kind != Kind::Compute {
        return Err(Failure::usage("--shared: only for --kind compute"));
    }
    let metadata = args.metadata.as_deref().map(file_digest).transpose()?;
    let policy = match args.policy.parse::<B256>() {
        Ok(id) => Err(id),
        Err(_) => Ok(policy::load(Path::new(&args.policy))?),
    };
    let (market, owner) = args.chain.market_as(&args.signer).await?;
    let token = Token::of(&market, market.addresses.token).await?;
    let parents = match args.derived_from {
        Some(order) => Some(Parents::of(&market, order).await?),
        None => None,
    };
    let offer = Offer {
        owner,
        kind: args.kind as u8,
        digest,
        metadata: metadata.map_or(B256::ZERO, |(digest, _)| digest),
        token: token.address,
        price: token.parse("--price", &args.price)?,
        policy: policy.as_ref().map_or_else(|id| *id, policy_id),
        volume: args.volume,
        openUntil: market.now().await?.saturating_add(args.open_for),
        shared: args.shared,
        lineage: parents
            .as_ref()
            .map_or(B256::ZERO, |parents| lineage(&parents.royalties)),
        salt: args.salt,
    };
    match policy {
        // Publishing a policy twice changes nothing.
        Ok(policy) => drop(send(market.usage().publish(policy)).await?),
        Err(id) => drop(market.published_policy(id).await?),
    }
    let (offers, uri) = (market.offers(), args.uri.clone());
    let id = offer_id(&offer);
    let mut json = offer_json(id, &offer, &uri, &token);
    let mut text = format!("{id}\n");
    let receipt = match parents {
        None => send(offers.publish(offer, uri)).await?,
        Some(parents) => {
            for royalty in &parents.royalties {
                let rate = percent(royalty.rate);
                text.push_str(&format!(
                    "pays {rate} % to {} for {}\n",
                    royalty.payee, royalty.digest
                ));
            }
            json["derived_from"] = json!(args.derived_from);
            json["royalties"] = royalties_json(&parents.royalties);
            let Parents {
                terms, policies, ..
            } = parents;
            send(offers.publishDerived(offer, uri, terms, policies)).await?
        }
    };
    json["transaction"] = json!(receipt.transaction_hash);
    Ok(Report::new(json, text))
}

/// What an order made something from, and what is owed for that.
struct Parents {
    terms: Terms,
    /// Of the order's datasets and models.
    policies: Vec<Policy>,
    royalties: Vec<Royalty>,
}

impl Parents {
    async fn of(market: &Market, order: B256) -> Result<Self, Failure> {
        let placed = market.terms(order).await?;
        let mut policies = market.policies(&placed).await?;
        let royalties = royalties(&placed.terms, &policies);
        let mut legs = placed.terms.legs.iter();
        policies.retain(|_| legs.next().is_some_and(is_asset));
        Ok(Self {
            terms: placed.terms,
            policies,
            royalties,
        })
    }
}

fn royalties_json(royalties: &[Royalty]) -> Value {
    let royalties = royalties.iter().map(|royalty| {
        json!({
            "payee": royalty.payee,
            "asset": royalty.digest,
            "percent": percent(royalty.rate),
        })
    });
    Value::Array(royalties.collect())
}

async fn cancel(args: &Cancel) -> Result<Report, Failure> {
    let (market, _) = args.chain.market_as(&args.signer).await?;
    let receipt = send(market.offers().cancel(args.offer)).await?;
    let json = json!({ "offer": args.offer, "transaction": receipt.transaction_hash });
    Ok(Report::new(json, format!("cancelled {}\n", args.offer)))
}

async fn list(args: &List) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let token = Token::of(&market, market.addresses.token).await?;
    let offers = market.offers();
    let (mut entries, mut rows) = (Vec::new(), Vec::new());
    for Published { id, offer, uri } in published(&market, None).await? {
        if args.kind.is_some_and(|kind| kind as u8 != offer.kind) {
            continue;
        }
        let available = offers.available(id).call().await.map_err(Error::from)?;
        if !available.open && !args.all {
            continue;
        }
        rows.push(vec![
            id.to_string(),
            kind_name(offer.kind).to_owned(),
            price(&offer, &token),
            available.volume.to_string(),
            if available.open { "open" } else { "closed" }.to_owned(),
        ]);
        let mut entry = offer_json(id, &offer, &uri, &token);
        entry["left"] = json!(available.volume);
        entry["open"] = json!(available.open);
        entries.push(entry);
    }
    let columns = [
        ("offer", Align::Left),
        ("kind", Align::Left),
        ("price", Align::Right),
        ("left", Align::Right),
        ("state", Align::Left),
    ];
    let text = match rows.is_empty() {
        true => "no offers\n".to_owned(),
        false => table(&columns, &rows, Style::stdout()),
    };
    Ok(Report::new(Value::Array(entries), text))
}

async fn show(args: &Show) -> Result<Report, Failure> {
    let market = args.chain.market().await?;
    let Published { id, offer, uri } = find(&market, args.offer).await?;
    let token = Token::of(&market, offer.token).await?;
    let available = market
        .offers()
        .available(id)
        .call()
        .await
        .map_err(Error::from)?;
    let mut json = offer_json(id, &offer, &uri, &token);
    json["left"] = json!(available.volume);
    json["open"] = json!(available.open);
    let derived = market.lineage(id).await?;
    if let Some((order, royalties)) = &derived {
        json["derived_from"] = json!(order);
        json["royalties"] = royalties_json(royalties);
    }
    let mut text = fields([
        ("offer", id.to_string()),
        ("kind", kind_name(offer.kind).to_owned()),
        ("owner", offer.owner.to_string()),
        ("digest", offer.digest.to_string()),
        ("price", price(&offer, &token)),
        ("policy", offer.policy.to_string()),
        ("left", format!("{} of {}", available.volume, offer.volume)),
        ("open until", vouch_client::revert::time(offer.openUntil)),
        (
            "state",
            if available.open { "open" } else { "closed" }.to_owned(),
        ),
        (
            "description",
            if uri.is_empty() {
                "none".to_owned()
            } else {
                uri
            },
        ),
    ]);
    if let Some((order, royalties)) = derived {
        text.push_str(&format!("made by order {order}\n"));
        for royalty in &royalties {
            let rate = percent(royalty.rate);
            text.push_str(&format!(
                "pays {rate} % to {} for {}\n",
                royalty.payee, royalty.digest
            ));
        }
    }
    Ok(Report::new(json, text))
}

fn price(offer: &Offer, token: &Token) -> String {
    let per = if offer.kind == COMPUTE {
        " per second"
    } else {
        ""
    };
    format!("{}{per}", token.show(offer.price))
}

fn offer_json(id: B256, offer: &Offer, uri: &str, token: &Token) -> Value {
    json!({
        "offer": id,
        "kind": kind_name(offer.kind),
        "owner": offer.owner,
        "digest": offer.digest,
        "metadata": offer.metadata,
        "token": offer.token,
        "price": token.number(offer.price),
        "policy": offer.policy,
        "volume": offer.volume,
        "open_until": offer.openUntil,
        "shared": offer.shared,
        "uri": uri,
        "encoded": Bytes::from(alloy::sol_types::SolValue::abi_encode(offer)),
    })
}
