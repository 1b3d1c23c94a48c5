//! A wall clock that jumps, for one process: a library that is loaded before the C library.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::daemon::Plan;

/// The clock of the daemons that were given it.
#[derive(Debug)]
pub struct Clock {
    offset: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that is right until it jumps, with its files in `dir`; none where programs cannot be
    /// given one.
    pub fn new(dir: &Path) -> Result<Option<Self>> {
        let compiler = Command::new("cc").arg("--version").output();
        if !cfg!(target_os = "linux") || compiler.is_err() {
            eprintln!("skipped: a clock that jumps needs Linux and a C compiler");
            return Ok(None);
        }
        let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
        std::fs::write(&source, include_str!("clock.c")).context("writing clock.c")?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]);
        compile.args([&library, &source]).arg("-ldl");
        let done = compile.output().context("running cc")?;
        let errors = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "compiling clock.c: {errors}");
        let offset = dir.join("clock");
        let clock = Self { offset, library };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// A daemon of this plan will have this clock.
    pub fn give(&self, plan: &mut Plan) {
        let entries = [
            ("LD_PRELOAD", &self.library),
            ("VOUCH_TEST_CLOCK", &self.offset),
        ];
        let entries = entries.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        plan.env.extend(entries);
    }

    /// It is so many seconds ahead of the machine's, or behind it.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let draft = self.offset.with_extension("tmp");
        std::fs::write(&draft, seconds.to_string()).context("writing the clock")?;
        std::fs::rename(draft, &self.offset).context("writing the clock")
    }
}
