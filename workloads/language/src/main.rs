//! `language train`: `/in/dataset-0` and `/in/model-0` (the recipe) become `/out/model` and
//! `/out/metrics.json`. `language infer`: `/in/model` answers the texts in `/in/request`, a line each.

use std::error::Error;
use std::fs;

use vouch_workload_language::{Classifier, Recipe, train};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("train") => {
            let recipe = Recipe::parse(&fs::read_to_string("/in/model-0")?)?;
            // What is no text is malformed, and left out like any other record.
            let dataset = String::from_utf8_lossy(&fs::read("/in/dataset-0")?).into_owned();
            let trained = train(&dataset, recipe);
            fs::write("/out/model", trained.model.to_text())?;
            fs::write("/out/metrics.json", trained.metrics())?;
        }
        Some("infer") => {
            let model = Classifier::from_text(&fs::read_to_string("/in/model")?)?;
            let mut answers = String::new();
            for text in fs::read_to_string("/in/request")?.lines() {
                answers.push_str(model.classify(text).unwrap_or("unknown"));
                answers.push('\n');
            }
            fs::write("/out/response", answers)?;
        }
        other => return Err(format!("expected train or infer, found {other:?}").into()),
    }
    Ok(())
}
