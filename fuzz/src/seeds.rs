//! Where the targets start from: fixtures made here, and the captures where they are.

use std::path::{Path, PathBuf};

use vouch_content::ContentKey;
use vouch_content::seal::{KeyPair, Purpose, seal};
use vouch_evidence::{anchors, decode, tdx};
use vouch_simulator::{Evidence, Machine, Options, Session};

/// The shape of a manifest, as far as its reader goes before it asks for certificates.
const MANIFEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:h="http://www.w3.org/2001/04/xmlenc#sha384">
  <Meta product="GH100" edition='GPU'/> <Payload><Resource type="Measurement" index="0" h:Hash0="&lt;00&gt;"/></Payload>
<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature></SoftwareIdentity>"#;

const TCB_INFO: &str = r#"{"id":"TDX","version":3,"issueDate":"2025-06-19T10:00:35Z","nextUpdate":"2025-07-19T10:00:35Z","fmspc":"b0c06f000000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":17,"tdxModule":{"mrsigner":"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"},"tcbLevels":[]}"#;
const QE_IDENTITY: &str = r#"{"id":"TD_QE","version":2,"issueDate":"2025-06-19T10:00:35Z","nextUpdate":"2025-07-19T10:00:35Z","tcbEvaluationDataNumber":17,"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5","isvprodid":2,"tcbLevels":[{"tcb":{"isvsvn":4},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"}]}"#;

/// A list of one serial number, without a signature.
const CRL: &str = "30733062020101300a06082a8648ce3d040302300d310b300906035504030c024341170d3235303730313030303030305a170d3235303830313030303030305a30143012020107170d3235303730313030303030305aa00e300c300a0603551d140403020101300a06082a8648ce3d040302030100";

/// A pack of twelve bytes: manifest and tree.
const PACK: &str = "766f7563682f7061636b2f7631000000000000000c00100000f174557b16d8226dda3183726724032b80bdaeb3ddc7d04596ec6424aaec8368af553ae215249ea1aca8d1faba0e131d6cf80f057de168618b85f69fafeef380e0a19d4882d3caa1aca8d1faba0e131d6cf80f057de168618b85f69fafeef380e0a19d4882d3ca";

/// The secret half of the key that [`SEALED_KEY`] is sealed to.
pub(crate) const SEALED_FOR: [u8; 32] = [7; 32];
/// A content key.
pub(crate) const SEALED_KEY: [u8; 32] = [9; 32];
/// What it is sealed for.
pub(crate) const SEALED_TO: Purpose = Purpose::Use {
    order: alloy_primitives::B256::repeat_byte(1),
    asset: alloy_primitives::B256::repeat_byte(2),
};

/// The captures that a target starts from, as far as they are here.
const CAPTURES: &[(&str, &[&str])] = &[
    (
        "azure",
        &[
            "snp/trustee/az-snp-vtpm/evidence-v0.json",
            "tdx/trustee/az-tdx-vtpm/evidence-v0.json",
        ],
    ),
    (
        "certificate_chain",
        &[
            "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat",
            "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
            "snp/ms-tee/milan_vcek.pem",
            "snp/ms-tee/turin_vcek.pem",
        ],
    ),
    (
        "crl",
        &["tdx/go-tdx-guest/pckcrl", "tdx/go-tdx-guest/rootcrl.der"],
    ),
    (
        "decode",
        &["nvidia/attestation-sdk/evidence_json/hopper_evidence.json"],
    ),
    (
        "nvidia_report",
        &[
            "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat",
            "nvidia/attestation-sdk/gpu/blackwellAttestationReport.txt",
            "nvidia/attestation-sdk/switch/switchAttestationReport.txt",
        ],
    ),
    (
        "ocsp_response",
        &[
            "nvidia/go-nvattest/ocsp/test_gpu_certificate_l2.der",
            "nvidia/go-nvattest/ocsp/test_gpu_driver_rim_l4.der",
        ],
    ),
    (
        "rim",
        &[
            "nvidia/go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml",
            "nvidia/go-nvattest/rim/valid_signed_xml.xml",
        ],
    ),
    (
        "sev_snp_report",
        &[
            "snp/ms-tee/milan_attestation_report.bin",
            "snp/ms-tee/turin_attestation_report.bin",
        ],
    ),
    (
        "tdx_collateral",
        &["tdx/dcap-qvl/tdx_quote_collateral.json"],
    ),
    (
        "tdx_quote",
        &[
            "tdx/dcap-qvl/tdx_quote",
            "tdx/go-tdx-guest/quote_v5_sample.dat",
        ],
    ),
];

/// Where a target starts from. Never empty.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let evidence = simulated();
    let gpu = &evidence.gpus[0];
    match target {
        "nvidia_report" => [vec![gpu.report.clone()], binaries(target)].concat(),
        "nvidia_opaque" => [vec![gpu.report.clone()], binaries("nvidia_report")]
            .concat()
            .iter()
            .map(|report| opaque_of(report))
            .collect(),
        "certificate" => [
            gpu.chain.clone(),
            evidence.cpu.chain.to_vec(),
            vec![anchors::INTEL_SGX_ROOT_CA.to_vec()],
            certificates(),
        ]
        .concat(),
        "certificate_chain" => {
            let whole = [vec![gpu.chain.concat()], captures(target)].concat();
            [whole, vec![hexadecimal(&gpu.chain.concat())]].concat()
        }
        "crl" => [vec![empty_crl()], captures(target)].concat(),
        "ocsp_response" => [vec![vec![0x30, 0x03, 0x0a, 0x01, 0x06]], captures(target)].concat(),
        "sev_snp_report" => [vec![evidence.cpu.report], captures(target)].concat(),
        "tdx_quote" => [vec![empty_quote(4), empty_quote(5)], captures(target)].concat(),
        "tdx_collateral" => [
            vec![tdx::Collateral::default().to_json().into_bytes()],
            captures(target),
        ]
        .concat(),
        "tcb_info" => [vec![TCB_INFO.into()], signed(|c| c.tcb_info)].concat(),
        "qe_identity" => [vec![QE_IDENTITY.into()], signed(|c| c.qe_identity)].concat(),
        "rim" | "rim_xml" => [vec![MANIFEST.into()], captures("rim")].concat(),
        "azure_hcl" => [vec![empty_hcl()], azure("HCLA")].concat(),
        "azure_tpm_quote" => [vec![empty_tpm_quote()], azure("TCG")].concat(),
        "pack" => vec![decode::binary(PACK.as_bytes()).unwrap_or_default()],
        "sealed_key" => vec![sealed()],
        "statement" => {
            let statement =
                Session::from_secret([1; 32]).start(Default::default(), Default::default());
            let mut more = statement.clone();
            more.datasets.resize(2, Default::default());
            vec![statement.encode(), more.encode()]
        }
        "bundle" => vec![evidence.bundle().to_json()],
        "decode" => {
            let report = hexadecimal(&gpu.report);
            [
                vec![report, gpu.report.clone(), gpu.chain.concat()],
                captures(target),
            ]
            .concat()
        }
        other => panic!("no target {other}"),
    }
}

fn simulated() -> Evidence {
    let statement = Session::from_secret([1; 32]).start(Default::default(), Default::default());
    Machine::new(b"fuzz").evidence(&statement, &Options::default())
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VOUCH_EVIDENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

/// The files listed for a target.
fn captures(of: &str) -> Vec<Vec<u8>> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let files = CAPTURES.iter().find(|(name, _)| *name == of);
    let files = files.map_or(&[][..], |(_, files)| files);
    files
        .iter()
        .filter_map(|file| std::fs::read(folder.join(file)).ok())
        .collect()
}

/// Files that may be hexadecimal, as bytes.
fn binaries(of: &str) -> Vec<Vec<u8>> {
    let decoded = captures(of);
    decoded
        .iter()
        .filter_map(|file| decode::binary(file).ok())
        .collect()
}

fn certificates() -> Vec<Vec<u8>> {
    let chains = captures("certificate_chain");
    chains
        .iter()
        .filter_map(|chain| decode::certificates(chain).ok())
        .flatten()
        .collect()
}

/// The texts that Intel signed.
fn signed(part: fn(tdx::Collateral) -> Option<tdx::Signed>) -> Vec<Vec<u8>> {
    captures("tdx_collateral")
        .iter()
        .filter_map(|json| part(tdx::Collateral::from_json(json).ok()?))
        .map(|signed| signed.text.into_bytes())
        .collect()
}

/// Lists of numbers in the JSON of Azure's agents that begin, or nearly so, with a magic word.
fn azure(magic: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for json in captures("azure") {
        let text = String::from_utf8_lossy(&json);
        for list in text.split('[').skip(1) {
            let list = list.split(']').next().unwrap_or_default();
            let bytes: Option<Vec<u8>> = list.split(',').map(|n| n.trim().parse().ok()).collect();
            let start = bytes.iter().flatten().take(4).copied().collect::<Vec<u8>>();
            if start
                .windows(magic.len())
                .any(|part| part == magic.as_bytes())
            {
                found.extend(bytes);
            }
        }
    }
    found
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()
}

/// Offset of the length of the measurement record.
const RECORD_LEN_AT: usize = 37 + 5;
/// Bytes between the measurement record and the opaque data: nonce and length.
const OPAQUE_HEADER_LEN: usize = 34;
/// Bytes of the signature.
const SIGNATURE_LEN: usize = 96;

/// Where the opaque data of a well-formed report begins.
fn opaque_at(report: &[u8]) -> usize {
    let length = &report[RECORD_LEN_AT..RECORD_LEN_AT + 3];
    let length = u32::from_le_bytes([length[0], length[1], length[2], 0]);
    RECORD_LEN_AT + 3 + usize::try_from(length).unwrap_or_default() + OPAQUE_HEADER_LEN
}

fn opaque_of(report: &[u8]) -> Vec<u8> {
    let at = opaque_at(report);
    let length = usize::from(u16::from_le_bytes([report[at - 2], report[at - 1]]));
    report[at..at + length].to_vec()
}

/// A report that is fine but for its opaque data; `None` where that is too long for one.
pub(crate) fn report_around(opaque: &[u8]) -> Option<Vec<u8>> {
    static REPORT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let report = REPORT.get_or_init(|| simulated().gpus.remove(0).report);
    let at = opaque_at(report);
    let length = u16::try_from(opaque.len()).ok()?;
    let mut made = report[..at - 2].to_vec();
    made.extend(length.to_le_bytes());
    made.extend(opaque);
    made.extend([0; SIGNATURE_LEN]);
    Some(made)
}

/// A quote with every field and nothing in them.
fn empty_quote(version: u16) -> Vec<u8> {
    const INTEL: [u8; 16] = [
        0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06,
        0x07,
    ];
    let mut quote = [version.to_le_bytes(), 2u16.to_le_bytes()].concat();
    quote.extend(0x81u32.to_le_bytes());
    quote.extend([0; 4]);
    quote.extend(INTEL);
    quote.extend([0; 20]);
    if version == 5 {
        quote.extend(3u16.to_le_bytes());
        quote.extend(648u32.to_le_bytes());
    }
    quote.extend(vec![0; if version == 5 { 648 } else { 584 }]);
    let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\0";
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    let mut inner = vec![0; 384 + 64];
    inner.extend(32u16.to_le_bytes());
    inner.extend([0; 32]);
    inner.extend(5u16.to_le_bytes());
    inner.extend(size(pem));
    inner.extend(pem);
    let mut data = vec![0; 128];
    data.extend(6u16.to_le_bytes());
    data.extend(size(&inner));
    data.extend(inner);
    quote.extend(size(&data));
    quote.extend(data);
    quote
}

/// Another each time, for sealing takes randomness; it opens to the same key.
fn sealed() -> Vec<u8> {
    let key = ContentKey::from_bytes(SEALED_KEY);
    let recipient = KeyPair::from_secret(&SEALED_FOR)
        .expect("a key pair")
        .public();
    seal(recipient, &SEALED_TO, &key)
        .expect("a sealed key")
        .to_vec()
}

fn empty_crl() -> Vec<u8> {
    decode::binary(CRL.as_bytes()).unwrap_or_default()
}

fn empty_hcl() -> Vec<u8> {
    let runtime = b"{\"keys\":[]}";
    let mut hcl = b"HCLA\x01\0\0\0".to_vec();
    hcl.resize(32 + 1184, 0);
    let length = u32::try_from(runtime.len()).unwrap_or_default();
    for number in [length + 20, 1, 2, 1, length] {
        hcl.extend(number.to_le_bytes());
    }
    hcl.extend(runtime);
    hcl
}

fn empty_tpm_quote() -> Vec<u8> {
    let mut quote = vec![0xff, b'T', b'C', b'G', 0x80, 0x18, 0, 0, 0, 2, 1, 2];
    quote.extend([0; 25]);
    quote.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff, 0, 32]);
    quote.extend([0; 32]);
    quote
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_here_reads() {
        use vouch_evidence::azure::{HclReport, TpmQuote};
        use vouch_evidence::{fuzz, nvidia, tdx};
        for version in [4, 5] {
            tdx::Quote::parse(&empty_quote(version)).unwrap();
        }
        HclReport::parse(&empty_hcl()).unwrap();
        TpmQuote::parse(&empty_tpm_quote()).unwrap();
        fuzz::crl(&empty_crl()).unwrap();
        fuzz::tcb_info(TCB_INFO).unwrap();
        fuzz::qe_identity(QE_IDENTITY).unwrap();
        fuzz::canonical_xml(MANIFEST.as_bytes()).unwrap();
        for opaque in seeds("nvidia_opaque") {
            nvidia::Report::parse(&report_around(&opaque).unwrap()).unwrap();
        }
    }
}
