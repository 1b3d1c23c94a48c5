//! What the contracts refuse, by the name of their error. Nothing moves.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, U256};
use anyhow::Result;
use vouch_client::{State, send, verdict};
use vouch_protocol::{Phase, Reason};

use vouch_tests::world::{BOND, LOCKED, World, policy, refusal};

#[tokio::test]
async fn orders_that_break_a_rule_are_not_placed() -> Result<()> {
    let mut world = World::new().await?;
    let mut refusals = BTreeMap::new();
    let base = world.request().await?;
    let place = async |request| refusal(world.buyer.market.place(request).await);

    let mut request = base.clone();
    request.purpose = 1;
    refusals.insert("another purpose", place(request).await?);
    let mut request = base.clone();
    request.oracleFee = U256::from(9);
    refusals.insert("a fee below the smallest", place(request).await?);
    let mut request = base.clone();
    request.deadlines.start = request.deadlines.accept - 1;
    refusals.insert("deadlines out of order", place(request).await?);
    let mut request = base.clone();
    request.legs[0].policy.minGpus = 0;
    refusals.insert("another policy than the offer's", place(request).await?);
    let mut request = base.clone();
    request.legs[0].offer.price = U256::from(1);
    refusals.insert("another price than published", place(request).await?);
    let mut request = base.clone();
    request.legs[1].offer.token = world.stranger.address();
    refusals.insert("two tokens", place(request).await?);
    let mut request = base.clone();
    request.legs.pop();
    refusals.insert("no compute leg", place(request).await?);
    let mut request = base.clone();
    request.legs.clear();
    refusals.insert("no legs", place(request).await?);
    let mut request = base.clone();
    request.maxDuration = policy().maxDuration + 1;
    refusals.insert("longer than the policy allows", place(request).await?);
    let token = world.buyer.market.addresses.token;
    refusals.insert(
        "a buyer who approved nothing",
        refusal(world.stranger.market.place(base.clone()).await)?,
    );
    send(
        world
            .dataset_owner
            .market
            .offers()
            .cancel(vouch_abi::id::offer_id(&base.legs[0].offer)),
    )
    .await?;
    refusals.insert("a cancelled offer", place(base).await?);

    let expected = BTreeMap::from([
        ("another purpose", "PurposeRefused"),
        ("a fee below the smallest", "FeeTooLow"),
        ("deadlines out of order", "DeadlinesNotAscending"),
        ("another policy than the offer's", "PolicyMismatch"),
        ("another price than published", "NotPublished"),
        ("two tokens", "MixedTokens"),
        ("no compute leg", "InvalidOrder"),
        ("no legs", "InvalidOrder"),
        ("longer than the policy allows", "DurationRefused"),
        ("a buyer who approved nothing", "InsufficientAllowance"),
        ("a cancelled offer", "OfferClosed"),
    ]);
    let refusals: BTreeMap<_, _> = refusals.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(refusals, expected);
    assert_eq!(world.changes().await?, BTreeMap::new());
    assert_eq!(
        world.buyer.market.escrow().owed(token).call().await?,
        U256::ZERO
    );
    Ok(())
}

#[tokio::test]
async fn verdicts_that_are_not_a_quorums_are_not_admitted() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.accepted().await?;
    let good = world
        .verdict(&placed, Phase::Start, Reason::Accepted, 1)
        .await?;
    let mut refusals = BTreeMap::new();

    refusals.insert(
        "one of two",
        refusal(world.submit(&placed, &good, &[0]).await)?,
    );
    let escrow = world.stranger.market.escrow();
    let submit = async |signatures: Vec<u8>| {
        let signatures = Bytes::from(signatures);
        refusal(send(escrow.submitVerdict(placed.terms.clone(), good.clone(), signatures)).await)
    };
    let one = world.sign(&good, &[0])?[0].signature.as_bytes().to_vec();
    refusals.insert(
        "one twice",
        submit([one.clone(), one.clone()].concat()).await?,
    );
    let both = verdict::concatenate(world.sign(&good, &[0, 1])?);
    let (first, second) = both.split_at(verdict::SIGNATURE_LEN);
    refusals.insert("descending", submit([second, first].concat()).await?);
    refusals.insert("cut short", submit(both[1..].to_vec()).await?);
    refusals.insert("none", submit(Vec::new()).await?);
    let digest = verdict::digest(&good, &world.governor.market.domain());
    let mut mixed = world.sign(&good, &[0])?;
    mixed.push(verdict::Signed::new(digest, &world.stranger.signer)?);
    refusals.insert(
        "a stranger's",
        submit(verdict::concatenate(mixed).to_vec()).await?,
    );
    let mut altered = good.clone();
    altered.sessionKey = B256::repeat_byte(1);
    let signatures = verdict::concatenate(world.sign(&altered, &[0, 1])?);
    refusals.insert("of another verdict", submit(signatures.to_vec()).await?);

    let expected = BTreeMap::from([
        ("one of two", "QuorumNotReached"),
        ("one twice", "SignersNotAscending"),
        ("descending", "SignersNotAscending"),
        ("cut short", "InvalidSignature"),
        ("none", "QuorumNotReached"),
        ("a stranger's", "NotOperator"),
        ("of another verdict", "NotOperator"),
    ]);
    let refusals: BTreeMap<_, _> = refusals.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(refusals, expected);
    assert_eq!(world.record(&placed).await?.state, State::Accepted);
    Ok(())
}

#[tokio::test]
async fn verdicts_that_do_not_fit_the_order_are_refused() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.accepted().await?;
    let start = world
        .verdict(&placed, Phase::Start, Reason::Accepted, 1)
        .await?;
    let mut refusals = BTreeMap::new();
    let submit =
        async |world: &World, verdict| refusal(world.submit(&placed, &verdict, &[0, 1]).await);

    let mut wrong = start.clone();
    wrong.reason = Reason::CollateralExpired.code();
    refusals.insert("inconclusive", submit(&world, wrong).await?);
    let mut wrong = start.clone();
    wrong.inputs = B256::repeat_byte(1);
    refusals.insert("other inputs", submit(&world, wrong).await?);
    let mut wrong = start.clone();
    wrong.observedAt += 1_000_000;
    refusals.insert("observed in the future", submit(&world, wrong).await?);
    let finish = world
        .verdict(&placed, Phase::Finish, Reason::Accepted, 1)
        .await?;
    refusals.insert("finish before start", submit(&world, finish.clone()).await?);
    let mut wrong = start.clone();
    wrong.order = B256::repeat_byte(3);
    refusals.insert("of another order", submit(&world, wrong).await?);
    let mut terms = placed.terms.clone();
    terms.bond = U256::ZERO;
    let signatures = verdict::concatenate(world.sign(&start, &[0, 1])?);
    let escrow = world.stranger.market.escrow();
    let call = escrow.submitVerdict(terms, start.clone(), signatures);
    refusals.insert("other terms", refusal(send(call).await)?);

    world.submit(&placed, &start, &[0, 1]).await?;
    refusals.insert("start twice", submit(&world, start).await?);
    // Another order cannot take the same device while this one runs.
    let second = world.accepted().await?;
    let busy = world
        .verdict(&second, Phase::Start, Reason::Accepted, 1)
        .await?;
    refusals.insert(
        "a busy device",
        refusal(world.submit(&second, &busy, &[0, 1]).await)?,
    );
    world
        .submit(&placed, &finish, &[0, 1])
        .await
        .map(|_| ())
        .or_else(|error| match error.revert() {
            // Observed before the start verdict: make a later one.
            Some(revert) if revert.is("ObservedBeforeStart") => Ok(()),
            _ => Err(error),
        })?;
    if world.record(&placed).await?.state == State::Running {
        let finish = world
            .verdict(&placed, Phase::Finish, Reason::Accepted, 1)
            .await?;
        world.submit(&placed, &finish, &[0, 1]).await?;
    }
    refusals.insert("paid twice", submit(&world, finish).await?);
    // The device is free again.
    let free = world
        .verdict(&second, Phase::Start, Reason::Accepted, 1)
        .await?;
    world.submit(&second, &free, &[0, 1]).await?;

    let expected = BTreeMap::from([
        ("inconclusive", "Inconclusive"),
        ("other inputs", "InputsMismatch"),
        ("observed in the future", "ObservedInFuture"),
        ("finish before start", "WrongPhase"),
        ("of another order", "VerdictMismatch"),
        ("other terms", "WrongState"),
        ("start twice", "WrongPhase"),
        ("a busy device", "DeviceBusy"),
        ("paid twice", "WrongState"),
    ]);
    let refusals: BTreeMap<_, _> = refusals.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(refusals, expected);
    Ok(())
}

#[tokio::test]
async fn only_those_who_may_can() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.place().await?;
    let (stranger, terms) = (&world.stranger.market, &placed.terms);
    let mut refusals = BTreeMap::new();
    refusals.insert(
        "accept",
        refusal(send(stranger.escrow().accept(terms.clone())).await)?,
    );
    refusals.insert(
        "pause",
        refusal(send(stranger.escrow().setPaused(true)).await)?,
    );
    refusals.insert(
        "set the fee",
        refusal(send(stranger.attestation().setFee(U256::ZERO)).await)?,
    );
    let offer = vouch_abi::id::offer_id(&world.legs[0].offer);
    refusals.insert(
        "cancel",
        refusal(send(stranger.offers().cancel(offer)).await)?,
    );
    let request = world.request().await?;
    let (stranger, buyer) = (&world.stranger.market, world.stranger.address());
    refusals.insert(
        "sell",
        refusal(send(stranger.offers().sell(buyer, request, 1)).await)?,
    );
    let usage = stranger.usage();
    let bind = usage.bindEscrow(stranger.addresses.token);
    refusals.insert("bind", refusal(send(bind).await)?);
    let governance = world.governor.market.governance();
    let rebind = governance.bind(stranger.addresses.usage, stranger.addresses.token);
    let rebind = send(rebind).await;
    let reason = rebind
        .as_ref()
        .err()
        .and_then(|error| error.revert())
        .and_then(|revert| revert.param("reason").map(str::to_owned));
    assert!(
        reason.is_some_and(|reason| reason.starts_with("EscrowAlreadyBound")),
        "{rebind:?}"
    );
    refusals.insert("the governor binds again", refusal(rebind)?);
    let governance = stranger.governance();
    let pause = governance.pause(stranger.addresses.escrow);
    refusals.insert("pause through the governor", refusal(send(pause).await)?);
    let evidence = world.provider.market.escrow();
    let evidence =
        evidence.submitEvidence(terms.clone(), 1, 0, B256::ZERO, B256::ZERO, String::new());
    refusals.insert("evidence before accepting", refusal(send(evidence).await)?);
    let expected = BTreeMap::from([
        ("accept", "NotProvider"),
        ("pause", "NotGovernor"),
        ("set the fee", "NotGovernor"),
        ("cancel", "NotOwner"),
        ("sell", "NotEscrow"),
        ("bind", "NotGovernor"),
        ("the governor binds again", "CallFailed"),
        ("pause through the governor", "NotOwner"),
        ("evidence before accepting", "WrongState"),
    ]);
    let refusals: BTreeMap<_, _> = refusals.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(refusals, expected);

    // Paused: no new orders, but nothing that runs is stopped.
    let governor = &world.governor.market;
    send(governor.governance().pause(governor.addresses.escrow)).await?;
    send(world.provider.market.escrow().accept(placed.terms.clone())).await?;
    let request = world.request().await?;
    assert_eq!(refusal(world.buyer.market.place(request).await)?, "Paused");
    let verdict = world
        .verdict(&placed, Phase::Start, Reason::GpuNonceMismatch, 1)
        .await?;
    world.submit(&placed, &verdict, &[0, 1]).await?;
    assert_eq!(world.record(&placed).await?.state, State::Refunded);
    const { assert!(LOCKED > BOND) };
    Ok(())
}
