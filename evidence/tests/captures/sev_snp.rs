use vouch_evidence::sev_snp::{self, Chain, Claims, Endorsement, Generation, Report};
use vouch_evidence::{Anchors, Rejection};
use vouch_protocol::Reason;

use crate::folder::{binary, certificates, each, time};

fn verify(report: &[u8], vek: &[u8], at: &str) -> Result<Claims, Rejection> {
    let report = Report::parse(report)?;
    Ok(sev_snp::verify(&report, vek, None, &Anchors::vendor(), time(at))?.claims())
}

#[test]
fn reports_with_their_keys() {
    struct Row {
        report: &'static str,
        vek: &'static str,
        at: &'static str,
        expected: Result<(u32, Generation, Endorsement, u32, bool), Reason>,
    }
    use Endorsement::{Vcek, Vlek};
    use Generation::{Genoa, Milan, Turin};
    const AT: &str = "2026-06-01T00:00:00Z";
    let ok = |report, vek, version, generation, endorsement, vmpl, debug| Row {
        report,
        vek,
        at: AT,
        expected: Ok((version, generation, endorsement, vmpl, debug)),
    };
    let bad = |report, vek, reason| Row {
        report,
        vek,
        at: AT,
        expected: Err(reason),
    };
    let rows = [
        ok(
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/ms-tee/milan_vcek.pem",
            3,
            Milan,
            Vcek,
            0,
            false,
        ),
        ok(
            "snp/ms-tee/genoa_attestation_report.bin",
            "snp/ms-tee/genoa_vcek.pem",
            3,
            Genoa,
            Vcek,
            0,
            false,
        ),
        ok(
            "snp/ms-tee/turin_attestation_report.bin",
            "snp/ms-tee/turin_vcek.pem",
            5,
            Turin,
            Vcek,
            0,
            false,
        ),
        ok(
            "snp/virtee-sev/report_milan.hex",
            "snp/virtee-sev/vcek_milan.der",
            2,
            Milan,
            Vcek,
            0,
            false,
        ),
        ok(
            "snp/go-sev-guest/attestation.bin",
            "snp/go-sev-guest/vcek.testcer",
            2,
            Milan,
            Vcek,
            0,
            true,
        ),
        ok(
            "snp/trustee/snp/test-report.bin",
            "snp/trustee/snp/test-vcek.der",
            2,
            Milan,
            Vcek,
            0,
            false,
        ),
        Row {
            report: "snp/trustee/snp/test-vlek-report.bin",
            vek: "snp/trustee/snp/test-vlek.der",
            at: "2025-06-01T00:00:00Z",
            expected: Ok((3, Milan, Vlek, 1, false)),
        },
        bad(
            "snp/trustee/snp/test-vlek-report.bin",
            "snp/trustee/snp/test-vlek.der",
            Reason::CertificateExpired,
        ),
        bad(
            "snp/trustee/snp/test-vlek-report.bin",
            "snp/trustee/snp/test-vcek.der",
            Reason::CpuChainInvalid,
        ),
        bad(
            "snp/go-sev-guest/attestation.bin",
            "snp/trustee/snp/test-vcek-invalid-legacy.der",
            Reason::CpuChainInvalid,
        ),
        bad(
            "snp/go-sev-guest/attestation.bin",
            "snp/trustee/snp/test-vcek-invalid-new.der",
            Reason::CpuChainInvalid,
        ),
        bad(
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/ms-tee/genoa_vcek.pem",
            Reason::CpuSignatureInvalid,
        ),
        bad(
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/trustee/snp/test-vcek.der",
            Reason::CpuSignatureInvalid,
        ),
        bad(
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/ms-tee/milan_ask.pem",
            Reason::CpuChainInvalid,
        ),
    ];
    each(
        "SEV-SNP reports",
        &rows,
        |row| row.report,
        |row| {
            if !crate::folder::folder().unwrap().join(row.vek).is_file() {
                println!("  {}: not here", row.vek);
                return;
            }
            let found =
                verify(&binary(row.report), &certificates(row.vek)[0], row.at).map(|claims| {
                    (
                        claims.version,
                        claims.generation,
                        claims.endorsement,
                        claims.vmpl,
                        claims.debug(),
                    )
                });
            match (&row.expected, found) {
                (Ok(expected), Ok(found)) => assert_eq!(found, *expected, "{}", row.report),
                (Err(reason), Err(rejection)) => {
                    assert_eq!(rejection.reason, *reason, "{}: {rejection}", row.report)
                }
                (Ok(_), Err(rejection)) => panic!("{}: refused: {rejection}", row.report),
                (Err(reason), Ok(_)) => panic!("{}: accepted, expected {reason}", row.report),
            }
        },
    );
}

#[test]
fn a_chain_that_the_caller_brings() {
    let rows = ["milan", "genoa", "turin"]
        .map(|name| (format!("snp/ms-tee/{name}_attestation_report.bin"), name));
    each(
        "SEV-SNP chains",
        &rows,
        |row| &row.0,
        |(report, name)| {
            let file =
                |what: &str| certificates(&format!("snp/ms-tee/{name}_{what}.pem")).remove(0);
            let (vek, signer, root) = (file("vcek"), file("ask"), file("ark"));
            let report = binary(report);
            let report = Report::parse(&report).unwrap();
            let verify = |signer: &[u8], root: &[u8]| {
                let chain = Chain { signer, root };
                sev_snp::verify(
                    &report,
                    &vek,
                    Some(&chain),
                    &Anchors::vendor(),
                    time("2026-06-01T00:00:00Z"),
                )
                .map(|_| ())
            };
            verify(&signer, &root).unwrap();
            assert_eq!(
                verify(&root, &signer).unwrap_err().reason,
                Reason::CpuRootUntrusted
            );
            assert_eq!(
                verify(&root, &root).unwrap_err().reason,
                Reason::CpuChainInvalid
            );
            assert_eq!(
                verify(&vek, &root).unwrap_err().reason,
                Reason::CpuChainInvalid
            );
        },
    );
}
