//! Keys that tokens are signed with: a JSON web key set.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::rejection::Rejection;
use crate::signature::P384_KEY_LEN;

/// Keys of one set.
pub const MAX_KEYS: usize = 64;
/// Bytes of the largest set that is read.
const MAX_SET_LEN: usize = 256 * 1024;

/// P-384 keys by their id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(BTreeMap<String, [u8; P384_KEY_LEN]>);

#[derive(Deserialize)]
struct Wire {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl KeySet {
    /// Reads a set. Keys of other kinds, and for other uses, are left out.
    ///
    /// # Errors
    /// `malformed`; also where two keys have one id, or none is left.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        let malformed =
            |expected: &'static str, found: String| Rejection::malformed("keys", expected, found);
        if json.len() > MAX_SET_LEN {
            let found = format!("{} bytes", json.len());
            return Err(malformed("at most 256 KiB", found));
        }
        let wire: Wire = serde_json::from_slice(json)
            .map_err(|error| malformed("a JSON web key set", format!("{error}")))?;
        if wire.keys.len() > MAX_KEYS {
            return Err(malformed("at most 64 keys", format!("{}", wire.keys.len())));
        }
        let mut keys = BTreeMap::new();
        for jwk in &wire.keys {
            let signs = jwk.alg.as_deref().is_none_or(|alg| alg == "ES384")
                && jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
            if jwk.kty != "EC" || jwk.crv != "P-384" || !signs {
                continue;
            }
            let coordinate = |text: &str| -> Option<[u8; 48]> {
                URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
            };
            let (Some(x), Some(y), false) =
                (coordinate(&jwk.x), coordinate(&jwk.y), jwk.kid.is_empty())
            else {
                return Err(malformed("kid, x and y of a P-384 key", jwk.kid.clone()));
            };
            let mut key = [4; P384_KEY_LEN];
            let point = key.iter_mut().skip(1);
            point
                .zip(x.iter().chain(&y))
                .for_each(|(to, from)| *to = *from);
            if keys.insert(jwk.kid.clone(), key).is_some() {
                return Err(malformed("each kid once", jwk.kid.clone()));
            }
        }
        if keys.is_empty() {
            return Err(malformed("a P-384 key for signatures", "none".into()));
        }
        Ok(Self(keys))
    }

    /// Ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn get(&self, id: &str) -> Option<&[u8; P384_KEY_LEN]> {
        self.0.get(id)
    }
}
