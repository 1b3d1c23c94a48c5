//! Solidity compiled by forge, with npm's compiler (`foundry.toml`).

use anyhow::{Context, Result, bail};
use serde_json::Value;
use vouch_tests::tools::Tool;

/// What forge makes of a contract of `tests/solidity`: `abi`, `bytecode.object` and more.
pub(crate) async fn artefact(file: &str, contract: &str) -> Result<Value> {
    let Some(forge) = Tool::foundry("forge") else {
        bail!("forge is needed to compile {file}")
    };
    let out = tempfile::tempdir().context("making a directory for forge")?;
    let dir = out
        .path()
        .to_str()
        .context("the temporary directory's name is not UTF-8")?;
    let cache = format!("{dir}/cache");
    forge
        .run(&["build", "--out", dir, "--cache-path", &cache, "--silent"])
        .await?;
    let artefact = out.path().join(file).join(format!("{contract}.json"));
    let text = std::fs::read_to_string(&artefact)
        .with_context(|| format!("reading {}", artefact.display()))?;
    serde_json::from_str(&text).context("reading forge's output")
}

/// The creation code of a contract of `tests/solidity`.
pub(crate) async fn bytecode(file: &str, contract: &str) -> Result<Vec<u8>> {
    let artefact = artefact(file, contract).await?;
    let code = artefact["bytecode"]["object"]
        .as_str()
        .context("forge's output has no bytecode")?;
    hex::decode(code.trim_start_matches("0x")).context("reading the bytecode")
}
