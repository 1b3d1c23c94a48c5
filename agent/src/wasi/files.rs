//! The two folders of a workload: bytes in memory, flat, with names of one component.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use zeroize::Zeroizing;

use super::Seeded;
use super::memory::Memory;
use crate::workload::{Files, Limits, Outputs, Violation, lines};

/// Open files at a time.
const MAX_OPEN: usize = 1024;
/// Files in `/out`.
const MAX_FILES: usize = 4096;

/// A folder of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// `/in`: read only.
    In,
    /// `/out`.
    Out,
}

impl Folder {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::In => "/in",
            Self::Out => "/out",
        }
    }
}

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Standard input, output and error: nothing to read, and what is written goes nowhere, since
    /// whoever runs the machine could read it.
    Standard,
    Folder(Folder),
    File {
        folder: Folder,
        name: String,
        at: u64,
        append: bool,
    },
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) write: bool,
    pub(super) append: bool,
}

/// What a call of the workload came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The workload is told, and may go on.
    Errno(i32),
    /// The workload is stopped.
    Stop(Violation),
}

pub(super) const BADF: i32 = 8;
pub(super) const EXIST: i32 = 20;
pub(super) const INVAL: i32 = 28;
pub(super) const ISDIR: i32 = 31;
pub(super) const MFILE: i32 = 33;
pub(super) const NOENT: i32 = 44;

/// Everything that a workload sees and has.
pub(super) struct World {
    pub(super) arguments: Vec<String>,
    pub(super) time: u64,
    pub(super) randomness: Seeded,
    pub(super) memory: Memory,
    limits: Limits,
    inputs: Files,
    outputs: Files,
    bytes: u64,
    rows: u64,
    open: BTreeMap<u32, Open>,
}

impl World {
    pub(super) fn new(
        arguments: &[&str],
        inputs: &Files,
        seed: B256,
        time: u64,
        limits: Limits,
    ) -> Self {
        let open = [
            (0, Open::Standard),
            (1, Open::Standard),
            (2, Open::Standard),
            (3, Open::Folder(Folder::In)),
            (4, Open::Folder(Folder::Out)),
        ];
        Self {
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            time,
            randomness: Seeded { seed, count: 0 },
            memory: Memory::new(limits.memory),
            limits,
            inputs: inputs.clone(),
            outputs: Files::new(),
            bytes: 0,
            rows: 0,
            open: open.into(),
        }
    }

    pub(super) fn into_outputs(self) -> Outputs {
        Outputs {
            files: self.outputs,
            bytes: self.bytes,
            rows: self.rows,
        }
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Open, Fault> {
        self.open.get(&fd).ok_or(Fault::Errno(BADF))
    }

    fn file(&self, folder: Folder, name: &str) -> Option<&Zeroizing<Vec<u8>>> {
        match folder {
            Folder::In => self.inputs.get(name),
            Folder::Out => self.outputs.get(name),
        }
    }

    /// Names in a folder, in their order.
    pub(super) fn names(&self, folder: Folder) -> impl Iterator<Item = &String> {
        match folder {
            Folder::In => self.inputs.keys(),
            Folder::Out => self.outputs.keys(),
        }
    }

    /// Bytes of an open file.
    pub(super) fn size(&self, fd: u32) -> Result<u64, Fault> {
        match self.get(fd)? {
            Open::File { folder, name, .. } => {
                Ok(self.file(*folder, name).map_or(0, |file| file.len() as u64))
            }
            _ => Ok(0),
        }
    }

    /// The folder that a descriptor stands for, and a name in it. A path that leads elsewhere stops the
    /// workload.
    pub(super) fn resolve(&self, fd: u32, path: &str) -> Result<(Folder, String), Fault> {
        let Open::Folder(folder) = self.get(fd)? else {
            return Err(Fault::Errno(BADF));
        };
        let name = path
            .strip_prefix("./")
            .unwrap_or(path)
            .trim_end_matches('/');
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            let shown = format!("{}/{path}", folder.name());
            return Err(Fault::Stop(Violation::Outside(shown)));
        }
        if name.is_empty() || name == "." {
            return Err(Fault::Errno(ISDIR));
        }
        if name.contains('/') || name.len() > 255 {
            return Err(Fault::Errno(NOENT));
        }
        Ok((*folder, name.to_owned()))
    }

    pub(super) fn stat(&self, fd: u32, path: &str) -> Result<(bool, u64), Fault> {
        match self.resolve(fd, path) {
            Ok((folder, name)) => {
                let file = self.file(folder, &name).ok_or(Fault::Errno(NOENT))?;
                Ok((true, file.len() as u64))
            }
            Err(Fault::Errno(ISDIR)) => Ok((false, 0)),
            Err(fault) => Err(fault),
        }
    }

    pub(super) fn open(&mut self, fd: u32, path: &str, how: How) -> Result<u32, Fault> {
        let opened = match self.resolve(fd, path) {
            Ok((folder, name)) => {
                self.prepare(folder, &name, path, how)?;
                Open::File {
                    folder,
                    name,
                    at: 0,
                    append: how.append,
                }
            }
            Err(Fault::Errno(ISDIR)) if !how.write && !how.create => self.get(fd)?.clone(),
            Err(fault) => return Err(fault),
        };
        if self.open.len() >= MAX_OPEN {
            return Err(Fault::Errno(MFILE));
        }
        let new = (5..)
            .find(|fd| !self.open.contains_key(fd))
            .unwrap_or(u32::MAX);
        self.open.insert(new, opened);
        Ok(new)
    }

    fn prepare(&mut self, folder: Folder, name: &str, path: &str, how: How) -> Result<(), Fault> {
        let exists = self.file(folder, name).is_some();
        if folder == Folder::In && (how.write || how.truncate || (how.create && !exists)) {
            return Err(Fault::Stop(Violation::Outside(format!(
                "/in/{path}, to write"
            ))));
        }
        if exists && how.create && how.exclusive {
            return Err(Fault::Errno(EXIST));
        }
        if !exists {
            if !how.create {
                return Err(Fault::Errno(NOENT));
            }
            if self.outputs.len() >= MAX_FILES {
                let limit = MAX_FILES as u64;
                return Err(Fault::Stop(Violation::Output {
                    limit,
                    unit: "files",
                }));
            }
            self.outputs.insert(name.to_owned(), Zeroizing::default());
        } else if how.truncate {
            self.resize(name, 0)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Fault> {
        self.open.remove(&fd).map(|_| ()).ok_or(Fault::Errno(BADF))
    }

    pub(super) fn read(&mut self, fd: u32, out: &mut [u8]) -> Result<usize, Fault> {
        let (folder, name, at) = match self.get(fd)? {
            Open::Standard => return Ok(0),
            Open::Folder(_) => return Err(Fault::Errno(ISDIR)),
            Open::File {
                folder, name, at, ..
            } => (*folder, name.clone(), *at),
        };
        let file = self.file(folder, &name).ok_or(Fault::Errno(NOENT))?;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(file.len());
        let length = out.len().min(file.len() - from);
        out[..length].copy_from_slice(&file[from..from + length]);
        self.advance(fd, at + length as u64);
        Ok(length)
    }

    pub(super) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<usize, Fault> {
        let (name, at, append) = match self.get(fd)? {
            Open::Standard => return Ok(bytes.len()),
            Open::Folder(_) => return Err(Fault::Errno(ISDIR)),
            Open::File {
                folder: Folder::In, ..
            } => return Err(Fault::Errno(BADF)),
            Open::File {
                name, at, append, ..
            } => (name.clone(), *at, *append),
        };
        let length = self.outputs.get(&name).ok_or(Fault::Errno(NOENT))?.len() as u64;
        let at = if append { length } else { at };
        let end = at
            .checked_add(bytes.len() as u64)
            .ok_or(Fault::Errno(INVAL))?;
        if end > length {
            self.resize(&name, end)?;
        }
        let file = self.outputs.get_mut(&name).ok_or(Fault::Errno(NOENT))?;
        // `resize` has made room; both fit in memory.
        let place = &mut file[at as usize..end as usize];
        self.rows = (self.rows - lines(place)).saturating_add(lines(bytes));
        place.copy_from_slice(bytes);
        if self.rows > self.limits.output_rows {
            let limit = self.limits.output_rows;
            return Err(Fault::Stop(Violation::Output {
                limit,
                unit: "rows",
            }));
        }
        self.advance(fd, end);
        Ok(bytes.len())
    }

    /// Changes the length of an output, within the budget.
    pub(super) fn resize(&mut self, name: &str, length: u64) -> Result<(), Fault> {
        let file = self.outputs.get_mut(name).ok_or(Fault::Errno(NOENT))?;
        let total = self.bytes - file.len() as u64;
        let total = total.checked_add(length).ok_or(Fault::Errno(INVAL))?;
        if total > self.limits.output_bytes {
            let limit = self.limits.output_bytes;
            return Err(Fault::Stop(Violation::Output {
                limit,
                unit: "bytes",
            }));
        }
        let length = usize::try_from(length).map_err(|_| Fault::Errno(INVAL))?;
        if length < file.len() {
            let gone = file[length..].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.rows -= gone;
        }
        file.resize(length, 0);
        self.bytes = total;
        Ok(())
    }

    pub(super) fn remove(&mut self, fd: u32, path: &str) -> Result<(), Fault> {
        let (folder, name) = self.resolve(fd, path)?;
        if folder == Folder::In {
            return Err(Fault::Stop(Violation::Outside(format!(
                "/in/{path}, to remove"
            ))));
        }
        self.resize(&name, 0)?;
        self.outputs.remove(&name);
        Ok(())
    }

    pub(super) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Fault> {
        let Open::File { at, .. } = self.get(fd)? else {
            return Err(Fault::Errno(BADF));
        };
        let from = match whence {
            0 => 0,
            1 => *at,
            2 => self.size(fd)?,
            _ => return Err(Fault::Errno(INVAL)),
        };
        let to = from.checked_add_signed(offset).ok_or(Fault::Errno(INVAL))?;
        self.advance(fd, to);
        Ok(to)
    }

    fn advance(&mut self, fd: u32, to: u64) {
        if let Some(Open::File { at, .. }) = self.open.get_mut(&fd) {
            *at = to;
        }
    }
}
