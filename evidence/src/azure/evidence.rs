//! A machine's evidence as attestation agents on Azure write it: JSON with the paravisor's report,
//! the TPM's quote, and the endorsement key or TDX quote.

use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{PCRS, TpmEvidence};
use crate::decode::{self, MAX_INPUT_LEN};
use crate::rejection::Rejection;

/// What an agent sent. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The paravisor's report ([`super::HclReport`]).
    pub hcl: Vec<u8>,
    /// The TPM's quote.
    pub tpm: TpmEvidence,
    /// The endorsement key's certificate, DER. SEV-SNP only, and not always.
    pub vek: Option<Vec<u8>>,
    /// The TDX quote. TDX only.
    pub quote: Option<Vec<u8>>,
}

/// Bytes, as agents of different ages write them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    List(Vec<u8>),
    Text(String),
}

#[derive(Deserialize)]
struct Wire {
    #[serde(alias = "report")]
    hcl_report: Bytes,
    #[serde(alias = "quote")]
    tpm_quote: Tpm,
    #[serde(default)]
    vcek: Option<Bytes>,
    #[serde(default)]
    td_quote: Option<Bytes>,
}

#[derive(Deserialize)]
struct Tpm {
    message: Bytes,
    signature: Bytes,
    pcrs: Vec<Bytes>,
}

impl Bytes {
    fn read(self, field: &'static str) -> Result<Vec<u8>, Rejection> {
        let text = match self {
            Self::List(bytes) => return Ok(bytes),
            Self::Text(text) => text,
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digits && text.len().is_multiple_of(2) {
            return decode::binary(text.as_bytes()).map_err(|r| r.within(field));
        }
        let unpadded = text.trim_end_matches('=');
        URL_SAFE_NO_PAD
            .decode(unpadded)
            .or_else(|_| STANDARD_NO_PAD.decode(unpadded))
            .map_err(|error| {
                let expected = "a list of bytes, hexadecimal or base64";
                Rejection::malformed(field, expected, format!("{error}"))
            })
    }

    /// Text may also be PEM.
    fn certificate(self, field: &'static str) -> Result<Vec<u8>, Rejection> {
        let bytes = match self {
            Self::Text(text) if text.contains("-----BEGIN") => text.into_bytes(),
            other => other.read(field)?,
        };
        let mut list = decode::certificates(&bytes).map_err(|r| r.within(field))?;
        list.truncate(1);
        list.pop()
            .ok_or_else(|| Rejection::malformed(field, "a certificate", "none"))
    }
}

impl Evidence {
    /// Reads what an agent sent.
    ///
    /// # Errors
    /// `malformed`, naming the member.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > MAX_INPUT_LEN {
            return Err(Rejection::malformed(
                "evidence",
                format!("at most {MAX_INPUT_LEN} bytes"),
                format!("{} bytes", json.len()),
            ));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|error| {
            Rejection::malformed(
                "evidence",
                "an object of hcl_report, tpm_quote, and vcek or td_quote",
                format!("{error}"),
            )
        })?;
        let count = wire.tpm_quote.pcrs.len();
        if count != PCRS {
            let expected = format!("{PCRS} registers");
            return Err(Rejection::malformed(
                "tpm_quote.pcrs",
                expected,
                format!("{count}"),
            ));
        }
        let register = |bytes: Bytes| {
            bytes
                .read("tpm_quote.pcrs")?
                .try_into()
                .map_err(|bytes: Vec<u8>| {
                    Rejection::malformed("tpm_quote.pcrs", "32 bytes", format!("{}", bytes.len()))
                })
        };
        Ok(Self {
            hcl: wire.hcl_report.read("hcl_report")?,
            tpm: TpmEvidence {
                message: wire.tpm_quote.message.read("tpm_quote.message")?,
                signature: wire.tpm_quote.signature.read("tpm_quote.signature")?,
                pcrs: wire
                    .tpm_quote
                    .pcrs
                    .into_iter()
                    .map(register)
                    .collect::<Result<_, _>>()?,
            },
            vek: wire
                .vcek
                .map(|bytes| bytes.certificate("vcek"))
                .transpose()?,
            quote: wire
                .td_quote
                .map(|bytes| bytes.read("td_quote"))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(pcr: &str) -> String {
        let pcrs = std::vec![pcr; PCRS].join(",");
        format!(
            r#"{{"hcl_report":[1,2],"tpm_quote":{{"message":"0aff","signature":"_-8","pcrs":[{pcrs}]}}}}"#
        )
    }

    #[test]
    fn bytes_are_read_in_every_form() {
        let register = format!("\"{}\"", "00".repeat(32));
        let evidence = Evidence::from_json(json(&register).as_bytes()).unwrap();
        assert_eq!(evidence.hcl, [1, 2]);
        assert_eq!(evidence.tpm.message, [10, 255]);
        assert_eq!(evidence.tpm.signature, [255, 239]);
        assert!(evidence.vek.is_none() && evidence.quote.is_none());
    }

    #[test]
    fn what_is_not_evidence_is_refused() {
        let whole = json(&format!("\"{}\"", "00".repeat(32)));
        for (from, to) in [
            ("[1,2]", "[1,256]"),
            ("[1,2]", "7"),
            ("\"0aff\"", "\"!\""),
            ("hcl_report", "hcl"),
            ("\"message\"", "\"text\""),
        ] {
            assert!(
                Evidence::from_json(whole.replace(from, to).as_bytes()).is_err(),
                "{to}"
            );
        }
        for text in ["", "[]", "{}", &json("[1]"), &json("7")] {
            assert!(Evidence::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }
}
