//! Contracts of others: Solidity that buys and is told the result, and the adapters that let agents
//! of ERC-8183 and ERC-8004 use the market without knowing it.

use alloy::json_abi::JsonAbi;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::sol;
use alloy::sol_types::abi::TokenSeq;
use alloy::sol_types::{SolCall, SolType, SolValue};
use anyhow::{Context, Result};
use serde_json::Value;
use vouch_abi::{IEscrow, OrderRequest, Receipt, Terms};
use vouch_client::{Error, Placed, State, send};
use vouch_protocol::{Phase, Reason};
use vouch_tests::paths;
use vouch_tests::solidity::{compiled, create_with};
use vouch_tests::tools::Tool;
use vouch_tests::world::World;

sol! {
    #[sol(rpc)]
    interface IBuyer {
        function setDeaf(bool to) external;
        function outputs() external view returns (bytes32);
        function calls() external view returns (uint256);
        function entered() external view returns (bool);
        function addCall(address target, bytes with) external;
    }

    #[sol(rpc)]
    interface IJobs {
        function submitted(uint256 jobId, address evaluator) external;
        function jobs(uint256 jobId) external view returns (address evaluator, uint8 status, bytes32 reason);
    }

    #[sol(rpc)]
    interface IJobEvaluator {
        function saltOf(address jobs, uint256 jobId) external view returns (bytes32);
    }

    #[sol(rpc)]
    interface IRegistry {
        function register(uint256 agentId) external;
        function validationRequest(address validator, uint256 agentId, string uri, bytes32 hash) external;
        function getValidationStatus(bytes32 hash) external view returns (address, uint256, uint8, bytes32, string, uint256);
    }
}

/// Sends a call of one of the compiled contracts whose arguments are the market's own structs;
/// `function` is `Contract.function`, `arguments` a tuple.
async fn tell<T>(
    provider: &DynProvider,
    to: Address,
    function: &str,
    arguments: &T,
) -> Result<TransactionReceipt, Error>
where
    T: SolValue,
    for<'a> <T::SolType as SolType>::Token<'a>: TokenSeq<'a>,
{
    let mut data = selector(function)
        .await
        .unwrap_or_else(|error| panic!("{function}: {error:#}"));
    data.extend(arguments.abi_encode_params());
    let mut request = TransactionRequest::default().to(to).input(data.into());
    // What a program costs depends on what else its block has run.
    let gas = provider.estimate_gas(request.clone()).await?;
    request.set_gas_limit(gas + gas / 4);
    let pending = provider.send_transaction(request).await?;
    let receipt = pending.get_receipt().await?;
    assert!(receipt.status(), "{function} failed once mined");
    Ok(receipt)
}

async fn selector(function: &str) -> Result<Vec<u8>> {
    let (contract, name) = function.split_once('.').context("Contract.function")?;
    let compiled = compiled(&format!("{contract}.sol"), contract).await?;
    let abi = compiled.context("compiled before")?["abi"].take();
    let abi: JsonAbi = serde_json::from_value(abi)?;
    let functions = abi.function(name).context("no such function")?;
    let function = functions.first().context("no such function")?;
    Ok(function.selector().to_vec())
}

/// A world with the contract that tells buyers, and what a placed order leads to.
struct Integration {
    world: World,
    delivery: Address,
}

impl Integration {
    async fn new() -> Result<Option<Self>> {
        if Tool::node().is_none() {
            return Ok(None);
        }
        let world = World::new().await?;
        let market = &world.governor.market;
        let escrow = market.addresses.escrow.abi_encode();
        let delivery = create_with(&market.provider, "Delivery.sol", "Delivery", &escrow).await?;
        Ok(Some(Self { world, delivery }))
    }

    /// A contract that buys, with money.
    async fn buyer(&self) -> Result<Address> {
        let market = &self.world.governor.market;
        let arguments = (market.addresses.escrow, self.delivery).abi_encode();
        let buyer = create_with(&market.provider, "Buyer.sol", "Buyer", &arguments).await?;
        market.mint(buyer, U256::from(1_000_000)).await?;
        Ok(buyer)
    }

    /// Has a contract that buys place an order.
    async fn buy(&mut self, buyer: Address) -> Result<Placed> {
        let request = self.world.request().await?;
        let market = &self.world.stranger.market;
        let arguments = (market.addresses.token, request);
        let receipt = tell(&market.provider, buyer, "Buyer.buy", &arguments).await?;
        let event = market.find_event::<IEscrow::OrderPlaced>(&receipt)?;
        Ok(Placed {
            order: event.order,
            terms: event.terms,
        })
    }

    /// Has an order accepted, started and finished; gives its receipt.
    async fn finish(&self, placed: &Placed, device: u8) -> Result<Receipt> {
        let provider = &self.world.provider.market;
        send(provider.escrow().accept(placed.terms.clone())).await?;
        let mut receipt = None;
        for phase in [Phase::Start, Phase::Finish] {
            let verdict = self
                .world
                .verdict(placed, phase, Reason::Accepted, device)
                .await?;
            receipt = Some(self.world.submit(placed, &verdict, &[0, 1]).await?);
            self.world.pass(5).await?;
        }
        let settled = receipt
            .as_ref()
            .map(|receipt| provider.find_event::<IEscrow::OrderSettled>(receipt));
        Ok(settled.context("no receipt")??.receipt)
    }

    /// Lets an order expire and has a stranger refund it.
    async fn refund(&self, placed: &Placed) -> Result<()> {
        self.world.pass(10_000).await?;
        let escrow = self.world.stranger.market.escrow();
        send(escrow.refund(placed.terms.clone())).await?;
        assert_eq!(self.world.record(placed).await?.state, State::Refunded);
        Ok(())
    }
}

/// Asserts that a call was refused with an error of this signature.
#[track_caller]
fn refused<T>(result: Result<T, Error>, signature: &str) {
    let error = match result {
        Ok(_) => panic!("expected {signature}, but it succeeded"),
        Err(error) => error.to_string(),
    };
    let name = signature.split('(').next().unwrap_or_default();
    let selector = hex::encode(&keccak256(signature)[..4]);
    assert!(
        error.contains(name) || error.contains(&selector),
        "expected {signature} ({selector}), found {error}"
    );
}

#[tokio::test]
async fn a_contract_buys_and_is_told_the_result_once() -> Result<()> {
    let Some(mut integration) = Integration::new().await? else {
        return Ok(());
    };
    let buyer = integration.buyer().await?;
    let placed = integration.buy(buyer).await?;
    assert_eq!(placed.terms.buyer, buyer);
    let provider = integration.world.stranger.market.provider.clone();
    let contract = IBuyer::new(buyer, provider.clone());
    let delivery = integration.delivery;
    let deliver = async |receipt: &Receipt| {
        tell(&provider, delivery, "Delivery.deliver", &(receipt.clone(),)).await
    };

    let early = Receipt {
        order: placed.order,
        buyer,
        ..Default::default()
    };
    refused(deliver(&early).await, "NotInState(bytes32,uint8,uint8)");
    let receipt = integration.finish(&placed, 1).await?;
    assert_eq!(
        contract.calls().call().await?,
        U256::ZERO,
        "paying calls no buyer"
    );

    let forged = Receipt {
        outputs: B256::repeat_byte(0xff),
        ..receipt.clone()
    };
    refused(deliver(&forged).await, "ReceiptMismatch(bytes32,bytes32)");
    refused(
        tell(&provider, buyer, "Buyer.onResult", &(receipt.clone(),)).await,
        "NotDelivery(address)",
    );
    // A buyer that does not listen can be told later; its money has moved already.
    send(contract.setDeaf(true)).await?;
    refused(deliver(&receipt).await, "Deaf()");
    send(contract.setDeaf(false)).await?;
    // One that calls back while it is told gets nowhere: not told again, nothing paid, nothing refunded.
    let terms = placed.terms.clone();
    let token = terms.token;
    let again = [
        selector("Delivery.deliver").await?,
        (receipt.clone(),).abi_encode_params(),
    ]
    .concat();
    let escrow = integration.world.stranger.market.addresses.escrow;
    let back = [
        (delivery, again),
        (escrow, IEscrow::refundCall { terms }.abi_encode()),
        (escrow, IEscrow::withdrawCall { token }.abi_encode()),
    ];
    for (target, data) in back {
        send(contract.addCall(target, data.into())).await?;
    }
    deliver(&receipt).await?;
    assert!(!contract.entered().call().await?, "from inside a callback");
    assert_eq!(contract.outputs().call().await?, receipt.outputs);
    assert_eq!(contract.calls().call().await?, U256::from(1));
    refused(deliver(&receipt).await, "AlreadyDelivered(bytes32)");
    assert_eq!(integration.world.surplus().await?, U256::ZERO);
    Ok(())
}

#[tokio::test]
async fn a_refund_calls_nobody() -> Result<()> {
    let Some(mut integration) = Integration::new().await? else {
        return Ok(());
    };
    let buyer = integration.buyer().await?;
    let placed = integration.buy(buyer).await?;
    integration.refund(&placed).await?;
    let market = &integration.world.stranger.market;
    let contract = IBuyer::new(buyer, market.provider.clone());
    assert_eq!(contract.calls().call().await?, U256::ZERO);
    let held = market.balance(market.addresses.token, buyer).await?;
    assert_eq!(held, U256::from(1_000_000), "everything came back");
    Ok(())
}

#[tokio::test]
async fn a_job_of_erc_8183_is_judged_by_hardware() -> Result<()> {
    let Some(mut integration) = Integration::new().await? else {
        return Ok(());
    };
    let market = integration.world.governor.market.clone();
    let escrow = market.addresses.escrow;
    let provider = market.provider.clone();
    let jobs = create_with(&provider, "Agents.sol", "Jobs", &[]).await?;
    let jobs = IJobs::new(jobs, provider.clone());
    let model = integration.world.legs[1].offer.digest;
    let buyer = integration.world.buyer.address();
    let evaluator = async |buyer: Address, asset: B256| -> Result<_> {
        let arguments = (escrow, buyer, B256::ZERO, vec![asset]).abi_encode_params();
        let at = create_with(&provider, "JobEvaluator.sol", "JobEvaluator", &arguments).await?;
        Ok(IJobEvaluator::new(at, provider.clone()))
    };
    let named = evaluator(buyer, model).await?;
    let open = evaluator(Address::ZERO, model).await?;
    let other = evaluator(buyer, B256::repeat_byte(0x77)).await?;
    for (job, at) in [
        (1, named.address()),
        (2, other.address()),
        (3, open.address()),
        (4, named.address()),
    ] {
        send(jobs.submitted(U256::from(job), *at)).await?;
    }
    let order = async |integration: &mut Integration, job: u64| -> Result<Placed> {
        let salt = named
            .saltOf(*jobs.address(), U256::from(job))
            .call()
            .await?;
        let request = OrderRequest {
            salt,
            ..integration.world.request().await?
        };
        Ok(integration.world.buyer.market.place(request).await?.0)
    };
    let first = order(&mut integration, 1).await?;
    let receipt = integration.finish(&first, 1).await?;
    let complete = async |with: Address, job: u64, terms: &Terms, receipt: &Receipt| {
        let arguments = (
            *jobs.address(),
            U256::from(job),
            terms.clone(),
            receipt.clone(),
        );
        tell(&provider, with, "JobEvaluator.complete", &arguments).await
    };
    let (named_at, terms) = (*named.address(), &first.terms);
    refused(
        complete(named_at, 4, terms, &receipt).await,
        "OtherJob(bytes32,bytes32)",
    );
    complete(named_at, 1, terms, &receipt).await?;
    let job = jobs.jobs(U256::from(1)).call().await?;
    assert_eq!((job.status, job.reason), (3, receipt.verdict), "completed");
    refused(
        complete(named_at, 1, terms, &receipt).await,
        "WrongStatus(uint256,uint8)",
    );

    // Another asset, another buyer, another outcome.
    let second = order(&mut integration, 2).await?;
    let receipt = integration.finish(&second, 2).await?;
    refused(
        complete(*other.address(), 2, &second.terms, &receipt).await,
        "AssetNotPaid(bytes32)",
    );
    let third = order(&mut integration, 4).await?;
    let reject = async |with: Address| {
        let arguments = (*jobs.address(), U256::from(4), third.terms.clone());
        tell(&provider, with, "JobEvaluator.reject", &arguments).await
    };
    refused(reject(named_at).await, "NotInState(bytes32,uint8,uint8)");
    integration.refund(&third).await?;
    refused(reject(*open.address()).await, "CannotReject()");
    reject(named_at).await?;
    let job = jobs.jobs(U256::from(4)).call().await?;
    assert_eq!((job.status, job.reason), (4, third.order), "rejected");
    Ok(())
}

#[tokio::test]
async fn a_request_of_erc_8004_is_answered_with_what_was_paid() -> Result<()> {
    let Some(mut integration) = Integration::new().await? else {
        return Ok(());
    };
    let market = integration.world.governor.market.clone();
    let provider = market.provider.clone();
    let registry = create_with(&provider, "Agents.sol", "Registry", &[]).await?;
    let arguments = (market.addresses.escrow, registry).abi_encode();
    let writer = create_with(
        &provider,
        "ValidationWriter.sol",
        "ValidationWriter",
        &arguments,
    )
    .await?;
    let agent = integration.world.provider.market.provider.clone();
    let (own, foreign) = (
        IRegistry::new(registry, agent),
        IRegistry::new(registry, provider.clone()),
    );
    send(own.register(U256::from(7))).await?;
    send(foreign.register(U256::from(8))).await?;

    let placed = integration.world.place().await?;
    let receipt = integration.finish(&placed, 1).await?;
    let write = async || {
        let arguments = (
            placed.terms.clone(),
            receipt.clone(),
            "ipfs://receipt".to_owned(),
        );
        tell(
            &provider,
            writer,
            "ValidationWriter.writeSettled",
            &arguments,
        )
        .await
    };
    refused(write().await, "NotAsked(bytes32,address)");
    let ask = async |registry: &IRegistry::IRegistryInstance<_>, agent: u64, order: B256| {
        let agent = U256::from(agent);
        send(registry.validationRequest(writer, agent, String::new(), order)).await
    };
    // Somebody asks about an order that was not its own.
    ask(&foreign, 8, placed.order).await?;
    refused(write().await, "NotTheAgents(uint256,address,address)");
    ask(&own, 7, placed.order).await?;
    write().await?;
    let status = own.getValidationStatus(placed.order).call().await?;
    assert_eq!((status._2, status._3), (100, receipt.verdict));
    assert_eq!(status._4, "vouch");

    let failed = integration.world.place().await?;
    ask(&own, 7, failed.order).await?;
    integration.refund(&failed).await?;
    let arguments = (failed.terms.clone(), String::new());
    tell(
        &provider,
        writer,
        "ValidationWriter.writeRefunded",
        &arguments,
    )
    .await?;
    let status = own.getValidationStatus(failed.order).call().await?;
    assert_eq!((status._2, status._3), (0, failed.order));
    Ok(())
}

/// The Solidity interfaces mean what the JSON ABIs say: their compiler and ours agree.
#[tokio::test]
async fn the_solidity_interfaces_compile_to_the_exported_abi() -> Result<()> {
    for name in ["Offers", "Usage", "Attestation", "Escrow", "Token"] {
        let interface = format!("I{name}");
        let Some(found) = compiled(&format!("{interface}.sol"), &interface).await? else {
            return Ok(());
        };
        let path = paths::root().join(format!("contracts/abi/json/{name}.json"));
        let exported: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let found = entries(&found["abi"], &Value::Null);
        // Errors that all contracts share stand in an interface of their own.
        let common = compiled("IContract.sol", "IContract")
            .await?
            .context("compiled before")?;
        let expected = entries(&exported, &common["abi"]);
        assert_eq!(found, expected, "{interface}");
        assert!(found.len() > 10, "{interface} has {} entries", found.len());
    }
    Ok(())
}

/// Functions, events and errors of an ABI, without those of another, each as one text.
fn entries(abi: &Value, without: &Value) -> Vec<String> {
    let list = |abi: &Value| -> Vec<String> {
        abi.as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["type"] != "constructor")
            .map(canonical)
            .collect()
    };
    let without = list(without);
    let mut entries = list(abi);
    entries.retain(|entry| !without.contains(entry));
    entries.sort();
    entries
}

/// Fields in order of their names. Names of Solidity's own types differ between the two, and what an
/// event that is not anonymous says about it.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .filter(|(name, _)| !["internalType", "anonymous"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}:{}", canonical(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}
