//! Solidity compiled with npm's compiler: by forge where forge is what is tested, otherwise
//! directly, all sources at once and each state of them only once.

use std::path::Path;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, keccak256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::TransactionRequest;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::paths;
use crate::tools::Tool;

/// Where Solidity sources are.
const FOLDERS: [&str; 4] = [
    "contracts/interfaces",
    "contracts/adapters",
    "devnet/stylus/assets",
    "tests/solidity",
];

/// What forge makes of a contract of `tests/solidity`: `abi`, `bytecode.object` and more.
pub async fn artefact(file: &str, contract: &str) -> Result<Value> {
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
pub async fn bytecode(file: &str, contract: &str) -> Result<Vec<u8>> {
    let artefact = artefact(file, contract).await?;
    let code = artefact["bytecode"]["object"]
        .as_str()
        .context("forge's output has no bytecode")?;
    hex::decode(code.trim_start_matches("0x")).context("reading the bytecode")
}

/// What the compiler makes of a contract in one of the folders of sources: `abi`,
/// `evm.bytecode.object` and `evm.deployedBytecode.object`. `None` where Node is missing.
pub async fn compiled(file: &str, contract: &str) -> Result<Option<Value>> {
    let Some(node) = Tool::node() else {
        return Ok(None);
    };
    let sources = sources()?;
    let input = json!({
        "language": "Solidity",
        "sources": sources,
        // As in foundry.toml.
        "settings": {
            "evmVersion": "prague",
            "optimizer": {"enabled": true, "runs": 200},
            "metadata": {"bytecodeHash": "none", "appendCBOR": false},
            "outputSelection": {"*": {"*": [
                "abi", "evm.bytecode.object", "evm.deployedBytecode.object"
            ]}},
        },
    });
    let input = input.to_string();
    let kept = paths::target()?
        .join("solidity")
        .join(format!("{}.json", hex::encode(keccak256(&input))));
    let output = match std::fs::read(&kept) {
        Ok(kept) => kept,
        Err(_) => compile(&node, &input, &kept).await?,
    };
    let output: Value = serde_json::from_slice(&output).context("reading the compiler's output")?;
    let path = sources
        .keys()
        .find(|path| Path::new(path).file_name().is_some_and(|name| name == file))
        .with_context(|| format!("{file} is in none of {FOLDERS:?}"))?;
    let found = output["contracts"][path][contract].clone();
    ensure!(
        found.is_object(),
        "no contract {contract} in {path}: {}",
        output["errors"]
    );
    Ok(Some(found))
}

fn sources() -> Result<Map<String, Value>> {
    let mut sources = Map::new();
    for folder in FOLDERS {
        let entries = match std::fs::read_dir(paths::root().join(folder)) {
            Ok(entries) => entries,
            Err(_) => continue,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "sol") {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("reading {}", path.display()))?;
            let name = path.strip_prefix(paths::root())?.display().to_string();
            sources.insert(name, json!({"content": text}));
        }
    }
    Ok(sources)
}

async fn compile(node: &Tool, input: &str, kept: &Path) -> Result<Vec<u8>> {
    let folder = kept.parent().context("a folder for what is compiled")?;
    std::fs::create_dir_all(folder)?;
    // Other tests may be compiling the same: the result appears whole or not at all.
    let draft = tempfile::tempdir_in(folder)?;
    let (from, to) = (draft.path().join("input"), draft.path().join("output"));
    std::fs::write(&from, input)?;
    let arguments = [
        "tests/js/compile.mjs",
        &from.to_string_lossy(),
        &to.to_string_lossy(),
    ];
    node.run(&arguments).await?;
    let output = std::fs::read(&to)?;
    let answer: Value = serde_json::from_slice(&output).context("reading the compiler's answer")?;
    let errors: Vec<&str> = answer["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|message| message["severity"] == "error")
        .filter_map(|error| error["formattedMessage"].as_str())
        .collect();
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    std::fs::rename(&to, kept)?;
    Ok(output)
}

/// Deploys a contract whose constructor takes nothing.
pub async fn create(provider: &DynProvider, file: &str, contract: &str) -> Result<Address> {
    create_with(provider, file, contract, &[]).await
}

/// Deploys a contract; `arguments` are its constructor's, encoded.
pub async fn create_with(
    provider: &DynProvider,
    file: &str,
    contract: &str,
    arguments: &[u8],
) -> Result<Address> {
    let Some(compiled) = compiled(file, contract).await? else {
        bail!("Node is needed to compile {file}: run scripts/setup --tests")
    };
    let code = compiled["evm"]["bytecode"]["object"]
        .as_str()
        .context("the compiler gave no bytecode")?;
    let mut code = hex::decode(code).context("reading the bytecode")?;
    code.extend_from_slice(arguments);
    let request = TransactionRequest::default().with_deploy_code(code);
    let receipt = provider
        .send_transaction(request)
        .await
        .with_context(|| format!("deploying {contract}"))?
        .get_receipt()
        .await?;
    receipt
        .contract_address
        .filter(|_| receipt.status())
        .with_context(|| format!("the deployment of {contract} failed"))
}
