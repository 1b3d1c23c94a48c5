//! Collateral that whoever verifies has got besides what the bundle brings.

use std::format;
use std::string::String;
use std::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bundle::{Collateral, MAX_BUNDLE_LEN, MAX_COLLATERAL, base64_option};
use crate::rejection::Rejection;
use crate::time::Time;
use vouch_protocol::Reason;

/// The version of the layout.
const VERSION: &str = "vouch/collateral/v1";

/// More collateral for a bundle, and when it was got. It answers what the bundle's own leaves open.
///
/// It is judged at the time at which it was got: a vendor's answer of that time says no less about
/// the evidence than one of the time at which the evidence was announced, which cannot be had any
/// more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supplement {
    /// Manifests, OCSP responses and revocation lists.
    pub collateral: Collateral,
    /// Intel's collateral: JSON, as [`crate::tdx::Collateral::to_json`] has it.
    pub tdx: Option<Vec<u8>>,
    /// When it was got.
    pub at: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: String,
    at: u64,
    collateral: Collateral,
    #[serde(
        default,
        with = "base64_option",
        skip_serializing_if = "Option::is_none"
    )]
    tdx: Option<Vec<u8>>,
}

impl Supplement {
    /// Reads a supplement.
    ///
    /// # Errors
    /// `malformed`, `version_unsupported`.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > MAX_BUNDLE_LEN {
            return Err(Rejection::malformed(
                "supplement",
                format!("at most {MAX_BUNDLE_LEN} bytes"),
                format!("{} bytes", json.len()),
            ));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|error| {
            Rejection::malformed("supplement", "collateral", format!("{error}"))
        })?;
        if wire.version != VERSION {
            return Err(Rejection::new(
                Reason::VersionUnsupported,
                "supplement.version",
                VERSION,
                format!("{:?}", wire.version),
            ));
        }
        let lists = &wire.collateral;
        for (field, count) in [
            ("supplement.manifests", lists.manifests.len()),
            ("supplement.ocsp", lists.ocsp.len()),
            ("supplement.crls", lists.crls.len()),
        ] {
            if count > MAX_COLLATERAL {
                let most = format!("at most {MAX_COLLATERAL}");
                return Err(Rejection::malformed(field, most, format!("{count}")));
            }
        }
        Ok(Self {
            collateral: wire.collateral,
            tdx: wire.tdx,
            at: Time::from_unix(wire.at),
        })
    }

    /// The supplement as JSON: with it and the bundle, anyone can verify again.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            version: VERSION.into(),
            at: self.at.unix(),
            collateral: self.collateral.clone(),
            tdx: self.tdx.clone(),
        };
        // Structs of byte strings always serialise.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn json_round_trips_and_other_things_are_refused() {
        let supplement = Supplement {
            collateral: Collateral {
                ocsp: vec![vec![1, 2]],
                ..Collateral::default()
            },
            tdx: Some(vec![3]),
            at: Time::from_unix(4),
        };
        let json = String::from_utf8(supplement.to_json()).unwrap();
        assert_eq!(Supplement::from_json(json.as_bytes()).unwrap(), supplement);
        for (from, to) in [
            ("collateral/v1", "collateral/v2"),
            ("\"at\":4", "\"at\":-4"),
            ("\"AQI=\"", "\"AQI\""),
            ("\"tdx\"", "\"sgx\""),
        ] {
            assert!(json.contains(from), "{from}");
            assert!(Supplement::from_json(json.replace(from, to).as_bytes()).is_err());
        }
        let mut many = supplement;
        many.collateral.crls = vec![vec![]; MAX_COLLATERAL + 1];
        assert!(Supplement::from_json(&many.to_json()).is_err());
    }
}
