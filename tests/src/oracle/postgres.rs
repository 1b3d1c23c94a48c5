//! A private `PostgreSQL` server, made of the programs that are installed.

use std::fs::Permissions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The server, with a database of its own. Ends with its value.
#[derive(Debug)]
pub struct Server {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server; none, with a message, where `PostgreSQL` is not installed. Under `CI` that is an
    /// error.
    pub fn start() -> Result<Option<Self>> {
        let Some(bin) = programs() else {
            if std::env::var_os("CI").is_some() {
                bail!("PostgreSQL is not installed: scripts/setup --tests");
            }
            eprintln!("SKIPPED: PostgreSQL is not installed: scripts/setup --tests");
            return Ok(None);
        };
        let dir = tempfile::Builder::new()
            .prefix("vouch-pg-")
            .tempdir()
            .context("making a directory")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a port")?;
        let port = listener.local_addr()?.port();
        drop(listener);
        if let Some(user) = unprivileged() {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(user))
                .context("giving the server its directory")?;
        }
        let server = Self { dir, bin, port };
        let data = server.data();
        let data = data.to_string_lossy();
        server.run(
            "initdb",
            &["-D", &data, "-U", "vouch", "-A", "trust", "--no-sync"],
        )?;
        server.up()?;
        Ok(Some(server))
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        format!("postgres://vouch@127.0.0.1:{}/postgres", self.port)
    }

    /// The address of a new database on the server.
    pub fn database(&self, name: &str) -> Result<String> {
        let port = self.port.to_string();
        self.run(
            "createdb",
            &["-h", "127.0.0.1", "-p", &port, "-U", "vouch", name],
        )?;
        Ok(format!("postgres://vouch@127.0.0.1:{}/{name}", self.port))
    }

    /// Gives it a certificate and its key, and has it turn away whoever comes without encryption.
    pub fn encrypt(&self, certificate: &Path, key: &Path) -> Result<()> {
        let data = self.data();
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = data.join(name);
            std::fs::copy(from, &to).context("copying")?;
            std::fs::set_permissions(&to, Permissions::from_mode(0o600))?;
            if let Some(user) = unprivileged() {
                std::os::unix::fs::chown(&to, Some(user), Some(user))?;
            }
        }
        let rule = "hostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rule)?;
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n")?;
        self.crash()
    }

    /// Cuts every connection without notice, as a crash does, and starts again.
    pub fn crash(&self) -> Result<()> {
        self.stop()?;
        self.up()
    }

    /// Starts it, after [`Self::stop`].
    pub fn up(&self) -> Result<()> {
        let (data, log) = (self.data(), self.dir.path().join("log"));
        let options = format!("-p {} -h 127.0.0.1 -k '' -c max_connections=200", self.port);
        let (data, log) = (data.to_string_lossy(), log.to_string_lossy());
        let limit = START_LIMIT.as_secs().to_string();
        let arguments = [
            "-D", &data, "-l", &log, "-o", &options, "-w", "-t", &limit, "start",
        ];
        let begun = Instant::now();
        // A port of a server that was cut off is not free at once.
        loop {
            match self.run("pg_ctl", &arguments) {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > START_LIMIT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Stops it without notice.
    pub fn stop(&self) -> Result<()> {
        let data = self.data();
        let data = data.to_string_lossy();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"])
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let said = self.dir.path().join("said");
        let file = std::fs::File::create(&said).context("making a file")?;
        command.stderr(file);
        if let Some(user) = unprivileged() {
            command.uid(user).gid(user);
        }
        let status = command
            .status()
            .with_context(|| format!("starting {program}"))?;
        if !status.success() {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            bail!("{program} {}: {status}\n{said}", arguments.join(" "));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("PostgreSQL was not stopped: {error}");
        }
    }
}

/// The directory of `initdb` and the rest: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).find(|dir| dir.join("initdb").is_file());
    let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|dir| dir.join("initdb").is_file())
        .collect();
    packaged.sort();
    packaged.pop().or(in_path)
}

/// The user the server runs as where we are root, as whom it refuses to run.
fn unprivileged() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    /// `nobody` on every system that has one.
    const NOBODY: u32 = 65534;
    let own = std::fs::metadata(Path::new("/proc/self")).ok()?;
    (own.uid() == 0).then_some(NOBODY)
}
