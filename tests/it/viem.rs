//! viem scripts: one against our node and against stock Anvil, what passes there must pass here; and one on
//! the market, by contract calls alone.

use anyhow::Result;
use serde_json::json;
use vouch_protocol::{Clause, Clauses};
use vouch_tests::node::Node;
use vouch_tests::tools::Tool;

use vouch_tests::solidity;
use vouch_tests::world::{Options, World};

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

#[tokio::test]
async fn a_dapp_buys_by_contract_calls_alone() -> Result<()> {
    let Some(tool) = Tool::node() else {
        return Ok(());
    };
    let world = World::with(Options {
        everyone_holds: false,
        ..Options::default()
    })
    .await?;
    let at = &world.buyer.market.addresses;
    let argument = json!({
        "http": world.node.url(),
        "escrow": at.escrow,
        "offers": at.offers,
        "usage": at.usage,
        "token": at.token,
        "clauses": {"policy": Clauses::POLICY.0, "buyers": Clause::Buyers.bit().0},
    });
    tool.run(&["tests/js/market.mjs", &argument.to_string()])
        .await
        .map(|_| ())
}
