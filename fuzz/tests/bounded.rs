//! Each target on its seeds, on what fuzzing found before, and on changed seeds: a bounded share of
//! what `scripts/fuzz` does, the same each time. `VOUCH_FUZZ_RUNS` says how many changes.

#![allow(missing_docs, reason = "tests")]

use vouch_fuzz::{Mutator, TARGETS, run, seeds};

const RUNS: u32 = 4_000;

fn bounded(name: &str) {
    let runs = std::env::var("VOUCH_FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} starts from nothing");
    for seed in &seeds {
        run(name, seed);
    }
    let found = concat!(env!("CARGO_MANIFEST_DIR"), "/found");
    for file in std::fs::read_dir(format!("{found}/{name}"))
        .into_iter()
        .flatten()
    {
        run(name, &std::fs::read(file.unwrap().path()).unwrap());
    }
    let mut mutator = Mutator::new(name.len().try_into().unwrap());
    for _ in 0..runs {
        run(name, &mutator.change(&seeds));
    }
    println!("{name}: {} seeds, {runs} changes", seeds.len());
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            bounded(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

tests! {
    azure_hcl azure_tpm_quote bundle certificate certificate_chain crl decode nvidia_opaque
    nvidia_report ocsp_response pack qe_identity rim rim_xml sealed_key sev_snp_report statement
    tcb_info tdx_collateral tdx_quote
}
