//! Merkle proofs of accounts and slots (EIP-1186).

use alloy::{
    consensus::{EMPTY_ROOT_HASH, TrieAccount},
    primitives::{Address, B256, Bytes, U256, keccak256},
};
use alloy_trie::{HashBuilder, Nibbles, proof::ProofRetainer};

use super::{At, Chain, history::Account, root::storage_root_at};

/// An account with the trie nodes that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account.
    pub account: Account,
    /// The root of its storage.
    pub storage_root: B256,
    /// The nodes from the state root to the account.
    pub nodes: Vec<Bytes>,
    /// Each slot asked for: key, value, and the nodes from the storage root to it.
    pub slots: Vec<(B256, U256, Vec<Bytes>)>,
}

impl Chain {
    /// Proves an account and slots of it.
    pub fn prove(&mut self, address: Address, slots: &[B256], at: At) -> AccountProof {
        self.at(at, |chain, version, _| {
            let accounts = chain
                .history
                .accounts_at(version)
                .map(|(address, account)| {
                    let leaf = TrieAccount {
                        nonce: account.nonce,
                        balance: account.balance,
                        storage_root: storage_root_at(&chain.history, &address, version),
                        code_hash: account.code_hash,
                    };
                    (keccak256(address), alloy::rlp::encode(leaf))
                });
            let (_, nodes) = prove(accounts.collect(), keccak256(address));
            let storage = chain.history.storage_at(&address, version);
            let leaves: Vec<(B256, Vec<u8>)> = storage
                .into_iter()
                .map(|(key, value)| (keccak256(B256::from(key)), alloy::rlp::encode(value)))
                .collect();
            let slots = slots.iter().map(|key| {
                let value = chain
                    .history
                    .slot_at(&address, &U256::from_be_bytes(key.0), version);
                (*key, value, prove(leaves.clone(), keccak256(key)).1)
            });
            AccountProof {
                account: chain.history.account_at(&address, version),
                storage_root: storage_root_at(&chain.history, &address, version),
                nodes,
                slots: slots.collect(),
            }
        })
    }
}

/// The root of a trie of these leaves, and its nodes on the way to `target`.
fn prove(mut leaves: Vec<(B256, Vec<u8>)>, target: B256) -> (B256, Vec<Bytes>) {
    if leaves.is_empty() {
        return (EMPTY_ROOT_HASH, Vec::new());
    }
    leaves.sort_unstable();
    let target = Nibbles::unpack(target);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().matching_nodes_sorted(&target);
    (root, nodes.into_iter().map(|(_, node)| node).collect())
}

#[cfg(test)]
mod tests {
    use alloy_trie::proof::verify_proof;

    use super::*;

    #[test]
    fn proves_what_is_there_and_what_is_not() {
        let leaves: Vec<(B256, Vec<u8>)> = (0..40u8)
            .map(|n| {
                (
                    keccak256([n]),
                    alloy::rlp::encode(U256::from(n) + U256::from(1)),
                )
            })
            .collect();
        let present = keccak256([7]);
        let (root, nodes) = prove(leaves.clone(), present);
        let value = alloy::rlp::encode(U256::from(8));
        verify_proof(root, Nibbles::unpack(present), Some(value.clone()), &nodes).unwrap();
        assert!(verify_proof(root, Nibbles::unpack(present), None, &nodes).is_err());
        let absent = keccak256([200]);
        let (root, nodes) = prove(leaves, absent);
        verify_proof(root, Nibbles::unpack(absent), None, &nodes).unwrap();
        assert!(verify_proof(root, Nibbles::unpack(absent), Some(value), &nodes).is_err());
    }
}
