//! Collateral that people have in files and folders. What a file is, its contents say.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use vouch_evidence::bundle::Collateral;
use vouch_evidence::decode::{self, MAX_INPUT_LEN};
use vouch_evidence::revocation::{crl_window, ocsp};
use vouch_evidence::tdx;
use vouch_evidence::x509::Certificate;

/// Most files of one folder that are read.
pub const MAX_FILES: usize = 256;

const CRL_BEGIN: &str = "-----BEGIN X509 CRL-----";
const CRL_END: &str = "-----END X509 CRL-----";

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk says no.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder has too many files.
    #[error("{}: expected at most {MAX_FILES} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// The file is no collateral.
    #[error(
        "{}: expected a manifest (XML), an OCSP response, a revocation list, a certificate or Intel's collateral (JSON), found {found}",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
}

/// What files hold. Nobody has verified it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Manifests, OCSP responses and revocation lists.
    pub collateral: Collateral,
    /// Intel's collateral, in the layout of [`tdx::Collateral::from_json`].
    pub tdx: Option<Vec<u8>>,
    /// Certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// Files of a folder that are no collateral, which may be there for other reasons.
    pub ignored: Vec<PathBuf>,
}

impl Found {
    /// Adds a file's contents, or those of every file right in a folder, in the order of their names.
    ///
    /// # Errors
    /// [`FileError`]; in a folder, files that are no collateral are [ignored](Self::ignored).
    pub fn add(&mut self, path: &Path) -> Result<(), FileError> {
        let disk = |source| FileError::Disk {
            path: path.to_owned(),
            source,
        };
        if !path.is_dir() {
            return self.add_file(path);
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(disk)? {
            let file = entry.map_err(disk)?.path();
            if file.is_file() {
                files.push(file);
            }
            if files.len() > MAX_FILES {
                let path = path.to_owned();
                return Err(FileError::TooMany { path });
            }
        }
        files.sort();
        for file in files {
            match self.add_file(&file) {
                Err(FileError::Unknown { path, .. }) => self.ignored.push(path),
                other => other?,
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), FileError> {
        let bytes = read(path).map_err(|source| FileError::Disk {
            path: path.to_owned(),
            source,
        })?;
        self.add_bytes(&bytes).map_err(|found| FileError::Unknown {
            path: path.to_owned(),
            found,
        })
    }

    /// Adds one document; where it is none, says what it looks like.
    fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match start.trim_ascii_start().first() {
            None => return Err("nothing".into()),
            Some(b'<') => {
                self.collateral.manifests.push(bytes.to_vec());
                return Ok(());
            }
            Some(b'{') => return self.add_json(bytes),
            Some(_) => {}
        }
        if let Some(list) = pem_crl(bytes) {
            return self.add_der(&list?);
        }
        if let Ok(certificates) = decode::certificates(bytes)
            && certificates
                .iter()
                .all(|der| Certificate::parse(der).is_ok())
        {
            self.certificates.extend(certificates);
            return Ok(());
        }
        let der = decode::binary(bytes).map_err(|rejection| rejection.found.into_owned())?;
        self.add_der(&der)
    }

    fn add_der(&mut self, der: &[u8]) -> Result<(), String> {
        if ocsp::Response::parse(der).is_ok() {
            self.collateral.ocsp.push(der.to_vec());
        } else if crl_window(der).is_ok() {
            self.collateral.crls.push(der.to_vec());
        } else {
            let start = der.get(..8).unwrap_or(der);
            return Err(format!(
                "{} bytes that begin with {}",
                der.len(),
                hex::encode(start)
            ));
        }
        Ok(())
    }

    fn add_json(&mut self, json: &[u8]) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Rim {
            rim: String,
        }
        if let Ok(answer) = serde_json::from_slice::<Rim>(json) {
            let xml = STANDARD.decode(answer.rim.as_bytes());
            let xml = xml.map_err(|error| format!("an answer of NVIDIA's service with {error}"))?;
            self.collateral.manifests.push(xml);
            return Ok(());
        }
        match tdx::Collateral::from_json(json) {
            // Every member is optional: an object of something else is empty.
            Ok(collateral) if collateral != tdx::Collateral::default() => {
                self.tdx = Some(json.to_vec());
                Ok(())
            }
            Ok(_) => Err("JSON without any collateral".into()),
            Err(rejection) => Err(rejection.to_string()),
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let most = MAX_INPUT_LEN as u64;
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!(
            "expected at most {most} bytes"
        )));
    }
    Ok(bytes)
}

fn pem_crl(bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once(CRL_BEGIN)?;
    let body = rest.split_once(CRL_END).map_or(rest, |(body, _)| body);
    let body: String = body.split_ascii_whitespace().collect();
    let list = STANDARD.decode(body);
    Some(list.map_err(|error| format!("a PEM revocation list with {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_nothing_is_an_error_and_in_a_folder_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a.txt", &b"hello, world"[..]),
            ("b.json", b"{}"),
            ("c.json", b"{\"tcb_info\": 7}"),
            ("d.der", b"\x30\x03\x02\x01\x07"),
            ("e", b""),
            ("f.json", b"{\"rim\":\"!\"}"),
            (
                "g.pem",
                b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----",
            ),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Found::default().add(&path).unwrap_err();
            assert!(
                matches!(error, FileError::Unknown { .. }),
                "{name}: {error}"
            );
        }
        std::fs::write(dir.path().join("z.xml"), "<x/>").unwrap();
        std::fs::write(dir.path().join("y.json"), r#"{"id":"A","rim":"PHgvPg=="}"#).unwrap();
        let mut found = Found::default();
        found.add(dir.path()).unwrap();
        assert_eq!(found.ignored.len(), 7);
        assert_eq!(
            found.collateral.manifests,
            [b"<x/>".to_vec(), b"<x/>".to_vec()]
        );
        let missing = found.add(&dir.path().join("missing")).unwrap_err();
        assert!(matches!(missing, FileError::Disk { .. }));
    }
}
