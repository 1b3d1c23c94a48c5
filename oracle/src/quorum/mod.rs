//! How operators come to a quorum: each sends its signature of a verdict to the others, and whoever
//! has enough of one digest submits.
//!
//! A signature says who made it, so the exchange needs no secret and no trust: what does not verify,
//! or comes from nobody the attestation contract knows, is refused, and it does not matter who passed
//! a signature on. An operator counts signatures of its own verdict only. One who signs two verdicts
//! about the same evidence in the same block leaves a proof.

mod exchange;
mod message;
mod operators;

pub use exchange::{Answer, Exchange, Peer, PeerState, Received, Shares};
pub use message::{Message, Refused};
pub use operators::Operators;

use alloy::primitives::{Address, B256, keccak256};

use crate::store::model::Share;

/// Most signatures in one message between operators.
pub const MAX_SHARES: usize = 64;
/// Most bytes of one message between operators.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The signatures of one digest that make a quorum, `own` ones first; fewer where there are not
/// enough.
pub fn choose(shares: &[Share], digest: B256, own: &[Address], quorum: usize) -> Vec<Share> {
    let mut chosen: Vec<Share> = shares
        .iter()
        .filter(|share| share.digest == digest)
        .cloned()
        .collect();
    chosen.sort_by_key(|share| (!own.contains(&share.signer), share.signer));
    chosen.dedup_by_key(|share| share.signer);
    // More than the quorum would only cost gas.
    chosen.truncate(quorum);
    chosen
}

/// How many operators should submit a verdict before those with the addresses `own`: an order that
/// all agree on and that differs from verdict to verdict.
pub fn rank(shares: &[Share], digest: B256, own: &[Address]) -> u32 {
    let place = |signer: Address| keccak256([digest.as_slice(), signer.as_slice()].concat());
    let Some(mine) = own.iter().copied().map(place).min() else {
        return 0;
    };
    let before = shares
        .iter()
        .filter(|share| share.digest == digest && !own.contains(&share.signer))
        .filter(|share| place(share.signer) < mine)
        .count();
    u32::try_from(before).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(signer: u8, digest: u8) -> Share {
        Share {
            signer: Address::with_last_byte(signer),
            block: B256::ZERO,
            verdict: Default::default(),
            digest: B256::with_last_byte(digest),
            signature: Default::default(),
            statement: Default::default(),
            at_ms: 0,
        }
    }

    #[test]
    fn signatures_of_other_digests_do_not_count() {
        let shares = [share(1, 7), share(2, 8), share(3, 7), share(4, 8)];
        let (digest, own) = (B256::with_last_byte(7), [Address::with_last_byte(3)]);
        let chosen = choose(&shares, digest, &own, 3);
        let signers: Vec<_> = chosen.iter().map(|s| s.signer.0[19]).collect();
        assert_eq!(signers, [3, 1]);
    }

    #[test]
    fn no_more_than_a_quorum_is_chosen_and_one_s_own_is_among_it() {
        let shares: Vec<_> = (1..=5).map(|n| share(n, 7)).collect();
        let (digest, own) = (B256::with_last_byte(7), [Address::with_last_byte(5)]);
        let chosen = choose(&shares, digest, &own, 3);
        assert_eq!(chosen.len(), 3);
        assert!(chosen.iter().any(|share| share.signer == own[0]));
    }

    #[test]
    fn operators_agree_on_who_is_first() {
        let shares: Vec<_> = (1..=5).map(|n| share(n, 7)).collect();
        let digest = B256::with_last_byte(7);
        let mut ranks: Vec<u32> = shares
            .iter()
            .map(|share| rank(&shares, digest, &[share.signer]))
            .collect();
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3, 4]);
        assert_eq!(rank(&shares, digest, &[]), 0);
    }
}
