//! What the container runtime is told: made here, whatever the bundle's author would like.

use std::path::Path;

use serde_json::{Value, json};

use super::bundle::Process;

/// The user and group outside of the container that its only user, 0, is, where the agent may choose: one that
/// nothing else on the machine belongs to.
pub(super) const OUTSIDE: u32 = 1 << 30;
/// Processes and threads.
const MAX_PROCESSES: u32 = 4096;

/// A GPU's or its driver's device node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Device {
    pub(super) path: String,
    pub(super) major: u64,
    pub(super) minor: u64,
}

/// Folders of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folders<'a> {
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
}

/// The runtime's configuration: no network, no capabilities, a root that cannot be written to, a user of no
/// rights, and memory for all that can.
///
/// `group` is the control group where the agent may use those and choose a user; without, memory is limited
/// for each process.
pub(super) fn spec(
    process: &Process,
    arguments: &[String],
    folders: Folders<'_>,
    devices: &[Device],
    memory: u64,
    group: Option<&str>,
) -> Value {
    let args: Vec<&String> = process.args.iter().chain(arguments).collect();
    // A dump would be plaintext on a disk.
    let mut rlimits = vec![rlimit("RLIMIT_CORE", 0)];
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mut linux = json!({
        "seccomp": seccomp(),
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi",
            "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
        ],
        "readonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
    });
    if let Some(group) = group {
        namespaces.push("user");
        let map = json!([{ "containerID": 0, "hostID": OUTSIDE, "size": 1 }]);
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map;
        linux["cgroupsPath"] = format!("/{group}").into();
        let allowed = devices.iter().map(|device| {
            json!({ "allow": true, "type": "c", "major": device.major, "minor": device.minor, "access": "rw" })
        });
        let denied = std::iter::once(json!({ "allow": false, "access": "rwm" }));
        linux["resources"] = json!({
            "memory": { "limit": memory, "swap": memory },
            "pids": { "limit": MAX_PROCESSES },
            "devices": denied.chain(allowed).collect::<Vec<_>>(),
        });
    } else {
        rlimits.push(rlimit("RLIMIT_AS", memory));
        rlimits.push(rlimit("RLIMIT_NPROC", MAX_PROCESSES.into()));
    }
    linux["namespaces"] = namespaces
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "hostname": "workload",
        "root": { "path": "rootfs", "readonly": true },
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": process.env,
            "cwd": process.cwd,
            "capabilities": {},
            "rlimits": rlimits,
            "noNewPrivileges": true,
        },
        "mounts": mounts(folders, devices, memory),
        "linux": linux,
    })
}

fn rlimit(kind: &str, limit: u64) -> Value {
    json!({ "type": kind, "soft": limit, "hard": limit })
}

fn mounts(folders: Folders<'_>, devices: &[Device], memory: u64) -> Vec<Value> {
    let memory_backed = |destination: &str, options: &str| {
        let size = format!("size={memory}");
        let options: Vec<&str> = options.split(',').chain([size.as_str()]).collect();
        json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options })
    };
    let bound = |destination: &str, source: &Path, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({ "destination": destination, "type": "bind", "source": source, "options": options })
    };
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        memory_backed("/dev", "nosuid,strictatime,mode=755"),
        memory_backed("/dev/shm", "nosuid,nodev,noexec,mode=1777"),
        memory_backed("/tmp", "nosuid,nodev,mode=1777"),
        bound("/in", folders.input, "bind,ro,nosuid,nodev,noexec"),
        bound("/out", folders.output, "bind,rw,nosuid,nodev,noexec"),
    ];
    for device in devices {
        let path = Path::new(&device.path);
        mounts.push(bound(&device.path, path, "bind,rw,nosuid,noexec"));
    }
    mounts
}

/// Calls beyond the container: sockets end the workload, for it shall not be paid for trying; others
/// fail as if not there. `socket` is decided here although there is no network in the namespace, for
/// some families, such as that between a guest and its host, know no namespaces.
fn seccomp() -> Value {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    };
    const UNIX: u32 = 1;
    const NEW_USER: u32 = 0x1000_0000;
    const NO_SUCH_CALL: u32 = 38;
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        // Calls of other architectures, which the rules below would not see, end the workload.
        "architectures": [architecture],
        "syscalls": [
            {
                "names": ["socket"],
                "action": "SCMP_ACT_KILL_PROCESS",
                "args": [{ "index": 0, "value": UNIX, "op": "SCMP_CMP_NE" }],
            },
            {
                // They make sockets without the call; programs fall back to others.
                "names": ["io_uring_enter", "io_uring_register", "io_uring_setup", "clone3"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": NO_SUCH_CALL,
            },
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{ "index": 0, "value": NEW_USER, "valueTwo": NEW_USER, "op": "SCMP_CMP_MASKED_EQ" }],
            },
            {
                "names": [
                    "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "delete_module",
                    "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module",
                    "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie",
                    "mount", "mount_setattr", "move_mount", "name_to_handle_at", "open_by_handle_at",
                    "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root", "process_vm_readv",
                    "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key", "setns",
                    "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vhangup",
                ],
                "action": "SCMP_ACT_ERRNO",
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(privileged: bool) -> Value {
        let process = Process::parse(
            br#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["/work"],"user":{"uid":7},
                "capabilities":{"bounding":["CAP_SYS_ADMIN"]}},"mounts":[{"destination":"/host","source":"/"}],
                "linux":{"namespaces":[]}}"#,
        );
        let device = Device {
            path: "/dev/nvidia0".into(),
            major: 195,
            minor: 0,
        };
        let folders = Folders {
            input: Path::new("/run/in"),
            output: Path::new("/run/out"),
        };
        spec(
            &process.unwrap(),
            &["train".into()],
            folders,
            &[device],
            1 << 20,
            privileged.then_some("group"),
        )
    }

    #[test]
    fn an_author_decides_on_the_process_and_on_nothing_else() {
        for privileged in [true, false] {
            let made = made(privileged);
            assert_eq!(made["process"]["args"], json!(["/work", "train"]));
            assert_eq!(made["process"]["capabilities"], json!({}));
            assert_eq!(made["process"]["user"]["uid"], 0);
            let text = made.to_string();
            assert!(!text.contains("/host") && !text.contains("CAP_"), "{text}");
            let kinds: Vec<&str> = made["linux"]["namespaces"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|namespace| namespace["type"].as_str())
                .collect();
            for kind in ["pid", "network", "ipc", "mount"] {
                assert!(kinds.contains(&kind), "{kind}");
            }
            assert_eq!(kinds.contains(&"user"), privileged);
            // No namespace is another's: a path would join one.
            assert!(
                made["linux"]["namespaces"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|one| one.get("path").is_none())
            );
        }
    }

    #[test]
    fn memory_is_limited_with_control_groups_and_without() {
        assert_eq!(made(true)["linux"]["resources"]["memory"]["limit"], 1 << 20);
        let rlimits = made(false)["process"]["rlimits"].clone();
        assert!(
            rlimits
                .as_array()
                .unwrap()
                .contains(&rlimit("RLIMIT_AS", 1 << 20))
        );
        assert!(made(false)["linux"].get("resources").is_none());
    }

    #[test]
    fn gpus_are_the_only_devices_that_are_let_through() {
        let made = made(true);
        let devices = made["linux"]["resources"]["devices"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(devices[0], json!({ "allow": false, "access": "rwm" }));
        assert_eq!(devices.len(), 2);
        assert_eq!(
            (&devices[1]["major"], &devices[1]["minor"]),
            (&json!(195), &json!(0))
        );
        let bound = made["mounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|mount| mount["type"] == "bind");
        let places: Vec<&Value> = bound.map(|mount| &mount["destination"]).collect();
        assert_eq!(
            places,
            [&json!("/in"), &json!("/out"), &json!("/dev/nvidia0")]
        );
    }
}
