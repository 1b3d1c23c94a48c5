//! OCSP responses with a delegated responder, in NVIDIA's profile: ECDSA P-384 with SHA-384, one
//! answer each, certificates named by SHA-384 or SHA-256.
//!
//! Source: RFC 6960; NVIDIA attestation SDK, OCSP checks; captures.

use std::borrow::ToOwned;
use std::format;
use std::vec::Vec;

use sha2::{Digest, Sha256, Sha384};
use vouch_protocol::Reason;

use super::Window;
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::der::{Der, DerError, tag};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::x509::{self, Certificate, ChainReasons, PublicKey, SHA384, SignatureAlgorithm};

/// Bytes of the largest response that is looked at.
pub const MAX_RESPONSE_LEN: usize = 32 * 1024;

/// 1.3.6.1.5.5.7.48.1.1
const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// 2.16.840.1.101.3.4.2.1
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 2.5.29.37
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// 1.3.6.1.5.5.7.3.9
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// `certificateHold` (RFC 5280, 5.3.1).
const HOLD: u8 = 6;

static RULES: ChainReasons = ChainReasons::new(Reason::CollateralForged);
static RESPONDER: Rule = Rule {
    field: "responder",
    reason: Reason::CollateralForged,
    source: "RFC 6960, 4.2.2.2",
};
static SIGNATURE: Rule = Rule {
    field: "signature",
    reason: Reason::CollateralForged,
    source: "RFC 6960, 3.2",
};
static STATUS: Rule = Rule {
    field: "status",
    reason: Reason::Revoked,
    source: "RFC 6960, 2.2",
};
static KNOWN: Rule = Rule {
    field: "status",
    reason: Reason::RevocationMissing,
    source: "RFC 6960, 2.2",
};

/// What the responder says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked, for good or, with reason 6, until further notice.
    Revoked {
        /// Since when.
        since: Time,
        /// Reason code of RFC 5280, 5.3.1.
        reason: Option<u8>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// What to do about a certificate that is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is revoked.
    Refuse,
    /// It counts as good. NVIDIA knows this for signers of manifests only.
    Allow,
}

/// A parsed response. Nothing is verified yet.
#[derive(Debug)]
pub struct Response<'a> {
    tbs: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
    responder: Certificate<'a>,
    hash: &'a [u8],
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    status: Status,
    window: Window,
}

impl<'a> Response<'a> {
    /// Reads one response.
    ///
    /// # Errors
    /// `malformed`; also for a responder that did not answer.
    pub fn parse(der: &'a [u8]) -> Result<Self, Rejection> {
        if der.len() > MAX_RESPONSE_LEN {
            return Err(Rejection::malformed(
                "response",
                format!("at most {MAX_RESPONSE_LEN} bytes"),
                format!("{} bytes", der.len()),
            ));
        }
        let (fields, responder) = read(der).map_err(|error| {
            let found = der.get(error.offset..).unwrap_or_default();
            Rejection::malformed(
                "response",
                error.expected,
                hex(found.get(..4).unwrap_or(found)),
            )
            .at(error.offset)
        })?;
        let responder = Certificate::parse(responder).map_err(|r| r.within("responder"))?;
        Ok(Self {
            tbs: fields.tbs,
            algorithm: fields.algorithm,
            signature: fields.signature,
            responder,
            hash: fields.hash,
            issuer_name_hash: fields.issuer_name_hash,
            issuer_key_hash: fields.issuer_key_hash,
            serial: fields.serial,
            status: fields.status,
            window: fields.window,
        })
    }

    /// From when until when the response says that it counts. Nobody has checked that yet.
    pub const fn window(&self) -> Window {
        self.window
    }

    /// Whether the response is about this certificate of this issuer.
    pub fn is_about(&self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
        let Some(key) = key_bits(issuer) else {
            return false;
        };
        self.serial == certificate.serial
            && certificate.issuer == issuer.subject
            && hashes_to(self.hash, issuer.subject, self.issuer_name_hash)
            && hashes_to(self.hash, key, self.issuer_key_hash)
    }

    /// Verifies the response, which must be about `certificate`, and gives what it says.
    ///
    /// # Errors
    /// `collateral_forged`, `collateral_expired`, `certificate_expired` (of the responder),
    /// `revoked`, `revocation_missing` where the responder does not know the certificate.
    pub fn check<O: Observe>(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        hold: Hold,
        time: Time,
        observer: &mut O,
    ) -> Result<Window, Rejection> {
        ensure(
            observer,
            &RESPONDER,
            self.is_about(certificate, issuer),
            || {
                Compared::new(
                    format!("an answer about certificate {}", hex(certificate.serial)),
                    format!("one about {}", hex(self.serial)),
                )
            },
        )?;
        observer.enter(|| "responder".to_owned());
        let responder = x509::check_validity(
            &self.responder,
            &[EXTENDED_KEY_USAGE],
            time,
            &RULES,
            observer,
        )
        .and_then(|()| x509::check_link(&self.responder, issuer.authority(), &RULES, observer));
        observer.leave();
        responder.map_err(|r| r.within("responder"))?;
        let delegated = signs_ocsp(&self.responder);
        ensure(observer, &RESPONDER, delegated, || {
            Compared::new(
                "extended key usage OCSPSigning",
                if delegated {
                    "OCSPSigning"
                } else {
                    "another usage"
                },
            )
        })?;
        let signed = x509::verify_with(
            self.algorithm,
            &self.responder.key,
            self.tbs,
            self.signature,
        );
        ensure(observer, &SIGNATURE, signed, || {
            let found = if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            };
            Compared::new(
                format!(
                    "a signature by {:?}",
                    self.responder.common_name().unwrap_or_default()
                ),
                found,
            )
        })?;
        self.window.check(time, observer)?;
        ensure(observer, &KNOWN, self.status != Status::Unknown, || {
            let found = if self.status == Status::Unknown {
                "unknown"
            } else {
                "known"
            };
            Compared::new("a certificate that its vendor knows", found)
        })?;
        let good = match self.status {
            Status::Good => true,
            Status::Revoked { reason, .. } => hold == Hold::Allow && reason == Some(HOLD),
            Status::Unknown => false,
        };
        ensure(observer, &STATUS, good, || {
            let found = match self.status {
                Status::Revoked {
                    since,
                    reason: Some(HOLD),
                } => format!("on hold since {since}"),
                Status::Revoked { since, reason } => {
                    format!("revoked since {since}, reason {}", reason.unwrap_or(0))
                }
                Status::Good | Status::Unknown => "good".into(),
            };
            Compared::new("a certificate that is not revoked", found)
        })?;
        Ok(self.window)
    }
}

/// Verifies that none of a chain's certificates is revoked, each answered by one of `responses`.
/// `chain` is issuer-ordered; the first to be asked about is at `from`, and the root is not asked
/// about. Gives when the oldest answer was made.
///
/// # Errors
/// `revocation_missing`, naming the certificate, or as [`Response::check`].
pub fn check_chain<O: Observe>(
    chain: &[&[u8]],
    from: usize,
    responses: &[Response<'_>],
    hold: Hold,
    time: Time,
    observer: &mut O,
) -> Result<Time, Rejection> {
    let mut oldest = None;
    for (index, pair) in chain.windows(2).enumerate().skip(from) {
        let [certificate, issuer] = pair else {
            continue;
        };
        let scope = || format!("revocation[{index}]");
        let (certificate, issuer) = (
            Certificate::parse(certificate)?,
            Certificate::parse(issuer)?,
        );
        let Some(response) = responses
            .iter()
            .find(|response| response.is_about(&certificate, &issuer))
        else {
            return Err(Rejection::new(
                Reason::RevocationMissing,
                scope(),
                format!(
                    "an answer about {:?}, serial {}",
                    certificate.common_name().unwrap_or_default(),
                    hex(certificate.serial)
                ),
                "none",
            ));
        };
        observer.enter(scope);
        let window = response.check(&certificate, &issuer, hold, time, observer);
        observer.leave();
        let made = window.map_err(|r| r.within(&scope()))?.this_update;
        oldest = Some(oldest.map_or(made, |oldest: Time| oldest.min(made)));
    }
    oldest.ok_or_else(|| Rejection::malformed("revocation", "a chain of certificates", "none"))
}

struct Fields<'a> {
    tbs: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
    hash: &'a [u8],
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    status: Status,
    window: Window,
}

/// The fields of a response, and the encoding of its responder's certificate.
fn read(der: &[u8]) -> Result<(Fields<'_>, &[u8]), DerError> {
    let mut input = Der::new(der);
    let mut response = input.enter(tag::SEQUENCE, "an OCSP response")?;
    input.end("nothing after the response")?;
    let error = response.error("status successful");
    if response.expect(tag::ENUMERATED, "a response status")?.value != [0] {
        return Err(error);
    }
    let mut explicit = response.enter(tag::context(0), "response bytes")?;
    response.end("nothing after the response bytes")?;
    let mut bytes = explicit.enter(tag::SEQUENCE, "response bytes")?;
    explicit.end("nothing after the response bytes")?;
    let error = bytes.error("a basic response");
    if bytes.oid("a basic response")? != BASIC_RESPONSE {
        return Err(error);
    }
    let mut octets = bytes.enter(tag::OCTET_STRING, "a basic response")?;
    bytes.end("nothing after the basic response")?;
    let mut basic = octets.enter(tag::SEQUENCE, "a basic response")?;
    octets.end("nothing after the basic response")?;
    let tbs = basic.expect(tag::SEQUENCE, "response data")?;
    let algorithm =
        x509::signature_algorithm(&basic.expect(tag::SEQUENCE, "a signature algorithm")?)?;
    let signature = basic.bit_string("a signature")?;
    let mut explicit = basic.enter(tag::context(0), "the responder's certificate")?;
    basic.end("nothing after the certificates")?;
    let mut certificates = explicit.enter(tag::SEQUENCE, "the responder's certificate")?;
    let responder = certificates
        .expect(tag::SEQUENCE, "the responder's certificate")?
        .whole;

    let mut data = Der::within(&tbs);
    // Version 1 is the default and left out; the responder's name is not needed.
    data.any("a responder's name")?;
    let mut moment = data;
    x509::parse_time(&mut moment)?;
    let mut data = moment;
    let mut list = data.enter(tag::SEQUENCE, "one answer")?;
    data.optional(tag::context(1), "extensions")?;
    data.end("nothing after the extensions")?;
    let mut single = list.enter(tag::SEQUENCE, "one answer")?;
    list.end("one answer")?;

    let mut id = single.enter(tag::SEQUENCE, "a certificate id")?;
    let mut hash = id.enter(tag::SEQUENCE, "a hash algorithm")?;
    let oid = hash.oid("a hash algorithm")?;
    hash.optional(tag::NULL, "no parameters")?;
    hash.end("no parameters")?;
    let issuer_name_hash = id
        .expect(tag::OCTET_STRING, "a hash of the issuer's name")?
        .value;
    let issuer_key_hash = id
        .expect(tag::OCTET_STRING, "a hash of the issuer's key")?
        .value;
    let serial = id.unsigned("a serial number")?;
    id.end("nothing after the serial number")?;
    let status = status(&mut single)?;
    let this_update = x509::parse_time(&mut single)?;
    let mut explicit = single.enter(tag::context(0), "nextUpdate")?;
    let next_update = x509::parse_time(&mut explicit)?;
    explicit.end("nothing after nextUpdate")?;
    single.optional(tag::context(1), "extensions")?;
    single.end("nothing after the extensions")?;
    let window = Window {
        this_update,
        next_update,
    };
    let fields = Fields {
        tbs: tbs.whole,
        algorithm,
        signature,
        hash: oid,
        issuer_name_hash,
        issuer_key_hash,
        serial,
        status,
        window,
    };
    Ok((fields, responder))
}

fn status(single: &mut Der<'_>) -> Result<Status, DerError> {
    let error = single.error("good, revoked or unknown");
    let element = single.any("a status")?;
    if element.tag == tag::implicit(0) && element.value.is_empty() {
        return Ok(Status::Good);
    }
    if element.tag == tag::implicit(2) && element.value.is_empty() {
        return Ok(Status::Unknown);
    }
    if element.tag != tag::context(1) {
        return Err(error);
    }
    let mut fields = Der::within(&element);
    let since = x509::parse_time(&mut fields)?;
    let reason = match fields.optional(tag::context(0), "a reason")? {
        None => None,
        Some(explicit) => match Der::within(&explicit)
            .expect(tag::ENUMERATED, "a reason")?
            .value
        {
            [reason] => Some(*reason),
            _ => return Err(error),
        },
    };
    fields.end("nothing after the reason")?;
    Ok(Status::Revoked { since, reason })
}

fn signs_ocsp(responder: &Certificate<'_>) -> bool {
    let usages = || -> Result<bool, DerError> {
        let mut value = Der::new(responder.extension(EXTENDED_KEY_USAGE).unwrap_or_default());
        let mut list = value.enter(tag::SEQUENCE, "usages")?;
        let mut found = false;
        while !list.is_empty() {
            found |= list.oid("a usage")? == OCSP_SIGNING;
        }
        Ok(found)
    };
    matches!(responder.key, PublicKey::P384(_)) && usages().unwrap_or(false)
}

/// The contents of the key's bit string, which is what a key hash is over.
fn key_bits<'a>(issuer: &Certificate<'a>) -> Option<&'a [u8]> {
    match issuer.key {
        PublicKey::P384(key) => Some(key),
        PublicKey::P256(key) => Some(key),
        PublicKey::Rsa(key) => Some(key.der),
    }
}

fn hashes_to(algorithm: &[u8], bytes: &[u8], digest: &[u8]) -> bool {
    match algorithm {
        SHA384 => Sha384::digest(bytes).as_slice() == digest,
        SHA256 => Sha256::digest(bytes).as_slice() == digest,
        _ => false,
    }
}

/// Every response, parsed.
///
/// # Errors
/// `malformed`, naming the one that is none.
pub fn parse_all(responses: &[Vec<u8>]) -> Result<Vec<Response<'_>>, Rejection> {
    responses
        .iter()
        .enumerate()
        .map(|(index, der)| {
            Response::parse(der).map_err(|r| r.within(&format!("collateral.ocsp[{index}]")))
        })
        .collect()
}
