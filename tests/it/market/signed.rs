//! Offers that were signed instead of published.

use alloy::primitives::U256;
use alloy::signers::SignerSync;
use alloy::sol_types::SolStruct;
use anyhow::Result;
use vouch_abi::Offer;
use vouch_client::send;

use vouch_tests::world::{World, refusal};

#[tokio::test]
async fn a_signed_offer_costs_its_owner_nothing_and_ends_when_the_owner_says() -> Result<()> {
    let mut world = World::new().await?;
    let market = world.buyer.market.clone();
    let domain = vouch_abi::id::domain(market.chain_id, market.addresses.offers);
    let offer = Offer {
        salt: U256::from(5).into(),
        price: U256::from(77),
        volume: 2,
        ..world.legs[0].offer.clone()
    };
    let owner = &world.dataset_owner.signer;
    let signature = owner.sign_hash_sync(&offer.eip712_signing_hash(&domain))?;

    world.legs[0].offer = offer.clone();
    let unsigned = world.unchecked_request().await?;
    assert_eq!(refusal(market.place(unsigned).await)?, "NotPublished");

    world.legs[0].signature = signature.as_bytes().into();
    let mut cheaper = world.unchecked_request().await?;
    cheaper.legs[0].offer.price = U256::ZERO;
    assert_eq!(refusal(market.place(cheaper).await)?, "InvalidSignature");

    let request = world.unchecked_request().await?;
    let (placed, _) = market.place(request).await?;
    assert_eq!(placed.terms.legs[0].amount, U256::from(77));
    let offers = market.offers();
    let left = offers.available(placed.terms.legs[0].offer).call().await?;
    assert_eq!(left.volume, 1);

    let offers = world.dataset_owner.market.offers();
    send(offers.raiseNonce(U256::from(6))).await?;
    let request = world.unchecked_request().await?;
    assert_eq!(refusal(market.place(request).await)?, "OfferVoid");
    Ok(())
}
