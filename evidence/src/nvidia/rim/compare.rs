//! A device's measurements against its manifests.
//!
//! Source: NVIDIA attestation SDK, measurement comparison; captures.

use std::format;
use std::string::String;
use std::vec::Vec;

use vouch_protocol::Reason;

use super::manifest::Golden;
use super::signature::AuthenticManifest;
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::nvidia::{Architecture, Claims, Kind};
use crate::rejection::Rejection;

/// The measurement of the video decoder's firmware, which only counts while the decoder is on.
const NVDEC0_INDEX: u8 = 35;

const SDK: &str = "NVIDIA attestation SDK, measurement comparison";
static MISSING: Rule = Rule {
    field: "collateral.manifests",
    reason: Reason::ManifestMissing,
    source: SDK,
};
static CONFLICT: Rule = Rule {
    field: "collateral.manifests",
    reason: Reason::CollateralForged,
    source: SDK,
};
static EQUAL: Rule = Rule {
    field: "report.measurements",
    reason: Reason::MeasurementMismatch,
    source: SDK,
};

/// What a comparison that held has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Measurements that equal a golden one.
    pub matched: usize,
    /// Golden indices that do not count while the video decoder is off.
    pub skipped: Vec<u8>,
    /// Measurements that are not zero and that no manifest fixes.
    pub unlisted: Vec<u8>,
}

/// The id under which NVIDIA publishes the manifest of the device's driver; `None` for a switch.
pub fn driver_id(claims: &Claims) -> Option<String> {
    let driver = claims.driver_version.as_deref()?;
    match claims.kind {
        Kind::Gpu(Architecture::Hopper) => Some(format!("NV_GPU_DRIVER_{}_{driver}", claims.chip)),
        Kind::Gpu(Architecture::Blackwell) => {
            Some(format!("NV_GPU_CC_DRIVER_{}_{driver}", claims.chip))
        }
        Kind::Switch => None,
    }
}

/// The id under which NVIDIA publishes the manifest of the device's VBIOS.
pub fn vbios_id(claims: &Claims) -> Option<String> {
    let version = claims
        .vbios_version
        .as_deref()?
        .replace('.', "")
        .to_uppercase();
    match claims.kind {
        Kind::Gpu(_) => Some(format!(
            "NV_GPU_VBIOS_{}_{}_{}_{version}",
            claims.project.as_deref()?,
            claims.project_sku.as_deref()?,
            claims.chip_sku.as_deref()?
        )),
        Kind::Switch => Some(format!("NV_SWITCH_BIOS_5612_0002_890_{version}")),
    }
}

/// What was given in place of the manifest that is missing.
fn given(manifests: &[AuthenticManifest]) -> String {
    let given: Vec<String> = manifests
        .iter()
        .map(|manifest| {
            let manifest = manifest.report();
            format!("{} {}", manifest.product, manifest.version)
        })
        .collect();
    if given.is_empty() {
        "no manifest".into()
    } else {
        format!("manifests of {} only", given.join(", "))
    }
}

/// Finds the device's manifests among those given, by chip and version, and compares every
/// measurement that they fix.
///
/// # Errors
/// `collateral_forged` where both manifests fix the same measurement; `measurement_mismatch`, naming
/// index and component; `manifest_missing`, naming its id.
pub fn check_measurements<O: Observe>(
    claims: &Claims,
    manifests: &[AuthenticManifest],
    observer: &mut O,
) -> Result<Matched, Rejection> {
    let edition = if matches!(claims.kind, Kind::Gpu(_)) {
        "GPU"
    } else {
        "SWITCH"
    };
    let product = if edition == "GPU" {
        claims.chip.as_str()
    } else {
        "LS10"
    };
    let find = |version: &str| {
        manifests
            .iter()
            .map(AuthenticManifest::report)
            .find(|manifest| {
                manifest.edition == edition
                    && manifest.product == product
                    && manifest.version.eq_ignore_ascii_case(version)
            })
    };
    let mut golden: Vec<&Golden> = Vec::new();
    let mut missing = None;
    for (what, version, id) in [
        (
            "driver",
            claims.driver_version.as_deref(),
            driver_id(claims),
        ),
        ("VBIOS", claims.vbios_version.as_deref(), vbios_id(claims)),
    ] {
        if what == "driver" && edition == "SWITCH" {
            continue;
        }
        let version = version.unwrap_or("(not reported)");
        let found = find(version);
        let here = ensure(observer, &MISSING, found.is_some(), || {
            Compared::new(
                format!(
                    "the manifest of {product} {what} {version}, {}",
                    id.unwrap_or_default()
                ),
                if found.is_some() {
                    "a signed manifest".into()
                } else {
                    given(manifests)
                },
            )
        });
        // What is here is compared all the same: a measurement that differs is one, whatever the
        // other manifest may say.
        if let Err(rejection) = here {
            missing.get_or_insert(rejection);
        }
        golden.extend(
            found
                .map(|manifest| manifest.golden.as_slice())
                .unwrap_or_default(),
        );
    }
    golden.sort_by_key(|golden| golden.index);
    let conflict = golden.windows(2).find_map(|pair| match pair {
        [a, b] if a.index == b.index => Some(a.index),
        _ => None,
    });
    ensure(observer, &CONFLICT, conflict.is_none(), || {
        let found =
            conflict.map_or_else(|| "none".into(), |index| format!("index {index} in both"));
        Compared::new("no measurement in two manifests", found)
    })?;
    let mut result = Matched {
        matched: 0,
        skipped: Vec::new(),
        unlisted: Vec::new(),
    };
    let mut different = None;
    for fixed in &golden {
        if fixed.index == NVDEC0_INDEX && claims.nvdec0 == Some(false) {
            result.skipped.push(fixed.index);
            continue;
        }
        let place = claims
            .measurements
            .iter()
            .position(|(index, _)| *index == fixed.index);
        let found = place
            .and_then(|place| claims.measurements.get(place))
            .map(|(_, digest)| digest);
        let equal = found.is_some_and(|digest| fixed.alternatives.contains(digest));
        let compared = ensure(observer, &EQUAL, equal, || {
            let expected: Vec<String> = fixed
                .alternatives
                .iter()
                .map(|digest| hex(digest))
                .collect();
            let compared = Compared::new(
                format!(
                    "{} (index {}) to be {}",
                    fixed.name,
                    fixed.index,
                    expected.join(" or ")
                ),
                found.map_or_else(|| "no such measurement".into(), |digest| hex(digest)),
            );
            match place.and_then(|place| claims.measured_at.get(place)) {
                Some(offset) => compared.at(*offset),
                None => compared,
            }
        });
        match compared {
            Ok(()) => result.matched = result.matched.saturating_add(1),
            // All of them are shown to whoever looks on: one is rarely alone.
            Err(rejection) => {
                different.get_or_insert(rejection);
            }
        }
    }
    if let Some(rejection) = different.or(missing) {
        return Err(rejection);
    }
    result.unlisted = claims
        .measurements
        .iter()
        .filter(|(index, digest)| {
            digest.iter().any(|byte| *byte != 0) && golden.iter().all(|fixed| fixed.index != *index)
        })
        .map(|(index, _)| *index)
        .collect();
    Ok(result)
}
