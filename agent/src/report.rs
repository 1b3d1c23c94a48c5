//! What the agent tells: one line for each step, as JSON for programs or as text. No keys, no content.

use serde_json::{Value, json};

/// Where steps are told: standard output.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// JSON instead of text.
    pub json: bool,
}

impl Report {
    /// Tells of a step.
    pub fn step(&self, step: &str, details: Value) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        // A reader that has gone away is no reason to stop the job.
        let _ = match self.json {
            true => writeln!(out, "{}", json!({ "step": step, "details": details })),
            false => writeln!(out, "{step}: {details}"),
        };
        let _ = out.flush();
    }
}
