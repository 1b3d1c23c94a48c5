//! One flipped bit anywhere in what is signed, and one flipped byte anywhere in a certificate, is
//! refused. `VOUCH_MUTATE=all` flips every bit of every capture; otherwise every bit of the golden
//! ones is flipped.

use std::sync::atomic::{AtomicUsize, Ordering};

use vouch_evidence::{Anchors, Cache, Verifier, nvidia, sev_snp};

use crate::folder::{binary, certificates, each, slices, time};

fn all() -> bool {
    std::env::var_os("VOUCH_MUTATE").is_some_and(|value| value == "all")
}

/// Calls `accepts` with each index, on every core, and panics with the first that is accepted.
fn refused(what: &str, count: usize, accepts: impl Fn(usize) -> bool + Sync) {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    assert!(!accepts(index), "{what}: accepted with flip {index}");
                }
            });
        }
    });
    println!("  {what}: {count} flips refused");
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn nvidia_reports_and_chains() {
    let rows = [
        (
            "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat",
            "nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat",
            true,
        ),
        (
            "nvidia/attestation-sdk/gpu/blackwellAttestationReport.txt",
            "nvidia/attestation-sdk/gpu/blackwellCertChain.txt",
            false,
        ),
        (
            "nvidia/attestation-sdk/switch/switchAttestationReport.txt",
            "nvidia/attestation-sdk/switch/switchCertChain.txt",
            false,
        ),
        (
            "nvidia/attestation-sdk/gpu/hopperAttestationReport.txt",
            "nvidia/attestation-sdk/gpu/hopperCertChain.txt",
            false,
        ),
    ];
    let (anchors, cache) = (Anchors::vendor(), Cache::new());
    let at = time("2026-06-01T00:00:00Z");
    each(
        "NVIDIA mutations",
        &rows,
        |row| row.0,
        |(report, chain, golden)| {
            let (bytes, chain) = (binary(report), certificates(chain));
            let verifier = Verifier::new(&anchors, at).with_cache(&cache);
            let accepts = |bytes: &[u8], chain: &[Vec<u8>], verifier: &Verifier<'_>| {
                nvidia::Report::parse(bytes).is_ok_and(|report| {
                    nvidia::verify_observed(&report, &slices(chain), verifier, &mut ()).is_ok()
                })
            };
            assert!(accepts(&bytes, &chain, &verifier));
            let step = if *golden || all() { 1 } else { 37 };
            refused(report, bytes.len() * 8 / step, |index| {
                accepts(&flipped(&bytes, index * step), &chain, &verifier)
            });
            let cold = Verifier::new(&anchors, at);
            let step = if *golden || all() { 1 } else { 11 };
            for certificate in 0..chain.len() {
                refused(
                    &format!("{report}, certificate {certificate}"),
                    chain[certificate].len() / step,
                    |index| {
                        let mut chain = chain.clone();
                        chain[certificate] =
                            flipped(&chain[certificate], index * step * 8 + index % 8);
                        accepts(&bytes, &chain, &cold)
                    },
                );
            }
        },
    );
}

#[test]
fn sev_snp_reports_and_keys() {
    let rows = ["milan", "genoa", "turin"]
        .map(|name| (format!("snp/ms-tee/{name}_attestation_report.bin"), name));
    let (anchors, cache) = (Anchors::vendor(), Cache::new());
    let at = time("2026-06-01T00:00:00Z");
    each(
        "SEV-SNP mutations",
        &rows,
        |row| &row.0,
        |(report, name)| {
            let bytes = binary(report);
            let file =
                |what: &str| certificates(&format!("snp/ms-tee/{name}_{what}.pem")).remove(0);
            let (vek, signer, root) = (file("vcek"), file("ask"), file("ark"));
            let accepts =
                |bytes: &[u8], vek: &[u8], chain: Option<(&[u8], &[u8])>, cached: bool| {
                    let mut verifier = Verifier::new(&anchors, at);
                    if cached {
                        verifier = verifier.with_cache(&cache);
                    }
                    let chain = chain.map(|(signer, root)| sev_snp::Chain { signer, root });
                    sev_snp::Report::parse(bytes).is_ok_and(|report| {
                        sev_snp::verify_observed(&report, vek, chain.as_ref(), &verifier, &mut ())
                            .is_ok()
                    })
                };
            assert!(accepts(&bytes, &vek, None, true));
            refused(report, bytes.len() * 8, |bit| {
                accepts(&flipped(&bytes, bit), &vek, None, true)
            });
            refused(&format!("{name} VCEK"), vek.len(), |byte| {
                accepts(&bytes, &flipped(&vek, byte * 8 + byte % 8), None, false)
            });
            refused(&format!("{name} ASK"), signer.len(), |byte| {
                accepts(
                    &bytes,
                    &vek,
                    Some((&flipped(&signer, byte * 8 + byte % 8), &root)),
                    false,
                )
            });
            refused(&format!("{name} ARK"), root.len(), |byte| {
                accepts(
                    &bytes,
                    &vek,
                    Some((&signer, &flipped(&root, byte * 8 + byte % 8))),
                    false,
                )
            });
        },
    );
}

#[test]
fn truncated_reports_are_refused() {
    let rows = [
        "nvidia/go-nvattest/test_raw_gpu_attestation_report.dat",
        "snp/ms-tee/milan_attestation_report.bin",
    ];
    each(
        "truncations",
        &rows,
        |row| row,
        |row| {
            let bytes = binary(row);
            for length in 0..bytes.len() {
                let cut = &bytes[..length];
                assert!(
                    nvidia::Report::parse(cut).is_err() && sev_snp::Report::parse(cut).is_err(),
                    "{row}: {length} bytes"
                );
            }
        },
    );
}
