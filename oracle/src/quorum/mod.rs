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

use std::cmp::Reverse;

use alloy::primitives::{Address, B256, keccak256};

use crate::store::model::Share;

/// Most signatures in one message between operators.
pub const MAX_SHARES: usize = 64;
/// Most bytes of one message between operators.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A signature, and what it weighs.
pub type Weighed = (Share, u16);

/// The signatures of one digest that make a quorum, `own` ones first, then the heaviest; and what they weigh
/// together: less than `quorum` where there are not enough.
pub fn choose(shares: &[Weighed], digest: B256, own: &[Address], quorum: u16) -> (Vec<Share>, u16) {
    let mut ready: Vec<&Weighed> = shares
        .iter()
        .filter(|(share, _)| share.digest == digest)
        .collect();
    ready.sort_by_key(|(share, weight)| {
        let other = !own.contains(&share.signer);
        (other, Reverse(*weight), share.signer)
    });
    ready.dedup_by_key(|(share, _)| share.signer);
    let (mut chosen, mut reached) = (Vec::new(), 0_u16);
    for (share, weight) in ready {
        // More than the quorum would only cost gas.
        if reached >= quorum {
            break;
        }
        reached = reached.saturating_add(*weight);
        chosen.push(share.clone());
    }
    (chosen, reached)
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
        let shares = [share(1, 7), share(2, 8), share(3, 7), share(4, 8)].map(|share| (share, 1));
        let (digest, own) = (B256::with_last_byte(7), [Address::with_last_byte(3)]);
        let (chosen, reached) = choose(&shares, digest, &own, 3);
        let signers: Vec<_> = chosen.iter().map(|s| s.signer.0[19]).collect();
        assert_eq!((signers, reached), (vec![3, 1], 2));
    }

    #[test]
    fn no_more_than_a_quorum_is_chosen_and_one_s_own_is_among_it() {
        let shares: Vec<_> = (1..=5).map(|n| (share(n, 7), 1)).collect();
        let (digest, own) = (B256::with_last_byte(7), [Address::with_last_byte(5)]);
        let (chosen, reached) = choose(&shares, digest, &own, 3);
        assert_eq!((chosen.len(), reached), (3, 3));
        assert!(chosen.iter().any(|share| share.signer == own[0]));
    }

    #[test]
    fn the_heaviest_make_a_quorum_with_the_fewest_signatures() {
        let shares: Vec<_> = (1..=5).map(|n| (share(n, 7), n.into())).collect();
        let (digest, own) = (B256::with_last_byte(7), [Address::with_last_byte(1)]);
        let (chosen, reached) = choose(&shares, digest, &own, 8);
        let signers: Vec<_> = chosen.iter().map(|s| s.signer.0[19]).collect();
        assert_eq!((signers, reached), (vec![1, 5, 4], 10));
        let heavy = [(share(1, 7), u16::MAX), (share(2, 7), u16::MAX)];
        assert_eq!(choose(&heavy, digest, &[], u16::MAX).1, u16::MAX);
    }

    #[test]
    fn a_signature_counts_once_however_often_it_came() {
        let shares = [(share(1, 7), 2), (share(1, 7), 2)];
        let (chosen, reached) = choose(&shares, B256::with_last_byte(7), &[], 4);
        assert_eq!((chosen.len(), reached), (1, 2));
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
