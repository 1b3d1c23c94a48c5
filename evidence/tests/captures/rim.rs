use vouch_evidence::nvidia::rim::{self, AuthenticManifest};
use vouch_evidence::nvidia::{self, Report};
use vouch_evidence::{Anchors, Rejection};
use vouch_protocol::Reason;

use crate::folder::{binary, certificates, each, folder, read, slices, time};

const SDK: &str = "nvidia/attestation-sdk/rims";
const GOLDEN_DRIVER: &str = "nvidia/go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml";
const GOLDEN_VBIOS: &str = "nvidia/go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";
const AT: &str = "2025-06-01T00:00:00Z";

fn manifest(file: &str, at: &str) -> Result<AuthenticManifest, Rejection> {
    rim::verify(&read(file), &Anchors::vendor(), time(at))
}

#[test]
fn manifests() {
    type Expected = Result<(&'static str, &'static str, usize), Reason>;
    let rows: Vec<(String, &str, Expected)> = vec![
        (GOLDEN_DRIVER.into(), AT, Ok(("GH100", "550.90.07", 21))),
        (GOLDEN_VBIOS.into(), AT, Ok(("GH100", "96.00.9F.00.01", 12))),
        (
            GOLDEN_VBIOS.into(),
            "2026-06-01T00:00:00Z",
            Err(Reason::CertificateExpired),
        ),
        (
            "nvidia/go-nvattest/rim/success_valid_rim.xml".into(),
            AT,
            Ok(("GH100", "96.00.6D.00.29", 12)),
        ),
        (
            format!("{SDK}/NV_GPU_DRIVER_GH100_550.144.03.xml"),
            AT,
            Ok(("GH100", "550.144.03", 21)),
        ),
        (
            format!("{SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"),
            "2026-06-01T00:00:00Z",
            Ok(("LS10", "96.10.55.00.01", 31)),
        ),
        (
            format!("{SDK}/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml"),
            AT,
            Ok(("GH100", "96.00.5E.00.01", 12)),
        ),
        (
            format!("{SDK}/NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml"),
            AT,
            Err(Reason::CollateralForged),
        ),
        (
            format!("{SDK}/NV_SWITCH_BIOS_5612_0002_890_9610550001_measurement_mismatch.xml"),
            AT,
            Err(Reason::CollateralForged),
        ),
        (
            format!("{SDK}/NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml"),
            AT,
            Err(Reason::CollateralForged),
        ),
        (
            format!("{SDK}/incorrect_signature_driver_rim.xml"),
            AT,
            Err(Reason::CollateralForged),
        ),
        (
            format!("{SDK}/incorrect_cert_chain_driver_rim.xml"),
            AT,
            Err(Reason::CollateralForged),
        ),
        (
            format!("{SDK}/NV_GPU_DRIVER_GH100_570.124.03_expired.xml"),
            AT,
            Err(Reason::CertificateExpired),
        ),
        (
            format!("{SDK}/NV_GPU_DRIVER_GH100_570.124.03_expired.xml"),
            "2025-01-01T12:00:00Z",
            Err(Reason::CollateralForged),
        ),
        (
            "nvidia/go-nvattest/rim/valid_signed_xml.xml".into(),
            AT,
            Err(Reason::Malformed),
        ),
    ];
    each(
        "manifests",
        &rows,
        |row| &row.0,
        |(file, at, expected)| {
            let found = manifest(file, at);
            match (expected, found) {
                (Ok((product, version, golden)), Ok(found)) => {
                    let found = found.report();
                    assert_eq!(
                        (found.product.as_str(), found.golden.len()),
                        (*product, *golden),
                        "{file}"
                    );
                    assert_eq!(found.version.to_uppercase(), *version, "{file}");
                }
                (Err(reason), Err(rejection)) => {
                    assert_eq!(rejection.reason, *reason, "{file}: {rejection}")
                }
                (Ok(_), Err(rejection)) => panic!("{file}: refused: {rejection}"),
                (Err(reason), Ok(_)) => panic!("{file}: accepted, expected {reason}"),
            }
        },
    );
}

#[test]
fn every_other_manifest_in_the_folder_verifies_or_is_no_manifest() {
    let Some(folder) = folder() else {
        return println!("manifests: captures are not here, folder skipped");
    };
    let mut genuine = 0;
    for (list, valid) in [
        ("nvidia/nvtrust/rims", true),
        ("nvidia/go-nvattest/rim", false),
    ] {
        for entry in std::fs::read_dir(folder.join(list)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let file = format!("{list}/{name}");
            if valid {
                manifest(&file, "2024-06-01T00:00:00Z").unwrap_or_else(|r| panic!("{file}: {r}"));
                genuine += 1;
            } else if name.starts_with("failure_") {
                assert_eq!(
                    manifest(&file, AT).unwrap_err().reason,
                    Reason::Malformed,
                    "{file}"
                );
            }
        }
    }
    println!("manifests: {genuine} genuine swidtags verified");
}

#[test]
fn measurements_of_reports_against_manifests() {
    let gpu = |report: &str, chain: &str| {
        let bytes = binary(report);
        let chain = certificates(chain);
        let report = Report::parse(&bytes).unwrap();
        nvidia::verify(&report, &slices(&chain), &Anchors::vendor(), time(AT))
            .unwrap()
            .claims()
    };
    let rows = [GOLDEN_DRIVER];
    each(
        "golden measurements",
        &rows,
        |row| row,
        |_| {
            let h100 = gpu(
                "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat",
                "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat",
            );
            let (driver, vbios) = (
                manifest(GOLDEN_DRIVER, AT).unwrap(),
                manifest(GOLDEN_VBIOS, AT).unwrap(),
            );
            assert_eq!(
                rim::driver_id(&h100).as_deref(),
                Some("NV_GPU_DRIVER_GH100_550.90.07")
            );
            assert_eq!(
                rim::vbios_id(&h100).as_deref(),
                Some("NV_GPU_VBIOS_1010_0200_882_96009F0001")
            );
            let both = [driver.clone(), vbios.clone()];
            let matched = rim::check_measurements(&h100, &both, &mut ()).unwrap();
            assert_eq!(
                (
                    matched.matched,
                    matched.skipped.as_slice(),
                    matched.unlisted.as_slice()
                ),
                (32, &[35][..], &[][..])
            );

            // Each measurement that counts, when it differs, and a decoder that is on.
            for index in 0..64 {
                let mut other = h100.clone();
                other.measurements[index].1[0] ^= 1;
                let found = rim::check_measurements(&other, &both, &mut ());
                match found {
                    Ok(matched) => assert!(
                        matched.unlisted.contains(&(index as u8)) || index == 35,
                        "{index}"
                    ),
                    Err(rejection) => {
                        assert_eq!(rejection.reason, Reason::MeasurementMismatch);
                        assert!(
                            rejection.expected.contains(&format!("index {index}")),
                            "{rejection}"
                        );
                    }
                }
            }
            // With the decoder on, its measurement counts; it is genuine here.
            let mut decoding = h100.clone();
            decoding.nvdec0 = Some(true);
            assert_eq!(
                rim::check_measurements(&decoding, &both, &mut ())
                    .unwrap()
                    .matched,
                33
            );
            decoding.measurements[35].1[0] ^= 1;
            let refused = rim::check_measurements(&decoding, &both, &mut ()).unwrap_err();
            assert_eq!(refused.reason, Reason::MeasurementMismatch);

            for missing in [&[][..], &both[..1], &both[1..]] {
                let rejection = rim::check_measurements(&h100, missing, &mut ()).unwrap_err();
                assert_eq!(rejection.reason, Reason::ManifestMissing);
            }
            let mut chip = h100.clone();
            chip.chip = "GB100".into();
            assert_eq!(
                rim::check_measurements(&chip, &both, &mut ())
                    .unwrap_err()
                    .reason,
                Reason::ManifestMissing
            );

            let switch = gpu(
                "nvidia/attestation-sdk/switch/switchAttestationReport.txt",
                "nvidia/attestation-sdk/switch/switchCertChain.txt",
            );
            let bios = format!("{SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml");
            let bios = manifest(&bios, "2026-06-01T00:00:00Z").unwrap();
            assert_eq!(
                rim::check_measurements(&switch, &[bios], &mut ())
                    .unwrap()
                    .matched,
                31
            );

            let older = gpu(
                "nvidia/attestation-sdk/gpu/hopperAttestationReport.txt",
                "nvidia/attestation-sdk/gpu/hopperCertChain.txt",
            );
            let reissued =
                format!("{SDK}/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml");
            let mut pretended = older.clone();
            pretended.driver_version = Some("550.90.07".into());
            let rejection = rim::check_measurements(
                &pretended,
                &[driver, manifest(&reissued, AT).unwrap()],
                &mut (),
            )
            .unwrap_err();
            assert_eq!(rejection.reason, Reason::MeasurementMismatch);
        },
    );
}
