//! Hostile bytes: parsers give errors, never panic, and never read what is not there.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
#![allow(missing_docs, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;
use vouch_evidence::azure::{HclReport, TpmQuote};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::revocation::ocsp;
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Anchors, Time, anchors, decode, nvidia, sev_snp, tdx};
use vouch_simulator::{Machine, Options, Session};

/// The shape of a manifest, as far as its reader goes before it asks for certificates.
const MANIFEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<S xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:h="http://www.w3.org/2001/04/xmlenc#sha384">
  <Meta product="GH100" edition='GPU'/> <Payload><Resource type="Measurement" index="0" h:Hash0="&lt;00&gt;"/></Payload>
<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature></S>"#;

/// Genuine shapes to start from: random bytes alone never get past the first field.
fn seeds() -> Vec<Vec<u8>> {
    static SEEDS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    let make = || {
        let machine = Machine::new(b"hostile");
        let statement = Session::from_secret([1; 32]).start(Default::default(), Default::default());
        let evidence = machine.evidence(&statement, &Options::default());
        let mut seeds = vec![
            anchors::NVIDIA_DEVICE_IDENTITY_CA.to_vec(),
            evidence.bundle().to_json(),
        ];
        seeds.extend(evidence.cpu.chain);
        seeds.push(MANIFEST.as_bytes().to_vec());
        seeds.push(evidence.cpu.report);
        for gpu in evidence.gpus {
            seeds.push(gpu.report);
            seeds.extend(gpu.chain);
        }
        seeds
    };
    SEEDS.get_or_init(make).clone()
}

fn parse_everything(bytes: &[u8]) {
    let _ = nvidia::Report::parse(bytes);
    let _ = sev_snp::Report::parse(bytes);
    let _ = Certificate::parse(bytes);
    let _ = Bundle::from_json(bytes);
    let _ = decode::binary(bytes);
    let _ = decode::certificates(bytes);
    let _ = decode::nvidia_evidence(bytes);
    let anchors = Anchors::vendor();
    let _ = nvidia::rim::verify(bytes, &anchors, Time::from_unix(0));
    let _ = ocsp::Response::parse(bytes);
    let _ = tdx::Quote::parse(bytes);
    let _ = tdx::Collateral::from_json(bytes);
    let _ = HclReport::parse(bytes);
    let _ = TpmQuote::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Time::from_rfc3339_utc(text);
        let _ = decode::hex_array::<32>(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..2_048)) {
        parse_everything(&bytes);
    }

    #[test]
    fn damaged_evidence_does_not_panic(
        seed in any::<prop::sample::Index>(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        extra in vec(any::<u8>(), 0..8),
    ) {
        let seeds = seeds();
        let mut bytes = seed.get(&seeds).clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes.extend(extra);
        parse_everything(&bytes);
    }
}

#[test]
fn oversized_input_is_refused_by_its_length() {
    let huge = vec![0x11; 16 * 1024 * 1024];
    assert!(
        nvidia::Report::parse(&huge)
            .unwrap_err()
            .expected
            .contains("at most")
    );
    assert!(
        Certificate::parse(&huge)
            .unwrap_err()
            .expected
            .contains("at most")
    );
    assert!(
        Bundle::from_json(&huge)
            .unwrap_err()
            .expected
            .contains("at most")
    );
    assert!(decode::binary(&huge).is_err());
}

#[test]
fn every_certificate_that_is_damaged_in_one_byte_reads_otherwise_or_not_at_all() {
    let whole = anchors::NVIDIA_DEVICE_IDENTITY_CA;
    let genuine = Certificate::parse(whole).unwrap();
    assert!(genuine.is_signed_by(&genuine.key));
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x01;
        if let Ok(damaged) = Certificate::parse(&bytes) {
            assert!(!damaged.is_signed_by(&genuine.key), "byte {at}");
        }
    }
}
