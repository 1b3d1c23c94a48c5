use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use vouch_evidence::azure::{self, HclReport, TpmClaims, TpmEvidence};
use vouch_evidence::{Anchors, Cache, Rejection, Verifier, decode, tdx};
use vouch_protocol::Reason;

use crate::folder::{each, read, time};

/// Bytes as the agents of different ages send them: a list of numbers, hexadecimal, or base64.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Array(list) => list
            .iter()
            .map(|n| u8::try_from(n.as_u64().unwrap()).unwrap())
            .collect(),
        Value::String(text) => {
            let unpadded = text.trim_end_matches('=');
            hex::decode(text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(unpadded))
                .or_else(|_| STANDARD_NO_PAD.decode(unpadded))
                .unwrap_or_else(|_| text.clone().into_bytes())
        }
        other => panic!("{other}"),
    }
}

pub(crate) struct Capture {
    hcl: Vec<u8>,
    tpm: TpmEvidence,
    vek: Option<Vec<u8>>,
    quote: Option<Vec<u8>>,
}

pub(crate) fn capture(file: &str) -> Capture {
    let json: Value = serde_json::from_slice(&read(file)).unwrap();
    let member = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| json.get(*name))
            .unwrap_or_else(|| panic!("{file}: {names:?}"))
    };
    let tpm = member(["tpm_quote", "quote"]);
    Capture {
        hcl: bytes(member(["hcl_report", "report"])),
        tpm: TpmEvidence {
            message: bytes(&tpm["message"]),
            signature: bytes(&tpm["signature"]),
            pcrs: tpm["pcrs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pcr| bytes(pcr).try_into().unwrap())
                .collect(),
        },
        vek: json
            .get("vcek")
            .map(|vcek| decode::certificates(&bytes(vcek)).unwrap().remove(0)),
        quote: json.get("td_quote").map(bytes),
    }
}

fn verify(capture: &Capture, nonce: &[u8]) -> Result<TpmClaims, Rejection> {
    // The chain is the same in every row of a mutation: it is verified once.
    static CACHE: OnceLock<(Anchors, Cache)> = OnceLock::new();
    let (anchors, cache) = CACHE.get_or_init(|| (Anchors::vendor(), Cache::new()));
    let verifier = Verifier::new(anchors, time("2026-03-01T00:00:00Z")).with_cache(cache);
    verify_with(capture, nonce, &verifier)
}

pub(crate) fn verify_with(
    capture: &Capture,
    nonce: &[u8],
    verifier: &Verifier<'_>,
) -> Result<TpmClaims, Rejection> {
    let hcl = HclReport::parse(&capture.hcl)?;
    let tpm = &capture.tpm;
    match (&capture.vek, &capture.quote) {
        (Some(vek), None) => azure::verify_sev_snp(&hcl, vek, None, tpm, nonce, verifier, &mut ())
            .map(|(_, tpm)| tpm),
        (None, Some(quote)) => {
            let quote = tdx::Quote::parse(quote)?;
            azure::verify_tdx(&hcl, &quote, None, tpm, nonce, verifier, &mut ()).map(|(_, tpm)| tpm)
        }
        _ => panic!("a capture has one CPU"),
    }
}

#[test]
fn machines_with_their_tpms() {
    let rows = [
        "snp/trustee/az-snp-vtpm/evidence-v0.json",
        "snp/trustee/az-snp-vtpm/evidence-v1.json",
        "tdx/trustee/az-tdx-vtpm/evidence-v0.json",
    ];
    each(
        "Azure machines",
        &rows,
        |row| row,
        |row| {
            let genuine = capture(row);
            let claims = verify(&genuine, b"challenge").unwrap_or_else(|r| panic!("{row}: {r}"));
            assert_eq!(
                (claims.pcrs.len(), claims.nonce.as_slice()),
                (24, b"challenge".as_slice())
            );

            let refused = |change: &dyn Fn(&mut Capture)| {
                let mut changed = capture(row);
                change(&mut changed);
                verify(&changed, b"challenge").unwrap_err().reason
            };
            assert_eq!(
                verify(&genuine, b"challengf").unwrap_err().reason,
                Reason::CpuTpmBindingInvalid
            );
            assert_eq!(
                verify(&genuine, b"challenge\0").unwrap_err().reason,
                Reason::CpuTpmBindingInvalid
            );
            let mut changed = capture(row);
            for bit in 0..genuine.tpm.message.len() * 8 {
                changed.tpm.message[bit / 8] ^= 1 << (bit % 8);
                let rejection = verify(&changed, b"challenge").unwrap_err();
                assert_eq!(rejection.reason, Reason::CpuTpmBindingInvalid, "{bit}");
                changed.tpm.message[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(
                refused(&|c| c.tpm.signature[7] ^= 1),
                Reason::CpuTpmBindingInvalid
            );
            assert_eq!(
                refused(&|c| c.tpm.pcrs[3][0] ^= 1),
                Reason::CpuTpmBindingInvalid
            );
            assert_eq!(
                refused(&|c| c.tpm.pcrs.swap(0, 1)),
                Reason::CpuTpmBindingInvalid
            );
            assert_eq!(
                refused(&|c| c.tpm.pcrs.truncate(23)),
                Reason::CpuTpmBindingInvalid
            );
            // The key in the runtime data, then the runtime data's length, then its magic number.
            assert_eq!(
                refused(&|c| c.hcl[1236 + 100] ^= 1),
                Reason::CpuTpmBindingInvalid
            );
            assert_eq!(refused(&|c| c.hcl[1232] ^= 1), Reason::Malformed);
            assert_eq!(refused(&|c| c.hcl[0] ^= 1), Reason::Malformed);
            assert_eq!(
                refused(&|c| *c.hcl.last_mut().unwrap() = 1),
                Reason::Malformed
            );
            for length in (0..genuine.hcl.len()).step_by(7) {
                // Zeros at the end may go; nothing else may.
                if genuine.hcl[length..].iter().any(|byte| *byte != 0) {
                    assert!(
                        HclReport::parse(&genuine.hcl[..length]).is_err(),
                        "{length} bytes"
                    );
                }
            }
        },
    );
}
