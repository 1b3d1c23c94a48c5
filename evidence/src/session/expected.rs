//! What evidence is expected to be about.

use std::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::Phase;

use crate::time::Time;

/// What the session's start showed, that its finish must show again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// When the start was observed.
    pub at: Time,
    /// The session's encryption key, as in the start verdict.
    pub session_key: B256,
    /// The devices, as in the start verdict.
    pub devices: Vec<B256>,
    /// The workload's digest, as in the start verdict.
    pub measurement: B256,
}

/// What evidence is expected to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Evidence for a start verdict.
    Start {
        /// Announced digest of the bundle.
        evidence: B256,
        /// [`vouch_protocol::challenge()`] of the phase.
        challenge: B256,
        /// When the challenge's block was made: the evidence is not older.
        challenged_at: Time,
        /// [`vouch_protocol::statement::inputs_digest`] of the order's assets.
        inputs: B256,
    },
    /// Evidence for a heartbeat: the session that started still runs.
    Heartbeat {
        /// Announced digest of the bundle.
        evidence: B256,
        /// [`vouch_protocol::challenge()`] of the phase.
        challenge: B256,
        /// When the challenge's block was made.
        challenged_at: Time,
        /// [`vouch_protocol::statement::inputs_digest`] of the order's assets.
        inputs: B256,
        /// What the start verdict said.
        started: Started,
    },
    /// Evidence for a finish verdict.
    Finish {
        /// Announced digest of the bundle.
        evidence: B256,
        /// [`vouch_protocol::challenge()`] of the phase.
        challenge: B256,
        /// When the challenge's block was made.
        challenged_at: Time,
        /// [`vouch_protocol::statement::inputs_digest`] of the order's assets.
        inputs: B256,
        /// SHA-256 of the sealed outputs that the provider delivered.
        outputs: B256,
        /// What the start verdict said.
        started: Started,
    },
}

impl Expected {
    /// The phase that the evidence is for.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Start { .. } => Phase::Start,
            Self::Heartbeat { .. } => Phase::Heartbeat,
            Self::Finish { .. } => Phase::Finish,
        }
    }

    pub(super) const fn common(&self) -> (B256, B256, Time, B256) {
        match self {
            Self::Start {
                evidence,
                challenge,
                challenged_at,
                inputs,
            }
            | Self::Heartbeat {
                evidence,
                challenge,
                challenged_at,
                inputs,
                ..
            }
            | Self::Finish {
                evidence,
                challenge,
                challenged_at,
                inputs,
                ..
            } => (*evidence, *challenge, *challenged_at, *inputs),
        }
    }

    pub(super) const fn started(&self) -> Option<&Started> {
        match self {
            Self::Start { .. } => None,
            Self::Heartbeat { started, .. } | Self::Finish { started, .. } => Some(started),
        }
    }
}
