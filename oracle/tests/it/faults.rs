//! What networks, providers and chains do to a daemon: nothing is lost, nothing is doubled, and
//! nobody has to help.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use vouch_client::{Placed, State, connect};
use vouch_protocol::Phase;
use vouch_simulator::Session;
use vouch_tests::oracle::audit;
use vouch_tests::oracle::daemon::{Daemon, Plan, tail};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::lane::{Done, Lane};
use vouch_tests::oracle::proxy::{Rpc, Tcp};

/// One operator, one lane, a daemon that is not started yet.
async fn one() -> Result<(Fair, Lane, Plan)> {
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let mut lane = lanes.pop().context("a lane")?;
    lane.patience = Duration::from_secs(90);
    let plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    Ok((fair, lane, plan))
}

async fn check(fair: &Fair, daemon: &Daemon, orders: &[Done]) -> Result<audit::Report> {
    let sender = fair.operators[0].address();
    let report = audit::chain(fair, orders, &[sender]).await?;
    audit::books(daemon, report.verdicts).await?;
    Ok(report)
}

async fn control(fair: &Fair, method: &'static str, params: Value) -> Result<Value> {
    fair.node.rpc.call(method, params).await
}

/// Places an order and announces its start evidence.
async fn announced(fair: &Fair, lane: &mut Lane) -> Result<(Placed, Session)> {
    let placed = lane.placed().await?;
    let session = Session::generate();
    let challenge = fair.market.challenge(placed.order, Phase::Start, 0).await?;
    let statement = session.start(challenge, vouch_tests::oracle::lane::inputs(&placed));
    lane.announce(&placed, Phase::Start, &statement, None, B256::ZERO)
        .await?;
    Ok((placed, session))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_of_all_answers_fail_and_every_order_is_paid_once() -> Result<()> {
    let (fair, mut lane, mut plan) = one().await?;
    let proxy = Rpc::start(
        fair.node.url(),
        vouch_tests::oracle::from_env("VOUCH_FAULTS", 20),
        7,
    )
    .await?;
    plan.endpoints = vec![proxy.url()];
    plan.timeout_ms = 1000;
    // Start-up is where a faulty endpoint is refused; it is asked until it passes.
    let mut daemon = plan.start().await?;
    while daemon.ready().await.is_err() {
        daemon = plan.start().await?;
    }
    let mut orders = Vec::new();
    for _ in 0..4 {
        let done = lane.order().await;
        orders.push(done.with_context(|| tail(&plan.log()))?);
    }
    let report = check(&fair, &daemon, &orders).await?;
    assert_eq!(report.settled, 4);
    let counts = proxy.counts();
    assert!(
        counts.iter().all(|count| *count > 0),
        "faults met: {counts:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_websockets_are_made_again() -> Result<()> {
    let (fair, mut lane, mut plan) = one().await?;
    let chain = fair.node.url().replace("http://", "");
    let proxy = Tcp::start(chain, Duration::ZERO).await?;
    plan.endpoints = vec![format!("ws://{}", proxy.address()), fair.node.url()];
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let cut = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            proxy.cut();
            anyhow::Ok(())
        };
        let (done, ()) = tokio::try_join!(lane.order(), cut)?;
        orders.push(done);
    }
    check(&fair, &daemon, &orders).await?;
    Ok(())
}

/// The first endpoint is down when the daemon starts, and comes later; the second goes away then.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_was_down_at_the_start_is_used_once_it_is_up() -> Result<()> {
    let (fair, mut lane, mut plan) = one().await?;
    let chain = fair.node.url().replace("http://", "");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let second = Tcp::start(chain.clone(), Duration::ZERO).await?;
    plan.endpoints = vec![
        format!("http://{port}"),
        format!("http://{}", second.address()),
    ];
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = vec![lane.order().await?];
    let first = Tcp::start_at(port, chain, Duration::ZERO).await?;
    drop(second);
    orders.push(lane.order().await?);
    check(&fair, &daemon, &orders).await?;
    drop(first);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_that_a_reorganisation_took_are_brought_again() -> Result<()> {
    let (fair, mut lane, plan) = one().await?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let (placed, _) = announced(&fair, &mut lane).await?;
    assert_eq!(lane.decided(&placed, Phase::Start).await?, State::Running);
    for _ in 0..3 {
        control(&fair, "anvil_reorg", json!([1, []])).await?;
        let state = fair.market.record(placed.order).await?.state;
        // The daemon may have been that quick.
        assert!(
            [State::Accepted, State::Running].contains(&state),
            "{state}"
        );
        assert_eq!(lane.decided(&placed, Phase::Start).await?, State::Running);
    }
    let mut gone = false;
    for _ in 0..200 {
        let status = daemon.get("/v1/status").await?;
        gone = status["jobs"]["final"] == 1 && status["outbox"] == 0;
        if gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gone, "the job is closed again");
    Ok(())
}

/// Somebody else sends from the gas account; the account is emptied; gas becomes too dear. Each
/// passes without a person's help.
#[tokio::test(flavor = "multi_thread")]
async fn nonces_balances_and_fees_go_astray_and_orders_are_paid_once() -> Result<()> {
    let (fair, mut lane, plan) = one().await?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let gas = fair.operators[0].address();
    let mut orders = Vec::new();

    let intruder = connect(&fair.node.url(), Some(fair.operators[0].clone())).await?;
    let racing = async {
        for _ in 0..10 {
            let request = alloy::rpc::types::TransactionRequest::default()
                .from(gas)
                .to(Address::ZERO)
                .value(U256::from(1));
            // Either of the two may lose the race for a nonce.
            let _ = intruder.send_transaction(request).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let (done, ()) = tokio::try_join!(lane.order(), racing)?;
    orders.push(done);

    let empty = json!([gas, "0x0"]);
    let full = json!([gas, "0x56bc75e2d63100000"]);
    control(&fair, "anvil_setBalance", empty).await?;
    let later = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        control(&fair, "anvil_setBalance", full).await
    };
    let (done, _) = tokio::try_join!(lane.order(), later)?;
    orders.push(done);

    check(&fair, &daemon, &orders).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_floods_is_limited_and_orders_are_paid_meanwhile() -> Result<()> {
    let (fair, mut lane, mut plan) = one().await?;
    plan.extra = "requests_per_second = 1\nburst = 5\n".to_owned();
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let ask = async |path: &str| reqwest::get(format!("{}{path}", plan.url())).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = ask("/v1/status").await?;
        if answer.status() == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.context("twenty requests at once were all answered")?;
    let wait = refused
        .headers()
        .get("retry-after")
        .context("Retry-After")?;
    assert!(wait.to_str()?.parse::<u64>()? >= 1);
    let body: Value = refused.json().await?;
    assert_eq!(body["error"]["code"], "too_many_requests");
    // Whoever watches the daemon is not taken for a flood.
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask(probe).await?.status(), 200, "{probe}");
    }
    let text = ask("/metrics").await?.text().await?;
    assert!(
        !text.contains("vouch_oracle_requests_limited_total 0"),
        "{text}"
    );
    let done = lane.order().await?;
    let sender = fair.operators[0].address();
    assert_eq!(audit::chain(&fair, &[done], &[sender]).await?.settled, 1);
    Ok(())
}
