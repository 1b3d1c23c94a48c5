//! Merkle trees: of the workloads a policy allows, and of the verdicts operators sign at once.
//!
//! A leaf is 32 bytes hashed twice, a node is the hash of 64: no inner node can pass for a leaf. The
//! two children of a node are hashed in ascending order, so a proof is the siblings and no more.

use alloy_primitives::{B256, keccak256};

/// The leaf of a value.
pub fn leaf(value: B256) -> B256 {
    keccak256(keccak256(value))
}

/// The parent of two nodes.
pub fn node(a: B256, b: B256) -> B256 {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    keccak256(first.concat_const::<32, 64>(second))
}

/// The root of the tree in which the siblings lead upwards from the leaf of a value.
pub fn root(value: B256, siblings: impl IntoIterator<Item = B256>) -> B256 {
    siblings.into_iter().fold(leaf(value), node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_no_leaf_and_does_not_know_left_from_right() {
        let [a, b] = [1, 2].map(B256::with_last_byte);
        assert_eq!(node(a, b), node(b, a));
        assert_eq!(node(a, b), keccak256([a, b].concat()));
        assert_ne!(leaf(node(a, b)), node(a, b));
        assert_eq!(root(a, []), leaf(a));
        assert_eq!(root(a, [leaf(b)]), node(leaf(a), leaf(b)));
    }
}
