//! The real tools, and what to do where one is missing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::paths;

/// How long a tool may take. `cargo stylus` builds a contract in that time.
const LIMIT: Duration = Duration::from_secs(200);

/// What a tool said.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Both streams, for messages and for what tools print on either.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A tool on this machine.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
    leading: Vec<String>,
}

impl Tool {
    /// A Foundry tool: npm's native binary, without the script that wraps it (killing that script
    /// would leave the binary running), or else the one in `PATH`.
    pub fn foundry(name: &str) -> Option<Self> {
        let modules = paths::root().join("tests/js/node_modules/@foundry-rs");
        let platform = format!("{name}-{}-{}", os(), architecture());
        let native = modules.join(platform).join("bin").join(name);
        Self::at(native)
            .or_else(|| Self::in_path(name))
            .or_else(|| missing(name))
    }

    /// Node, with the packages of `tests/js`.
    pub fn node() -> Option<Self> {
        let packages = paths::root().join("tests/js/node_modules/viem");
        let node = if packages.is_dir() {
            Self::in_path("node")
        } else {
            None
        };
        node.or_else(|| missing("node with the packages of tests/js"))
    }

    /// `cargo stylus`, called as cargo calls it.
    pub fn cargo_stylus() -> Option<Self> {
        let tool = Self::in_path("cargo-stylus").or_else(|| missing("cargo-stylus"))?;
        Some(Self {
            leading: vec!["stylus".into()],
            ..tool
        })
    }

    /// Schemathesis, which not every machine can have: without it, a message and nothing.
    pub fn schemathesis() -> Option<Self> {
        let found = Self::in_path("schemathesis");
        if found.is_none() {
            eprintln!("SKIPPED: schemathesis is not installed: run scripts/setup --tests");
        }
        found
    }

    /// A stand-in for the services of a cloud.
    pub fn moto() -> Option<Self> {
        Self::in_path("moto_server").or_else(|| missing("moto"))
    }

    /// A binary of this workspace.
    pub fn own(name: &str) -> Result<Self> {
        Ok(Self {
            program: paths::binary(name)?,
            leading: Vec::new(),
        })
    }

    /// Where the tool is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs the tool in `dir` to its end.
    pub async fn run_in(&self, dir: &Path, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.leading)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let shown = || format!("{} {}", self.program.display(), arguments.join(" "));
        let done = tokio::time::timeout(LIMIT, command.output());
        let output = done
            .await
            .with_context(|| format!("{} took over {LIMIT:?}", shown()))?;
        let output = output.with_context(|| format!("starting {}", shown()))?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs the tool at the repository's root and gives its standard output; anything but success
    /// is an error that shows what the tool said.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run_in(paths::root(), arguments).await?;
        if !output.success {
            bail!(
                "{} {} failed:\n{}",
                self.program.display(),
                arguments.join(" "),
                output.text()
            );
        }
        Ok(output.stdout)
    }

    fn at(program: PathBuf) -> Option<Self> {
        program.is_file().then_some(Self {
            program,
            leading: Vec::new(),
        })
    }

    fn in_path(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find_map(|dir| Self::at(dir.join(name)))
    }
}

/// Says that a tool is missing; where `CI=true`, that is a failure.
fn missing<T>(name: &str) -> Option<T> {
    let message = format!("{name} is not installed: run scripts/setup --tests");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("SKIPPED: {message}");
    None
}

fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
