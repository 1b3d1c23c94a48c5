//! The tokens as they are encoded.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vouch_protocol::Reason;

use crate::rejection::Rejection;
use crate::signature::P384_SIGNATURE_LEN;

/// Bytes of the largest set of tokens that is read.
pub const MAX_EAT_LEN: usize = 1024 * 1024;
/// Tokens of devices in one set.
pub const MAX_TOKENS: usize = 64;

/// A signed token with what it says. Nothing is verified yet.
#[derive(Clone, Debug)]
pub(super) struct Signed<C> {
    /// The whole token, as text.
    pub(super) text: String,
    /// Bytes of it that are signed.
    pub(super) signed: usize,
    pub(super) key_id: String,
    pub(super) signature: [u8; P384_SIGNATURE_LEN],
    pub(super) claims: C,
}

/// What the service says of a machine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OverallToken {
    /// Who says it.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The nonce that the evidence answered, hexadecimal.
    #[serde(rename = "eat_nonce")]
    pub nonce: String,
    /// Unix seconds at which it was made.
    #[serde(rename = "iat")]
    pub issued: u64,
    /// Unix seconds from which it counts.
    #[serde(rename = "nbf")]
    pub from: u64,
    /// Unix seconds until which it counts.
    #[serde(rename = "exp")]
    pub until: u64,
    /// Every device was found good.
    #[serde(rename = "x-nvidia-overall-att-result")]
    pub result: bool,
    /// Digests of the devices' tokens.
    pub(super) submods: BTreeMap<String, (String, (String, String))>,
}

/// What the service says of one device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DeviceToken {
    /// Who says it.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The nonce that the evidence answered, hexadecimal.
    #[serde(rename = "eat_nonce")]
    pub nonce: String,
    /// Unix seconds at which it was made.
    #[serde(rename = "iat")]
    pub issued: u64,
    /// Unix seconds from which it counts.
    #[serde(rename = "nbf")]
    pub from: u64,
    /// Unix seconds until which it counts.
    #[serde(rename = "exp")]
    pub until: u64,
    /// The device, `GH100 A01 GSP BROM`.
    #[serde(rename = "hwmodel")]
    pub model: Option<String>,
    /// Serial number of the device's leaf certificate, decimal.
    pub ueid: Option<String>,
    /// IANA number of the manufacturer; NVIDIA's is 5703.
    #[serde(rename = "oemid")]
    pub manufacturer: Option<String>,
    /// `success` where the measurements are those of the manifests.
    #[serde(rename = "measres")]
    pub measurements: Option<String>,
    /// `disabled` where the device cannot be debugged.
    #[serde(rename = "dbgstat")]
    pub debug: Option<String>,
    /// The device booted what its vendor signed.
    #[serde(rename = "secboot")]
    pub secure_boot: Option<bool>,
    /// The service's other claims, by name.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// A machine's tokens. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Eat {
    pub(super) overall: Signed<OverallToken>,
    pub(super) devices: BTreeMap<String, Signed<DeviceToken>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, rename = "typ")]
    _type: Option<String>,
}

impl Eat {
    /// Reads `[["JWT", overall], {"GPU-0": token, …}]`.
    ///
    /// # Errors
    /// `malformed`, naming the token; `algorithm_unsupported` for tokens that are not signed with
    /// ES384.
    pub fn parse(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > MAX_EAT_LEN {
            return Err(Rejection::malformed(
                "eat",
                format!("at most {MAX_EAT_LEN} bytes"),
                format!("{} bytes", json.len()),
            ));
        }
        type Detached = ((String, String), BTreeMap<String, String>);
        let ((kind, overall), devices): Detached =
            serde_json::from_slice(json).map_err(|error| {
                Rejection::malformed(
                    "eat",
                    "[[\"JWT\", token], {name: token}]",
                    format!("{error}"),
                )
            })?;
        if kind != "JWT" {
            return Err(Rejection::malformed(
                "eat[0][0]",
                "JWT",
                format!("{kind:?}"),
            ));
        }
        if devices.is_empty() || devices.len() > MAX_TOKENS {
            return Err(Rejection::malformed(
                "eat[1]",
                format!("1 to {MAX_TOKENS} tokens"),
                format!("{}", devices.len()),
            ));
        }
        let read = |(name, text): (String, String)| {
            let token = token(text).map_err(|r| r.within(&format!("eat.{name}")))?;
            Ok((name, token))
        };
        Ok(Self {
            overall: token(overall).map_err(|r| r.within("eat.overall"))?,
            devices: devices.into_iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// What the service is said to say of the machine.
    pub const fn overall(&self) -> &OverallToken {
        &self.overall.claims
    }

    /// What the service is said to say of each device, by its name, `GPU-0`.
    pub fn devices(&self) -> impl Iterator<Item = (&str, &DeviceToken)> {
        self.devices
            .iter()
            .map(|(name, token)| (name.as_str(), &token.claims))
    }

    /// Ids of the keys that are said to have signed, each once.
    pub fn key_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.devices.values().map(|t| t.key_id.as_str()).collect();
        ids.push(&self.overall.key_id);
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn token<C: DeserializeOwned>(text: String) -> Result<Signed<C>, Rejection> {
    let malformed = |field: &'static str, expected: &'static str, found: String| {
        Rejection::malformed(field, expected, found)
    };
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        let found = format!("{} parts", text.split('.').count());
        return Err(malformed("token", "header.payload.signature", found));
    };
    let signed = header.len().saturating_add(payload.len()).saturating_add(1);
    let decode = |field: &'static str, part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|error| malformed(field, "base64url without padding", format!("{error}")))
    };
    let header: Header = serde_json::from_slice(&decode("header", header)?)
        .map_err(|error| malformed("header", "alg and kid", format!("{error}")))?;
    if header.alg != "ES384" {
        let found = format!("{:?}", header.alg);
        return Err(Rejection::new(
            Reason::AlgorithmUnsupported,
            "header.alg",
            "ES384",
            found,
        ));
    }
    let claims = serde_json::from_slice(&decode("payload", payload)?)
        .map_err(|error| malformed("payload", "the service's claims", format!("{error}")))?;
    let signature = decode("signature", signature)?
        .try_into()
        .map_err(|bytes: Vec<u8>| {
            malformed(
                "signature",
                "96 bytes, r and s",
                format!("{} bytes", bytes.len()),
            )
        })?;
    Ok(Signed {
        signed,
        key_id: header.kid.to_owned(),
        signature,
        claims,
        text,
    })
}
