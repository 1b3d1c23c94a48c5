//! The market's contracts on a chain that executes them: what each outcome pays whom, to the unit,
//! and what is refused. Verdicts are signed here, without evidence; the demo has the oracle.

mod authorize;
mod permit;
mod refused;
mod signed;
mod token;

use std::collections::BTreeMap;

use alloy::primitives::U256;
use anyhow::Result;
use vouch_abi::IEscrow;
use vouch_client::{State, send};
use vouch_protocol::{Clause, Phase, Reason};
use vouch_tests::world::{
    BOND, COMPUTE_RATE, DATASET_PRICE, MAX_DURATION, MODEL_PRICE, ORACLE_FEE, World, refusal,
};

/// Shares of the oracle fee of two signers: equal, the remainder to the first by address.
fn fee_shares(world: &World, first: usize, second: usize) -> [(&'static str, i64); 2] {
    const NAMES: [&str; 3] = ["operator 0", "operator 1", "operator 2"];
    let half = (ORACLE_FEE / 2) as i64;
    let odd = (ORACLE_FEE % 2) as i64;
    let ascending = world.operators[first].address() < world.operators[second].address();
    let (more, less) = if ascending {
        (first, second)
    } else {
        (second, first)
    };
    [(NAMES[more], half + odd), (NAMES[less], half)]
}

fn expected<const N: usize>(
    changes: [(&'static str, u64, bool); N],
    shares: [(&'static str, i64); 2],
) -> BTreeMap<&'static str, i64> {
    let signed = |(name, amount, gain): (&'static str, u64, bool)| {
        (
            name,
            if gain {
                amount as i64
            } else {
                -(amount as i64)
            },
        )
    };
    changes
        .into_iter()
        .map(signed)
        .chain(shares)
        .filter(|(_, change)| *change != 0)
        .collect()
}

#[tokio::test]
async fn an_accepted_job_pays_everyone_exactly() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.running(1).await?;
    let started = world.record(&placed).await?;
    assert_eq!(started.state, State::Running);

    world.pass(100).await?;
    let verdict = world
        .verdict(&placed, Phase::Finish, Reason::Accepted, 1)
        .await?;
    let seconds = verdict.observedAt - started.started_at;
    assert!(seconds >= 100 && seconds < u64::from(MAX_DURATION));
    world.submit(&placed, &verdict, &[1, 2]).await?;

    let compute = COMPUTE_RATE * seconds;
    let cost = DATASET_PRICE + MODEL_PRICE + compute + ORACLE_FEE;
    let gains = [
        ("dataset owner", DATASET_PRICE, true),
        ("model owner", MODEL_PRICE, true),
        ("provider", compute, true),
        ("buyer", cost, false),
    ];
    assert_eq!(
        world.changes().await?,
        expected(gains, fee_shares(&world, 1, 2))
    );
    assert_eq!(world.surplus().await?, U256::ZERO);
    assert_eq!(world.record(&placed).await?.state, State::Settled);

    // The receipt is in the log, and its hash is what the contract keeps.
    let market = &world.buyer.market;
    let history = market.history(placed.order).await?;
    let receipt = history
        .iter()
        .find_map(|log| log.log_decode::<IEscrow::OrderSettled>().ok())
        .expect("an OrderSettled event")
        .inner
        .data
        .receipt;
    assert_eq!(
        receipt.paid,
        [DATASET_PRICE, MODEL_PRICE, compute].map(U256::from)
    );
    assert_eq!(receipt.outputs, verdict.outputs);
    let kept = world.record(&placed).await?.commitment;
    assert_eq!(vouch_abi::id::receipt_id(&receipt), kept);

    // Operators withdraw what they earned, once.
    let token = market.addresses.token;
    let operator = &world.operators[1].market;
    send(operator.escrow().withdraw(token)).await?;
    assert_eq!(
        world.changes().await?,
        expected(gains, fee_shares(&world, 1, 2))
    );
    assert_eq!(
        refusal(send(operator.escrow().withdraw(token)).await)?,
        "NothingToWithdraw"
    );
    Ok(())
}

#[tokio::test]
async fn a_leg_whose_clause_fails_is_refunded_and_the_others_paid() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.running(1).await?;
    let started = world.record(&placed).await?.started_at;
    let mut verdict = world
        .verdict(&placed, Phase::Finish, Reason::Accepted, 1)
        .await?;
    // Leg 0, the dataset's, loses one clause.
    verdict.clauses &= !U256::from(Clause::DebugOff.bit().0);
    world.submit(&placed, &verdict, &[0, 1]).await?;
    let compute = COMPUTE_RATE * (verdict.observedAt - started);
    let changes = [
        ("model owner", MODEL_PRICE, true),
        ("provider", compute, true),
        ("buyer", MODEL_PRICE + compute + ORACLE_FEE, false),
    ];
    assert_eq!(
        world.changes().await?,
        expected(changes, fee_shares(&world, 0, 1))
    );
    assert_eq!(world.surplus().await?, U256::ZERO);
    Ok(())
}

#[tokio::test]
async fn forged_evidence_costs_the_provider_its_bond() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.accepted().await?;
    let verdict = world
        .verdict(&placed, Phase::Start, Reason::GpuSignatureInvalid, 1)
        .await?;
    world.submit(&placed, &verdict, &[0, 2]).await?;
    assert_eq!(world.record(&placed).await?.state, State::Refunded);
    let changes = [
        ("provider", BOND, false),
        ("buyer", BOND - ORACLE_FEE, true),
    ];
    assert_eq!(
        world.changes().await?,
        expected(changes, fee_shares(&world, 0, 2))
    );
    assert_eq!(world.surplus().await?, U256::ZERO);
    Ok(())
}

#[tokio::test]
async fn a_refused_policy_returns_the_bond() -> Result<()> {
    let mut world = World::new().await?;
    let placed = world.running(1).await?;
    let verdict = world
        .verdict(&placed, Phase::Finish, Reason::DebugEnabled, 1)
        .await?;
    world.submit(&placed, &verdict, &[0, 1]).await?;
    assert_eq!(world.record(&placed).await?.state, State::Refunded);
    let changes = [("buyer", ORACLE_FEE, false)];
    assert_eq!(
        world.changes().await?,
        expected(changes, fee_shares(&world, 0, 1))
    );
    assert_eq!(world.surplus().await?, U256::ZERO);
    Ok(())
}

/// In every state that waits for somebody, anyone refunds once the deadline has passed, and not
/// before; the buyer gets everything back.
#[tokio::test]
async fn deadlines_refund_everything() -> Result<()> {
    for state in [State::Placed, State::Accepted, State::Running] {
        let mut world = World::new().await?;
        let placed = match state {
            State::Placed => world.place().await?,
            State::Accepted => world.accepted().await?,
            _ => world.running(1).await?,
        };
        assert_eq!(world.record(&placed).await?.state, state);
        let refund =
            || async { send(world.stranger.market.escrow().refund(placed.terms.clone())).await };
        assert_eq!(refusal(refund().await)?, "DeadlineNotPassed", "{state}");
        let deadlines = &placed.terms.deadlines;
        let deadline = match state {
            State::Placed => deadlines.accept,
            State::Accepted => deadlines.start,
            _ => deadlines.finish,
        };
        world
            .pass(deadline.saturating_sub(world.buyer.market.now().await?) + 1)
            .await?;
        refund().await?;
        assert_eq!(
            world.record(&placed).await?.state,
            State::Refunded,
            "{state}"
        );
        assert_eq!(world.changes().await?, BTreeMap::new(), "{state}");
        assert_eq!(world.surplus().await?, U256::ZERO, "{state}");
        assert_eq!(refusal(refund().await)?, "WrongState", "{state}");

        // What was sold is for sale again, once.
        let offers = world.stranger.market.offers();
        let left = || async {
            let offer = placed.terms.legs[0].offer;
            anyhow::Ok(offers.available(offer).call().await?.volume)
        };
        let escrow = world.stranger.market.escrow();
        let restore = || async { send(escrow.restore(placed.terms.clone())).await };
        assert_eq!(left().await?, 999, "{state}");
        restore().await?;
        assert_eq!(left().await?, 1_000, "{state}");
        assert_eq!(refusal(restore().await)?, "AlreadyRestored", "{state}");
    }
    Ok(())
}

#[tokio::test]
async fn a_challenge_window_holds_the_money_until_it_closes() -> Result<()> {
    let mut world = World::new().await?;
    let mut request = world.request().await?;
    request.challengeWindow = 300;
    let placed = world.buyer.market.place(request).await?.0;
    send(world.provider.market.escrow().accept(placed.terms.clone())).await?;
    let start = world
        .verdict(&placed, Phase::Start, Reason::Accepted, 1)
        .await?;
    world.submit(&placed, &start, &[0, 1]).await?;
    let finish = world
        .verdict(&placed, Phase::Finish, Reason::Accepted, 1)
        .await?;
    world.submit(&placed, &finish, &[0, 1]).await?;
    assert_eq!(world.record(&placed).await?.state, State::Finished);

    let escrow = world.stranger.market.escrow();
    let settle = || async { send(escrow.settle(placed.terms.clone(), finish.clone())).await };
    assert_eq!(refusal(settle().await)?, "WindowOpen");
    world.pass(301).await?;
    let mut other = finish.clone();
    other.clauses = U256::ZERO;
    let swapped = send(escrow.settle(placed.terms.clone(), other)).await;
    assert_eq!(refusal(swapped)?, "VerdictMismatch");
    settle().await?;
    assert_eq!(world.record(&placed).await?.state, State::Settled);
    assert_eq!(refusal(settle().await)?, "WrongState");
    assert_eq!(world.surplus().await?, U256::ZERO);
    Ok(())
}
