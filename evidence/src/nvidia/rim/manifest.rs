//! What a manifest says.
//!
//! Source: ISO/IEC 19770-2:2015, TCG Reference Integrity Manifest Information Model 1.01; NVIDIA's
//! manifests.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::xml::Element;
use crate::rejection::Rejection;

/// Digests that one measurement may have.
pub const MAX_ALTERNATIVES: usize = 16;
/// Measurements that a manifest may have.
const MAX_MEASUREMENTS: u8 = 64;

pub(super) const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const TCG: &str = "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
/// NVIDIA's enterprise number at IANA.
const NVIDIA: &str = "5703";

/// One measurement that the manifest fixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    /// Index, from 0.
    pub index: u8,
    /// The manifest's name for it.
    pub name: String,
    /// Digests of which any will do.
    pub alternatives: Vec<[u8; 48]>,
}

/// A manifest's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// `GPU` or `SWITCH`.
    pub edition: String,
    /// The chip, `GH100`.
    pub product: String,
    /// The driver's or VBIOS's version.
    pub version: String,
    /// The measurements that are active, ascending.
    pub golden: Vec<Golden>,
}

impl Manifest {
    /// Reads the tree that was, or will be, hashed.
    pub(super) fn read(root: &Element) -> Result<Self, Rejection> {
        if !root.is(SWID, "SoftwareIdentity") {
            return Err(Rejection::malformed(
                "manifest",
                "a SoftwareIdentity of ISO/IEC 19770-2:2015",
                "another root element",
            ));
        }
        let meta = root.only(SWID, "Meta")?;
        let text = |name: &'static str| {
            let found = meta.attribute("", name).filter(|value| !value.is_empty());
            found.map(String::from).ok_or_else(|| {
                Rejection::malformed(format!("manifest.Meta.{name}"), "a value", "none")
            })
        };
        let manufacturer = meta.attribute(TCG, "FirmwareManufacturerId");
        if manufacturer != Some(NVIDIA) {
            return Err(Rejection::malformed(
                "manifest.Meta.FirmwareManufacturerId",
                NVIDIA,
                format!("{:?}", manufacturer.unwrap_or_default()),
            ));
        }
        let golden = payload(root.only(SWID, "Payload")?)?;
        Ok(Self {
            edition: text("edition")?,
            product: text("product")?,
            version: text("colloquialVersion")?,
            golden,
        })
    }
}

fn payload(payload: &Element) -> Result<Vec<Golden>, Rejection> {
    let mut seen = 0u128;
    let mut golden = Vec::new();
    for resource in payload.elements() {
        if !resource.is(SWID, "Resource") || resource.attribute("", "type") != Some("Measurement") {
            return Err(Rejection::malformed(
                "manifest.Payload",
                "measurements",
                "another element",
            ));
        }
        let (measurement, active) = measurement(resource)?;
        let bit = 1u128.wrapping_shl(u32::from(measurement.index));
        if seen & bit != 0 {
            return Err(Rejection::malformed(
                "manifest.Payload.index",
                "each index once",
                format!("{}", measurement.index),
            ));
        }
        seen |= bit;
        if active {
            golden.push(measurement);
        }
    }
    if golden.is_empty() {
        return Err(Rejection::malformed(
            "manifest.Payload",
            "at least one active measurement",
            "none",
        ));
    }
    golden.sort_unstable_by_key(|measurement| measurement.index);
    Ok(golden)
}

fn measurement(resource: &Element) -> Result<(Golden, bool), Rejection> {
    let field = |name: &'static str, expected: &'static str, found: Option<&str>| {
        Rejection::malformed(
            format!("manifest.Payload.{name}"),
            expected,
            format!("{:?}", found.unwrap_or_default()),
        )
    };
    let raw = resource.attribute("", "index");
    let index = raw
        .and_then(|text| text.parse::<u8>().ok())
        .filter(|index| *index < MAX_MEASUREMENTS);
    let index = index.ok_or_else(|| field("index", "0 to 63", raw))?;
    let active = match resource.attribute("", "active") {
        Some("True") => true,
        Some("False") => false,
        other => return Err(field("active", "True or False", other)),
    };
    if resource.attribute("", "size") != Some("48") {
        return Err(field("size", "48", resource.attribute("", "size")));
    }
    let raw = resource.attribute("", "alternatives");
    let count = raw
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|count| (1..=MAX_ALTERNATIVES).contains(count));
    let count = count.ok_or_else(|| field("alternatives", "1 to 16", raw))?;
    let hashes = resource
        .attributes()
        .filter(|(namespace, local)| *namespace == SHA384 || local.starts_with("Hash"))
        .count();
    if hashes != count {
        return Err(Rejection::malformed(
            "manifest.Payload.alternatives",
            format!("{count} digests"),
            format!("{hashes}"),
        ));
    }
    let digest = |number: usize| {
        let text = resource.attribute(SHA384, &format!("Hash{number}"));
        text.and_then(|text| crate::decode::hex_array(text).ok())
            .ok_or_else(|| field("Hash", "a SHA-384 digest", text))
    };
    let alternatives = (0..count).map(digest).collect::<Result<Vec<_>, _>>()?;
    let name = resource.attribute("", "name").unwrap_or_default().into();
    Ok((
        Golden {
            index,
            name,
            alternatives,
        },
        active,
    ))
}
