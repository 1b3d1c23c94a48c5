//! What the market costs, measured on `vouch-devnet`: gas of each transaction as its receipt says.
//!
//! **First use** is the first deal of a fresh market: no program is cached, nobody who is paid has
//! held the token before, every storage slot is new.
//!
//! **In use** is a market that people use: its programs are in the chain's program cache (a bid
//! placed once keeps them there), everyone has dealt before, other orders are open. Every deal but
//! the first few looks like this.
//!
//! In both, each transaction has a block of its own, so none profits from another's warm programs,
//! and money is `Coin.sol`, a plain ERC-20 of the EVM, as the peers' figures were measured with.
//! An Arbitrum chain charges for the data of a transaction on its parent chain beside this gas.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::SignerSync;
use alloy::sol_types::{SolCall, SolEvent, SolStruct};
use anyhow::{Context, Result, ensure};
use vouch_abi::{IEscrow, Verdict};
use vouch_client::batch::Batch;
use vouch_client::cache::{self, Bid};
use vouch_client::calls;
use vouch_client::verdict::{self, Signed};
use vouch_client::{Market, Placed, State, send};
use vouch_protocol::{Phase, Reason};

use crate::world::{Options, World};

/// Deals that come before the measured one in a market in use.
const WARM_UP: u8 = 3;
/// Orders of a batch.
const BATCH: usize = 50;
/// Every operator must agree, as the figure to compare with has it.
const QUORUM: u16 = 3;
const EVERYONE: [usize; 3] = [0, 1, 2];

/// Gas by what was done.
pub type Gas = BTreeMap<String, u64>;

/// Steps of a deal, in the order in which they come: what the table calls them, and what each does.
pub const STEPS: [(&str, &str); 4] = [
    ("place", "order with dataset, model and compute legs"),
    ("accept", "provider accepts, bond locked"),
    ("start_verdict", "start verdict, three signatures"),
    (
        "finish_verdict",
        "finish verdict, three signatures, three payments",
    ),
];

/// Both markets.
#[derive(Clone, Debug)]
pub struct Measured {
    /// A fresh market's first deal.
    pub first_use: Gas,
    /// A market in use.
    pub in_use: Gas,
}

/// Measures everything.
pub async fn measure() -> Result<Measured> {
    Ok(Measured {
        first_use: first_use().await?,
        in_use: in_use().await?,
    })
}

async fn world(everyone_holds: bool) -> Result<World> {
    World::with(Options {
        quorum: QUORUM,
        coin: Some("Coin"),
        everyone_holds,
    })
    .await
}

async fn first_use() -> Result<Gas> {
    let mut world = world(false).await?;
    let mut gas = deal(&mut world, 1).await?;
    // The first refund of a market is not the second order of one.
    let mut world = self::world(false).await?;
    gas.insert("refund".into(), refunded(&mut world, State::Placed).await?);
    Ok(gas)
}

async fn in_use() -> Result<Gas> {
    let mut world = world(true).await?;
    cache_programs(&world).await?;
    // One order stays open all the time.
    world.place().await?;
    for device in 1..=WARM_UP {
        deal(&mut world, device).await?;
    }
    let mut gas = deal(&mut world, 1).await?;
    deals(&mut world, 0).await?;
    gas.extend(deals(&mut world, 1).await?);
    for (name, state) in [
        ("refund", State::Placed),
        ("refund_accepted", State::Accepted),
        ("refund_running", State::Running),
    ] {
        gas.insert(name.into(), refunded(&mut world, state).await?);
    }
    gas.insert("publish_offer".into(), publish_offer(&world).await?);
    let (publish, place) = signed_offer(&mut world).await?;
    gas.insert("publish_signed_offer".into(), publish);
    gas.insert("place_signed_offer".into(), place);
    Ok(gas)
}

/// One whole deal; returns what each of its transactions took, and `whole_deal`, the sum over
/// [`STEPS`]. The provider's two announcements of evidence are in `announcements`.
async fn deal(world: &mut World, device: u8) -> Result<Gas> {
    let mut gas = Gas::new();
    let request = world.request().await?;
    let (placed, receipt) = world.buyer.market.place(request).await?;
    note(&mut gas, "place", &receipt)?;
    let accepted = send(world.provider.market.escrow().accept(placed.terms.clone())).await?;
    note(&mut gas, "accept", &accepted)?;
    let mut announcements = 0;
    for (name, phase) in [
        ("start_verdict", Phase::Start),
        ("finish_verdict", Phase::Finish),
    ] {
        let verdict = world
            .verdict(&placed, phase, Reason::Accepted, device)
            .await?;
        announcements += announce(world, &placed, phase).await?;
        let receipt = world.submit(&placed, &verdict, &EVERYONE).await?;
        note(&mut gas, name, &receipt)?;
        world.pass(60).await?;
    }
    let state = world.record(&placed).await?.state;
    ensure!(
        state == State::Settled,
        "expected a settled order, found {state}"
    );
    let whole = STEPS.iter().map(|(name, _)| gas[*name]).sum();
    gas.insert("whole_deal".into(), whole);
    gas.insert("announcements".into(), announcements);
    Ok(gas)
}

/// Deals of one buyer and one provider, each step of all of them in one transaction. Every order has
/// devices of its own. Returns what each step took for one order, and `per_order_in_batch_of_50`, the
/// sum.
async fn deals(world: &mut World, round: u8) -> Result<Gas> {
    let mut gas = Gas::new();
    let mut placed = Vec::with_capacity(BATCH);
    let request = world.request().await?;
    let salts = (0..BATCH as u8).map(|n| B256::left_padding_from(&[0xba, round, n]));
    let escrow = world.buyer.market.escrow();
    let receipt = send(escrow.placeMany(request, salts.collect())).await?;
    note_share(&mut gas, "place_in_batch", &receipt)?;
    for log in receipt.logs() {
        if let Ok(event) = IEscrow::OrderPlaced::decode_log(&log.inner) {
            placed.push(Placed {
                order: event.order,
                terms: event.data.terms,
            });
        }
    }
    ensure!(placed.len() == BATCH, "placed {} orders", placed.len());
    let accepts = placed.iter().map(|placed| {
        let terms = placed.terms.clone();
        IEscrow::acceptCall { terms }.abi_encode().into()
    });
    let receipt = multicall(&world.provider.market, accepts.collect()).await?;
    note_share(&mut gas, "accept_in_batch", &receipt)?;
    for (name, phase) in [
        ("start_verdict_in_batch", Phase::Start),
        ("finish_verdict_in_batch", Phase::Finish),
    ] {
        let mut verdicts = Vec::with_capacity(BATCH);
        for (device, placed) in (100..).zip(&placed) {
            let verdict = world
                .verdict(placed, phase, Reason::Accepted, device)
                .await?;
            verdicts.push(Verdict {
                // What differs between any two sessions.
                evidence: keccak256([device, 1]),
                sessionKey: keccak256([device, 2]),
                outputs: keccak256([device, 3]),
                ..verdict
            });
        }
        let calls = under_one_root(world, &placed, verdicts)?;
        let receipt = multicall(&world.stranger.market, calls).await?;
        note_share(&mut gas, name, &receipt)?;
        world.pass(60).await?;
    }
    for placed in &placed {
        let state = world.record(placed).await?.state;
        ensure!(
            state == State::Settled,
            "expected a settled order, found {state}"
        );
    }
    let whole = gas.values().sum();
    gas.insert("per_order_in_batch_of_50".into(), whole);
    Ok(gas)
}

/// Submissions of verdicts whose root every operator signed; the first brings the signatures.
fn under_one_root(world: &World, placed: &[Placed], verdicts: Vec<Verdict>) -> Result<Vec<Bytes>> {
    let domain = world.governor.market.domain();
    let digests = verdicts
        .iter()
        .map(|verdict| verdict::digest(verdict, &domain));
    let batch = Batch::new(digests).context("a batch of verdicts")?;
    let digest = batch.digest(&domain);
    let mut signed = Vec::with_capacity(EVERYONE.len());
    for operator in EVERYONE {
        signed.push(Signed::new(digest, &world.operators[operator].signer)?);
    }
    let mut calls = Vec::with_capacity(BATCH);
    for (index, (placed, verdict)) in placed.iter().zip(verdicts).enumerate() {
        let signatures = batch.signatures(index, std::mem::take(&mut signed));
        let call = IEscrow::submitVerdictCall {
            terms: placed.terms.clone(),
            verdict,
            signatures: signatures.context("a verdict of the batch")?,
        };
        calls.push(call.abi_encode().into());
    }
    Ok(calls)
}

async fn multicall(market: &Market, calls: Vec<Bytes>) -> Result<TransactionReceipt> {
    let transaction = TransactionRequest::default()
        .to(market.addresses.escrow)
        .input(calls::batch(&calls).into());
    let pending = market.provider.send_transaction(transaction).await?;
    Ok(pending.get_receipt().await?)
}

/// One order's share of a batch.
fn note_share(gas: &mut Gas, name: &str, receipt: &TransactionReceipt) -> Result<()> {
    ensure!(receipt.status(), "{name} failed");
    gas.insert(name.to_owned(), receipt.gas_used / BATCH as u64);
    Ok(())
}

async fn announce(world: &World, placed: &Placed, phase: Phase) -> Result<u64> {
    let digest = B256::repeat_byte(0xee);
    let uri = "https://evidence.example/".to_owned() + &"e".repeat(64);
    let escrow = world.provider.market.escrow();
    let call = escrow.submitEvidence(placed.terms.clone(), phase as u8, 0, digest, digest, uri);
    Ok(send(call).await?.gas_used)
}

/// Gas of refunding an order that was left in `state` past its deadline.
async fn refunded(world: &mut World, state: State) -> Result<u64> {
    let placed = match state {
        State::Placed => world.place().await?,
        State::Accepted => world.accepted().await?,
        _ => {
            let placed = world.accepted().await?;
            let verdict = world
                .verdict(&placed, Phase::Start, Reason::Accepted, 1)
                .await?;
            world.submit(&placed, &verdict, &EVERYONE).await?;
            placed
        }
    };
    let deadlines = &placed.terms.deadlines;
    world
        .pass(deadlines.settle - world.buyer.market.now().await?)
        .await?;
    let escrow = world.stranger.market.escrow();
    let receipt = send(escrow.refund(placed.terms.clone())).await?;
    let state = world.record(&placed).await?.state;
    ensure!(
        state == State::Refunded,
        "expected a refunded order, found {state}"
    );
    // What was sold is for sale again, as after every refund.
    send(escrow.restore(placed.terms.clone())).await?;
    Ok(receipt.gas_used)
}

/// Gas of publishing an offer on chain.
async fn publish_offer(world: &World) -> Result<u64> {
    let mut offer = world
        .legs
        .first()
        .context("a world with offers")?
        .offer
        .clone();
    offer.salt = B256::repeat_byte(0x5a);
    let offers = world.dataset_owner.market.offers();
    let receipt = send(offers.publish(offer, "ipfs://description".to_owned())).await?;
    Ok(receipt.gas_used)
}

/// Gas that an owner pays to sign an offer instead of publishing it, told by the owner's balance, and
/// gas of an order over the signed offer, placed by somebody else.
async fn signed_offer(world: &mut World) -> Result<(u64, u64)> {
    let market = world.dataset_owner.market.clone();
    let owner = world.dataset_owner.address();
    let wei = market.provider.get_balance(owner).await?;
    let domain = vouch_abi::id::domain(market.chain_id, market.addresses.offers);
    let published = world.legs[0].clone();
    let leg = &mut world.legs[0];
    leg.offer.salt = B256::repeat_byte(0x51);
    let digest = leg.offer.eip712_signing_hash(&domain);
    let signer = &world.dataset_owner.signer;
    leg.signature = signer.sign_hash_sync(&digest)?.as_bytes().into();
    let request = world.request().await?;
    let (_, receipt) = world.buyer.market.place(request).await?;
    let paid = wei - market.provider.get_balance(owner).await?;
    let price = U256::from(receipt.effective_gas_price);
    world.legs[0] = published;
    Ok(((paid / price).to(), receipt.gas_used))
}

/// Has the chain keep the market's programs cached, as `vouch deploy` does.
async fn cache_programs(world: &World) -> Result<()> {
    let mut left_out = Vec::new();
    let most = U256::ZERO;
    cache::bid(
        &world.governor.market.provider,
        &world.deployment,
        most,
        |contract, bid| {
            if !matches!(bid, Bid::Placed(_) | Bid::Kept) {
                left_out.push(format!("{contract}: {bid:?}"));
            }
        },
    )
    .await?;
    ensure!(left_out.is_empty(), "not cached: {}", left_out.join(", "));
    Ok(())
}

fn note(gas: &mut Gas, name: &str, receipt: &TransactionReceipt) -> Result<()> {
    ensure!(receipt.status(), "{name} failed");
    gas.insert(name.to_owned(), receipt.gas_used);
    Ok(())
}
