//! Keys for one recipient: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! The context (order, asset, session) is HPKE's `info`: what was sealed for one purpose opens for no
//! other.

use alloy_primitives::B256;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key::{ContentKey, random};

const VERSION: u8 = 1;
const ENCAPSULATED_LEN: usize = 32;
/// Bytes of a sealed key: version, encapsulated key, key, tag.
pub const SEALED_LEN: usize = 1 + ENCAPSULATED_LEN + 32 + 16;
const DOMAIN: &[u8] = b"vouch/seal/v1";

/// What a key is sealed for: nobody opens it for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session's use of an asset in an order.
    Use {
        /// The order.
        order: B256,
        /// The asset.
        asset: B256,
    },
    /// The result of an order.
    Result {
        /// The order.
        order: B256,
    },
}

impl Purpose {
    fn info(&self) -> Vec<u8> {
        match self {
            Self::Use { order, asset } => {
                [DOMAIN, b"/use", order.as_slice(), asset.as_slice()].concat()
            }
            Self::Result { order } => [DOMAIN, b"/result", order.as_slice()].concat(),
        }
    }
}

/// A recipient's X25519 key pair.
pub struct KeyPair {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: B256,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// A fresh key pair.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate() -> Result<Self, Error> {
        let secret = Zeroizing::new(random()?);
        Self::from_secret(&secret)
    }

    /// The key pair of 32 secret bytes.
    ///
    /// # Errors
    /// [`Error::Sealed`] where they are no key.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, Error> {
        let refuse = |_| Error::Sealed {
            expected: "an X25519 private key",
            found: "other bytes".into(),
        };
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret).map_err(refuse)?;
        let public = X25519HkdfSha256::sk_to_pk(&private);
        Ok(Self {
            private,
            public: B256::from_slice(&public.to_bytes()),
        })
    }

    /// The public key: what others seal to.
    pub const fn public(&self) -> B256 {
        self.public
    }

    /// The secret bytes.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(&self.private.to_bytes());
        secret
    }

    /// Opens what was sealed to this key for this purpose.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn open(&self, sealed: &[u8], purpose: &Purpose) -> Result<ContentKey, Error> {
        let refuse = |expected, found: &str| Error::Sealed {
            expected,
            found: found.to_owned(),
        };
        if sealed.len() != SEALED_LEN {
            return Err(refuse("81 bytes", &format!("{} bytes", sealed.len())));
        }
        let (version, rest) = sealed.split_at(1);
        if version != [VERSION] {
            return Err(refuse("version 1", &format!("version {}", version[0])));
        }
        let (encapsulated, ciphertext) = rest.split_at(ENCAPSULATED_LEN);
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| refuse("an encapsulated X25519 key", "other bytes"))?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &purpose.info(),
            ciphertext,
            &[],
        );
        let opened = Zeroizing::new(opened.map_err(|_| {
            let expected = "a key sealed to this recipient for this purpose";
            refuse(expected, "one that does not open")
        })?);
        let bytes = <[u8; 32]>::try_from(opened.as_slice());
        bytes
            .map(ContentKey::from_bytes)
            .map_err(|_| refuse("a key of 32 bytes", "another length"))
    }
}

/// Seals a key to a recipient for a purpose.
///
/// # Errors
/// [`Error::Sealed`] where the recipient's key is none that can be sealed to.
pub fn seal(
    recipient: B256,
    purpose: &Purpose,
    key: &ContentKey,
) -> Result<[u8; SEALED_LEN], Error> {
    let refuse = |_| Error::Sealed {
        expected: "an X25519 public key",
        found: recipient.to_string(),
    };
    let public =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(recipient.as_slice()).map_err(refuse)?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &purpose.info(),
            key.as_bytes(),
            &[],
        )
        .map_err(refuse)?;
    let mut out = [0; SEALED_LEN];
    out[0] = VERSION;
    out[1..1 + ENCAPSULATED_LEN].copy_from_slice(&encapsulated.to_bytes());
    out[1 + ENCAPSULATED_LEN..].copy_from_slice(&ciphertext);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USE: Purpose = Purpose::Use {
        order: B256::repeat_byte(1),
        asset: B256::repeat_byte(2),
    };

    #[test]
    fn a_sealed_key_opens_for_its_recipient_and_purpose_alone() {
        let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let key = ContentKey::generate().unwrap();
        let sealed = seal(pair.public(), &USE, &key).unwrap();
        assert_eq!(pair.open(&sealed, &USE).unwrap(), key);
        assert!(other.open(&sealed, &USE).is_err());
        let (order, asset) = (B256::repeat_byte(1), B256::repeat_byte(3));
        assert!(pair.open(&sealed, &Purpose::Use { order, asset }).is_err());
        assert!(pair.open(&sealed, &Purpose::Result { order }).is_err());
        let again = KeyPair::from_secret(&pair.secret()).unwrap();
        assert_eq!(again.open(&sealed, &USE).unwrap(), key);
    }

    #[test]
    fn every_changed_byte_and_length_is_refused() {
        let pair = KeyPair::generate().unwrap();
        let sealed = seal(pair.public(), &USE, &ContentKey::generate().unwrap()).unwrap();
        for at in 0..SEALED_LEN {
            let mut other = sealed;
            other[at] ^= 0x40;
            assert!(pair.open(&other, &USE).is_err(), "byte {at}");
        }
        for length in 0..SEALED_LEN {
            assert!(
                pair.open(&sealed[..length], &USE).is_err(),
                "{length} bytes"
            );
        }
        assert!(pair.open(&[&sealed[..], &[0]].concat(), &USE).is_err());
    }

    #[test]
    fn a_point_of_low_order_is_no_recipient() {
        let key = ContentKey::generate().unwrap();
        assert!(seal(B256::ZERO, &USE, &key).is_err());
    }
}
