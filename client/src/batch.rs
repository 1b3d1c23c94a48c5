//! Many verdicts under one signature of each operator: the root of the Merkle tree over their digests.
//! The contract checks a root's signatures once; each verdict then comes with its way to the root.

use alloy::primitives::{B256, Bytes};
use alloy::sol_types::{Eip712Domain, SolStruct};
use vouch_abi::{VerdictBatch, merkle};

use crate::verdict::{Signed, concatenate};

/// Added to the depth in the last byte of what a contract takes for a verdict of a batch.
const MARK: u8 = 128;

/// The tree over the digests of some verdicts. A node without a sibling goes up as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Leaves first; the last row is the root alone.
    rows: Vec<Vec<B256>>,
}

impl Batch {
    /// The tree over verdict digests in their order; none of no digests.
    pub fn new(digests: impl IntoIterator<Item = B256>) -> Option<Self> {
        let leaves: Vec<B256> = digests.into_iter().map(merkle::leaf).collect();
        let mut rows = vec![leaves];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = row.chunks(2).map(|pair| match pair {
                [a, b] => merkle::node(*a, *b),
                alone => alone[0],
            });
            let above = above.collect();
            rows.push(above);
        }
        (!rows[0].is_empty()).then_some(Self { rows })
    }

    /// The root of the tree.
    pub fn root(&self) -> B256 {
        self.rows[self.rows.len() - 1][0]
    }

    /// What operators sign: the EIP-712 digest of the root, in the domain of verdicts.
    pub fn digest(&self, domain: &Eip712Domain) -> B256 {
        let root = self.root();
        VerdictBatch { root }.eip712_signing_hash(domain)
    }

    /// What the contract takes for the verdict whose digest came `index`th, with signatures of
    /// [`Self::digest`]; without any where the contract has admitted the root before. None where there
    /// is no such verdict.
    pub fn signatures(&self, index: usize, signed: Vec<Signed>) -> Option<Bytes> {
        self.rows[0].get(index)?;
        let siblings: Vec<B256> = (0..)
            .zip(&self.rows)
            .filter_map(|(level, row)| row.get(index >> level ^ 1).copied())
            .collect();
        // A tree deeper than 127 has no place in any memory.
        let depth = u8::try_from(siblings.len()).ok()?;
        let mut bytes = siblings.concat();
        bytes.extend_from_slice(&concatenate(signed));
        bytes.push(MARK.checked_add(depth)?);
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(count: u8) -> Vec<B256> {
        (0..count).map(B256::with_last_byte).collect()
    }

    #[test]
    fn every_verdict_finds_its_way_to_the_root() {
        for count in 1..=17 {
            let digests = digests(count);
            let batch = Batch::new(digests.clone()).unwrap();
            for (index, digest) in digests.iter().enumerate() {
                let bytes = batch.signatures(index, vec![]).unwrap();
                let (mark, siblings) = bytes.split_last().unwrap();
                assert_eq!(siblings.len(), 32 * usize::from(mark - MARK));
                let siblings = siblings.chunks(32).map(B256::from_slice);
                assert_eq!(merkle::root(*digest, siblings), batch.root());
            }
            assert_eq!(batch.signatures(digests.len(), vec![]), None);
        }
    }

    #[test]
    fn no_verdicts_make_no_batch() {
        assert_eq!(Batch::new([]), None);
    }

    #[test]
    fn the_root_names_every_verdict_and_the_domain() {
        use crate::verdict::domain;
        use alloy::primitives::Address;
        let batch = Batch::new(digests(5)).unwrap();
        let mut others = digests(5);
        others[4] = B256::repeat_byte(9);
        assert_ne!(Batch::new(others).unwrap().root(), batch.root());
        let here = batch.digest(&domain(1, Address::ZERO));
        assert_ne!(batch.digest(&domain(2, Address::ZERO)), here);
        assert_ne!(here, batch.root());
    }
}
