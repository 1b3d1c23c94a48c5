//! From files as people have them to the bytes that parsers take: raw, hexadecimal, base64, PEM,
//! DER, and NVIDIA's evidence JSON.

use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::rejection::Rejection;
use crate::x509::MAX_CERTIFICATE_LEN;

/// Bytes of the largest file that is decoded.
pub const MAX_INPUT_LEN: usize = 8 * 1024 * 1024;
/// Certificates of the largest bundle that is decoded.
pub const MAX_CERTIFICATES: usize = 64;
/// Entries of the largest evidence JSON that is decoded.
pub const MAX_EVIDENCE: usize = 64;

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";

/// A report or quote: raw bytes, hexadecimal, or base64. Text is recognised by its characters;
/// every binary format here has bytes that no text has.
///
/// # Errors
/// `malformed` where text is neither hexadecimal nor base64, or the input is too long.
pub fn binary(input: &[u8]) -> Result<Vec<u8>, Rejection> {
    bounded(input)?;
    let Some(text) = as_text(input) else {
        return Ok(input.to_vec());
    };
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let digits = compact.strip_prefix("0x").unwrap_or(&compact);
    if let Some(bytes) = from_hex(digits) {
        return Ok(bytes);
    }
    STANDARD
        .decode(&compact)
        .map_err(|_| Rejection::malformed("input", "raw bytes, hexadecimal or base64", shown(text)))
}

/// Certificates, as DER, in the order of the input: a PEM bundle, DER certificates one after the
/// other, or either of them in hexadecimal or base64.
///
/// # Errors
/// `malformed`, naming the certificate that is none.
pub fn certificates(input: &[u8]) -> Result<Vec<Vec<u8>>, Rejection> {
    bounded(input)?;
    if let Some(text) = as_text(input)
        && text.contains(PEM_BEGIN)
    {
        return pem(text);
    }
    let bytes = binary(input)?;
    match as_text(&bytes) {
        Some(text) if text.contains(PEM_BEGIN) => pem(text),
        _ => der(&bytes),
    }
}

/// One device's entry in NVIDIA's evidence JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaEvidence {
    /// `HOPPER`, `BLACKWELL` or `LS10`: a hint that nothing vouches for.
    pub arch: String,
    /// The raw report.
    pub report: Vec<u8>,
    /// The chain as DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The nonce that the file claims, which nothing vouches for.
    pub nonce: String,
}

#[derive(Deserialize)]
struct EvidenceEntry {
    arch: String,
    certificate: String,
    evidence: String,
    #[serde(default)]
    nonce: String,
}

/// NVIDIA's evidence JSON: an array of `arch`, `certificate`, `evidence` and `nonce`.
///
/// # Errors
/// `malformed`, naming the entry and the field.
pub fn nvidia_evidence(json: &[u8]) -> Result<Vec<NvidiaEvidence>, Rejection> {
    bounded(json)?;
    let entries: Vec<EvidenceEntry> = serde_json::from_slice(json).map_err(|error| {
        Rejection::malformed(
            "evidence",
            "an array of {arch, certificate, evidence, nonce}",
            format!("{error}"),
        )
    })?;
    if entries.is_empty() || entries.len() > MAX_EVIDENCE {
        return Err(Rejection::malformed(
            "evidence",
            format!("1 to {MAX_EVIDENCE} entries"),
            format!("{}", entries.len()),
        ));
    }
    let decode = |index: usize, entry: EvidenceEntry| {
        Ok(NvidiaEvidence {
            report: binary(entry.evidence.as_bytes())
                .map_err(|r: Rejection| r.within(&format!("[{index}].evidence")))?,
            chain: certificates(entry.certificate.as_bytes())
                .map_err(|r| r.within(&format!("[{index}].certificate")))?,
            arch: entry.arch,
            nonce: entry.nonce,
        })
    };
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| decode(index, entry))
        .collect()
}

/// Exactly `N` bytes in hexadecimal, with or without `0x`: a nonce, a digest, report data.
///
/// # Errors
/// `malformed`; a wrong length is never padded or cut.
pub fn hex_array<const N: usize>(text: &str) -> Result<[u8; N], Rejection> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    from_hex(digits)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            Rejection::malformed(
                "hex",
                format!("{} hexadecimal digits", N.saturating_mul(2)),
                shown(text),
            )
        })
}

fn pem(text: &str) -> Result<Vec<Vec<u8>>, Rejection> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(PEM_BEGIN) {
        let field = format!("certificate[{}]", found.len());
        let Some((body, after)) = after.split_once(PEM_END) else {
            return Err(Rejection::malformed(field, PEM_END, "the end of the input"));
        };
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD
            .decode(&body)
            .map_err(|error| Rejection::malformed(field, "base64", format!("{error}")))?;
        push(&mut found, der)?;
        rest = after;
    }
    Ok(found)
}

fn der(mut rest: &[u8]) -> Result<Vec<Vec<u8>>, Rejection> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut input = crate::der::Der::new(rest);
        let element = input
            .expect(crate::der::tag::SEQUENCE, "a certificate")
            .map_err(|error| {
                let start = rest.get(..4).unwrap_or(rest);
                Rejection::malformed(
                    format!("certificate[{}]", found.len()),
                    error.expected,
                    crate::check::hex(start),
                )
            })?;
        push(&mut found, element.whole.to_vec())?;
        rest = rest.get(element.whole.len()..).unwrap_or_default();
    }
    if found.is_empty() {
        return Err(Rejection::malformed(
            "certificates",
            "at least one certificate",
            "none",
        ));
    }
    Ok(found)
}

fn push(found: &mut Vec<Vec<u8>>, der: Vec<u8>) -> Result<(), Rejection> {
    if found.len() >= MAX_CERTIFICATES || der.len() > MAX_CERTIFICATE_LEN {
        return Err(Rejection::malformed(
            "certificates",
            format!(
                "at most {MAX_CERTIFICATES} certificates of at most {MAX_CERTIFICATE_LEN} bytes"
            ),
            format!("certificate {} of {} bytes", found.len(), der.len()),
        ));
    }
    found.push(der);
    Ok(())
}

fn bounded(input: &[u8]) -> Result<(), Rejection> {
    if input.is_empty() || input.len() > MAX_INPUT_LEN {
        return Err(Rejection::malformed(
            "input",
            format!("1 to {MAX_INPUT_LEN} bytes"),
            format!("{} bytes", input.len()),
        ));
    }
    Ok(())
}

/// The input as text, if every byte of it is printable ASCII or white space.
fn as_text(input: &[u8]) -> Option<&str> {
    let text = input
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    text.then(|| core::str::from_utf8(input).ok())?
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)?.wrapping_shl(4) | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(24).collect();
    format!(
        "{start:?}{}",
        if start.len() < text.len() { " …" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_come_from_every_form() {
        let raw = [0x11, 0xe0, 0x01, 0xff, 0x00];
        for text in [
            "11e001ff00",
            "0x11E001FF00",
            "11 e0 01\nff 00\n",
            "EeAB/wA=",
        ] {
            assert_eq!(binary(text.as_bytes()).unwrap(), raw, "{text}");
        }
        assert_eq!(binary(&raw).unwrap(), raw);
    }

    #[test]
    fn text_that_is_no_encoding_is_refused() {
        for text in ["", "hello, world", "11e001ff0", "EeAB/wB="] {
            assert!(binary(text.as_bytes()).is_err(), "{text}");
        }
        assert!(hex_array::<4>("0011223").is_err());
        assert!(hex_array::<4>("001122").is_err());
        assert!(hex_array::<4>("0011223344").is_err());
        assert_eq!(hex_array::<4>("0x00112233").unwrap(), [0, 0x11, 0x22, 0x33]);
    }

    #[test]
    fn broken_bundles_are_refused() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nAAAA",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----",
            "3003020100ff",
            "30820000",
        ] {
            assert!(certificates(text.as_bytes()).is_err(), "{text}");
        }
        for json in [
            "",
            "{}",
            "[]",
            "[1]",
            r#"[{"arch":"HOPPER"}]"#,
            r#"[{"arch":"","certificate":"!","evidence":"00"}]"#,
        ] {
            assert!(nvidia_evidence(json.as_bytes()).is_err(), "{json}");
        }
    }
}
