//! A chain that lives as long as its test: stock Anvil or `vouch-devnet`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::rpc::Rpc;
use crate::tools::Tool;

/// How long a node may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The development mnemonic's first accounts: address and private key.
pub const ACCOUNTS: [(&str, &str); 3] = [
    (
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    ),
    (
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    ),
    (
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ),
];

/// A running node. Dropping it ends the process.
#[derive(Debug)]
pub struct Node {
    // Held for its drop, which kills the process.
    _child: Child,
    /// `host:port` it listens on.
    address: String,
    /// JSON-RPC over HTTP.
    pub rpc: Rpc,
}

impl Node {
    /// Our node, with further flags.
    pub async fn devnet(flags: &[&str]) -> Result<Self> {
        Self::start(&Tool::own("vouch-devnet")?, flags).await
    }

    /// Starts `tool` on a free port. Both nodes print `Listening on host:port` once they do.
    pub async fn start(tool: &Tool, flags: &[&str]) -> Result<Self> {
        let name = tool.program().display().to_string();
        let mut child = Command::new(tool.program())
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let stdout = child
            .stdout
            .take()
            .context("the node has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.trim().strip_prefix("Listening on ") {
                    return Ok(address.to_owned());
                }
            }
            bail!("{name} ended before it listened")
        };
        let address = tokio::time::timeout(START_LIMIT, listening)
            .await
            .with_context(|| format!("{name} did not listen within {START_LIMIT:?}"))??;
        // A full pipe would stop the node.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let rpc = Rpc::new(format!("http://{address}"))?;
        Ok(Self {
            _child: child,
            address,
            rpc,
        })
    }

    /// The address for HTTP clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address for WebSocket clients.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }
}
