//! `vouch deploy` as an owner runs it: from one configuration, on a chain whose id is that of Arbitrum
//! Sepolia (the chain itself cannot be reached from a test), again, and with what does
//! not belong together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result};
use serde_json::Value;
use vouch_tests::node::{ACCOUNTS, Node};
use vouch_tests::paths;
use vouch_tests::tools::{Output, Tool};

/// Arbitrum Sepolia's.
const CHAIN_ID: &str = "421614";

struct Owner {
    tool: Tool,
    node: Node,
    dir: tempfile::TempDir,
}

impl Owner {
    async fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // Plain keys are for development chains only: elsewhere a keystore is needed.
        let key: PrivateKeySigner = ACCOUNTS[0].1.parse()?;
        PrivateKeySigner::encrypt_keystore(
            dir.path(),
            &mut alloy::signers::k256::elliptic_curve::rand_core::OsRng,
            key.to_bytes(),
            "secret",
            Some("key.json"),
        )?;
        std::fs::write(dir.path().join("password"), "secret\n")?;
        Ok(Self {
            tool: Tool::own("vouch")?,
            node: Node::devnet(&["--chain-id", CHAIN_ID]).await?,
            dir,
        })
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(format!("{CHAIN_ID}.json"))
    }

    async fn deploy(&self, more: &[&str]) -> Result<Output> {
        let text = |path: &Path| path.display().to_string();
        let in_dir = |name: &str| text(&self.dir.path().join(name));
        let (key, password) = (in_dir("key.json"), in_dir("password"));
        let (file, url) = (text(&self.file()), self.node.url());
        let wasm = text(&paths::wasm_dir()?);
        let cache = text(&paths::target()?.join("programs"));
        let mut arguments = vec!["deploy", "--json", "--rpc", &url, "--deployment", &file];
        arguments.extend(["--keystore", &key, "--password-file", &password]);
        arguments.extend(["--wasm-dir", &wasm, "--cache-dir", &cache]);
        arguments.extend(["--operators", ACCOUNTS[1].0]);
        if !more.contains(&"--chain") {
            arguments.extend(["--chain", "arbitrum-sepolia"]);
        }
        arguments.extend(more);
        self.tool.run_in(paths::root(), &arguments).await
    }

    async fn deployed(&self, more: &[&str]) -> Result<(Value, String)> {
        let output = self.deploy(more).await?;
        assert!(output.success, "{}", output.text());
        let kept = serde_json::from_slice(&std::fs::read(self.file())?)?;
        Ok((kept, output.stderr))
    }

    async fn refused(&self, more: &[&str], reasons: &[&str]) -> Result<()> {
        let output = self.deploy(more).await?;
        assert!(!output.success, "{}", output.text());
        for reason in reasons {
            let text = output.text();
            assert!(text.contains(reason), "expected {reason:?} in {text}");
        }
        Ok(())
    }

    /// Changes the deployment's file.
    fn edit(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut kept: Value = serde_json::from_slice(&std::fs::read(self.file())?)?;
        change(&mut kept);
        std::fs::write(self.file(), serde_json::to_vec(&kept)?)?;
        Ok(())
    }
}

#[tokio::test]
async fn a_market_is_deployed_verified_and_taken_up_again() -> Result<()> {
    let owner = Owner::new().await?;
    let (first, said) = owner.deployed(&[]).await?;
    assert_eq!(first["chainId"], 421_614);
    for contract in [
        "governance",
        "bonds",
        "offers",
        "usage",
        "attestation",
        "annex",
        "desk",
        "escrow",
        "token",
    ] {
        let entry = &first["contracts"][contract];
        for field in ["address", "tx", "codeHash", "wasmSha256"] {
            let value = entry[field].as_str().context("a text")?;
            assert!(value.starts_with("0x"), "{contract}.{field}: {value}");
        }
        assert!(
            said.contains(&format!("{contract} cached for a bid of")),
            "{said}"
        );
    }
    assert!(first["abiSha256"].is_string() && first["tools"]["rust"].is_string());

    let (second, said) = owner.deployed(&[]).await?;
    assert_eq!(second, first, "nothing is deployed twice");
    assert!(
        said.contains("escrow kept at") && said.contains("escrow is cached"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn an_interrupted_deployment_is_taken_up_where_it_was() -> Result<()> {
    let owner = Owner::new().await?;
    let addresses = |kept: &Value| -> Vec<(String, Value)> {
        let contracts = kept["contracts"].as_object().into_iter().flatten();
        contracts
            .map(|(name, entry)| (name.clone(), entry["address"].clone()))
            .collect()
    };
    let two_are_there = async {
        loop {
            let text = std::fs::read(owner.file()).unwrap_or_default();
            let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
            if addresses(&kept).len() >= 2 {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // The program is killed when its future is dropped.
    let before = tokio::select! {
        kept = two_are_there => addresses(&kept),
        output = owner.deploy(&[]) => panic!("not interrupted: {}", output?.text()),
    };
    let (after, said) = owner.deployed(&[]).await?;
    let after = addresses(&after);
    assert_eq!(after.len(), vouch_client::deployment::Contract::ALL.len());
    for (name, address) in before {
        assert!(said.contains(&format!("{name} kept at")), "{said}");
        assert!(after.contains(&(name, address)), "{after:?}");
    }
    let (again, _) = owner.deployed(&[]).await?;
    assert_eq!(addresses(&again), after);
    Ok(())
}

#[tokio::test]
async fn a_fresh_deployment_forgets_no_other() -> Result<()> {
    let owner = Owner::new().await?;
    let (first, _) = owner.deployed(&[]).await?;
    let (second, _) = owner.deployed(&["--fresh"]).await?;
    let (third, _) = owner.deployed(&["--fresh"]).await?;
    let old = |name: &str| -> Result<Value> {
        let path = owner.file().with_extension(name);
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    assert_eq!(old("json.old")?, first);
    assert_eq!(old("json.old2")?, second);
    let escrow = |kept: &Value| kept["contracts"]["escrow"]["address"].clone();
    assert_ne!(escrow(&first), escrow(&second));
    assert_ne!(escrow(&second), escrow(&third));
    Ok(())
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused() -> Result<()> {
    let owner = Owner::new().await?;
    owner
        .refused(&["--chain", "devnet"], &["31337", "421614"])
        .await?;
    owner
        .refused(
            &["--chain", "mainnet"],
            &["--chain mainnet", "arbitrum-sepolia"],
        )
        .await?;
    let (first, _) = owner.deployed(&[]).await?;
    let zero = format!("0x{}", "00".repeat(32));
    for (pointer, name) in [
        ("/abiSha256", "interface"),
        ("/contracts/usage/wasmSha256", "usage"),
        ("/tools/rust", "rust"),
    ] {
        owner.edit(|kept| {
            if let Some(value) = kept.pointer_mut(pointer) {
                *value = zero.clone().into();
            }
        })?;
        let reasons = ["versions are not mixed", name, zero.as_str()];
        owner.refused(&[], &reasons).await?;
        std::fs::write(owner.file(), serde_json::to_vec(&first)?)?;
    }
    owner.edit(|kept| kept["chainId"] = 1.into())?;
    owner.refused(&[], &["chain id 1", "421614"]).await?;
    Ok(())
}
