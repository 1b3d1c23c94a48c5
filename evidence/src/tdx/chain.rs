//! The platform's certification key (PCK), its issuer and Intel's root.
//!
//! Source: Intel, SGX PCK Certificate and CRL Profile Specification.

use std::borrow::ToOwned;
use std::format;
use std::sync::Arc;
use std::vec::Vec;

use vouch_protocol::Reason;

use super::collateral::pem_chain;
use super::pck::Pck;
use crate::anchors::{Anchor, Anchors};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::digest::sha256;
use crate::rejection::{Rejection, Text};
use crate::signature::P256_KEY_LEN;
use crate::time::Time;
use crate::verifier::Verifier;
use crate::x509::{self, Certificate, ChainReasons, KeyUsage, PublicKey};

const PROFILE: &str = "Intel, SGX PCK certificate profile";
const PCK_NAME: &str = "Intel SGX PCK Certificate";
const ISSUER_NAMES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

static RULES: ChainReasons = ChainReasons::new(Reason::CpuChainInvalid);
static LENGTH: Rule = Rule {
    field: "pck_chain",
    reason: Reason::CpuChainInvalid,
    source: PROFILE,
};
static ROOT: Rule = Rule {
    field: "pck_chain.root",
    reason: Reason::CpuRootUntrusted,
    source: "pinned by SHA-256, evidence/roots/README.md",
};
static NAME: Rule = Rule {
    field: "pck_chain.subject",
    reason: Reason::CpuChainInvalid,
    source: PROFILE,
};
static KEY: Rule = Rule {
    field: "pck_chain.pck.key",
    reason: Reason::CpuChainInvalid,
    source: PROFILE,
};
static USAGE: Rule = Rule {
    field: "pck_chain.pck.key_usage",
    reason: Reason::CpuChainInvalid,
    source: PROFILE,
};

/// A PCK whose chain was verified: what is worth caching. Revocation is looked up each time.
#[derive(Debug)]
pub(crate) struct VerifiedPck {
    pub(crate) pck: Pck,
    pub(crate) key: [u8; P256_KEY_LEN],
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer_serial: Vec<u8>,
    /// Encoded name and key of the issuer.
    pub(crate) issuer: Vec<u8>,
    pub(crate) issuer_spki: Vec<u8>,
    pub(crate) root: Vec<u8>,
    pub(crate) simulated: bool,
    not_before: Time,
    not_after: Time,
}

/// The chain as the quote or the collateral brings it.
pub(crate) enum Source<'a> {
    Pem(&'a [u8]),
    Der(&'a [Vec<u8>]),
}

/// Verifies a PCK chain up to a trusted root.
pub(crate) fn verify<O: Observe>(
    source: &Source<'_>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Arc<VerifiedPck>, Rejection> {
    let cached_as: Vec<&[u8]> = match source {
        Source::Pem(pem) => [*pem].into(),
        Source::Der(chain) => chain.iter().map(Vec::as_slice).collect(),
    };
    let cached = verifier
        .cache
        .and_then(|cache| cache.intel().get(&cached_as));
    if let Some(pck) = cached {
        let valid = pck.not_before <= verifier.time && verifier.time <= pck.not_after;
        ensure(observer, &RULES.validity, valid, || {
            Compared::new(
                format!("certificates valid at {}", verifier.time),
                format!(
                    "valid from {} to {} (verified before)",
                    pck.not_before, pck.not_after
                ),
            )
        })
        .map_err(|r| r.within("pck_chain"))?;
        return Ok(pck);
    }
    let pck = Arc::new(match source {
        Source::Pem(pem) => verify_chain(&pem_chain(pem)?, verifier, observer),
        Source::Der(chain) => verify_chain(chain, verifier, observer),
    }?);
    if let Some(cache) = verifier.cache {
        cache.intel().put(&cached_as, &pck);
    }
    Ok(pck)
}

fn verify_chain<O: Observe>(
    chain: &[Vec<u8>],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<VerifiedPck, Rejection> {
    let complete = chain.len() == 3;
    ensure(observer, &LENGTH, complete, || {
        Compared::new(
            "3 certificates: PCK, its issuer, the root",
            format!("{}", chain.len()),
        )
    })?;
    let [pck_der, issuer_der, root_der] = chain else {
        return Err(Rejection::new(
            LENGTH.reason,
            LENGTH.field,
            "3 certificates",
            "other",
        ));
    };
    let anchor = anchor(root_der, verifier.anchors, &ROOT, observer)?;
    let parse = |der, name| Certificate::parse(der).map_err(|r: Rejection| r.within(name));
    let root = parse(root_der, "pck_chain.root")?;
    let issuer = parse(issuer_der, "pck_chain.issuer")?;
    let pck = parse(pck_der, "pck_chain.pck")?;
    let key = check_pck(&pck, observer)?;
    check_name(&issuer, &ISSUER_NAMES, &NAME, observer)?;
    for (name, certificate, signer, authority) in [
        ("pck_chain.root", &root, None, true),
        ("pck_chain.issuer", &issuer, Some(&root), true),
        ("pck_chain.pck", &pck, Some(&issuer), false),
    ] {
        observer.enter(|| name.to_owned());
        let checked = link(
            certificate,
            signer,
            authority,
            verifier.time,
            &RULES,
            observer,
        );
        observer.leave();
        checked.map_err(|r| r.within(name))?;
    }
    let all = [&root, &issuer, &pck];
    Ok(VerifiedPck {
        pck: Pck::read(&pck).map_err(|r| r.within("pck_chain.pck"))?,
        key,
        serial: pck.serial.to_vec(),
        issuer_serial: issuer.serial.to_vec(),
        issuer: issuer.subject.to_vec(),
        issuer_spki: issuer.spki.to_vec(),
        root: root_der.clone(),
        simulated: anchor.is_simulated(),
        not_before: all.iter().map(|c| c.not_before).max().unwrap_or_default(),
        not_after: all.iter().map(|c| c.not_after).min().unwrap_or_default(),
    })
}

/// The root among the anchors, byte for byte.
pub(crate) fn anchor<'a, O: Observe>(
    root: &[u8],
    anchors: &'a Anchors,
    rule: &'static Rule,
    observer: &mut O,
) -> Result<&'a Anchor, Rejection> {
    let found = anchors.intel.iter().find(|anchor| anchor.der() == root);
    ensure(observer, rule, found.is_some(), || {
        let found: Text = match found {
            Some(anchor) if anchor.is_simulated() => "a simulator's root".into(),
            Some(_) => "Intel's root".into(),
            None => format!("SHA-256 {}", hex(&sha256(root))).into(),
        };
        Compared::new("a trusted root, byte for byte", found)
    })?;
    found.ok_or_else(|| Rejection::new(rule.reason, rule.field, "a trusted root", "another"))
}

/// One link: validity, the signer's signature, and where the certificate issues others, its right
/// to. A root has no signer: it is trusted for its exact bytes, and its signature on itself would say
/// nothing more.
pub(crate) fn link<O: Observe>(
    certificate: &Certificate<'_>,
    signer: Option<&Certificate<'_>>,
    authority: bool,
    time: Time,
    rules: &'static ChainReasons,
    observer: &mut O,
) -> Result<(), Rejection> {
    x509::check_validity(certificate, &[], time, rules, observer)?;
    if authority {
        x509::check_authority(certificate, rules, observer)?;
    }
    match signer {
        Some(signer) => x509::check_link(certificate, signer.authority(), rules, observer),
        None => Ok(()),
    }
}

/// The certificate has one of these names.
pub(crate) fn check_name<O: Observe>(
    certificate: &Certificate<'_>,
    names: &[&str],
    rule: &'static Rule,
    observer: &mut O,
) -> Result<(), Rejection> {
    let name = certificate.common_name().unwrap_or_default();
    ensure(observer, rule, names.contains(&name), || {
        Compared::new(names.join(" or "), format!("{name:?}"))
    })
}

/// The certificate signs, and does not issue: says its key.
pub(crate) fn signing_key<O: Observe>(
    certificate: &Certificate<'_>,
    key_rule: &'static Rule,
    usage_rule: &'static Rule,
    observer: &mut O,
) -> Result<[u8; P256_KEY_LEN], Rejection> {
    let key = match &certificate.key {
        PublicKey::P256(key) => Some(**key),
        _ => None,
    };
    ensure(observer, key_rule, key.is_some(), || {
        Compared::new("a P-256 key", certificate.key.name())
    })?;
    let authority = certificate
        .basic_constraints
        .is_some_and(|constraints| constraints.authority);
    let signs = certificate
        .key_usage
        .is_some_and(KeyUsage::digital_signature);
    ensure(observer, usage_rule, signs && !authority, || {
        Compared::new(
            "digitalSignature and not CA:TRUE",
            match (signs, authority) {
                (true, false) => "both",
                (false, _) => "no digitalSignature",
                (true, true) => "CA:TRUE",
            },
        )
    })?;
    key.ok_or_else(|| Rejection::new(key_rule.reason, key_rule.field, "a P-256 key", "none"))
}

fn check_pck<O: Observe>(
    pck: &Certificate<'_>,
    observer: &mut O,
) -> Result<[u8; P256_KEY_LEN], Rejection> {
    check_name(pck, &[PCK_NAME], &NAME, observer)?;
    signing_key(pck, &KEY, &USAGE, observer)
}
