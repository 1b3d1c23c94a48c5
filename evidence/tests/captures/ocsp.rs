use vouch_evidence::nvidia::rim;
use vouch_evidence::revocation::ocsp::{self, Hold, Response};
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Anchors, Rejection, Time};
use vouch_protocol::Reason;

use crate::folder::{certificates, each, read, slices, time};

const DEVICE: [&str; 3] = [
    "test_gpu_certificate_l4",
    "test_gpu_certificate_l3",
    "test_gpu_certificate_l2",
];
const DEVICE_AT: &str = "2025-08-21T12:00:00Z";
const RIM_AT: &str = "2025-10-24T12:00:00Z";

fn response(name: &str) -> Vec<u8> {
    read(&format!("nvidia/go-nvattest/ocsp/{name}.der"))
}

fn check(
    chain: &[Vec<u8>],
    from: usize,
    responses: &[Vec<u8>],
    at: &str,
) -> Result<Time, Rejection> {
    let responses = ocsp::parse_all(responses)?;
    ocsp::check_chain(
        &slices(chain),
        from,
        &responses,
        Hold::Refuse,
        time(at),
        &mut (),
    )
}

#[test]
fn answers_for_the_golden_device_chain() {
    let chain = "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat";
    each(
        "OCSP of the device chain",
        &[chain],
        |row| row,
        |chain| {
            let chain = certificates(chain);
            let answers: Vec<Vec<u8>> = DEVICE.iter().map(|name| response(name)).collect();
            // The leaf is not asked about: NVIDIA's responder does not know it.
            let oldest = check(&chain, 1, &answers, DEVICE_AT).unwrap();
            assert!(oldest <= time(DEVICE_AT) && time(DEVICE_AT).since(oldest) < 24 * 3600);
            assert_eq!(
                check(&chain, 0, &answers, DEVICE_AT).unwrap_err().reason,
                Reason::RevocationMissing
            );
            for missing in 0..3 {
                let mut fewer = answers.clone();
                fewer.remove(missing);
                assert_eq!(
                    check(&chain, 1, &fewer, DEVICE_AT).unwrap_err().reason,
                    Reason::RevocationMissing
                );
            }
            for at in ["2025-08-20T00:00:00Z", "2025-08-23T00:00:00Z"] {
                assert_eq!(
                    check(&chain, 1, &answers, at).unwrap_err().reason,
                    Reason::CollateralExpired
                );
            }
            for other in [
                "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
                "nvidia/attestation-sdk/switch/switchCertChain.txt",
            ] {
                assert_eq!(
                    check(&certificates(other), 1, &answers, DEVICE_AT)
                        .unwrap_err()
                        .reason,
                    Reason::RevocationMissing
                );
            }
        },
    );
}

#[test]
fn answers_for_the_signers_of_manifests() {
    let rows = [
        (
            "nvidia/go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml",
            "test_gpu_driver_rim_l4",
        ),
        (
            "nvidia/go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml",
            "test_gpu_vbios_l4",
        ),
    ];
    each(
        "OCSP of manifest signers",
        &rows,
        |row| row.0,
        |(file, leaf)| {
            let manifest = rim::verify(&read(file), &Anchors::vendor(), time(RIM_AT)).unwrap();
            let answers: Vec<Vec<u8>> = [*leaf, "test_gpu_driver_rim_l3", "test_gpu_rim_l2"]
                .iter()
                .map(|name| response(name))
                .collect();
            check(&manifest.device().chain, 0, &answers, RIM_AT)
                .unwrap_or_else(|r| panic!("{file}: {r}"));
        },
    );
}

#[test]
fn an_answer_changed_anywhere_that_counts_is_refused() {
    let chain = "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat";
    each(
        "OCSP mutations",
        &[chain],
        |row| row,
        |chain| {
            let chain = certificates(chain);
            let (certificate, issuer) = (
                Certificate::parse(&chain[3]).unwrap(),
                Certificate::parse(&chain[4]).unwrap(),
            );
            let answer = DEVICE
                .iter()
                .map(|name| response(name))
                .find(|der| {
                    Response::parse(der)
                        .unwrap()
                        .is_about(&certificate, &issuer)
                })
                .unwrap();
            for at in 0..answer.len() {
                let mut changed = answer.clone();
                changed[at] ^= 0x02;
                let found = Response::parse(&changed).and_then(|response| {
                    response.check(
                        &certificate,
                        &issuer,
                        Hold::Refuse,
                        time(DEVICE_AT),
                        &mut (),
                    )
                });
                assert!(found.is_err(), "byte {at}");
            }
        },
    );
}
