//! The job: a classifier learns from a dataset in which language a number is written.

use std::io::Read;
use std::path::Path;

use alloy::primitives::B256;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use vouch_content::result::open_file;
use vouch_content::seal::KeyPair;
use vouch_content::sha256;
use vouch_workload_language::{Recipe, train};

/// Records of the dataset.
pub(super) const RECORDS: u64 = 2_000;
/// The dataset's fields, as the agent measures them.
const SCHEMA: &str = "language:text,words:text";
/// Made by rule: `workloads/language/src/numbers.rs`.
const DATASET: &str = include_str!("../../../workloads/language/data/number-words.csv");
/// One record in this many is spoilt in the dataset that is not worth its price.
const SPOILT: usize = 4;

/// The model the job starts from: how a classifier is to be made.
pub(super) const MODEL: &[u8] = b"letters=3\nsmoothing=0.5\n";

/// A stretch of the trained model that nothing else has. Training is exact, so it is known in advance.
pub(super) fn weights(dataset: &[u8]) -> Result<Vec<u8>> {
    let recipe = Recipe::parse(std::str::from_utf8(MODEL)?)?;
    let trained = train(&String::from_utf8_lossy(dataset), recipe);
    let model = trained.model.to_text().into_bytes();
    let middle = model.len() / 2;
    Ok(model[middle..middle + 64].to_vec())
}

/// Words that are in the dataset and nowhere else.
pub(super) const MARK: &[u8] = b"vierhundertneunundneunzig";

/// The dataset; a poor one lacks the language of every fourth record.
pub(super) fn dataset(poor: bool) -> Vec<u8> {
    if !poor {
        return DATASET.as_bytes().to_vec();
    }
    let spoil = |(index, line): (usize, &str)| match line.split_once(',') {
        Some((_, words)) if index % SPOILT == SPOILT - 1 => format!(",{words}\n"),
        _ => format!("{line}\n"),
    };
    DATASET
        .lines()
        .enumerate()
        .map(spoil)
        .collect::<String>()
        .into_bytes()
}

/// What the buyer asks the model, none of it in the dataset.
pub(super) const QUESTIONS: [&str; 4] = [
    "nine hundred and five",
    "siebenhundertelf",
    "ochocientos siete",
    "novecentotrentasei",
];
/// What it must answer.
pub(super) const ANSWERS: [&str; 4] = ["en", "de", "es", "it"];

/// SHA-256 of the schema.
pub(super) fn schema() -> B256 {
    sha256(SCHEMA.as_bytes())
}

/// How good the trained model is.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) struct Metrics {
    /// Share of unseen records that it got right.
    pub(super) accuracy: f64,
    /// Records it learnt from.
    pub(super) learnt: u64,
    /// Records it was tried on.
    pub(super) tried: u64,
}

/// The buyer opens the sealed result, in a folder of its own.
pub(super) fn open_result(
    sealed: &Path,
    buyer: &KeyPair,
    order: B256,
    dir: &Path,
) -> Result<(Metrics, Vec<u8>)> {
    let path = dir.join("result.tar");
    open_file(sealed, buyer, order, &path).context("opening the result")?;
    let file = std::fs::File::open(&path).context("reading the result")?;
    let (mut metrics, mut model) = (None, Vec::new());
    for entry in tar::Archive::new(file)
        .entries()
        .context("reading the result")?
    {
        let mut entry = entry.context("reading the result")?;
        match entry.path()?.to_str() {
            Some("metrics.json") => {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                metrics = Some(serde_json::from_str(&text).context("metrics.json")?);
            }
            Some("model") => {
                entry.read_to_end(&mut model)?;
            }
            other => bail!("result: expected metrics.json and model, found {other:?}"),
        }
    }
    Ok((metrics.context("result: no metrics.json")?, model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poor_dataset_differs_in_quality_alone() {
        let (good, poor) = (dataset(false), dataset(true));
        let lines = |data: &[u8]| data.split(|byte| *byte == b'\n').count();
        assert_eq!(lines(&good), lines(&poor));
        assert_eq!(lines(&good) as u64, RECORDS + 2);
        let bad = poor
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b","))
            .count();
        assert_eq!(bad, 500);
        assert!(good.starts_with(b"language,words\n") && poor.starts_with(b"language,words\n"));
    }
}
