//! A broker's configuration: TOML, checked before anything starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::Address;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use vouch_client::{Deployment, Market, connect, is_development};
use vouch_evidence::Anchors;
use vouch_oracle::collateral;

use crate::release::Trust;
use crate::view::{Endpoints, Freshness};

/// Everything a broker is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The market.
    pub chain: Chain,
    /// The owner's accounts: a key is released for orders over *their* offers of the asset only.
    pub owners: Vec<Address>,
    /// Where evidence is found: `dir:PATH` or the base of an operator's server.
    pub evidence: Vec<String>,
    /// Keys and journal.
    pub store: Store,
    /// Whose word a release needs.
    #[serde(default)]
    pub trust: Trust,
    /// Where collateral comes from that bundles do not bring, as operators have it; without it, from nowhere.
    pub collateral: Option<collateral::Settings>,
    /// A simulator's roots, for development chains.
    pub simulated: Option<Simulated>,
    /// The HTTP server.
    #[serde(default)]
    pub server: Server,
}

/// `[chain]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The deployment's file.
    pub deployment: PathBuf,
    /// Endpoints, which must agree; two that are run by different people are best.
    pub endpoints: Vec<String>,
    /// Seconds that the newest block may be old.
    #[serde(default = "max_age")]
    pub max_age: u64,
    /// Blocks that endpoints may be apart.
    #[serde(default = "max_lag")]
    pub max_lag: u64,
    /// Milliseconds that an endpoint may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Folder of keys and journal.
    pub dir: PathBuf,
    /// File of the root key. Better on another disk.
    pub root_key: PathBuf,
    /// Folder of packs to serve, encrypted as they are.
    pub content: Option<PathBuf>,
}

/// `[simulated]`: certificates, DER.
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

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8650)),
        }
    }
}

const fn max_age() -> u64 {
    120
}

const fn max_lag() -> u64 {
    5
}

const fn timeout_ms() -> u64 {
    10_000
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
        let anchor = |path: &mut PathBuf| *path = dir.join(&path);
        anchor(&mut config.chain.deployment);
        anchor(&mut config.store.dir);
        anchor(&mut config.store.root_key);
        config.store.content.as_mut().map(anchor);
        if let Some(collateral) = &mut config.collateral {
            collateral.anchor(dir);
        }
        if let Some(simulated) = &mut config.simulated {
            anchor(&mut simulated.nvidia_root);
            anchor(&mut simulated.amd_ark);
            anchor(&mut simulated.amd_ask);
        }
        ensure!(
            !config.chain.endpoints.is_empty(),
            "chain.endpoints: expected at least one, found none"
        );
        ensure!(
            !config.owners.is_empty(),
            "owners: expected at least one account, found none"
        );
        ensure!(
            !config.evidence.is_empty(),
            "evidence: expected at least one source, found none"
        );
        ensure!(
            config.chain.max_age > 0,
            "chain.max_age: expected at least 1, found 0"
        );
        Ok(config)
    }

    /// Connects to every endpoint.
    ///
    /// # Errors
    /// Where one does not answer or serves another market.
    pub async fn endpoints(&self) -> Result<Endpoints> {
        let deployment = Deployment::load(&self.chain.deployment)?;
        let mut markets = Vec::new();
        for url in &self.chain.endpoints {
            let provider = connect(url, None).await.with_context(|| url.clone())?;
            let market = Market::open(&deployment, provider)
                .await
                .with_context(|| url.clone())?;
            markets.push((url.clone(), market));
        }
        Ok(Endpoints {
            markets,
            timeout: Duration::from_millis(self.chain.timeout_ms),
            fresh: Freshness {
                max_age: self.chain.max_age,
                max_lag: self.chain.max_lag,
                may_run_ahead: is_development(deployment.chain_id),
            },
        })
    }

    /// Whom evidence is checked against.
    ///
    /// # Errors
    /// Where a simulator's root is configured for a chain that is no development chain.
    pub fn anchors(&self, chain_id: u64) -> Result<Anchors> {
        let anchors = Anchors::vendor();
        let Some(simulated) = &self.simulated else {
            return Ok(anchors);
        };
        if !is_development(chain_id) {
            bail!(
                "simulated: expected a development chain (31337, 412346), found chain id {chain_id}"
            );
        }
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("reading {}", path.display()))
        };
        let roots = anchors.with_simulated(
            &read(&simulated.nvidia_root)?,
            &read(&simulated.amd_ark)?,
            &read(&simulated.amd_ask)?,
        );
        roots.map_err(|rejection| anyhow::anyhow!("simulated: {rejection}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../broker.example.toml");

    #[test]
    fn the_example_is_one_and_mistakes_are_named() {
        let parse = |text: &str| Config::parse(text, Path::new("folder"));
        let config = parse(EXAMPLE).unwrap();
        assert!(config.chain.deployment.starts_with("folder"));
        for (from, to, named) in [
            ("max_age = 120", "max_age = 0", "chain.max_age"),
            ("max_lag", "max_leg", "max_leg"),
            ("patience_ms", "patience", "patience"),
            ("\"both\"\n", "\"nobody\"\n", "nobody"),
            ("owners = [\"0x", "owners = []\n# [\"0x", "owners"),
            (
                "evidence = [\"https://oracle.example\"]",
                "evidence = []",
                "evidence",
            ),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = format!("{:#}", parse(&EXAMPLE.replace(from, to)).unwrap_err());
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}
