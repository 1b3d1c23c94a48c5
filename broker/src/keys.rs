//! Content keys at rest: each encrypted under the owner's root key, which is kept elsewhere.
//!
//! Rotating the root key encrypts the content keys anew; the content itself stays as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use serde::{Deserialize, Serialize};
use vouch_content::{ContentKey, PrivateFile, sha256};
use zeroize::{Zeroize, Zeroizing};

/// Why keys cannot be had. The messages never carry key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Content(#[from] vouch_content::Error),
    /// A file is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The keys were encrypted under another root key.
    #[error("root key: expected {expected}, found {found}")]
    OtherRoot {
        /// Of the keys.
        expected: B256,
        /// Given.
        found: B256,
    },
    /// A content key does not decrypt: the file was changed.
    #[error("key of asset {0}: expected an authentic one, found a wrong tag")]
    Forged(B256),
    /// There is no key for the asset.
    #[error("asset {0}: no key of it here")]
    Unknown(B256),
    /// Importing over another key would lose it.
    #[error("asset {0}: another key of it is here already")]
    Known(B256),
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

/// The owner's root key.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({})", self.id())
    }
}

impl RootKey {
    /// A fresh key, in a new file that only its owner can read.
    ///
    /// # Errors
    /// [`KeyError`]; a file that is there already stays.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            let (expected, found) = ("no file", "one".to_owned());
            return Err(KeyError::Malformed {
                path: path.to_owned(),
                expected,
                found,
            });
        }
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| KeyError::Randomness)?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(*bytes)));
        PrivateFile::write(path, text.as_bytes())?;
        Ok(Self(bytes))
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// [`KeyError`], also where others than its owner can read the file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let file = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let malformed = |expected, found: String| KeyError::Malformed {
            path: path.to_owned(),
            expected,
            found,
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(malformed("permissions 600", format!("{mode:o}")));
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut *bytes)
            .map_err(|_| malformed("64 hex digits", format!("{} characters", text.trim().len())))?;
        Ok(Self(bytes))
    }

    /// What names the key without telling it.
    pub fn id(&self) -> B256 {
        sha256(&[b"vouch/root/v1".as_slice(), &*self.0].concat())
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, KeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.0).map_err(|_| KeyError::Randomness)
    }

    fn wrap(&self, asset: B256, key: &ContentKey) -> Result<Vec<u8>, KeyError> {
        let mut bytes = key.as_bytes().to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(context(asset), &mut bytes);
        let nonce = nonce.map_err(|_| KeyError::Randomness)?;
        Ok([nonce.as_ref().as_slice(), &bytes].concat())
    }

    fn unwrap(&self, asset: B256, wrapped: &[u8]) -> Result<ContentKey, KeyError> {
        let forged = || KeyError::Forged(asset);
        let (nonce, bytes) = wrapped.split_first_chunk::<12>().ok_or_else(forged)?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .cipher()?
            .open_in_place(nonce, context(asset), &mut bytes)
            .map_err(|_| forged())?;
        let mut key = <[u8; 32]>::try_from(&*opened).map_err(|_| forged())?;
        let out = ContentKey::from_bytes(key);
        key.zeroize();
        Ok(out)
    }
}

/// A wrapped key opens for its asset alone.
fn context(asset: B256) -> Aad<Vec<u8>> {
    Aad::from([b"vouch/wrap/v1".as_slice(), asset.as_slice()].concat())
}

/// One asset's key, encrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    wrapped: String,
    /// Unix seconds.
    pub imported_at: u64,
    /// Unix seconds; no session gets the key from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    root: B256,
    keys: BTreeMap<B256, Held>,
}

/// The owner's content keys. Every change is on disk, as a whole, before it counts.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    root: RootKey,
    keys: BTreeMap<B256, Held>,
}

impl Keys {
    /// The keys in a file; none where it is not there.
    ///
    /// # Errors
    /// [`KeyError`], also where they are under another root key.
    pub fn open(path: &Path, root: RootKey) -> Result<Self, KeyError> {
        let mut keys = Self {
            path: path.to_owned(),
            root,
            keys: BTreeMap::new(),
        };
        keys.reload()?;
        Ok(keys)
    }

    /// Reads the file again: another command may have imported or revoked.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn reload(&mut self) -> Result<(), KeyError> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.keys.is_empty() => {
                return Ok(());
            }
            Err(source) => {
                return Err(KeyError::File {
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let malformed = |expected, found: String| KeyError::Malformed {
            path: self.path.clone(),
            expected,
            found,
        };
        let file: File = serde_json::from_slice(&text)
            .map_err(|error| malformed("a file of keys", error.to_string()))?;
        if file.version != 1 {
            return Err(malformed("version 1", file.version.to_string()));
        }
        if file.root != self.root.id() {
            return Err(KeyError::OtherRoot {
                expected: file.root,
                found: self.root.id(),
            });
        }
        self.keys = file.keys;
        Ok(())
    }

    fn save(&self, root: &RootKey, keys: &BTreeMap<B256, Held>) -> Result<(), KeyError> {
        let file = File {
            version: 1,
            root: root.id(),
            keys: keys.clone(),
        };
        // Maps of strings always serialise.
        let json = serde_json::to_vec_pretty(&file).unwrap_or_default();
        Ok(PrivateFile::write(&self.path, &json)?)
    }

    /// Takes over the key of an asset.
    ///
    /// # Errors
    /// [`KeyError::Known`] where there is one already.
    pub fn import(&mut self, asset: B256, key: &ContentKey, now: u64) -> Result<(), KeyError> {
        if self.keys.contains_key(&asset) {
            return Err(KeyError::Known(asset));
        }
        let wrapped = hex::encode(self.root.wrap(asset, key)?);
        let held = Held {
            wrapped,
            imported_at: now,
            revoked_at: None,
        };
        let mut keys = self.keys.clone();
        keys.insert(asset, held);
        self.save(&self.root, &keys)?;
        self.keys = keys;
        Ok(())
    }

    /// Ends the release of an asset's key, for good.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn revoke(&mut self, asset: B256, now: u64) -> Result<(), KeyError> {
        let mut keys = self.keys.clone();
        let held = keys.get_mut(&asset).ok_or(KeyError::Unknown(asset))?;
        held.revoked_at.get_or_insert(now);
        self.save(&self.root, &keys)?;
        self.keys = keys;
        Ok(())
    }

    /// Encrypts every key under another root key. The content stays as it is.
    ///
    /// # Errors
    /// [`KeyError`]; all keys are under the old root key then.
    pub fn rotate(&mut self, root: RootKey) -> Result<(), KeyError> {
        let mut keys = self.keys.clone();
        for (asset, held) in &mut keys {
            held.wrapped = hex::encode(root.wrap(*asset, &self.key(*asset)?)?);
        }
        self.save(&root, &keys)?;
        (self.root, self.keys) = (root, keys);
        Ok(())
    }

    /// What is held.
    pub const fn held(&self) -> &BTreeMap<B256, Held> {
        &self.keys
    }

    /// The key of an asset.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::Forged`].
    pub fn key(&self, asset: B256) -> Result<ContentKey, KeyError> {
        let held = self.keys.get(&asset).ok_or(KeyError::Unknown(asset))?;
        let wrapped = hex::decode(&held.wrapped).map_err(|_| KeyError::Forged(asset))?;
        self.root.unwrap(asset, &wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: B256 = B256::repeat_byte(1);

    fn keys() -> (tempfile::TempDir, Keys, ContentKey) {
        let dir = tempfile::tempdir().unwrap();
        let root = RootKey::create(&dir.path().join("root")).unwrap();
        let mut keys = Keys::open(&dir.path().join("keys.json"), root).unwrap();
        let key = ContentKey::generate().unwrap();
        keys.import(ASSET, &key, 1).unwrap();
        (dir, keys, key)
    }

    #[test]
    fn keys_are_encrypted_at_rest_and_bound_to_their_asset() {
        let (dir, mut keys, key) = keys();
        let text = std::fs::read_to_string(dir.path().join("keys.json")).unwrap();
        assert!(!text.contains(&hex::encode(key.as_bytes())));
        assert_eq!(keys.key(ASSET).unwrap(), key);
        assert!(matches!(
            keys.import(ASSET, &key, 2),
            Err(KeyError::Known(_))
        ));
        assert!(matches!(keys.key(B256::ZERO), Err(KeyError::Unknown(_))));
        let other = B256::repeat_byte(2);
        let moved = keys.keys[&ASSET].clone();
        keys.keys.insert(other, moved);
        assert!(matches!(keys.key(other), Err(KeyError::Forged(_))));
    }

    #[test]
    fn rotation_keeps_content_keys_and_ends_the_old_root() {
        let (dir, mut keys, key) = keys();
        let old = RootKey::load(&dir.path().join("root")).unwrap();
        let new = RootKey::create(&dir.path().join("new")).unwrap();
        keys.rotate(new.clone()).unwrap();
        assert_eq!(keys.key(ASSET).unwrap(), key);
        let path = dir.path().join("keys.json");
        assert_eq!(Keys::open(&path, new).unwrap().key(ASSET).unwrap(), key);
        assert!(matches!(
            Keys::open(&path, old),
            Err(KeyError::OtherRoot { .. })
        ));
    }

    #[test]
    fn revocation_is_remembered() {
        let (dir, mut keys, _) = keys();
        keys.revoke(ASSET, 7).unwrap();
        keys.revoke(ASSET, 9).unwrap();
        let root = RootKey::load(&dir.path().join("root")).unwrap();
        let again = Keys::open(&dir.path().join("keys.json"), root).unwrap();
        assert_eq!(again.held()[&ASSET].revoked_at, Some(7));
        assert!(matches!(
            keys.revoke(B256::ZERO, 7),
            Err(KeyError::Unknown(_))
        ));
    }

    #[test]
    fn bad_files_are_refused() {
        let (dir, keys, _) = keys();
        let path = dir.path().join("keys.json");
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [
            "",
            "{}",
            &good.replace("\"version\": 1", "\"version\": 2"),
            &good[1..],
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(Keys::open(&path, keys.root.clone()).is_err(), "{bad}");
        }
        let root = dir.path().join("root");
        assert!(
            RootKey::create(&root).is_err(),
            "an old root key is not written over"
        );
        std::fs::write(&root, "abc").unwrap();
        assert!(RootKey::load(&root).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let new = dir.path().join("new");
            RootKey::create(&new).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(RootKey::load(&new).unwrap_err().to_string().contains("600"));
        }
    }
}
