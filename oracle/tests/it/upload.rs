//! Who may leave evidence with a daemon, and how much.

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result};
use serde_json::Value;
use vouch_client::upload::{Authorization, UploadError};
use vouch_evidence::bundle::Bundle;
use vouch_oracle::uploads::UNANNOUNCED;
use vouch_simulator::Tamper;
use vouch_tests::oracle::daemon::Plan;
use vouch_tests::oracle::fair::{Fair, Size};

/// A second of the wall clock.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// What a daemon answers to `PUT`: status and reason code.
async fn put(
    plan: &Plan,
    evidence: B256,
    body: &'static [u8],
    authorization: Option<String>,
) -> Result<(u16, String)> {
    let url = format!("{}/v1/evidence/{}", plan.url(), hex::encode(evidence));
    let mut request = reqwest::Client::new().put(url).body(body);
    if let Some(text) = authorization {
        request = request.header("authorization", text);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    if status == 401 {
        let challenge = answer.headers().get("www-authenticate");
        assert_eq!(challenge.context("WWW-Authenticate")?, "Vouch");
    }
    let body: Value = answer.json().await.unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or_default();
    Ok((status, code.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_parties_of_an_open_order_leave_evidence_and_not_without_end() -> Result<()> {
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let lane = lanes.first_mut().context("a lane")?;
    let over = lane.order_with(Some(Tamper::GpuSignature)).await?.order;
    let order = lane.placed().await?.order;
    let (provider, buyer) = (lane.provider_key.clone(), lane.buyer_key.clone());
    let stranger = PrivateKeySigner::random();

    let body = b"what the operators are shown";
    let evidence = Bundle::digest(body);
    // Left as agents do it: an operator that lags is asked again.
    let market = &fair.market;
    let left = market
        .upload(&plan.url(), order, evidence, body.to_vec(), &provider)
        .await?;
    assert_eq!(reqwest::get(left).await?.bytes().await?, &body[..]);
    let refused = market
        .upload(&plan.url(), order, evidence, body.to_vec(), &stranger)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, UploadError::Refused { status: 403, code, .. } if code == "not_a_party"),
        "{refused}"
    );

    let here = market.upload_domain();
    let elsewhere = vouch_abi::id::domain(market.chain_id, Address::ZERO);
    let sign = |order, evidence, deadline, domain, signer| {
        let signed = Authorization::sign(order, evidence, deadline, domain, signer);
        signed.map(|authorization| Some(authorization.to_string()))
    };
    let soon = now() + 100;
    let other = B256::repeat_byte(7);
    for (what, authorization, expected) in [
        ("nothing", None, (401, "authorization_missing")),
        (
            "garbage",
            Some("Vouch me".to_owned()),
            (401, "authorization_malformed"),
        ),
        (
            "another scheme",
            Some("Basic dTpw".to_owned()),
            (401, "authorization_malformed"),
        ),
        (
            "a signature from yesterday",
            sign(order, evidence, now() - 10, &here, &provider)?,
            (401, "authorization_expired"),
        ),
        (
            "a signature for ever",
            sign(order, evidence, u64::MAX, &here, &provider)?,
            (401, "authorization_too_long"),
        ),
        (
            "an operator's signature",
            sign(order, evidence, soon, &here, &fair.operators[0])?,
            (403, "not_a_party"),
        ),
        (
            "a signature of other evidence",
            sign(order, other, soon, &here, &provider)?,
            (403, "not_a_party"),
        ),
        (
            "a signature for another escrow",
            sign(order, evidence, soon, &elsewhere, &provider)?,
            (403, "not_a_party"),
        ),
        (
            "an order that nobody placed",
            sign(other, evidence, soon, &here, &provider)?,
            (404, "order_unknown"),
        ),
        (
            "an order that was refunded",
            sign(over, evidence, soon, &here, &provider)?,
            (409, "order_over"),
        ),
    ] {
        let found = put(&plan, evidence, body, authorization).await?;
        assert_eq!(found, (expected.0, expected.1.to_owned()), "{what}");
    }
    let signed = sign(order, other, soon, &here, &buyer)?;
    let found = put(&plan, other, body, signed).await?;
    assert_eq!(found, (400, "evidence_digest_mismatch".to_owned()));
    let signed = sign(order, evidence, soon, &here, &buyer)?;
    assert_eq!(put(&plan, evidence, body, signed).await?.0, 201);

    // Bundles that nobody announces have so many places; what has one keeps it.
    for n in 1..=UNANNOUNCED {
        let body: &'static [u8] = Box::leak(Box::new([n as u8]));
        let evidence = Bundle::digest(body);
        let signed = sign(order, evidence, soon, &here, &provider)?;
        let found = put(&plan, evidence, body, signed).await?;
        let expected = match n < UNANNOUNCED {
            true => (201, String::new()),
            false => (429, "too_many_unannounced".to_owned()),
        };
        assert_eq!(found, expected, "{n}");
    }
    let signed = sign(order, evidence, soon, &here, &provider)?;
    assert_eq!(put(&plan, evidence, body, signed).await?.0, 201);

    let metrics = reqwest::get(format!("{}/metrics", plan.url())).await?;
    let metrics = metrics.text().await?;
    for counted in [
        "vouch_oracle_uploads_refused_total{reason=\"not_a_party\"} 4",
        "vouch_oracle_uploads_refused_total{reason=\"too_many_unannounced\"} 1",
    ] {
        assert!(metrics.contains(counted), "{counted}:\n{metrics}");
    }
    Ok(())
}
