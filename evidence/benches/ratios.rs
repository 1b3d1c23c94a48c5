//! What verification costs next to the bare signatures that it cannot do without, and next to other
//! verifiers. Everything that is compared runs in turns, many short ones, and the shortest counts:
//! a busy machine then hurts all alike. `--json FILE` writes the result.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    missing_docs
)]

mod cases;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use vouch_evidence::batch::{self, Item};
use vouch_evidence::x509::{Certificate, PublicKey};
use vouch_evidence::{Cache, Verifier, nvidia, sev_snp, signature, tdx};

/// Turns that each measured thing gets.
const ROUNDS: usize = 400;
/// How long a turn is meant to take.
const TURN: Duration = Duration::from_millis(2);
/// Reports of one batch.
const BATCH: usize = 512;

/// Something that is measured.
struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    /// Runs in one turn.
    runs: u32,
    best: Duration,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, mut run: impl FnMut() + 'a) -> Self {
        run();
        let start = Instant::now();
        run();
        let once = start.elapsed().max(Duration::from_nanos(100));
        let runs = u32::try_from(TURN.as_nanos() / once.as_nanos()).unwrap();
        Self {
            name,
            run: Box::new(run),
            runs: runs.max(1),
            best: Duration::MAX,
        }
    }

    fn turn(&mut self) {
        let start = Instant::now();
        for _ in 0..self.runs {
            (self.run)();
        }
        self.best = self.best.min(start.elapsed() / self.runs);
    }
}

fn main() {
    // Cargo says so when it measures. A test runner that takes every target only wants to know what there is.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let json = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => None,
        (Some("--json"), Some(file)) => Some(file),
        _ => panic!("expected --json FILE"),
    };
    let found = measure();
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    print!("{text}");
    if let Some(file) = json {
        std::fs::write(file, text).unwrap();
    }
}

/// `r || s` of a signature in DER.
fn fixed(der: &[u8]) -> [u8; 96] {
    let mut out = [0; 96];
    let mut rest = &der[2..];
    for half in out.chunks_exact_mut(48) {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[length.saturating_sub(48)..];
        half[48 - number.len()..].copy_from_slice(number);
        rest = &rest[2 + length..];
    }
    out
}

fn measure() -> BTreeMap<&'static str, serde_json::Value> {
    let evidence = cases::evidence();
    let chain: Vec<&[u8]> = evidence.chain.iter().map(Vec::as_slice).collect();
    let cache = Cache::new();
    let cold = Verifier::new(&evidence.anchors, evidence.time);
    let cached = cold.with_cache(&cache);

    let key = |certificate: &Certificate<'_>| match certificate.key {
        PublicKey::P384(key) => *key,
        _ => panic!("a P-384 key"),
    };
    let leaf = Certificate::parse(chain[0]).unwrap();
    let (leaf_key, chip_key) = (key(&leaf), key(&Certificate::parse(chain[1]).unwrap()));
    let vek_key = key(&Certificate::parse(&evidence.vek).unwrap());
    let report = nvidia::Report::parse(&evidence.gpu).unwrap();
    let snp_report = sev_snp::Report::parse(&evidence.snp).unwrap();
    let leaf_signature = fixed(leaf.signature);

    let gpu = |verifier: &Verifier<'_>| {
        let report = nvidia::Report::parse(black_box(&evidence.gpu)).unwrap();
        drop(nvidia::verify_observed(&report, &chain, verifier, &mut ()).unwrap());
    };
    let snp = |verifier: &Verifier<'_>| {
        let report = sev_snp::Report::parse(black_box(&evidence.snp)).unwrap();
        drop(sev_snp::verify_observed(&report, &evidence.vek, None, verifier, &mut ()).unwrap());
    };
    let quote = cases::quote();
    let quote_cache = Cache::new();
    let parsed = quote.as_ref().map(|quote| {
        let verifier = Verifier::new(&evidence.anchors, quote.time);
        tdx::verify_collateral(&quote.ours, &verifier, &mut ()).unwrap()
    });
    // Neighbours in this list run one after the other: what is compared stands together.
    let mut cases = vec![
        Case::new("p384_portable", || {
            let (signed, signature) = (black_box(report.signed), report.signature);
            assert!(signature::portable::verify_p384(
                &leaf_key, signed, signature
            ));
        }),
        Case::new("p384_snp_report", || {
            let (signed, signature) = (black_box(snp_report.signed), &snp_report.signature);
            assert!(signature::verify_p384(&vek_key, signed, signature));
        }),
        Case::new("snp_cached", || snp(&cached)),
        Case::new("snp_cold", || snp(&cold)),
        Case::new("two_p384_gpu_leaf_and_report", || {
            let (signed, signature) = (black_box(report.signed), report.signature);
            assert!(signature::verify_p384(&leaf_key, signed, signature));
            let tbs = black_box(leaf.tbs);
            assert!(signature::verify_p384(&chip_key, tbs, &leaf_signature));
        }),
        Case::new("gpu_cached", || gpu(&cached)),
        Case::new("gpu_cold", || gpu(&cold)),
    ];
    if let (Some(quote), Some(parsed)) = (&quote, &parsed) {
        let cold = Verifier::new(&evidence.anchors, quote.time);
        let cached = cold.with_cache(&quote_cache);
        let verify = |collateral: &tdx::AuthenticCollateral, verifier: &Verifier<'_>| {
            let quote = tdx::Quote::parse(black_box(&quote.bytes)).unwrap();
            drop(tdx::verify_observed(&quote, Some(collateral), verifier, &mut ()).unwrap());
        };
        let theirs = dcap_qvl::verify::QuoteVerifier::new_prod();
        cases.extend([
            Case::new("tdx_cached", move || verify(parsed, &cached)),
            Case::new("tdx_parsed_collateral", move || verify(parsed, &cold)),
            Case::new("dcap_qvl", move || {
                let bytes = black_box(&quote.bytes);
                drop(
                    theirs
                        .verify(bytes, &quote.theirs, quote.time.unix())
                        .unwrap(),
                );
            }),
            Case::new("tdx_with_collateral", move || {
                verify(
                    &tdx::verify_collateral(&quote.ours, &cold, &mut ()).unwrap(),
                    &cold,
                );
            }),
        ]);
    }
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::turn);
    }

    let items = vec![
        Item {
            report: &evidence.gpu,
            chain: &chain
        };
        BATCH
    ];
    let per_second = |verifier: &Verifier<'_>| {
        let once = || {
            let start = Instant::now();
            assert!(batch::verify(&items, verifier).iter().all(Result::is_ok));
            start.elapsed().as_secs_f64()
        };
        let best = (0..20).map(|_| once()).fold(f64::MAX, f64::min);
        (BATCH as f64 / best).round()
    };

    let times: BTreeMap<&str, u128> = cases
        .iter()
        .map(|case| (case.name, case.best.as_nanos()))
        .collect();
    let ratio = |one: &str, other: &str| {
        let (one, other) = (times.get(one)?, times.get(other)?);
        Some((*one as f64 / *other as f64 * 1e4).round() / 1e4)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    BTreeMap::from([
        (
            "evidence",
            if cases::captured() {
                "captures"
            } else {
                "simulated"
            }
            .into(),
        ),
        ("cores", cores.into()),
        ("rounds", ROUNDS.into()),
        (
            "gpu_cached_over_two_p384",
            ratio("gpu_cached", "two_p384_gpu_leaf_and_report").into(),
        ),
        (
            "snp_cached_over_one_p384",
            ratio("snp_cached", "p384_snp_report").into(),
        ),
        (
            "tdx_over_dcap_qvl",
            ratio("tdx_parsed_collateral", "dcap_qvl").into(),
        ),
        (
            "tdx_with_collateral_over_dcap_qvl",
            ratio("tdx_with_collateral", "dcap_qvl").into(),
        ),
        ("gpu_per_second_all_cores", per_second(&cached).into()),
        ("gpu_cold_per_second_all_cores", per_second(&cold).into()),
        ("nanoseconds", serde_json::json!(times)),
    ])
}
