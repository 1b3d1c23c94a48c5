//! Certificates, as far as the simulated vendors issue them.

use crate::{der, keys::Key};

/// `never`: the end of validity of NVIDIA's device certificates (RFC 5280, 4.1.2.5).
pub(crate) const NEVER: &str = "99991231235959Z";

/// Everything of a certificate but the signature.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// `YYYYMMDDhhmmssZ`.
    pub(crate) not_before: &'static str,
    pub(crate) not_after: &'static str,
    pub(crate) public_key_info: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Certificate {
    /// The signed certificate, DER.
    pub(crate) fn sign(&self, key: &Key) -> Vec<u8> {
        let algorithm = key.algorithm();
        let version_3 = der::context(0, &der::integer(&[2]));
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let tbs = der::sequence(&[
            &version_3,
            &der::integer(&self.serial),
            &algorithm,
            &self.issuer,
            &der::sequence(&[&time(self.not_before), &time(self.not_after)]),
            &self.subject,
            &self.public_key_info,
            &der::context(3, &der::sequence(&extensions)),
        ]);
        let signature = key.sign_certificate(&tbs);
        der::sequence(&[&tbs, &algorithm, &der::bit_string(&signature)])
    }
}

/// An attribute of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attribute<'a> {
    CommonName(&'a str),
    SerialNumber(&'a str),
    Country(&'a str),
    Locality(&'a str),
    State(&'a str),
    Organization(&'a str),
    Unit(&'a str),
}

/// A distinguished name with one attribute in each set.
pub(crate) fn name(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let sets: Vec<Vec<u8>> = attributes
        .iter()
        .map(|attribute| {
            let (number, tag, text) = match *attribute {
                Attribute::CommonName(text) => (3, der::UTF8_STRING, text),
                Attribute::SerialNumber(text) => (5, der::PRINTABLE_STRING, text),
                Attribute::Country(text) => (6, der::PRINTABLE_STRING, text),
                Attribute::Locality(text) => (7, der::UTF8_STRING, text),
                Attribute::State(text) => (8, der::UTF8_STRING, text),
                Attribute::Organization(text) => (10, der::UTF8_STRING, text),
                Attribute::Unit(text) => (11, der::UTF8_STRING, text),
            };
            let text = der::value(tag, text.as_bytes());
            der::set(&[&der::sequence(&[&der::oid(&[2, 5, 4, number]), &text])])
        })
        .collect();
    der::sequence(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// An extension; `content` is what its octet string holds.
pub(crate) fn extension(oid: &[u64], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical {
        der::boolean(true)
    } else {
        Vec::new()
    };
    der::sequence(&[
        &der::oid(oid),
        &critical,
        &der::value(der::OCTET_STRING, content),
    ])
}

/// `basicConstraints` of an authority without a path length.
pub(crate) fn authority() -> Vec<u8> {
    extension(
        &[2, 5, 29, 19],
        true,
        &der::sequence(&[&der::boolean(true)]),
    )
}

/// What a certificate's key may do (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage {
    DigitalSignature,
    CertSign,
    CertAndCrlSign,
}

/// `keyUsage`.
pub(crate) fn usage(usage: Usage) -> Vec<u8> {
    let (unused, bits) = match usage {
        Usage::DigitalSignature => (7, 0x80),
        Usage::CertSign => (2, 0x04),
        Usage::CertAndCrlSign => (1, 0x06),
    };
    extension(
        &[2, 5, 29, 15],
        true,
        &der::value(der::BIT_STRING, &[unused, bits]),
    )
}

/// `subjectKeyIdentifier` and `authorityKeyIdentifier`.
pub(crate) fn identifiers(subject: &Key, issuer: &Key) -> [Vec<u8>; 2] {
    let subject = der::value(der::OCTET_STRING, &subject.identifier());
    // [0] IMPLICIT, primitive.
    let issuer = der::sequence(&[&der::value(0x80, &issuer.identifier())]);
    [
        extension(&[2, 5, 29, 14], false, &subject),
        extension(&[2, 5, 29, 35], false, &issuer),
    ]
}

/// `UTCTime` until 2049, `GeneralizedTime` after (RFC 5280, 4.1.2.5).
fn time(text: &str) -> Vec<u8> {
    if text < "2050" {
        der::value(der::UTC_TIME, &text.as_bytes()[2..])
    } else {
        der::value(der::GENERALIZED_TIME, text.as_bytes())
    }
}
