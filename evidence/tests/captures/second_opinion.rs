//! The portable cryptography agrees with the host's on every capture.

use vouch_evidence::nvidia;
use vouch_evidence::sev_snp;
use vouch_evidence::signature::{self, portable};
use vouch_evidence::x509::{Certificate, PublicKey};

use crate::folder::{binary, certificates, each};

#[test]
fn p384() {
    let rows = [
        (
            "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat",
            "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat",
        ),
        (
            "nvidia/attestation-sdk/gpu/blackwellAttestationReport.txt",
            "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
        ),
        (
            "nvidia/attestation-sdk/gpu/hopperAttestationReportInvalidSignature.txt",
            "nvidia/attestation-sdk/gpu/hopperCertChain.txt",
        ),
        (
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/ms-tee/milan_vcek.pem",
        ),
        (
            "snp/ms-tee/genoa_attestation_report.bin",
            "snp/ms-tee/genoa_vcek.pem",
        ),
        (
            "snp/ms-tee/turin_attestation_report.bin",
            "snp/ms-tee/turin_vcek.pem",
        ),
    ];
    each(
        "P-384 second opinion",
        &rows,
        |row| row.0,
        |(report, chain)| {
            let (bytes, chain) = (binary(report), certificates(chain));
            let leaf = Certificate::parse(&chain[0]).unwrap();
            let PublicKey::P384(key) = leaf.key else {
                panic!("{report}")
            };
            let (message, signature) = match nvidia::Report::parse(&bytes) {
                Ok(report) => (report.signed.to_vec(), *report.signature),
                Err(_) => {
                    let report = sev_snp::Report::parse(&bytes).unwrap();
                    (report.signed.to_vec(), report.signature)
                }
            };
            let host = signature::verify_p384(key, &message, &signature);
            assert_eq!(
                host,
                portable::verify_p384(key, &message, &signature),
                "{report}"
            );
            assert_eq!(host, !report.contains("Invalid"), "{report}");
            for bit in (0..message.len() * 8).step_by(997) {
                let mut message = message.clone();
                message[bit / 8] ^= 1 << (bit % 8);
                assert!(!signature::verify_p384(key, &message, &signature));
                assert!(!portable::verify_p384(key, &message, &signature));
            }
        },
    );
}

#[test]
fn rsa_pss() {
    let rows = ["milan", "genoa", "turin"].map(|name| (format!("snp/ms-tee/{name}_ask.pem"), name));
    each(
        "RSA-PSS second opinion",
        &rows,
        |row| &row.0,
        |(_, name)| {
            let file =
                |what: &str| certificates(&format!("snp/ms-tee/{name}_{what}.pem")).remove(0);
            let (ark, ask, vcek) = (file("ark"), file("ask"), file("vcek"));
            for (issuer, subject) in [(&ark, &ark), (&ark, &ask), (&ask, &vcek), (&ask, &ask)] {
                let (issuer, subject) = (
                    Certificate::parse(issuer).unwrap(),
                    Certificate::parse(subject).unwrap(),
                );
                let PublicKey::Rsa(key) = issuer.key else {
                    panic!("{name}")
                };
                let host = signature::verify_rsa_pss_sha384(&key, subject.tbs, subject.signature);
                assert_eq!(host, issuer.subject == subject.issuer, "{name}");
                assert_eq!(
                    host,
                    portable::verify_rsa_pss_sha384(&key, subject.tbs, subject.signature),
                    "{name}"
                );
                for byte in (0..subject.signature.len()).step_by(37) {
                    let mut signature = subject.signature.to_vec();
                    signature[byte] ^= 0x10;
                    assert!(!signature::verify_rsa_pss_sha384(
                        &key,
                        subject.tbs,
                        &signature
                    ));
                    assert!(!portable::verify_rsa_pss_sha384(
                        &key,
                        subject.tbs,
                        &signature
                    ));
                }
            }
        },
    );
}
