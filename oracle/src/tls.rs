//! Who this daemon is to those who ask it, and whom it believes when it asks others.
//!
//! A certificate says whose the server is, for those who want to know. Nothing else hangs on it: what operators and
//! providers send is signed by them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls_platform_verifier::Verifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::Tls;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

const CERTIFICATES: &str = "certificates in PEM";

/// A file that TLS cannot use. The messages never carry key material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{key}: {}: {source}", path.display())]
    File {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{key}: {}: expected {expected}, found {found}", path.display())]
    Content {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What would do.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// TLS cannot be had with what is built in.
    #[error("TLS: {0}")]
    Provider(#[from] rustls::Error),
}

/// A file that the configuration names by `key`.
struct File<'p> {
    key: &'static str,
    path: &'p Path,
}

impl File<'_> {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        std::fs::read(self.path).map_err(|source| TlsError::File {
            key: self.key,
            path: self.path.to_owned(),
            source,
        })
    }

    fn content(&self, expected: &'static str, found: impl ToString) -> TlsError {
        TlsError::Content {
            key: self.key,
            path: self.path.to_owned(),
            expected,
            found: found.to_string(),
        }
    }

    /// Every certificate in it.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.read()?;
        let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(|error| self.content(CERTIFICATES, error))?;
        if found.is_empty() {
            return Err(self.content(CERTIFICATES, "none"));
        }
        Ok(found)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        const EXPECTED: &str = "a private key in PEM that is not encrypted";
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| {
            let found = match error {
                pem::Error::NoItemsFound => "none".to_owned(),
                error => error.to_string(),
            };
            self.content(EXPECTED, found)
        })
    }
}

/// The server's certificate with its key, which may be renewed while it serves.
#[derive(Debug)]
pub struct Identity {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Identity {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that will not do.
    pub fn load(files: Tls) -> Result<Self, TlsError> {
        let current = watch::Sender::new(Arc::new(read(&files)?));
        Ok(Self { files, current })
    }

    /// Reads both again, for connections to come. Where they will not do, those in use stay.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn renew(&self) -> Result<(), TlsError> {
        self.current.send_replace(Arc::new(read(&self.files)?));
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.borrow()))
    }
}

/// TLS 1.3 only: every client there is speaks it.
fn read(files: &Tls) -> Result<ServerConfig, TlsError> {
    let certificate = File {
        key: "server.tls.certificate",
        path: &files.certificate,
    };
    let key = File {
        key: "server.tls.key",
        path: &files.key,
    };
    let provider = Arc::new(default_provider());
    let certified = certified(&certificate, &key, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certified(
    certificate: &File<'_>,
    key: &File<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.certificates()?;
    for link in &chain {
        ParsedCertificate::try_from(link)
            .map_err(|error| certificate.content(CERTIFICATES, error))?;
    }
    CertifiedKey::from_der(chain, key.private_key()?, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key.content(
            "the key of the first certificate in server.tls.certificate",
            "another key",
        ),
        error => key.content("an ECDSA, Ed25519 or RSA key", error),
    })
}

/// Authorities beside the system's that may say whose a server is.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads the authorities of `trust.authorities`; none where there is no file.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(path: Option<&Path>) -> Result<Self, TlsError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = File {
            key: "trust.authorities",
            path,
        };
        let found = file.certificates()?;
        for authority in &found {
            let added = RootCertStore::empty().add(authority.clone());
            added.map_err(|error| file.content(CERTIFICATES, error))?;
        }
        Ok(Self(found))
    }

    /// Each, in DER.
    pub fn der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// A client that believes them.
    pub fn client(&self) -> reqwest::ClientBuilder {
        // All of them could be read.
        let authorities = self.der().flat_map(reqwest::Certificate::from_der);
        match self.0[..] {
            [] => reqwest::Client::builder(),
            _ => reqwest::Client::builder().tls_certs_merge(authorities),
        }
    }

    /// How connections are encrypted, of other protocols than HTTP, to servers that they or the system's vouch for.
    ///
    /// # Errors
    /// [`TlsError::Provider`] where there are none, of either.
    pub fn connecting(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(default_provider());
        let ours = self.0.iter().cloned();
        let verifier = Verifier::new_with_extra_roots(ours, Arc::clone(&provider))?;
        // What is dangerous is a verifier that verifies something else.
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }
}

/// Accepts connections whose handshake is done. One that dawdles keeps nobody else waiting.
#[derive(Debug)]
pub struct Handshakes {
    listener: TcpListener,
    identity: Arc<Identity>,
    begun: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Handshakes {
    /// Connections to `listener`.
    pub fn new(listener: TcpListener, identity: Arc<Identity>) -> Self {
        Self {
            listener,
            identity,
            begun: JoinSet::new(),
        }
    }
}

impl Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                // Waits by itself where there are no descriptors left.
                (tcp, from) = Listener::accept(&mut self.listener) => {
                    let accepting = self.identity.acceptor().accept(tcp);
                    self.begun.spawn(async move {
                        match tokio::time::timeout(HANDSHAKE, accepting).await {
                            Ok(Ok(stream)) => Some((stream, from)),
                            Ok(Err(error)) => {
                                tracing::debug!(%from, %error, "no handshake");
                                None
                            }
                            Err(_) => None,
                        }
                    });
                }
                Some(done) = self.begun.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate of its own authority, and its key, in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    struct Rig {
        _dir: tempfile::TempDir,
        files: Tls,
    }

    fn rig(certificate: &str, key: &str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let files = Tls {
            certificate: dir.path().join("server.crt"),
            key: dir.path().join("server.key"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        Rig { _dir: dir, files }
    }

    /// Each row: what the files hold, what the error must name.
    #[test]
    fn files_that_will_not_do_are_named_and_keys_never_shown() {
        let (certificate, key) = pair();
        let (other, other_key) = pair();
        let base64 = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
        let cut = certificate.replace(&base64(&certificate), "");
        let no_base64 = certificate.replace(&base64(&certificate), "%%%");
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let cut_key = key.replace(&base64(&key), "");
        let rows: [(&str, &str, &[&str]); 11] = [
            (
                "",
                &key,
                &["server.tls.certificate", "certificates in PEM", "none"],
            ),
            ("garbage", &key, &["server.tls.certificate", "none"]),
            (&key, &key, &["server.tls.certificate", "none"]),
            (
                &cut,
                &key,
                &["server.tls.certificate", "certificates in PEM"],
            ),
            (
                &no_base64,
                &key,
                &["server.tls.certificate", "certificates in PEM"],
            ),
            (
                &format!("{certificate}{cut}"),
                &key,
                &["server.tls.certificate"],
            ),
            (
                &certificate,
                "",
                &["server.tls.key", "private key in PEM", "none"],
            ),
            (&certificate, &certificate, &["server.tls.key", "none"]),
            (
                &certificate,
                &encrypted,
                &["server.tls.key", "not encrypted", "none"],
            ),
            (
                &certificate,
                &cut_key,
                &["server.tls.key", "ECDSA, Ed25519 or RSA"],
            ),
            (&certificate, &other_key, &["server.tls.key", "another key"]),
        ];
        for (certificate, key, named) in rows {
            let rig = rig(certificate, key);
            let error = Identity::load(rig.files.clone()).unwrap_err().to_string();
            let file = match named[0] {
                "server.tls.key" => &rig.files.key,
                _ => &rig.files.certificate,
            };
            let file = file.display().to_string();
            for named in named.iter().copied().chain([file.as_str()]) {
                assert!(error.contains(named), "{named}: {error}");
            }
            assert!(
                key.lines()
                    .all(|line| line.len() < 40 || !error.contains(line))
            );
        }
        // The other way round: the chain begins with another's certificate.
        let rig = rig(&format!("{other}{certificate}"), &key);
        let error = Identity::load(rig.files).unwrap_err().to_string();
        assert!(error.contains("another key"), "{error}");
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let (certificate, key) = pair();
        for gone in ["server.crt", "server.key"] {
            let rig = rig(&certificate, &key);
            let path = rig.files.key.with_file_name(gone);
            std::fs::remove_file(&path).unwrap();
            let error = Identity::load(rig.files.clone()).unwrap_err();
            assert!(matches!(&error, TlsError::File { path: found, .. } if *found == path));
        }
    }

    #[test]
    fn what_is_in_use_stays_where_the_renewed_will_not_do() {
        let (certificate, key) = pair();
        let rig = rig(&certificate, &key);
        let identity = Identity::load(rig.files.clone()).unwrap();
        let first = Arc::clone(&identity.current.borrow());
        std::fs::write(&rig.files.key, pair().1).unwrap();
        assert!(identity.renew().is_err());
        assert!(Arc::ptr_eq(&first, &identity.current.borrow()));
        std::fs::write(&rig.files.key, &key).unwrap();
        identity.renew().unwrap();
        assert!(!Arc::ptr_eq(&first, &identity.current.borrow()));
    }

    #[test]
    fn authorities_are_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authorities.pem");
        let error = Authorities::load(Some(&path)).unwrap_err();
        assert!(matches!(error, TlsError::File { .. }), "{error}");
        let (certificate, key) = pair();
        let cut = certificate.replace(certificate.lines().nth(1).unwrap(), "");
        for text in ["", "garbage", &key, &cut, &format!("{certificate}{cut}")] {
            std::fs::write(&path, text).unwrap();
            let error = Authorities::load(Some(&path)).unwrap_err().to_string();
            let named = [
                &path.display().to_string(),
                "trust.authorities",
                "certificates in PEM",
            ];
            assert!(named.iter().all(|named| error.contains(*named)), "{error}");
        }
        std::fs::write(&path, format!("{certificate}{}", pair().0)).unwrap();
        let both = Authorities::load(Some(&path)).unwrap();
        assert_eq!(both.der().count(), 2);
        assert_eq!(Authorities::load(None).unwrap().der().count(), 0);
        both.client().build().unwrap();
    }
}
