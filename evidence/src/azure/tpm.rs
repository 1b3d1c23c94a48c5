//! The TPM's quote, and the key that made it. All integers are big-endian.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use vouch_protocol::Reason;

use super::{TpmClaims, TpmEvidence};
use crate::check::{Compared, Observe, Rule, ensure, hex};
use crate::cursor::Cursor;
use crate::rejection::Rejection;
use crate::signature;

/// Registers of a quote.
pub const PCRS: usize = 24;
/// Bytes of the longest nonce that a TPM takes.
pub const MAX_NONCE_LEN: usize = 64;

const MAGIC: u32 = 0xff54_4347;
const ATTEST_QUOTE: u16 = 0x8018;
const SHA256: u16 = 0x000b;
const ALL_PCRS: [u8; 3] = [0xff; 3];
/// The attestation key's name in the runtime data.
const KEY_ID: &str = "HCLAkPub";
/// RSA-2048.
const MODULUS_LEN: usize = 256;

const TPM: &str = "TCG TPM 2.0 Library, part 2, 10.12.8";
static SIGNATURE: Rule = Rule {
    field: "tpm.signature",
    reason: Reason::CpuTpmBindingInvalid,
    source: TPM,
};
static NONCE: Rule = Rule {
    field: "tpm.nonce",
    reason: Reason::CpuTpmBindingInvalid,
    source: TPM,
};
static DIGEST: Rule = Rule {
    field: "tpm.pcrs",
    reason: Reason::CpuTpmBindingInvalid,
    source: TPM,
};

/// A parsed quote. Nothing is verified yet.
#[derive(Clone, Copy, Debug)]
pub struct TpmQuote<'a> {
    /// The verifier's nonce (`extraData`).
    pub nonce: &'a [u8],
    /// SHA-256 over the registers.
    pub pcr_digest: &'a [u8; 32],
    /// Times the machine was reset.
    pub reset_count: u32,
}

impl<'a> TpmQuote<'a> {
    /// Reads a `TPMS_ATTEST` that quotes SHA-256 registers 0 to 23.
    ///
    /// # Errors
    /// `malformed`.
    pub fn parse(message: &'a [u8]) -> Result<Self, Rejection> {
        let mut input = Cursor::new(message);
        number(&mut input, "tpm.magic", MAGIC.to_be_bytes())?;
        number(&mut input, "tpm.type", ATTEST_QUOTE.to_be_bytes())?;
        sized(&mut input, "tpm.signer")?;
        let nonce = sized(&mut input, "tpm.nonce")?;
        input.array::<8>("tpm.clock")?;
        let reset_count = u32::from_be_bytes(*input.array("tpm.reset_count")?);
        input.array::<5>("tpm.clock")?;
        input.array::<8>("tpm.firmware")?;
        number(&mut input, "tpm.selections", 1u32.to_be_bytes())?;
        number(&mut input, "tpm.bank", SHA256.to_be_bytes())?;
        number(&mut input, "tpm.selection", [3])?;
        number(&mut input, "tpm.selection", ALL_PCRS)?;
        let at = input.offset();
        let digest = sized(&mut input, "tpm.pcr_digest")?;
        let pcr_digest = digest.try_into().map_err(|_| {
            Rejection::malformed("tpm.pcr_digest", "32 bytes", format!("{}", digest.len())).at(at)
        })?;
        let rest = input.rest().len();
        if rest != 0 {
            return Err(Rejection::malformed(
                "tpm",
                "nothing after the quote",
                format!("{rest} bytes"),
            )
            .at(input.offset()));
        }
        Ok(Self {
            nonce,
            pcr_digest,
            reset_count,
        })
    }
}

/// Verifies a quote by the attestation key that `runtime_data` names.
pub(super) fn verify<O: Observe>(
    runtime_data: &[u8],
    evidence: &TpmEvidence,
    nonce: &[u8],
    observer: &mut O,
) -> Result<TpmClaims, Rejection> {
    let key = attestation_key(runtime_data)?;
    let signed = signature::verify_rsa_pkcs1_sha256(&key, &evidence.message, &evidence.signature);
    ensure(observer, &SIGNATURE, signed, || {
        Compared::new(
            format!("RSASSA-PKCS1-v1.5 with SHA-256 by {KEY_ID} of the runtime data"),
            if signed {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
    })?;
    let quote = TpmQuote::parse(&evidence.message)?;
    ensure(observer, &NONCE, quote.nonce == nonce, || {
        Compared::new(hex(nonce), hex(quote.nonce))
    })?;
    let digest = evidence
        .pcrs
        .iter()
        .fold(Sha256::new(), |hash, pcr| hash.chain_update(pcr))
        .finalize();
    let complete = evidence.pcrs.len() == PCRS && digest.as_slice() == quote.pcr_digest;
    ensure(observer, &DIGEST, complete, || {
        Compared::new(
            format!("{PCRS} registers that hash to {}", hex(quote.pcr_digest)),
            format!("{} that hash to {}", evidence.pcrs.len(), hex(&digest)),
        )
    })?;
    Ok(TpmClaims {
        pcrs: evidence.pcrs.clone(),
        nonce: nonce.to_vec(),
        reset_count: quote.reset_count,
    })
}

#[derive(Deserialize)]
struct Runtime {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    n: String,
}

/// The TPM's attestation key as `RSAPublicKey`, DER.
fn attestation_key(runtime_data: &[u8]) -> Result<Vec<u8>, Rejection> {
    let runtime: Runtime = serde_json::from_slice(runtime_data).map_err(|error| {
        Rejection::malformed("runtime_data", "JSON with keys", format!("{error}"))
    })?;
    let mut found = runtime.keys.iter().filter(|key| key.kid == KEY_ID);
    let (Some(key), None) = (found.next(), found.next()) else {
        return Err(Rejection::malformed(
            "runtime_data.keys",
            format!("one key {KEY_ID}"),
            format!("{} keys", runtime.keys.len()),
        ));
    };
    let modulus = URL_SAFE_NO_PAD.decode(&key.n).unwrap_or_default();
    let ordinary = key.kty == "RSA"
        && key.e == "AQAB"
        && modulus.len() == MODULUS_LEN
        && modulus.first().is_some_and(|byte| byte & 0x80 != 0);
    if !ordinary {
        return Err(Rejection::malformed(
            "runtime_data.keys",
            "an RSA-2048 key with exponent 65537",
            format!("{} of {} bytes, exponent {}", key.kty, modulus.len(), key.e),
        ));
    }
    // SEQUENCE { INTEGER modulus (257 bytes with its sign), INTEGER 65537 }
    let mut der = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    der.extend_from_slice(&modulus);
    der.extend_from_slice(&[0x02, 0x03, 0x01, 0x00, 0x01]);
    Ok(der)
}

fn sized<'a>(input: &mut Cursor<'a>, field: &'static str) -> Result<&'a [u8], Rejection> {
    let at = input.offset();
    let length = usize::from(u16::from_be_bytes(*input.array(field)?));
    if length > MAX_NONCE_LEN {
        return Err(Rejection::malformed(
            field,
            format!("at most {MAX_NONCE_LEN} bytes"),
            format!("{length}"),
        )
        .at(at));
    }
    input.bytes(length, field)
}

fn number<const N: usize>(
    input: &mut Cursor<'_>,
    field: &'static str,
    expected: [u8; N],
) -> Result<(), Rejection> {
    let at = input.offset();
    let found = input.array::<N>(field)?;
    if *found == expected {
        return Ok(());
    }
    Err(Rejection::malformed(field, hex(&expected), hex(found)).at(at))
}
