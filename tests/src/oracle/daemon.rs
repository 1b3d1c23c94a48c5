//! `vouch-oracle` as a process that tests start and kill.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::fair::Fair;
use crate::paths;

/// How long the daemon may take until it follows the chain.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One operator's daemon: what it is started with.
#[derive(Clone, Debug)]
pub struct Plan {
    name: String,
    dir: PathBuf,
    /// Port of its HTTP server.
    pub port: u16,
    /// Who signs.
    pub keys: Vec<PrivateKeySigner>,
    /// Who pays.
    pub gas: PrivateKeySigner,
    /// Where the chain is.
    pub endpoints: Vec<String>,
    /// A shared store.
    pub store: Option<String>,
    /// Other operators.
    pub peers: Vec<String>,
    /// How long an endpoint may take to answer.
    pub timeout_ms: u64,
    /// The section `[evidence.bucket]`, where its evidence is in one.
    pub bucket: Option<String>,
    /// Where its database and evidence are, in the test's directory.
    pub data: String,
    /// More lines of the configuration, whole sections.
    pub extra: String,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// The authority (PEM) of its certificate where `extra` gives it one: then it is asked over TLS.
    pub authority: Option<String>,
    /// A command that runs the daemon: program and arguments before it.
    pub within: Vec<String>,
}

impl Plan {
    /// A daemon that signs with `keys`.
    pub fn new(fair: &Fair, name: &str, keys: Vec<PrivateKeySigner>) -> Result<Self> {
        let endpoints = vec![fair.node.ws_url(), fair.node.url()];
        Self::within(fair.path(), name, keys, endpoints)
    }

    /// A daemon that has its files in `dir`, where the deployment is too.
    pub fn within(
        dir: &Path,
        name: &str,
        keys: Vec<PrivateKeySigner>,
        endpoints: Vec<String>,
    ) -> Result<Self> {
        let gas = keys.first().cloned().context("a daemon without a key")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a port")?;
        Ok(Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            port: listener.local_addr()?.port(),
            keys,
            gas,
            endpoints,
            store: None,
            peers: Vec::new(),
            timeout_ms: 10_000,
            bucket: None,
            data: ".".to_owned(),
            extra: String::new(),
            env: Vec::new(),
            authority: None,
            within: Vec::new(),
        })
    }

    /// Base of its HTTP interface.
    pub fn url(&self) -> String {
        let scheme = match self.authority {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// A client that believes its certificate's authority, and no other.
    pub fn client(&self) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder();
        if let Some(authority) = &self.authority {
            let authority = reqwest::Certificate::from_pem(authority.as_bytes())?;
            builder = builder.tls_certs_only([authority]);
        }
        Ok(builder.build()?)
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// Its embedded database.
    pub fn database(&self) -> PathBuf {
        self.dir.join(format!("db-{}", self.name))
    }

    /// Its configuration's file, written.
    pub fn write(&self) -> Result<PathBuf> {
        let roots = vouch_simulator::roots();
        let files: [(&str, &[u8]); 3] = [
            ("nvidia_root", &roots.nvidia),
            ("amd_ark", roots.amd_ark),
            ("amd_ask", roots.amd_ask),
        ];
        let mut simulated = String::new();
        for (key, der) in files {
            std::fs::write(self.dir.join(key), der).context("writing a root")?;
            simulated.push_str(&format!("{key} = {key:?}\n"));
        }
        // In files, so that they can be changed while the daemon runs.
        let mut keys = Vec::new();
        for (i, key) in self.keys.iter().chain([&self.gas]).enumerate() {
            let file = format!("{}.key-{i}", self.name);
            std::fs::write(self.dir.join(&file), hex::encode(key.to_bytes()))
                .context("writing a key")?;
            keys.push(format!("{{ file = {file:?} }}"));
        }
        let gas = keys.pop().unwrap_or_default();
        let url = self.store.as_ref().map(|url| format!("url = {url:?}\n"));
        let evidence = match (&self.bucket, &self.store) {
            (Some(_), _) => String::new(),
            (None, Some(_)) => "evidence_dir = \"evidence\"\n".to_owned(),
            (None, None) => format!("evidence_dir = \"{}/evidence-{}\"\n", self.data, self.name),
        };
        let store = url.unwrap_or_default() + &evidence;
        let text = format!(
            "[chain]\ndeployment = \"31337.json\"\nendpoints = {endpoints:?}\npoll_ms = 50\ntimeout_ms = {timeout_ms}\n\
             [keys]\nverdict = [{keys}]\ngas = {gas}\n\
             [store]\ndir = \"{data}/db-{name}\"\n{store}\
             [evidence]\nsources = [\"dir:bundles\"]\n{bucket}\
             [quorum]\npeers = {peers:?}\nstagger_ms = 300\ntimeout_ms = 500\n\
             [trust.simulated]\n{simulated}\
             [server]\nlisten = \"127.0.0.1:{port}\"\n{extra}",
            endpoints = self.endpoints,
            keys = keys.join(", "),
            name = self.name,
            data = self.data,
            bucket = self.bucket.as_deref().unwrap_or_default(),
            peers = self.peers,
            port = self.port,
            timeout_ms = self.timeout_ms,
            extra = self.extra,
        );
        let path = self.dir.join(format!("{}.toml", self.name));
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The command that starts the daemon. Dropping what it starts kills it.
    pub fn command(&self) -> Result<Command> {
        let config = self.write()?;
        let program = paths::binary("vouch-oracle")?;
        let mut command = match &self.within[..] {
            [] => Command::new(program),
            [outer, args @ ..] => {
                let mut command = Command::new(outer);
                command.args(args).arg(program);
                command
            }
        };
        command
            .args(["run", "--config"])
            .arg(&config)
            .env("NO_COLOR", "1")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Starts the daemon. Its standard error goes to its log, and to who follows.
    pub async fn start(&self) -> Result<Daemon> {
        let mut command = self.command()?;
        command.stderr(Stdio::piped());
        let mut child = command.spawn().context("starting vouch-oracle")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (lines, seen) = mpsc::unbounded_channel();
        let log = self.log();
        tokio::spawn(async move {
            let open = tokio::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
                .await;
            let mut file = open.ok();
            let mut read = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = read.next_line().await {
                if let Some(file) = &mut file {
                    let _ = file.write_all(format!("{line}\n").as_bytes()).await;
                }
                // Nobody may be listening any more.
                let _ = lines.send(line);
            }
        });
        Ok(Daemon {
            child,
            seen,
            url: self.url(),
            http: self.client()?,
            log: self.log(),
        })
    }
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    seen: mpsc::UnboundedReceiver<String>,
    url: String,
    http: reqwest::Client,
    log: PathBuf,
}

impl Daemon {
    /// Waits until it follows the chain.
    pub async fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("vouch-oracle ended with {status}:\n{}", tail(&self.log));
            }
            if self
                .http
                .get(format!("{}/readyz", self.url))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if begun.elapsed() > START_LIMIT {
                bail!("vouch-oracle is not ready:\n{}", tail(&self.log));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits for a line of its log that contains `text`, after the one that was waited for before, at most
    /// `limit`. Says whether it came.
    pub async fn says(&mut self, text: &str, limit: Duration) -> bool {
        let waiting = async {
            while let Some(line) = self.seen.recv().await {
                if line.contains(text) {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(limit, waiting).await.unwrap_or(false)
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("vouch-oracle has ended")
    }

    /// SIGHUP: it reads its keys and certificate again.
    pub async fn reload(&self) -> Result<()> {
        let pid = self.pid()?.to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status().await?;
        ensure!(sent.success(), "kill -HUP {pid}: {sent}");
        Ok(())
    }

    /// SIGKILL. What it had not written is lost.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("vouch-oracle had ended with {status}:\n{}", tail(&self.log));
        }
        self.child.kill().await.context("killing vouch-oracle")
    }

    /// What it answers to `GET`.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let answer = self.http.get(&url).send().await;
        let answer = answer.with_context(|| url.clone())?;
        answer.json().await.with_context(|| url)
    }
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
