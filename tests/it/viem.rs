//! A viem script against our node, and against stock Anvil: what passes there must pass here.

use anyhow::Result;
use serde_json::json;
use vouch_tests::node::Node;
use vouch_tests::tools::Tool;

use vouch_tests::solidity;

async fn story(tool: &Tool, node: &Node) -> Result<()> {
    let probe = solidity::artefact("Probe.sol", "Probe").await?;
    let argument = json!({
        "http": node.url(),
        "ws": node.ws_url(),
        "probe": {"abi": probe["abi"], "bytecode": probe["bytecode"]["object"]},
    });
    tool.run(&["tests/js/story.mjs", &argument.to_string()])
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_viem_user_is_at_home_here() -> Result<()> {
    let Some(tool) = Tool::node() else {
        return Ok(());
    };
    story(&tool, &Node::devnet(&[]).await?).await
}

#[tokio::test]
async fn the_viem_story_is_anvils_too() -> Result<()> {
    let (Some(tool), Some(anvil)) = (Tool::node(), Tool::foundry("anvil")) else {
        return Ok(());
    };
    story(&tool, &Node::start(&anvil, &[]).await?).await
}
