//! The broker and the agent as processes that tests start and kill.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::oracle::daemon::tail;

/// How long a program may take for its next word.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that ends with its test.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Running {
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn();
        let mut child = started?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
            log: log.to_owned(),
        })
    }

    pub(super) async fn line(&mut self) -> Result<Option<String>> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        Ok(line.with_context(|| format!("silent; {}", tail(&self.log)))??)
    }
}

/// The owner's broker.
#[derive(Debug)]
pub struct Broker {
    pub(super) running: Running,
    pub(super) url: String,
}

impl Broker {
    /// SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.running.child.kill().await?)
    }
}

/// A session's agent.
#[derive(Debug)]
pub struct Agent {
    pub(super) running: Running,
    pub(super) said: PathBuf,
    /// Where a sealed result would be.
    pub result: PathBuf,
}

impl Agent {
    /// Waits for a step, and gives what was told of it.
    ///
    /// # Errors
    /// Where the agent ends before.
    pub async fn until(&mut self, step: &str) -> Result<Value> {
        while let Some(line) = self.running.line().await? {
            let mut said = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.said)?;
            writeln!(said, "{line}")?;
            let told: Value = serde_json::from_str(&line)?;
            if told["step"] == step {
                return Ok(told["details"].clone());
            }
        }
        bail!("ended before {step}: {}", tail(&self.running.log))
    }

    /// Waits until it serves; where.
    pub async fn serving(&mut self) -> Result<String> {
        let told = self.until("serving").await?;
        let address = told["address"].as_str().context("no address")?;
        Ok(format!("https://{address}"))
    }

    /// Waits for its next evidence; the digest.
    pub async fn evidence(&mut self) -> Result<String> {
        let told = self.until("evidence").await?;
        Ok(told["digest"].as_str().context("no digest")?.to_owned())
    }

    /// SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.running.child.kill().await?)
    }

    /// Waits for its end: whether it succeeded, and what it said of a failure.
    pub async fn end(mut self) -> Result<(bool, String)> {
        while self.running.line().await?.is_some() {}
        let status = self.running.child.wait().await?;
        Ok((status.success(), tail(&self.running.log)))
    }
}
