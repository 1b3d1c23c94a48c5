//! One link of a chain: is this certificate the issuer's, may the issuer issue, is it valid now?

use alloc::borrow::ToOwned;
use alloc::format;

use vouch_protocol::Reason;

use super::{Certificate, PublicKey, common_name};
use crate::check::{Compared, Observe, Rule, ensure};
use crate::rejection::{Rejection, Text};
use crate::time::Time;

/// The rules of a family's chains; they differ in the reason they give.
#[derive(Debug)]
pub(crate) struct ChainReasons {
    pub(crate) issuer: Rule,
    pub(crate) authority: Rule,
    pub(crate) key_usage: Rule,
    pub(crate) critical: Rule,
    pub(crate) signature: Rule,
    pub(crate) validity: Rule,
}

impl ChainReasons {
    /// Rules whose breach means `broken`.
    pub(crate) const fn new(broken: Reason) -> Self {
        const fn rule(field: &'static str, reason: Reason, source: &'static str) -> Rule {
            Rule {
                field,
                reason,
                source,
            }
        }
        Self {
            issuer: rule("issuer", broken, "RFC 5280, 6.1.3 (a)(4)"),
            authority: rule("basic_constraints", broken, "RFC 5280, 6.1.4 (k)"),
            key_usage: rule("key_usage", broken, "RFC 5280, 6.1.4 (n)"),
            critical: rule("extensions", broken, "RFC 5280, 4.2"),
            signature: rule("signature", broken, "RFC 5280, 6.1.3 (a)(1)"),
            validity: rule(
                "validity",
                Reason::CertificateExpired,
                "RFC 5280, 6.1.3 (a)(2)",
            ),
        }
    }
}

/// The certificate is valid at `time`, and has no critical extension that nobody here understands.
pub(crate) fn check_validity<O: Observe>(
    certificate: &Certificate<'_>,
    known_critical: &[&[u8]],
    time: Time,
    rules: &'static ChainReasons,
    observer: &mut O,
) -> Result<(), Rejection> {
    let unknown = certificate.unknown_critical(known_critical);
    ensure(observer, &rules.critical, unknown.is_none(), || {
        let found: Text = match unknown {
            None => "none".into(),
            Some(oid) => format!("object identifier {}", crate::check::hex(oid)).into(),
        };
        Compared::new("no unknown critical extension", found)
    })?;
    let valid = certificate.not_before <= time && time <= certificate.not_after;
    ensure(observer, &rules.validity, valid, || {
        Compared::new(
            format!("a certificate valid at {time}"),
            format!(
                "valid from {} to {}",
                certificate.not_before, certificate.not_after
            ),
        )
    })
}

/// The certificate may issue others.
pub(crate) fn check_authority<O: Observe>(
    certificate: &Certificate<'_>,
    rules: &'static ChainReasons,
    observer: &mut O,
) -> Result<(), Rejection> {
    let authority = certificate
        .basic_constraints
        .is_some_and(|constraints| constraints.authority);
    ensure(observer, &rules.authority, authority, || {
        Compared::new("CA:TRUE", if authority { "CA:TRUE" } else { "no CA:TRUE" })
    })?;
    let usage = certificate
        .key_usage
        .is_some_and(super::KeyUsage::cert_sign);
    ensure(observer, &rules.key_usage, usage, || {
        Compared::new(
            "keyCertSign",
            if usage {
                "keyCertSign"
            } else {
                "no keyCertSign"
            },
        )
    })
}

/// Who may have issued a certificate: all that a link needs to know of its issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority<'a> {
    /// Encoded `Name`.
    pub(crate) subject: &'a [u8],
    pub(crate) key: PublicKey<'a>,
}

/// `issuer` issued `certificate`: the names meet and the signature verifies.
pub(crate) fn check_link<O: Observe>(
    certificate: &Certificate<'_>,
    issuer: Authority<'_>,
    rules: &'static ChainReasons,
    observer: &mut O,
) -> Result<(), Rejection> {
    ensure(
        observer,
        &rules.issuer,
        certificate.issuer == issuer.subject,
        || {
            Compared::new(
                format!(
                    "the subject of the next certificate, {}",
                    shown(common_name(issuer.subject))
                ),
                shown(certificate.issuer_common_name()),
            )
        },
    )?;
    let signed = certificate.is_signed_by(&issuer.key);
    ensure(observer, &rules.signature, signed, || {
        Compared::new(
            format!(
                "a signature by {} of {}",
                issuer.key.name(),
                shown(common_name(issuer.subject))
            ),
            if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
    })
}

fn shown(name: Option<&str>) -> Text {
    match name {
        Some(name) => format!("{name:?}").into(),
        None => "no common name".to_owned().into(),
    }
}
