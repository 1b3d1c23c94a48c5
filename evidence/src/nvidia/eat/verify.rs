//! From parsed tokens and keys to what the service really says.

use std::borrow::ToOwned;
use std::format;
use std::string::String;

use vouch_protocol::Reason;

use super::keys::KeySet;
use super::token::{Eat, Signed};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::digest::sha256;
use crate::rejection::{Rejection, Text};
use crate::signature;
use crate::time::Time;

/// Who signs tokens.
pub const ISSUER: &str = "https://nras.attestation.nvidia.com";

const EAT: &str = "RFC 9711, detached EAT; captures";
const JWS: &str = "RFC 7515, 5.2; RFC 7518, 3.4";
const JWT: &str = "RFC 7519, 4.1";
static KEY: Rule = Rule {
    field: "header.kid",
    reason: Reason::CertificateMissing,
    source: JWS,
};
static SIGNATURE: Rule = Rule {
    field: "signature",
    reason: Reason::CollateralForged,
    source: JWS,
};
static DIGEST: Rule = Rule {
    field: "overall.submods",
    reason: Reason::CollateralForged,
    source: EAT,
};
static FROM: Rule = Rule {
    field: "iss",
    reason: Reason::CollateralForged,
    source: JWT,
};
static VALIDITY: Rule = Rule {
    field: "exp",
    reason: Reason::CollateralExpired,
    source: JWT,
};
static SAME: Rule = Rule {
    field: "eat_nonce",
    reason: Reason::GpuNonceMismatch,
    source: EAT,
};
static NONCE: Rule = Rule {
    field: "eat.overall.eat_nonce",
    reason: Reason::GpuNonceMismatch,
    source: EAT,
};
static RESULT: Rule = Rule {
    field: "eat.overall.x-nvidia-overall-att-result",
    reason: Reason::MeasurementMismatch,
    source: "NVIDIA remote attestation service, claims",
};
static MEASUREMENTS: Rule = Rule {
    field: "measres",
    reason: Reason::MeasurementMismatch,
    source: "NVIDIA remote attestation service, claims",
};

/// Tokens whose signatures hold and that belong together. Only [`verify`] makes it.
#[derive(Clone, Debug)]
pub struct AuthenticEat(Eat);

impl AuthenticEat {
    /// The tokens.
    pub const fn tokens(&self) -> &Eat {
        &self.0
    }
}

/// Verifies tokens with the service's keys.
///
/// # Errors
/// `certificate_missing` where the keys are not the signer's, `collateral_forged`,
/// `collateral_expired`, `gpu_nonce_mismatch` where tokens answer different nonces.
pub fn verify<O: Observe>(
    eat: Eat,
    keys: &KeySet,
    time: Time,
    observer: &mut O,
) -> Result<AuthenticEat, Rejection> {
    let claims = &eat.overall.claims;
    let dates = (claims.from, claims.until);
    scoped(observer, "overall", |observer| {
        check_token(&eat.overall, &claims.issuer, dates, keys, time, observer)
    })?;
    // Every device has a token and every token a device, each by its digest.
    let named = claims.submods.keys().eq(eat.devices.keys());
    ensure(observer, &DIGEST, named, || {
        Compared::new(
            format!("tokens of {:?}", claims.submods.keys()),
            format!("{:?}", eat.devices.keys()),
        )
    })?;
    for (name, token) in &eat.devices {
        let found = hex(&sha256(token.text.as_bytes()));
        let bound = claims
            .submods
            .get(name)
            .is_some_and(|(kind, (hash, digest))| {
                kind == "DIGEST" && hash == "SHA-256" && digest.eq_ignore_ascii_case(&found)
            });
        ensure(observer, &DIGEST, bound, || {
            let expected = claims.submods.get(name);
            Compared::new(format!("{name} {expected:?}"), format!("SHA-256 {found}"))
        })?;
        scoped(observer, name, |observer| {
            let device = &token.claims;
            let dates = (device.from, device.until);
            check_token(token, &device.issuer, dates, keys, time, observer)?;
            let same = device.nonce == claims.nonce;
            ensure(observer, &SAME, same, || {
                Compared::new(claims.nonce.clone(), device.nonce.clone())
            })
        })?;
    }
    Ok(AuthenticEat(eat))
}

/// The evidence that the service looked at answered this nonce.
///
/// # Errors
/// `gpu_nonce_mismatch`.
pub fn check_nonce<O: Observe>(
    eat: &AuthenticEat,
    nonce: &[u8; 32],
    observer: &mut O,
) -> Result<(), Rejection> {
    let (found, expected) = (&eat.0.overall.claims.nonce, hex(nonce));
    let same = found.eq_ignore_ascii_case(&expected);
    ensure(observer, &NONCE, same, || {
        Compared::new(expected, found.clone())
    })
}

/// The service found every device good: measurements as in the manifests.
///
/// # Errors
/// `measurement_mismatch`.
pub fn check_result<O: Observe>(eat: &AuthenticEat, observer: &mut O) -> Result<(), Rejection> {
    for (name, token) in &eat.0.devices {
        let found = token.claims.measurements.as_deref();
        scoped(observer, name, |observer| {
            ensure(observer, &MEASUREMENTS, found == Some("success"), || {
                Compared::new("success", found.unwrap_or("nothing said").to_owned())
            })
        })?;
    }
    let result = eat.0.overall.claims.result;
    ensure(observer, &RESULT, result, || {
        Compared::new("true", if result { "true" } else { "false" })
    })
}

fn check_token<C, O: Observe>(
    token: &Signed<C>,
    issuer: &str,
    (from, until): (u64, u64),
    keys: &KeySet,
    time: Time,
    observer: &mut O,
) -> Result<(), Rejection> {
    let key = keys.get(&token.key_id);
    ensure(observer, &KEY, key.is_some(), || {
        let ids: std::vec::Vec<&str> = keys.ids().collect();
        Compared::new(format!("one of the keys {ids:?}"), token.key_id.clone())
    })?;
    let message = token
        .text
        .as_bytes()
        .get(..token.signed)
        .unwrap_or_default();
    let signed = key.is_some_and(|key| signature::verify_p384(key, message, &token.signature));
    ensure(observer, &SIGNATURE, signed, || {
        let found: Text = if signed {
            "a signature that verifies".into()
        } else {
            "a signature that does not verify".into()
        };
        let expected = format!(
            "ES384 by key {} over bytes 0 to {}",
            token.key_id, token.signed
        );
        Compared::new(expected, found).at(token.signed)
    })?;
    ensure(observer, &FROM, issuer == ISSUER, || {
        Compared::new(ISSUER, issuer.to_owned())
    })?;
    let (from, until) = (Time::from_unix(from), Time::from_unix(until));
    ensure(observer, &VALIDITY, from <= time && time < until, || {
        Compared::new(
            format!("a token that counts at {time}"),
            format!("one from {from} to {until}"),
        )
    })
}

fn scoped<O: Observe>(
    observer: &mut O,
    name: &str,
    check: impl FnOnce(&mut O) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let scope = || -> String { format!("eat.{name}") };
    observer.enter(scope);
    let result = check(observer);
    observer.leave();
    result.map_err(|r| r.within(&scope()))
}
