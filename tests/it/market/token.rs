//! A token that misbehaves when it should pay: the order ends all the same, and what the token did
//! not pay is owed and can be withdrawn once it behaves again.

use alloy::primitives::{Bytes, U256, hex};
use alloy::providers::Provider;
use anyhow::Result;
use vouch_client::{State, send};
use vouch_protocol::{Phase, Reason};

use vouch_tests::world::{Actor, BOND, DATASET_PRICE, LOCKED, MODEL_PRICE, World, refusal};

/// What the token's code becomes while it should pay.
const LIES: [(&str, Bytes); 4] = [
    ("reverts", Bytes::from_static(&hex!("60006000fd"))),
    ("answers false", Bytes::from_static(&hex!("60206000f3"))),
    ("burns its gas", Bytes::from_static(&hex!("fe"))),
    (
        "answers at length",
        Bytes::from_static(&hex!("620100006000f3")),
    ),
];

/// What these tests do with a world beside its own.
trait Lying {
    /// Replaces the token's code and returns what was there.
    async fn replace_token(&self, code: Bytes) -> Result<Bytes>;
    /// What the escrow owes an actor.
    async fn credit(&self, actor: &Actor) -> Result<U256>;
    /// Withdraws what is credited to an actor, which must be `amount` and arrive.
    async fn collect(&self, actor: &Actor, amount: U256, lie: &str) -> Result<()>;
}

impl Lying for World {
    async fn replace_token(&self, code: Bytes) -> Result<Bytes> {
        let market = &self.governor.market;
        let (provider, token) = (&market.provider, market.addresses.token);
        let before = provider.get_code_at(token).await?;
        let _: serde_json::Value = provider
            .raw_request("anvil_setCode".into(), (token, code))
            .await?;
        Ok(before)
    }

    async fn credit(&self, actor: &Actor) -> Result<U256> {
        let token = actor.market.addresses.token;
        let escrow = actor.market.escrow();
        Ok(escrow.creditOf(actor.address(), token).call().await?)
    }

    async fn collect(&self, actor: &Actor, amount: U256, lie: &str) -> Result<()> {
        assert_eq!(self.credit(actor).await?, amount, "{lie}");
        let token = actor.market.addresses.token;
        let before = actor.market.balance(token, actor.address()).await?;
        send(actor.market.escrow().withdraw(token)).await?;
        let after = actor.market.balance(token, actor.address()).await?;
        assert_eq!(after - before, amount, "{lie}");
        assert_eq!(self.surplus().await?, U256::ZERO, "{lie}");
        Ok(())
    }
}

#[tokio::test]
async fn a_token_that_does_not_pay_blocks_no_payment() -> Result<()> {
    let mut world = World::new().await?;
    for (device, (lie, code)) in (1..).zip(LIES) {
        let placed = world.running(device).await?;
        world.pass(10).await?;
        let verdict = world
            .verdict(&placed, Phase::Finish, Reason::Accepted, device)
            .await?;
        let honest = world.replace_token(code).await?;
        world.submit(&placed, &verdict, &[0, 1]).await?;
        world.replace_token(honest).await?;
        assert_eq!(world.record(&placed).await?.state, State::Settled, "{lie}");
        assert_eq!(world.surplus().await?, U256::ZERO, "{lie}");
        let owner = world.dataset_owner.clone();
        world
            .collect(&owner, U256::from(DATASET_PRICE), lie)
            .await?;
        let owner = world.model_owner.clone();
        world.collect(&owner, U256::from(MODEL_PRICE), lie).await?;
        for actor in [world.provider.clone(), world.buyer.clone()] {
            let credit = world.credit(&actor).await?;
            assert_ne!(credit, U256::ZERO, "{lie}");
            world.collect(&actor, credit, lie).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_does_not_pay_blocks_no_refund() -> Result<()> {
    let mut world = World::new().await?;
    for (lie, code) in LIES {
        let placed = world.accepted().await?;
        world.pass(2001).await?;
        let honest = world.replace_token(code).await?;
        send(world.stranger.market.escrow().refund(placed.terms.clone())).await?;
        world.replace_token(honest).await?;
        assert_eq!(world.record(&placed).await?.state, State::Refunded, "{lie}");
        let (buyer, provider) = (world.buyer.clone(), world.provider.clone());
        world.collect(&buyer, U256::from(LOCKED), lie).await?;
        world.collect(&provider, U256::from(BOND), lie).await?;
    }
    Ok(())
}

/// What the token's code becomes while it should take: it delivers nothing, whatever it says.
const TAKES: [(&str, Bytes); 4] = [
    (
        "says that it took",
        Bytes::from_static(&hex!("600160005260206000f3")),
    ),
    ("answers false", Bytes::from_static(&hex!("60206000f3"))),
    ("reverts", Bytes::from_static(&hex!("60006000fd"))),
    ("is no contract", Bytes::new()),
];

#[tokio::test]
async fn a_token_that_does_not_deliver_places_no_order() -> Result<()> {
    let mut world = World::new().await?;
    for (lie, code) in TAKES {
        let request = world.request().await?;
        let honest = world.replace_token(code).await?;
        let refused = refusal(world.buyer.market.place(request).await)?;
        world.replace_token(honest).await?;
        assert_eq!(refused, "TokenRefused", "{lie}");
        assert_eq!(world.surplus().await?, U256::ZERO, "{lie}");
        assert!(world.changes().await?.is_empty(), "{lie}");
    }
    Ok(())
}
