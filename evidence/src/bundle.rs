//! The evidence bundle: everything that one session's verdict is made of, as JSON, named by the
//! SHA-256 of its exact bytes.

use std::format;
use std::vec::Vec;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// Bytes of the largest bundle that is read.
pub const MAX_BUNDLE_LEN: usize = 4 * 1024 * 1024;
/// GPUs of one session.
pub const MAX_GPUS: usize = 16;
/// Switches of one session.
pub const MAX_SWITCHES: usize = 16;
/// Documents of collateral of one kind.
pub const MAX_COLLATERAL: usize = 128;

/// The version of the layout.
const VERSION: &str = "vouch/bundle/v1";

/// A report and the certificates above it, leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEvidence {
    /// The raw report.
    #[serde(with = "base64_bytes")]
    pub report: Vec<u8>,
    /// DER certificates, leaf first, root last.
    #[serde(with = "base64_list")]
    pub chain: Vec<Vec<u8>>,
}

/// What the CPU says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CpuEvidence {
    /// An AMD SEV-SNP report.
    SevSnp {
        /// The raw report.
        #[serde(with = "base64_bytes")]
        report: Vec<u8>,
        /// The VCEK or VLEK certificate, DER.
        #[serde(with = "base64_bytes")]
        vek: Vec<u8>,
        /// ASK (or ASVK) and ARK, DER, where not the built-in ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chain: Option<SevSnpChain>,
    },
    /// An Intel TDX quote, which carries its chain.
    Tdx {
        /// The raw quote.
        #[serde(with = "base64_bytes")]
        quote: Vec<u8>,
        /// Intel's collateral for its platform: JSON, as [`crate::tdx::Collateral::to_json`] has it.
        #[serde(
            default,
            with = "base64_option",
            skip_serializing_if = "Option::is_none"
        )]
        collateral: Option<Vec<u8>>,
    },
}

/// AMD's signing key and root, where the bundle brings its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SevSnpChain {
    /// ASK or ASVK, DER.
    #[serde(with = "base64_bytes")]
    pub signer: Vec<u8>,
    /// ARK, DER.
    #[serde(with = "base64_bytes")]
    pub root: Vec<u8>,
}

/// What the vendors say of the devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collateral {
    /// NVIDIA's reference manifests (RIM), XML.
    #[serde(with = "base64_list", skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Vec<u8>>,
    /// OCSP responses, DER.
    #[serde(with = "base64_list", skip_serializing_if = "Vec::is_empty")]
    pub ocsp: Vec<Vec<u8>>,
    /// Certificate revocation lists, DER.
    #[serde(with = "base64_list", skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<Vec<u8>>,
}

/// The evidence of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The canonical encoding of the session statement.
    pub statement: Vec<u8>,
    /// GPU reports, in the order in which the CPU vouches for them.
    pub gpus: Vec<DeviceEvidence>,
    /// Switch reports, likewise, after the GPUs.
    pub switches: Vec<DeviceEvidence>,
    /// The CPU's report.
    pub cpu: CpuEvidence,
    /// What the vendors say of the devices.
    pub collateral: Collateral,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: std::string::String,
    #[serde(with = "base64_bytes")]
    statement: Vec<u8>,
    gpus: Vec<DeviceEvidence>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    switches: Vec<DeviceEvidence>,
    cpu: CpuEvidence,
    #[serde(default)]
    collateral: Collateral,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// `malformed`, with the line and column, or the list that is too long.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > MAX_BUNDLE_LEN {
            return Err(Rejection::malformed(
                "bundle",
                format!("at most {MAX_BUNDLE_LEN} bytes"),
                format!("{} bytes", json.len()),
            ));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|error| {
            Rejection::malformed("bundle", "an evidence bundle", format!("{error}"))
        })?;
        if wire.version != VERSION {
            return Err(Rejection::new(
                vouch_protocol::Reason::VersionUnsupported,
                "bundle.version",
                VERSION,
                format!("{:?}", wire.version),
            ));
        }
        for (field, count, most) in [
            ("bundle.gpus", wire.gpus.len(), MAX_GPUS),
            ("bundle.switches", wire.switches.len(), MAX_SWITCHES),
            (
                "bundle.collateral.manifests",
                wire.collateral.manifests.len(),
                MAX_COLLATERAL,
            ),
            (
                "bundle.collateral.ocsp",
                wire.collateral.ocsp.len(),
                MAX_COLLATERAL,
            ),
            (
                "bundle.collateral.crls",
                wire.collateral.crls.len(),
                MAX_COLLATERAL,
            ),
        ] {
            if count > most {
                return Err(Rejection::malformed(
                    field,
                    format!("at most {most}"),
                    format!("{count}"),
                ));
            }
        }
        Ok(Self {
            statement: wire.statement,
            gpus: wire.gpus,
            switches: wire.switches,
            cpu: wire.cpu,
            collateral: wire.collateral,
        })
    }

    /// The bundle as JSON. The digest is that of these bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            version: VERSION.into(),
            statement: self.statement.clone(),
            gpus: self.gpus.clone(),
            switches: self.switches.clone(),
            cpu: self.cpu.clone(),
            collateral: self.collateral.clone(),
        };
        // Structs of byte strings always serialise.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// The digest under which a bundle of exactly these bytes is announced.
    pub fn digest(json: &[u8]) -> B256 {
        B256::new(crate::digest::sha256(json))
    }
}

mod base64_bytes {
    use std::string::String;
    use std::vec::Vec;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(&text)
            .map_err(|error| de::Error::custom(std::format!("expected base64: {error}")))
    }
}

pub(crate) mod base64_option {
    use std::vec::Vec;

    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::base64_bytes::serialize(bytes.as_deref().unwrap_or_default(), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        super::base64_bytes::deserialize(deserializer).map(Some)
    }
}

mod base64_list {
    use std::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Bytes(#[serde(with = "super::base64_bytes")] Vec<u8>);

    pub(super) fn serialize<S: Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Bytes(bytes.clone())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        Ok(Vec::<Bytes>::deserialize(deserializer)?
            .into_iter()
            .map(|bytes| bytes.0)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            statement: vec![1, 2, 3],
            gpus: vec![DeviceEvidence {
                report: vec![4],
                chain: vec![vec![5], vec![6]],
            }],
            switches: vec![],
            cpu: CpuEvidence::SevSnp {
                report: vec![7],
                vek: vec![8],
                chain: None,
            },
            collateral: Collateral::default(),
        }
    }

    #[test]
    fn json_round_trips() {
        let json = bundle().to_json();
        assert_eq!(Bundle::from_json(&json).unwrap(), bundle());
        assert_ne!(
            Bundle::digest(&json),
            Bundle::digest(&[json.as_slice(), b" "].concat())
        );
    }

    #[test]
    fn what_is_not_a_bundle_is_refused() {
        let json = String::from_utf8(bundle().to_json()).unwrap();
        for (from, to) in [
            ("bundle/v1", "bundle/v2"),
            ("\"AQID\"", "\"AQI\""),
            ("\"AQID\"", "7"),
            ("sev_snp", "sgx"),
            ("\"gpus\"", "\"gpu\""),
            ("\"version\"", "\"extra\":1,\"version\""),
            ("\"vek\"", "\"key\""),
        ] {
            assert!(json.contains(from), "{from}");
            assert!(
                Bundle::from_json(json.replace(from, to).as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
        assert!(Bundle::from_json(&vec![b' '; MAX_BUNDLE_LEN + 1]).is_err());
        let mut many = bundle();
        many.gpus = vec![many.gpus[0].clone(); MAX_GPUS + 1];
        assert!(Bundle::from_json(&many.to_json()).is_err());
    }
}
