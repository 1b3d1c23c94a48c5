//! Looks for what must be nowhere: plaintext, keys and the trained model, in every file and log of the demo.

use std::path::Path;

use anyhow::{Context, Result, bail};
use vouch_content::ContentKey;

const WEIGHTS: &str = "the trained model";

/// What must not be found.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<(&'static str, Vec<u8>)>);

impl Secrets {
    /// A piece of plaintext.
    pub(super) fn plaintext(&mut self, bytes: &[u8]) {
        self.0.push(("plaintext", bytes.to_vec()));
    }

    /// A piece of the trained model.
    pub(super) fn weights(&mut self, bytes: &[u8]) {
        self.0.push((WEIGHTS, bytes.to_vec()));
    }

    /// Whether the trained model is what is searched for.
    pub(super) fn knows(&self, model: &[u8]) -> bool {
        let weights = Self(
            self.0
                .iter()
                .filter(|(what, _)| *what == WEIGHTS)
                .cloned()
                .collect(),
        );
        weights.found(model).is_some()
    }

    /// A content key, as bytes and as digits.
    pub(super) fn key(&mut self, key: &ContentKey) {
        self.0.push(("a content key", key.as_bytes().to_vec()));
        self.0
            .push(("a content key", hex::encode(key.as_bytes()).into_bytes()));
    }

    /// Searches every file below a folder. Gives how many there were.
    ///
    /// # Errors
    /// The first file that has something.
    pub(super) fn search(&self, dir: &Path) -> Result<usize> {
        let (mut open, mut files) = (vec![dir.to_owned()], 0);
        while let Some(dir) = open.pop() {
            for entry in
                std::fs::read_dir(&dir).with_context(|| format!("searching {}", dir.display()))?
            {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                // A file may be gone by now: databases clean up behind themselves.
                let Ok(content) = std::fs::read(&path) else {
                    continue;
                };
                files += 1;
                if let Some(what) = self.found(&content) {
                    bail!("{}: {what} was written to it", path.display());
                }
            }
        }
        Ok(files)
    }

    fn found(&self, content: &[u8]) -> Option<&'static str> {
        let has = |secret: &[u8]| content.windows(secret.len()).any(|window| window == secret);
        self.0
            .iter()
            .find(|(_, secret)| has(secret))
            .map(|(what, _)| *what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaked_is_found_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let key = ContentKey::from_bytes([0xab; 32]);
        let mut secrets = Secrets::default();
        secrets.key(&key);
        secrets.plaintext(b"four hundred and one");
        let below = dir.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("log"), "nothing").unwrap();
        assert_eq!(secrets.search(dir.path()).unwrap(), 1);
        for leak in [
            &[0xab; 40][..],
            "ab".repeat(32).as_bytes(),
            b"xx four hundred and one xx",
        ] {
            std::fs::write(below.join("log"), leak).unwrap();
            assert!(secrets.search(dir.path()).is_err(), "{leak:?}");
        }
    }
}
