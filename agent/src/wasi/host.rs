//! WASI preview 1 as far as this world has it (<https://github.com/WebAssembly/WASI>, `witx`
//! definitions of `wasi_snapshot_preview1`): structures and numbers are those of that document.

use wasmtime::{Caller, Error, Extern, Linker, Memory, Result};

use super::files::{BADF, Fault, Folder, How, INVAL, Open, World};
use crate::workload::Violation;

const MODULE: &str = "wasi_snapshot_preview1";
const SUCCESS: i32 = 0;
const FAULT: i32 = 21;
const NOSYS: i32 = 52;
const NOTSUP: i32 = 58;

const DIRECTORY: u8 = 3;
const REGULAR_FILE: u8 = 4;
const CHARACTER_DEVICE: u8 = 2;
const RIGHT_FD_WRITE: u64 = 1 << 6;
/// Most bytes that one call reads or writes; callers come again for the rest.
const MAX_PIECE: u32 = 1 << 20;

type Call<'a> = Caller<'a, World>;

/// The module's memory, with checked access.
struct Guest(Memory);

impl Guest {
    fn of(caller: &mut Call<'_>) -> Result<Self> {
        match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(Self(memory)),
            _ => Err(Error::new(Violation::Module("no exported memory".into()))),
        }
    }

    fn read(&self, caller: &Call<'_>, at: u32, length: u32) -> Result<Vec<u8>, Fault> {
        let data = self.0.data(caller);
        let end = (at as usize)
            .checked_add(length as usize)
            .ok_or(Fault::Errno(FAULT))?;
        data.get(at as usize..end)
            .map(<[u8]>::to_vec)
            .ok_or(Fault::Errno(FAULT))
    }

    fn write(&self, caller: &mut Call<'_>, at: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.0
            .write(caller, at as usize, bytes)
            .map_err(|_| Fault::Errno(FAULT))
    }

    fn text(&self, caller: &Call<'_>, at: u32, length: u32) -> Result<String, Fault> {
        let bytes = self.read(caller, at, length.min(4096))?;
        String::from_utf8(bytes).map_err(|_| Fault::Errno(INVAL))
    }

    /// The buffers of a scattered read or gathered write.
    fn pieces(&self, caller: &Call<'_>, at: u32, count: u32) -> Result<Vec<(u32, u32)>, Fault> {
        if count > 1024 {
            return Err(Fault::Errno(INVAL));
        }
        let bytes = self.read(caller, at, count * 8)?;
        let word = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        Ok(bytes
            .chunks_exact(8)
            .map(|piece| (word(&piece[..4]), word(&piece[4..])))
            .collect())
    }
}

/// Errors become numbers for the module, violations end it.
fn answer(outcome: Result<(), Fault>) -> Result<i32> {
    match outcome {
        Ok(()) => Ok(SUCCESS),
        Err(Fault::Errno(errno)) => Ok(errno),
        Err(Fault::Stop(violation)) => Err(Error::new(violation)),
    }
}

pub(super) fn define(linker: &mut Linker<World>) -> Result<()> {
    process(linker)?;
    descriptors(linker)?;
    paths(linker)?;
    refused(linker)
}

fn process(linker: &mut Linker<World>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "args_sizes_get",
        |mut caller: Call<'_>, count: u32, size: u32| {
            let guest = Guest::of(&mut caller)?;
            let arguments = &caller.data().arguments;
            let number = arguments.len() as u32;
            let bytes: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
            answer(
                guest
                    .write(&mut caller, count, &number.to_le_bytes())
                    .and_then(|()| guest.write(&mut caller, size, &(bytes as u32).to_le_bytes())),
            )
        },
    )?;
    linker.func_wrap(
        MODULE,
        "args_get",
        |mut caller: Call<'_>, table: u32, buffer: u32| {
            let guest = Guest::of(&mut caller)?;
            let arguments = caller.data().arguments.clone();
            let (mut table, mut buffer) = (table, buffer);
            let mut write = || {
                for argument in &arguments {
                    guest.write(&mut caller, table, &buffer.to_le_bytes())?;
                    guest.write(&mut caller, buffer, &[argument.as_bytes(), &[0]].concat())?;
                    table = table.wrapping_add(4);
                    buffer = buffer.wrapping_add(argument.len() as u32 + 1);
                }
                Ok(())
            };
            answer(write())
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Call<'_>, count: u32, size: u32| {
            let guest = Guest::of(&mut caller)?;
            let none = [0; 4];
            answer(
                guest
                    .write(&mut caller, count, &none)
                    .and_then(|()| guest.write(&mut caller, size, &none)),
            )
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |_: Call<'_>, _: u32, _: u32| SUCCESS)?;
    linker.func_wrap(
        MODULE,
        "clock_res_get",
        |mut caller: Call<'_>, _: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            answer(guest.write(&mut caller, out, &1_000_000_000u64.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Call<'_>, _: u32, _: u64, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let time = caller.data().time.saturating_mul(1_000_000_000);
            answer(guest.write(&mut caller, out, &time.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "random_get",
        |mut caller: Call<'_>, out: u32, length: u32| {
            let guest = Guest::of(&mut caller)?;
            if length > MAX_PIECE {
                return Ok(INVAL);
            }
            let mut bytes = vec![0; length as usize];
            caller.data_mut().randomness.fill(&mut bytes);
            answer(guest.write(&mut caller, out, &bytes))
        },
    )?;
    linker.func_wrap(MODULE, "sched_yield", |_: Call<'_>| SUCCESS)?;
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |_: Call<'_>, status: i32| -> Result<()> { Err(Error::new(Violation::Exit(status))) },
    )?;
    Ok(())
}

fn descriptors(linker: &mut Linker<World>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_prestat_get",
        |mut caller: Call<'_>, fd: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            // Only the two folders are there from the beginning; where they end, a module stops asking.
            let folder = match caller.data().get(fd) {
                Ok(Open::Folder(folder)) if fd == 3 || fd == 4 => *folder,
                _ => return Ok(BADF),
            };
            let length = folder.name().len() as u32;
            answer(guest.write(&mut caller, out, &[[0; 4], length.to_le_bytes()].concat()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_prestat_dir_name",
        |mut caller: Call<'_>, fd: u32, out: u32, length: u32| {
            let guest = Guest::of(&mut caller)?;
            let folder = match caller.data().get(fd) {
                Ok(Open::Folder(folder)) => *folder,
                _ => return Ok(BADF),
            };
            let name = folder.name().as_bytes();
            if (length as usize) < name.len() {
                return Ok(INVAL);
            }
            answer(guest.write(&mut caller, out, name))
        },
    )?;
    linker.func_wrap(MODULE, "fd_close", |mut caller: Call<'_>, fd: u32| {
        answer(caller.data_mut().close(fd))
    })?;
    linker.func_wrap(
        MODULE,
        "fd_read",
        |mut caller: Call<'_>, fd: u32, list: u32, count: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let mut read = || {
                let mut total = 0u32;
                for (at, length) in guest.pieces(&caller, list, count)? {
                    let mut bytes = vec![0; length.min(MAX_PIECE) as usize];
                    let found = caller.data_mut().read(fd, &mut bytes)?;
                    guest.write(&mut caller, at, &bytes[..found])?;
                    total = total.saturating_add(found as u32);
                    if found < length as usize {
                        break;
                    }
                }
                guest.write(&mut caller, out, &total.to_le_bytes())
            };
            answer(read())
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Call<'_>, fd: u32, list: u32, count: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let mut write = || {
                let mut total = 0u32;
                for (at, length) in guest.pieces(&caller, list, count)? {
                    let bytes = guest.read(&caller, at, length.min(MAX_PIECE))?;
                    caller.data_mut().write(fd, &bytes)?;
                    total = total.saturating_add(bytes.len() as u32);
                    if length > MAX_PIECE {
                        break;
                    }
                }
                guest.write(&mut caller, out, &total.to_le_bytes())
            };
            answer(write())
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_seek",
        |mut caller: Call<'_>, fd: u32, offset: i64, whence: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let moved = caller.data_mut().seek(fd, offset, whence);
            answer(moved.and_then(|at| guest.write(&mut caller, out, &at.to_le_bytes())))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_tell",
        |mut caller: Call<'_>, fd: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let at = caller.data_mut().seek(fd, 0, 1);
            answer(at.and_then(|at| guest.write(&mut caller, out, &at.to_le_bytes())))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_fdstat_get",
        |mut caller: Call<'_>, fd: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let kind = match caller.data().get(fd) {
                Ok(Open::Standard) => CHARACTER_DEVICE,
                Ok(Open::Folder(_)) => DIRECTORY,
                Ok(Open::File { .. }) => REGULAR_FILE,
                Err(_) => return Ok(BADF),
            };
            let mut stat = [0; 24];
            stat[0] = kind;
            stat[8..].fill(0xff);
            answer(guest.write(&mut caller, out, &stat))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_fdstat_set_flags",
        |_: Call<'_>, _: u32, _: u32| SUCCESS,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_get",
        |mut caller: Call<'_>, fd: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let is_file = matches!(caller.data().get(fd), Ok(Open::File { .. }));
            let size = caller.data().size(fd);
            answer(size.and_then(|size| guest.write(&mut caller, out, &filestat(is_file, size))))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_size",
        |mut caller: Call<'_>, fd: u32, size: u64| {
            let resized = match caller.data().get(fd).cloned() {
                Ok(Open::File {
                    folder: Folder::Out,
                    name,
                    ..
                }) => caller.data_mut().resize(&name, size),
                Ok(_) => Err(Fault::Errno(BADF)),
                Err(fault) => Err(fault),
            };
            answer(resized)
        },
    )?;
    for name in ["fd_sync", "fd_datasync"] {
        linker.func_wrap(MODULE, name, |_: Call<'_>, _: u32| SUCCESS)?;
    }
    linker.func_wrap(
        MODULE,
        "fd_readdir",
        |mut caller: Call<'_>, fd: u32, buffer: u32, length: u32, cookie: u64, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let folder = match caller.data().get(fd) {
                Ok(Open::Folder(folder)) => *folder,
                _ => return Ok(BADF),
            };
            let mut bytes = Vec::new();
            let skipped = usize::try_from(cookie).unwrap_or(usize::MAX);
            for (index, name) in caller.data().names(folder).enumerate().skip(skipped) {
                bytes.extend((index as u64 + 1).to_le_bytes());
                bytes.extend(0u64.to_le_bytes());
                bytes.extend((name.len() as u32).to_le_bytes());
                bytes.extend([REGULAR_FILE, 0, 0, 0]);
                bytes.extend(name.as_bytes());
            }
            bytes.truncate(length as usize);
            let used = bytes.len() as u32;
            answer(
                guest
                    .write(&mut caller, buffer, &bytes)
                    .and_then(|()| guest.write(&mut caller, out, &used.to_le_bytes())),
            )
        },
    )?;
    Ok(())
}

fn paths(linker: &mut Linker<World>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "path_open",
        |mut caller: Call<'_>,
         fd: u32,
         _: u32,
         path: u32,
         length: u32,
         flags: u32,
         rights: u64,
         _: u64,
         fdflags: u32,
         out: u32| {
            let guest = Guest::of(&mut caller)?;
            let how = How {
                create: flags & 1 != 0,
                exclusive: flags & 4 != 0,
                truncate: flags & 8 != 0,
                write: rights & RIGHT_FD_WRITE != 0,
                append: fdflags & 1 != 0,
            };
            let opened = guest
                .text(&caller, path, length)
                .and_then(|path| caller.data_mut().open(fd, &path, how));
            answer(opened.and_then(|fd| guest.write(&mut caller, out, &fd.to_le_bytes())))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_filestat_get",
        |mut caller: Call<'_>, fd: u32, _: u32, path: u32, length: u32, out: u32| {
            let guest = Guest::of(&mut caller)?;
            let found = guest
                .text(&caller, path, length)
                .and_then(|path| caller.data().stat(fd, &path));
            answer(found.and_then(|(is_file, size)| {
                guest.write(&mut caller, out, &filestat(is_file, size))
            }))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_unlink_file",
        |mut caller: Call<'_>, fd: u32, path: u32, length: u32| {
            let guest = Guest::of(&mut caller)?;
            let path = guest.text(&caller, path, length);
            answer(path.and_then(|path| caller.data_mut().remove(fd, &path)))
        },
    )?;
    Ok(())
}

/// `filestat`: device, inode, type, links, size and three times that stand still.
fn filestat(is_file: bool, size: u64) -> [u8; 64] {
    let mut out = [0; 64];
    out[16] = if is_file { REGULAR_FILE } else { DIRECTORY };
    out[24] = 1;
    out[32..40].copy_from_slice(&size.to_le_bytes());
    out
}

/// Calls that this world does not have: the network ends the module, the rest is not supported.
fn refused(linker: &mut Linker<World>) -> Result<()> {
    let network = |name| move || Err::<i32, _>(Error::new(Violation::Network(name)));
    let (accept, receive) = (network("sock_accept"), network("sock_recv"));
    let (send, shutdown) = (network("sock_send"), network("sock_shutdown"));
    linker.func_wrap(MODULE, "sock_accept", move |_: u32, _: u32, _: u32| {
        accept()
    })?;
    linker.func_wrap(
        MODULE,
        "sock_recv",
        move |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| receive(),
    )?;
    linker.func_wrap(
        MODULE,
        "sock_send",
        move |_: u32, _: u32, _: u32, _: u32, _: u32| send(),
    )?;
    linker.func_wrap(MODULE, "sock_shutdown", move |_: u32, _: u32| shutdown())?;
    linker.func_wrap(MODULE, "poll_oneoff", |_: u32, _: u32, _: u32, _: u32| {
        NOTSUP
    })?;
    linker.func_wrap(MODULE, "proc_raise", |_: u32| NOSYS)?;
    linker.func_wrap(MODULE, "fd_advise", |_: u32, _: u64, _: u64, _: u32| {
        SUCCESS
    })?;
    linker.func_wrap(MODULE, "fd_allocate", |_: u32, _: u64, _: u64| NOTSUP)?;
    linker.func_wrap(MODULE, "fd_renumber", |_: u32, _: u32| NOTSUP)?;
    linker.func_wrap(MODULE, "fd_fdstat_set_rights", |_: u32, _: u64, _: u64| {
        NOTSUP
    })?;
    linker.func_wrap(
        MODULE,
        "fd_filestat_set_times",
        |_: u32, _: u64, _: u64, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_pread",
        |_: u32, _: u32, _: u32, _: u64, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_pwrite",
        |_: u32, _: u32, _: u32, _: u64, _: u32| NOTSUP,
    )?;
    linker.func_wrap(MODULE, "path_create_directory", |_: u32, _: u32, _: u32| {
        NOTSUP
    })?;
    linker.func_wrap(MODULE, "path_remove_directory", |_: u32, _: u32, _: u32| {
        NOTSUP
    })?;
    linker.func_wrap(
        MODULE,
        "path_readlink",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "path_symlink",
        |_: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "path_rename",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "path_link",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NOTSUP,
    )?;
    linker.func_wrap(
        MODULE,
        "path_filestat_set_times",
        |_: u32, _: u32, _: u32, _: u32, _: u64, _: u64, _: u32| NOTSUP,
    )?;
    Ok(())
}
