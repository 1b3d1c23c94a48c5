//! The state as one JSON document, to save and to load.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{Chain, Error, history::Account};

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpedAccount {
    /// Transactions sent or contracts created.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// Code as deployed.
    pub code: Bytes,
    /// Slots that are not zero.
    pub storage: BTreeMap<B256, B256>,
}

/// Every account of the newest state. Blocks and receipts are not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpedState {
    /// The accounts.
    pub accounts: BTreeMap<Address, DumpedAccount>,
}

impl DumpedState {
    /// The document.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Chain {
    /// The newest state.
    pub fn dump(&self) -> DumpedState {
        let version = self.history.version();
        let accounts = self.history.accounts_at(version).map(|(address, account)| {
            let storage = self.history.storage_at(&address, version);
            let dumped = DumpedAccount {
                nonce: account.nonce,
                balance: account.balance,
                code: self.history.code(&account.code_hash).original_bytes(),
                storage: storage
                    .into_iter()
                    .map(|(k, v)| (k.into(), v.into()))
                    .collect(),
            };
            (address, dumped)
        });
        DumpedState {
            accounts: accounts.collect(),
        }
    }

    /// Writes the accounts of a document over those of the chain; others stay.
    ///
    /// # Errors
    /// The bytes are not such a document.
    pub fn load(&mut self, document: &[u8]) -> Result<(), Error> {
        let state: DumpedState = serde_json::from_slice(document).map_err(|error| {
            Error::Refused(format!(
                "state: expected the JSON of anvil_dumpState: {error}"
            ))
        })?;
        self.history.begin();
        for (address, dumped) in state.accounts {
            let code_hash = self.history.add_code(dumped.code);
            let account = Account {
                balance: dumped.balance,
                nonce: dumped.nonce,
                code_hash,
            };
            self.history.write_account(address, account);
            self.history.clear_storage(address);
            for (key, value) in dumped.storage {
                self.history.write_slot(address, key.into(), value.into());
            }
        }
        Ok(())
    }
}
