use vouch_evidence::nvidia::{self, Architecture, Claims, FirmwareBinding, Kind, Mode, Report};
use vouch_evidence::{Anchors, Rejection, decode};
use vouch_protocol::Reason;

use crate::folder::{binary, certificates, each, read, slices, time};

const AT: &str = "2026-06-01T00:00:00Z";

fn verify(report: &[u8], chain: &[Vec<u8>]) -> Result<Claims, Rejection> {
    let report = Report::parse(report)?;
    Ok(nvidia::verify(&report, &slices(chain), &Anchors::vendor(), time(AT))?.claims())
}

#[test]
fn reports_with_their_chains() {
    struct Row {
        report: &'static str,
        chain: &'static str,
        expected: Result<(Kind, Option<&'static str>, &'static str, FirmwareBinding), Reason>,
    }
    const HOPPER: Kind = Kind::Gpu(Architecture::Hopper);
    const BLACKWELL: Kind = Kind::Gpu(Architecture::Blackwell);
    use FirmwareBinding::{Absent, Bound};
    let ok = |report, chain, kind, driver, vbios, firmware| Row {
        report,
        chain,
        expected: Ok((kind, driver, vbios, firmware)),
    };
    let bad = |report, chain, reason| Row {
        report,
        chain,
        expected: Err(reason),
    };
    let sdk = "nvidia/attestation-sdk/gpu/hopperCertChain.txt";
    let h100 = "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat";
    let h100_chain = "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat";
    let switch = "nvidia/attestation-sdk/switch/switchAttestationReport.txt";
    let switch_chain = "nvidia/attestation-sdk/switch/switchCertChain.txt";
    let rows = [
        ok(
            h100,
            h100_chain,
            HOPPER,
            Some("550.90.07"),
            "96.00.9F.00.01",
            Bound,
        ),
        ok(
            "nvidia/attestation-sdk/gpu/hopperAttestationReport.txt",
            sdk,
            HOPPER,
            Some("535.86.09"),
            "96.00.5E.00.01",
            Absent,
        ),
        ok(
            "nvidia/attestation-sdk/gpu/hopperAttestationReportExpired.txt",
            "nvidia/attestation-sdk/gpu/hopperCertChainExpired.txt",
            HOPPER,
            Some("570.124.03"),
            "96.00.5E.00.04",
            Bound,
        ),
        ok(
            "nvidia/attestation-sdk/gpu/blackwellAttestationReport.txt",
            "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
            BLACKWELL,
            Some("575.32"),
            "97.00.88.00.0F",
            Bound,
        ),
        ok(
            switch,
            switch_chain,
            Kind::Switch,
            None,
            "96.10.55.00.01",
            Absent,
        ),
        ok(
            "nvidia/attestation-sdk/switch/switchAttestationReport_unittest.txt",
            "nvidia/attestation-sdk/switch/switchCertChain_unittest.txt",
            Kind::Switch,
            None,
            "96.10.55.00.01",
            Absent,
        ),
        bad(
            "nvidia/attestation-sdk/gpu/hopperAttestationReportInvalidSignature.txt",
            "nvidia/attestation-sdk/gpu/hopperCertChainExpired.txt",
            Reason::GpuSignatureInvalid,
        ),
        bad(
            "nvidia/attestation-sdk/gpu/hopperAttestationReportInvalidSignature.txt",
            sdk,
            Reason::GpuSignatureInvalid,
        ),
        bad(
            "nvidia/attestation-sdk/switch/switchAttestationReportInvalidSignature.txt",
            switch_chain,
            Reason::GpuSignatureInvalid,
        ),
        bad(h100, sdk, Reason::GpuSignatureInvalid),
        bad(h100, switch_chain, Reason::GpuSignatureInvalid),
        bad(switch, h100_chain, Reason::GpuSignatureInvalid),
        bad(
            "nvidia/trustee/hopperAttestationReport.txt",
            "nvidia/trustee/hopper_cert_chain_case2.txt",
            Reason::GpuChainInvalid,
        ),
        bad(
            "nvidia/trustee/hopperAttestationReport.txt",
            "nvidia/trustee/hopper_cert_chain_case3.txt",
            Reason::GpuChainInvalid,
        ),
        bad(
            "nvidia/trustee/hopperAttestationReport.txt",
            "nvidia/trustee/hopper_cert_chain_case4.txt",
            Reason::GpuChainInvalid,
        ),
    ];
    each(
        "NVIDIA reports",
        &rows,
        |row| row.report,
        |row| {
            let found = verify(&binary(row.report), &certificates(row.chain)).map(|claims| {
                (
                    claims.kind,
                    claims.driver_version,
                    claims.vbios_version.unwrap_or_default(),
                    claims.firmware,
                )
            });
            match (&row.expected, found) {
                (Ok((kind, driver, vbios, firmware)), Ok(found)) => {
                    assert_eq!(
                        found,
                        (
                            *kind,
                            driver.map(String::from),
                            (*vbios).to_owned(),
                            *firmware
                        ),
                        "{}",
                        row.report
                    );
                }
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
fn evidence_json_of_the_sdk() {
    struct Row {
        file: &'static str,
        devices: usize,
        kind: Kind,
    }
    const HOPPER: Kind = Kind::Gpu(Architecture::Hopper);
    let rows = [
        Row {
            file: "nvidia/attestation-sdk/evidence_json/hopper_evidence.json",
            devices: 1,
            kind: HOPPER,
        },
        Row {
            file: "nvidia/attestation-sdk/evidence_json/hopper_evidence_cert_hold.json",
            devices: 1,
            kind: HOPPER,
        },
        Row {
            file: "nvidia/attestation-sdk/evidence_json/evidence_hopper_590_12.json",
            devices: 1,
            kind: HOPPER,
        },
        Row {
            file: "nvidia/attestation-sdk/evidence_json/multi_gpu_hopper.json",
            devices: 4,
            kind: HOPPER,
        },
        Row {
            file: "nvidia/attestation-sdk/evidence_json/switch_evidence_ls10.json",
            devices: 1,
            kind: Kind::Switch,
        },
        Row {
            file: "nvidia/attestation-sdk/evidence_json/multi_switch_ls10.json",
            devices: 4,
            kind: Kind::Switch,
        },
    ];
    each(
        "NVIDIA evidence JSON",
        &rows,
        |row| row.file,
        |row| {
            let entries = decode::nvidia_evidence(&read(row.file)).unwrap();
            assert_eq!(entries.len(), row.devices, "{}", row.file);
            for entry in entries {
                let claims = verify(&entry.report, &entry.chain)
                    .unwrap_or_else(|r| panic!("{}: {r}", row.file));
                assert_eq!(claims.kind, row.kind, "{}", row.file);
                assert_eq!(
                    claims.nonce,
                    decode::hex_array(&entry.nonce).unwrap(),
                    "{}",
                    row.file
                );
            }
        },
    );
}

/// A report and its chain.
pub(crate) type Device = (Vec<u8>, Vec<Vec<u8>>);

/// GPUs and switches in the JSON that NVIDIA's Python SDK writes.
pub(crate) fn machine(file: &str) -> (Vec<Device>, Vec<Device>) {
    let json: serde_json::Value = serde_json::from_slice(&read(file)).unwrap();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let device = |report: &serde_json::Value, chain: &serde_json::Value| {
        let chain = list(chain).into_iter().flat_map(|certificate| {
            decode::certificates(certificate["pem"].as_str().unwrap().as_bytes()).unwrap()
        });
        let report = report["py/b64"].as_str().unwrap();
        (decode::binary(report.as_bytes()).unwrap(), chain.collect())
    };
    // Machines without switches are a list of GPUs.
    let gpus = list(if json.is_array() {
        &json
    } else {
        &json["gpus"]
    });
    let gpus = gpus.iter().map(|gpu| {
        let chains = &gpu["CertificateChains"];
        device(
            &gpu["AttestationReport"],
            &chains["GpuAttestationCertificateChain"],
        )
    });
    let switches = list(&json["nvswitches"]);
    let switches = switches.iter().map(|switch| {
        device(
            &switch["attestation_report"],
            &switch["attestation_cert_chain"],
        )
    });
    (gpus.collect(), switches.collect())
}

#[test]
fn eight_h200_and_four_switches() {
    let file = "nvidia/go-nvattest/test_ppcie_data.json";
    each(
        "NVIDIA protected PCIe",
        &[file],
        |row| row,
        |row| {
            let (gpus, switches) = machine(row);
            let claims = |devices: Vec<Device>| -> Vec<Claims> {
                let verify = |(report, chain): &Device| {
                    verify(report, chain).unwrap_or_else(|r| panic!("{row}: {r}"))
                };
                devices.iter().map(verify).collect()
            };
            let (gpus, switches) = (claims(gpus), claims(switches));
            for gpu in &gpus {
                assert_eq!(gpu.mode, Some(Mode::ProtectedPcie));
                assert_eq!(gpu.driver_version.as_deref(), Some("570.124.06"));
            }
            assert_eq!((gpus.len(), switches.len()), (8, 4));
            nvidia::check_topology(&gpus, &switches, &mut ())
                .unwrap_or_else(|r| panic!("{row}: {r}"));
            let refused = |change: &dyn Fn(&mut Vec<Claims>, &mut Vec<Claims>)| {
                let (mut gpus, mut switches) = (gpus.clone(), switches.clone());
                change(&mut gpus, &mut switches);
                let rejection = nvidia::check_topology(&gpus, &switches, &mut ()).unwrap_err();
                assert_eq!(rejection.reason, Reason::GpuTopologyMismatch);
            };
            refused(&|gpus, _| gpus.truncate(7));
            refused(&|_, switches| switches.truncate(3));
            refused(&|_, switches| switches.clear());
            refused(&|gpus, _| gpus[7] = gpus[0].clone());
            refused(&|_, switches| switches[3] = switches[0].clone());
            refused(&|gpus, _| gpus[2].mode = Some(Mode::Single));
            refused(&|gpus, _| gpus[2].protected_pcie = Some(false));
            refused(&|gpus, _| gpus[5].pdi = Some(1));
            refused(&|gpus, _| gpus[5].switch_pdis.truncate(3));
            refused(&|_, switches| switches[1].gpu_pdis.push(u64::MAX - 1));
            let mut ours: Vec<u64> = switches.iter().map(|s| s.pdi.unwrap()).collect();
            ours.sort_unstable();
            for gpu in &gpus {
                assert_eq!(gpu.switch_pdis, ours);
            }
            for switch in &switches {
                for gpu in &gpus {
                    assert!(switch.gpu_pdis.contains(&gpu.pdi.unwrap()));
                }
            }
        },
    );
}
