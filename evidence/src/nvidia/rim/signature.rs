//! A manifest's signature: one closed profile of XML-DSig, everything else is refused.
//!
//! The measurements come from the tree that was hashed, and the key from the certificate that was
//! chained to the root: there is no second copy of either to be confused with.
//! Source: W3C XML Signature 1.1; NVIDIA's manifests.

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha384};
use vouch_protocol::Reason;

use super::manifest::Manifest;
use super::xml::Element;
use crate::anchors::Anchors;
use crate::authentic::Authentic;
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::rejection::Rejection;
use crate::signature::{self, P384_SIGNATURE_LEN};
use crate::time::Time;
use crate::verifier::Verifier;
use crate::x509::{self, Certificate, ChainReasons, PublicKey};

/// A manifest whose signature and chain hold.
pub type AuthenticManifest = Authentic<Manifest, Signer>;

/// Certificates of a signer, root included.
const CHAIN_LEN: usize = 4;

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N11: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";

const PROFILE: &str = "XML Signature 1.1, the profile of NVIDIA's manifests";
static RULES: ChainReasons = ChainReasons::new(Reason::CollateralForged);
static LENGTH: Rule = Rule {
    field: "manifest.KeyInfo",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static ROOT: Rule = Rule {
    field: "manifest.KeyInfo.root",
    reason: Reason::CollateralForged,
    source: "pinned by SHA-256, evidence/roots/README.md",
};
static KEY: Rule = Rule {
    field: "manifest.KeyInfo.leaf",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static DIGEST: Rule = Rule {
    field: "manifest.DigestValue",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static SIGNATURE: Rule = Rule {
    field: "manifest.SignatureValue",
    reason: Reason::CollateralForged,
    source: PROFILE,
};

/// Who signed a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Common name of the leaf certificate.
    pub name: String,
    /// The chain, DER, leaf first, root last: revocation is asked of it.
    pub chain: Vec<Vec<u8>>,
    /// The first of the certificates ends to be valid then.
    pub not_after: Time,
}

/// Verifies a manifest.
///
/// # Errors
/// `malformed` for anything outside the profile, `collateral_forged`, `certificate_expired`.
pub fn verify(xml: &[u8], anchors: &Anchors, time: Time) -> Result<AuthenticManifest, Rejection> {
    verify_observed(xml, &Verifier::new(anchors, time), &mut ())
}

/// What a manifest says, without any look at who signed it.
///
/// # Errors
/// `malformed`.
pub fn read(xml: &[u8]) -> Result<Manifest, Rejection> {
    Manifest::read(&Element::parse(xml)?)
}

/// Verifies a manifest and shows every check to `observer`.
///
/// # Errors
/// As [`verify`].
pub fn verify_observed<O: Observe>(
    xml: &[u8],
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticManifest, Rejection> {
    let root = Element::parse(xml)?;
    let signature = root.only(DSIG, "Signature")?;
    if !root
        .elements()
        .last()
        .is_some_and(|last| core::ptr::eq(last, signature))
    {
        return Err(outside(
            "Signature",
            "the last element of the manifest",
            "an element after it",
        ));
    }
    let [info, value, key_info] = children(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let digest = signed_info(info)?;

    let chain = certificates(key_info)?;
    let (signer, key, simulated) = check_chain(chain, verifier, observer)?;

    let found: [u8; 48] =
        Sha384::digest(root.canonical(&super::xml::Scope::new(), Some(signature))).into();
    ensure(observer, &DIGEST, found == digest, || {
        Compared::new(hex(&digest), hex(&found))
    })?;

    // Canonical XML repeats the namespaces that stand around SignedInfo.
    let mut scope = root.declared().clone();
    scope.extend(signature.declared().clone());
    let message = info.canonical(&scope, None);
    let raw: [u8; P384_SIGNATURE_LEN] = base64(value.text()?, "SignatureValue")?
        .try_into()
        .map_err(|raw: Vec<u8>| outside("SignatureValue", "96 bytes", format!("{}", raw.len())))?;
    let signed = signature::verify_p384(&key, &message, &raw);
    ensure(observer, &SIGNATURE, signed, || {
        Compared::new(
            format!(
                "ECDSA P-384 with SHA-384 by {:?} over SignedInfo",
                signer.name
            ),
            if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
    })?;
    let manifest = Manifest::read(&root)?;
    Ok(Authentic::new(manifest, signer, simulated, verifier.time))
}

/// The digest that `SignedInfo` asks for, if its algorithms are the profile's.
fn signed_info(info: &Element) -> Result<[u8; 48], Rejection> {
    let [c14n, method, reference] = children(
        info,
        ["CanonicalizationMethod", "SignatureMethod", "Reference"],
    )?;
    algorithm(c14n, C14N11)?;
    algorithm(method, ECDSA_SHA384)?;
    if reference.attribute("", "URI") != Some("") || reference.attributes().count() != 1 {
        return Err(outside(
            "Reference",
            "URI=\"\", the whole manifest",
            format!("{:?}", reference.attribute("", "URI").unwrap_or("none")),
        ));
    }
    let [transforms, digest_method, digest_value] =
        children(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, canonical] = children(transforms, ["Transform", "Transform"])?;
    algorithm(enveloped, ENVELOPED)?;
    algorithm(canonical, C14N11)?;
    algorithm(digest_method, SHA384)?;
    base64(digest_value.text()?, "DigestValue")?
        .try_into()
        .map_err(|raw: Vec<u8>| outside("DigestValue", "48 bytes", format!("{}", raw.len())))
}

/// Exactly these child elements, in this order, and no text between them.
fn children<'a, const N: usize>(
    parent: &'a Element,
    names: [&'static str; N],
) -> Result<[&'a Element; N], Rejection> {
    let found: Vec<&Element> = parent.elements().collect();
    let as_named = found.len() == N
        && found
            .iter()
            .zip(names)
            .all(|(element, name)| element.is(DSIG, name))
        && !parent.has_stray_text();
    let found = found.try_into().ok().filter(|_| as_named);
    found.ok_or_else(|| {
        outside(
            "Signature",
            format!("{} and nothing else", names.join(", ")),
            "other contents",
        )
    })
}

fn algorithm(element: &Element, expected: &'static str) -> Result<(), Rejection> {
    let found = element.attribute("", "Algorithm");
    if found == Some(expected)
        && element.attributes().count() == 1
        && element.text().is_ok_and(|text| text.trim().is_empty())
    {
        return Ok(());
    }
    Err(outside(
        "Algorithm",
        expected,
        format!("{:?}", found.unwrap_or_default()),
    ))
}

/// The certificates of `KeyInfo`, which holds nothing else.
fn certificates(key_info: &Element) -> Result<Vec<Vec<u8>>, Rejection> {
    let [data] = children(key_info, ["X509Data"])?;
    if data.has_stray_text()
        || data
            .elements()
            .any(|element| !element.is(DSIG, "X509Certificate"))
    {
        return Err(outside(
            "KeyInfo",
            "X509Certificate elements and nothing else",
            "other contents",
        ));
    }
    data.elements()
        .map(|element| base64(element.text()?, "X509Certificate"))
        .collect()
}

fn check_chain<O: Observe>(
    chain: Vec<Vec<u8>>,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<(Signer, [u8; signature::P384_KEY_LEN], bool), Rejection> {
    ensure(observer, &LENGTH, chain.len() == CHAIN_LEN, || {
        Compared::new(
            format!("{CHAIN_LEN} certificates"),
            format!("{}", chain.len()),
        )
    })?;
    let root = chain.last().map(Vec::as_slice).unwrap_or_default();
    let anchor = verifier
        .anchors
        .nvidia_rim
        .iter()
        .find(|anchor| anchor.der() == root);
    ensure(observer, &ROOT, anchor.is_some(), || {
        let found = if anchor.is_some() {
            "a trusted root".to_owned()
        } else {
            format!("SHA-256 {}", hex(&crate::digest::sha256(root)))
        };
        Compared::new("a trusted root, byte for byte", found)
    })?;
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(index, der)| {
            Certificate::parse(der).map_err(|r| r.within(&format!("manifest.KeyInfo[{index}]")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // The root is trusted for its exact bytes: its signature on itself would say nothing more.
    let issuers = certificates.iter().skip(1).map(Some).chain([None]);
    for (index, (certificate, issuer)) in certificates.iter().zip(issuers).enumerate() {
        let scope = || format!("manifest.KeyInfo[{index}]");
        observer.enter(scope);
        let checked = x509::check_validity(certificate, &[], verifier.time, &RULES, observer)
            .and_then(|()| {
                if index == 0 {
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
        checked.map_err(|r| r.within(&scope()))?;
    }
    let leaf = certificates.first();
    let key = leaf.and_then(|leaf| match leaf.key {
        PublicKey::P384(key)
            if leaf
                .key_usage
                .is_some_and(x509::KeyUsage::digital_signature) =>
        {
            Some(*key)
        }
        _ => None,
    });
    ensure(observer, &KEY, key.is_some(), || {
        Compared::new(
            "a P-384 key for digital signatures",
            if key.is_some() {
                "one"
            } else {
                "another key or usage"
            },
        )
    })?;
    let (Some(leaf), Some(key)) = (leaf, key) else {
        return Err(outside("KeyInfo", "a leaf certificate", "none"));
    };
    let signer = Signer {
        name: leaf.common_name().unwrap_or_default().to_owned(),
        not_after: certificates
            .iter()
            .map(|c| c.not_after)
            .min()
            .unwrap_or_default(),
        chain: chain.clone(),
    };
    Ok((
        signer,
        key,
        anchor.is_some_and(crate::anchors::Anchor::is_simulated),
    ))
}

fn base64(text: &str, field: &'static str) -> Result<Vec<u8>, Rejection> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(compact)
        .map_err(|error| outside(field, "base64", format!("{error}")))
}

fn outside(
    field: &'static str,
    expected: impl Into<crate::Text>,
    found: impl Into<crate::Text>,
) -> Rejection {
    Rejection::malformed(format!("manifest.{field}"), expected, found)
}
