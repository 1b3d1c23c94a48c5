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

/// Roots computed for the last block: most of the state does not change from block to block.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    storage: HashMap<Address, B256>,
    state: Option<B256>,
}

impl Roots {
    /// The root of the newest state.
    pub(crate) fn state_root(&mut self, history: &mut History) -> B256 {
        let changes = history.take_changes();
        if let (false, Some(root)) = (changes.any, self.state) {
            return root;
        }
        for address in changes.storage {
            self.storage.remove(&address);
        }
        let version = history.version();
        let accounts: Vec<_> = history
            .accounts_at(version)
            .map(|(address, account)| {
                let root = self
                    .storage
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
        let root = state_root_unhashed(accounts);
        self.state = Some(root);
        root
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
