//! The key pairs that a workload makes inside its trusted machine for one order.

use alloy_primitives::B256;
use aws_lc_rs::{
    agreement::{PrivateKey, X25519},
    rand::{SecureRandom, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use sha2::{Digest, Sha256};
use vouch_protocol::{Counters, DatasetMeasure, Statement};

/// A session's keys, all of them from one secret.
pub struct Session {
    secret: [u8; 32],
    signing: Ed25519KeyPair,
    encryption: PrivateKey,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("signing_key", &self.signing_key())
            .field("encryption_key", &self.encryption_key())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A fresh session.
    ///
    /// # Panics
    /// When the system has no randomness.
    pub fn generate() -> Self {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .expect("the system has randomness");
        Self::from_secret(secret)
    }

    /// The session that `secret` stands for: one that goes on in another process.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed of either curve.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let derive = |label: &[u8]| -> [u8; 32] {
            Sha256::digest([b"vouch/simulator/session/v1".as_slice(), label, &secret].concat())
                .into()
        };
        Self {
            secret,
            signing: Ed25519KeyPair::from_seed_unchecked(&derive(b"signing"))
                .expect("32 bytes are an Ed25519 seed"),
            encryption: PrivateKey::from_private_key(&X25519, &derive(b"encryption"))
                .expect("32 bytes are an X25519 key"),
        }
    }

    /// What [`Session::from_secret`] takes.
    pub fn secret(&self) -> [u8; 32] {
        self.secret
    }

    /// Ed25519 public key.
    pub fn signing_key(&self) -> B256 {
        B256::from_slice(self.signing.public_key().as_ref())
    }

    /// X25519 public key.
    ///
    /// # Panics
    /// Never: the key was made for the curve.
    pub fn encryption_key(&self) -> B256 {
        let key = self
            .encryption
            .compute_public_key()
            .expect("an X25519 key has a public half");
        B256::from_slice(key.as_ref())
    }

    /// What the session says before it has worked.
    pub fn start(&self, challenge: B256, inputs: B256) -> Statement {
        Statement {
            challenge,
            signing_key: self.signing_key(),
            encryption_key: self.encryption_key(),
            inputs,
            outputs: B256::ZERO,
            counters: Counters::default(),
            datasets: Vec::new(),
        }
    }

    /// What the session says while it works, with what left it so far.
    pub fn heartbeat(&self, challenge: B256, inputs: B256, counters: Counters) -> Statement {
        Statement {
            counters,
            ..self.start(challenge, inputs)
        }
    }

    /// What the session says after it has worked.
    pub fn finish(&self, challenge: B256, inputs: B256, work: Work) -> Statement {
        Statement {
            outputs: work.outputs,
            counters: work.counters,
            datasets: work.datasets,
            ..self.start(challenge, inputs)
        }
    }
}

/// What a session did.
#[derive(Clone, Debug)]
pub struct Work {
    /// SHA-256 of the sealed outputs.
    pub outputs: B256,
    /// What left the session.
    pub counters: Counters,
    /// One measure for each dataset leg, in the order of the legs.
    pub datasets: Vec<DatasetMeasure>,
}
