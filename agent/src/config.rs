//! An agent's configuration: TOML, checked before anything starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use vouch_client::is_development;

use crate::workload::Limits;

/// Everything an agent is told. What the order says is not repeated here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The market.
    pub chain: Chain,
    /// Base of the server that evidence is left at for the operators.
    pub evidence: String,
    /// Where packs are published: `dir:PATH` or URLs.
    pub content: Vec<String>,
    /// Owners' brokers.
    pub brokers: Vec<String>,
    /// What runs.
    pub workload: Workload,
    /// A model behind an API. Needed where a policy allows nothing else.
    pub serve: Option<Serve>,
    /// The hardware.
    pub backend: Backend,
    /// Seconds between heartbeats, evidence that the session still runs; without it, none. Each costs the gas of an
    /// announcement, and one that operators reject ends the order.
    pub heartbeat_seconds: Option<u64>,
    /// File for the sealed result.
    pub result: PathBuf,
    /// Folder for encrypted packs on their way.
    pub cache: PathBuf,
}

/// `[chain]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The deployment's file.
    pub deployment: PathBuf,
    /// JSON-RPC endpoint.
    pub endpoint: String,
    /// The provider's account, which announces evidence.
    pub key: Key,
    /// Milliseconds between looks at the order.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
}

/// Where the provider's key is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub enum Key {
    /// An environment variable, on development chains.
    Env {
        /// Its name.
        env: String,
    },
    /// An encrypted keystore (Web3 Secret Storage, version 3).
    Keystore {
        /// The file.
        keystore: PathBuf,
        /// File of its password.
        password_file: PathBuf,
    },
}

/// `[workload]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The WASI module, or the folder of an OCI bundle.
    pub file: PathBuf,
    /// SHA-256 that the module or the bundle's archive has to have. Needed where it lies outside of the
    /// measured image.
    pub digest: Option<B256>,
    /// The container runtime; else the first of `runc` and `crun` that is installed.
    pub runtime: Option<PathBuf>,
    /// Its arguments, after its name.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Units of work.
    pub fuel: Option<u64>,
    /// Seconds on the clock; never more than the order allows.
    pub seconds: Option<u64>,
}

/// `[serve]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Where the session listens. Has to be reachable by the buyer.
    pub listen: std::net::SocketAddr,
    /// Arguments of the workload that answers, after its name. It finds `/in/model` and `/in/request`,
    /// and writes `/out/response`.
    pub arguments: Vec<String>,
    /// What is served as `/in/model`.
    pub model: Model,
    /// Calls until the session goes on to its end; never more than the policies' rows, of which each answer
    /// is at least one.
    pub calls: u64,
    /// Seconds after which it does so anyway; never more than the policies and the order allow.
    pub seconds: u64,
}

/// A model to be served, by its file in the workload's world.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Model {
    /// `/out/NAME`: trained in this session.
    Trained(String),
    /// `/in/NAME`: an input. There is nothing to train then.
    Hosted(String),
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let named = |prefix| path.strip_prefix(prefix).filter(|name| !name.is_empty());
        match (named("/out/"), named("/in/")) {
            (Some(name), _) => Ok(Self::Trained(name.to_owned())),
            (_, Some(name)) => Ok(Self::Hosted(name.to_owned())),
            _ => Err(format!("expected /out/NAME or /in/NAME, found {path:?}")),
        }
    }
}

impl Workload {
    /// The machine's own limits.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory.unwrap_or(default.memory),
            fuel: self.fuel.unwrap_or(default.fuel),
            time: match self.seconds {
                Some(seconds) => Duration::from_secs(seconds).into(),
                None => default.time,
            },
            ..default
        }
    }
}

/// `[backend]`: what vouches for the session.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Backend {
    /// Simulated hardware, on development chains.
    Simulator {
        /// The same name, the same devices.
        machine: String,
        /// The lie to tell.
        tamper: Option<String>,
    },
    /// The processor alone, through Linux's configfs-tsm.
    ConfigfsTsm,
    /// NVIDIA's GPUs through NVML, and the processor over them as with `configfs-tsm`.
    Nvml {
        /// NVIDIA's library, where the loader does not find it.
        library: Option<PathBuf>,
    },
}

const fn poll_ms() -> u64 {
    500
}

impl Config {
    /// Reads a configuration. Relative paths become paths from the file's folder.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, dir).with_context(|| path.display().to_string())
    }

    /// Checks a configuration whose relative paths start at a folder.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str, dir: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        for path in [
            &mut config.chain.deployment,
            &mut config.workload.file,
            &mut config.result,
            &mut config.cache,
        ] {
            *path = dir.join(&path);
        }
        ensure!(
            !config.content.is_empty(),
            "content: expected at least one source, found none"
        );
        ensure!(
            config.heartbeat_seconds != Some(0),
            "heartbeat_seconds: expected at least 1, found 0"
        );
        ensure!(
            !config.brokers.is_empty(),
            "brokers: expected at least one, found none"
        );
        Ok(config)
    }

    /// The provider's account on a chain.
    ///
    /// # Errors
    /// Where the key cannot be had, or may not be used there.
    pub fn signer(&self, chain_id: u64) -> Result<PrivateKeySigner> {
        match &self.chain.key {
            Key::Env { env } => {
                ensure!(
                    is_development(chain_id),
                    "chain.key: expected a keystore, found an environment variable; chain id {chain_id} is no development chain"
                );
                let text =
                    std::env::var(env).with_context(|| format!("chain.key: variable {env}"))?;
                // The text is a secret: it is not repeated.
                text.trim().parse().map_err(|_| {
                    anyhow::anyhow!("chain.key: variable {env}: expected 64 hex digits")
                })
            }
            Key::Keystore {
                keystore,
                password_file,
            } => {
                let text = std::fs::read_to_string(password_file)
                    .with_context(|| format!("chain.key: reading {}", password_file.display()))?;
                let password = text.lines().next().unwrap_or_default();
                PrivateKeySigner::decrypt_keystore(keystore, password)
                    .with_context(|| format!("chain.key: keystore {}", keystore.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../agent.example.toml");

    #[test]
    fn the_example_is_one_and_mistakes_are_named() {
        let parse = |text: &str| Config::parse(text, Path::new("folder"));
        let config = parse(EXAMPLE).unwrap();
        assert!(config.chain.deployment.starts_with("folder"));
        for (from, to, named) in [
            ("\"configfs-tsm\"", "\"hope\"", "hope"),
            (
                "brokers = [\"https://owner.example\"]",
                "brokers = []",
                "brokers",
            ),
            ("seconds", "minutes", "minutes"),
            (
                "heartbeat_seconds = 600",
                "heartbeat_seconds = 0",
                "heartbeat_seconds",
            ),
            ("password_file", "password", "key"),
            ("\"/out/model\"", "\"model\"", "/out/NAME or /in/NAME"),
            ("calls", "questions", "questions"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = format!("{:#}", parse(&EXAMPLE.replace(from, to)).unwrap_err());
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
