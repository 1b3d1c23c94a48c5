//! The versioned endorsement key (VCEK or VLEK), its signer (ASK or ASVK) and AMD's root (ARK).
//!
//! Source: AMD 57230, Versioned Chip Endorsement Key Certificate and KDS Interface.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use vouch_protocol::Reason;

use super::generation::Generation;
use crate::anchors::{AmdAnchor, Anchors};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::der::{Der, DerError, tag};
use crate::rejection::{Rejection, Text};
use crate::signature::P384_KEY_LEN;
use crate::time::Time;
use crate::verifier::Verifier;
use crate::x509::{self, Certificate, ChainReasons, PublicKey};

const KDS: &str = "AMD 57230, VCEK and VLEK certificate format";
static RULES: ChainReasons = ChainReasons::new(Reason::CpuChainInvalid);
static KEY: Rule = Rule {
    field: "vek.key",
    reason: Reason::CpuChainInvalid,
    source: KDS,
};
static NAME: Rule = Rule {
    field: "vek.subject",
    reason: Reason::CpuChainInvalid,
    source: KDS,
};
static NOT_AUTHORITY: Rule = Rule {
    field: "vek.basic_constraints",
    reason: Reason::CpuChainInvalid,
    source: KDS,
};
static ROOT: Rule = Rule {
    field: "chain.ark",
    reason: Reason::CpuRootUntrusted,
    source: "pinned by SHA-256, evidence/roots/README.md",
};
static PRODUCT: Rule = Rule {
    field: "vek.product_name",
    reason: Reason::CpuChainInvalid,
    source: KDS,
};
static SIGNER: Rule = Rule {
    field: "vek.issuer",
    reason: Reason::CpuRootUntrusted,
    source: KDS,
};

/// 1.3.6.1.4.1.3704.1
const AMD: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];
const PRODUCT_NAME: u8 = 2;
const SPL: u8 = 3;
const HARDWARE_ID: u8 = 4;
const CSP_ID: u8 = 5;

/// What kind of key signs reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endorsement {
    /// Of one chip and TCB.
    Vcek,
    /// Of one cloud provider and TCB.
    Vlek,
}

impl Endorsement {
    /// `VCEK` or `VLEK`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Vcek => "SEV-VCEK",
            Self::Vlek => "SEV-VLEK",
        }
    }
}

impl fmt::Display for Endorsement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two certificates above the endorsement key, where the caller brings its own instead of the
/// ones built in. The root must be a trusted one, byte for byte.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// ASK or ASVK, DER.
    pub signer: &'a [u8],
    /// ARK, DER.
    pub root: &'a [u8],
}

/// What a verified endorsement key's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementKey {
    /// VCEK or VLEK.
    pub kind: Endorsement,
    /// From the product name.
    pub generation: Generation,
    /// `Milan-B0`
    pub product_name: String,
    /// Security patch levels by the last arc of their extension.
    pub patch_levels: Vec<(u8, u8)>,
    /// The chip: 64 bytes, on Turin 8. VCEK only.
    pub hardware_id: Option<Vec<u8>>,
    /// The cloud provider. VLEK only.
    pub csp_id: Option<String>,
    /// The certificate above the key's, DER: ASK or ASVK.
    pub signer: Arc<[u8]>,
    /// The root's certificate, DER.
    pub root: Arc<[u8]>,
    /// Serial number of the key's certificate; AMD numbers them all zero.
    pub serial: Vec<u8>,
}

/// An endorsement key whose chain was verified: what is worth caching.
#[derive(Debug)]
pub(crate) struct VerifiedKey {
    pub(crate) identity: EndorsementKey,
    pub(crate) key: [u8; P384_KEY_LEN],
    pub(crate) simulated: bool,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for the cache"))]
    not_before: Time,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "for the cache"))]
    not_after: Time,
}

/// Verifies an endorsement key's certificate, up to a trusted root.
pub(crate) fn verify<O: Observe>(
    vek: &[u8],
    chain: Option<&Chain<'_>>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Arc<VerifiedKey>, Rejection> {
    #[cfg(feature = "std")]
    let cached_as: &[&[u8]] = match chain {
        Some(chain) => &[vek, chain.signer, chain.root],
        None => &[vek],
    };
    #[cfg(feature = "std")]
    if let Some(key) = verifier.cache.and_then(|cache| cache.amd().get(cached_as)) {
        let valid = key.not_before <= verifier.time && verifier.time <= key.not_after;
        ensure(observer, &RULES.validity, valid, || {
            Compared::new(
                format!("certificates valid at {}", verifier.time),
                format!(
                    "valid from {} to {} (verified before)",
                    key.not_before, key.not_after
                ),
            )
        })
        .map_err(|r| r.within("vek"))?;
        return Ok(key);
    }
    let key = Arc::new(verify_key(vek, chain, verifier, observer)?);
    #[cfg(feature = "std")]
    if let Some(cache) = verifier.cache {
        cache.amd().put(cached_as, &key);
    }
    Ok(key)
}

fn verify_key<O: Observe>(
    vek_der: &[u8],
    chain: Option<&Chain<'_>>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<VerifiedKey, Rejection> {
    let vek = Certificate::parse(vek_der).map_err(|r| r.within("vek"))?;
    let (key, mut identity) = read_vek(&vek, observer)?;
    let anchor = anchor(&vek, &identity, chain, verifier.anchors, observer)?;
    let root = Certificate::parse(anchor.root.der()).map_err(|r| r.within("chain.ark"))?;
    let signer_der = chain.map_or(&*anchor.signer, |chain| chain.signer);
    let signer = Certificate::parse(signer_der).map_err(|r| r.within("chain.ask"))?;
    // The root is trusted for its exact bytes: its signature on itself would say nothing more.
    for (name, certificate, issuer) in [
        ("chain.ark", &root, None),
        ("chain.ask", &signer, Some(&root)),
        ("vek", &vek, Some(&signer)),
    ] {
        observer.enter(|| name.to_owned());
        let checked = x509::check_validity(certificate, &[], verifier.time, &RULES, observer)
            .and_then(|()| {
                if name == "vek" {
                    Ok(())
                } else {
                    x509::check_authority(certificate, &RULES, observer)
                }
            })
            .and_then(|()| match issuer {
                Some(issuer) => x509::check_link(certificate, issuer.authority(), &RULES, observer),
                None => Ok(()),
            });
        observer.leave();
        checked.map_err(|r| r.within(name))?;
    }
    identity.signer = signer.der.into();
    identity.root = root.der.into();
    let all = [&root, &signer, &vek];
    Ok(VerifiedKey {
        identity,
        key,
        simulated: anchor.root.is_simulated(),
        not_before: all.iter().map(|c| c.not_before).max().unwrap_or_default(),
        not_after: all.iter().map(|c| c.not_after).min().unwrap_or_default(),
    })
}

/// The anchor this key must lead to. Names select it; bytes and signatures decide.
fn anchor<'a, O: Observe>(
    vek: &Certificate<'_>,
    identity: &EndorsementKey,
    chain: Option<&Chain<'_>>,
    anchors: &'a Anchors,
    observer: &mut O,
) -> Result<&'a AmdAnchor, Rejection> {
    let fits = |anchor: &&AmdAnchor| {
        anchor.endorsement == identity.kind
            && anchor
                .generation
                .is_none_or(|generation| generation == identity.generation)
    };
    let found = match chain {
        Some(chain) => {
            let trusted = anchors
                .amd
                .iter()
                .find(|anchor| anchor.root.der() == chain.root);
            ensure(observer, &ROOT, trusted.is_some(), || {
                let found: Text = match trusted {
                    Some(anchor) if anchor.root.is_simulated() => "a simulator's root".into(),
                    Some(_) => "an AMD root".into(),
                    None => format!("SHA-256 {}", hex(&crate::digest::sha256(chain.root))).into(),
                };
                Compared::new("a trusted root, byte for byte", found)
            })?;
            let root_fits = |anchor: &&AmdAnchor| anchor.root.der() == chain.root && fits(anchor);
            anchors.amd.iter().find(root_fits)
        }
        None => {
            let issued = |anchor: &&AmdAnchor| {
                fits(anchor)
                    && Certificate::parse(&anchor.signer)
                        .is_ok_and(|signer| signer.subject == vek.issuer)
            };
            anchors.amd.iter().find(issued)
        }
    };
    ensure(observer, &SIGNER, found.is_some(), || {
        Compared::new(
            format!(
                "an issuer that is trusted for a {} of {}",
                identity.kind, identity.generation
            ),
            format!("{:?}", vek.issuer_common_name().unwrap_or_default()),
        )
    })?;
    found.ok_or_else(|| Rejection::new(SIGNER.reason, SIGNER.field, "a trusted issuer", "none"))
}

/// Reads the key and AMD's extensions.
fn read_vek<O: Observe>(
    vek: &Certificate<'_>,
    observer: &mut O,
) -> Result<([u8; P384_KEY_LEN], EndorsementKey), Rejection> {
    let key = match &vek.key {
        PublicKey::P384(key) => Some(**key),
        _ => None,
    };
    ensure(observer, &KEY, key.is_some(), || {
        Compared::new("a P-384 key", vek.key.name())
    })?;
    let name = vek.common_name().unwrap_or_default();
    let kind = [Endorsement::Vcek, Endorsement::Vlek]
        .into_iter()
        .find(|kind| kind.subject() == name);
    ensure(observer, &NAME, kind.is_some(), || {
        Compared::new("SEV-VCEK or SEV-VLEK", format!("{name:?}"))
    })?;
    let authority = vek
        .basic_constraints
        .is_some_and(|constraints| constraints.authority);
    ensure(observer, &NOT_AUTHORITY, !authority, || {
        Compared::new(
            "not CA:TRUE",
            if authority { "CA:TRUE" } else { "not CA:TRUE" },
        )
    })?;
    let product_name = ia5_string(vek, PRODUCT_NAME, "vek.product_name")?.unwrap_or_default();
    let generation = Generation::from_product_name(&product_name);
    ensure(observer, &PRODUCT, generation.is_some(), || {
        Compared::new("Milan, Genoa or Turin", format!("{product_name:?}"))
    })?;
    let hardware_id = vek.extension(&oid(&[HARDWARE_ID])).map(<[u8]>::to_vec);
    let csp_id = ia5_string(vek, CSP_ID, "vek.csp_id")?;
    let (Some(key), Some(kind), Some(generation)) = (key, kind, generation) else {
        return Err(Rejection::new(
            Reason::CpuChainInvalid,
            "vek",
            "a VCEK or VLEK",
            "neither",
        ));
    };
    let identity = EndorsementKey {
        kind,
        generation,
        product_name,
        patch_levels: patch_levels(vek)?,
        hardware_id,
        csp_id,
        signer: Arc::default(),
        root: Arc::default(),
        serial: vek.serial.to_vec(),
    };
    Ok((key, identity))
}

fn patch_levels(vek: &Certificate<'_>) -> Result<Vec<(u8, u8)>, Rejection> {
    let prefix = oid(&[SPL]);
    let mut levels = Vec::new();
    for extension in &vek.extensions {
        let Some([arc]) = extension.oid.strip_prefix(prefix.as_slice()) else {
            continue;
        };
        let mut value = Der::new(extension.value);
        let level = value.u64("a security patch level").and_then(|level| {
            value.end("nothing after the level")?;
            u8::try_from(level).map_err(|_| DerError {
                offset: 0,
                expected: "a level of one byte",
            })
        });
        levels.push((
            *arc,
            level.map_err(|e| malformed("vek.patch_level", e, extension.value))?,
        ));
    }
    Ok(levels)
}

fn ia5_string(
    vek: &Certificate<'_>,
    arc: u8,
    field: &'static str,
) -> Result<Option<String>, Rejection> {
    let Some(value) = vek.extension(&oid(&[arc])) else {
        return Ok(None);
    };
    let mut der = Der::new(value);
    let text = der
        .expect(tag::IA5_STRING, "an IA5String")
        .and_then(|element| {
            der.end("nothing after the string")?;
            core::str::from_utf8(element.value).map_err(|_| DerError {
                offset: 0,
                expected: "an IA5String",
            })
        });
    text.map(|text| Some(text.to_owned()))
        .map_err(|e| malformed(field, e, value))
}

fn malformed(field: &'static str, error: DerError, value: &[u8]) -> Rejection {
    Rejection::new(
        Reason::CpuChainInvalid,
        field,
        error.expected,
        hex(value.get(..8).unwrap_or(value)),
    )
}

/// `1.3.6.1.4.1.3704.1` and further arcs below 128.
fn oid(arcs: &[u8]) -> Vec<u8> {
    [AMD, arcs].concat()
}
