//! What verification costs, family by family. How that compares with bare signatures and with other
//! verifiers is for `ratios`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod cases;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use vouch_evidence::batch::{self, Item};
use vouch_evidence::x509::{Certificate, PublicKey};
use vouch_evidence::{Anchors, Cache, Verifier, nvidia, sev_snp, signature, tdx};

fn verification(c: &mut Criterion) {
    let evidence = cases::evidence();
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
    let Some(cases::Quote {
        bytes,
        ours: collateral,
        theirs,
        time,
    }) = cases::quote()
    else {
        return;
    };
    let (anchors, cache) = (Anchors::vendor(), Cache::new());
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
