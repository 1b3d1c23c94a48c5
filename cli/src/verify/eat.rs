//! `vouch verify nvidia --token`: what NVIDIA's remote attestation service said.

use std::path::Path;

use serde_json::json;
use vouch_evidence::nvidia::eat::{self, DeviceToken, Eat, KeySet, OverallToken};
use vouch_evidence::{Explanation, Rejection, Time};
use vouch_protocol::Reason;

use super::nvidia::{Nonce, Nvidia};
use super::outcome::{Claims, Outcome};
use super::{no_debug, read};
use crate::output::{self, Failure};

pub(super) fn run(args: &Nvidia, path: &Path) -> Result<output::Report, Failure> {
    let json = read("--token", path)?;
    let keys = args.jwks.as_deref().map(|path| read("--jwks", path));
    let keys = keys.transpose()?;
    let mut outcome = Outcome {
        subject: "tokens of NVIDIA's remote attestation service".into(),
        list: true,
        ..Outcome::default()
    };
    let mut explanation = Explanation::default();
    let verified = verify(&json, keys.as_deref(), args, &mut explanation, &mut outcome);
    if let Err(rejection) = verified {
        outcome.rejections.push(rejection);
    }
    if args.nonce.is_none() {
        let why = "no --nonce given: the tokens may be of old evidence";
        outcome.not_checked.push(("nonce", why.into()));
    }
    outcome.not_checked.push((
        "hardware's evidence",
        "tokens say what NVIDIA's service found; the reports themselves are not in them".into(),
    ));
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(outcome.report())
}

fn verify(
    json: &[u8],
    keys: Option<&[u8]>,
    args: &Nvidia,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<(), Rejection> {
    let eat = Eat::parse(json)?;
    outcome.claims.push(overall(eat.overall()));
    let devices = eat.devices().map(|(name, token)| device(name, token));
    outcome.claims.extend(devices);
    let Some(keys) = keys else {
        return Err(Rejection::new(
            Reason::CertificateMissing,
            "eat.signatures",
            format!(
                "the service's keys (--jwks), among them {}",
                eat.key_ids().join(", ")
            ),
            "none: what the tokens say is shown, and nothing vouches for it",
        ));
    };
    let keys = KeySet::from_json(keys).map_err(|r| r.within("jwks"))?;
    let eat = eat::verify(eat, &keys, args.common.time(), explanation)?;
    if let Some(Nonce(nonce)) = &args.nonce {
        eat::check_nonce(&eat, nonce, explanation)?;
    }
    for (name, token) in eat.tokens().devices() {
        let debug = token.debug.as_deref() != Some("disabled");
        no_debug("dbgstat", debug).map_err(|r| r.within(&format!("eat.{name}")))?;
    }
    eat::check_result(&eat, explanation)
}

fn date(seconds: u64) -> serde_json::Value {
    json!(Time::from_unix(seconds).to_string())
}

fn overall(token: &OverallToken) -> Claims {
    vec![
        ("kind", json!("overall")),
        ("result", json!(token.result)),
        ("issuer", json!(token.issuer)),
        ("nonce", json!(token.nonce)),
        ("issued", date(token.issued)),
        ("until", date(token.until)),
    ]
}

fn device(name: &str, token: &DeviceToken) -> Claims {
    vec![
        ("kind", json!("device")),
        ("name", json!(name)),
        ("model", json!(token.model)),
        ("serial_decimal", json!(token.ueid)),
        ("measurements", json!(token.measurements)),
        ("debug", json!(token.debug)),
        ("secure_boot", json!(token.secure_boot)),
        ("issuer", json!(token.issuer)),
        ("nonce", json!(token.nonce)),
        ("issued", date(token.issued)),
        ("until", date(token.until)),
        ("others", json!(token.others)),
    ]
}
