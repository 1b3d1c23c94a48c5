//! What a machine lacks for real evidence, one finding for each thing that is needed.

use std::path::Path;

use crate::backend::nvml::{self, Nvml};
use crate::container::runtime;

/// Something that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub need: &'static str,
    /// What is there, or what is missing and what to do.
    pub found: Result<String, String>,
    /// Whether it is needed for everything, or only where it is used.
    pub always: bool,
}

/// Looks at the machine whose files are under `root`.
pub fn examine(root: &Path) -> Vec<Finding> {
    let at = |path: &str| root.join(path);
    let mut findings = Vec::new();
    let mut finding = |need, found| {
        findings.push(Finding {
            need,
            found,
            always: true,
        });
    };

    let release = std::fs::read_to_string(at("proc/sys/kernel/osrelease")).unwrap_or_default();
    finding("kernel", kernel(release.trim()));
    let cpu = std::fs::read_to_string(at("proc/cpuinfo")).unwrap_or_default();
    let flags = cpu
        .lines()
        .find_map(|line| line.strip_prefix("flags"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|found| found == flag);
    let guest = match () {
        () if at("dev/sev-guest").exists() => Ok("AMD SEV-SNP, /dev/sev-guest".to_owned()),
        () if at("dev/tdx_guest").exists() => Ok("Intel TDX, /dev/tdx_guest".to_owned()),
        () if has("tdx_guest") => Err("the processor says Intel TDX, but /dev/tdx_guest is missing: load the module tdx_guest".to_owned()),
        () if has("sev_snp") => Err("the processor says AMD SEV-SNP, but /dev/sev-guest is missing: load the module sev-guest".to_owned()),
        () => Err("neither /dev/sev-guest nor /dev/tdx_guest: this is no SEV-SNP guest and no TDX guest".to_owned()),
    };
    finding("trusted guest", guest);
    finding("report interface", tsm(root));
    let driver = std::fs::read_to_string(at("proc/driver/nvidia/version"));
    finding(
        "NVIDIA driver",
        match driver {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().trim().to_owned()),
            Err(_) => Err(
                "/proc/driver/nvidia/version is missing: install NVIDIA's driver, R550 or later"
                    .to_owned(),
            ),
        },
    );
    let device = at("dev/nvidia0");
    finding(
        "GPU device",
        match std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&device)
        {
            Ok(_) => Ok("/dev/nvidia0".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(
                "/dev/nvidia0 may not be opened: run as a user who may (group video)".to_owned(),
            ),
            Err(error) => Err(format!("/dev/nvidia0: {error}")),
        },
    );
    let swaps = std::fs::read_to_string(at("proc/swaps")).unwrap_or_default();
    finding(
        "memory stays memory",
        match swaps.lines().nth(1) {
            None => Ok("no swap".to_owned()),
            Some(line) => {
                let name = line.split_whitespace().next().unwrap_or_default();
                Err(format!(
                    "{name} is swap: plaintext could reach a disk; swapoff it"
                ))
            }
        },
    );
    let pattern = std::fs::read_to_string(at("proc/sys/kernel/core_pattern")).unwrap_or_default();
    let limits = std::fs::read_to_string(at("proc/self/limits")).unwrap_or_default();
    finding("no dumps", dumps(pattern.trim(), &limits));
    findings
}

/// What only some jobs need: a runtime for containers.
pub fn containers() -> Finding {
    let found = runtime::find(None).map(|path| {
        let rights = match runtime::privileged() {
            true => "memory limited by control groups",
            false => "without an administrator's rights, memory is limited for each process",
        };
        format!("{}; {rights}", path.display())
    });
    Finding {
        need: "container runtime",
        found: found.map_err(|error| error.to_string()),
        always: false,
    }
}

/// What NVIDIA's driver says of its GPUs.
pub fn gpus(library: &Path) -> Finding {
    let found = || -> anyhow::Result<String> {
        let nvml = Nvml::load(library)?;
        let driver = nvml.driver()?;
        let count = nvml::usable(&nvml)?;
        let ready = match nvml.is_ready()? {
            true => "taking work",
            false => "told to take no work yet: nvidia-smi conf-compute -srs 1",
        };
        Ok(format!(
            "driver {driver}, {count} in confidential mode, {ready}"
        ))
    };
    Finding {
        need: "confidential GPUs",
        found: found().map_err(|error| format!("{error:#}")),
        always: true,
    }
}

/// A dump of the agent's memory would be plaintext and keys on a disk.
fn dumps(pattern: &str, limits: &str) -> Result<String, String> {
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or_default();
    // The limit is not asked where a program takes the dump.
    match (pattern.strip_prefix('|'), limit) {
        (Some(program), _) => Err(format!(
            "memory of a process that fails is given to {program}: sysctl -w kernel.core_pattern=core"
        )),
        (None, "0") => Ok("the limit for dumps is 0".to_owned()),
        (None, _) => {
            Err("memory of a process that fails is written to a file: ulimit -c 0".to_owned())
        }
    }
}

fn kernel(release: &str) -> Result<String, String> {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (6, 7) => Ok(format!("Linux {release}")),
        (Some(_), Some(_)) => Err(format!("Linux {release}: configfs-tsm came with 6.7")),
        _ => Err("no Linux kernel: evidence of real hardware needs one".to_owned()),
    }
}

fn tsm(root: &Path) -> Result<String, String> {
    let report = root.join("sys/kernel/config/tsm/report");
    if !root.join("sys/kernel/config").is_dir() {
        return Err(
            "/sys/kernel/config is missing: mount -t configfs none /sys/kernel/config".to_owned(),
        );
    }
    if !report.is_dir() {
        return Err("/sys/kernel/config/tsm/report is missing: the kernel needs CONFIG_TSM_REPORTS and a guest driver".to_owned());
    }
    let probe = report.join(format!("vouch-doctor-{}", std::process::id()));
    match std::fs::create_dir(&probe) {
        Ok(()) => {
            let _ = std::fs::remove_dir(&probe);
            Ok("/sys/kernel/config/tsm/report".to_owned())
        }
        Err(error) => Err(format!(
            "/sys/kernel/config/tsm/report: {error}: run as root"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn found(root: &Path, need: &str) -> Result<String, String> {
        examine(root)
            .into_iter()
            .find(|finding| finding.need == need)
            .unwrap()
            .found
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let root = machine(&[]);
        for finding in examine(root.path())
            .iter()
            .filter(|finding| finding.need != "memory stays memory")
        {
            assert!(finding.found.is_err(), "{finding:?}");
        }
        let root = machine(&[
            ("proc/cpuinfo", "flags\t\t: fpu tdx_guest\n"),
            ("proc/sys/kernel/osrelease", "5.15.0-1\n"),
            ("proc/swaps", "Filename Type\n/dev/sda2 partition\n"),
            ("proc/sys/kernel/core_pattern", "|/usr/bin/keep %p\n"),
            ("sys/kernel/config/x", ""),
        ]);
        for (need, text) in [
            ("kernel", "6.7"),
            ("trusted guest", "/dev/tdx_guest is missing"),
            ("report interface", "CONFIG_TSM_REPORTS"),
            ("memory stays memory", "/dev/sda2"),
            ("no dumps", "/usr/bin/keep"),
        ] {
            let error = found(root.path(), need).unwrap_err();
            assert!(error.contains(text), "{need}: {error}");
        }
    }

    #[test]
    fn a_machine_that_has_it_all_is_said_to() {
        let root = machine(&[
            ("proc/sys/kernel/osrelease", "6.11.0-generic\n"),
            ("dev/sev-guest", ""),
            ("dev/nvidia0", ""),
            ("proc/driver/nvidia/version", "NVRM version: 570\nGCC\n"),
            ("proc/swaps", "Filename Type\n"),
            ("proc/sys/kernel/core_pattern", "core\n"),
            (
                "proc/self/limits",
                "Limit  Soft  Hard  Units\nMax core file size        0        unlimited  bytes\n",
            ),
            ("sys/kernel/config/tsm/report/x", ""),
        ]);
        for finding in examine(root.path()) {
            assert!(finding.found.is_ok(), "{finding:?}");
        }
    }

    #[test]
    fn a_machine_without_a_driver_says_so() {
        let finding = gpus(Path::new("/no/such/library"));
        assert!(finding.always);
        let error = finding.found.unwrap_err();
        assert!(error.contains("/no/such/library"), "{error}");
    }
}
