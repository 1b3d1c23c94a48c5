//! Every file of the folder by name: what must become of it, or what it is part of. A file that
//! nobody listed fails the test, and so does a listed verdict that is not the one that comes out.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouch_evidence::nvidia::rim;
use vouch_evidence::revocation::ocsp::{Hold, Response};
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Anchors, Rejection, Verifier, decode, nvidia, sev_snp, tdx};
use vouch_protocol::Reason::{self, *};

use crate::folder::{binary, certificates, folder, read, slices, time};
use crate::{azure, nvidia::machine};

/// What a file is, and with what it is verified.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capture {
    /// A GPU or switch report, under this chain.
    Nvidia(&'static str),
    /// NVIDIA's evidence JSON: one or more reports with their chains.
    NvidiaJson,
    /// GPUs, and perhaps switches, as NVIDIA's Python SDK writes them.
    NvidiaMachine,
    /// A manifest of golden measurements.
    Manifest,
    /// An OCSP response for a certificate of the golden set.
    Answer,
    /// A SEV-SNP report, under this VCEK or VLEK.
    SevSnp(&'static str),
    /// A TDX quote, without collateral.
    Tdx,
    /// A TDX quote with collateral in the JSON layout.
    TdxRated(&'static str),
    /// A machine of Azure, hardware and TPM.
    Azure,
}

/// One capture, the time at which it is verified, and the verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) file: &'static str,
    pub(crate) capture: Capture,
    pub(crate) at: &'static str,
    pub(crate) expected: Result<(), Reason>,
}

const JUNE: &str = "2026-06-01T00:00:00Z";
const RIM: &str = "2025-06-01T00:00:00Z";
const EARLY: &str = "2024-06-01T00:00:00Z";
const JULY: &str = "2025-07-01T00:00:00Z";
const MARCH: &str = "2026-03-01T00:00:00Z";

macro_rules! rows {
    ($($file:literal, $capture:expr, $at:expr, $expected:expr;)*) => {
        &[$(Row { file: $file, capture: $capture, at: $at, expected: $expected },)*]
    };
}

use Capture::*;

const SDK_CHAIN: &str = "nvidia/attestation-sdk/gpu/hopperCertChain.txt";
const SDK_EXPIRED: &str = "nvidia/attestation-sdk/gpu/hopperCertChainExpired.txt";
const SWITCH_CHAIN: &str = "nvidia/attestation-sdk/switch/switchCertChain.txt";
const H100_CHAIN: &str = "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat";

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = rows! {
    // First: the golden set, with manifests and revocation.
    "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat", Nvidia(H100_CHAIN), JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/evidence_hopper_590_12.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/hopper_evidence.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/hopper_evidence_cert_hold.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/multi_gpu_hopper.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/multi_switch_ls10.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/evidence_json/switch_evidence_ls10.json", NvidiaJson, JUNE, Ok(());
    "nvidia/attestation-sdk/gpu/blackwellAttestationReport.txt", Nvidia("nvidia/attestation-sdk/gpu/blackwellCertChain.txt"), JUNE, Ok(());
    "nvidia/attestation-sdk/gpu/hopperAttestationReport.txt", Nvidia(SDK_CHAIN), JUNE, Ok(());
    "nvidia/attestation-sdk/gpu/hopperAttestationReportExpired.txt", Nvidia(SDK_EXPIRED), JUNE, Ok(());
    "nvidia/attestation-sdk/gpu/hopperAttestationReportInvalidSignature.txt", Nvidia(SDK_EXPIRED), JUNE, Err(GpuSignatureInvalid);
    "nvidia/attestation-sdk/gpu/hopperAttestationReportInvalidSignature.txt", Nvidia(SDK_CHAIN), JUNE, Err(GpuSignatureInvalid);
    "nvidia/attestation-sdk/gpu/hopperAttestationReport_unittest.txt", Nvidia("nvidia/attestation-sdk/gpu/hopperCertChain_unittest.txt"), JUNE, Ok(());
    "nvidia/attestation-sdk/switch/switchAttestationReport.txt", Nvidia(SWITCH_CHAIN), JUNE, Ok(());
    "nvidia/attestation-sdk/switch/switchAttestationReportInvalidSignature.txt", Nvidia(SWITCH_CHAIN), JUNE, Err(GpuSignatureInvalid);
    "nvidia/attestation-sdk/switch/switchAttestationReport_unittest.txt", Nvidia("nvidia/attestation-sdk/switch/switchCertChain_unittest.txt"), JUNE, Ok(());
    "nvidia/go-nvattest/test_mpt_data.json", NvidiaMachine, JUNE, Ok(());
    "nvidia/go-nvattest/test_ppcie_data.json", NvidiaMachine, JUNE, Ok(());
    "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat", Nvidia(SDK_CHAIN), JUNE, Err(GpuSignatureInvalid);
    "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat", Nvidia(SWITCH_CHAIN), JUNE, Err(GpuSignatureInvalid);
    "nvidia/go-nvattest/test_raw_switch_attestation_report.dat", Nvidia("nvidia/go-nvattest/test_switch_attestation_certificate_chain.dat"), JUNE, Err(GpuSignatureInvalid);
    "nvidia/nvtrust/hopperAttestationReport.txt", Nvidia("nvidia/nvtrust/hopperCertChain.txt"), JUNE, Ok(());
    "nvidia/nvtrust/ppcie/gpu_evidence.json", NvidiaJson, JUNE, Ok(());
    "nvidia/nvtrust/ppcie/switch_evidence.json", NvidiaJson, JUNE, Ok(());
    "nvidia/trustee/hopperAttestationReport.txt", Nvidia("nvidia/trustee/hopper_cert_chain_case1.txt"), JUNE, Ok(());
    "nvidia/trustee/hopperAttestationReport.txt", Nvidia("nvidia/trustee/hopper_cert_chain_case2.txt"), JUNE, Err(GpuChainInvalid);
    "nvidia/trustee/hopperAttestationReport.txt", Nvidia("nvidia/trustee/hopper_cert_chain_case3.txt"), JUNE, Err(GpuChainInvalid);
    "nvidia/trustee/hopperAttestationReport.txt", Nvidia("nvidia/trustee/hopper_cert_chain_case4.txt"), JUNE, Err(GpuChainInvalid);
    "nvidia/trustee/hopper_coco_report1.txt", Nvidia("nvidia/trustee/hopper_coco_certs1.txt"), JUNE, Ok(());

    "nvidia/attestation-sdk/rims/NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml", Manifest, RIM, Err(CollateralForged);
    "nvidia/attestation-sdk/rims/NV_GPU_DRIVER_GH100_550.144.03.xml", Manifest, RIM, Ok(());
    "nvidia/attestation-sdk/rims/NV_GPU_DRIVER_GH100_570.124.03_expired.xml", Manifest, RIM, Err(CertificateExpired);
    "nvidia/attestation-sdk/rims/NV_GPU_DRIVER_GH100_570.124.03_expired.xml", Manifest, "2025-01-01T12:00:00Z", Err(CollateralForged);
    "nvidia/attestation-sdk/rims/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml", Manifest, RIM, Ok(());
    "nvidia/attestation-sdk/rims/NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml", Manifest, RIM, Err(CollateralForged);
    "nvidia/attestation-sdk/rims/NV_SWITCH_BIOS_5612_0002_890_9610550001_measurement_mismatch.xml", Manifest, RIM, Err(CollateralForged);
    "nvidia/attestation-sdk/rims/incorrect_cert_chain_driver_rim.xml", Manifest, RIM, Err(CollateralForged);
    "nvidia/attestation-sdk/rims/incorrect_signature_driver_rim.xml", Manifest, RIM, Err(CollateralForged);
    "nvidia/attestation-sdk/rims/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml", Manifest, JUNE, Ok(());
    "nvidia/go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml", Manifest, RIM, Ok(());
    "nvidia/go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml", Manifest, RIM, Ok(());
    "nvidia/go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml", Manifest, JUNE, Err(CertificateExpired);
    "nvidia/go-nvattest/rim/success_valid_rim.xml", Manifest, RIM, Ok(());
    // Fragments that show one thing each, without a signature of NVIDIA's.
    "nvidia/go-nvattest/rim/success_payload_multiple_alternatives.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/success_payload_multiple_measurements.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/success_payload_single_measurement.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/valid_signed_xml.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_duplicate_index.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_empty_payload.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_hash_empty_namespace.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_alternatives.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_base64_cert.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_cert_bytes.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_index.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_pem_data.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_invalid_size.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_alternatives.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_colloquial_version.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_hash.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_index.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_meta.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_size.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_x509_certificate.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_missing_x509_data.xml", Manifest, RIM, Err(Malformed);
    "nvidia/go-nvattest/rim/failure_no_payload.xml", Manifest, RIM, Err(Malformed);
    "nvidia/nvtrust/rims/1010_0200_882_96005E0001_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0200_882_96005E0001_test_no_gpu.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0200_882_96005E0003_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0200_882_960074001A_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0200_882_960074001C_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0205_862_96005E0002_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0205_862_96005E0004_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0205_862_960074001F_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0205_862_9600740020_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0210_886_9600740011_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/1010_0215_866_9600740010_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/Driver_RIM_test_no_gpu.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0200_885_9600740001_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0200_885_960074000D_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0202_885_96006D0008_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0202_885_96006D0027_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0202_885_9600740014_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0202_885_9600740018_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0205_865_9600740006_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0205_865_960074000F_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0207_865_9600740015_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0207_865_9600740019_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0213_881_96006D0007_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0213_881_96006D0026_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0228_889_96006D000A_PROD.swidtag", Manifest, EARLY, Ok(());
    "nvidia/nvtrust/rims/g520_0228_889_96006D0029_PROD.swidtag", Manifest, EARLY, Ok(());

    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l2.der", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l2.der", Answer, "2025-08-23T12:00:00Z", Err(CollateralExpired);
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l3.der", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l4.der", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_driver_rim_l3.der", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_driver_rim_l4.der", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_rim_l2.der", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_vbios_l4.der", Answer, "2025-10-24T12:00:00Z", Ok(());
    // The same in base64.
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l2_base64encoded_ocsp_response.dat", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l3_base64encoded_ocsp_response.dat", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_certificate_l4_base64encoded_ocsp_response.dat", Answer, "2025-08-21T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_driver_rim_l3_base64encoded_ocsp_response.dat", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_driver_rim_l4_base64encoded_ocsp_response.dat", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_rim_l2_base64encoded_ocsp_response.dat", Answer, "2025-10-24T12:00:00Z", Ok(());
    "nvidia/go-nvattest/ocsp/test_gpu_vbios_l4_base64encoded_ocsp_response.dat", Answer, "2025-10-24T12:00:00Z", Ok(());

    // Debugging is for policy: the report is authentic.
    "snp/go-sev-guest/attestation.bin", SevSnp("snp/go-sev-guest/vcek.testcer"), JUNE, Ok(());
    "snp/go-sev-guest/attestation.bin", SevSnp("snp/trustee/snp/test-vcek-invalid-legacy.der"), JUNE, Err(CpuChainInvalid);
    "snp/go-sev-guest/attestation.bin", SevSnp("snp/trustee/snp/test-vcek-invalid-new.der"), JUNE, Err(CpuChainInvalid);
    "snp/ms-tee/genoa_attestation_report.bin", SevSnp("snp/ms-tee/genoa_vcek.pem"), JUNE, Ok(());
    "snp/ms-tee/milan_attestation_report.bin", SevSnp("snp/ms-tee/milan_vcek.pem"), JUNE, Ok(());
    "snp/ms-tee/milan_attestation_report.bin", SevSnp("snp/ms-tee/genoa_vcek.pem"), JUNE, Err(CpuSignatureInvalid);
    "snp/ms-tee/turin_attestation_report.bin", SevSnp("snp/ms-tee/turin_vcek.pem"), JUNE, Ok(());
    "snp/trustee/snp/test-report.bin", SevSnp("snp/trustee/snp/test-vcek.der"), JUNE, Ok(());
    "snp/trustee/snp/test-report.bin", SevSnp("snp/trustee/snp/test-vcek-invalid-legacy.der"), JUNE, Err(CpuChainInvalid);
    "snp/trustee/snp/test-vlek-report.bin", SevSnp("snp/trustee/snp/test-vlek.der"), RIM, Ok(());
    "snp/trustee/snp/test-vlek-report.bin", SevSnp("snp/trustee/snp/test-vlek.der"), JUNE, Err(CertificateExpired);
    "snp/virtee-sev/report_milan.hex", SevSnp("snp/virtee-sev/vcek_milan.der"), JUNE, Ok(());
    "snp/trustee/az-snp-vtpm/evidence-genoa.json", Azure, MARCH, Ok(());
    "snp/trustee/az-snp-vtpm/evidence-v0.json", Azure, MARCH, Ok(());
    "snp/trustee/az-snp-vtpm/evidence-v1.json", Azure, MARCH, Ok(());
    "snp/trustee/az-snp-vtpm/evidence-v2.json", Azure, MARCH, Ok(());

    "tdx/automata/evm-assets/quotes/alibaba_quote_5.dat", Tdx, JULY, Ok(());
    "tdx/automata/quotev4.hex", Tdx, JULY, Ok(());
    "tdx/automata/quotev5.dat", Tdx, JULY, Ok(());
    "tdx/dcap-qvl/quote_hex.txt", TdxRated("tdx/dcap-qvl/quote_collateral.json"), "2025-09-15T00:00:00Z", Ok(());
    "tdx/dcap-qvl/sgx_quote", Tdx, JULY, Err(VersionUnsupported);
    "tdx/dcap-qvl/tdx_quote", TdxRated("tdx/dcap-qvl/tdx_quote_collateral.json"), JULY, Ok(());
    "tdx/dcap-qvl/tdx_quote", TdxRated("tdx/dcap-qvl/tdx_quote_collateral.json"), "2026-11-22T00:00:00Z", Err(CollateralExpired);
    "tdx/dcap-qvl/tdx_quote", TdxRated("tdx/dcap-qvl/sgx_quote_collateral.json"), JULY, Err(TcbInfoMissing);
    "tdx/dcap-qvl/tdx_quote_outdated", TdxRated("tdx/dcap-qvl/tdx_quote_outdated_collateral.json"), MARCH, Err(CpuTcbTooLow);
    "tdx/dcap-qvl/tdx_quote_td15ex", TdxRated("tdx/dcap-qvl/tdx_quote_td15ex_collateral.json"), "2026-10-20T00:00:00Z", Ok(());
    "tdx/go-tdx-guest/cos-113-tdx-quote.dat", Tdx, JULY, Ok(());
    "tdx/go-tdx-guest/quote_v5_sample.dat", Tdx, MARCH, Ok(());
    "tdx/go-tdx-guest/tdx_prod_quote_SPR_E4.dat", Tdx, "2023-07-01T00:00:00Z", Ok(());
    "tdx/intel-qvl/quote.dat", Tdx, JULY, Err(VersionUnsupported);
    "tdx/intel-qvl/tdx/quote.dat", Tdx, JULY, Err(Malformed);
    "tdx/trustee/az-tdx-vtpm/evidence-v0.json", Azure, MARCH, Ok(());
    "tdx/trustee/az-tdx-vtpm/evidence-v1.json", Azure, MARCH, Ok(());
    // Debugging is for policy: the quote is authentic.
    "tdx/trustee/tdx_quote_4.dat", Tdx, JULY, Ok(());
    "tdx/trustee/tdx_quote_5.dat", Tdx, JULY, Ok(());
    "tdx/trustee/tdx_quote_6.dat", Tdx, JULY, Ok(());
};

/// What is no capture of its own: chains, keys and collateral of the rows above, roots that are
/// built in, and notes. A name that ends in `/` is a folder.
const PARTS: &[&str] = &[
    "nvidia/SOURCES.txt",
    "snp/SOURCES.txt",
    "tdx/SOURCES.txt",
    "nvidia/roots/",
    "snp/roots/",
    "tdx/roots/",
    // Tokens of NVIDIA's remote service, which are not evidence: nobody's hardware signed them.
    "nvidia/attestation-sdk/eat/",
    "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
    SDK_CHAIN,
    SDK_EXPIRED,
    "nvidia/attestation-sdk/gpu/hopperCertChain_unittest.txt",
    SWITCH_CHAIN,
    "nvidia/attestation-sdk/switch/switchCertChain_unittest.txt",
    "nvidia/attestation-sdk/rims/incorrect_rim_root.crt",
    "nvidia/attestation-sdk/spdm_parsed_output.json",
    "nvidia/attestation-sdk/spdm_req_parsed_output.json",
    "nvidia/attestation-sdk/switch_spdm_parsed_output.json",
    H100_CHAIN,
    "nvidia/go-nvattest/test_switch_attestation_certificate_chain.dat",
    "nvidia/go-nvattest/rim/test_valid_root_cert.dat",
    "nvidia/nvtrust/claims/",
    "nvidia/nvtrust/hopperCertChain.txt",
    "nvidia/trustee/hopperAttestationReport-claims.txt",
    "nvidia/trustee/hopper_cert_chain_case1.txt",
    "nvidia/trustee/hopper_cert_chain_case2.txt",
    "nvidia/trustee/hopper_cert_chain_case3.txt",
    "nvidia/trustee/hopper_cert_chain_case4.txt",
    "nvidia/trustee/hopper_coco_certs1.txt",
    "nvidia/trustee/hopper_signing_cert.pem",
    "nvidia/trustee/test-rim.b64",
    "snp/_restricted/",
    "snp/automata/",
    "snp/azure-cvm-tooling/",
    "snp/go-sev-guest/milan.testcer",
    "snp/go-sev-guest/milanvlek.testcer",
    "snp/go-sev-guest/vcek.testcer",
    "snp/ms-tee/genoa_ark.pem",
    "snp/ms-tee/genoa_ask.pem",
    "snp/ms-tee/genoa_vcek.pem",
    "snp/ms-tee/milan_ark.pem",
    "snp/ms-tee/milan_ask.pem",
    "snp/ms-tee/milan_vcek.pem",
    "snp/ms-tee/turin_ark.pem",
    "snp/ms-tee/turin_ask.pem",
    "snp/ms-tee/turin_vcek.pem",
    "snp/trustee/az-snp-vtpm/hcl-report.bin",
    "snp/trustee/az-snp-vtpm/quote.bin",
    "snp/trustee/az-snp-vtpm/tpm-quote-v1.json",
    "snp/trustee/az-snp-vtpm/tpm-quote.msg",
    "snp/trustee/az-snp-vtpm/tpm-quote.sig",
    "snp/trustee/az-snp-vtpm/vcek-genoa.pem",
    "snp/trustee/az-snp-vtpm/vcek.pem",
    "snp/trustee/genoa_ask_ark_asvk.pem",
    "snp/trustee/milan_ask_ark_asvk.pem",
    "snp/trustee/turin_ask_ark_asvk.pem",
    "snp/trustee/snp/test-vcek-invalid-legacy.der",
    "snp/trustee/snp/test-vcek-invalid-new.der",
    "snp/trustee/snp/test-vcek.der",
    "snp/trustee/snp/test-vlek.der",
    "snp/virtee-sev/cert_chain_milan",
    "snp/virtee-sev/cert_chain_turin",
    "snp/virtee-sev/vcek_milan.der",
    "snp/virtee-sev/vcek_turin.der",
    "tdx/automata/",
    "tdx/azure-cvm-tooling/",
    "tdx/dcap-qvl/quote-from-tappd.hex",
    "tdx/dcap-qvl/quote_collateral.json",
    "tdx/dcap-qvl/sgx_quote_collateral.json",
    "tdx/dcap-qvl/tdx-quote.hex",
    "tdx/dcap-qvl/tdx_quote_collateral.json",
    "tdx/dcap-qvl/tdx_quote_outdated_collateral.json",
    "tdx/dcap-qvl/tdx_quote_td15ex_collateral.json",
    "tdx/go-tdx-guest/README.md",
    "tdx/go-tdx-guest/pckcrl",
    "tdx/go-tdx-guest/report.dat",
    "tdx/go-tdx-guest/rootcrl.der",
    "tdx/go-tdx-guest/sample_qeIdentity_response",
    "tdx/go-tdx-guest/sample_tcbInfo_response",
    "tdx/go-tdx-guest/sample_tcbinfo_response_v5",
    // Chains and collateral under a root of the generator's own.
    "tdx/intel-qvl/",
    "tdx/trustee/az-tdx-vtpm/",
    "tdx/trustee/enclaveIdentity.json",
    "tdx/trustee/occlum_quote.dat",
    "tdx/trustee/parse_tdx_claims_expected.json",
    "tdx/trustee/tcbInfo.json",
];

/// The reports of an NVIDIA row, each with its chain.
pub(crate) fn devices(row: &Row) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    match row.capture {
        Nvidia(chain) => vec![(binary(row.file), certificates(chain))],
        NvidiaJson => decode::nvidia_evidence(&read(row.file))
            .unwrap_or_else(|r| panic!("{}: {r}", row.file))
            .into_iter()
            .map(|entry| (entry.report, entry.chain))
            .collect(),
        NvidiaMachine => {
            let (gpus, switches) = machine(row.file);
            gpus.into_iter().chain(switches).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the files of a row are here.
pub(crate) fn is_here(row: &Row) -> bool {
    let here = |file: &str| folder().is_some_and(|folder| folder.join(file).is_file());
    let partner = match row.capture {
        Nvidia(file) | SevSnp(file) | TdxRated(file) => here(file),
        _ => true,
    };
    here(row.file) && partner
}

/// Verifies a row. Says how many devices it was about.
fn verify(row: &Row) -> Result<usize, Rejection> {
    let (anchors, at) = (Anchors::vendor(), time(row.at));
    match row.capture {
        Nvidia(_) | NvidiaJson | NvidiaMachine => {
            let devices = devices(row);
            for (report, chain) in &devices {
                let report = nvidia::Report::parse(report)?;
                nvidia::verify(&report, &slices(chain), &anchors, at)?;
            }
            Ok(devices.len())
        }
        Manifest => rim::verify(&read(row.file), &anchors, at).map(|_| 1),
        Answer => answer(row),
        SevSnp(vek) => {
            let bytes = binary(row.file);
            let report = sev_snp::Report::parse(&bytes)?;
            sev_snp::verify(&report, &certificates(vek)[0], None, &anchors, at).map(|_| 1)
        }
        Tdx => {
            let bytes = binary(row.file);
            tdx::verify(&tdx::Quote::parse(&bytes)?, None, &anchors, at).map(|_| 1)
        }
        TdxRated(json) => {
            let (bytes, collateral) = (binary(row.file), tdx::Collateral::from_json(&read(json))?);
            tdx::verify(&tdx::Quote::parse(&bytes)?, Some(&collateral), &anchors, at).map(|_| 1)
        }
        Azure => {
            let verifier = Verifier::new(&anchors, at);
            azure::verify_with(&azure::capture(row.file), b"challenge", &verifier).map(|_| 1)
        }
    }
}

/// Finds the certificate of the golden set that an answer is about, and asks the answer.
fn answer(row: &Row) -> Result<usize, Rejection> {
    let mut chains = vec![certificates(H100_CHAIN)];
    for manifest in [
        "nvidia/go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml",
        "nvidia/go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml",
    ] {
        let manifest = rim::verify(&read(manifest), &Anchors::vendor(), time(RIM))?;
        chains.push(manifest.device().chain.clone());
    }
    let bytes = read(row.file);
    let bytes = STANDARD.decode(bytes.trim_ascii()).unwrap_or(bytes);
    let response = Response::parse(&bytes)?;
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        let (one, issuer) = (Certificate::parse(&pair[0])?, Certificate::parse(&pair[1])?);
        if response.is_about(&one, &issuer) {
            response.check(&one, &issuer, Hold::Refuse, time(row.at), &mut ())?;
            return Ok(1);
        }
    }
    panic!("{}: about no certificate of the golden set", row.file)
}

#[test]
fn every_capture_gets_its_verdict() {
    if folder().is_none() {
        return println!("captures are not here, {} rows skipped", ROWS.len());
    }
    let (mut genuine, mut negative, mut absent, mut devices) = (0, 0, 0, 0);
    for row in ROWS {
        if !is_here(row) {
            println!("  skipped, not here: {}", row.file);
            absent += 1;
            continue;
        }
        let found = verify(row);
        let name = format!("{} ({:?}) at {}", row.file, row.capture, row.at);
        match (row.expected, &found) {
            (Ok(()), Ok(count)) => {
                println!("  accepted: {name}");
                (genuine, devices) = (genuine + 1, devices + count);
            }
            (Err(reason), Err(rejection)) => {
                assert_eq!(rejection.reason, reason, "{name}: {rejection}");
                println!("  {reason}: {name}");
                negative += 1;
            }
            (Ok(()), Err(rejection)) => panic!("{name}: refused: {rejection}"),
            (Err(reason), Ok(_)) => panic!("{name}: accepted, expected {reason}"),
        }
    }
    println!(
        "{} real captures: {genuine} accepted ({devices} devices and documents), {negative} refused for their reason, {absent} not here",
        genuine + negative
    );
    assert!(genuine > 0, "the folder is here but none of its captures");
}

#[test]
fn every_file_is_listed() {
    let Some(root) = folder() else {
        return println!("captures are not here, listing skipped");
    };
    let mut found = BTreeSet::new();
    list(&root, &root, &mut found);
    let listed = |file: &str| {
        ROWS.iter().any(|row| row.file == file)
            || PARTS
                .iter()
                .any(|part| *part == file || (part.ends_with('/') && file.starts_with(part)))
    };
    let unlisted: Vec<&String> = found.iter().filter(|file| !listed(file)).collect();
    assert!(
        unlisted.is_empty(),
        "captures without a row in table.rs, say what must become of them: {unlisted:#?}"
    );
    println!("{} files, each listed", found.len());
}

fn list(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.replace('\\', "/"));
        }
    }
}
