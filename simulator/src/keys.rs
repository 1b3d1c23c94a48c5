//! The keys of simulated vendors and devices. All of them can be had by anyone: they prove nothing
//! but that the simulator was used.

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair as RsaKey, signature::RSA_PSS_SHA384};
use p384::ecdsa::{Signature, SigningKey, signature::Signer as _};
use sha2::{Digest, Sha256, Sha384};

use crate::der;

/// A certificate's or report's signing key.
pub(crate) enum Key {
    /// ECDSA on P-384 with SHA-384, deterministic (RFC 6979).
    P384(Box<SigningKey>),
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    Pss(Box<RsaKey>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P384(_) => "P-384 key",
            Self::Pss(_) => "RSA key",
        })
    }
}

impl Key {
    /// The P-384 key that belongs to `seed` under `label`.
    pub(crate) fn derive(seed: &[u8], label: &str) -> Self {
        // A digest is no valid scalar once in 2^190 times; the counter makes the function total.
        let key = (0u32..).find_map(|counter| {
            let mut hash = Sha384::new();
            hash.update(b"vouch/simulator/key/v1");
            hash.update(Sha256::digest(seed));
            hash.update(counter.to_be_bytes());
            hash.update(label);
            SigningKey::from_slice(&hash.finalize()).ok()
        });
        Self::P384(Box::new(key.expect("one of 2^32 digests is a scalar")))
    }

    /// An RSA key embedded in this crate.
    pub(crate) fn embedded(pkcs8: &[u8]) -> Self {
        Self::Pss(Box::new(
            RsaKey::from_pkcs8(pkcs8).expect("an embedded key is well formed"),
        ))
    }

    /// `AlgorithmIdentifier` of the key's signatures.
    pub(crate) fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::P384(_) => der::sequence(&[&der::oid(&[1, 2, 840, 10045, 4, 3, 3])]),
            Self::Pss(_) => {
                let sha384 =
                    der::sequence(&[&der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2]), &der::null()]);
                let mgf1 = der::sequence(&[&der::oid(&[1, 2, 840, 113549, 1, 1, 8]), &sha384]);
                let parameters = der::sequence(&[
                    &der::context(0, &sha384),
                    &der::context(1, &mgf1),
                    &der::context(2, &der::integer(&[48])),
                ]);
                der::sequence(&[&der::oid(&[1, 2, 840, 113549, 1, 1, 10]), &parameters])
            }
        }
    }

    /// The signature as certificates carry it: DER for ECDSA.
    pub(crate) fn sign_certificate(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P384(key) => {
                let signature: Signature = key.sign(message);
                let (r, s) = signature.split_bytes();
                der::sequence(&[&der::integer(&r), &der::integer(&s)])
            }
            Self::Pss(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PSS_SHA384,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .expect("the buffer has the modulus's length");
                signature
            }
        }
    }

    /// `r || s`, 48 bytes each, big-endian.
    ///
    /// # Panics
    /// For an RSA key: devices have none.
    pub(crate) fn sign_report(&self, message: &[u8]) -> [u8; 96] {
        let Self::P384(key) = self else {
            panic!("devices sign with P-384")
        };
        let signature: Signature = key.sign(message);
        let mut out = [0; 96];
        out.copy_from_slice(&signature.to_bytes());
        out
    }

    /// `SubjectPublicKeyInfo` of a P-384 key.
    ///
    /// # Panics
    /// For an RSA key: their certificates are embedded.
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        let algorithm = der::sequence(&[
            &der::oid(&[1, 2, 840, 10045, 2, 1]),
            &der::oid(&[1, 3, 132, 0, 34]),
        ]);
        der::sequence(&[&algorithm, &der::bit_string(&self.public_point())])
    }

    /// The first 20 bytes of SHA-256 of the public point: the key's identifier in certificates.
    pub(crate) fn identifier(&self) -> [u8; 20] {
        let mut out = [0; 20];
        out.copy_from_slice(&Sha256::digest(self.public_point())[..20]);
        // NVIDIA's serial numbers are identifiers without the top bit; the bit below keeps them from
        // beginning with zero.
        out[0] |= 0xc0;
        out
    }

    /// The uncompressed point of a P-384 key.
    ///
    /// # Panics
    /// For an RSA key.
    pub(crate) fn public_point(&self) -> Vec<u8> {
        let Self::P384(key) = self else {
            panic!("only P-384 keys are written out")
        };
        key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }
}
