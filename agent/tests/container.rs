//! What a container can and cannot do, with the installed runtime and a program made here. Says that it is
//! skipped where there is no runtime, no compiler that links statically, or no right to make namespaces.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vouch_agent::container::{Container, runtime};
use vouch_agent::workload::{Files, Limits, Violation};
use zeroize::Zeroizing;

/// Does what its first argument says.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file) exit(20);
    fputs(text, file);
    if (fclose(file)) exit(21);
}

int main(int count, char **arguments) {
    if (count < 2) return 22;
    const char *what = arguments[1];
    if (!strcmp(what, "copy")) {
        char text[64] = {0};
        FILE *in = fopen("/in/data", "r");
        if (!in || !fgets(text, sizeof text, in)) return 23;
        printf("%s", text);
        put("/out/result", text);
        mkdir("/out/sub", 0700);
        put("/out/sub/more", "two\nlines\n");
        put("/tmp/scratch", "scratch");
        return getuid() || getenv("FROM_AUTHOR") == NULL;
    }
    if (!strcmp(what, "inet")) socket(AF_INET, SOCK_STREAM, 0);
    if (!strcmp(what, "host")) socket(40 /* AF_VSOCK */, SOCK_STREAM, 0);
    if (!strcmp(what, "netlink")) socket(AF_NETLINK, SOCK_RAW, 0);
    if (!strcmp(what, "unix")) return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
    if (!strcmp(what, "prison")) {
        if (open("/in/new", O_CREAT | O_WRONLY, 0600) >= 0) return 30;
        if (open("/in/data", O_WRONLY) >= 0) return 31;
        if (open("/new", O_CREAT | O_WRONLY, 0600) >= 0) return 32;
        if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0) return 33;
        if (unshare(CLONE_NEWUSER) == 0) return 34;
        if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)) == 0) return 35;
        if (access(arguments[2], F_OK) == 0) return 36;
        if (chroot("/tmp") == 0) return 37;
        if (open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0) return 38;
        return 0;
    }
    if (!strcmp(what, "memory")) {
        for (int part = 0; part < 512; part++) {
            char *bytes = malloc(1 << 20);
            if (!bytes) return 40;
            memset(bytes, part + 1, 1 << 20);
        }
        return 0;
    }
    if (!strcmp(what, "forever")) for (;;) pause();
    if (!strcmp(what, "daemon")) {
        if (fork() == 0) { setsid(); for (;;) pause(); }
        return 0;
    }
    if (!strcmp(what, "bytes")) {
        FILE *out = fopen("/out/much", "w");
        for (int part = 0; part < 32 << 20; part++) if (fputc('x', out) == EOF) return 50;
        return fclose(out) ? 51 : 0;
    }
    if (!strcmp(what, "holes")) return truncate("/out/much", 0), open("/out/much", O_CREAT | O_WRONLY, 0600) < 0
        || truncate("/out/much", 1L << 40) < 0 ? 52 : 0;
    if (!strcmp(what, "rows")) put("/out/rows", "1\n2\n3\n4\n");
    if (!strcmp(what, "link")) return symlink("/proc/self/environ", "/out/link");
    if (!strcmp(what, "pipe")) return mkfifo("/out/pipe", 0600);
    if (!strcmp(what, "fail")) return 7;
    return 0;
}
"#;

const CONFIG: &str = r#"{"ociVersion":"1.0.2","process":{"args":["/work"],"env":["FROM_AUTHOR=1"]},
    "root":{"path":"rootfs"}}"#;

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// None where this machine runs no containers.
    fn new() -> Option<Self> {
        let skipped = |why: &str| println!("skipped: {why}");
        if let Err(error) = runtime::find(None) {
            skipped(&error.to_string());
            return None;
        }
        let rights = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "true",
            ])
            .stderr(Stdio::null())
            .status();
        if !rights.is_ok_and(|status| status.success()) {
            skipped("no right to make namespaces");
            return None;
        }
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(lab.bundle().join("rootfs")).unwrap();
        std::fs::write(lab.bundle().join("config.json"), CONFIG).unwrap();
        let source = lab.dir.path().join("work.c");
        std::fs::write(
            &source,
            PROGRAM.replace(
                "#include <unistd.h>",
                "#include <sys/sysmacros.h>\n#include <unistd.h>",
            ),
        )
        .unwrap();
        let compiled = Command::new("cc")
            .args(["-static", "-O1", "-w", "-o"])
            .arg(lab.bundle().join("rootfs/work"))
            .arg(&source)
            .stderr(Stdio::null())
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            skipped("no C compiler that links statically");
            return None;
        }
        Some(lab)
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    /// The container with the rights that there are, and without any.
    fn containers(&self) -> Vec<Container> {
        let program = Path::new(env!("CARGO_BIN_EXE_vouch-agent"));
        let container = Container::open(&self.bundle(), None, program).unwrap();
        match runtime::privileged() {
            true => vec![container.clone(), self.open().unprivileged()],
            false => vec![container],
        }
    }

    fn open(&self) -> Container {
        let program = Path::new(env!("CARGO_BIN_EXE_vouch-agent"));
        Container::open(&self.bundle(), None, program).unwrap()
    }
}

fn inputs() -> Files {
    Files::from([("data".to_owned(), Zeroizing::new(b"plaintext\n".to_vec()))])
}

fn limits() -> Limits {
    Limits {
        memory: 64 << 20,
        time: Duration::from_secs(60).into(),
        output_bytes: 1 << 20,
        output_rows: 3,
        ..Limits::default()
    }
}

/// Processes with a word among their arguments.
fn processes(marker: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        count += usize::from(words.any(|word| word == marker.as_bytes()));
    }
    count
}

/// Waits for something that happens soon or never.
fn soon(what: &str, happens: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happens() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn files_go_in_and_out_and_nothing_stays_between_runs() {
    let Some(lab) = Lab::new() else { return };
    for container in lab.containers() {
        for _ in 0..2 {
            let outputs = container.run(&["copy"], &inputs(), &limits()).unwrap();
            let shown: Vec<_> = outputs
                .files
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_slice()))
                .collect();
            assert_eq!(
                shown,
                [
                    ("result", &b"plaintext\n"[..]),
                    ("sub/more", b"two\nlines\n")
                ]
            );
            assert_eq!((outputs.bytes, outputs.rows), (20, 3));
            // Mounted where this process does not see it.
            assert!(!Path::new("/tmp/in").exists() && !Path::new("/tmp/out").exists());
        }
    }
}

#[test]
fn what_ends_a_container_is_told() {
    let Some(lab) = Lab::new() else { return };
    let secret = lab.dir.path().join("work.c").display().to_string();
    for (index, container) in lab.containers().into_iter().enumerate() {
        let run = |arguments: &[&str]| container.run(arguments, &inputs(), &limits()).map(drop);
        assert_eq!(run(&["prison", &secret]), Ok(()));
        assert_eq!(run(&["unix"]), Ok(()));
        for family in ["inet", "host", "netlink"] {
            assert_eq!(
                run(&[family]),
                Err(Violation::Network("socket")),
                "{family}"
            );
        }
        let bytes = Violation::Output {
            limit: 1 << 20,
            unit: "bytes",
        };
        for (what, expected) in [
            ("fail", Violation::Exit(7)),
            ("bytes", bytes.clone()),
            ("holes", bytes),
            (
                "rows",
                Violation::Output {
                    limit: 3,
                    unit: "rows",
                },
            ),
            ("link", Violation::Kind("something else")),
            ("pipe", Violation::Kind("something else")),
            // Without control groups an allocation fails instead.
            (
                "memory",
                if runtime::privileged() && index == 0 {
                    Violation::OutOfMemory(64 << 20)
                } else {
                    Violation::Exit(40)
                },
            ),
        ] {
            assert_eq!(run(&[what]), Err(expected), "{what}");
        }
        let short = Limits {
            time: Duration::from_millis(1500).into(),
            ..limits()
        };
        let late = container.run(&["forever"], &inputs(), &short).map(drop);
        assert!(matches!(late, Err(Violation::Time(_))), "{late:?}");
        // And after all that, it still runs.
        assert_eq!(run(&["unix"]), Ok(()));
    }
}

#[test]
fn no_process_outlives_its_run() {
    let Some(lab) = Lab::new() else { return };
    let marker = format!("vouch-marker-{}", std::process::id());
    for container in lab.containers() {
        container
            .run(&["daemon", &marker], &inputs(), &limits())
            .map(drop)
            .unwrap();
        assert_eq!(processes(&marker), 0);
        let short = Limits {
            time: Duration::from_secs(1).into(),
            ..limits()
        };
        container
            .run(&["forever", &marker], &inputs(), &short)
            .map(drop)
            .unwrap_err();
        soon("the process ends with its time", || processes(&marker) == 0);
    }
}

/// An agent that is killed: played by this test's own program.
#[test]
fn nothing_outlives_an_agent_that_is_killed() {
    const MARKER: &str = "VOUCH_TEST_MARKER";
    const BUNDLE: &str = "VOUCH_TEST_BUNDLE";
    if let (Ok(marker), Some(bundle)) = (std::env::var(MARKER), std::env::var_os(BUNDLE)) {
        let program = Path::new(env!("CARGO_BIN_EXE_vouch-agent"));
        let container = Container::open(Path::new(&bundle), None, program).unwrap();
        let _ = container.run(&["forever", &marker], &inputs(), &limits());
        return;
    }
    let Some(lab) = Lab::new() else { return };
    let marker = format!("vouch-killed-{}", std::process::id());
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_outlives_an_agent_that_is_killed"])
        .env(MARKER, &marker)
        .env(BUNDLE, lab.bundle())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    soon("the container runs", || processes(&marker) > 0);
    agent.kill().unwrap();
    agent.wait().unwrap();
    soon("the container ends with the agent", || {
        processes(&marker) == 0
    });
}

#[test]
fn a_bundle_that_differs_is_refused_before_it_runs() {
    let Some(lab) = Lab::new() else { return };
    let container = lab.open();
    let program = lab.bundle().join("rootfs/work");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o711)).unwrap();
    let refused = container.run(&["copy"], &inputs(), &limits()).map(drop);
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains(&container.digest().to_string()) && text.contains("changed"),
        "{text}"
    );
}

#[test]
fn a_machine_that_cannot_run_it_says_why() {
    let Some(lab) = Lab::new() else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_vouch-agent"));
    // Another program in the place of a runtime.
    let container = Container::open(&lab.bundle(), Some(Path::new("/bin/false")), program).unwrap();
    let refused = container.run(&["copy"], &inputs(), &limits()).map(drop);
    assert_eq!(refused, Err(Violation::Exit(1)));
    // A program that is not in the bundle.
    std::fs::write(
        lab.bundle().join("config.json"),
        CONFIG.replace("/work", "/nothing"),
    )
    .unwrap();
    let Err(Violation::Runtime(text)) = lab.open().run(&["copy"], &inputs(), &limits()) else {
        panic!("expected the runtime's reason");
    };
    assert!(text.contains("/nothing"), "{text}");
}
