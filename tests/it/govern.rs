//! `vouch govern` as an owner uses it: a market deployed for another account, taken over, paused, changed.

use anyhow::{Context, Result};
use serde_json::Value;
use vouch_tests::node::{ACCOUNTS, Node};
use vouch_tests::paths;
use vouch_tests::tools::{Output, Tool};

const DEPLOYER: usize = 0;
const OWNER: usize = 1;
const STRANGER: usize = 2;
/// Seconds.
const DELAY: u64 = 3_600;

struct Owned {
    tool: Tool,
    node: Node,
    dir: tempfile::TempDir,
}

impl Owned {
    async fn deployed() -> Result<Self> {
        let owned = Self {
            tool: Tool::own("vouch")?,
            node: Node::devnet(&[]).await?,
            dir: tempfile::tempdir()?,
        };
        let wasm = paths::wasm_dir()?.display().to_string();
        let cache = paths::target()?.join("programs").display().to_string();
        let deployed = owned.deploy(&wasm, &cache, "1h").await?;
        assert!(deployed.success, "{}", deployed.text());
        assert!(
            deployed.stderr.contains("is offered to"),
            "{}",
            deployed.stderr
        );
        let again = owned.deploy(&wasm, &cache, "1h").await?;
        assert!(again.success, "{}", again.text());
        assert!(!again.stderr.contains("is offered to"), "offered already");
        let other = owned.deploy(&wasm, &cache, "2h").await?;
        let text = other.text();
        assert!(
            !other.success && text.contains("expected delay 7200 s, found 3600 s"),
            "{text}"
        );
        Ok(owned)
    }

    async fn deploy(&self, wasm: &str, cache: &str, delay: &str) -> Result<Output> {
        let mut arguments = vec!["deploy", "--wasm-dir", wasm, "--cache-dir", cache];
        arguments.extend(["--operators", ACCOUNTS[STRANGER].0, "--delay", delay]);
        arguments.extend(["--owner", ACCOUNTS[OWNER].0]);
        self.run(DEPLOYER, &arguments).await
    }

    async fn run(&self, account: usize, arguments: &[&str]) -> Result<Output> {
        let file = self.dir.path().join("31337.json").display().to_string();
        let url = self.node.url();
        let mut all = arguments.to_vec();
        all.extend(["--json", "--rpc", &url, "--deployment", &file]);
        if arguments != ["govern", "list"] {
            all.extend(["--key", ACCOUNTS[account].1]);
        }
        self.tool.run_in(paths::root(), &all).await
    }

    async fn govern(&self, account: usize, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["govern"], arguments].concat();
        let output = self.run(account, &arguments).await?;
        assert!(output.success, "{}", output.text());
        serde_json::from_str(&output.stdout).context("reading what was printed")
    }

    async fn refused(&self, account: usize, arguments: &[&str], reason: &str) -> Result<()> {
        let arguments = [&["govern"], arguments].concat();
        let output = self.run(account, &arguments).await?;
        let text = output.text();
        assert!(!output.success && text.contains(reason), "{reason}: {text}");
        Ok(())
    }

    async fn pass(&self, seconds: u64) -> Result<()> {
        let provider = vouch_client::connect(&self.node.url(), None).await?;
        use alloy::providers::Provider;
        let _: Value = provider
            .raw_request("evm_increaseTime".into(), [seconds])
            .await?;
        let _: Value = provider.raw_request("evm_mine".into(), ()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_market_is_taken_over_paused_and_changed() -> Result<()> {
    let market = Owned::deployed().await?;
    market.refused(OWNER, &["pause"], "NotOwner").await?;
    market.refused(STRANGER, &["accept"], "NotProposed").await?;
    market.govern(OWNER, &["accept"]).await?;
    market.refused(DEPLOYER, &["pause"], "NotOwner").await?;
    market.govern(OWNER, &["pause"]).await?;

    let go_on = ["schedule", "escrow", "setPaused", "false"];
    market.refused(DEPLOYER, &go_on, "NotOwner").await?;
    let scheduled = market.govern(OWNER, &go_on).await?;
    let operation = scheduled["operation"].as_str().context("an id")?;
    assert_eq!(scheduled["call"], "setPaused(paused: false)");
    market
        .refused(STRANGER, &["execute", operation], "TooEarly")
        .await?;
    market.refused(OWNER, &go_on, "AlreadyScheduled").await?;
    market.pass(DELAY).await?;
    market.govern(STRANGER, &["execute", operation]).await?;
    market
        .refused(STRANGER, &["execute", operation], "NotScheduled")
        .await?;

    let fee = ["schedule", "attestation", "setFee", "77"];
    let scheduled = market.govern(OWNER, &fee).await?;
    let operation = scheduled["operation"].as_str().context("an id")?;
    market.govern(OWNER, &["cancel", operation]).await?;
    market.pass(DELAY).await?;
    market
        .refused(OWNER, &["execute", operation], "NotScheduled")
        .await?;
    market
        .refused(
            OWNER,
            &["schedule", "token", "mint", "a", "1"],
            "expected address",
        )
        .await?;

    let list = market.govern(OWNER, &["list"]).await?;
    let owner = list["owner"].as_str().context("an owner")?;
    assert!(owner.eq_ignore_ascii_case(ACCOUNTS[OWNER].0), "{list}");
    assert_eq!(list["delay"], DELAY);
    let states: Vec<_> = list["operations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|operation| (operation["call"].as_str(), operation["state"].as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (Some("setPaused(paused: false)"), Some("executed")),
            (Some("setFee(fee: 77)"), Some("cancelled")),
        ]
    );
    Ok(())
}
