//! Collateral as it comes from Intel's provisioning certification service (PCS), unverified.
//!
//! The JSON layout is that of `dcap-qvl`'s files: `tcb_info` and `qe_identity` are the signed text,
//! lists and signatures are hexadecimal, chains are PEM. Base64 and PEM are read everywhere.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::check::hex;
use crate::decode::{self, MAX_INPUT_LEN};
use crate::rejection::Rejection;

const CRL_BEGIN: &str = "-----BEGIN X509 CRL-----";
const CRL_END: &str = "-----END X509 CRL-----";

/// A JSON object that Intel signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The object, byte for byte as it was signed.
    pub text: String,
    /// `r || s`, big-endian.
    pub signature: [u8; 64],
    /// The signer's certificate and the root, DER.
    pub chain: Vec<Vec<u8>>,
}

impl Signed {
    /// Reads an answer of the service: an object with `member` (`tcbInfo` or `enclaveIdentity`) and
    /// its `signature`. The chain comes in a header of the answer.
    ///
    /// # Errors
    /// `malformed`.
    pub fn from_response(
        response: &[u8],
        member: &'static str,
        chain: Vec<Vec<u8>>,
    ) -> Result<Self, Rejection> {
        bounded(response)?;
        let members: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(response)
                .map_err(|error| Rejection::malformed(member, "an object", format!("{error}")))?;
        let (Some(text), Some(signature)) = (members.get(member), members.get("signature")) else {
            return Err(Rejection::malformed(
                member,
                format!("members {member} and signature"),
                format!("{:?}", members.keys().take(4).collect::<Vec<_>>()),
            ));
        };
        Ok(Self {
            text: text.get().to_owned(),
            signature: signature_of(signature.get().trim_matches('"'))
                .map_err(|r| r.within(member))?,
            chain,
        })
    }
}

/// What Intel says of platforms, or as much of it as is at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collateral {
    /// Revocation list of the root, DER.
    pub root_crl: Option<Vec<u8>>,
    /// Revocation list of the PCK's issuer, DER.
    pub pck_crl: Option<Vec<u8>>,
    /// That issuer's certificate and the root, DER.
    pub pck_crl_chain: Vec<Vec<u8>>,
    /// Levels of the platform and the TDX module.
    pub tcb_info: Option<Signed>,
    /// Identity and levels of the quoting enclave.
    pub qe_identity: Option<Signed>,
    /// PCK certificate, issuer and root, DER, for quotes that do not carry them.
    pub pck_chain: Vec<Vec<u8>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Wire {
    pck_crl_issuer_chain: Option<String>,
    root_ca_crl: Option<String>,
    pck_crl: Option<String>,
    tcb_info_issuer_chain: Option<String>,
    tcb_info: Option<Box<RawValue>>,
    tcb_info_signature: Option<String>,
    qe_identity_issuer_chain: Option<String>,
    qe_identity: Option<Box<RawValue>>,
    qe_identity_signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pck_certificate_chain: Option<String>,
}

impl Collateral {
    /// Reads the JSON layout. What is left out is missing, which verification says.
    ///
    /// # Errors
    /// `malformed`, naming the field.
    pub fn from_json(json: &[u8]) -> Result<Self, Rejection> {
        bounded(json)?;
        // A list would be read as the members in order.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(Rejection::malformed(
                "collateral",
                "an object of collateral",
                hex(json.get(..8).unwrap_or(json)),
            ));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|error| {
            Rejection::malformed("collateral", "an object of collateral", format!("{error}"))
        })?;
        Ok(Self {
            root_crl: crl(wire.root_ca_crl, "root_ca_crl")?,
            pck_crl: crl(wire.pck_crl, "pck_crl")?,
            pck_crl_chain: chain(wire.pck_crl_issuer_chain, "pck_crl_issuer_chain")?,
            tcb_info: signed(
                wire.tcb_info,
                wire.tcb_info_signature,
                chain(wire.tcb_info_issuer_chain, "tcb_info_issuer_chain")?,
                "tcb_info",
            )?,
            qe_identity: signed(
                wire.qe_identity,
                wire.qe_identity_signature,
                chain(wire.qe_identity_issuer_chain, "qe_identity_issuer_chain")?,
                "qe_identity",
            )?,
            pck_chain: chain(wire.pck_certificate_chain, "pck_certificate_chain")?,
        })
    }

    /// The JSON layout.
    pub fn to_json(&self) -> String {
        let hexadecimal = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| hex(bytes));
        let chain = |chain: &[Vec<u8>]| (!chain.is_empty()).then(|| pem(chain));
        let text = |signed: &Option<Signed>| {
            signed
                .as_ref()
                .and_then(|signed| serde_json::value::to_raw_value(&signed.text).ok())
        };
        let signature =
            |signed: &Option<Signed>| signed.as_ref().map(|signed| hex(&signed.signature));
        let signer =
            |signed: &Option<Signed>| signed.as_ref().and_then(|signed| chain(&signed.chain));
        let wire = Wire {
            pck_crl_issuer_chain: chain(&self.pck_crl_chain),
            root_ca_crl: hexadecimal(&self.root_crl),
            pck_crl: hexadecimal(&self.pck_crl),
            tcb_info_issuer_chain: signer(&self.tcb_info),
            tcb_info: text(&self.tcb_info),
            tcb_info_signature: signature(&self.tcb_info),
            qe_identity_issuer_chain: signer(&self.qe_identity),
            qe_identity: text(&self.qe_identity),
            qe_identity_signature: signature(&self.qe_identity),
            pck_certificate_chain: chain(&self.pck_chain),
        };
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

/// The certificates of a quote's PEM chain. It may end in zeros.
pub(crate) fn pem_chain(pem: &[u8]) -> Result<Vec<Vec<u8>>, Rejection> {
    let end = pem
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last.saturating_add(1));
    let text = pem.get(..end).unwrap_or_default();
    if !text.starts_with(b"-----BEGIN CERTIFICATE-----") {
        return Err(Rejection::malformed(
            "pck_chain",
            "PEM certificates",
            hex(text.get(..8).unwrap_or(text)),
        ));
    }
    let certificates = decode::certificates(text).map_err(|r| r.within("pck_chain"))?;
    // Whatever stands between certificates is in no signature.
    let outside = core::str::from_utf8(text)
        .unwrap_or_default()
        .split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|block| block.split_once("-----END CERTIFICATE-----"))
        .map(|(_, after)| after.trim_ascii())
        .find(|after| !after.is_empty());
    match outside {
        None => Ok(certificates),
        Some(found) => Err(Rejection::malformed(
            "pck_chain",
            "nothing between PEM certificates",
            format!("{} bytes", found.len()),
        )),
    }
}

fn bounded(json: &[u8]) -> Result<(), Rejection> {
    if json.len() > MAX_INPUT_LEN {
        return Err(Rejection::malformed(
            "collateral",
            format!("at most {MAX_INPUT_LEN} bytes"),
            format!("{} bytes", json.len()),
        ));
    }
    Ok(())
}

fn chain(text: Option<String>, field: &str) -> Result<Vec<Vec<u8>>, Rejection> {
    match text {
        None => Ok(Vec::new()),
        // Chains that were taken from a quote end in zero.
        Some(text) => decode::certificates(text.trim_end_matches('\0').as_bytes())
            .map_err(|r| r.within(field)),
    }
}

fn crl(text: Option<String>, field: &str) -> Result<Option<Vec<u8>>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let body = text
        .split_once(CRL_BEGIN)
        .and_then(|(_, rest)| rest.split_once(CRL_END))
        .map_or(text.as_str(), |(body, _)| body);
    decode::binary(body.as_bytes())
        .map(Some)
        .map_err(|r| r.within(field))
}

fn signed(
    text: Option<Box<RawValue>>,
    signature: Option<String>,
    chain: Vec<Vec<u8>>,
    field: &'static str,
) -> Result<Option<Signed>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let Some(signature) = signature else {
        return Err(Rejection::malformed(field, "a signature", "none"));
    };
    let text = text.get();
    Ok(Some(Signed {
        // A string holds the signed text; an object is it.
        text: if text.starts_with('"') {
            serde_json::from_str(text).map_err(|error| {
                Rejection::malformed(field, "the signed text", format!("{error}"))
            })?
        } else {
            text.to_owned()
        },
        signature: signature_of(&signature).map_err(|r| r.within(field))?,
        chain,
    }))
}

fn signature_of(text: &str) -> Result<[u8; 64], Rejection> {
    let bytes = decode::binary(text.as_bytes()).map_err(|r| r.within("signature"))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        Rejection::malformed(
            "signature",
            "64 bytes, r and s",
            format!("{} bytes", bytes.len()),
        )
    })
}

fn pem(chain: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for der in chain {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            out.push_str(core::str::from_utf8(line).unwrap_or_default());
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}
