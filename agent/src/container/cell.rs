//! The agent's side of the process inside.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bundle;
use super::wire::{self, Answer, Setup, Task};
use super::{Settings, inside};
use crate::workload::{Files, Limits, Outputs, Violation, Watch, lines};

/// Exit status of a process that tried a socket: 128 and SIGSYS.
const SOCKET: i32 = 128 + 31;
/// Exit status of a process that the kernel ended for its memory: 128 and SIGKILL. Nobody inside of the
/// container can send its first process that signal.
const KILLED: i32 = 128 + 9;

/// How often control groups are tried to be removed.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are read of what `unshare` says of a failure.
const MAX_WORDS: u64 = 1024;

/// A process inside, with a bundle. Ends with all of its processes when dropped.
#[derive(Debug)]
pub(super) struct Cell {
    child: Arc<Mutex<Child>>,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Its control group's name.
    group: String,
}

impl Cell {
    /// Starts it, gives it the bundle, and makes sure that this is still the one whose digest is known.
    pub(super) fn start(settings: &Settings) -> Result<Self, Violation> {
        let mut command = Command::new("unshare");
        // The namespaces end with the process inside, and that with this process's end of the pipe.
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        if !settings.privileged {
            command.args(["--user", "--map-root-user"]);
        }
        let child = command
            .arg(&settings.program)
            .arg("inside")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| Violation::Runtime(format!("unshare: {error}")))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Violation::Runtime("unshare: no pipes".into()));
        };
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Violation::Runtime("the system gives no randomness".into()))?;
        let group = format!("vouch-agent-{}", hex::encode(random));
        let mut cell = Self {
            group: group.clone(),
            child: Arc::new(Mutex::new(child)),
            to,
            from: BufReader::new(from),
        };
        let setup = Setup {
            runtime: settings.runtime.clone(),
            privileged: settings.privileged,
            group,
            devices: inside::devices(Path::new("/dev")),
        };
        let digest = wire::tell(&mut cell.to, &setup)
            .map_err(anyhow::Error::from)
            .and_then(|()| bundle::pack(&settings.bundle, &mut cell.to));
        let digest = match digest {
            Ok(digest) => digest,
            // The other side may have said why it did not listen.
            Err(error) => return Err(cell.failed(&format!("{error:#}"))),
        };
        if digest != settings.digest {
            let expected = settings.digest;
            let why = format!("expected the bundle {expected}, found {digest}: it was changed");
            return Err(Violation::Module(why));
        }
        match cell.answer()? {
            Answer::Ready => Ok(cell),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs the container.
    pub(super) fn run(
        &mut self,
        arguments: &[&str],
        inputs: &Files,
        limits: &Limits,
    ) -> Result<Outputs, Violation> {
        let child = Arc::clone(&self.child);
        let watch = Watch::start(limits.time.clone(), move || kill(&child));
        let ran = self.exchange(arguments, inputs, limits);
        if watch.stop() {
            return Err(Violation::Time(format!(
                "{} s",
                limits.time.now().as_secs()
            )));
        }
        ran
    }

    fn exchange(
        &mut self,
        arguments: &[&str],
        inputs: &Files,
        limits: &Limits,
    ) -> Result<Outputs, Violation> {
        let task = Task {
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            memory: limits.memory,
            output_bytes: limits.output_bytes,
        };
        let told = wire::tell(&mut self.to, &task)
            .and_then(|()| wire::send(&mut self.to, inputs))
            .and_then(|()| self.to.flush());
        if let Err(error) = told {
            return Err(self.failed(&error.to_string()));
        }
        let (status, bytes) = match self.answer()? {
            Answer::Ended { status, bytes } => (status, bytes),
            Answer::Kind => return Err(Violation::Kind("something else")),
            Answer::Files => {
                let limit = inside::MAX_FILES as u64;
                return Err(Violation::Output {
                    limit,
                    unit: "files",
                });
            }
            other => return Err(unexpected(&other)),
        };
        let too_much = |limit, unit| Violation::Output { limit, unit };
        // First: a workload that could write no more fails for it, and that is the reason.
        let most = limits.output_bytes.min(limits.memory);
        if bytes > most {
            return Err(too_much(most, "bytes"));
        }
        match status {
            0 => {}
            SOCKET => return Err(Violation::Network("socket")),
            KILLED => return Err(Violation::OutOfMemory(limits.memory)),
            other => return Err(Violation::Exit(other)),
        }
        let files = wire::receive(&mut self.from, bytes);
        let files = files.map_err(|error| Violation::Runtime(format!("the outputs: {error}")))?;
        let rows = files.values().map(|content| lines(content)).sum();
        if rows > limits.output_rows {
            return Err(too_much(limits.output_rows, "rows"));
        }
        Ok(Outputs { files, bytes, rows })
    }

    fn answer(&mut self) -> Result<Answer, Violation> {
        match wire::hear(&mut self.from) {
            Ok(Some(Answer::Failed(why))) => Err(Violation::Runtime(why)),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Violation::Runtime(self.last_words())),
            Err(error) => Err(Violation::Runtime(error.to_string())),
        }
    }

    /// What is to be said of a process inside that has ended.
    fn last_words(&self) -> String {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            // Where it cannot be read it says nothing.
            let _ = stderr.take(MAX_WORDS).read_to_string(&mut said);
        }
        match said.trim() {
            "" => "the process inside was ended".to_owned(),
            said => format!("the namespaces could not be made: {said}"),
        }
    }

    /// Why the other side does not listen: what it said, else what happened here.
    fn failed(&mut self, here: &str) -> Violation {
        match self.answer() {
            Err(said @ Violation::Runtime(_)) => said,
            _ => Violation::Runtime(here.to_owned()),
        }
    }
}

fn unexpected(answer: &Answer) -> Violation {
    Violation::Runtime(format!("an answer to another question: {answer:?}"))
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Where it has ended already there is nothing to do.
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Cell {
    fn drop(&mut self) {
        kill(&self.child);
        // A runtime that is killed leaves its control groups behind, empty once their processes are gone. What
        // cannot be removed is a name and no more.
        for _ in 0..TRIES {
            if remove_groups(&self.group) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether no control group of this name is left, in any hierarchy.
fn remove_groups(name: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten();
    let places = hierarchies.map(|entry| entry.path().join(name));
    places
        .chain([root.join(name)])
        .filter(|group| group.is_dir())
        .all(|group| std::fs::remove_dir(group).is_ok())
}
