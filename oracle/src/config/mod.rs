//! The configuration: one TOML file, whose documented example is `oracle.example.toml`.
//!
//! Unknown keys are refused: a misspelt limit must not be a missing one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use vouch_client::is_development;

use crate::collateral;
use crate::quorum::Peer;

/// Largest value of `evidence.max_bytes`: bundles are held in memory while they are verified.
pub const MAX_EVIDENCE_BYTES: u64 = 64 * 1024 * 1024;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML of this shape.
    #[error("configuration {}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        detail: String,
    },
    /// A key has a value that is not possible.
    #[error("configuration: {key}: expected {expected}, found {found}")]
    Value {
        /// The key's path.
        key: String,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Something that this program was built without.
    #[error(
        "configuration: {key}: expected a vouch-oracle built with feature `{feature}`, found one without (cargo build --profile dist -p vouch-oracle --features {feature})"
    )]
    NotBuiltIn {
        /// The key's path.
        key: String,
        /// The feature.
        feature: &'static str,
    },
    /// Something for development chains only, elsewhere.
    #[error(
        "configuration: {key}: {what} is for development chains (chain id 31337 or 412346) only, this market is on chain id {chain_id}"
    )]
    DevelopmentOnly {
        /// The key's path.
        key: &'static str,
        /// What is refused.
        what: &'static str,
        /// The market's chain.
        chain_id: u64,
    },
}

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The chain and its market.
    pub chain: Chain,
    /// Who signs.
    pub keys: Keys,
    /// Where the daemon keeps what it knows.
    pub store: Store,
    /// Where bundles come from.
    #[serde(default)]
    pub evidence: Evidence,
    /// What else is trusted than the vendors' roots.
    #[serde(default)]
    pub trust: Trust,
    /// Where collateral comes from that bundles do not bring; without it, from nowhere.
    #[serde(default)]
    pub collateral: Option<collateral::Settings>,
    /// The other operators.
    #[serde(default)]
    pub quorum: Quorum,
    /// How transactions are sent.
    #[serde(default)]
    pub submit: Submit,
    /// The HTTP server.
    #[serde(default)]
    pub server: Server,
    /// Where spans go; without it, nowhere. Needs feature `otel`.
    #[serde(default)]
    pub traces: Option<Traces>,
}

/// `[chain]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The deployment's file, relative to the configuration's directory.
    pub deployment: PathBuf,
    /// Endpoints, best first: `ws://`, `wss://`, `http://` or `https://`.
    pub endpoints: Vec<String>,
    /// Blocks on top of a block before its events count.
    #[serde(default)]
    pub confirmations: u64,
    /// Blocks after which no reorganisation is expected; hashes of that many are kept.
    #[serde(default = "default::finality")]
    pub finality: u64,
    /// How often the head is asked for where no subscription tells of it.
    #[serde(default = "default::poll_ms")]
    pub poll_ms: u64,
    /// How long an endpoint may take to answer.
    #[serde(default = "default::timeout_ms")]
    pub timeout_ms: u64,
}

/// `[keys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Operators' keys: each signs every verdict. More than one is for development chains, where
    /// one daemon stands for a quorum.
    pub verdict: Vec<Key>,
    /// Keys that `verdict` takes the place of: they sign for as long as none of `verdict` is an operator
    /// on chain.
    #[serde(default)]
    pub retiring: Vec<Key>,
    /// Pays for transactions.
    pub gas: Key,
}

/// Where a key comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Key {
    /// An environment variable with 32 bytes of hex. Development chains only.
    Env(String),
    /// A file with 32 bytes of hex. Development chains only.
    File(PathBuf),
    /// An encrypted keystore file (Web3 secret storage).
    Keystore {
        /// The keystore.
        path: PathBuf,
        /// A file with its password; a final newline is not part of it.
        password_file: PathBuf,
    },
    /// A key in AWS's key management service. Feature `kms`.
    Kms(Kms),
}

/// A key that AWS's key management service holds, of the kind `ECC_SECG_P256K1` for signing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kms {
    /// The service's name of it: key id, ARN or alias.
    pub id: String,
    /// Where the service is. Default: as AWS's own tools find it (`AWS_REGION`, profile, machine).
    pub region: Option<String>,
    /// Another service's URL than AWS's in the region.
    pub endpoint: Option<String>,
}

/// `[store]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// A `PostgreSQL` server that several daemons share: `postgres://user@host/database`. Without it
    /// the database is embedded.
    pub url: Option<String>,
    /// The embedded database's directory, relative to the configuration's directory.
    pub dir: PathBuf,
    /// Bundles by digest; by default `evidence` next to the database.
    pub evidence_dir: Option<PathBuf>,
    /// Days after which an order that ended is forgotten, with its evidence.
    #[serde(default = "default::keep_days")]
    pub keep_days: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        let url = self.url.as_ref().map(|_| "postgres://…");
        f.debug_struct("Store")
            .field("url", &url)
            .field("dir", &self.dir)
            .field("evidence_dir", &self.evidence_dir)
            .field("keep_days", &self.keep_days)
            .finish()
    }
}

/// `[quorum]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quorum {
    /// The other operators' daemons: `http(s)://host:port/`. Signatures are exchanged with each.
    pub peers: Vec<String>,
    /// How long a peer may take to answer.
    pub timeout_ms: u64,
    /// How long an operator with a quorum waits for each operator whose turn to submit is before its
    /// own.
    pub stagger_ms: u64,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            timeout_ms: 2_000,
            stagger_ms: 3_000,
        }
    }
}

/// `[evidence]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Where bundles are looked for after the evidence store, in this order: `dir:/path` or
    /// `http(s)://base/`, which answers `GET base/v1/evidence/<digest>`.
    pub sources: Vec<String>,
    /// Most bytes of a bundle.
    pub max_bytes: u64,
    /// How long a source, or the bucket's service, may take.
    pub timeout_ms: u64,
    /// Where bundles are kept instead of in `store.evidence_dir`.
    pub bucket: Option<Bucket>,
}

/// `[evidence.bucket]`: a bucket of an S3-compatible service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the names of all objects begin with.
    #[serde(default)]
    pub prefix: String,
    /// The service; by default AWS's in the region.
    pub endpoint: Option<String>,
    /// The region; by default the environment's, or `us-east-1`.
    pub region: Option<String>,
    /// A TOML file with `access_key_id`, `secret_access_key` and perhaps `session_token`. By default the
    /// environment says, or the machine's role.
    pub credentials: Option<PathBuf>,
}

/// `[trust]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Authorities (PEM) that may say whose a server is, beside the system's: for peers and sources.
    pub authorities: Option<PathBuf>,
    /// A simulator's roots. Development chains only.
    pub simulated: Option<Simulated>,
}

/// Certificates of a simulator, DER or PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// Stands for NVIDIA's device root.
    pub nvidia_root: PathBuf,
    /// Stands for AMD's root key.
    pub amd_ark: PathBuf,
    /// Stands for AMD's signing key.
    pub amd_ask: PathBuf,
}

/// `[submit]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Submit {
    /// How long a transaction may wait before it is replaced with higher fees.
    pub replace_after_ms: u64,
    /// No transaction offers more per gas than this.
    pub max_fee_gwei: u64,
}

/// `[traces]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// An OpenTelemetry collector: the whole address to which spans are posted (OTLP over HTTP, protobuf).
    pub endpoint: String,
    /// Which part of the traces is sent, from 0 to 1.
    #[serde(default = "default::ratio")]
    pub ratio: f64,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where the HTTP server listens.
    pub listen: SocketAddr,
    /// How many bundles are verified at a time.
    pub workers: usize,
    /// Requests a second that one sender may make in the long run; 0 where a proxy in front limits them.
    pub requests_per_second: u32,
    /// Requests that one sender may make at once.
    pub burst: u32,
    /// TLS; without it, the server speaks plain HTTP.
    pub tls: Option<Tls>,
}

/// `[server.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate and those between it and its authority (PEM), its own first.
    pub certificate: PathBuf,
    /// The private key of the first certificate (PEM, not encrypted).
    pub key: PathBuf,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            max_bytes: 8 * 1024 * 1024,
            timeout_ms: 10_000,
            bucket: None,
        }
    }
}

impl Default for Submit {
    fn default() -> Self {
        Self {
            replace_after_ms: 30_000,
            max_fee_gwei: 100,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8640)),
            workers: 2,
            requests_per_second: 100,
            burst: 400,
            tls: None,
        }
    }
}

mod default {
    pub(super) const fn finality() -> u64 {
        256
    }

    pub(super) const fn keep_days() -> u64 {
        30
    }

    pub(super) const fn poll_ms() -> u64 {
        1000
    }

    pub(super) const fn ratio() -> f64 {
        1.0
    }

    pub(super) const fn timeout_ms() -> u64 {
        10_000
    }
}

impl Config {
    /// Reads and checks a configuration. Relative paths become paths from the file's directory.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and what was expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })?;
        let mut config: Self = toml::from_str(&text).map_err(|e| ConfigError::Malformed {
            path: path.to_owned(),
            detail: e.to_string(),
        })?;
        config.anchor(path.parent().unwrap_or(Path::new(".")));
        config.check()?;
        Ok(config)
    }

    /// Checks what depends on the market's chain.
    ///
    /// # Errors
    /// [`ConfigError::DevelopmentOnly`].
    pub fn check_chain(&self, chain_id: u64) -> Result<(), ConfigError> {
        if is_development(chain_id) {
            return Ok(());
        }
        let refuse = |key, what| {
            Err(ConfigError::DevelopmentOnly {
                key,
                what,
                chain_id,
            })
        };
        if self.trust.simulated.is_some() {
            return refuse("trust.simulated", "a simulator's root");
        }
        if self.keys.verdict.len() > 1 {
            return refuse("keys.verdict", "more than one operator in a daemon");
        }
        let open = "a key that is neither in an encrypted keystore nor with a key service";
        let encrypted = |key: &Key| matches!(key, Key::Keystore { .. } | Key::Kms(_));
        if !encrypted(&self.keys.gas) {
            return refuse("keys.gas", open);
        }
        if !self.keys.verdict.iter().all(encrypted) {
            return refuse("keys.verdict", open);
        }
        if !self.keys.retiring.iter().all(encrypted) {
            return refuse("keys.retiring", open);
        }
        Ok(())
    }

    /// Where bundles are kept.
    pub fn evidence_dir(&self) -> PathBuf {
        let beside = || self.store.dir.with_file_name("evidence");
        self.store.evidence_dir.clone().unwrap_or_else(beside)
    }

    /// The other operators' daemons.
    pub fn peers(&self) -> Vec<Peer> {
        let urls = self.quorum.peers.iter().map(|peer| {
            let base = format!("{}/", peer.trim_end_matches('/'));
            base.parse().ok().map(|url| Peer { url })
        });
        urls.flatten().collect()
    }

    /// Where this machine reaches the HTTP server.
    pub fn own_url(&self) -> String {
        let scheme = match self.server.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.server.listen)
    }

    /// How often the head is asked for.
    pub const fn poll(&self) -> Duration {
        Duration::from_millis(self.chain.poll_ms)
    }

    fn anchor(&mut self, dir: &Path) {
        let anchor = |path: &mut PathBuf| *path = dir.join(&path);
        anchor(&mut self.chain.deployment);
        anchor(&mut self.store.dir);
        self.store.evidence_dir.as_mut().map(anchor);
        let keys = &mut self.keys;
        let verdict = keys.verdict.iter_mut().chain(&mut keys.retiring);
        for key in verdict.chain([&mut keys.gas]) {
            match key {
                Key::Env(_) | Key::Kms(_) => {}
                Key::File(path) => anchor(path),
                Key::Keystore {
                    path,
                    password_file,
                } => {
                    anchor(path);
                    anchor(password_file);
                }
            }
        }
        if let Some(bucket) = &mut self.evidence.bucket {
            bucket.credentials.as_mut().map(anchor);
        }
        if let Some(tls) = &mut self.server.tls {
            anchor(&mut tls.certificate);
            anchor(&mut tls.key);
        }
        self.trust.authorities.as_mut().map(anchor);
        if let Some(collateral) = &mut self.collateral {
            collateral.anchor(dir);
        }
        if let Some(simulated) = &mut self.trust.simulated {
            anchor(&mut simulated.nvidia_root);
            anchor(&mut simulated.amd_ark);
            anchor(&mut simulated.amd_ask);
        }
        for source in &mut self.evidence.sources {
            if let Some(path) = source.strip_prefix("dir:") {
                *source = format!("dir:{}", dir.join(path).display());
            }
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(
            !self.chain.endpoints.is_empty(),
            "chain.endpoints",
            "at least one",
            "none",
        )?;
        for (i, url) in self.chain.endpoints.iter().enumerate() {
            let known = ["http://", "https://", "ws://", "wss://"];
            let fits = known.iter().any(|scheme| url.starts_with(scheme));
            require(
                fits,
                format!("chain.endpoints[{i}]"),
                "http://, https://, ws:// or wss://",
                format!("{url:?}"),
            )?;
        }
        for (i, source) in self.evidence.sources.iter().enumerate() {
            let known = ["http://", "https://", "dir:"];
            let fits = known.iter().any(|scheme| source.starts_with(scheme));
            require(
                fits,
                format!("evidence.sources[{i}]"),
                "dir:/path, http:// or https://",
                format!("{source:?}"),
            )?;
        }
        if let Some(bucket) = &self.evidence.bucket {
            require(
                !bucket.name.is_empty() && !bucket.name.contains('/'),
                "evidence.bucket.name",
                "a bucket's name",
                format!("{:?}", bucket.name),
            )?;
            let endpoint = bucket.endpoint.as_deref().unwrap_or("https://");
            let fits = endpoint.starts_with("http://") || endpoint.starts_with("https://");
            require(
                fits,
                "evidence.bucket.endpoint",
                "http://host:port or https://host",
                format!("{endpoint:?}"),
            )?;
            require(
                self.store.evidence_dir.is_none(),
                "store.evidence_dir",
                "nothing beside evidence.bucket",
                "a directory",
            )?;
        }
        for (i, peer) in self.quorum.peers.iter().enumerate() {
            let fits = ["http://", "https://"]
                .iter()
                .any(|scheme| peer.starts_with(scheme));
            require(
                fits && peer.parse::<reqwest::Url>().is_ok(),
                format!("quorum.peers[{i}]"),
                "http://host:port/ or https://host/",
                format!("{peer:?}"),
            )?;
        }
        if let Some(url) = &self.store.url {
            let fits = url.starts_with("postgres://") || url.starts_with("postgresql://");
            require(fits, "store.url", "postgres://…", "another scheme")?;
        }
        if let Some(traces) = &self.traces {
            built_in(cfg!(feature = "otel"), "traces", "otel")?;
            let fits = ["http://", "https://"]
                .iter()
                .any(|scheme| traces.endpoint.starts_with(scheme));
            require(
                fits && traces.endpoint.parse::<reqwest::Url>().is_ok(),
                "traces.endpoint",
                "http://host:4318/v1/traces or https://…",
                format!("{:?}", traces.endpoint),
            )?;
            require(
                (0.0..=1.0).contains(&traces.ratio),
                "traces.ratio",
                "0 to 1",
                traces.ratio.to_string(),
            )?;
        }
        require(
            !self.keys.verdict.is_empty(),
            "keys.verdict",
            "at least one key",
            "none",
        )?;
        for (name, keys) in [
            ("keys.verdict", &self.keys.verdict[..]),
            ("keys.retiring", &self.keys.retiring),
            ("keys.gas", std::slice::from_ref(&self.keys.gas)),
        ] {
            if keys.iter().any(|key| matches!(key, Key::Kms(_))) {
                built_in(cfg!(feature = "kms"), name, "kms")?;
            }
        }
        let ranges = [
            ("chain.finality", self.chain.finality, 1, 1_000_000),
            (
                "chain.confirmations",
                self.chain.confirmations,
                0,
                self.chain.finality,
            ),
            ("chain.poll_ms", self.chain.poll_ms, 10, 600_000),
            ("chain.timeout_ms", self.chain.timeout_ms, 100, 600_000),
            (
                "evidence.max_bytes",
                self.evidence.max_bytes,
                1024,
                MAX_EVIDENCE_BYTES,
            ),
            (
                "evidence.timeout_ms",
                self.evidence.timeout_ms,
                100,
                600_000,
            ),
            ("store.keep_days", self.store.keep_days, 1, 100_000),
            ("quorum.timeout_ms", self.quorum.timeout_ms, 50, 60_000),
            ("quorum.stagger_ms", self.quorum.stagger_ms, 0, 600_000),
            (
                "submit.replace_after_ms",
                self.submit.replace_after_ms,
                100,
                3_600_000,
            ),
            (
                "submit.max_fee_gwei",
                self.submit.max_fee_gwei,
                1,
                1_000_000,
            ),
            ("server.workers", self.server.workers as u64, 1, 1024),
            (
                "server.requests_per_second",
                self.server.requests_per_second.into(),
                0,
                1_000_000,
            ),
            ("server.burst", self.server.burst.into(), 1, 1_000_000),
        ];
        for (key, found, least, most) in ranges {
            let fits = (least..=most).contains(&found);
            require(fits, key, format!("{least} to {most}"), found.to_string())?;
        }
        Ok(())
    }
}

fn require(
    holds: bool,
    key: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.into(),
        expected: expected.into(),
        found: found.into(),
    })
}

fn built_in(is: bool, key: impl Into<String>, feature: &'static str) -> Result<(), ConfigError> {
    if is {
        return Ok(());
    }
    let key = key.into();
    Err(ConfigError::NotBuiltIn { key, feature })
}

#[cfg(test)]
mod tests;
