//! Orders paid by what the buyer signs, in one transaction.

use alloy::primitives::U256;
use alloy::providers::Provider;
use anyhow::Result;
use serde_json::Value;
use vouch_client::Error;
use vouch_client::authorize::{PERMIT2, Way};

use vouch_tests::solidity;
use vouch_tests::world::{LOCKED, Options, World, refusal};

/// Places the world's next order with what the buyer signs for `value`.
async fn place(world: &mut World, way: Way, value: U256) -> Result<Result<(), Error>> {
    let request = world.request().await?;
    let (market, signer) = (&world.buyer.market, &world.buyer.signer);
    let token = market.addresses.token;
    let until = request.deadlines.accept;
    let signed = market.authorize(way, token, value, until, signer).await?;
    Ok(market.place_authorized(request, signed).await.map(|_| ()))
}

#[tokio::test]
async fn a_permit_pays_for_the_order_it_comes_with() -> Result<()> {
    let mut world = World::new().await?;
    let (market, token) = (
        world.buyer.market.clone(),
        world.buyer.market.addresses.token,
    );
    market.approve(token, U256::ZERO).await?;
    let (locked, less) = (U256::from(LOCKED), U256::from(LOCKED - 1));
    let short = place(&mut world, Way::Permit, less).await?;
    assert_eq!(refusal(short)?, "InsufficientAllowance");
    place(&mut world, Way::Permit, locked).await??;
    assert_eq!(world.surplus().await?, U256::ZERO);
    // The development token knows no other.
    let other = place(&mut world, Way::Permit2, locked).await;
    assert!(other.is_err(), "there is no Permit2 here");
    Ok(())
}

#[tokio::test]
async fn authorisations_of_erc_3009_and_permit2_pay_too() -> Result<()> {
    if vouch_tests::tools::Tool::node().is_none() {
        return Ok(());
    }
    let options = Options {
        coin: Some("Trouble"),
        ..Options::default()
    };
    let mut world = World::with(options).await?;
    let provider = world.governor.market.provider.clone();
    let made = solidity::create(&provider, "Permit2.sol", "Permit2").await?;
    let code = provider.get_code_at(made).await?;
    let _: Value = provider
        .client()
        .request("anvil_setCode", (PERMIT2, code))
        .await?;
    let market = world.buyer.market.clone();
    let token = market.addresses.token;
    market.approve(token, U256::ZERO).await?;
    let locked = U256::from(LOCKED);
    let unapproved = place(&mut world, Way::Permit2, locked).await?;
    assert!(
        unapproved.is_err(),
        "Permit2 takes what it was approved for"
    );
    let erc20 = market.erc20(token);
    vouch_client::send(erc20.approve(PERMIT2, U256::MAX)).await?;
    for way in [Way::Permit2, Way::Authorization, Way::Permit2] {
        place(&mut world, way, locked).await??;
        assert_eq!(world.surplus().await?, U256::ZERO, "{way:?}");
    }
    let escrow = market.escrow();
    let left = escrow.creditOf(world.buyer.address(), token).call().await?;
    assert_eq!(left, U256::ZERO, "all of it was spent");
    Ok(())
}
