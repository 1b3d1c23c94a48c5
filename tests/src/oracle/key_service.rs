//! A private stand-in for AWS's key management service: `GetPublicKey` and `Sign` of its JSON 1.1 protocol, as far as
//! its reference describes them for keys of the kind `ECC_SECG_P256K1`. (moto's takes no digests to sign.) Who asks is not
//! checked.

use std::net::Ipv4Addr;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What comes before a public key of this curve in a `SubjectPublicKeyInfo`, and the first byte of an uncompressed
/// point: RFC 5480, section 2, with the curve 1.3.132.0.10.
const SPKI: [u8; 24] = [
    0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00, 0x04,
];

/// The service. It ends with the test's runtime.
#[derive(Debug)]
pub struct KeyService {
    url: String,
    keys: Vec<PrivateKeySigner>,
    away: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shown {
    keys: Vec<PrivateKeySigner>,
    away: watch::Receiver<bool>,
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

impl KeyService {
    /// Starts it with so many keys, whose ids are `key-0` and so on.
    pub async fn start(keys: usize) -> Result<Self> {
        let keys: Vec<_> = (0..keys).map(|_| PrivateKeySigner::random()).collect();
        let away = watch::Sender::new(false);
        let shown = Shown {
            keys: keys.clone(),
            away: away.subscribe(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new()
            .route("/", post(answer))
            .with_state(Arc::new(shown));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, keys, away })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account whose transactions a key signs.
    pub fn account(&self, key: usize) -> Result<Address> {
        Ok(self.keys.get(key).context("a key")?.address())
    }

    /// While it is away it takes questions and does not answer.
    pub fn away(&self, is: bool) {
        self.away.send_replace(is);
    }
}

async fn answer(State(shown): State<Arc<Shown>>, headers: HeaderMap, body: String) -> Answer {
    let mut away = shown.away.clone();
    // Its sender lives as long as the test.
    let _ = away.wait_for(|away| !away).await;
    let action = headers.get("x-amz-target").and_then(|v| v.to_str().ok());
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    let refuse = |kind: &str, message: String| {
        let told = json!({ "__type": kind, "message": message });
        Err((StatusCode::BAD_REQUEST, Json(told)))
    };
    let id = asked["KeyId"].as_str().unwrap_or_default();
    let number = id
        .strip_prefix("key-")
        .and_then(|n| n.parse::<usize>().ok());
    let Some(key) = number.and_then(|number| shown.keys.get(number)) else {
        return refuse("NotFoundException", format!("Key '{id}' does not exist"));
    };
    match action {
        Some("TrentService.GetPublicKey") => {
            let der = [&SPKI[..], key.public_key().as_slice()].concat();
            Ok(Json(json!({
                "KeyId": id,
                "KeySpec": "ECC_SECG_P256K1",
                "KeyUsage": "SIGN_VERIFY",
                "PublicKey": STANDARD.encode(der),
                "SigningAlgorithms": ["ECDSA_SHA_256"],
            })))
        }
        Some("TrentService.Sign")
            if asked["MessageType"] == "DIGEST" && asked["SigningAlgorithm"] == "ECDSA_SHA_256" =>
        {
            let digest = STANDARD.decode(asked["Message"].as_str().unwrap_or_default());
            let signature = digest
                .ok()
                .and_then(|digest| B256::try_from(&digest[..]).ok())
                .and_then(|digest| key.sign_hash_sync(&digest).ok())
                .and_then(|signature| signature.to_k256().ok());
            let Some(signature) = signature else {
                return refuse("ValidationException", "expected 32 bytes".to_owned());
            };
            Ok(Json(json!({
                "KeyId": id,
                "Signature": STANDARD.encode(signature.to_der().as_bytes()),
                "SigningAlgorithm": "ECDSA_SHA_256",
            })))
        }
        other => refuse("ValidationException", format!("{other:?} of {asked}")),
    }
}
