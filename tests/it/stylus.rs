//! `cargo stylus` as its users have it, against our node; `cast` calls what it deployed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;
use vouch_tests::node::{ACCOUNTS, Node};
use vouch_tests::paths;
use vouch_tests::tools::{Output, Tool};

/// A sample of `tests/samples` as WebAssembly, in a directory that must outlive its use.
fn sample(name: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let source = paths::root()
        .join("tests/samples")
        .join(name)
        .with_extension("wat");
    let wasm = wat::parse_file(&source).with_context(|| format!("reading {}", source.display()))?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(name).with_extension("wasm");
    std::fs::write(&path, wasm)?;
    Ok((dir, path))
}

/// Runs `cargo stylus` in the token's folder, where it finds a contract of this workspace.
async fn cargo_stylus(tool: &Tool, arguments: &[&str]) -> Result<Output> {
    tool.run_in(&paths::root().join("contracts/token"), arguments)
        .await
}

/// The first address that `cargo stylus` names after "deployed code at address" or the like.
fn address_after(text: &str, marker: &str) -> Option<String> {
    let plain = without_colours(text);
    let (_, rest) = plain.split_once(marker)?;
    let start = rest.find("0x")?;
    Some(rest[start..].chars().take(42).collect())
}

fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut in_escape = false;
    for c in text.chars() {
        match (in_escape, c) {
            (false, '\u{1b}') => in_escape = true,
            (false, c) => plain.push(c),
            (true, 'm') => in_escape = false,
            (true, _) => {}
        }
    }
    plain
}

#[tokio::test]
async fn a_contract_of_ours_is_checked_deployed_and_called() -> Result<()> {
    let (Some(stylus), Some(cast)) = (Tool::cargo_stylus(), Tool::foundry("cast")) else {
        return Ok(());
    };
    let node = Node::devnet(&[]).await?;
    let url = node.url();
    let checked = cargo_stylus(&stylus, &["check", "--endpoint", &url]).await?;
    assert!(checked.success, "{}", checked.text());

    let key = ACCOUNTS[0].1;
    let deploy = [
        "deploy",
        "--no-verify",
        "--endpoint",
        &url,
        "--private-key",
        key,
    ];
    let arguments = [&deploy[..], &["--constructor-args", "Test Dollar", "TUSD"]].concat();
    let deployed = cargo_stylus(&stylus, &arguments).await?;
    assert!(deployed.success, "{}", deployed.text());
    let token = address_after(&deployed.text(), "deployed code at address")
        .with_context(|| format!("no address in:\n{}", deployed.text()))?;

    let call = async |arguments: &[&str]| {
        let all = [&["call", "--rpc-url", &url, &token], arguments].concat();
        cast.run(&all).await.map(|text| text.trim().to_owned())
    };
    assert_eq!(call(&["symbol()(string)"]).await?, "\"TUSD\"");
    let owner = ACCOUNTS[1].0;
    let mint = [
        "send",
        "--rpc-url",
        &url,
        "--private-key",
        key,
        &token,
        "mint(address,uint256)",
        owner,
        "77",
    ];
    cast.run(&mint).await?;
    assert_eq!(call(&["balanceOf(address)(uint256)", owner]).await?, "77");
    let receipt = node
        .rpc
        .call("eth_getBlockReceipts", json!(["latest"]))
        .await?;
    assert_eq!(
        receipt[0]["logs"][0]["address"],
        json!(token.to_lowercase()),
        "a Transfer event"
    );

    // The contract's own error reaches the caller.
    let arguments = [
        "call",
        "--rpc-url",
        &url,
        &token,
        "transfer(address,uint256)",
        owner,
        "1",
    ];
    let refused = cast.run_in(paths::root(), &arguments).await?;
    assert!(!refused.success, "{}", refused.text());
    let selector = "InsufficientBalance(address,uint256,uint256)";
    let selector = hex::encode(&alloy::primitives::keccak256(selector)[..4]);
    assert!(refused.text().contains(&selector), "{}", refused.text());

    // The same code again needs no second activation.
    let again = cargo_stylus(&stylus, &["check", "--endpoint", &url]).await?;
    assert!(again.success, "{}", again.text());
    Ok(())
}

#[tokio::test]
async fn a_program_without_the_sdk_is_deployed_and_keeps_state() -> Result<()> {
    let Some(stylus) = Tool::cargo_stylus() else {
        return Ok(());
    };
    let (_dir, wasm) = sample("counter")?;
    let wasm = wasm.display().to_string();
    let node = Node::devnet(&[]).await?;
    let url = node.url();
    let (sender, key) = ACCOUNTS[0];
    let arguments = [
        "deploy",
        "--no-verify",
        "--endpoint",
        &url,
        "--private-key",
        key,
        "--wasm-file",
        &wasm,
    ];
    let deployed = cargo_stylus(&stylus, &arguments).await?;
    assert!(deployed.success, "{}", deployed.text());
    let program = address_after(&deployed.text(), "deployed code at address")
        .with_context(|| format!("no address in:\n{}", deployed.text()))?;

    let code = node
        .rpc
        .call("eth_getCode", json!([program, "latest"]))
        .await?;
    assert!(
        code.as_str()
            .is_some_and(|code| code.starts_with("0xeff00000")),
        "{code}"
    );
    let call = json!([{"from": sender, "to": program}, "latest"]);
    let word = |n: u8| json!(format!("0x{}{n:02x}", "00".repeat(31)));
    assert_eq!(node.rpc.call("eth_call", call.clone()).await?, word(1));
    assert_eq!(
        node.rpc.call("eth_call", call.clone()).await?,
        word(1),
        "a call writes nothing"
    );
    for n in 1..=3 {
        let sent = json!([{"from": sender, "to": program}]);
        let hash = node.rpc.call("eth_sendTransaction", sent).await?;
        let receipt = node
            .rpc
            .call("eth_getTransactionReceipt", json!([hash]))
            .await?;
        assert_eq!(receipt["status"], "0x1", "transaction {n}");
    }
    assert_eq!(
        node.rpc
            .call("eth_getStorageAt", json!([program, "0x0", "latest"]))
            .await?,
        word(3)
    );
    Ok(())
}

#[tokio::test]
async fn invalid_programs_are_refused() -> Result<()> {
    let Some(stylus) = Tool::cargo_stylus() else {
        return Ok(());
    };
    let node = Node::devnet(&[]).await?;
    let url = node.url();
    for name in ["floats", "foreign_import"] {
        let (_dir, wasm) = sample(name)?;
        let wasm = wasm.display().to_string();
        let checked = cargo_stylus(
            &stylus,
            &["check", "--endpoint", &url, "--wasm-file", &wasm],
        )
        .await?;
        assert!(!checked.success, "{name} was accepted:\n{}", checked.text());
    }
    let height = node.rpc.call("eth_blockNumber", json!([])).await?;
    assert_eq!(height, "0x0", "a check sends nothing");
    Ok(())
}

#[test]
fn addresses_are_found_behind_colours() {
    let text = "\u{1b}[36mdeployed code at address: \u{1b}[95m0x5FbDB2315678afecb367f032d93F642f64180aa3\u{1b}[0m\n";
    let found = address_after(text, "deployed code at address");
    assert_eq!(
        found.as_deref(),
        Some("0x5FbDB2315678afecb367f032d93F642f64180aa3")
    );
    assert_eq!(address_after("nothing", "deployed"), None);
}
