//! Orders paid by permit.

use alloy::primitives::{B256, U256};
use alloy::signers::SignerSync;
use alloy::sol_types::SolCall;
use anyhow::Result;
use vouch_abi::{IEscrow, IToken, id};
use vouch_client::{Error, send};

use vouch_tests::world::{LOCKED, World, refusal};

/// The buyer's permit to the escrow for `value`, by its next nonce: `v`, `r` and `s`.
async fn permit(world: &World, value: U256) -> Result<(u8, B256, B256)> {
    let (market, buyer) = (&world.buyer.market, world.buyer.address());
    let token = IToken::new(market.addresses.token, market.provider.clone());
    let nonce = token.nonces(buyer).call().await?;
    let separator = token.DOMAIN_SEPARATOR().call().await?;
    let hash = id::permit_hash(buyer, market.addresses.escrow, value, nonce, U256::MAX);
    let digest = id::typed_data_digest(separator, hash);
    let signature = world.buyer.signer.sign_hash_sync(&digest)?;
    let v = 27 + u8::from(signature.v());
    Ok((v, signature.r().into(), signature.s().into()))
}

/// Places the next order with a permit.
async fn place(
    world: &mut World,
    (v, r, s): (u8, B256, B256),
    value: U256,
) -> Result<Result<(), Error>> {
    let request = world.request().await?;
    let token = world.buyer.market.addresses.token;
    let permit = IEscrow::permitCall {
        token,
        value,
        deadline: U256::MAX,
        v,
        r,
        s,
    };
    let calls = vec![
        permit.abi_encode().into(),
        IEscrow::placeCall { request }.abi_encode().into(),
    ];
    let escrow = world.buyer.market.escrow();
    Ok(send(escrow.multicall(calls)).await.map(|_| ()))
}

#[tokio::test]
async fn a_permit_pays_and_using_it_first_does_not_stop_the_order() -> Result<()> {
    let mut world = World::new().await?;
    let value = U256::from(LOCKED);
    let token = world.buyer.market.addresses.token;
    world.buyer.market.approve(token, U256::ZERO).await?;
    let request = world.request().await?;
    let unpaid = refusal(world.buyer.market.place(request).await)?;
    assert_eq!(unpaid, "InsufficientAllowance");

    let signed = permit(&world, value).await?;
    place(&mut world, signed, value).await??;

    // Used up: neither again, nor forged, nor for less than the order.
    let again = place(&mut world, signed, value).await?;
    assert_eq!(refusal(again)?, "InsufficientAllowance");
    let (v, r, s) = permit(&world, value).await?;
    let forged = place(&mut world, (v, s, r), value).await?;
    assert_eq!(refusal(forged)?, "InsufficientAllowance");
    let less = value - U256::from(1);
    let signed = permit(&world, less).await?;
    let short = place(&mut world, signed, less).await?;
    assert_eq!(refusal(short)?, "InsufficientAllowance");

    // A stranger who saw the permit uses it first; the order goes through all the same.
    let signed @ (v, r, s) = permit(&world, value).await?;
    let (owner, escrow) = (world.buyer.address(), world.buyer.market.addresses.escrow);
    let stranger = IToken::new(token, world.stranger.market.provider.clone());
    send(stranger.permit(owner, escrow, value, U256::MAX, v, r, s)).await?;
    place(&mut world, signed, value).await??;
    assert_eq!(world.surplus().await?, U256::ZERO);
    Ok(())
}
