//! What is measured: real captures where they are, simulated evidence otherwise.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::path::PathBuf;

use vouch_evidence::{Anchors, Time, decode, tdx};
use vouch_simulator::{Machine, Options, Session, roots};

/// A GPU report, a SEV-SNP report, and when they are to be verified.
pub(crate) struct Evidence {
    pub(crate) gpu: Vec<u8>,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) snp: Vec<u8>,
    pub(crate) vek: Vec<u8>,
    pub(crate) anchors: Anchors,
    pub(crate) time: Time,
}

/// A TDX quote with its collateral as two verifiers read it.
pub(crate) struct Quote {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ours: tdx::Collateral,
    pub(crate) theirs: dcap_qvl::QuoteCollateralV3,
    pub(crate) time: Time,
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VOUCH_EVIDENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

/// Whether real captures are measured.
pub(crate) fn captured() -> bool {
    folder().is_some()
}

pub(crate) fn evidence() -> Evidence {
    if let Some(folder) = folder() {
        let read = |path: &str| std::fs::read(folder.join(path)).unwrap();
        return Evidence {
            gpu: read("nvidia/go-nvattest/test_raw_gpu_attestation_report.dat"),
            chain: decode::certificates(&read(
                "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat",
            ))
            .unwrap(),
            snp: read("snp/ms-tee/milan_attestation_report.bin"),
            vek: decode::certificates(&read("snp/ms-tee/milan_vcek.pem"))
                .unwrap()
                .remove(0),
            anchors: Anchors::vendor(),
            time: Time::from_utc(2026, 6, 1, 0, 0, 0).unwrap(),
        };
    }
    let statement = Session::from_secret([1; 32]).start(Default::default(), Default::default());
    let mut evidence = Machine::new(b"bench").evidence(&statement, &Options::default());
    let roots = roots();
    let gpu = evidence.gpus.remove(0);
    Evidence {
        gpu: gpu.report,
        chain: gpu.chain,
        snp: evidence.cpu.report,
        vek: evidence.cpu.chain[0].clone(),
        anchors: Anchors::vendor()
            .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
            .unwrap(),
        time: Time::from_utc(2026, 11, 22, 0, 0, 0).unwrap(),
    }
}

pub(crate) fn quote() -> Option<Quote> {
    let folder = folder()?;
    let read = |path: &str| std::fs::read(folder.join(path)).unwrap();
    let json = read("tdx/dcap-qvl/tdx_quote_collateral.json");
    Some(Quote {
        bytes: read("tdx/dcap-qvl/tdx_quote"),
        ours: tdx::Collateral::from_json(&json).unwrap(),
        theirs: serde_json::from_slice(&json).unwrap(),
        time: Time::from_utc(2025, 7, 1, 0, 0, 0).unwrap(),
    })
}
