//! Tokens of NVIDIA's remote attestation service: a real capture, whose keys nobody has, and tokens
//! of the same shape signed by keys of our own.

use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vouch_evidence::nvidia::eat::{self, AuthenticEat, Eat, ISSUER, KeySet};
use vouch_evidence::{Explanation, Outcome, Rejection, Time};
use vouch_protocol::Reason;

const NOW: u64 = 1_749_602_000;
const NONCE: [u8; 32] = [0xab; 32];

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 48]).unwrap()
}

fn jwk(id: &str, key: &SigningKey) -> Value {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({
        "kty": "EC", "crv": "P-384", "kid": id, "alg": "ES384", "use": "sig",
        "x": coordinate(&point.as_bytes()[1..49]), "y": coordinate(&point.as_bytes()[49..]),
    })
}

fn keys() -> &'static KeySet {
    static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
        let set = json!({ "keys": [{ "kty": "RSA", "kid": "other" }, jwk("k1", &key())] });
        KeySet::from_json(set.to_string().as_bytes()).unwrap()
    });
    &KEYS
}

fn sign(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature: Signature = key().sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// A machine's tokens before they are signed.
struct Draft {
    header: Value,
    overall: Value,
    device: Value,
    /// Put in place of the digest of the device's token.
    digest: Option<String>,
}

impl Draft {
    fn new() -> Self {
        let common = json!({
            "iss": ISSUER, "eat_nonce": hex::encode(NONCE),
            "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
        });
        let mut overall = common.clone();
        overall["x-nvidia-overall-att-result"] = json!(true);
        let mut device = common;
        device["measres"] = json!("success");
        device["dbgstat"] = json!("disabled");
        device["hwmodel"] = json!("GH100 A01 GSP BROM");
        Self {
            header: json!({ "alg": "ES384", "kid": "k1" }),
            overall,
            device,
            digest: None,
        }
    }

    fn json(&self) -> Value {
        let device = sign(&self.header, &self.device);
        let digest = hex::encode(Sha256::digest(&device));
        let digest = self.digest.clone().unwrap_or(digest);
        let mut overall = self.overall.clone();
        overall["submods"] = json!({ "GPU-0": ["DIGEST", ["SHA-256", digest]] });
        json!([["JWT", sign(&self.header, &overall)], { "GPU-0": device }])
    }

    fn verify(&self) -> Result<AuthenticEat, Rejection> {
        verify(&self.json(), NOW)
    }
}

fn verify(json: &Value, at: u64) -> Result<AuthenticEat, Rejection> {
    let eat = Eat::parse(json.to_string().as_bytes())?;
    eat::verify(eat, keys(), Time::from_unix(at), &mut ())
}

#[test]
fn tokens_that_belong_together_are_accepted_and_explained() {
    let eat = Eat::parse(Draft::new().json().to_string().as_bytes()).unwrap();
    assert_eq!(eat.key_ids(), ["k1"]);
    let mut explanation = Explanation::default();
    let at = Time::from_unix(NOW);
    let eat = eat::verify(eat, keys(), at, &mut explanation).unwrap();
    eat::check_nonce(&eat, &NONCE, &mut explanation).unwrap();
    eat::check_result(&eat, &mut explanation).unwrap();
    let checks = explanation.checks();
    assert!(checks.len() > 10);
    assert!(checks.iter().all(|check| check.outcome == Outcome::Passed));
    assert!(
        checks
            .iter()
            .any(|check| check.field == "eat.GPU-0.signature")
    );
    let nonce = eat::check_nonce(&eat, &[0; 32], &mut ()).unwrap_err();
    assert_eq!(nonce.reason, Reason::GpuNonceMismatch);
}

#[test]
fn what_is_changed_before_signing_is_refused_for_what_it_is() {
    type Change = fn(&mut Draft);
    let rows: [(&str, Reason, Change); 10] = [
        ("another key", Reason::CertificateMissing, |d| {
            d.header["kid"] = json!("k2");
        }),
        ("the key of another kind", Reason::CertificateMissing, |d| {
            d.header["kid"] = json!("other");
        }),
        ("unsigned", Reason::AlgorithmUnsupported, |d| {
            d.header["alg"] = json!("none");
        }),
        ("symmetric", Reason::AlgorithmUnsupported, |d| {
            d.header["alg"] = json!("HS384");
        }),
        ("a key of its own", Reason::Malformed, |d| {
            d.header["jwk"] = jwk("k1", &key());
        }),
        ("another issuer", Reason::CollateralForged, |d| {
            d.device["iss"] = json!("https://nras.example");
        }),
        ("another digest", Reason::CollateralForged, |d| {
            d.digest = Some("00".repeat(32));
        }),
        ("another nonce", Reason::GpuNonceMismatch, |d| {
            d.device["eat_nonce"] = json!("00".repeat(32));
        }),
        ("over", Reason::CollateralExpired, |d| {
            d.device["exp"] = json!(NOW);
        }),
        ("not begun", Reason::CollateralExpired, |d| {
            d.overall["nbf"] = json!(NOW + 1);
        }),
    ];
    assert!(Draft::new().verify().is_ok());
    for (name, reason, change) in rows {
        let mut draft = Draft::new();
        change(&mut draft);
        let rejection = draft.verify().expect_err(name);
        assert_eq!(rejection.reason, reason, "{name}: {rejection}");
    }
}

#[test]
fn a_result_that_is_not_good_is_said() {
    let rows: [fn(&mut Draft); 3] = [
        |d| d.overall["x-nvidia-overall-att-result"] = json!(false),
        |d| d.device["measres"] = json!("fail"),
        |d| d.device["measres"] = Value::Null,
    ];
    for change in rows {
        let mut draft = Draft::new();
        change(&mut draft);
        let eat = draft.verify().unwrap();
        let rejection = eat::check_result(&eat, &mut ()).unwrap_err();
        assert_eq!(rejection.reason, Reason::MeasurementMismatch);
    }
}

/// Every bit of every token: signed text, signature, and the dots between.
#[test]
fn every_bit_counts() {
    let json = Draft::new().json();
    for (path, token) in [("/0/1", 0), ("/1/GPU-0", 1)] {
        let text = json.pointer(path).unwrap().as_str().unwrap().to_owned();
        for (index, bit) in (0..text.len()).flat_map(|i| (0..7).map(move |b| (i, b))) {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1 << bit;
            let mut changed = json.clone();
            *changed.pointer_mut(path).unwrap() = json!(String::from_utf8(bytes).unwrap());
            let accepted = verify(&changed, NOW).is_ok();
            assert!(!accepted, "token {token}, byte {index}, bit {bit}");
        }
    }
}

#[test]
fn sets_of_tokens_that_are_not_whole_are_refused() {
    let good = Draft::new().json();
    let mut more = good.clone();
    more[1]["GPU-1"] = good[1]["GPU-0"].clone();
    let mut renamed = good.clone();
    renamed[1] = json!({ "GPU-1": good[1]["GPU-0"] });
    let mut none = good.clone();
    none[1] = json!({});
    let mut kind = good.clone();
    kind[0][0] = json!("CBOR");
    for (name, json) in [
        ("more", more),
        ("renamed", renamed),
        ("none", none),
        ("kind", kind),
    ] {
        assert!(verify(&json, NOW).is_err(), "{name}");
    }
    for text in [
        "",
        "[]",
        "{}",
        "[[\"JWT\",\"a.b.c\"],{\"G\":\"\"}]",
        "[[\"JWT\",\"\"],{}]",
    ] {
        assert!(Eat::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn key_sets_that_are_ambiguous_or_useless_are_refused() {
    let key = jwk("k1", &key());
    let with = |name: &str, value: Value| {
        let mut changed = key.clone();
        changed[name] = value;
        changed
    };
    for (name, list) in [
        ("twice", json!([key, key])),
        ("none", json!([])),
        ("another curve", json!([with("crv", json!("P-256"))])),
        ("another use", json!([with("use", json!("enc"))])),
        ("another algorithm", json!([with("alg", json!("ES256"))])),
        ("short", json!([with("x", json!("AAAA"))])),
        ("no id", json!([with("kid", json!(""))])),
    ] {
        let set = json!({ "keys": list }).to_string();
        assert!(KeySet::from_json(set.as_bytes()).is_err(), "{name}");
    }
    assert!(KeySet::from_json(b"[]").is_err());
}

#[test]
fn the_real_capture_is_read_and_its_parts_belong_together() {
    let folder = match std::env::var_os("VOUCH_EVIDENCE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
    };
    let path = folder.join("nvidia/attestation-sdk/eat/hopperClaimsv3_detached_eat.json");
    let Ok(json) = std::fs::read(&path) else {
        println!("EAT: the capture is not here, skipped");
        return;
    };
    let eat = Eat::parse(&json).unwrap();
    assert!(eat.overall().result);
    let (name, device) = eat.devices().next().unwrap();
    assert_eq!(
        (name, device.model.as_deref()),
        ("GPU-0", Some("GH100 A01 GSP BROM"))
    );
    assert_eq!(device.others["x-nvidia-gpu-driver-version"], "550.90.07");
    // Nobody kept the service's keys of that day: with others it says nothing.
    let at = Time::from_unix(device.issued);
    let rejection = eat::verify(eat, keys(), at, &mut ()).unwrap_err();
    assert_eq!(rejection.reason, Reason::CertificateMissing);
    println!("EAT: 1 real capture read");
}
