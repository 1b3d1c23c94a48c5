//! OCSP requests. Source: RFC 6960, 4.1.1.
//!
//! Without a nonce: answers can then be kept and shared. The verifier's rules on their age stand in
//! for it.

use sha2::{Digest, Sha384};
use vouch_evidence::Rejection;
use vouch_evidence::x509::{Certificate, PublicKey};

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const INTEGER: u8 = 0x02;
/// `AlgorithmIdentifier` of SHA-384 with `NULL` parameters, as NVIDIA's own verifiers send it.
const SHA384: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
];

/// The request about one certificate of an issuer.
pub(crate) fn request(certificate: &[u8], issuer: &[u8]) -> Result<Vec<u8>, Rejection> {
    let certificate = Certificate::parse(certificate)?;
    let issuer = Certificate::parse(issuer).map_err(|r| r.within("issuer"))?;
    let key = match issuer.key {
        PublicKey::P384(key) => key.as_slice(),
        PublicKey::P256(key) => key.as_slice(),
        PublicKey::Rsa(key) => key.der,
    };
    let id = [
        SHA384.to_vec(),
        element(OCTET_STRING, &Sha384::digest(issuer.subject)),
        element(OCTET_STRING, &Sha384::digest(key)),
        unsigned(certificate.serial),
    ]
    .concat();
    // OCSPRequest { TBSRequest { requestList { Request { reqCert } } } }
    let nested = (0..5).fold(id, |inner, _| element(SEQUENCE, &inner));
    Ok(nested)
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let digits: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | digits.len() as u8);
        out.extend(digits);
    }
    out.extend_from_slice(value);
    out
}

fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let mut value = magnitude.to_vec();
    if value.first().is_none_or(|byte| byte & 0x80 != 0) {
        value.insert(0, 0);
    }
    element(INTEGER, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_signs_are_der() {
        assert_eq!(element(4, &[7]), [4, 1, 7]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(unsigned(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }
}
