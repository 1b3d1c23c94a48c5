//! Stock `cast` and `forge` against our node.

use anyhow::Result;
use vouch_tests::node::{ACCOUNTS, Node};
use vouch_tests::paths;
use vouch_tests::tools::Tool;

use vouch_tests::solidity;

const RECIPIENT: &str = "0x00000000000000000000000000000000000a11ce";

/// `cast` with the endpoint filled in.
struct Cast {
    tool: Tool,
    url: String,
}

impl Cast {
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut all = vec![*command, "--rpc-url", &self.url];
        all.extend(rest);
        Ok(self.tool.run(&all).await?.trim().to_owned())
    }

    /// What `cast` says where it is meant to fail.
    async fn fails(&self, arguments: &[&str]) -> Result<String> {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut all = vec![*command, "--rpc-url", &self.url];
        all.extend(rest);
        let output = self.tool.run_in(paths::root(), &all).await?;
        assert!(
            !output.success,
            "cast {arguments:?} succeeded:\n{}",
            output.text()
        );
        Ok(output.text())
    }
}

#[tokio::test]
async fn cast_sends_calls_and_reads() -> Result<()> {
    let Some(tool) = Tool::foundry("cast") else {
        return Ok(());
    };
    let code = hex::encode(solidity::bytecode("Probe.sol", "Probe").await?);
    let node = Node::devnet(&[]).await?;
    let cast = Cast {
        tool,
        url: node.url(),
    };
    let (sender, key) = ACCOUNTS[0];

    assert_eq!(cast.run(&["chain-id"]).await?, "31337");
    assert_eq!(
        cast.run(&["balance", "--ether", sender]).await?,
        "10000.000000000000000000"
    );
    cast.run(&["send", "--private-key", key, RECIPIENT, "--value", "1ether"])
        .await?;
    assert_eq!(
        cast.run(&["balance", RECIPIENT]).await?,
        "1000000000000000000"
    );
    assert_eq!(cast.run(&["nonce", sender]).await?, "1");

    let create = format!("0x{code}{:064x}", 5);
    let receipt = cast
        .run(&["send", "--private-key", key, "--json", "--create", &create])
        .await?;
    let receipt: serde_json::Value = serde_json::from_str(&receipt)?;
    assert_eq!(receipt["status"], "0x1");
    let probe = receipt["contractAddress"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(cast.run(&["call", &probe, "count()(uint256)"]).await?, "5");
    assert!(cast.run(&["code", &probe]).await?.len() > 1000);

    cast.run(&["send", "--private-key", key, &probe, "add(uint256)", "37"])
        .await?;
    assert_eq!(cast.run(&["call", &probe, "count()(uint256)"]).await?, "42");
    assert!(cast.run(&["storage", &probe, "0"]).await?.ends_with("2a"));
    let logs = cast
        .run(&["logs", "--address", &probe, "Counted(address,uint256)"])
        .await?;
    assert_eq!(logs.matches("transactionHash").count(), 2, "{logs}");
    let block = cast.run(&["block-number"]).await?;
    assert_eq!(block, "3");
    let estimate = cast
        .run(&["estimate", &probe, "add(uint256)", "1", "--from", sender])
        .await?;
    assert!(estimate.parse::<u64>()? > 21_000);

    let text = cast.fails(&["call", &probe, "failWithText()"]).await?;
    assert!(text.contains("as asked"), "{text}");
    let text = cast
        .fails(&["send", "--private-key", key, &probe, "failWithNothing()"])
        .await?;
    assert!(text.contains("revert"), "{text}");
    let text = cast
        .fails(&[
            "send",
            "--private-key",
            key,
            RECIPIENT,
            "--value",
            "20000ether",
        ])
        .await?;
    assert!(text.to_lowercase().contains("insufficient funds"), "{text}");
    Ok(())
}

#[tokio::test]
async fn forge_creates() -> Result<()> {
    let Some(tool) = Tool::foundry("forge") else {
        return Ok(());
    };
    let node = Node::devnet(&[]).await?;
    let out = tempfile::tempdir()?;
    let dir = out.path().display().to_string();
    let cache = format!("{dir}/cache");
    let url = node.url();
    let arguments = [
        "create",
        "--broadcast",
        "--json",
        "--out",
        &dir,
        "--cache-path",
        &cache,
        "--rpc-url",
        &url,
        "--private-key",
        ACCOUNTS[1].1,
        "tests/solidity/Probe.sol:Probe",
        "--constructor-args",
        "9",
    ];
    let said = tool.run(&arguments).await?;
    let created: serde_json::Value = serde_json::from_str(said.trim())?;
    let probe = created["deployedTo"].as_str().expect("an address");
    let word = node
        .rpc
        .call(
            "eth_getStorageAt",
            serde_json::json!([probe, "0x0", "latest"]),
        )
        .await?;
    assert!(
        word.as_str().is_some_and(|word| word.ends_with("09")),
        "{word}"
    );
    Ok(())
}
