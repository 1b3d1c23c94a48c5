//! The job: small, but computed. A dataset of product reviews is made, and word counts by rating
//! are learned from it.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use serde_json::json;
use sha2::{Digest, Sha256};
use vouch_protocol::{Counters, DatasetMeasure};
use vouch_simulator::Work;

/// Records of the dataset.
pub(super) const RECORDS: u64 = 2_000;
/// What a record looks like; its SHA-256 is the schema digest.
const SCHEMA: &str = r#"{"stars":"integer 1 to 5","text":"string"}"#;
const WORDS: [&str; 12] = [
    "arrived",
    "broken",
    "cheap",
    "comfortable",
    "late",
    "light",
    "loud",
    "perfect",
    "quiet",
    "returned",
    "sturdy",
    "warm",
];

/// The dataset: a record on each line.
pub(super) fn dataset() -> Vec<u8> {
    let mut out = Vec::new();
    let mut state = 7u64;
    let mut next = |bound: u64| {
        // A linear congruential generator: the same dataset on every machine.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..RECORDS {
        let stars = 1 + next(5);
        let words: Vec<&str> = (0..4 + next(5)).map(|_| WORDS[next(12) as usize]).collect();
        let record = json!({ "stars": stars, "text": words.join(" ") });
        out.extend_from_slice(format!("{record}\n").as_bytes());
    }
    out
}

/// The model the job starts from: empty counts.
pub(super) const MODEL: &[u8] = b"word counts by rating, version 1, empty";

/// SHA-256 of an asset.
pub(super) fn digest(asset: &[u8]) -> B256 {
    B256::new(Sha256::digest(asset).into())
}

/// SHA-256 of the schema.
pub(super) fn schema() -> B256 {
    digest(SCHEMA.as_bytes())
}

/// Reads the dataset, measures it, and learns from it.
pub(super) fn run(dataset: &[u8]) -> Work {
    let mut counts: BTreeMap<(u64, String), u64> = BTreeMap::new();
    let (mut records, mut good) = (0u64, 0u64);
    for line in dataset
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        records += 1;
        let Ok(record) = serde_json::from_slice::<serde_json::Value>(line) else {
            continue;
        };
        let (Some(stars), Some(text)) = (record["stars"].as_u64(), record["text"].as_str()) else {
            continue;
        };
        good += 1;
        for word in text.split(' ') {
            *counts.entry((stars, word.to_owned())).or_default() += 1;
        }
    }
    let mut model = String::new();
    for ((stars, word), count) in &counts {
        model.push_str(&format!("{stars} {word} {count}\n"));
    }
    Work {
        outputs: digest(model.as_bytes()),
        counters: Counters {
            output_bytes: model.len() as u64,
            output_rows: counts.len() as u64,
        },
        datasets: vec![DatasetMeasure {
            records,
            bytes: dataset.len() as u64,
            schema: schema(),
            quality: u32::try_from(good * 1_000_000 / records.max(1)).unwrap_or_default(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dataset_is_always_the_same_and_measured_as_it_is() {
        let work = run(&dataset());
        assert_eq!(dataset(), dataset());
        assert_eq!(work.datasets[0].records, RECORDS);
        assert_eq!(work.datasets[0].quality, 1_000_000);
        assert_eq!(work.counters.output_rows, 5 * 12);
        assert_eq!(work.outputs, run(&dataset()).outputs);
    }

    #[test]
    fn bad_records_lower_the_quality() {
        let work = run(b"{\"stars\":1,\"text\":\"a\"}\nno\n{}\n{\"stars\":2,\"text\":\"b\"}\n");
        assert_eq!(
            (work.datasets[0].records, work.datasets[0].quality),
            (4, 500_000)
        );
        assert_ne!(work.outputs, run(b"").outputs);
    }
}
