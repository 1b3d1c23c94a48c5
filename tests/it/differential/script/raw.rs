//! Transactions signed here, with the key of the third account: nonces count from zero.

use alloy::consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy, TypedTransaction,
};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip7702::Authorization;
use alloy::network::TxSignerSync;
use alloy::primitives::{Address, Signature, TxKind, U256, hex};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::SolCall;
use anyhow::Result;
use serde_json::json;
use vouch_tests::node::ACCOUNTS;

use super::{BOB, PROBE, Probe};
use crate::differential::step::Script;

const PRICE: u128 = 2_000_000_000;
const CHAIN: u64 = 31337;

pub(super) fn signed(s: &mut Script) -> Result<()> {
    let signer: PrivateKeySigner = ACCOUNTS[2].1.parse()?;
    let bob: Address = BOB.parse()?;
    let probe: Address = PROBE.parse()?;
    let sign = |mut transaction: TypedTransaction| -> Result<String> {
        let signature: Signature = match &mut transaction {
            TypedTransaction::Legacy(tx) => signer.sign_transaction_sync(tx)?,
            TypedTransaction::Eip2930(tx) => signer.sign_transaction_sync(tx)?,
            TypedTransaction::Eip1559(tx) => signer.sign_transaction_sync(tx)?,
            TypedTransaction::Eip7702(tx) => signer.sign_transaction_sync(tx)?,
            TypedTransaction::Eip4844(_) => anyhow::bail!("the script has no blobs"),
        };
        let envelope = alloy::consensus::TxEnvelope::from(transaction.into_signed(signature));
        Ok(hex::encode_prefixed(envelope.encoded_2718()))
    };
    let legacy = |nonce: u64, chain_id: Option<u64>, gas_price: u128| {
        TypedTransaction::Legacy(TxLegacy {
            chain_id,
            nonce,
            gas_price,
            gas_limit: 21_000,
            to: TxKind::Call(bob),
            value: U256::from(10),
            input: Default::default(),
        })
    };
    let dynamic = |nonce: u64, chain_id: u64| {
        TypedTransaction::Eip1559(TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 100_000,
            max_fee_per_gas: PRICE,
            max_priority_fee_per_gas: PRICE,
            to: TxKind::Call(probe),
            input: Probe::addCall { n: U256::from(1) }.abi_encode().into(),
            ..Default::default()
        })
    };
    let mut send = |name: &str, raw: String| {
        s.call(name, "eth_sendRawTransaction", json!([raw]))
            .save("rawHash");
        s.call(
            &format!("{name}: receipt"),
            "eth_getTransactionReceipt",
            json!(["$rawHash"]),
        )
        .wait();
        s.call(
            &format!("{name}: transaction"),
            "eth_getTransactionByHash",
            json!(["$rawHash"]),
        )
        .wait_for("/blockNumber");
    };
    send("raw legacy", sign(legacy(0, Some(CHAIN), PRICE))?);
    send(
        "raw legacy without a chain id",
        sign(legacy(1, None, PRICE))?,
    );
    send(
        "raw with an access list",
        sign(TypedTransaction::Eip2930(TxEip2930 {
            chain_id: CHAIN,
            nonce: 2,
            gas_price: PRICE,
            gas_limit: 60_000,
            to: TxKind::Call(bob),
            ..Default::default()
        }))?,
    );
    send("raw with a tip", sign(dynamic(3, CHAIN))?);
    // Bob delegates to the probe, and the same transaction calls him as the probe.
    let delegation = Authorization {
        chain_id: U256::from(CHAIN),
        address: probe,
        nonce: 2,
    };
    let delegator: PrivateKeySigner = ACCOUNTS[1].1.parse()?;
    let signature = delegator.sign_hash_sync(&delegation.signature_hash())?;
    send(
        "raw delegation",
        sign(TypedTransaction::Eip7702(TxEip7702 {
            chain_id: CHAIN,
            nonce: 4,
            gas_limit: 200_000,
            max_fee_per_gas: PRICE,
            max_priority_fee_per_gas: PRICE,
            to: bob,
            input: Probe::addCall { n: U256::from(7) }.abi_encode().into(),
            authorization_list: vec![delegation.into_signed(signature)],
            ..Default::default()
        }))?,
    );
    send("raw creation", {
        let creation = TypedTransaction::Legacy(TxLegacy {
            chain_id: Some(CHAIN),
            nonce: 5,
            gas_price: PRICE,
            gas_limit: 100_000,
            to: TxKind::Create,
            value: U256::ZERO,
            input: hex!("602a60005260206000f3").into(),
        });
        sign(creation)?
    });
    let mut refuse = |name: &str, raw: String| {
        s.call(name, "eth_sendRawTransaction", json!([raw]));
    };
    refuse("raw nonce again", sign(legacy(0, Some(CHAIN), PRICE))?);
    refuse("raw for another chain", sign(dynamic(6, 1))?);
    refuse("raw too cheap", sign(legacy(6, Some(CHAIN), 1))?);
    s.call("delegated code", "eth_getCode", json!([BOB, "latest"]));
    s.call(
        "signer's nonce",
        "eth_getTransactionCount",
        json!([ACCOUNTS[2].0, "latest"]),
    );
    s.call(
        "signer's balance",
        "eth_getBalance",
        json!([ACCOUNTS[2].0, "latest"]),
    );
    Ok(())
}
