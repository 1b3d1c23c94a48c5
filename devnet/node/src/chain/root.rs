//! The state root.

use std::collections::HashMap;

use alloy::{
    consensus::{
        EMPTY_ROOT_HASH, TrieAccount,
        proofs::{state_root_unhashed, storage_root_unhashed},
    },
    primitives::{Address, B256},
};

use super::history::{History, Version};

/// Roots of the storage of each account at the newest version, kept between blocks.
#[derive(Debug, Default)]
pub(crate) struct StorageRoots(HashMap<Address, B256>);

impl StorageRoots {
    /// The root of the newest state.
    pub(crate) fn state_root(&mut self, history: &mut History) -> B256 {
        for address in history.take_changed_storage() {
            self.0.remove(&address);
        }
        let version = history.version();
        let accounts: Vec<_> = history
            .accounts_at(version)
            .map(|(address, account)| {
                let root = self
                    .0
                    .entry(address)
                    .or_insert_with(|| storage_root_at(history, &address, version));
                let account = TrieAccount {
                    nonce: account.nonce,
                    balance: account.balance,
                    storage_root: *root,
                    code_hash: account.code_hash,
                };
                (address, account)
            })
            .collect();
        state_root_unhashed(accounts)
    }
}

/// The storage root of one account at any version.
pub(crate) fn storage_root_at(history: &History, address: &Address, version: Version) -> B256 {
    let slots = history.storage_at(address, version);
    if slots.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    storage_root_unhashed(
        slots
            .into_iter()
            .map(|(key, value)| (B256::from(key), value)),
    )
}
