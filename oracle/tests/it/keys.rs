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
use vouch_tests::oracle::daemon::{Daemon, Plan};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::lane::Done;

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

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_payers_are_replaced_while_orders_flow() -> Result<()> {
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let (first, second) = (fair.operators[0].clone(), PrivateKeySigner::random());
    let payer = PrivateKeySigner::random();
    let full = json!([payer.address(), U256::from(10).pow(U256::from(20))]);
    fair.node.rpc.call("anvil_setBalance", full).await?;

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
    let change = async {
        let call = IAttestation::setOperatorsCall {
            added: vec![second.address()],
            removed: vec![first.address()],
            quorum: 1,
        };
        let attestation = fair.market.addresses.attestation;
        let data = Bytes::from(call.abi_encode());
        fair.market.schedule(attestation, data.clone()).await?;
        Ok(send(fair.market.governance().execute(attestation, data)).await?)
    };
    let (done, _) = tokio::try_join!(lane.order(), change)?;
    orders.push(done);
    // What the contract said before is believed for five seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    orders.push(lane.order().await?);
    let expected = (second.address(), payer.address());
    assert_eq!(who(&fair, &daemon, &orders[4]).await?, expected);

    assert!(orders.iter().all(|done| done.state == State::Settled));
    let senders = [first.address(), payer.address()];
    let report = audit::chain(&fair, &orders, &senders).await?;
    assert_eq!(report.settled, orders.len());
    audit::books(&daemon, report.verdicts).await
}
