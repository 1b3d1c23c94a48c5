//! A disk that fills up: a small file system of a daemon's own, in name spaces of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::daemon::{Daemon, Plan};

/// A directory that is a small file system for whoever is started with it.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    script: String,
}

impl Disk {
    /// A disk of some MiB at `dir`; none where users may not mount one.
    pub fn new(dir: &Path, mebibytes: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(dir).context("making a directory")?;
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m none {dir:?} && exec \"$@\"",
            dir = dir.display().to_string()
        );
        let disk = Self {
            dir: dir.to_owned(),
            script,
        };
        let tried = Command::new("unshare")
            .args(disk.args())
            .arg("true")
            .output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            return Ok(Some(disk));
        }
        eprintln!("skipped: a disk that fills up needs `unshare` and user name spaces");
        Ok(None)
    }

    fn args(&self) -> [&str; 5] {
        ["-Urm", "sh", "-c", &self.script, "sh"]
    }

    /// A daemon of this plan will keep its database and evidence on this disk.
    pub fn give(&self, plan: &mut Plan) {
        plan.within = vec!["unshare".to_owned()];
        plan.within.extend(self.args().map(str::to_owned));
        plan.data = self.dir.display().to_string();
    }

    /// Writes until nothing more fits.
    pub fn fill(&self, daemon: &Daemon) -> Result<()> {
        let mut file = std::fs::File::create(self.ballast(daemon)?).context("filling a disk")?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// Takes away what [`Self::fill`] wrote.
    pub fn clear(&self, daemon: &Daemon) -> Result<()> {
        std::fs::remove_file(self.ballast(daemon)?).context("clearing a disk")
    }

    /// As this process sees it, which is not in the daemon's name spaces.
    fn ballast(&self, daemon: &Daemon) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", daemon.pid()?));
        let dir = self.dir.strip_prefix("/").context("a relative path")?;
        Ok(root.join(dir).join("ballast"))
    }
}
