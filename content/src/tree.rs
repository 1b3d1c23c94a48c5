//! The digest tree over encrypted chunks, hashed as RFC 6962 (section 2.1) has it: a leaf cannot be
//! taken for a node.

use alloy_primitives::B256;

use crate::digest::Hasher;
use crate::error::Error;
use crate::manifest::Manifest;

/// The digests of all chunks of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<B256>,
}

impl Tree {
    /// Reads the tree of a pack.
    ///
    /// # Errors
    /// [`Error::TreeLength`], or [`Error::Digest`] where its root is not the manifest's.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, Error> {
        if bytes.len() as u64 != manifest.tree_len() {
            return Err(Error::TreeLength {
                expected: manifest.tree_len(),
                found: bytes.len() as u64,
            });
        }
        let leaves = bytes.chunks_exact(32).map(B256::from_slice).collect();
        let tree = Self { leaves };
        let found = tree.root();
        if found != manifest.root {
            return Err(Error::Digest {
                what: "tree",
                expected: manifest.root,
                found,
            });
        }
        Ok(tree)
    }

    /// The leaves, one after the other.
    pub fn encode(&self) -> Vec<u8> {
        self.leaves.concat()
    }

    pub(crate) fn push(&mut self, leaf: B256) {
        self.leaves.push(leaf);
    }

    /// The root.
    pub fn root(&self) -> B256 {
        root(&self.leaves)
    }

    /// Checks that bytes are a chunk.
    ///
    /// # Errors
    /// [`Error::Chunk`].
    pub fn check(&self, index: u64, chunk: &[u8]) -> Result<(), Error> {
        let found = leaf(chunk);
        let expected = usize::try_from(index)
            .ok()
            .and_then(|index| self.leaves.get(index).copied())
            .unwrap_or_default();
        if found != expected {
            return Err(Error::Chunk {
                index,
                expected,
                found,
            });
        }
        Ok(())
    }

    /// The digests that tie a chunk to the root, lowest first: for whoever has not got the tree.
    pub fn proof(&self, index: u64) -> Vec<B256> {
        let mut path = Vec::new();
        let (mut leaves, mut at) = (
            &self.leaves[..],
            usize::try_from(index).unwrap_or(usize::MAX),
        );
        while leaves.len() > 1 && at < leaves.len() {
            let (left, right) = leaves.split_at(split(leaves.len()));
            if at < left.len() {
                path.push(root(right));
                leaves = left;
            } else {
                path.push(root(left));
                at -= left.len();
                leaves = right;
            }
        }
        path.reverse();
        path
    }

    /// Whether a chunk belongs to the pack of a manifest, by its proof alone.
    ///
    /// # Errors
    /// [`Error::Digest`].
    pub fn check_proof(
        manifest: &Manifest,
        index: u64,
        chunk: &[u8],
        proof: &[B256],
    ) -> Result<(), Error> {
        let found = climb(leaf(chunk), index, manifest.chunks(), proof).unwrap_or_default();
        if found != manifest.root {
            return Err(Error::Digest {
                what: "chunk's path",
                expected: manifest.root,
                found,
            });
        }
        Ok(())
    }
}

/// The root that a path leads to; none where it is too long or too short.
fn climb(leaf: B256, index: u64, count: u64, proof: &[B256]) -> Option<B256> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return proof.is_empty().then_some(leaf);
    }
    let (last, rest) = proof.split_last()?;
    let left = 1 << (count - 1).ilog2();
    Some(if index < left {
        node(climb(leaf, index, left, rest)?, *last)
    } else {
        node(*last, climb(leaf, index - left, count - left, rest)?)
    })
}

/// The largest power of two below `count`, which is above 1.
fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

fn root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => B256::ZERO,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(root(left), root(right))
        }
    }
}

pub(crate) fn leaf(chunk: &[u8]) -> B256 {
    let mut hash = Hasher::default();
    hash.update(&[0]);
    hash.update(chunk);
    hash.finish()
}

fn node(left: B256, right: B256) -> B256 {
    let mut hash = Hasher::default();
    hash.update(&[1]);
    hash.update(left.as_slice());
    hash.update(right.as_slice());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(count: u64) -> (Manifest, Tree) {
        let mut tree = Tree::default();
        for index in 0..count {
            tree.push(leaf(&index.to_be_bytes()));
        }
        let manifest = Manifest {
            size: count * 4096,
            chunk_len: 4096,
            nonce: [0; 7],
            commitment: B256::ZERO,
            root: tree.root(),
        };
        (manifest, tree)
    }

    #[test]
    fn every_chunk_is_proven_and_no_other() {
        for count in 1..20 {
            let (manifest, tree) = tree(count);
            assert_eq!(Tree::decode(&tree.encode(), &manifest).unwrap(), tree);
            for index in 0..count {
                let (chunk, proof) = (index.to_be_bytes(), tree.proof(index));
                Tree::check_proof(&manifest, index, &chunk, &proof).unwrap();
                tree.check(index, &chunk).unwrap();
                for other in (0..count + 2).filter(|other| *other != index) {
                    assert!(Tree::check_proof(&manifest, other, &chunk, &proof).is_err());
                    assert!(tree.check(other, &chunk).is_err());
                }
                let longer = [&proof[..], &[B256::ZERO]].concat();
                assert!(Tree::check_proof(&manifest, index, &chunk, &longer).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(Tree::check_proof(&manifest, index, &chunk, shorter).is_err());
                }
            }
        }
    }

    #[test]
    fn other_trees_are_refused() {
        let (manifest, tree) = tree(5);
        let bytes = tree.encode();
        assert!(Tree::decode(&bytes[32..], &manifest).is_err());
        for at in (0..bytes.len()).step_by(7) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Tree::decode(&other, &manifest).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962() {
        // The root over one leaf is the leaf; over two, the node of both.
        let (a, b) = (leaf(b"a"), leaf(b"b"));
        assert_eq!(root(&[a]), a);
        assert_eq!(root(&[a, b]), node(a, b));
        assert_eq!(root(&[a, b, a]), node(node(a, b), a));
    }
}
