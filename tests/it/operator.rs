//! `vouch operator` as operators and those who watch them use it.

use alloy::primitives::{B256, U256};
use alloy::signers::SignerSync;
use alloy::sol_types::SolStruct;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use vouch_abi::VerdictShare;
use vouch_tests::paths;
use vouch_tests::tools::{Output, Tool};
use vouch_tests::world::{Actor, World};

struct Terminal {
    tool: Tool,
    world: World,
    dir: tempfile::TempDir,
}

impl Terminal {
    async fn run(&self, actor: &Actor, arguments: &[&str]) -> Result<Output> {
        let file = self.dir.path().join("31337.json").display().to_string();
        let url = self.world.node.url();
        let key = actor.signer.to_bytes().to_string();
        let mut all = vec!["operator"];
        all.extend(arguments);
        all.extend(["--json", "--rpc", &url, "--deployment", &file]);
        if arguments != ["list"] {
            all.extend(["--key", &key]);
        }
        self.tool.run_in(paths::root(), &all).await
    }

    async fn done(&self, actor: &Actor, arguments: &[&str]) -> Result<Value> {
        let output = self.run(actor, arguments).await?;
        assert!(output.success, "{}", output.text());
        serde_json::from_str(&output.stdout).context("reading what was printed")
    }

    async fn refused(&self, actor: &Actor, arguments: &[&str], reason: &str) -> Result<()> {
        let output = self.run(actor, arguments).await?;
        let text = output.text();
        assert!(!output.success && text.contains(reason), "{reason}: {text}");
        Ok(())
    }

    /// A file with what an oracle that has seen two statements of this operator answers.
    fn proofs(&self, operator: &Actor) -> Result<String> {
        let market = &operator.market;
        let (order, evidence, block) = (
            B256::repeat_byte(1),
            B256::repeat_byte(2),
            B256::repeat_byte(3),
        );
        let statement = |verdict: u8| -> Result<Value> {
            let share = VerdictShare {
                verdict: B256::repeat_byte(verdict),
                order,
                phase: 2,
                attempt: 0,
                evidence,
                outputs: B256::ZERO,
                announcedIn: block,
            };
            let hash = share.eip712_signing_hash(&market.domain());
            let signature = operator.signer.sign_hash_sync(&hash)?.as_bytes();
            Ok(json!({
                "signer": operator.address(),
                "block": block,
                "verdict": "0x",
                "digest": share.verdict,
                "signature": "0x",
                "statement": alloy::hex::encode_prefixed(signature),
                "at_ms": 1,
            }))
        };
        let job = json!({
            "order": order,
            "phase": "finish",
            "attempt": 0,
            "evidence": evidence,
            "outputs": B256::ZERO,
        });
        let proof = json!({ "job": job, "first": statement(8)?, "second": statement(9)? });
        let path = self.dir.path().join("equivocations.json");
        std::fs::write(&path, json!({ "equivocations": [proof] }).to_string())?;
        Ok(path.display().to_string())
    }
}

#[tokio::test]
async fn a_bond_is_paid_in_taken_out_and_lost() -> Result<()> {
    let world = World::new().await?;
    let dir = tempfile::tempdir()?;
    world.deployment.save(&dir.path().join("31337.json"))?;
    let (operators, stranger) = (world.operators.clone(), world.stranger.clone());
    let terminal = Terminal {
        tool: Tool::own("vouch")?,
        world,
        dir,
    };
    let unit = U256::from(10).pow(U256::from(6));
    for actor in [&operators[0], &operators[1]] {
        let mint = actor.market.mint(actor.address(), U256::from(50) * unit);
        mint.await?;
        terminal.done(actor, &["bond", "20"]).await?;
    }
    let list = terminal.done(&stranger, &["list"]).await?;
    let bonds: Vec<_> = list["operators"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|operator| operator["bond"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(bonds, ["20", "20", "0"]);

    // Taken out, in its time.
    let unbonded = terminal.done(&operators[1], &["unbond", "5"]).await?;
    assert_eq!(unbonded["removed"], false, "there is no minimum yet");
    terminal
        .refused(&operators[1], &["withdraw"], "StillBonded")
        .await?;
    terminal
        .refused(&operators[1], &["unbond", "16"], "BondTooLow")
        .await?;
    terminal.world.pass(3_600).await?;
    let paid = terminal.done(&operators[1], &["withdraw"]).await?;
    assert_eq!(paid["amount"], "5");

    // Lost, with what the operator was.
    let proofs = terminal.proofs(&operators[0])?;
    let slashed = terminal.done(&stranger, &["slash", &proofs]).await?;
    assert_eq!(slashed["slashed"][0]["lost"], "20");
    assert_eq!(slashed["slashed"][0]["reward"], "2");
    terminal
        .refused(&stranger, &["slash", &proofs], "AlreadySlashed")
        .await?;
    terminal
        .refused(&operators[0], &["withdraw"], "NothingToWithdraw")
        .await?;
    let reward = terminal.done(&stranger, &["withdraw"]).await?;
    assert_eq!(reward["amount"], "2");
    let list = terminal.done(&stranger, &["list"]).await?;
    let left = list["operators"].as_array().context("a list")?;
    assert_eq!(left.len(), 2, "{list}");
    terminal
        .refused(&stranger, &["slash", "/nowhere"], "reading /nowhere")
        .await?;
    Ok(())
}
