//! What verification costs, next to the bare signatures that it cannot do without. Reads real
//! captures where they are, and simulated evidence otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use vouch_evidence::batch::{self, Item};
use vouch_evidence::x509::{Certificate, PublicKey};
use vouch_evidence::{Anchors, Cache, Time, Verifier, decode, nvidia, sev_snp, signature, tdx};
use vouch_simulator::{Machine, Options, Session, roots};

/// A GPU report, a SEV-SNP report, and when they are to be verified.
struct Evidence {
    gpu: Vec<u8>,
    chain: Vec<Vec<u8>>,
    snp: Vec<u8>,
    vek: Vec<u8>,
    anchors: Anchors,
    time: Time,
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VOUCH_EVIDENCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
        PathBuf::from,
    );
    folder.is_dir().then_some(folder)
}

fn evidence() -> Evidence {
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

fn verification(c: &mut Criterion) {
    let evidence = evidence();
    let cache = Cache::new();
    let cold = Verifier::new(&evidence.anchors, evidence.time);
    let cached = cold.with_cache(&cache);
    let chain: Vec<&[u8]> = evidence.chain.iter().map(Vec::as_slice).collect();

    let leaf = Certificate::parse(chain[0]).unwrap();
    let PublicKey::P384(key) = leaf.key else {
        panic!("a GPU's key is P-384")
    };
    let parsed = nvidia::Report::parse(&evidence.gpu).unwrap();
    c.bench_function("p384", |b| {
        b.iter(|| {
            assert!(signature::verify_p384(
                key,
                black_box(parsed.signed),
                parsed.signature
            ))
        });
    });
    c.bench_function("p384_portable", |b| {
        b.iter(|| {
            assert!(signature::portable::verify_p384(
                key,
                black_box(parsed.signed),
                parsed.signature
            ))
        });
    });

    let gpu = |verifier: &Verifier<'_>| {
        let report = nvidia::Report::parse(black_box(&evidence.gpu)).unwrap();
        nvidia::verify_observed(&report, &chain, verifier, &mut ()).unwrap()
    };
    c.bench_function("gpu_cold", |b| b.iter(|| drop(gpu(&cold))));
    c.bench_function("gpu_cached", |b| b.iter(|| drop(gpu(&cached))));

    let snp = |verifier: &Verifier<'_>| {
        let report = sev_snp::Report::parse(black_box(&evidence.snp)).unwrap();
        sev_snp::verify_observed(&report, &evidence.vek, None, verifier, &mut ()).unwrap()
    };
    c.bench_function("snp_cold", |b| b.iter(|| drop(snp(&cold))));
    c.bench_function("snp_cached", |b| b.iter(|| drop(snp(&cached))));

    let items = vec![
        Item {
            report: &evidence.gpu,
            chain: &chain
        };
        256
    ];
    let mut group = c.benchmark_group("batch");
    group
        .throughput(criterion::Throughput::Elements(256))
        .sample_size(10);
    group.bench_function("gpu_256_all_cores", |b| {
        b.iter(|| drop(batch::verify(&items, &cached)))
    });
    group.finish();
}

/// The same quote and collateral as `dcap-qvl` reads, where the captures are here.
fn quotes(c: &mut Criterion) {
    let Some(folder) = folder() else { return };
    let read = |path: &str| std::fs::read(folder.join(path)).unwrap();
    let (bytes, json) = (
        read("tdx/dcap-qvl/tdx_quote"),
        read("tdx/dcap-qvl/tdx_quote_collateral.json"),
    );
    let (anchors, cache) = (Anchors::vendor(), Cache::new());
    let time = Time::from_utc(2025, 7, 1, 0, 0, 0).unwrap();
    let collateral = tdx::Collateral::from_json(&json).unwrap();
    let cold = Verifier::new(&anchors, time);
    c.bench_function("tdx_cold", |b| {
        b.iter(|| {
            let quote = tdx::Quote::parse(black_box(&bytes)).unwrap();
            drop(tdx::verify(&quote, Some(&collateral), &anchors, time).unwrap());
        });
    });
    let parsed = tdx::verify_collateral(&collateral, &cold, &mut ()).unwrap();
    let cached = cold.with_cache(&cache);
    c.bench_function("tdx_parsed_collateral", |b| {
        b.iter(|| {
            let quote = tdx::Quote::parse(black_box(&bytes)).unwrap();
            drop(tdx::verify_observed(&quote, Some(&parsed), &cold, &mut ()).unwrap());
        });
    });
    c.bench_function("tdx_cached", |b| {
        b.iter(|| {
            let quote = tdx::Quote::parse(black_box(&bytes)).unwrap();
            drop(tdx::verify_observed(&quote, Some(&parsed), &cached, &mut ()).unwrap());
        });
    });
    let theirs: dcap_qvl::QuoteCollateralV3 = serde_json::from_slice(&json).unwrap();
    let verifier = dcap_qvl::verify::QuoteVerifier::new_prod();
    c.bench_function("dcap_qvl", |b| {
        b.iter(|| {
            drop(
                verifier
                    .verify(black_box(&bytes), &theirs, time.unix())
                    .unwrap(),
            )
        });
    });
}

criterion_group!(benches, verification, quotes);
criterion_main!(benches);
