//! Transactions as the node keeps them: with their sender.

use alloy::{
    consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable},
    eips::{Typed2718, eip2718::Decodable2718, eip2718::Encodable2718},
    primitives::{Address, B256, keccak256},
};
use revm::{context::TxEnv, context_interface::either::Either};

use super::Error;

/// A transaction and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTx {
    /// The transaction with its signature.
    pub envelope: TxEnvelope,
    /// The signer, or the account it was sent for by impersonation.
    pub sender: Address,
    /// What identifies it.
    pub hash: B256,
}

impl SentTx {
    /// Decodes a signed transaction and recovers its sender.
    ///
    /// # Errors
    /// The bytes are no transaction, carry blobs, or have no valid signature.
    pub fn decode(raw: &[u8]) -> Result<Self, Error> {
        if raw.is_empty() {
            return Err(Error::EmptyTransaction);
        }
        let mut rest = raw;
        let envelope =
            TxEnvelope::decode_2718(&mut rest).map_err(|_| Error::UndecodableTransaction)?;
        if !rest.is_empty() {
            return Err(Error::UndecodableTransaction);
        }
        let sender = envelope.recover_signer().map_err(|_| Error::BadSignature)?;
        Self::signed(envelope, sender)
    }

    /// A transaction signed by `sender`.
    ///
    /// # Errors
    /// The transaction carries blobs, which this chain has no room for.
    pub fn signed(envelope: TxEnvelope, sender: Address) -> Result<Self, Error> {
        if envelope.is_eip4844() {
            return Err(Error::BlobTransaction);
        }
        let hash = *envelope.tx_hash();
        Ok(Self {
            envelope,
            sender,
            hash,
        })
    }

    /// A transaction sent for `sender` without its signature. Its hash covers the sender, since
    /// two such transactions can be equal in everything else.
    pub fn impersonated(envelope: TxEnvelope, sender: Address) -> Self {
        let mut bytes = envelope.encoded_2718();
        bytes.extend_from_slice(sender.as_slice());
        Self {
            envelope,
            sender,
            hash: keccak256(bytes),
        }
    }

    /// The form the EVM takes.
    pub fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            authorization_list: tx
                .authorization_list()
                .unwrap_or_default()
                .iter()
                .cloned()
                .map(Either::Left)
                .collect(),
            ..TxEnv::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_transaction() {
        assert!(matches!(SentTx::decode(&[]), Err(Error::EmptyTransaction)));
        for bytes in [&[0u8][..], &[2, 0xc0], &[0xc0], &[0x7f; 40], &[0xff; 3]] {
            assert!(
                matches!(SentTx::decode(bytes), Err(Error::UndecodableTransaction)),
                "{bytes:?}"
            );
        }
    }
}
