//! The second reader: `x509-parser` must see the same certificate.
//!
//! Two parsers that disagree about a certificate are how a chain is made to mean two things; such a
//! certificate is refused, whichever of them is right.

use alloc::format;

use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Certificate;
use crate::rejection::Rejection;
use crate::time::Time;

/// Refuses a certificate that `x509-parser` reads otherwise.
pub(super) fn agree(ours: &Certificate<'_>) -> Result<(), Rejection> {
    let differs = |field: &'static str| {
        Rejection::malformed(
            format!("certificate.{field}"),
            "a certificate that both readers read alike",
            "a difference between the two",
        )
    };
    let (rest, theirs) = X509Certificate::from_der(ours.der).map_err(|_| differs("encoding"))?;
    if !rest.is_empty() {
        return Err(differs("length"));
    }
    let time = |time: x509_parser::time::ASN1Time| {
        u64::try_from(time.timestamp()).ok().map(Time::from_unix)
    };
    let serial = theirs.raw_serial();
    let serial = match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => serial,
    };
    for (field, same) in [
        ("tbs", theirs.tbs_certificate.as_ref() == ours.tbs),
        ("serial", serial == ours.serial),
        ("issuer", theirs.issuer().as_raw() == ours.issuer),
        ("subject", theirs.subject().as_raw() == ours.subject),
        (
            "not_before",
            time(theirs.validity().not_before) == Some(ours.not_before),
        ),
        (
            "not_after",
            time(theirs.validity().not_after) == Some(ours.not_after),
        ),
        ("spki", theirs.public_key().raw == ours.spki),
        (
            "signature_algorithm",
            theirs.signature_algorithm == theirs.signature,
        ),
        (
            "signature",
            theirs.signature_value.as_ref() == ours.signature,
        ),
        (
            "extensions",
            theirs.extensions().len() == ours.extensions.len(),
        ),
    ] {
        if !same {
            return Err(differs(field));
        }
    }
    let mut constraints = None;
    let mut usage = None;
    for (theirs, ours) in theirs.extensions().iter().zip(&ours.extensions) {
        if theirs.oid.as_bytes() != ours.oid
            || theirs.critical != ours.critical
            || theirs.value != ours.value
        {
            return Err(differs("extensions"));
        }
        match theirs.parsed_extension() {
            ParsedExtension::BasicConstraints(found) => {
                constraints = Some((found.ca, found.path_len_constraint.map(u64::from)));
            }
            ParsedExtension::KeyUsage(found) => {
                usage = Some((
                    found.digital_signature(),
                    found.key_cert_sign(),
                    found.crl_sign(),
                ));
            }
            _ => {}
        }
    }
    if constraints
        != ours
            .basic_constraints
            .map(|found| (found.authority, found.path_len))
    {
        return Err(differs("basic_constraints"));
    }
    if usage
        != ours.key_usage.map(|found| {
            (
                found.digital_signature(),
                found.cert_sign(),
                found.crl_sign(),
            )
        })
    {
        return Err(differs("key_usage"));
    }
    Ok(())
}
