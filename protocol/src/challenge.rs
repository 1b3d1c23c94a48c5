//! The challenge: what makes evidence for one order worthless for any other.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, keccak256};

/// Domain tag of [`challenge`]; the version changes with the encoding.
pub const DOMAIN: &[u8] = b"vouch/challenge/v1";

/// Which of an order's verdicts is meant. The numbers are those of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Before keys are released: the session is genuine.
    Start = 1,
    /// After the work: the session produced these outputs.
    Finish = 2,
    /// Between the two, any number of times: the session still runs on its devices.
    Heartbeat = 3,
}

impl Phase {
    /// The phase with this number.
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            1 => Some(Self::Start),
            2 => Some(Self::Finish),
            3 => Some(Self::Heartbeat),
            _ => None,
        }
    }

    /// `start`, `finish` or `heartbeat`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Finish => "finish",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The challenge of one phase and attempt of one order (protocol, Bindings 1).
///
/// `block_hash` is the hash of the block in which the order entered the state that precedes the
/// phase: the block of `accept` for [`Phase::Start`], the block of the start verdict for
/// [`Phase::Finish`]. For [`Phase::Heartbeat`] it is that of any block since, which the provider names when it
/// announces the evidence: the heartbeat proves that the session lived after that block, and counts until that
/// block's time, however late it is announced. No hash can be known before its block exists, so evidence cannot be
/// older.
///
/// Encoding: `keccak256(DOMAIN || chain id (u64 BE) || escrow (20) || order (32) || phase (u8) ||
/// attempt (u8) || block hash (32))`.
pub fn challenge(
    chain_id: u64,
    escrow: Address,
    order: B256,
    phase: Phase,
    attempt: u8,
    block_hash: B256,
) -> B256 {
    // In one piece, so that contracts can use their machine's own hash function.
    let mut encoding = Vec::from(DOMAIN);
    encoding.extend_from_slice(&chain_id.to_be_bytes());
    encoding.extend_from_slice(escrow.as_slice());
    encoding.extend_from_slice(order.as_slice());
    encoding.extend_from_slice(&[phase as u8, attempt]);
    encoding.extend_from_slice(block_hash.as_slice());
    keccak256(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_changes_the_challenge() {
        let base = || challenge(1, Address::ZERO, B256::ZERO, Phase::Start, 0, B256::ZERO);
        let one = B256::with_last_byte(1);
        for other in [
            challenge(2, Address::ZERO, B256::ZERO, Phase::Start, 0, B256::ZERO),
            challenge(
                1,
                Address::with_last_byte(1),
                B256::ZERO,
                Phase::Start,
                0,
                B256::ZERO,
            ),
            challenge(1, Address::ZERO, one, Phase::Start, 0, B256::ZERO),
            challenge(1, Address::ZERO, B256::ZERO, Phase::Finish, 0, B256::ZERO),
            challenge(1, Address::ZERO, B256::ZERO, Phase::Start, 1, B256::ZERO),
            challenge(1, Address::ZERO, B256::ZERO, Phase::Start, 0, one),
        ] {
            assert_ne!(base(), other);
        }
    }

    #[test]
    fn phases_round_trip_and_unknown_numbers_are_refused() {
        for phase in [Phase::Start, Phase::Finish, Phase::Heartbeat] {
            assert_eq!(Phase::from_u8(phase as u8), Some(phase));
        }
        assert_eq!(Phase::from_u8(0), None);
        assert_eq!(Phase::from_u8(4), None);
    }
}
