//! Certificate revocation lists: whole ones, signed by the issuer of the certificates.
//!
//! Source: RFC 5280, 5; Intel, SGX PCK Certificate and CRL Profile Specification, 1.4; AMD 57230.

use std::format;
use std::vec::Vec;

use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::der::{Der, DerError, Element, tag};
use crate::rejection::{Rejection, Text};
use crate::time::Time;
use crate::x509::{self, Certificate, SignatureAlgorithm};
use vouch_protocol::Reason;

/// Bytes of the largest list that is looked at.
pub const MAX_CRL_LEN: usize = 4 * 1024 * 1024;
/// Extensions of one list that are looked at.
const MAX_EXTENSIONS: usize = 32;

const PROFILE: &str = "RFC 5280, 6.3.3";
static ISSUER: Rule = Rule {
    field: "issuer",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static KEY_USAGE: Rule = Rule {
    field: "issuer.key_usage",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static SIGNATURE: Rule = Rule {
    field: "signature",
    reason: Reason::CollateralForged,
    source: PROFILE,
};
static VALIDITY: Rule = Rule {
    field: "next_update",
    reason: Reason::CollateralExpired,
    source: PROFILE,
};
static REVOKED: Rule = Rule {
    field: "serial",
    reason: Reason::Revoked,
    source: PROFILE,
};

/// A parsed list. Nothing is verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Crl<'a> {
    tbs: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
    issuer: &'a [u8],
    pub(crate) this_update: Time,
    pub(crate) next_update: Time,
    serials: Vec<&'a [u8]>,
}

/// The serial numbers on a list that was verified, sorted.
#[derive(Clone, Debug)]
pub(crate) struct Revoked(Vec<Vec<u8>>);

impl Revoked {
    /// The certificate is not on the list.
    pub(crate) fn check<O: Observe>(
        &self,
        serial: &[u8],
        observer: &mut O,
    ) -> Result<(), Rejection> {
        let found = self
            .0
            .binary_search_by(|entry| entry.as_slice().cmp(serial));
        ensure(observer, &REVOKED, found.is_err(), || {
            let state = if found.is_err() {
                "not revoked"
            } else {
                "revoked"
            };
            Compared::new(
                format!("none of {} revoked certificates", self.0.len()),
                format!("{} ({state})", hex(serial)),
            )
        })
    }
}

impl<'a> Crl<'a> {
    /// Reads exactly one DER list: nothing may follow.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Rejection> {
        if der.len() > MAX_CRL_LEN {
            return Err(Rejection::malformed(
                "crl",
                format!("at most {MAX_CRL_LEN} bytes"),
                format!("{} bytes", der.len()),
            ));
        }
        read(der).map_err(|error| {
            let found = der.get(error.offset..).unwrap_or_default();
            let found: Text = match found {
                [] => "the end of the input".into(),
                [..] => hex(found.get(..4).unwrap_or(found)).into(),
            };
            Rejection::malformed("crl", error.expected, found).at(error.offset)
        })
    }

    /// Encoded name of the issuer.
    pub(crate) const fn issuer(&self) -> &'a [u8] {
        self.issuer
    }

    /// `issuer` signed the list, and it is the current one at `time`.
    pub(crate) fn verify<O: Observe>(
        &self,
        issuer: &Certificate<'_>,
        time: Time,
        observer: &mut O,
    ) -> Result<Revoked, Rejection> {
        ensure(observer, &ISSUER, self.issuer == issuer.subject, || {
            Compared::new(
                format!("{:?}", issuer.common_name().unwrap_or_default()),
                format!("{:?}", x509::common_name(self.issuer).unwrap_or_default()),
            )
        })?;
        let may_sign = issuer.key_usage.is_some_and(x509::KeyUsage::crl_sign);
        ensure(observer, &KEY_USAGE, may_sign, || {
            Compared::new("cRLSign", if may_sign { "cRLSign" } else { "no cRLSign" })
        })?;
        let signed = x509::verify_with(self.algorithm, &issuer.key, self.tbs, self.signature);
        ensure(observer, &SIGNATURE, signed, || {
            Compared::new(
                format!("a signature by {}", issuer.key.name()),
                if signed {
                    "a signature that verifies"
                } else {
                    "a signature that does not verify"
                },
            )
        })?;
        let current = self.this_update <= time && time <= self.next_update;
        ensure(observer, &VALIDITY, current, || {
            Compared::new(
                format!("a list valid at {time}"),
                format!("valid from {} to {}", self.this_update, self.next_update),
            )
        })?;
        let mut serials: Vec<Vec<u8>> = self.serials.iter().map(|serial| serial.to_vec()).collect();
        serials.sort_unstable();
        Ok(Revoked(serials))
    }
}

fn read(der: &[u8]) -> Result<Crl<'_>, DerError> {
    let mut input = Der::new(der);
    let mut outer = input.enter(tag::SEQUENCE, "a CertificateList")?;
    input.end("nothing after the list")?;
    let tbs = outer.expect(tag::SEQUENCE, "a TBSCertList")?;
    let outer_algorithm = outer.expect(tag::SEQUENCE, "a signature algorithm")?;
    let signature = outer.bit_string("a signature of whole bytes")?;
    outer.end("nothing after the signature")?;

    let mut fields = Der::within(&tbs);
    let error = fields.error("version 2");
    if fields.u64("version 2")? != 1 {
        return Err(error);
    }
    let error = fields.error("the same signature algorithm inside and outside");
    let inner_algorithm = fields.expect(tag::SEQUENCE, "a signature algorithm")?;
    if inner_algorithm.whole != outer_algorithm.whole {
        return Err(error);
    }
    let algorithm = x509::signature_algorithm(&inner_algorithm)?;
    let issuer = fields.expect(tag::SEQUENCE, "an issuer")?.whole;
    let this_update = x509::parse_time(&mut fields)?;
    let next_update = x509::parse_time(&mut fields)?;
    let serials = match fields.optional(tag::SEQUENCE, "revoked certificates")? {
        Some(list) => serials(&list)?,
        None => Vec::new(),
    };
    if let Some(explicit) = fields.optional(tag::context(0), "extensions")? {
        extensions(&explicit)?;
    }
    fields.end("nothing after the extensions")?;
    Ok(Crl {
        tbs: tbs.whole,
        algorithm,
        signature,
        issuer,
        this_update,
        next_update,
        serials,
    })
}

/// Every entry revokes, whatever its reason says.
fn serials<'a>(list: &Element<'a>) -> Result<Vec<&'a [u8]>, DerError> {
    let mut list = Der::within(list);
    let mut serials = Vec::new();
    while !list.is_empty() {
        let mut entry = list.enter(tag::SEQUENCE, "a revoked certificate")?;
        serials.push(entry.unsigned("a non-negative serial number")?);
        x509::parse_time(&mut entry)?;
        if let Some(extensions) = entry.optional(tag::SEQUENCE, "extensions of an entry")? {
            no_critical(Der::within(&extensions))?;
        }
        entry.end("nothing after an entry's extensions")?;
    }
    Ok(serials)
}

fn extensions(explicit: &Element<'_>) -> Result<(), DerError> {
    let mut explicit = Der::within(explicit);
    let list = explicit.enter(tag::SEQUENCE, "extensions")?;
    explicit.end("nothing after the extensions")?;
    no_critical(list)
}

/// A critical extension limits what the list is about, or says that it is not a whole one.
fn no_critical(mut list: Der<'_>) -> Result<(), DerError> {
    let mut count = 0;
    while !list.is_empty() {
        let error = list.error("at most 32 extensions, none of them critical");
        let mut extension = list.enter(tag::SEQUENCE, "an extension")?;
        extension.oid("an extension's identifier")?;
        if extension.optional(tag::BOOLEAN, "a criticality")?.is_some() || count >= MAX_EXTENSIONS {
            return Err(error);
        }
        extension.expect(tag::OCTET_STRING, "an extension's value")?;
        extension.end("nothing after the extension's value")?;
        count = count.saturating_add(1);
    }
    Ok(())
}
