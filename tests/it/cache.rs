//! The program cache: `cargo stylus cache` as its users have it, and what a place in the cache is
//! worth.

use alloy::primitives::{Address, Bytes, U256, address, keccak256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::TransactionRequest;
use alloy::sol;
use alloy::sol_types::{SolCall, SolError};
use anyhow::{Context, Result};
use serde_json::json;
use vouch_client::cache::ARB_WASM_CACHE;
use vouch_client::deploy::ARB_WASM;
use vouch_client::program::Program;
use vouch_client::{connect, send};
use vouch_tests::node::{ACCOUNTS, Node};
use vouch_tests::paths;
use vouch_tests::solidity;
use vouch_tests::tools::{Output, Tool};

/// Where the node has its cache manager.
const MANAGER: Address = address!("0x2F8Bd4EaB69764c105aDd7dE7CB0402557a44E6f");
/// The development account of Arbitrum's local chains, which owns this one too.
const OWNER: Address = address!("0x3f1Eae7D46d88F08fc2F8ed27FCb2AB183EB2d0E");

sol! {
    #[sol(rpc)]
    interface Manager {
        function setCacheSize(uint64 size) external;
        function setDecay(uint64 rate) external;
        function setPaused(bool paused) external;
        function placeBid(address program) external payable;
        function getMinBid(address program) external view returns (uint192);
        function queueSize() external view returns (uint64);

        error NotChainOwner(address caller);
    }

    #[sol(rpc)]
    interface Wasm {
        function programInitGas(address program) external view returns (uint64 load, uint64 start);
        function codehashAsmSize(bytes32 codehash) external view returns (uint32);
        function activateProgram(address program) external payable returns (uint16, uint256);
    }

    #[sol(rpc)]
    interface Cache {
        function codehashIsCached(bytes32 codehash) external view returns (bool);
        function cacheProgram(address program) external;
    }
}

/// A node and who may do what with it.
struct World {
    node: Node,
    /// An ordinary account.
    user: DynProvider,
}

impl World {
    async fn new() -> Result<Self> {
        let node = Node::devnet(&[]).await?;
        let user = connect(&node.url(), Some(ACCOUNTS[0].1.parse()?)).await?;
        Ok(Self { node, user })
    }

    /// Deploys and activates a program whose code differs by `n`.
    async fn program(&self, n: u32) -> Result<Address> {
        let text = format!(
            r#"(module (memory (export "memory") 1 1)
                 (func (export "user_entrypoint") (param i32) (result i32) i32.const {n} drop i32.const 0))"#
        );
        let program = Program::from_wasm("sample", &wat::parse_str(text)?)?;
        let create = TransactionRequest::default().input(program.creation_code().into());
        let create = TransactionRequest {
            to: Some(alloy::primitives::TxKind::Create),
            ..create
        };
        let receipt = self
            .user
            .send_transaction(create)
            .await?
            .get_receipt()
            .await?;
        let at = receipt.contract_address.context("no address")?;
        let wasm = Wasm::new(ARB_WASM, self.user.clone());
        send(
            wasm.activateProgram(at)
                .value(U256::from(10).pow(U256::from(17))),
        )
        .await?;
        Ok(at)
    }

    /// Sends a call of the manager as the chain's owner.
    async fn as_owner(&self, data: Bytes) -> Result<()> {
        let call = json!([{"from": OWNER, "to": MANAGER, "data": data}]);
        let hash = self.node.rpc.call("eth_sendTransaction", call).await?;
        let receipt = self
            .node
            .rpc
            .call("eth_getTransactionReceipt", json!([hash]))
            .await?;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        Ok(())
    }

    fn manager(&self) -> Manager::ManagerInstance<DynProvider> {
        Manager::new(MANAGER, self.user.clone())
    }

    async fn is_cached(&self, program: Address) -> Result<bool> {
        let code = keccak256(self.user.get_code_at(program).await?);
        let cache = Cache::new(ARB_WASM_CACHE, self.user.clone());
        Ok(cache.codehashIsCached(code).call().await?)
    }

    /// Gas of a transaction that calls the program.
    async fn gas(&self, program: Address) -> Result<u64> {
        let call = TransactionRequest::default().to(program);
        let receipt = self
            .user
            .send_transaction(call)
            .await?
            .get_receipt()
            .await?;
        assert!(receipt.status());
        Ok(receipt.gas_used)
    }
}

async fn cache(tool: &Tool, node: &Node, arguments: &[&str]) -> Result<Output> {
    let url = node.url();
    let all = [&["cache"], arguments, &["--endpoint", &url]].concat();
    tool.run_in(&paths::root().join("contracts/token"), &all)
        .await
}

#[tokio::test]
async fn cargo_stylus_bids_and_asks() -> Result<()> {
    let Some(tool) = Tool::cargo_stylus() else {
        return Ok(());
    };
    let world = World::new().await?;
    let node = &world.node;
    let (program, key) = (world.program(1).await?, ACCOUNTS[0].1);
    let shown = program.to_string();

    let status = cache(&tool, node, &["status", "--address", &shown]).await?;
    assert!(status.success, "{}", status.text());
    assert!(status.text().contains("active"), "{}", status.text());
    assert!(
        status.text().contains("is not yet cached"),
        "{}",
        status.text()
    );
    let suggested = cache(&tool, node, &["suggest-bid", &shown]).await?;
    assert!(suggested.success, "{}", suggested.text());
    assert!(
        suggested.text().contains("Minimum bid"),
        "{}",
        suggested.text()
    );

    let bid = ["bid", &shown, "0", "--private-key", key];
    let placed = cache(&tool, node, &bid).await?;
    assert!(placed.success, "{}", placed.text());
    assert!(world.is_cached(program).await?);
    let status = cache(&tool, node, &["status", "--address", &shown]).await?;
    assert!(
        !status.text().contains("not yet cached"),
        "{}",
        status.text()
    );

    // Each of the manager's refusals reaches the user by its name.
    let refused = async |arguments: &[&str], reason: &str| -> Result<()> {
        let said = cache(&tool, node, arguments).await?;
        assert!(!said.success, "{}", said.text());
        let text = said.text().to_lowercase();
        assert!(text.contains(reason), "expected {reason:?} in {text}");
        Ok(())
    };
    refused(&bid, "already cached").await?;
    let (second, third) = (world.program(2).await?, world.program(3).await?);
    let (second, third) = (second.to_string(), third.to_string());
    let pause = |paused| Manager::setPausedCall { paused };
    world.as_owner(pause(true).abi_encode().into()).await?;
    refused(&["bid", &second, "0", "--private-key", key], "paused").await?;
    world.as_owner(pause(false).abi_encode().into()).await?;
    let size = Manager::setCacheSizeCall { size: 1 };
    world.as_owner(size.abi_encode().into()).await?;
    refused(&["bid", &second, "0", "--private-key", key], "too large").await?;
    let size = Manager::setCacheSizeCall { size: 1 << 20 };
    world.as_owner(size.abi_encode().into()).await?;
    // There is room for one more; the third has to outbid the first.
    let placed = cache(&tool, node, &["bid", &second, "7", "--private-key", key]).await?;
    assert!(placed.success, "{}", placed.text());
    let placed = cache(&tool, node, &["bid", &third, "5", "--private-key", key]).await?;
    assert!(placed.success, "{}", placed.text());
    assert!(!world.is_cached(program).await?, "the lowest bid went");
    refused(&["bid", &shown, "4", "--private-key", key], "too small").await?;
    let missing = "0x00000000000000000000000000000000000a11ce";
    refused(
        &["bid", missing, "0", "--private-key", key],
        "not yet activated",
    )
    .await?;
    Ok(())
}

/// A cached program starts without being loaded: exactly the published difference.
#[tokio::test]
async fn a_cached_program_starts_at_the_published_price() -> Result<()> {
    let world = World::new().await?;
    let program = world.program(1).await?;
    let wasm = Wasm::new(ARB_WASM, world.user.clone());
    let price = wasm.programInitGas(program).call().await?;
    let before = world.gas(program).await?;
    assert_eq!(
        before,
        world.gas(program).await?,
        "no transaction warms the next"
    );
    send(world.manager().placeBid(program)).await?;
    let after = world.gas(program).await?;
    assert_eq!(before - after, price.load - price.start);
    assert!(price.start > 0 && after > 21_000);
    Ok(())
}

#[tokio::test]
async fn bids_age_and_only_the_owner_rules() -> Result<()> {
    let world = World::new().await?;
    let (first, second) = (world.program(1).await?, world.program(2).await?);
    let code = keccak256(world.user.get_code_at(first).await?);
    let wasm = Wasm::new(ARB_WASM, world.user.clone());
    let room = u64::from(wasm.codehashAsmSize(code).call().await?);
    let size = Manager::setCacheSizeCall { size: room };
    world.as_owner(size.abi_encode().into()).await?;
    world
        .as_owner(Manager::setDecayCall { rate: 10 }.abi_encode().into())
        .await?;
    let manager = world.manager();
    send(manager.placeBid(first).value(U256::from(1000))).await?;
    assert_eq!(manager.queueSize().call().await?, room);
    let now = manager.getMinBid(second).call().await?;
    world.node.rpc.call("evm_increaseTime", json!([60])).await?;
    world.node.rpc.call("evm_mine", json!([])).await?;
    let later = manager.getMinBid(second).call().await?;
    assert!(now > later, "{now} {later}");
    world
        .node
        .rpc
        .call("evm_increaseTime", json!([600]))
        .await?;
    world.node.rpc.call("evm_mine", json!([])).await?;
    send(manager.placeBid(second)).await?;
    assert!(world.is_cached(second).await? && !world.is_cached(first).await?);

    let stranger = send(manager.setPaused(true)).await.unwrap_err().to_string();
    let selector = hex::encode(Manager::NotChainOwner::SELECTOR);
    assert!(
        stranger.contains("NotChainOwner") || stranger.contains(&selector),
        "{stranger}"
    );
    let cache = Cache::new(ARB_WASM_CACHE, world.user.clone());
    assert!(send(cache.cacheProgram(first)).await.is_err(), "no manager");
    Ok(())
}

/// The code in the first block is what the compiler makes of the source beside it.
#[tokio::test]
async fn the_cache_manager_is_compiled_from_its_source() -> Result<()> {
    let Some(compiled) = solidity::compiled("CacheManager.sol", "CacheManager").await? else {
        return Ok(());
    };
    let asset = paths::root().join("devnet/stylus/assets/cache_manager.hex");
    let kept: String = std::fs::read_to_string(asset)?.split_whitespace().collect();
    assert_eq!(compiled["evm"]["deployedBytecode"]["object"], kept);
    Ok(())
}
