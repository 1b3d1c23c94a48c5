//! alloy, as our own clients use it: over HTTP and WebSocket, with subscriptions and test control.

use std::time::Duration;

use alloy::network::{EthereumWallet, TransactionBuilder};
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::ext::AnvilApi;
use alloy::providers::{Provider, ProviderBuilder, WsConnect};
use alloy::rpc::types::{Filter, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result};
use futures::StreamExt;
use vouch_tests::node::{ACCOUNTS, Node};

/// How long a pushed message may take.
const PUSH_LIMIT: Duration = Duration::from_secs(10);

/// Init code of a contract that logs topic 7 without data on every call.
const LOGGER: [u8; 14] = [
    0x65, 0x60, 0x07, 0x5f, 0x5f, 0xa1, 0x00, // PUSH6 (PUSH1 7, PUSH0, PUSH0, LOG1, STOP)
    0x5f, 0x52, // PUSH0, MSTORE
    0x60, 0x06, 0x60, 0x1a, 0xf3, // PUSH1 6, PUSH1 26, RETURN
];

#[tokio::test]
async fn transactions_and_subscriptions() -> Result<()> {
    let node = Node::devnet(&[]).await?;
    let signer: PrivateKeySigner = ACCOUNTS[0].1.parse()?;
    let sender = signer.address();
    let wallet = EthereumWallet::from(signer);
    let http = ProviderBuilder::new()
        .wallet(wallet)
        .connect_http(node.url().parse()?);
    let socket = ProviderBuilder::new()
        .connect_ws(WsConnect::new(node.ws_url()))
        .await?;

    let create = TransactionRequest::default().with_deploy_code(LOGGER);
    let receipt = http.send_transaction(create).await?.get_receipt().await?;
    let logger = receipt.contract_address.context("a contract's address")?;
    assert_eq!(http.get_code_at(logger).await?.len(), 6);

    let mut heads = socket.subscribe_blocks().await?.into_stream();
    let filter = Filter::new().address(logger);
    let mut logs = socket.subscribe_logs(&filter).await?.into_stream();
    let mut pending = socket.subscribe_pending_transactions().await?.into_stream();

    let call = TransactionRequest::default().to(logger);
    let sent = http.send_transaction(call).await?;
    let hash = *sent.tx_hash();
    let receipt = sent.get_receipt().await?;
    assert!(receipt.status());

    let head = tokio::time::timeout(PUSH_LIMIT, heads.next())
        .await?
        .context("a block")?;
    assert_eq!(Some(head.number), receipt.block_number);
    assert_eq!(Some(head.hash), receipt.block_hash);
    let log = tokio::time::timeout(PUSH_LIMIT, logs.next())
        .await?
        .context("a log")?;
    assert_eq!(log.transaction_hash, Some(hash));
    assert_eq!(log.topics(), [B256::with_last_byte(7)]);
    let seen = tokio::time::timeout(PUSH_LIMIT, pending.next())
        .await?
        .context("a hash")?;
    assert_eq!(seen, hash);

    let block = http
        .get_block_by_number(head.number.into())
        .await?
        .context("the block")?;
    assert_eq!(block.header.hash, head.hash);
    assert_eq!(
        keccak256(alloy::rlp::encode(&block.header.inner)),
        head.hash,
        "the header's hash"
    );
    assert_eq!(http.get_logs(&filter.clone().from_block(0)).await?.len(), 1);
    assert_eq!(http.get_transaction_count(sender).await?, 2);
    Ok(())
}

#[tokio::test]
async fn test_control() -> Result<()> {
    let node = Node::devnet(&[]).await?;
    let provider = ProviderBuilder::new().connect_http(node.url().parse()?);
    let stranger = Address::repeat_byte(0xbe);

    let info = provider.anvil_node_info().await?;
    assert_eq!(info.environment.chain_id, 31337);
    let snapshot = provider.anvil_snapshot().await?;
    provider.anvil_set_balance(stranger, U256::from(5)).await?;
    assert_eq!(provider.get_balance(stranger).await?, U256::from(5));
    provider.anvil_set_nonce(stranger, 3).await?;
    assert_eq!(provider.get_transaction_count(stranger).await?, 3);
    provider
        .anvil_set_code(stranger, vec![0x5f; 3].into())
        .await?;
    assert_eq!(provider.get_code_at(stranger).await?.len(), 3);
    provider
        .anvil_set_storage_at(stranger, U256::from(1), U256::from(9).into())
        .await?;
    assert_eq!(
        provider.get_storage_at(stranger, U256::from(1)).await?,
        U256::from(9)
    );
    assert!(provider.anvil_revert(snapshot).await?);
    assert_eq!(provider.get_balance(stranger).await?, U256::ZERO);
    assert_eq!(
        provider.get_storage_at(stranger, U256::from(1)).await?,
        U256::ZERO
    );

    provider.anvil_set_auto_mine(false).await?;
    assert!(!provider.anvil_get_auto_mine().await?);
    let from: Address = ACCOUNTS[1].0.parse()?;
    let transfer = TransactionRequest::default()
        .from(from)
        .to(stranger)
        .value(U256::from(1));
    let sent = provider.send_transaction(transfer).await?;
    let hash = *sent.tx_hash();
    assert!(provider.get_transaction_receipt(hash).await?.is_none());
    provider.anvil_mine(Some(2), None).await?;
    let receipt = provider
        .get_transaction_receipt(hash)
        .await?
        .context("a receipt")?;
    assert_eq!(receipt.block_number, Some(1));
    assert_eq!(provider.get_block_number().await?, 2);
    Ok(())
}
