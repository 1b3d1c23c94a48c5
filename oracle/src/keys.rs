//! Reads the keys that a configuration names, and changes them while the daemon runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy::primitives::Address;
use alloy::signers::local::PrivateKeySigner;
use tokio::sync::watch;

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
}

/// The signers of a daemon.
#[derive(Clone, Debug)]
pub struct Signers {
    /// Operators, who sign verdicts.
    pub verdict: Vec<PrivateKeySigner>,
    /// Sign for as long as none of `verdict` is an operator yet.
    pub retiring: Vec<PrivateKeySigner>,
    /// Who pays for transactions.
    pub gas: PrivateKeySigner,
}

impl Signers {
    /// Reads every key.
    ///
    /// # Errors
    /// [`KeyError`] naming the configuration's key.
    pub fn load(keys: &Keys) -> Result<Self, KeyError> {
        let all = |name: &str, keys: &[Key]| {
            let keys = keys.iter().enumerate();
            keys.map(|(i, key)| signer(format!("{name}[{i}]"), key))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            verdict: all("keys.verdict", &keys.verdict)?,
            retiring: all("keys.retiring", &keys.retiring)?,
            gas: signer("keys.gas".to_owned(), &keys.gas)?,
        })
    }

    /// Every address that verdicts are or were signed with.
    pub fn operators(&self) -> Vec<Address> {
        let signers = self.verdict.iter().chain(&self.retiring);
        signers.map(PrivateKeySigner::address).collect()
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

fn signer(name: String, key: &Key) -> Result<PrivateKeySigner, KeyError> {
    match key {
        Key::Env(variable) => {
            let Ok(text) = std::env::var(variable) else {
                let variable = variable.clone();
                return Err(KeyError::Unset {
                    key: name,
                    variable,
                });
            };
            parse(name, format!("environment variable {variable}"), &text)
        }
        Key::File(path) => {
            let text = read(&name, path)?;
            parse(name, path.display().to_string(), &text)
        }
        Key::Keystore {
            path,
            password_file,
        } => {
            let password = read(&name, password_file)?;
            let password = password.strip_suffix('\n').unwrap_or(&password);
            PrivateKeySigner::decrypt_keystore(path, password).map_err(|e| KeyError::Keystore {
                key: name,
                path: path.clone(),
                detail: e.to_string(),
            })
        }
    }
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

    #[test]
    fn keys_come_from_files_and_keystores() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKeySigner::random();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, format!("0x{}\n", hex::encode(key.to_bytes()))).unwrap();
        assert_eq!(
            signer("k".into(), &Key::File(plain)).unwrap().address(),
            key.address()
        );

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
        let opened = signer("k".into(), &keystore(password_file)).unwrap();
        assert_eq!(opened.address(), key.address());

        let wrong = dir.path().join("wrong");
        std::fs::write(&wrong, "guess").unwrap();
        let error = signer("keys.gas".into(), &keystore(wrong)).unwrap_err();
        assert!(error.to_string().contains("keys.gas"), "{error}");
    }

    #[test]
    fn bad_keys_are_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "0x12", &"zz".repeat(32), &"00".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            let error = signer("keys.gas".into(), &Key::File(path.clone())).unwrap_err();
            assert!(matches!(error, KeyError::NotAKey { .. }), "{error}");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
        let error = signer("k".into(), &Key::Env("VOUCH_NO_SUCH_KEY".into())).unwrap_err();
        assert!(error.to_string().contains("VOUCH_NO_SUCH_KEY"));
    }

    fn signers(verdict: &PrivateKeySigner) -> Signers {
        Signers {
            verdict: vec![verdict.clone()],
            retiring: Vec::new(),
            gas: verdict.clone(),
        }
    }

    #[test]
    fn what_is_replaced_retires_once_and_may_come_back() {
        let [first, second, third] = std::array::from_fn(|_| PrivateKeySigner::random());
        let keys = Keyring::new(signers(&first));
        let addresses = |keys: &Keyring| keys.now().operators();
        keys.change(signers(&first));
        assert_eq!(addresses(&keys), [first.address()]);
        keys.change(signers(&second));
        keys.change(signers(&third));
        let expected = [third.address(), second.address(), first.address()];
        assert_eq!(addresses(&keys), expected);
        assert_eq!(keys.now().verdict, std::slice::from_ref(&third));
        assert_eq!(keys.now().gas, third);
        keys.change(signers(&first));
        assert_eq!(keys.now().verdict, std::slice::from_ref(&first));
        let expected = [first.address(), third.address(), second.address()];
        assert_eq!(addresses(&keys), expected);
    }
}
