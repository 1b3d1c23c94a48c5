//! One flipped bit anywhere in what is signed, and one flipped byte anywhere in a certificate or a
//! manifest, is refused: of every capture, one by one, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};

use vouch_evidence::{Anchors, Cache, Verifier, nvidia, sev_snp, tdx};

use crate::folder::{binary, certificates, each, folder, read, slices, time};
use crate::table::{Capture, ROWS, Row, devices, is_here};

/// Tries every flip below `count`, on every core, and panics with one that is accepted.
fn refused(what: &str, count: usize, accepts: impl Fn(usize) -> bool + Sync) -> usize {
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
    count
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// One bit of byte `at`, another one for each byte.
fn flipped_byte(bytes: &[u8], at: usize) -> Vec<u8> {
    flipped(bytes, at * 8 + at % 8)
}

/// The genuine captures that are here.
fn genuine() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(|row| row.expected.is_ok() && is_here(row))
}

fn skipped(what: &str) -> bool {
    let skipped = folder().is_none();
    if skipped {
        println!("{what}: captures are not here, skipped");
    }
    skipped
}

#[test]
fn nvidia_reports_and_chains() {
    if skipped("NVIDIA mutations") {
        return;
    }
    let (anchors, mut seen) = (Anchors::vendor(), Vec::new());
    let (mut reports, mut flips) = (0, 0);
    for row in genuine() {
        for (bytes, chain) in devices(row) {
            if seen.contains(&bytes) {
                continue;
            }
            let cache = Cache::new();
            let cold = Verifier::new(&anchors, time(row.at));
            let cached = cold.with_cache(&cache);
            let accepts = |bytes: &[u8], chain: &[Vec<u8>], verifier: &Verifier<'_>| {
                nvidia::Report::parse(bytes).is_ok_and(|report| {
                    nvidia::verify_observed(&report, &slices(chain), verifier, &mut ()).is_ok()
                })
            };
            assert!(accepts(&bytes, &chain, &cached), "{}", row.file);
            let report = nvidia::Report::parse(&bytes).unwrap();
            // What follows the signature is not part of the report.
            let whole = report.bytes.len();
            flips += refused(row.file, whole * 8, |bit| {
                accepts(&flipped(&bytes, bit), &chain, &cached)
            });
            for index in 0..chain.len() {
                // Flips in the leaf leave its issuers as they were, and known.
                let verifier = if index == 0 { &cached } else { &cold };
                let name = format!("{}, certificate {index}", row.file);
                flips += refused(&name, chain[index].len(), |at| {
                    let mut chain = chain.clone();
                    chain[index] = flipped_byte(&chain[index], at);
                    accepts(&bytes, &chain, verifier)
                });
            }
            seen.push(bytes);
            reports += 1;
        }
    }
    println!("NVIDIA mutations: {flips} flips of {reports} reports and their chains refused");
}

#[test]
fn sev_snp_reports_and_keys() {
    if skipped("SEV-SNP mutations") {
        return;
    }
    let (anchors, mut reports, mut flips) = (Anchors::vendor(), 0, 0);
    for row in genuine() {
        let Capture::SevSnp(vek) = row.capture else {
            continue;
        };
        let (bytes, vek) = (binary(row.file), certificates(vek).remove(0));
        let cache = Cache::new();
        let cold = Verifier::new(&anchors, time(row.at));
        let cached = cold.with_cache(&cache);
        let accepts =
            |bytes: &[u8], vek: &[u8], chain: Option<(&[u8], &[u8])>, verifier: &Verifier<'_>| {
                let chain = chain.map(|(signer, root)| sev_snp::Chain { signer, root });
                sev_snp::Report::parse(bytes).is_ok_and(|report| {
                    sev_snp::verify_observed(&report, vek, chain.as_ref(), verifier, &mut ())
                        .is_ok()
                })
            };
        assert!(accepts(&bytes, &vek, None, &cached), "{}", row.file);
        let report = sev_snp::Report::parse(&bytes).unwrap();
        let authentic = sev_snp::verify(&report, &vek, None, &anchors, time(row.at)).unwrap();
        let key = authentic.device();
        let (signer, root): (&[u8], &[u8]) = (&key.signer, &key.root);
        assert!(accepts(&bytes, &vek, Some((signer, root)), &cold));
        flips += refused(row.file, bytes.len() * 8, |bit| {
            accepts(&flipped(&bytes, bit), &vek, None, &cached)
        });
        flips += refused(&format!("{}, key", row.file), vek.len(), |at| {
            accepts(&bytes, &flipped_byte(&vek, at), None, &cold)
        });
        flips += refused(&format!("{}, signer", row.file), signer.len(), |at| {
            accepts(&bytes, &vek, Some((&flipped_byte(signer, at), root)), &cold)
        });
        flips += refused(&format!("{}, root", row.file), root.len(), |at| {
            accepts(&bytes, &vek, Some((signer, &flipped_byte(root, at))), &cold)
        });
        reports += 1;
    }
    println!("SEV-SNP mutations: {flips} flips of {reports} reports and their chains refused");
}

#[test]
fn tdx_quotes_and_chains() {
    if skipped("TDX mutations") {
        return;
    }
    let (anchors, mut quotes, mut flips, mut seen) = (Anchors::vendor(), 0, 0, Vec::new());
    // A quote that Intel's collateral refuses is genuine too.
    let rows = ROWS.iter().filter(|row| {
        let outdated = row.file.ends_with("tdx_quote_outdated");
        is_here(row) && (outdated || row.expected.is_ok())
    });
    for row in rows {
        if !matches!(row.capture, Capture::Tdx | Capture::TdxRated(_)) || seen.contains(&row.file) {
            continue;
        }
        let bytes = binary(row.file);
        let cache = Cache::new();
        let verifier = Verifier::new(&anchors, time(row.at)).with_cache(&cache);
        let accepts = |bytes: &[u8]| {
            tdx::Quote::parse(bytes)
                .is_ok_and(|quote| tdx::verify_observed(&quote, None, &verifier, &mut ()).is_ok())
        };
        assert!(accepts(&bytes), "{}", row.file);
        let quote = tdx::Quote::parse(&bytes).unwrap();
        let tdx::Certification::Chain(pem) = quote.certification else {
            panic!("{}: no chain", row.file)
        };
        let pem_at = quote.length - pem.len();
        let end = pem_at
            + pem
                .windows(25)
                .rposition(|window| window == b"-----END CERTIFICATE-----")
                .unwrap()
            + 25;
        flips += refused(row.file, pem_at * 8, |bit| accepts(&flipped(&bytes, bit)));
        let text = end - pem_at;
        flips += refused(&format!("{}, chain", row.file), text, |at| {
            // Seven bits: text stays text, or becomes what is none.
            let at = pem_at + at;
            accepts(&flipped(&bytes, at * 8 + at % 7))
        });
        // What follows the quote decides nothing.
        let mut padded = bytes.clone();
        padded[quote.length..].fill(0xa5);
        assert!(accepts(&padded));
        seen.push(row.file);
        quotes += 1;
    }
    println!("TDX mutations: {flips} flips of {quotes} quotes and their chains refused");
}

#[test]
fn manifests() {
    if skipped("manifest mutations") {
        return;
    }
    let (anchors, mut files, mut flips) = (Anchors::vendor(), 0, 0);
    for row in genuine().filter(|row| matches!(row.capture, Capture::Manifest)) {
        let xml = read(row.file);
        // A flip outside of the certificates leaves them as they were, and known.
        let cache = Cache::new();
        let cached = Verifier::new(&anchors, time(row.at)).with_cache(&cache);
        let accepts = |xml: &[u8]| nvidia::rim::verify_observed(xml, &cached, &mut ()).is_ok();
        assert!(accepts(&xml), "{}", row.file);
        flips += refused(row.file, xml.len(), |at| {
            let mut changed = xml.clone();
            changed[at] ^= 0x01;
            accepts(&changed)
        });
        files += 1;
    }
    println!("manifest mutations: {flips} flips of {files} manifests refused");
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
