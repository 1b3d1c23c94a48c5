//! Transactions in, signatures out.

use alloy::{
    eips::eip2718::Encodable2718,
    primitives::{Address, Signature, eip191_hash_message},
};
use serde_json::{Value, json};

use super::{Answer, json, params::Params, read::receipt_of};
use crate::{
    accounts::envelope,
    chain::{Chain, Error, SentTx, no_signature},
};

/// Runs a method of this group.
pub(super) fn call(chain: &mut Chain, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "eth_sendTransaction" | "wallet_sendTransaction" => send(chain, params, false),
        "eth_sendUnsignedTransaction" => send(chain, params, true),
        "eth_sendRawTransaction" => send_raw(chain, params),
        "eth_fillTransaction" => fill(chain, params),
        "eth_signTransaction" => sign_transaction(chain, params),
        // `personal_sign` has its parameters the other way round.
        "eth_sign" => sign(chain, params, 0, 1),
        "personal_sign" => sign(chain, params, 1, 0),
        _ => return None,
    })
}

fn send(chain: &mut Chain, params: &Params, unsigned: bool) -> Answer {
    let request = params.request(0)?;
    let tx = chain.make(request, unsigned)?;
    Ok(json!(chain.submit(tx)?))
}

fn send_raw(chain: &mut Chain, params: &Params) -> Answer {
    let bytes = params.bytes(0, "transaction")?;
    Ok(json!(chain.submit(SentTx::decode(&bytes)?)?))
}

/// Whether `method` sends and waits; then the method that sends.
pub(super) fn waits_for_receipt(method: &str) -> Option<&'static str> {
    match method {
        "eth_sendRawTransactionSync" => Some("eth_sendRawTransaction"),
        "eth_sendTransactionSync" => Some("eth_sendTransaction"),
        _ => None,
    }
}

/// The receipt that such a method waits for.
pub(super) fn awaited_receipt(chain: &Chain, hash: &Value) -> Option<Value> {
    let hash = serde_json::from_value(hash.clone()).ok()?;
    Some(receipt_of(chain, &hash)).filter(|receipt| !receipt.is_null())
}

fn fill(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let from = chain.sender_of(&request);
    let tx = envelope(chain.fill(request)?, no_signature());
    let raw = format!("0x{}", hex::encode(tx.encoded_2718()));
    let tx = SentTx::signed(tx, from)?;
    Ok(json!({ "raw": raw, "tx": json::waiting_tx(&tx) }))
}

fn sign_transaction(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let tx = chain.sign(request)?;
    Ok(json!(format!("0x{}", hex::encode(tx.encoded_2718()))))
}

fn sign(chain: &mut Chain, params: &Params, address: usize, message: usize) -> Answer {
    let address: Address = params.address(address, "address")?;
    let message = params.bytes(message, "message")?;
    let hash = eip191_hash_message(&message);
    let signature: Option<Signature> = chain.accounts.sign_hash(&address, &hash);
    let signature = signature.ok_or(Error::NoSigner(address))?;
    Ok(json!(format!("0x{}", hex::encode(signature.as_bytes()))))
}
