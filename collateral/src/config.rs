//! Where collateral comes from, and how patiently it is asked for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::request::Service;

/// Base addresses of the services, each of which may be a mirror or a test server. An empty one is
/// never asked.
///
/// NVIDIA's services may be used commercially only under a licence from NVIDIA; whoever points
/// `nvidia_rim` or `nvidia_ocsp` at them must hold one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// NVIDIA's reference integrity manifests. Commercial use needs a licence from NVIDIA.
    pub nvidia_rim: String,
    /// NVIDIA's OCSP responder. Commercial use needs a licence from NVIDIA.
    pub nvidia_ocsp: String,
    /// AMD's key distribution service (KDS).
    pub amd_kds: String,
    /// Intel's provisioning certification service (PCS), or a caching service (PCCS).
    pub intel_pcs: String,
    /// Where Intel's root publishes its revocation list.
    pub intel_root: String,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            nvidia_rim: "https://rim.attestation.nvidia.com".into(),
            nvidia_ocsp: "https://ocsp.ndis.nvidia.com".into(),
            amd_kds: "https://kdsintf.amd.com".into(),
            intel_pcs: "https://api.trustedservices.intel.com".into(),
            intel_root: "https://certificates.trustedservices.intel.com".into(),
        }
    }
}

impl Addresses {
    /// The address of a service; empty where it must not be asked.
    pub fn of(&self, service: Service) -> &str {
        match service {
            Service::NvidiaRim => &self.nvidia_rim,
            Service::NvidiaOcsp => &self.nvidia_ocsp,
            Service::AmdKds => &self.amd_kds,
            Service::IntelPcs => &self.intel_pcs,
            Service::IntelRoot => &self.intel_root,
        }
    }
}

/// How a fetcher works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The services.
    pub addresses: Addresses,
    /// A file whose text is sent to NVIDIA's services as the `Authorization` header, for licensees.
    pub nvidia_authorization: Option<PathBuf>,
    /// Where answers are kept.
    pub cache_dir: PathBuf,
    /// Nothing is asked of any service: only the cache answers.
    pub offline: bool,
    /// How long a service may take for one answer.
    pub timeout: Duration,
    /// How long a caller waits for a service that is down or asks for patience.
    pub patience: Duration,
    /// First wait after a failure; it doubles with each.
    pub first_wait: Duration,
    /// Most times that a service is asked for one answer.
    pub tries: u32,
    /// Most questions that are open at a service at a time.
    pub parallel: usize,
}

impl Config {
    /// The vendors' services, kept in `cache_dir`.
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            addresses: Addresses::default(),
            nvidia_authorization: None,
            cache_dir,
            offline: false,
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            first_wait: Duration::from_millis(250),
            tries: 4,
            parallel: 4,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address is none.
    #[error("{key}: expected http:// or https://host[:port][/path], or nothing, found {found:?}")]
    Address {
        /// The configuration's key.
        key: &'static str,
        /// What is there.
        found: String,
    },
    /// The file with the authorization cannot be used.
    #[error("nvidia_authorization {}: {detail}", path.display())]
    Authorization {
        /// The file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// The cache cannot be made.
    #[error("cache {}: {source}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("HTTP client: {0}")]
    Client(String),
}

/// A secret header, which is never shown.
#[derive(Clone)]
pub(crate) struct Authorization(pub(crate) HeaderValue);

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// The address that a service is asked at; `None` where it must not be asked.
pub(crate) fn base(addresses: &Addresses, service: Service) -> Result<Option<Url>, ConfigError> {
    let text = addresses.of(service).trim();
    if text.is_empty() {
        return Ok(None);
    }
    // Paths are appended: a base without its final slash would lose its last segment.
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).ok();
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match url.filter(fits) {
        Some(url) => Ok(Some(url)),
        None => Err(ConfigError::Address {
            key: service.key(),
            found: text.to_owned(),
        }),
    }
}

/// The header in `path`, which is only ever sent over TLS or to this machine.
pub(crate) fn authorization(
    path: &Path,
    addresses: &Addresses,
) -> Result<Authorization, ConfigError> {
    let wrong = |detail: String| ConfigError::Authorization {
        path: path.to_owned(),
        detail,
    };
    for service in [Service::NvidiaRim, Service::NvidiaOcsp] {
        let Some(url) = base(addresses, service)? else {
            continue;
        };
        let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !local {
            return Err(wrong(format!(
                "{} is {url}: a secret is sent over https:// only",
                service.key()
            )));
        }
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let mut header = HeaderValue::from_str(text.trim())
        .map_err(|_| wrong("expected one line of text".into()))?;
    if header.is_empty() {
        return Err(wrong("expected one line of text, found none".into()));
    }
    header.set_sensitive(true);
    Ok(Authorization(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rim(text: &str) -> Addresses {
        Addresses {
            nvidia_rim: text.into(),
            ..Addresses::default()
        }
    }

    #[test]
    fn addresses_keep_their_path_and_may_be_empty() {
        for (text, expected) in [
            ("", None),
            ("http://127.0.0.1:9", Some("http://127.0.0.1:9/")),
            ("https://m.example/rim", Some("https://m.example/rim/")),
            ("https://m.example/rim/", Some("https://m.example/rim/")),
        ] {
            let found = base(&rim(text), Service::NvidiaRim).unwrap();
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{text:?}");
        }
        for text in ["m.example", "ftp://m.example", "https://", "https://m?x=1"] {
            let error = base(&rim(text), Service::NvidiaRim).unwrap_err();
            assert!(error.to_string().starts_with("nvidia_rim:"), "{error}");
        }
    }

    #[test]
    fn secrets_are_neither_shown_nor_sent_in_the_clear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "Bearer hush\n").unwrap();
        let header = authorization(&path, &Addresses::default()).unwrap();
        assert!(!format!("{header:?}").contains("hush"));
        assert!(authorization(&path, &rim("http://127.0.0.1:1")).is_ok());
        assert!(authorization(&path, &rim("http://m.example")).is_err());
        for text in ["", "\n", "two\nlines"] {
            std::fs::write(&path, text).unwrap();
            assert!(authorization(&path, &Addresses::default()).is_err());
        }
    }
}
