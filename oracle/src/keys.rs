//! Finds the keys that a configuration names, and changes them while the daemon runs.

#[cfg_attr(not(feature = "kms"), path = "keys/no_kms.rs")]
mod kms;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy::primitives::{Address, B256, Signature};
use alloy::signers::local::PrivateKeySigner;
use futures::future::try_join_all;
use tokio::sync::watch;
use vouch_client::Error;

use crate::config::{Key, Keys};

/// A key that cannot be had. The messages never carry key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The environment lacks the variable.
    #[error("{key}: environment variable {variable} is not set")]
    Unset {
        /// The configuration's key.
        key: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("{key}: {}: {source}", path.display())]
    File {
        /// The configuration's key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a key.
    #[error("{key}: {place}: expected 32 bytes of hex")]
    NotAKey {
        /// The configuration's key.
        key: String,
        /// Where it came from.
        place: String,
    },
    /// The keystore does not open.
    #[error("{key}: keystore {}: {detail}", path.display())]
    Keystore {
        /// The configuration's key.
        key: String,
        /// The keystore.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// The key service does not answer, or has no such key.
    #[error("{key}: key service, key {id}: {detail}")]
    Service {
        /// The configuration's key.
        key: String,
        /// The service's name of the key.
        id: String,
        /// Why not.
        detail: String,
    },
}

/// Signs with one key, which is here or with a service.
#[derive(Clone)]
pub struct Signer(Arc<dyn alloy::signers::Signer + Send + Sync>);

impl Signer {
    fn new(signer: impl alloy::signers::Signer + Send + Sync + 'static) -> Self {
        Self(Arc::new(signer))
    }

    /// Whose signatures these are.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// Signs a hash.
    ///
    /// # Errors
    /// [`Error::Sign`]: what the service answers, or that it does not.
    pub async fn sign(&self, hash: B256) -> Result<Signature, Error> {
        self.0.sign_hash(&hash).await.map_err(Error::Sign)
    }
}

impl From<PrivateKeySigner> for Signer {
    fn from(key: PrivateKeySigner) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

/// The signers of a daemon.
#[derive(Clone, Debug)]
pub struct Signers {
    /// Operators, who sign verdicts.
    pub verdict: Vec<Signer>,
    /// Sign for as long as none of `verdict` is an operator yet.
    pub retiring: Vec<Signer>,
    /// Who pays for transactions.
    pub gas: Signer,
}

impl Signers {
    /// Finds every key: several at a time, since a keystore takes its time to open, and a service to answer.
    ///
    /// # Errors
    /// [`KeyError`] naming the configuration's key.
    pub async fn load(keys: &Keys) -> Result<Self, KeyError> {
        let all = |name: &str, keys: &[Key]| {
            let named = keys.iter().enumerate();
            try_join_all(named.map(|(i, key)| signer(format!("{name}[{i}]"), key.clone())))
        };
        let (verdict, retiring, gas) = tokio::try_join!(
            all("keys.verdict", &keys.verdict),
            all("keys.retiring", &keys.retiring),
            signer("keys.gas".to_owned(), keys.gas.clone()),
        )?;
        Ok(Self {
            verdict,
            retiring,
            gas,
        })
    }

    /// Every address that verdicts are or were signed with.
    pub fn operators(&self) -> Vec<Address> {
        let signers = self.verdict.iter().chain(&self.retiring);
        signers.map(Signer::address).collect()
    }
}

/// The signers in use.
#[derive(Debug)]
pub struct Keyring(watch::Sender<Arc<Signers>>);

impl Keyring {
    /// Begins with these.
    pub fn new(signers: Signers) -> Self {
        Self(watch::Sender::new(Arc::new(signers)))
    }

    /// The signers of this moment. Who works for long asks again.
    pub fn now(&self) -> Arc<Signers> {
        Arc::clone(&self.0.borrow())
    }

    /// Takes new signers. Verdict keys that are no longer among them go on signing until one of the new
    /// is an operator; a gas key that is not takes no new transaction.
    pub fn change(&self, mut new: Signers) {
        self.0.send_modify(|old| {
            let known = new.operators();
            let before = old.verdict.iter().chain(&old.retiring);
            let left = before.filter(|key| !known.contains(&key.address()));
            new.retiring.extend(left.cloned());
            *old = Arc::new(new);
        });
    }
}

async fn signer(name: String, key: Key) -> Result<Signer, KeyError> {
    Ok(match key {
        Key::Env(variable) => {
            let Ok(text) = std::env::var(&variable) else {
                return Err(KeyError::Unset {
                    key: name,
                    variable,
                });
            };
            parse(name, format!("environment variable {variable}"), &text)?.into()
        }
        Key::File(path) => {
            let text = read(&name, &path)?;
            parse(name, path.display().to_string(), &text)?.into()
        }
        Key::Keystore {
            path,
            password_file,
        } => {
            let password = read(&name, &password_file)?;
            decrypt(name, path, password).await?.into()
        }
        Key::Kms(key) => match kms::open(&key).await {
            Ok(signer) => signer,
            Err(detail) => {
                return Err(KeyError::Service {
                    key: name,
                    id: key.id,
                    detail,
                });
            }
        },
    })
}

/// Takes a core for a second or so, as keystores are meant to.
async fn decrypt(
    key: String,
    path: PathBuf,
    password: String,
) -> Result<PrivateKeySigner, KeyError> {
    let file = path.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let password = password.strip_suffix('\n').unwrap_or(&password);
        PrivateKeySigner::decrypt_keystore(file, password).map_err(|e| e.to_string())
    });
    let opened = opened.await.map_err(|e| e.to_string()).flatten();
    opened.map_err(|detail| KeyError::Keystore { key, path, detail })
}

fn read(name: &str, path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|source| KeyError::File {
        key: name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn parse(key: String, place: String, text: &str) -> Result<PrivateKeySigner, KeyError> {
    text.trim()
        .parse()
        .map_err(|_| KeyError::NotAKey { key, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_come_from_files_and_keystores() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKeySigner::random();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, format!("0x{}\n", hex::encode(key.to_bytes()))).unwrap();
        let read = signer("k".into(), Key::File(plain)).await;
        assert_eq!(read.unwrap().address(), key.address());

        let password_file = dir.path().join("password");
        std::fs::write(&password_file, "secret\n").unwrap();
        let mut rng = alloy::signers::k256::elliptic_curve::rand_core::OsRng;
        let (_, name) = PrivateKeySigner::encrypt_keystore(
            dir.path(),
            &mut rng,
            key.to_bytes(),
            "secret",
            Some("store"),
        )
        .unwrap();
        assert!(!name.is_empty());
        let path = dir.path().join("store");
        let keystore = |password_file| Key::Keystore {
            path: path.clone(),
            password_file,
        };
        let opened = signer("k".into(), keystore(password_file)).await;
        assert_eq!(opened.unwrap().address(), key.address());

        let wrong = dir.path().join("wrong");
        std::fs::write(&wrong, "guess").unwrap();
        let error = refusal(keystore(wrong)).await;
        assert!(error.to_string().contains("keys.gas"), "{error}");
    }

    async fn refusal(key: Key) -> KeyError {
        match signer("keys.gas".into(), key).await {
            Err(error) => error,
            Ok(signer) => panic!("taken as the key of {}", signer.address()),
        }
    }

    #[tokio::test]
    async fn bad_keys_are_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "0x12", &"zz".repeat(32), &"00".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            let error = refusal(Key::File(path.clone())).await;
            assert!(matches!(error, KeyError::NotAKey { .. }), "{error}");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
        let error = refusal(Key::Env("VOUCH_NO_SUCH_KEY".into())).await;
        assert!(error.to_string().contains("VOUCH_NO_SUCH_KEY"));
    }

    fn signers(verdict: &PrivateKeySigner) -> Signers {
        let signer = Signer::from(verdict.clone());
        Signers {
            verdict: vec![signer.clone()],
            retiring: Vec::new(),
            gas: signer,
        }
    }

    fn addresses(signers: &[Signer]) -> Vec<Address> {
        signers.iter().map(Signer::address).collect()
    }

    #[test]
    fn what_is_replaced_retires_once_and_may_come_back() {
        let [first, second, third] = std::array::from_fn(|_| PrivateKeySigner::random());
        let keys = Keyring::new(signers(&first));
        keys.change(signers(&first));
        assert_eq!(keys.now().operators(), [first.address()]);
        keys.change(signers(&second));
        keys.change(signers(&third));
        let expected = [third.address(), second.address(), first.address()];
        assert_eq!(keys.now().operators(), expected);
        assert_eq!(addresses(&keys.now().verdict), [third.address()]);
        assert_eq!(keys.now().gas.address(), third.address());
        keys.change(signers(&first));
        assert_eq!(addresses(&keys.now().verdict), [first.address()]);
        let expected = [first.address(), third.address(), second.address()];
        assert_eq!(keys.now().operators(), expected);
    }
}
