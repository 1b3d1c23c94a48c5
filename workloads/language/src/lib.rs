//! A workload for the demo: a naive Bayes classifier over groups of letters.
//!
//! **Decides** what is learnt from a dataset of `language,words` and how well that does on records it
//! has not seen. **Trusts** nobody's record: what is malformed is left out. **Leaves alone** the world:
//! `/in` and `/out` are all it knows.

#![forbid(unsafe_code)]

mod classifier;
pub mod numbers;

pub use classifier::{Classifier, ParseError, Recipe};

/// What training came to.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub model: Classifier,
    /// Records it learnt from.
    pub learnt: usize,
    /// Records it was tried on, none of which it had seen.
    pub tried: usize,
    /// Of those, how many it got right.
    pub right: usize,
}

impl Trained {
    /// The metrics, as JSON.
    pub fn metrics(&self) -> String {
        let accuracy = self.right as f64 / self.tried.max(1) as f64;
        format!(
            "{{\"accuracy\":{accuracy:.4},\"learnt\":{},\"tried\":{},\"right\":{}}}\n",
            self.learnt, self.tried, self.right
        )
    }
}

/// One in this many records is kept for trying.
const HELD_OUT: usize = 5;

/// Learns from a dataset.
pub fn train(dataset: &str, recipe: Recipe) -> Trained {
    let records: Vec<(&str, &str)> = dataset
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(language, words)| (language.trim(), words.trim()))
        .filter(|(language, words)| {
            !language.is_empty() && !words.is_empty() && !words.contains(',')
        })
        .collect();
    let held_out = |index: usize| index % HELD_OUT == HELD_OUT - 1;
    let mut model = Classifier::new(recipe);
    let mut learnt = 0;
    for (_, (language, words)) in records
        .iter()
        .enumerate()
        .filter(|(index, _)| !held_out(*index))
    {
        model.learn(language, words);
        learnt += 1;
    }
    let (mut tried, mut right) = (0, 0);
    for (_, (language, words)) in records
        .iter()
        .enumerate()
        .filter(|(index, _)| held_out(*index))
    {
        tried += 1;
        right += usize::from(
            model
                .classify(words)
                .is_some_and(|found| found == *language),
        );
    }
    Trained {
        model,
        learnt,
        tried,
        right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATASET: &str = include_str!("../data/number-words.csv");

    #[test]
    fn the_dataset_is_what_its_generator_makes() {
        assert_eq!(DATASET, numbers::dataset());
        assert_eq!(DATASET.lines().count(), 2001);
    }

    #[test]
    fn most_unseen_numbers_are_told_apart() {
        let trained = train(DATASET, Recipe::default());
        assert_eq!((trained.learnt, trained.tried), (1600, 400));
        assert!(trained.right > 380, "{}", trained.metrics());
        assert_eq!(trained.model.classify("siebenhundertelf"), Some("de"));
        assert_eq!(trained.model.classify("nine thousand"), Some("en"));
    }

    #[test]
    fn malformed_records_are_left_out() {
        let trained = train(
            "language,words\nen,one\nen\n,\nde,zwei,drei\nde,zwei\n",
            Recipe::default(),
        );
        assert_eq!(trained.learnt + trained.tried, 2);
    }
}
