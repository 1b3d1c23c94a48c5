//! Asking owners' brokers for keys.

use std::time::{Duration, Instant};

use alloy::primitives::B256;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use vouch_broker::request::{Released, Request, message};
use vouch_client::told;
use vouch_content::ContentKey;
use vouch_content::seal::Purpose;

use crate::session::Session;

/// How long a broker may take, and how long it is asked again where it says so.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Refused {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
    retry: bool,
}

/// The key of an asset, from the first broker that releases it.
///
/// # Errors
/// What each broker said.
pub async fn key(
    brokers: &[String],
    session: &Session,
    order: B256,
    asset: B256,
) -> Result<ContentKey> {
    let public = session.encryption().public();
    let signature = session.sign(&message(order, asset, public));
    let request = Request {
        order,
        asset,
        session: public,
        signature: hex::encode(signature),
    };
    let mut answers = Vec::new();
    for broker in brokers {
        match ask(broker, &request).await {
            Ok(released) => {
                let sealed = hex::decode(&released.sealed)
                    .with_context(|| format!("broker {broker}: a sealed key"))?;
                let opened = session
                    .encryption()
                    .open(&sealed, &Purpose::Use { order, asset });
                return opened.with_context(|| format!("broker {broker}"));
            }
            Err(error) => answers.push(format!("{broker}: {}", told(error.as_ref()))),
        }
    }
    bail!(
        "asset {asset}: no broker released its key: {}",
        answers.join("; ")
    )
}

async fn ask(broker: &str, request: &Request) -> Result<Released> {
    let url = format!("{}/v1/keys", broker.trim_end_matches('/'));
    let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let body = serde_json::to_vec(request)?;
    let begun = Instant::now();
    loop {
        let answer = http
            .post(&url)
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await?;
        if answer.status().is_success() {
            return answer.json().await.context("expected a released key");
        }
        let status = answer.status();
        let Ok(Refused { error }) = answer.json().await else {
            bail!("HTTP status {status}");
        };
        // The broker's endpoint may not have seen yet that the order runs.
        let retry = error.retry || error.code == "order_state";
        if !retry || begun.elapsed() > PATIENCE {
            bail!("{}: {}", error.code, error.message);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
