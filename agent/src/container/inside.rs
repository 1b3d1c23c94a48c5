//! The process inside: first of its process ids, alone with its mounts. It keeps the bundle, runs the container
//! as often as it is told, and ends when standard input does.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use super::bundle::{self, Process};
use super::spec::{Device, Folders, OUTSIDE, spec};
use super::wire::{self, Answer, Setup, Task};

/// Files a container may leave.
pub(super) const MAX_FILES: usize = 4096;
/// Folders that they may be in, inside of each other.
const MAX_DEPTH: usize = 16;
/// Every file takes whole pages, whatever its length.
const PAGE: u64 = 4096;
/// Where the memory is mounted. Only this process and the container see it there.
const HERE: &str = "/tmp";

/// Does what standard input says until it ends. To be started by [`super::Container`] alone.
///
/// # Errors
/// Where nobody can be told any more.
pub fn serve() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut from = BufReader::new(io::stdin());
    let inside = match Inside::prepare(&mut from) {
        Ok(inside) => inside,
        Err(error) => return wire::tell(&mut out, &Answer::Failed(error.to_string())),
    };
    wire::tell(&mut out, &Answer::Ready)?;
    for (task, input) in listen(from) {
        if let Err(error) = inside.run(&task, &input, &mut out) {
            return wire::tell(&mut out, &Answer::Failed(error.to_string()));
        }
    }
    Ok(())
}

/// Tasks as they arrive, each with the folder of its files. Once the agent is gone, so is this process, whatever it is at:
/// the kernel then ends all others of its namespace.
fn listen(mut from: BufReader<io::Stdin>) -> Receiver<(Task, PathBuf)> {
    let (tell, tasks) = sync_channel(1);
    std::thread::spawn(move || {
        let mut next = |number: u64| -> io::Result<Option<(Task, PathBuf)>> {
            let Some(task) = wire::hear(&mut from)? else {
                return Ok(None);
            };
            // The folder of the run before may still be there.
            let folder = here(&format!("in-{number}"));
            unload(&mut from, &folder)?;
            Ok(Some((task, folder)))
        };
        for number in 0.. {
            let Ok(Some(task)) = next(number) else { break };
            if tell.send(task).is_err() {
                break;
            }
        }
        std::process::exit(1);
    });
    tasks
}

/// Puts files into a new folder, to be read by everybody.
fn unload(from: &mut BufReader<io::Stdin>, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    while let Some((name, size)) = wire::next(from)? {
        let path = folder.join(name);
        let mut file = File::create_new(&path)?;
        if io::copy(&mut io::Read::take(&mut *from, size), &mut file)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        fs::set_permissions(&path, Permissions::from_mode(0o444))?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o555))
}

fn here(name: &str) -> PathBuf {
    Path::new(HERE).join(name)
}

struct Inside {
    setup: Setup,
    process: Process,
}

impl Inside {
    fn prepare(from: &mut BufReader<io::Stdin>) -> io::Result<Self> {
        let setup: Option<Setup> = wire::hear(from)?;
        let setup = setup.ok_or(io::ErrorKind::UnexpectedEof)?;
        mount(HERE, "mode=755,nosuid,nodev,size=100%")?;
        let bundle = here("bundle");
        fs::create_dir(&bundle)?;
        bundle::unpack(from, &bundle)?;
        let process = Process::read(&bundle).map_err(io::Error::other)?;
        if setup.privileged {
            give(&bundle.join("rootfs"))?;
        }
        Ok(Self { setup, process })
    }

    /// Runs a task whose files are in place, and tells what came of it.
    fn run(&self, task: &Task, input: &Path, out: &mut impl Write) -> io::Result<()> {
        let output = here("out");
        fs::create_dir(&output)?;
        // Files take whole pages, so there is room for the budget in as many files as may be. What is left in
        // the end is counted to the byte.
        let room = task.output_bytes.saturating_add(MAX_FILES as u64 * PAGE);
        let size = room.min(task.memory);
        let inodes = MAX_FILES * 2;
        let options = format!("mode=755,nosuid,nodev,noexec,size={size},nr_inodes={inodes}");
        let shown = output.display().to_string();
        mount(&shown, &options)?;
        if self.setup.privileged {
            lchown(&output, Some(OUTSIDE), Some(OUTSIDE))?;
        }
        let folders = Folders {
            input,
            output: &output,
        };
        let Setup {
            devices,
            privileged,
            group,
            ..
        } = &self.setup;
        let made = spec(
            &self.process,
            &task.arguments,
            folders,
            devices,
            task.memory,
            privileged.then_some(group.as_str()),
        );
        fs::write(here("bundle/config.json"), serde_json::to_vec(&made)?)?;
        match self.container()? {
            Ok(status) => self.collect(&output, status, out)?,
            Err(why) => wire::tell(out, &Answer::Failed(why))?,
        }
        let umount = Command::new("umount").arg(&shown).status()?;
        if !umount.success() {
            return Err(io::Error::other(format!("umount: {umount}")));
        }
        fs::remove_dir(&output)?;
        fs::remove_dir_all(input)
    }

    /// Runs the container: its exit status, or why the runtime could not.
    fn container(&self) -> io::Result<Result<i32, String>> {
        let log = here("log");
        let _ = fs::remove_file(&log);
        let mut runtime = Command::new(&self.setup.runtime);
        runtime
            .arg("--root")
            .arg(here("state"))
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"]);
        if !self.setup.privileged && self.setup.runtime.ends_with("crun") {
            runtime.arg("--cgroup-manager=disabled");
        }
        // What a workload prints goes nowhere: whoever runs the machine could read it.
        let status = runtime
            .args(["run", "--bundle"])
            .arg(here("bundle"))
            .arg("workload")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let shown = self.setup.runtime.display();
        let status = match status {
            Ok(status) => status.code().unwrap_or(1),
            Err(error) => return Ok(Err(format!("{shown}: {error}"))),
        };
        let said = fs::read_to_string(&log).unwrap_or_default();
        // The runtime's own failure and the workload's have the same status; only the runtime logs.
        Ok(match failure(&said).filter(|_| status != 0) {
            Some(why) => Err(format!("{shown}: {why}")),
            None => Ok(status),
        })
    }

    /// Tells what the container left.
    fn collect(&self, folder: &Path, status: i32, out: &mut impl Write) -> io::Result<()> {
        let mut found = Vec::new();
        match walk(folder, Path::new(""), 0, &mut found) {
            Ok(()) if found.len() > MAX_FILES => return wire::tell(out, &Answer::Files),
            Ok(()) => {}
            Err(Left::Kind) => return wire::tell(out, &Answer::Kind),
            Err(Left::Io(error)) => return Err(error),
        }
        // Files may have holes: their sizes are no measure of what is in memory.
        let bytes = found
            .iter()
            .fold(0, |sum: u64, (_, size)| sum.saturating_add(*size));
        wire::tell(out, &Answer::Ended { status, bytes })?;
        if status != 0 {
            return Ok(());
        }
        for (name, size) in &found {
            wire::announce(out, name, *size)?;
            io::copy(&mut File::open(folder.join(name))?, out)?;
        }
        wire::no_more(out)
    }
}

enum Left {
    Kind,
    Io(io::Error),
}

impl From<io::Error> for Left {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The files below a folder, by their names from there, and their sizes. No process is left to change them.
fn walk(
    root: &Path,
    below: &Path,
    depth: usize,
    found: &mut Vec<(String, u64)>,
) -> Result<(), Left> {
    for entry in fs::read_dir(root.join(below))? {
        let name = below.join(entry?.file_name());
        let metadata = root.join(&name).symlink_metadata()?;
        if metadata.is_dir() && depth < MAX_DEPTH {
            walk(root, &name, depth + 1, found)?;
        } else if let (true, Some(name)) = (metadata.is_file(), name.to_str()) {
            found.push((name.to_owned(), metadata.len()));
        } else {
            return Err(Left::Kind);
        }
    }
    Ok(())
}

/// Gives everything below a path to the container's user.
fn give(path: &Path) -> io::Result<()> {
    lchown(path, Some(OUTSIDE), Some(OUTSIDE))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path())?;
        }
    }
    Ok(())
}

fn mount(place: &str, options: &str) -> io::Result<()> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs", place])
        .output()?;
    if mounted.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&mounted.stderr);
    Err(io::Error::other(format!(
        "mounting memory at {place}: {}",
        said.trim()
    )))
}

/// The last error that a runtime logged.
fn failure(log: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        msg: String,
        level: Option<String>,
    }
    log.lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .rfind(|line| line.level.as_deref() != Some("warning"))
        .map(|line| line.msg)
}

/// The GPUs' device nodes, and those of their driver.
pub(super) fn devices(folder: &Path) -> Vec<Device> {
    let mut found = Vec::new();
    for place in [folder.to_owned(), folder.join("nvidia-caps")] {
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let is_gpu = name.to_string_lossy().starts_with("nvidia");
            let Some(metadata) = entry
                .metadata()
                .ok()
                .filter(|found| is_gpu && found.rdev() != 0)
            else {
                continue;
            };
            let device = metadata.rdev();
            found.push(Device {
                path: path.display().to_string(),
                // Linux's encoding of a device number.
                major: (device >> 8 & 0xfff) | (device >> 32 & !0xfff),
                minor: (device & 0xff) | (device >> 12 & 0xffff_ff00),
            });
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtimes_failure_is_its_last_error() {
        let log = "{\"level\":\"warning\",\"msg\":\"careful\"}\n{\"level\":\"error\",\"msg\":\"no such file\"}\n";
        assert_eq!(failure(log).as_deref(), Some("no such file"));
        assert_eq!(
            failure("{\"msg\":\"crun says\"}\nnoise\n").as_deref(),
            Some("crun says")
        );
        for log in ["", "noise", "{\"level\":\"warning\",\"msg\":\"careful\"}\n"] {
            assert_eq!(failure(log), None, "{log}");
        }
    }

    #[test]
    fn only_files_and_folders_can_be_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/a"), "one").unwrap();
        fs::write(dir.path().join("b"), "four").unwrap();
        let mut found = Vec::new();
        assert!(walk(dir.path(), Path::new(""), 0, &mut found).is_ok());
        found.sort();
        assert_eq!(found, [("b".to_owned(), 4), ("sub/a".to_owned(), 3)]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("c")).unwrap();
        let left = walk(dir.path(), Path::new(""), 0, &mut Vec::new());
        assert!(matches!(left, Err(Left::Kind)));
    }

    #[test]
    fn folders_without_gpus_have_no_devices() {
        let dir = tempfile::tempdir().unwrap();
        // A file of that name is no device.
        fs::write(dir.path().join("nvidia0"), "").unwrap();
        assert_eq!(devices(dir.path()), []);
        assert_eq!(devices(Path::new("/no/such/folder")), []);
    }
}
