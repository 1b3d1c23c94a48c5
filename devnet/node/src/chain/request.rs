//! From a request to a transaction: filling in what the caller left out, and signing.

use alloy::{
    consensus::{TxEnvelope, TypedTransaction},
    primitives::{Address, Signature, TxKind, U256},
    rpc::types::TransactionRequest,
};

use super::{At, CallOverrides, Chain, Error, tx::SentTx};
use crate::accounts::envelope;

/// Gas given to a transaction that asks for none and whose estimate fails: it is sent all the
/// same, as other development nodes do, and fails in its block.
const FALLBACK_GAS: u64 = 30_000_000;

impl Chain {
    /// The tip suggested to clients, in wei. Nothing here waits for lack of a tip.
    pub fn suggested_tip(&self) -> u128 {
        0
    }

    /// The gas price suggested to clients, in wei: enough for the next block.
    pub fn gas_price(&self) -> u128 {
        u128::from(self.next_base_fee()) + self.suggested_tip()
    }

    /// Who a request is from: its sender, or the node's first account.
    pub fn sender_of(&self, request: &TransactionRequest) -> Address {
        request
            .from
            .or_else(|| self.accounts.addresses().next())
            .unwrap_or_default()
    }

    /// Completes a request.
    ///
    /// # Errors
    /// Fields exclude each other, the chain id is another's, or no gas limit was given and the
    /// estimate fails.
    pub fn fill(&mut self, request: TransactionRequest) -> Result<TypedTransaction, Error> {
        let gas = match request.gas {
            Some(gas) => gas,
            None => self.estimate_for(&request)?,
        };
        self.complete(request, gas)
    }

    fn estimate_for(&mut self, request: &TransactionRequest) -> Result<u64, Error> {
        let mut probe = request.clone();
        probe.from = Some(self.sender_of(request));
        // Fees were not decided by the caller, so they must not limit the estimate.
        probe.nonce = None;
        self.estimate(probe, At::Pending, CallOverrides::default())
    }

    fn complete(&self, request: TransactionRequest, gas: u64) -> Result<TypedTransaction, Error> {
        let mut request = request;
        let from = self.sender_of(&request);
        if let Some(got) = request.chain_id
            && got != self.chain_id
        {
            return Err(Error::SignerChain {
                expected: self.chain_id,
                got,
            });
        }
        if request.has_eip4844_fields() && request.blob_versioned_hashes.is_some() {
            return Err(Error::BlobTransaction);
        }
        request.from = Some(from);
        request.chain_id = Some(self.chain_id);
        request.gas = Some(gas);
        request.nonce = Some(request.nonce.unwrap_or_else(|| self.pending_nonce(&from)));
        request.value = Some(request.value.unwrap_or(U256::ZERO));
        request.to = Some(request.to.unwrap_or(TxKind::Create));
        request.input = request.input.clone().normalized_input();
        let legacy = request.transaction_type == Some(0) || request.transaction_type == Some(1);
        if request.authorization_list.is_none() && (request.gas_price.is_some() || legacy) {
            let price = request.gas_price.or(request.max_fee_per_gas);
            request.gas_price = Some(price.unwrap_or_else(|| self.gas_price()));
            request.max_fee_per_gas = None;
            request.max_priority_fee_per_gas = None;
            let lists = request.access_list.is_some() && request.transaction_type != Some(0);
            request.transaction_type = Some(u8::from(lists || request.transaction_type == Some(1)));
        } else {
            let fee = request.max_fee_per_gas.or(request.gas_price.take());
            let tip = request.max_priority_fee_per_gas;
            let fee = fee.unwrap_or_else(|| {
                u128::from(self.next_base_fee()) + tip.unwrap_or_else(|| self.suggested_tip())
            });
            request.max_fee_per_gas = Some(fee);
            request.max_priority_fee_per_gas =
                Some(tip.unwrap_or_else(|| self.suggested_tip().min(fee)));
            let delegates = request.authorization_list.is_some();
            request.transaction_type = Some(if delegates { 4 } else { 2 });
        }
        if request.transaction_type != Some(0) && request.access_list.is_none() {
            request.access_list = Some(Default::default());
        }
        request.max_fee_per_blob_gas = None;
        request.build_typed_tx().map_err(|request| {
            let missing = match request.missing_keys() {
                Err((kind, fields)) => format!("{kind} lacks {}", fields.join(", ")),
                Ok(_) => "its fields exclude each other".into(),
            };
            Error::Unbuildable(missing)
        })
    }

    /// Completes and signs a request.
    ///
    /// # Errors
    /// As [`Self::fill`], or the node does not hold the key.
    pub fn sign(&mut self, request: TransactionRequest) -> Result<TxEnvelope, Error> {
        let from = self.sender_of(&request);
        if !self.accounts.holds(&from) {
            return Err(Error::NoSigner(from));
        }
        let tx = self.fill(request)?;
        self.accounts
            .sign_transaction(&from, tx)
            .ok_or(Error::NoSigner(from))
    }

    /// Completes a request and makes it a transaction, signed with the node's key or, for an
    /// impersonated account, without signature. With `unsigned` any account will do.
    ///
    /// # Errors
    /// The node may not send for the account, or the request cannot become a transaction.
    pub fn make(&mut self, request: TransactionRequest, unsigned: bool) -> Result<SentTx, Error> {
        let from = self.sender_of(&request);
        let impersonating = unsigned || self.may_impersonate(&from);
        if !impersonating && !self.accounts.holds(&from) {
            return Err(Error::NoSigner(from));
        }
        let gas = match request.gas {
            Some(gas) => gas,
            None => self
                .estimate_for(&request)
                .unwrap_or(FALLBACK_GAS.min(self.gas_limit)),
        };
        let tx = self.complete(request, gas)?;
        match self.accounts.holds(&from) {
            true => {
                let signed = self.accounts.sign_transaction(&from, tx);
                SentTx::signed(signed.ok_or(Error::NoSigner(from))?, from)
            }
            false => Ok(SentTx::impersonated(envelope(tx, no_signature()), from)),
        }
    }
}

/// What stands where a signature would.
pub fn no_signature() -> Signature {
    Signature::new(U256::ZERO, U256::ZERO, false)
}
