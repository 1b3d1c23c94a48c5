//! The journal: every release and every refusal, each entry chained to the one before by its hash.
//!
//! An entry is on disk before the key leaves. A crash in between costs the session its key and its
//! order a refund; it never hands out a key that is not in the journal.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use vouch_content::sha256;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody changed it.
    #[error("{}: entry {entry}: expected {expected}, found {found}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: u64,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum Answer {
    /// The key was sealed to the session.
    Released {
        /// Digest of the evidence the session was released on.
        evidence: B256,
    },
    /// It was not.
    Refused {
        /// Stable name of the reason.
        code: String,
        /// What was expected, and what was found.
        detail: String,
    },
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 0.
    pub number: u64,
    /// Unix seconds.
    pub at: u64,
    /// The order.
    pub order: B256,
    /// The asset.
    pub asset: B256,
    /// The session's encryption key.
    pub session: B256,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
    /// Hash of the entry before; zero for the first.
    pub previous: B256,
}

impl Entry {
    /// SHA-256 of the entry's JSON.
    pub fn hash(&self) -> B256 {
        // Structs of strings and numbers always serialise.
        sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    hash: B256,
    entry: Entry,
}

/// The journal of one broker.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    released: BTreeSet<(B256, B256)>,
    last: B256,
}

impl Journal {
    /// The journal in a file, checked from its first entry on. A last line that a crash cut off was
    /// never answered from, and is dropped.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where any entry was changed, removed or added.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        let file = file.map_err(failed)?;
        let text = std::fs::read(path).map_err(failed)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            entries: Vec::new(),
            released: BTreeSet::new(),
            last: B256::ZERO,
        };
        for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
            let entry = journal.check(line)?;
            journal.keep(entry);
        }
        Ok(journal)
    }

    fn check(&self, line: &[u8]) -> Result<Entry, JournalError> {
        let number = self.entries.len() as u64;
        let broken = |expected: String, found: String| JournalError::Broken {
            path: self.path.clone(),
            entry: number,
            expected,
            found,
        };
        let Line { hash, entry } = serde_json::from_slice(line)
            .map_err(|error| broken("an entry".to_owned(), error.to_string()))?;
        if entry.previous != self.last || entry.number != number {
            let expected = format!("number {number} after {}", self.last);
            return Err(broken(
                expected,
                format!("number {} after {}", entry.number, entry.previous),
            ));
        }
        if entry.hash() != hash {
            return Err(broken(format!("hash {}", entry.hash()), hash.to_string()));
        }
        Ok(entry)
    }

    fn keep(&mut self, entry: Entry) {
        if matches!(entry.answer, Answer::Released { .. }) {
            self.released.insert((entry.asset, entry.session));
        }
        self.last = entry.hash();
        self.entries.push(entry);
    }

    /// Whether a session has been given an asset's key.
    pub fn has_released(&self, asset: B256, session: B256) -> bool {
        self.released.contains(&(asset, session))
    }

    /// Writes an entry, and returns its hash once it is on disk.
    ///
    /// # Errors
    /// [`JournalError::File`]; nothing counts as answered then.
    pub fn append(
        &mut self,
        at: u64,
        (order, asset, session): (B256, B256, B256),
        answer: Answer,
    ) -> Result<B256, JournalError> {
        let number = self.entries.len() as u64;
        let entry = Entry {
            number,
            at,
            order,
            asset,
            session,
            answer,
            previous: self.last,
        };
        let line = Line {
            hash: entry.hash(),
            entry,
        };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let before = self.file.metadata().map(|file| file.len());
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line would be in the way of the next one.
            if let Ok(before) = before {
                let _ = self.file.set_len(before);
            }
            return Err(JournalError::File {
                path: self.path.clone(),
                source,
            });
        }
        self.keep(line.entry);
        Ok(self.last)
    }

    /// Every entry, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Hash of the last entry; zero where there is none. Whoever noted it can tell later whether
    /// entries have been cut off.
    pub const fn head(&self) -> B256 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: (B256, B256, B256) = (
        B256::repeat_byte(1),
        B256::repeat_byte(2),
        B256::repeat_byte(3),
    );

    fn filled() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let refused = Answer::Refused {
            code: "order_state".into(),
            detail: "expected".into(),
        };
        journal.append(5, ID, refused).unwrap();
        assert!(!journal.has_released(ID.1, ID.2));
        let released = Answer::Released {
            evidence: B256::ZERO,
        };
        journal.append(6, ID, released.clone()).unwrap();
        journal.append(7, ID, released).unwrap();
        (dir, path)
    }

    #[test]
    fn entries_survive_and_are_chained() {
        let (_dir, path) = filled();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.entries().len(), 3);
        assert!(journal.has_released(ID.1, ID.2) && !journal.has_released(ID.2, ID.1));
        assert_eq!(journal.entries()[2].previous, journal.entries()[1].hash());
        assert_eq!(journal.head(), journal.entries()[2].hash());
    }

    #[test]
    fn every_change_is_found() {
        let (_dir, path) = filled();
        let good = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let join = |lines: &[&str]| format!("{}\n", lines.join("\n"));
        for bad in [
            good.replace("order_state", "other_state"),
            good.replacen("\"at\":6", "\"at\":9", 1),
            join(&[lines[0], lines[2]]),
            join(&[lines[1], lines[0], lines[2]]),
            join(&[lines[0], lines[1], lines[1], lines[2]]),
            join(&[lines[0], "{}", lines[1]]),
        ] {
            assert_ne!(bad, good);
            std::fs::write(&path, &bad).unwrap();
            assert!(
                matches!(Journal::open(&path), Err(JournalError::Broken { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_dropped() {
        let (_dir, path) = filled();
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() - 20]).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.entries().len(), 2);
        journal
            .append(
                8,
                ID,
                Answer::Released {
                    evidence: B256::ZERO,
                },
            )
            .unwrap();
        assert_eq!(Journal::open(&path).unwrap().entries().len(), 3);
    }
}
