//! What Stylus programs asked of the host, as `stylusTracer` reports it.

use serde_json::{Value, json};

use crate::execute::HostioStep;

/// The steps as JSON.
pub(crate) fn hostio_steps(steps: &[HostioStep]) -> Value {
    steps.iter().map(step).collect()
}

fn step(step: &HostioStep) -> Value {
    let mut fields = json!({
        "name": step.name,
        "args": step.args,
        "outs": step.outs,
        "startInk": step.start_ink,
        "endInk": step.end_ink,
    });
    if let Some(address) = step.address {
        fields["address"] = json!(address);
        fields["steps"] = hostio_steps(&step.steps);
    }
    fields
}
