//! Which container runtime there is, and with which rights it can be run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use super::spec::OUTSIDE;

/// Runtimes that are looked for, in this order.
const RUNTIMES: [&str; 2] = ["runc", "crun"];
/// The capability to mount, by its bit.
const SYS_ADMIN: u32 = 21;

/// The runtime to use: the configured one, else the first that is installed, else Podman's.
///
/// # Errors
/// Where there is none, or `unshare` is missing.
pub fn find(configured: Option<&Path>) -> Result<PathBuf> {
    ensure!(
        on_path("unshare").is_some(),
        "containers: expected the program unshare, found none: install util-linux"
    );
    if let Some(path) = configured {
        let found = match path.components().count() {
            1 => on_path(&path.to_string_lossy()),
            _ => Some(path.to_owned()).filter(|path| path.is_file()),
        };
        return match found {
            Some(found) => Ok(found),
            None => bail!(
                "workload.runtime: expected a container runtime, found nothing at {}",
                path.display()
            ),
        };
    }
    if let Some(found) = RUNTIMES.iter().find_map(|name| on_path(name)) {
        return Ok(found);
    }
    if let Some(found) = podman() {
        return Ok(found);
    }
    bail!(
        "containers: expected runc, crun or podman, found none: on Debian or Ubuntu, apt-get install runc"
    )
}

/// Podman runs images with another runtime; it says with which.
fn podman() -> Option<PathBuf> {
    let podman = on_path("podman")?;
    let info = ["info", "--format", "{{.Host.OCIRuntime.Path}}"];
    let output = Command::new(podman).args(info).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where distributions put what is for administrators; users' paths often lack it.
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether this process may mount and choose users without a user namespace of its own.
pub fn privileged() -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    may_administer(&read("/proc/self/status")) && maps_all(&read("/proc/self/uid_map"))
}

fn may_administer(status: &str) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        // Of four user ids the second is the effective one.
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next().map(str::to_owned)))
    };
    let root = field("Uid:").is_some_and(|(_, effective)| effective.as_deref() == Some("0"));
    let capabilities = field("CapEff:").and_then(|(hex, _)| u64::from_str_radix(&hex, 16).ok());
    root && capabilities.is_some_and(|bits| bits >> SYS_ADMIN & 1 == 1)
}

fn maps_all(map: &str) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(length))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (first..first.saturating_add(length)).contains(&u64::from(OUTSIDE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_of_an_administrator_of_the_whole_machine() {
        let status = |uid: &str, capabilities: &str| {
            format!("Name:\tx\nUid:\t{uid}\nCapEff:\t{capabilities}\n")
        };
        assert!(may_administer(&status("1\t0\t0\t0", "000001ffffffffff")));
        for (uid, capabilities) in [
            ("0\t1000\t0\t0", "000001ffffffffff"),
            ("0\t0\t0\t0", "00000000a80425fb"),
            ("0\t0\t0\t0", "zz"),
            ("", ""),
        ] {
            assert!(
                !may_administer(&status(uid, capabilities)),
                "{uid} {capabilities}"
            );
        }
        assert!(maps_all("         0          0 4294967295\n"));
        for map in ["0 1000 1\n1 100000 65536\n", "", "x y z", "0 0"] {
            assert!(!maps_all(map), "{map}");
        }
    }

    #[test]
    fn a_runtime_that_is_not_there_is_named() {
        for name in ["no-such-runtime", "/no/such/runtime"] {
            let error = find(Some(Path::new(name))).unwrap_err().to_string();
            assert!(error.contains(name) || error.contains("unshare"), "{error}");
        }
    }
}
