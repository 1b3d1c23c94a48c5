//! The chain, the oracle, the owners' brokers and the agent, as child processes that end with the demo.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a child may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Lines of a child's log that an error shows.
const LOG_LINES: usize = 15;

/// A running child. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; its standard error goes to a file in `dir`.
    fn start(
        name: &'static str,
        program: &Path,
        dir: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        if !program.is_file() {
            bail!(not_built(program));
        }
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true);
        configure(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name, child, log })
    }

    /// An error where the process has ended, with the end of its log.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
        }
    }

    /// Ends the process at once, as a failing machine would.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("killing {}", self.name))
    }

    /// An error about the process, with the end of its log.
    pub(super) fn failure(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
        match end.is_empty() {
            true => anyhow!("{} {what}", self.name),
            false => anyhow!("{} {what}; its log ends:\n  {end}", self.name),
        }
    }
}

fn not_built(program: &Path) -> String {
    format!(
        "{} is not built: run ./scripts/demo, or `cargo build --bins` and name the directory with --bin-dir",
        program.display()
    )
}

/// The chain.
#[derive(Debug)]
pub(super) struct Devnet {
    pub(super) process: Process,
    address: String,
}

impl Devnet {
    /// Starts `vouch-devnet` on a free port, with this many accounts.
    pub(super) async fn start(bin_dir: &Path, dir: &Path, accounts: usize) -> Result<Self> {
        let program = bin_dir.join("vouch-devnet");
        let mut process = Process::start("vouch-devnet", &program, dir, |command| {
            command.args(["--host", "127.0.0.1", "--port", "0", "--silent"]);
            command.args(["--accounts", &accounts.to_string()]);
        })?;
        let address = listening(&mut process).await?;
        Ok(Self { process, address })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

/// Waits until a child says where it listens.
async fn listening(process: &mut Process) -> Result<String> {
    let stdout = process
        .child
        .stdout
        .take()
        .context("a child has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.trim().strip_prefix("Listening on ") {
                return Ok(Some(address.to_owned()));
            }
        }
        Ok::<_, std::io::Error>(None)
    };
    let address = match tokio::time::timeout(START_LIMIT, listening).await {
        Ok(answer) => answer?.ok_or_else(|| process.failure("ended before it listened"))?,
        Err(_) => return Err(process.failure("did not listen in time")),
    };
    // A full pipe would stop the child.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(address)
}

/// An operator's daemon.
#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) process: Process,
    /// Base of its HTTP interface.
    pub(super) url: String,
}

/// What the operators' daemons are started with.
#[derive(Debug)]
pub(super) struct OracleSetup<'a> {
    pub(super) chain: &'a Devnet,
    pub(super) deployment: &'a Path,
    /// One for each operator, hex: each signs verdicts and pays for its transactions.
    pub(super) keys: &'a [String],
}

impl Oracle {
    /// Starts a `vouch-oracle` for each operator on free ports and waits until all follow the chain.
    pub(super) async fn start_all(
        bin_dir: &Path,
        dir: &Path,
        setup: &OracleSetup<'_>,
    ) -> Result<Vec<Self>> {
        let ports = free_ports(setup.keys.len())?;
        let program = bin_dir.join("vouch-oracle");
        let mut oracles = Vec::with_capacity(ports.len());
        for (i, key) in setup.keys.iter().enumerate() {
            let home = dir.join(format!("operator-{}", i + 1));
            std::fs::create_dir(&home).with_context(|| format!("creating {}", home.display()))?;
            let config = home.join("oracle.toml");
            write_config(&config, &home, setup, &ports, i)?;
            let process = Process::start("vouch-oracle", &program, &home, |command| {
                command
                    .arg("run")
                    .arg("--config")
                    .arg(&config)
                    .stdout(Stdio::null());
                command.env("NO_COLOR", "1").env("VOUCH_DEMO_OPERATOR", key);
            })?;
            let url = format!("http://127.0.0.1:{}", ports[i]);
            oracles.push(Self { process, url });
        }
        for oracle in &mut oracles {
            oracle.ready().await?;
        }
        Ok(oracles)
    }

    async fn ready(&mut self) -> Result<()> {
        let ready = format!("{}/readyz", self.url);
        let http = reqwest::Client::new();
        let begun = Instant::now();
        loop {
            self.process.ensure_running()?;
            let answer = http
                .get(&ready)
                .timeout(Duration::from_secs(1))
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if begun.elapsed() > START_LIMIT {
                return Err(self.process.failure("was not ready in time"));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

/// An owner's broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) process: Process,
    /// Base of its HTTP interface.
    pub(super) url: String,
    /// Its configuration, for other commands.
    pub(super) config: PathBuf,
    /// The asset whose key it holds.
    pub(super) asset: alloy::primitives::B256,
    program: PathBuf,
}

/// What a broker is started with.
#[derive(Debug)]
pub(super) struct BrokerSetup<'a> {
    pub(super) name: &'static str,
    pub(super) chain: &'a Devnet,
    pub(super) deployment: &'a Path,
    pub(super) oracle: &'a str,
    /// Whose offers of the asset count.
    pub(super) owner: alloy::primitives::Address,
    /// The asset, and the file of its content key.
    pub(super) asset: (alloy::primitives::B256, &'a Path),
    /// Packs that it publishes.
    pub(super) content: &'a Path,
}

impl Broker {
    /// Makes a broker's root key, imports the asset's content key, and starts the broker.
    pub(super) async fn start(bin_dir: &Path, dir: &Path, setup: &BrokerSetup<'_>) -> Result<Self> {
        let program = bin_dir.join("vouch-broker");
        let own = dir.join(setup.name);
        std::fs::create_dir(&own).with_context(|| format!("creating {}", own.display()))?;
        let mut roots = String::new();
        for (name, der) in crate::simulate::root_files() {
            let file = own.join(name);
            std::fs::write(&file, der).with_context(|| format!("writing {}", file.display()))?;
            let key = name.trim_end_matches(".der").replace('-', "_");
            roots.push_str(&format!("{key} = {name:?}\n"));
        }
        let config = own.join("broker.toml");
        // Two endpoints must agree: here the node's two interfaces stand for two nodes.
        let text = format!(
            "owners = [\"{owner}\"]\nevidence = [{oracle:?}]\n\
             [chain]\ndeployment = {deployment:?}\nendpoints = [{ws:?}, {http:?}]\n\
             [store]\ndir = \"store\"\nroot_key = \"root.key\"\ncontent = {content:?}\n\
             [simulated]\n{roots}\
             [server]\nlisten = \"127.0.0.1:0\"\n",
            owner = setup.owner,
            oracle = setup.oracle,
            deployment = setup.deployment,
            ws = setup.chain.ws_url(),
            http = setup.chain.url(),
            content = setup.content,
        );
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let asset = setup.asset.0.to_string();
        let key = setup.asset.1.display().to_string();
        command(&program, &config, &["init"]).await?;
        command(&program, &config, &["import", &asset, "--key", &key]).await?;
        std::fs::remove_file(setup.asset.1).context("removing an imported key's file")?;
        let mut process = Process::start(setup.name, &program, dir, |command| {
            command
                .arg("run")
                .arg("--config")
                .arg(&config)
                .env("NO_COLOR", "1");
        })?;
        let address = listening(&mut process).await?;
        let url = format!("http://{address}");
        Ok(Self {
            process,
            url,
            config,
            asset: setup.asset.0,
            program,
        })
    }

    /// What another command of the broker prints.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<String> {
        command(&self.program, &self.config, arguments).await
    }
}

/// Runs a command of a broker to its end.
async fn command(program: &Path, config: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .kill_on_drop(true);
    let output = command.output().await.with_context(|| not_built(program))?;
    if !output.status.success() {
        bail!(
            "{} {arguments:?}: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The agent inside the simulated machine.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) process: Process,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

/// A step that the agent tells of.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AgentStep {
    pub(super) step: String,
    pub(super) details: serde_json::Value,
}

/// What the agent is started with.
#[derive(Debug)]
pub(super) struct AgentSetup<'a> {
    pub(super) chain: &'a Devnet,
    pub(super) deployment: &'a Path,
    pub(super) oracle: &'a str,
    pub(super) brokers: [&'a str; 2],
    pub(super) workload: &'a Path,
    pub(super) tamper: Option<vouch_simulator::Tamper>,
    /// The model behind an API, for one call.
    pub(super) serve: bool,
    pub(super) key: &'a str,
    pub(super) order: alloy::primitives::B256,
    /// Where the sealed result goes.
    pub(super) result: &'a Path,
}

impl Agent {
    /// Starts `vouch-agent` on an order.
    pub(super) fn start(bin_dir: &Path, dir: &Path, setup: &AgentSetup<'_>) -> Result<Self> {
        let config = dir.join("agent.toml");
        let [one, two] = setup.brokers;
        let serve = match setup.serve {
            true => {
                "[serve]\nlisten = \"127.0.0.1:0\"\narguments = [\"infer\"]\nmodel = \"/out/model\"\ncalls = 1\nseconds = 60\n"
            }
            false => "",
        };
        let tamper = setup
            .tamper
            .map_or(String::new(), |tamper| format!("tamper = \"{tamper}\"\n"));
        let text = format!(
            "evidence = {oracle:?}\nbrokers = [{one:?}, {two:?}]\n\
             content = [\"{one}/v1/content\", \"{two}/v1/content\"]\n\
             result = {result:?}\ncache = \"agent-cache\"\n\
             [chain]\ndeployment = {deployment:?}\nendpoint = {endpoint:?}\n\
             key = {{ env = \"VOUCH_DEMO_PROVIDER\" }}\npoll_ms = 25\n\
             [workload]\nfile = {workload:?}\narguments = [\"train\"]\n\
             {serve}[backend]\nkind = \"simulator\"\nmachine = \"vouch demo\"\n{tamper}",
            oracle = setup.oracle,
            result = setup.result,
            deployment = setup.deployment,
            endpoint = setup.chain.ws_url(),
            workload = setup.workload,
        );
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let program = bin_dir.join("vouch-agent");
        let mut process = Process::start("vouch-agent", &program, dir, |command| {
            command
                .arg("run")
                .arg(setup.order.to_string())
                .arg("--config")
                .arg(&config)
                .arg("--json");
            command.env("VOUCH_DEMO_PROVIDER", setup.key);
        })?;
        let stdout = process
            .child
            .stdout
            .take()
            .context("vouch-agent has no standard output")?;
        Ok(Self {
            process,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The next step; none where the agent has ended.
    pub(super) async fn next(&mut self) -> Result<Option<AgentStep>> {
        let line = tokio::time::timeout(START_LIMIT, self.lines.next_line()).await;
        let Ok(line) = line else {
            return Err(self.process.failure("said nothing for a minute"));
        };
        let Some(line) = line? else { return Ok(None) };
        let step =
            serde_json::from_str(&line).with_context(|| format!("vouch-agent said {line:?}"))?;
        Ok(Some(step))
    }

    /// Waits for the agent's end, which may be a failure.
    pub(super) async fn end(mut self) -> Result<bool> {
        while self.next().await?.is_some() {}
        Ok(self.process.child.wait().await?.success())
    }

    /// Waits for the agent's end; anything but success is an error with the end of its log.
    pub(super) async fn finish(mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        let status = self.process.child.wait().await?;
        match status.success() {
            true => Ok(()),
            false => Err(self.process.failure(&format!("ended with {status}"))),
        }
    }
}

fn write_config(
    path: &Path,
    dir: &Path,
    setup: &OracleSetup<'_>,
    ports: &[u16],
    own: usize,
) -> Result<()> {
    let mut roots = String::new();
    for (name, der) in crate::simulate::root_files() {
        let file = dir.join(name);
        std::fs::write(&file, der).with_context(|| format!("writing {}", file.display()))?;
        let key = name.trim_end_matches(".der").replace('-', "_");
        roots.push_str(&format!("{key} = {name:?}\n"));
    }
    // The others are peers of the quorum, and sources of evidence: it is put to one of them.
    let others: Vec<String> = (0..ports.len())
        .filter(|i| *i != own)
        .map(|i| format!("http://127.0.0.1:{}/", ports[i]))
        .collect();
    let text = format!(
        r#"[chain]
deployment = {deployment:?}
endpoints = [{ws:?}, {http:?}]
poll_ms = 50

[keys]
verdict = [{{ env = "VOUCH_DEMO_OPERATOR" }}]
gas = {{ env = "VOUCH_DEMO_OPERATOR" }}

[store]
dir = "db"

[evidence]
sources = {others:?}

[quorum]
peers = {others:?}

[trust.simulated]
{roots}
[server]
listen = "127.0.0.1:{port}"
"#,
        deployment = setup.deployment,
        ws = setup.chain.ws_url(),
        http = setup.chain.url(),
        port = ports[own],
    );
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Ports that differ: all are held until the last is found.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .context("finding free ports")?;
    let port = |listener: &TcpListener| Ok(listener.local_addr()?.port());
    listeners.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_program_says_how_to_build_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = Devnet::start(dir.path(), dir.path(), 1)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("--bin-dir"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_ends_is_an_error_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Path::new("/bin/sh");
        let mut process = Process::start("child", shell, dir.path(), |command| {
            command.args(["-c", "echo what went wrong >&2; exit 3"]);
        })
        .unwrap();
        process.child.wait().await.unwrap();
        let error = process.ensure_running().unwrap_err().to_string();
        assert!(
            error.contains("what went wrong") && error.contains('3'),
            "{error}"
        );
    }
}
