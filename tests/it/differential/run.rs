//! Runs a script against a node.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use vouch_tests::rpc::Rpc;

use super::step::Step;

/// How often, and how long apart, a step that waits asks.
const MAX_TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The answers of a node, step by step.
pub(crate) async fn run(rpc: &Rpc, steps: &[Step]) -> Result<Vec<Value>> {
    let mut variables: HashMap<&str, Value> = HashMap::new();
    let mut answers = Vec::with_capacity(steps.len());
    for step in steps {
        let params = substitute(&step.params, &variables)
            .with_context(|| format!("step '{}'", step.name))?;
        let mut answer;
        let mut tries = if step.wait.is_some() { MAX_TRIES } else { 1 };
        loop {
            answer = rpc
                .answer(step.method, &params)
                .await
                .with_context(|| format!("step '{}', {}", step.name, step.method))?;
            tries -= 1;
            if tries == 0
                || !step
                    .wait
                    .is_some_and(|pointer| is_awaited(&answer, pointer))
            {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for (variable, pointer) in &step.save {
            // A failed step saves null: the steps that need the value then differ as well.
            let value = answer
                .get("result")
                .and_then(|result| result.pointer(pointer));
            variables.insert(variable, value.cloned().unwrap_or(Value::Null));
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// Whether `answer` is a result that has nothing, or null, at `pointer` yet. An error is final.
fn is_awaited(answer: &Value, pointer: &str) -> bool {
    answer
        .get("result")
        .is_some_and(|result| result.pointer(pointer).is_none_or(Value::is_null))
}

fn substitute(params: &Value, variables: &HashMap<&str, Value>) -> Result<Value> {
    Ok(match params {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => match variables.get(name) {
                Some(value) => value.clone(),
                None => bail!("no earlier step saved '{name}'"),
            },
            None => params.clone(),
        },
        Value::Array(items) => items
            .iter()
            .map(|item| substitute(item, variables))
            .collect::<Result<_>>()?,
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), substitute(value, variables)?)))
            .collect::<Result<_>>()?,
        other => other.clone(),
    })
}
