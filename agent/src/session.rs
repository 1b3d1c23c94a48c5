//! A session: the keys of one order, made inside the trusted machine, and what it says of itself.

use alloy::primitives::B256;
use anyhow::{Context, Result, anyhow};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use vouch_content::seal::KeyPair;
use vouch_protocol::{Counters, DatasetMeasure, Statement};
use zeroize::Zeroizing;

/// The keys of one session. They never leave this process.
pub struct Session {
    signing: Ed25519KeyPair,
    encryption: KeyPair,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("signing_key", &self.signing_key())
            .field("encryption_key", &self.encryption.public())
            .finish_non_exhaustive()
    }
}

/// What a session did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// SHA-256 of the sealed result; zero where nothing was exported.
    pub outputs: B256,
    /// What left the session.
    pub counters: Counters,
    /// One measure for each dataset leg, in the order of the legs.
    pub datasets: Vec<DatasetMeasure>,
}

impl Session {
    /// A fresh session.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *seed).map_err(|_| anyhow!("the system gives no randomness"))?;
        let signing = Ed25519KeyPair::from_seed_unchecked(&*seed);
        Ok(Self {
            signing: signing.map_err(|_| anyhow!("making the session's signing key"))?,
            encryption: KeyPair::generate().context("making the session's encryption key")?,
        })
    }

    /// Ed25519 public key.
    pub fn signing_key(&self) -> B256 {
        B256::from_slice(self.signing.public_key().as_ref())
    }

    /// The X25519 key pair that content keys are sealed to.
    pub const fn encryption(&self) -> &KeyPair {
        &self.encryption
    }

    /// Signs with the session's signing key.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.signing.sign(message).as_ref().to_vec()
    }

    /// The signing key as PKCS #8, for the session's TLS certificate.
    ///
    /// # Errors
    /// Where the library cannot encode it.
    pub(crate) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        let encoded = self.signing.to_pkcs8v1();
        let encoded = encoded.map_err(|_| anyhow!("encoding the session's signing key"))?;
        Ok(Zeroizing::new(encoded.as_ref().to_vec()))
    }

    /// What the session says before it has worked.
    pub fn start(&self, challenge: B256, inputs: B256) -> Statement {
        self.finish(challenge, inputs, Work::default())
    }

    /// What the session says after it has worked.
    pub fn finish(&self, challenge: B256, inputs: B256, work: Work) -> Statement {
        Statement {
            challenge,
            signing_key: self.signing_key(),
            encryption_key: self.encryption.public(),
            inputs,
            outputs: work.outputs,
            counters: work.counters,
            datasets: work.datasets,
        }
    }
}
