//! Keys are changed while orders flow, without a pause.

use std::time::Duration;

use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::Provider;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use vouch_abi::IAttestation;
use vouch_client::verdict::Signed;
use vouch_client::{State, send};
use vouch_oracle::store::model::{Mined, StoredVerdict};
use vouch_tests::oracle::audit;
#[cfg(feature = "kms")]
use vouch_tests::oracle::daemon::tail;
use vouch_tests::oracle::daemon::{Daemon, Plan};
use vouch_tests::oracle::fair::{Fair, Size};
#[cfg(feature = "kms")]
use vouch_tests::oracle::key_service::KeyService;
use vouch_tests::oracle::lane::{Done, Lane};

/// Who signed an order's verdicts, and who paid for them: the same for both phases.
async fn who(fair: &Fair, daemon: &Daemon, done: &Done) -> Result<(Address, Address)> {
    let path = format!("/v1/jobs?order={}", done.order);
    // The event may be seen before the receipt.
    let found = loop {
        let found = daemon.get(&path).await?;
        let jobs = found["jobs"].as_array().context("jobs")?;
        if jobs.iter().all(|job| !job["mined"].is_null()) {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut seen = Vec::new();
    for job in found["jobs"].as_array().context("jobs")? {
        let verdict: StoredVerdict = serde_json::from_value(job["verdict"].clone())?;
        ensure!(verdict.signatures.len() == 1, "one signature");
        let signed = Signed::recover(verdict.digest, &verdict.signatures[0])?;
        let mined: Mined = serde_json::from_value(job["mined"].clone())?;
        let sent = fair.market.provider.get_transaction_by_hash(mined.tx);
        let payer = sent.await?.context("a transaction")?.inner.signer();
        seen.push((signed.signer, payer));
    }
    ensure!(seen.len() == 2 && seen[0] == seen[1], "{seen:?}");
    Ok(seen[0])
}

/// One operator, one order at a time, and what the operator's daemon is started with.
async fn one() -> Result<(Fair, Lane, Plan)> {
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let lane = lanes.pop().context("a lane")?;
    let plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    Ok((fair, lane, plan))
}

/// For how long what the contract said of its operators is believed.
const BELIEVED: Duration = Duration::from_secs(5);

/// Makes one account an operator in the place of another.
async fn replace(fair: &Fair, old: Address, new: Address) -> Result<()> {
    let call = IAttestation::setOperatorsCall {
        added: vec![new],
        removed: vec![old],
        quorum: 1,
    };
    let attestation = fair.market.addresses.attestation;
    let data = Bytes::from(call.abi_encode());
    fair.market.schedule(attestation, data.clone()).await?;
    send(fair.market.governance().execute(attestation, data)).await?;
    Ok(())
}

/// Gives an account what it takes to pay for transactions.
async fn fund(fair: &Fair, account: Address) -> Result<()> {
    let full = json!([account, U256::from(10).pow(U256::from(20))]);
    fair.node.rpc.call("anvil_setBalance", full).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_payers_are_replaced_while_orders_flow() -> Result<()> {
    let (fair, mut lane, mut plan) = one().await?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let (first, second) = (fair.operators[0].clone(), PrivateKeySigner::random());
    let payer = PrivateKeySigner::random();
    fund(&fair, payer.address()).await?;

    let mut orders = vec![lane.order().await?];
    let expected = (first.address(), first.address());
    assert_eq!(who(&fair, &daemon, &orders[0]).await?, expected);

    // A file that holds no key changes nothing.
    let file = fair.path().join("oracle.key-0");
    std::fs::write(&file, "not a key")?;
    daemon.reload().await?;
    assert!(daemon.says("keys_refused", Duration::from_secs(30)).await);
    orders.push(lane.order().await?);
    assert_eq!(who(&fair, &daemon, &orders[1]).await?, expected);

    // The new key is no operator yet: the old one goes on.
    plan.keys = vec![second.clone()];
    plan.gas = payer.clone();
    plan.write()?;
    daemon.reload().await?;
    assert!(daemon.says("keys changed", Duration::from_secs(30)).await);
    orders.push(lane.order().await?);
    let expected = (first.address(), payer.address());
    assert_eq!(who(&fair, &daemon, &orders[2]).await?, expected);

    // Operators change while an order is under way: it may be signed by either.
    let change = replace(&fair, first.address(), second.address());
    let (done, ()) = tokio::try_join!(lane.order(), change)?;
    orders.push(done);
    tokio::time::sleep(BELIEVED).await;
    orders.push(lane.order().await?);
    let expected = (second.address(), payer.address());
    assert_eq!(who(&fair, &daemon, &orders[4]).await?, expected);

    assert!(orders.iter().all(|done| done.state == State::Settled));
    let senders = [first.address(), payer.address()];
    let report = audit::chain(&fair, &orders, &senders).await?;
    assert_eq!(report.settled, orders.len());
    audit::books(&daemon, report.verdicts).await
}

/// The keys that sign verdicts and transactions move to a service while orders flow, and the service is away for a
/// while.
#[cfg(feature = "kms")]
#[tokio::test(flavor = "multi_thread")]
async fn keys_with_a_service_sign_as_others_do() -> Result<()> {
    let service = KeyService::start(2).await?;
    let (fair, mut lane, mut plan) = one().await?;
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        plan.env.push((name.to_owned(), "test".to_owned()));
    }
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = vec![lane.order().await?];

    let file = plan.write()?;
    let before = std::fs::read_to_string(&file)?;
    let (head, rest) = before.split_once("[keys]\n").context("keys")?;
    let (_, rest) = rest.split_once("[store]").context("store")?;
    let with = |verdict: &str, gas: &str| {
        let key = |id: &str| {
            let endpoint = service.url();
            format!(
                "{{ kms = {{ id = {id:?}, region = \"us-east-1\", endpoint = {endpoint:?} }} }}"
            )
        };
        let keys = format!("verdict = [{}]\ngas = {}", key(verdict), key(gas));
        std::fs::write(&file, format!("{head}[keys]\n{keys}\n[store]{rest}"))
    };

    // What is not there is not taken.
    with("key-0", "key-2")?;
    daemon.reload().await?;
    assert!(daemon.says("keys_refused", Duration::from_secs(30)).await);

    let (signer, payer) = (service.account(0)?, service.account(1)?);
    fund(&fair, payer).await?;
    with("key-0", "key-1")?;
    daemon.reload().await?;
    assert!(daemon.says("keys changed", Duration::from_secs(30)).await);
    replace(&fair, fair.operators[0].address(), signer).await?;
    tokio::time::sleep(BELIEVED).await;
    let done = lane.order().await;
    orders.push(done.with_context(|| tail(&plan.log()))?);
    assert_eq!(who(&fair, &daemon, &orders[1]).await?, (signer, payer));

    // While the service does not answer, nothing is signed and nothing is lost.
    service.away(true);
    let back = async {
        assert!(daemon.says("step_failed", Duration::from_secs(60)).await);
        service.away(false);
        Ok(())
    };
    let done = tokio::try_join!(lane.order(), back);
    let (done, ()) = done.with_context(|| tail(&plan.log()))?;
    orders.push(done);
    assert_eq!(who(&fair, &daemon, &orders[2]).await?, (signer, payer));

    let senders = [fair.operators[0].address(), payer];
    let report = audit::chain(&fair, &orders, &senders).await?;
    assert_eq!(report.settled, orders.len());
    audit::books(&daemon, report.verdicts).await
}
