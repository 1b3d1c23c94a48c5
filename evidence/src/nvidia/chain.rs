//! The chain of a device: exactly five certificates, leaf first, the pinned root last.
//!
//! `<chip> … FMC LF` (signs reports) ← `<chip> … BROM` (the chip) ← `NVIDIA <chip> Provisioner ICA n`
//! ← `NVIDIA <chip> Identity` ← root. GPUs and switches share the root and, on Hopper, the identity
//! CA, and no certificate limits its path, so length and family are checked here.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use vouch_protocol::Reason;

use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::rejection::{Rejection, Text};
use crate::signature::P384_KEY_LEN;
use crate::time::Time;
use crate::verifier::Verifier;
use crate::x509::{self, Authority, Certificate, ChainReasons, KeyUsage, PublicKey};

/// Certificates in a chain, root included.
pub const CHAIN_LEN: usize = 5;
/// The certificates of a chain, by their place.
const NAMES: [&str; CHAIN_LEN] = ["leaf", "chip", "provisioner", "identity", "root"];

const SDK: &str = "NVIDIA attestation SDK, certificate chain verification";
static RULES: ChainReasons = ChainReasons::new(Reason::GpuChainInvalid);
static LENGTH: Rule = Rule {
    field: "chain.length",
    reason: Reason::GpuChainInvalid,
    source: SDK,
};
static ROOT: Rule = Rule {
    field: "chain.root",
    reason: Reason::GpuRootUntrusted,
    source: "pinned by SHA-256, evidence/roots/README.md",
};
static KEY: Rule = Rule {
    field: "key",
    reason: Reason::GpuChainInvalid,
    source: SDK,
};
static LEAF: Rule = Rule {
    field: "chain.leaf.key_usage",
    reason: Reason::GpuChainInvalid,
    source: "RFC 5280, 4.2.1.3; captures",
};
static FAMILY: Rule = Rule {
    field: "chain.family",
    reason: Reason::GpuFamilyMismatch,
    source: "subject names of NVIDIA device chains",
};

/// A GPU architecture with attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// GH1xx.
    Hopper,
    /// GB1xx and GB2xx.
    Blackwell,
}

impl Architecture {
    /// `hopper` or `blackwell`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hopper => "hopper",
            Self::Blackwell => "blackwell",
        }
    }
}

/// What sort of device signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A GPU.
    Gpu(Architecture),
    /// An NVSwitch.
    Switch,
}

impl Kind {
    /// `gpu` or `switch`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu(_) => "gpu",
            Self::Switch => "switch",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu(architecture) => write!(f, "{} GPU", architecture.name()),
            Self::Switch => f.write_str("NVSwitch"),
        }
    }
}

/// What a verified chain says of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// GPU or switch.
    pub kind: Kind,
    /// The chip's name, `GH100`.
    pub chip: String,
    /// The subject of the chip's certificate, `GH100 A01 GSP BROM`: NVIDIA's `hwmodel`.
    pub model: String,
    /// Serial number of the leaf certificate.
    pub leaf_serial: Vec<u8>,
    /// Serial number of the chip's certificate: its low eight bytes are the device's PDI.
    pub chip_serial: Vec<u8>,
    /// Firmware identity in the leaf certificate.
    pub fwid: [u8; 48],
    /// The leaf certificate says that the device can be debugged (Blackwell; Hopper does not say).
    pub debug: Option<bool>,
}

/// An issuer of leaf certificates whose own chain was verified: what is worth caching.
#[derive(Debug)]
pub(crate) struct Issuer {
    subject: Vec<u8>,
    spki: Vec<u8>,
    key: [u8; P384_KEY_LEN],
    serial: Vec<u8>,
    model: String,
    family: Family,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for the cache"))]
    not_before: Time,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for the cache"))]
    not_after: Time,
    simulated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Family {
    kind: Kind,
    chip: String,
    /// `GH100 A01 GSP`: what the leaf's and the chip's names have in common.
    engine: String,
}

/// A chain that leads to a trusted root.
pub(crate) struct Verified {
    pub(crate) identity: DeviceIdentity,
    /// The key that signs reports.
    pub(crate) key: [u8; P384_KEY_LEN],
    pub(crate) simulated: bool,
}

/// Verifies a chain, leaf first.
pub(crate) fn verify<O: Observe>(
    chain: &[&[u8]],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Verified, Rejection> {
    ensure(observer, &LENGTH, chain.len() == CHAIN_LEN, || {
        Compared::new(
            format!("{CHAIN_LEN} certificates"),
            format!("{}", chain.len()),
        )
    })?;
    let [leaf_der, issuers @ ..] = chain else {
        return Err(missing());
    };
    let issuer = issuer(issuers, verifier, observer)?;
    let leaf = Certificate::parse(leaf_der).map_err(|r| r.within("chain.leaf"))?;
    observer.enter(|| "chain.leaf".to_owned());
    let checked = check_leaf(&leaf, &issuer, verifier.time, observer);
    observer.leave();
    let key = checked.map_err(|r| {
        if r.field.starts_with("chain") {
            r
        } else {
            r.within("chain.leaf")
        }
    })?;
    check_family(&leaf, &issuer.family, observer)?;
    let firmware = super::firmware::identity(&leaf, issuer.family.kind, &issuer.spki, observer)?;
    let identity = DeviceIdentity {
        kind: issuer.family.kind,
        chip: issuer.family.chip.clone(),
        model: issuer.model.clone(),
        leaf_serial: leaf.serial.to_vec(),
        chip_serial: issuer.serial.clone(),
        fwid: firmware.fwid,
        debug: firmware.debug,
    };
    Ok(Verified {
        identity,
        key,
        simulated: issuer.simulated,
    })
}

fn check_leaf<O: Observe>(
    leaf: &Certificate<'_>,
    issuer: &Issuer,
    time: Time,
    observer: &mut O,
) -> Result<[u8; P384_KEY_LEN], Rejection> {
    x509::check_validity(leaf, &[], time, &RULES, observer)?;
    let key = p384_key(leaf, observer)?;
    let signs_only = leaf.basic_constraints.is_none()
        && leaf
            .key_usage
            .is_some_and(|usage| usage.digital_signature() && !usage.cert_sign());
    ensure(observer, &LEAF, signs_only, || {
        let usage = leaf.key_usage;
        let found: Text = if signs_only {
            "digitalSignature, no basicConstraints".into()
        } else {
            format!(
                "basicConstraints {}, digitalSignature {}, keyCertSign {}",
                leaf.basic_constraints.is_some(),
                usage.is_some_and(KeyUsage::digital_signature),
                usage.is_some_and(KeyUsage::cert_sign)
            )
            .into()
        };
        Compared::new(
            "digitalSignature without keyCertSign, and no basicConstraints",
            found,
        )
    })?;
    let authority = Authority {
        subject: &issuer.subject,
        key: PublicKey::P384(&issuer.key),
    };
    x509::check_link(leaf, authority, &RULES, observer)?;
    Ok(key)
}

/// The issuer of leaf certificates: chip, provisioner, identity CA and root, all verified.
fn issuer<O: Observe>(
    chain: &[&[u8]],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Arc<Issuer>, Rejection> {
    #[cfg(feature = "std")]
    if let Some(issuer) = verifier.cache.and_then(|cache| cache.nvidia().get(chain)) {
        let valid = issuer.not_before <= verifier.time && verifier.time <= issuer.not_after;
        ensure(observer, &RULES.validity, valid, || {
            Compared::new(
                format!("issuers valid at {}", verifier.time),
                format!(
                    "valid from {} to {} (verified before)",
                    issuer.not_before, issuer.not_after
                ),
            )
        })
        .map_err(|r| r.within("chain"))?;
        return Ok(issuer);
    }
    let issuer = Arc::new(verify_issuer(chain, verifier, observer)?);
    #[cfg(feature = "std")]
    if let Some(cache) = verifier.cache {
        cache.nvidia().put(chain, &issuer);
    }
    Ok(issuer)
}

fn verify_issuer<O: Observe>(
    chain: &[&[u8]],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Issuer, Rejection> {
    let root_der = chain.last().copied().unwrap_or_default();
    let anchor = verifier
        .anchors
        .nvidia_device
        .iter()
        .find(|anchor| anchor.der() == root_der);
    ensure(observer, &ROOT, anchor.is_some(), || {
        let found: Text = match anchor {
            Some(anchor) if anchor.is_simulated() => "a simulator's root".into(),
            Some(_) => "NVIDIA Device Identity CA".into(),
            None => format!("SHA-256 {}", hex(&crate::digest::sha256(root_der))).into(),
        };
        Compared::new("a trusted root, byte for byte", found)
    })?;
    let mut certificates = Vec::with_capacity(chain.len());
    for (name, der) in NAMES.iter().skip(1).zip(chain) {
        let certificate =
            Certificate::parse(der).map_err(|r| r.within(&format!("chain.{name}")))?;
        certificates.push((*name, certificate));
    }
    for (name, certificate) in &certificates {
        observer.enter(|| format!("chain.{name}"));
        let checked = x509::check_validity(certificate, &[], verifier.time, &RULES, observer)
            .and_then(|()| x509::check_authority(certificate, &RULES, observer))
            .and_then(|()| p384_key(certificate, observer).map(|_| ()));
        observer.leave();
        checked.map_err(|r| r.within(&format!("chain.{name}")))?;
    }
    // The root is trusted for its exact bytes: its signature on itself would say nothing more.
    let issuers = certificates.iter().skip(1).map(|(_, issuer)| issuer);
    for ((name, certificate), issuer) in certificates.iter().zip(issuers) {
        observer.enter(|| format!("chain.{name}"));
        let checked = x509::check_link(certificate, issuer.authority(), &RULES, observer);
        observer.leave();
        checked.map_err(|r| r.within(&format!("chain.{name}")))?;
    }
    let [(_, chip), (_, provisioner), (_, identity), ..] = certificates.as_slice() else {
        return Err(missing());
    };
    let PublicKey::P384(key) = chip.key else {
        return Err(missing());
    };
    Ok(Issuer {
        subject: chip.subject.to_vec(),
        spki: chip.spki.to_vec(),
        key: *key,
        serial: chip.serial.to_vec(),
        model: chip.common_name().unwrap_or_default().to_owned(),
        family: family(chip, provisioner, identity, observer)?,
        not_before: certificates
            .iter()
            .map(|(_, c)| c.not_before)
            .max()
            .unwrap_or_default(),
        not_after: certificates
            .iter()
            .map(|(_, c)| c.not_after)
            .min()
            .unwrap_or_default(),
        simulated: anchor.is_some_and(crate::anchors::Anchor::is_simulated),
    })
}

/// The family that the issuers' names agree on.
fn family<O: Observe>(
    chip: &Certificate<'_>,
    provisioner: &Certificate<'_>,
    identity: &Certificate<'_>,
    observer: &mut O,
) -> Result<Family, Rejection> {
    let names = [chip, provisioner, identity].map(|c| c.common_name().unwrap_or_default());
    let [chip_name, provisioner_name, identity_name] = names;
    let mut words = chip_name.split(' ');
    let name = words.next().unwrap_or_default();
    let Some(kind) = kind_of(name) else {
        return Err(Rejection::new(
            Reason::DeviceUnsupported,
            "chain.chip.subject",
            "a GH…, GB… or LS_10 device",
            format!("{chip_name:?}"),
        ));
    };
    let engine = chip_name.strip_suffix(" BROM");
    let provisioned = provisioner_name
        .strip_prefix("NVIDIA ")
        .and_then(|rest| rest.split_once(" Provisioner ICA "));
    let identified = identity_name
        .strip_prefix("NVIDIA ")
        .and_then(|rest| rest.strip_suffix(" Identity"));
    let agree = engine.is_some_and(|engine| engine.split(' ').count() == 3)
        && provisioned.is_some_and(|(chip, _)| chip == name)
        && identified.is_some_and(|family| match kind {
            Kind::Gpu(_) => kind_of(family) == Some(kind),
            // LS_10 chains through Hopper's identity CA.
            Kind::Switch => family == "GH100" || family == name,
        });
    ensure(observer, &FAMILY, agree, || {
        Compared::new(
            format!(
                "issuers of one family: \"{name} … BROM\", \"NVIDIA {name} Provisioner ICA …\", \"NVIDIA … Identity\""
            ),
            format!("{names:?}"),
        )
    })?;
    Ok(Family {
        kind,
        chip: name.to_owned(),
        engine: engine.unwrap_or_default().to_owned(),
    })
}

/// The leaf belongs to the family of its issuers.
fn check_family<O: Observe>(
    leaf: &Certificate<'_>,
    family: &Family,
    observer: &mut O,
) -> Result<(), Rejection> {
    let name = leaf.common_name().unwrap_or_default();
    let agrees = name.strip_suffix(" FMC LF") == Some(family.engine.as_str());
    ensure(observer, &FAMILY, agrees, || {
        Compared::new(
            format!("a leaf named \"{} FMC LF\"", family.engine),
            format!("{name:?}"),
        )
    })
}

/// The kind of device a chip's name stands for: `GH100`, `GB100`, `LS_10`.
fn kind_of(chip: &str) -> Option<Kind> {
    let numbered = |rest: &str| rest.len() == 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    match chip.split_at_checked(2)? {
        ("GH", number) if numbered(number) => Some(Kind::Gpu(Architecture::Hopper)),
        ("GB", number) if numbered(number) => Some(Kind::Gpu(Architecture::Blackwell)),
        ("LS", "_10") => Some(Kind::Switch),
        _ => None,
    }
}

fn p384_key<O: Observe>(
    certificate: &Certificate<'_>,
    observer: &mut O,
) -> Result<[u8; P384_KEY_LEN], Rejection> {
    let key = match &certificate.key {
        PublicKey::P384(key) => Some(**key),
        _ => None,
    };
    ensure(observer, &KEY, key.is_some(), || {
        Compared::new("a P-384 key", certificate.key.name())
    })?;
    key.ok_or_else(missing)
}

/// What cannot happen after the length was checked is still an error, not a panic.
fn missing() -> Rejection {
    Rejection::new(
        Reason::GpuChainInvalid,
        "chain.length",
        format!("{CHAIN_LEN} certificates"),
        "fewer",
    )
}
