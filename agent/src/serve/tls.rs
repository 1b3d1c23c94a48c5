//! TLS whose certificate has the session's signing key, which the evidence binds to the hardware
//! (RA-TLS). Who signed the certificate, and which name it bears, says nothing and is not asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::server::TlsStream;

use crate::session::Session;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Accepts with the session's key, TLS 1.3 only.
pub(super) fn acceptor(session: &Session) -> Result<TlsAcceptor> {
    let key = session.pkcs8()?;
    let pair = rcgen::KeyPair::try_from(key.as_slice()).context("the session's certificate")?;
    let certificate = rcgen::CertificateParams::new(vec!["session.vouch.invalid".to_owned()])
        .and_then(|params| params.self_signed(&pair))
        .context("the session's certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| anyhow!("TLS: {error}"))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("TLS")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connections whose handshake is done; one that dawdles keeps nobody else waiting.
pub(super) struct Connections {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Connections {
    pub(super) fn accept(listener: TcpListener, tls: TlsAcceptor) -> Result<Self> {
        let address = listener.local_addr()?;
        let (done, ready) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = done.closed() => return,
                };
                let Ok((tcp, from)) = accepted else {
                    // No descriptors left, for example: that passes.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let (tls, done) = (tls.clone(), done.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(tcp)).await {
                        let _ = done.send((stream, from)).await;
                    }
                });
            }
        });
        Ok(Self { ready, address })
    }
}

impl axum::serve::Listener for Connections {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}
