//! A certificate as it is encoded.

use alloc::format;
use alloc::vec::Vec;

use super::link::Authority;
use super::{MAX_CERTIFICATE_LEN, MAX_EXTENSIONS};
use crate::der::{Der, DerError, tag};
use crate::rejection::Rejection;
use crate::signature::{self, P256_KEY_LEN, P384_KEY_LEN, RsaKey};
use crate::time::Time;

/// What a certificate is signed with. Others are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-384, under a P-384 key.
    EcdsaSha384,
    /// ECDSA with SHA-256, under a P-256 key.
    EcdsaSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, a salt of 48 bytes.
    RsaPssSha384,
}

/// The key a certificate is about. Others are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey<'a> {
    /// An uncompressed P-384 point.
    P384(&'a [u8; P384_KEY_LEN]),
    /// An uncompressed P-256 point.
    P256(&'a [u8; P256_KEY_LEN]),
    /// An RSA key.
    Rsa(RsaKey<'a>),
}

impl PublicKey<'_> {
    /// What the key is, in a word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::P384(_) => "a P-384 key",
            Self::P256(_) => "a P-256 key",
            Self::Rsa(_) => "an RSA key",
        }
    }
}

/// The `basicConstraints` extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The subject may issue certificates.
    pub authority: bool,
    /// Most intermediate certificates below this one.
    pub path_len: Option<u64>,
}

/// The `keyUsage` extension: bit `i` of RFC 5280 is bit `15 - i` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// Signatures other than on certificates and CRLs.
    pub const fn digital_signature(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// Signatures on certificates.
    pub const fn cert_sign(self) -> bool {
        self.0 & 0x0400 != 0
    }

    /// Signatures on CRLs.
    pub const fn crl_sign(self) -> bool {
        self.0 & 0x0200 != 0
    }
}

/// One extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Contents of the object identifier.
    pub oid: &'a [u8],
    /// A reader that does not know the extension must refuse the certificate.
    pub critical: bool,
    /// Contents of `extnValue`.
    pub value: &'a [u8],
}

/// A parsed certificate. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// The whole encoding.
    pub der: &'a [u8],
    /// What the issuer signed.
    pub tbs: &'a [u8],
    /// Serial number as encoded, without a sign byte.
    pub serial: &'a [u8],
    /// Encoded `Name` of the issuer.
    pub issuer: &'a [u8],
    /// Encoded `Name` of the subject.
    pub subject: &'a [u8],
    /// First second of validity.
    pub not_before: Time,
    /// Last second of validity.
    pub not_after: Time,
    /// Encoded `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// The key in it.
    pub key: PublicKey<'a>,
    /// Every extension, in order; no two with the same identifier.
    pub extensions: Vec<Extension<'a>>,
    /// `basicConstraints`, where present.
    pub basic_constraints: Option<BasicConstraints>,
    /// `keyUsage`, where present.
    pub key_usage: Option<KeyUsage>,
    /// How the issuer signed.
    pub signature_algorithm: SignatureAlgorithm,
    /// The issuer's signature.
    pub signature: &'a [u8],
}

/// 1.2.840.10045.4.3.3
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 1.2.840.113549.1.1.10
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.2.840.113549.1.1.8
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 2.16.840.1.101.3.4.2.2
pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.132.0.34
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.2.840.10045.3.1.7
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

impl<'a> Certificate<'a> {
    /// Reads exactly one DER certificate: nothing may follow.
    ///
    /// On the host the bytes are read a second time by `x509-parser`; a certificate on which the
    /// two readers differ is refused.
    ///
    /// # Errors
    /// `malformed`, with the offset of the field that is not as it should be; also for keys and
    /// algorithms that no supported vendor uses.
    pub fn parse(der: &'a [u8]) -> Result<Self, Rejection> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(Rejection::malformed(
                "certificate",
                format!("at most {MAX_CERTIFICATE_LEN} bytes"),
                format!("{} bytes", der.len()),
            ));
        }
        let certificate = Self::read(der).map_err(|error| {
            let found = der.get(error.offset..).unwrap_or_default();
            let found = match found {
                [] => "the end of the input".into(),
                [..] => crate::check::hex(found.get(..4).unwrap_or(found)),
            };
            Rejection::malformed("certificate", error.expected, found).at(error.offset)
        })?;
        #[cfg(feature = "std")]
        super::cross_check::agree(&certificate)?;
        Ok(certificate)
    }

    /// The subject's common name, where there is exactly one.
    pub fn common_name(&self) -> Option<&'a str> {
        super::common_name(self.subject)
    }

    /// The issuer's common name, where there is exactly one.
    pub fn issuer_common_name(&self) -> Option<&'a str> {
        super::common_name(self.issuer)
    }

    /// The value of the extension with this identifier.
    pub fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid)
            .map(|extension| extension.value)
    }

    /// The certificate as an issuer of others.
    pub(crate) const fn authority(&self) -> Authority<'a> {
        Authority {
            subject: self.subject,
            key: self.key,
        }
    }

    /// Whether `key` made the signature on this certificate.
    pub fn is_signed_by(&self, key: &PublicKey<'_>) -> bool {
        verify_with(self.signature_algorithm, key, self.tbs, self.signature)
    }

    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut input = Der::new(der);
        let mut outer = input.enter(tag::SEQUENCE, "a certificate")?;
        input.end("nothing after the certificate")?;
        let tbs = outer.expect(tag::SEQUENCE, "a TBSCertificate")?;
        let outer_algorithm = outer.expect(tag::SEQUENCE, "a signature algorithm")?;
        let signature = outer.bit_string("a signature of whole bytes")?;
        outer.end("nothing after the signature")?;

        let mut fields = Der::within(&tbs);
        let mut version = fields.enter(tag::context(0), "version 3")?;
        if version.u64("version 3")? != 2 {
            return Err(version.error("version 3"));
        }
        version.end("nothing after the version")?;
        // A serial number may be negative or long elsewhere; vendors number from zero.
        let serial = fields.unsigned("a non-negative serial number")?;
        let algorithm_error = fields.error("the same signature algorithm inside and outside");
        let inner_algorithm = fields.expect(tag::SEQUENCE, "a signature algorithm")?;
        if inner_algorithm.whole != outer_algorithm.whole {
            return Err(algorithm_error);
        }
        let signature_algorithm = signature_algorithm(&inner_algorithm)?;
        let issuer = fields.expect(tag::SEQUENCE, "an issuer")?.whole;
        let mut validity = fields.enter(tag::SEQUENCE, "a validity")?;
        let not_before = parse_time(&mut validity)?;
        let not_after = parse_time(&mut validity)?;
        validity.end("nothing after notAfter")?;
        let subject = fields.expect(tag::SEQUENCE, "a subject")?.whole;
        let spki = fields.expect(tag::SEQUENCE, "a SubjectPublicKeyInfo")?;
        let key = subject_public_key(Der::within(&spki))?;
        let mut certificate = Self {
            der,
            tbs: tbs.whole,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            spki: spki.whole,
            key,
            extensions: Vec::new(),
            basic_constraints: None,
            key_usage: None,
            signature_algorithm,
            signature,
        };
        if let Some(explicit) = fields.optional(tag::context(3), "extensions")? {
            certificate.read_extensions(Der::within(&explicit))?;
        }
        fields.end("nothing after the extensions")?;
        Ok(certificate)
    }

    fn read_extensions(&mut self, mut explicit: Der<'a>) -> Result<(), DerError> {
        let mut list = explicit.enter(tag::SEQUENCE, "extensions")?;
        explicit.end("nothing after the extensions")?;
        while !list.is_empty() {
            let error = list.error("at most 32 extensions, each once");
            let mut fields = list.enter(tag::SEQUENCE, "an extension")?;
            let oid = fields.oid("an extension's identifier")?;
            let critical = match fields.optional(tag::BOOLEAN, "a criticality")? {
                None => false,
                // DER leaves a default out, so an encoded criticality is true.
                Some(element) if element.value == [0xff] => true,
                Some(_) => return Err(error),
            };
            let value = fields.expect(tag::OCTET_STRING, "an extension's value")?;
            fields.end("nothing after the extension's value")?;
            if self.extensions.len() >= MAX_EXTENSIONS || self.extension(oid).is_some() {
                return Err(error);
            }
            if oid == BASIC_CONSTRAINTS {
                self.basic_constraints = Some(basic_constraints(Der::within(&value))?);
            } else if oid == KEY_USAGE {
                self.key_usage = Some(key_usage(Der::within(&value))?);
            }
            self.extensions.push(Extension {
                oid,
                critical,
                value: value.value,
            });
        }
        Ok(())
    }

    /// The first critical extension that is neither understood here nor in `known`.
    pub(crate) fn unknown_critical(&self, known: &[&[u8]]) -> Option<&'a [u8]> {
        self.extensions
            .iter()
            .find(|extension| {
                extension.critical
                    && extension.oid != BASIC_CONSTRAINTS
                    && extension.oid != KEY_USAGE
                    && !known.contains(&extension.oid)
            })
            .map(|extension| extension.oid)
    }
}

/// Whether a signature of an algorithm over `message` verifies under `key`; never across kinds.
pub(crate) fn verify_with(
    algorithm: SignatureAlgorithm,
    key: &PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    match (algorithm, key) {
        (SignatureAlgorithm::EcdsaSha384, PublicKey::P384(key)) => {
            signature::ecdsa_from_der(signature)
                .is_ok_and(|signature| signature::verify_p384(key, message, &signature))
        }
        #[cfg(feature = "std")]
        (SignatureAlgorithm::EcdsaSha256, PublicKey::P256(key)) => {
            signature::ecdsa_from_der(signature)
                .is_ok_and(|signature| signature::verify_p256(key, message, &signature))
        }
        (SignatureAlgorithm::RsaPssSha384, PublicKey::Rsa(key)) => {
            signature::verify_rsa_pss_sha384(key, message, signature)
        }
        _ => false,
    }
}

/// The algorithm an `AlgorithmIdentifier` names, with exactly the parameters its standard asks for.
pub(crate) fn signature_algorithm(
    element: &crate::der::Element<'_>,
) -> Result<SignatureAlgorithm, DerError> {
    let mut fields = Der::within(element);
    let error = fields.error("ecdsa-with-SHA384, ecdsa-with-SHA256 or RSASSA-PSS with SHA-384");
    let oid = fields.oid("a signature algorithm")?;
    let algorithm = match oid {
        ECDSA_WITH_SHA384 => SignatureAlgorithm::EcdsaSha384,
        ECDSA_WITH_SHA256 => SignatureAlgorithm::EcdsaSha256,
        RSASSA_PSS => {
            pss_parameters(fields.enter(tag::SEQUENCE, "RSASSA-PSS parameters")?)?;
            return fields
                .end("nothing after the parameters")
                .map(|()| SignatureAlgorithm::RsaPssSha384);
        }
        _ => return Err(error),
    };
    fields.end("no parameters")?;
    Ok(algorithm)
}

/// RFC 4055, 3.1: SHA-384, MGF1 with SHA-384, salt of 48 bytes, trailer 1.
fn pss_parameters(mut fields: Der<'_>) -> Result<(), DerError> {
    let sha384 = |mut der: Der<'_>| -> Result<(), DerError> {
        let mut algorithm = der.enter(tag::SEQUENCE, "a hash algorithm")?;
        let error = algorithm.error("SHA-384");
        if algorithm.oid("SHA-384")? != SHA384 {
            return Err(error);
        }
        algorithm.optional(tag::NULL, "no parameters")?;
        algorithm.end("no parameters")?;
        der.end("nothing after the hash algorithm")
    };
    sha384(fields.enter(tag::context(0), "a hash algorithm")?)?;
    let mut mask = fields.enter(tag::context(1), "a mask generation function")?;
    let mut algorithm = mask.enter(tag::SEQUENCE, "MGF1")?;
    let error = algorithm.error("MGF1");
    if algorithm.oid("MGF1")? != MGF1 {
        return Err(error);
    }
    sha384(algorithm)?;
    mask.end("nothing after the mask generation function")?;
    let mut salt = fields.enter(tag::context(2), "a salt length of 48")?;
    if salt.u64("a salt length of 48")? != 48 {
        return Err(salt.error("a salt length of 48"));
    }
    salt.end("nothing after the salt length")?;
    if let Some(trailer) = fields.optional(tag::context(3), "trailer 1")? {
        let mut trailer = Der::within(&trailer);
        if trailer.u64("trailer 1")? != 1 {
            return Err(trailer.error("trailer 1"));
        }
        trailer.end("nothing after the trailer")?;
    }
    fields.end("nothing after the RSASSA-PSS parameters")
}

/// The key in the contents of a `SubjectPublicKeyInfo`.
pub(crate) fn subject_public_key(mut spki: Der<'_>) -> Result<PublicKey<'_>, DerError> {
    let mut algorithm = spki.enter(tag::SEQUENCE, "a key algorithm")?;
    let error = algorithm.error("a P-384, P-256 or RSA key");
    let oid = algorithm.oid("a key algorithm")?;
    let key = match oid {
        EC_PUBLIC_KEY => {
            let curve = algorithm.oid("a named curve")?;
            let point = spki.bit_string("an uncompressed point")?;
            if point.first() != Some(&4) {
                return Err(error);
            }
            match curve {
                SECP384R1 => PublicKey::P384(point.try_into().map_err(|_| error)?),
                SECP256R1 => PublicKey::P256(point.try_into().map_err(|_| error)?),
                _ => return Err(error),
            }
        }
        RSA_ENCRYPTION => {
            algorithm.expect(tag::NULL, "NULL parameters")?;
            let der = spki.bit_string("an RSA key")?;
            let mut input = Der::new(der);
            let mut key = input.enter(tag::SEQUENCE, "an RSA key")?;
            input.end("nothing after the RSA key")?;
            let modulus = key.unsigned("a modulus")?;
            let exponent = key.u64("a public exponent")?;
            key.end("nothing after the exponent")?;
            PublicKey::Rsa(RsaKey {
                der,
                modulus,
                exponent,
            })
        }
        _ => return Err(error),
    };
    algorithm.end("nothing after the key algorithm")?;
    spki.end("nothing after the key")?;
    Ok(key)
}

fn basic_constraints(mut value: Der<'_>) -> Result<BasicConstraints, DerError> {
    let mut fields = value.enter(tag::SEQUENCE, "basicConstraints")?;
    value.end("nothing after basicConstraints")?;
    let error = fields.error("cA TRUE or left out");
    let authority = match fields.optional(tag::BOOLEAN, "cA")? {
        None => false,
        Some(element) if element.value == [0xff] => true,
        Some(_) => return Err(error),
    };
    let path_len = if fields.is_empty() {
        None
    } else {
        Some(fields.u64("pathLenConstraint")?)
    };
    fields.end("nothing after pathLenConstraint")?;
    Ok(BasicConstraints {
        authority,
        path_len,
    })
}

fn key_usage(mut value: Der<'_>) -> Result<KeyUsage, DerError> {
    let error = value.error("keyUsage");
    let bits = value.expect(tag::BIT_STRING, "keyUsage")?.value;
    value.end("nothing after keyUsage")?;
    let (unused, bytes) = match bits {
        [unused, high] => (*unused, [*high, 0]),
        [unused, high, low] => (*unused, [*high, *low]),
        _ => return Err(error),
    };
    let last = if bits.len() == 2 { bytes[0] } else { bytes[1] };
    // DER would have no zero bits after the last one set (X.690, 11.2.2); AMD's ASKs have one. Unused
    // bits are zero in any case.
    if unused > 7 || u32::from(unused) > last.trailing_zeros() {
        return Err(error);
    }
    Ok(KeyUsage(u16::from_be_bytes(bytes)))
}

/// A `Time`: UTCTime through 2049, GeneralizedTime after; always UTC, to the second.
pub(crate) fn parse_time(fields: &mut Der<'_>) -> Result<Time, DerError> {
    let error = fields.error("a UTC time to the second");
    let element = fields.any("a time")?;
    let (year, rest) = match (element.tag, element.value) {
        (tag::UTC_TIME, [a, b, rest @ ..]) => {
            let short = two_digits(*a, *b).ok_or(error)?;
            let century: u16 = if short >= 50 { 1900 } else { 2000 };
            (century.saturating_add(u16::from(short)), rest)
        }
        (tag::GENERALIZED_TIME, [a, b, c, d, rest @ ..]) => {
            let (high, low) = (
                two_digits(*a, *b).ok_or(error)?,
                two_digits(*c, *d).ok_or(error)?,
            );
            (
                u16::from(high)
                    .saturating_mul(100)
                    .saturating_add(u16::from(low)),
                rest,
            )
        }
        _ => return Err(error),
    };
    let [mo, mo2, d, d2, h, h2, mi, mi2, s, s2, b'Z'] = rest else {
        return Err(error);
    };
    let field = |high: &u8, low: &u8| two_digits(*high, *low).ok_or(error);
    Time::from_utc(
        year,
        field(mo, mo2)?,
        field(d, d2)?,
        field(h, h2)?,
        field(mi, mi2)?,
        field(s, s2)?,
    )
    .ok_or(error)
}

fn two_digits(high: u8, low: u8) -> Option<u8> {
    (high.is_ascii_digit() && low.is_ascii_digit())
        .then(|| (high & 15).saturating_mul(10).saturating_add(low & 15))
}
