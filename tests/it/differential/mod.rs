//! The same EVM-only script against stock Anvil and our node: every answer must be the same, but
//! for the differences listed, with a reason, in `exceptions.json`.

mod compare;
mod run;
mod script;
mod step;

use std::path::Path;

use anyhow::{Context, Result};
use compare::{Comparison, Difference, Exception, review};
use serde_json::{Value, json};
use step::Script;
use vouch_tests::node::Node;
use vouch_tests::tools::Tool;

const EXCEPTIONS: &str = include_str!("exceptions.json");
/// Both nodes begin at the same second and with the same rules.
const GENESIS_TIME: &str = "1800000000";

/// Anvil with the rules our node has.
async fn anvil() -> Result<Option<Node>> {
    let Some(tool) = Tool::foundry("anvil") else {
        return Ok(None);
    };
    let flags = [
        "--hardfork",
        "osaka",
        "--timestamp",
        GENESIS_TIME,
        "--gas-limit",
        "1000000000",
    ];
    Node::start(&tool, &flags).await.map(Some)
}

async fn differences(expected: &Node, found: &Node) -> Result<Vec<Difference>> {
    let script = script::script().await?;
    let left = run::run(&expected.rpc, &script.steps).await?;
    let right = run::run(&found.rpc, &script.steps).await?;
    if let Some(dir) = std::env::var_os("VOUCH_TRANSCRIPTS") {
        transcript(&Path::new(&dir).join("expected.jsonl"), &script, &left)?;
        transcript(&Path::new(&dir).join("found.jsonl"), &script, &right)?;
    }
    let mut comparison = Comparison::default();
    for ((step, a), b) in script.steps.iter().zip(&left).zip(&right) {
        comparison.step(&step.name, step.compare, a, b);
    }
    Ok(comparison.differences)
}

/// Writes what was asked and answered, a step a line, for whoever looks into a difference.
fn transcript(path: &Path, script: &Script, answers: &[Value]) -> Result<()> {
    let mut text = String::new();
    for (step, answer) in script.steps.iter().zip(answers) {
        let line = json!({"step": step.name, "method": step.method, "params": step.params, "answer": answer});
        text.push_str(&format!("{line}\n"));
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn report(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// The harness itself: two Anvils must agree everywhere, or it compares what it should not.
#[tokio::test]
async fn anvil_agrees_with_anvil() -> Result<()> {
    let (Some(one), Some(two)) = (anvil().await?, anvil().await?) else {
        return Ok(());
    };
    report(&review(&differences(&one, &two).await?, &[]));
    Ok(())
}

#[tokio::test]
async fn our_node_agrees_with_anvil() -> Result<()> {
    let exceptions: Vec<Exception> =
        serde_json::from_str(EXCEPTIONS).context("reading exceptions.json")?;
    let Some(anvil) = anvil().await? else {
        return Ok(());
    };
    let ours = Node::devnet(&["--timestamp", GENESIS_TIME]).await?;
    report(&review(&differences(&anvil, &ours).await?, &exceptions));
    Ok(())
}
