//! What the system says of processes and threads: time and memory.

use anyhow::{Context, Result};

/// Clock ticks in a second, on every Linux.
const TICKS: f64 = 100.0;

/// This thread's number.
pub(super) fn own_thread() -> Result<u32> {
    let link = std::fs::read_link("/proc/thread-self")
        .context("the load test reads /proc, which only Linux has")?;
    let number = link.file_name().and_then(|name| name.to_str());
    number
        .and_then(|number| number.parse().ok())
        .context("/proc/thread-self has no number")
}

/// Seconds of a core that this process has used.
pub(super) fn own() -> Result<f64> {
    cpu("/proc/self/stat")
}

/// Seconds of a core that the process or thread has used whose `stat` this is.
pub(super) fn cpu(stat: &str) -> Result<f64> {
    let text = std::fs::read_to_string(stat).with_context(|| stat.to_owned())?;
    // The name, in parentheses, may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    let ticks = field().zip(field()).map(|(user, system)| user + system);
    Ok(ticks.with_context(|| format!("{stat}: {text}"))? as f64 / TICKS)
}

/// Bytes of memory that a process holds.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? * 1024)
}

/// Bytes of the files in a directory and below.
pub(super) fn size(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory_and_has_threads() {
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
        let thread = own_thread().unwrap();
        assert!(cpu(&format!("/proc/self/task/{thread}/stat")).is_ok());
        assert!(cpu("/proc/self/comm").is_err());
        assert!(cpu("/proc/self/no-such-file").is_err());
    }

    #[test]
    fn sizes_are_of_all_files_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("c"), [0; 5]).unwrap();
        assert_eq!(size(dir.path()), 15);
    }
}
