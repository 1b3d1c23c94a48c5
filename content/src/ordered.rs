//! Chunks worked on by all cores, read and written in their order.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::error::Error;

/// More cores than this wait for the disk only.
const MAX_WORKERS: usize = 8;

/// What is read next.
struct Input<R> {
    next: u64,
    read: R,
}

/// Whose turn it is to write, and what has gone wrong.
struct Output<W> {
    turn: u64,
    result: Result<(), Error>,
    write: W,
}

/// Reads, works on and writes each chunk. `read` and `write` see the chunks one after the other, in
/// order; `work` sees several at a time. Each worker holds one chunk and wipes it in the end, since it may
/// have been decrypted.
///
/// # Errors
/// That of the first chunk that fails, after which nothing is written.
pub(crate) fn in_order<T>(
    indices: Range<u64>,
    read: impl FnMut(u64, &mut Vec<u8>) -> Result<(), Error> + Send,
    work: impl Fn(u64, &mut Vec<u8>) -> Result<T, Error> + Sync,
    write: impl FnMut(u64, &[u8], T) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = usize::try_from(indices.end - indices.start).unwrap_or(usize::MAX);
    let input = Mutex::new(Input {
        next: indices.start,
        read,
    });
    let output = Mutex::new(Output {
        turn: indices.start,
        result: Ok(()),
        write,
    });
    let moved = Condvar::new();
    let worker = || {
        let _watch = Watch(&output, &moved);
        let mut chunk = Zeroizing::new(Vec::new());
        loop {
            let (index, filled) = {
                let mut input = lock(&input);
                let index = input.next;
                if index == indices.end {
                    return;
                }
                input.next += 1;
                (index, (input.read)(index, &mut chunk))
            };
            let made = filled.and_then(|()| work(index, &mut chunk));
            let output = moved.wait_while(lock(&output), |output| {
                output.turn != index && output.result.is_ok()
            });
            let mut output = output.unwrap_or_else(PoisonError::into_inner);
            if output.result.is_err() {
                return;
            }
            output.result = made.and_then(|made| (output.write)(index, &chunk, made));
            output.turn += 1;
            moved.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores.min(count).min(MAX_WORKERS) {
            scope.spawn(worker);
        }
        worker();
    });
    output
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .result
}

/// Has the others stop where a worker panics: its chunk's turn would never end.
struct Watch<'a, W>(&'a Mutex<Output<W>>, &'a Condvar);

impl<W> Drop for Watch<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = std::io::Error::other("a thread panicked");
            lock(self.0).result = Err(Error::io("working on chunks")(ended));
            self.1.notify_all();
        }
    }
}

/// What a thread held that panicked is not used any more.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_written_in_order_and_each_once() {
        let mut written = Vec::new();
        in_order(
            3..200,
            |index, chunk| {
                chunk.clear();
                chunk.push(index as u8);
                Ok(())
            },
            |index, chunk| {
                std::thread::sleep(std::time::Duration::from_micros(index % 7 * 50));
                chunk.push(1);
                Ok(index)
            },
            |index, chunk, made| {
                assert_eq!((index, chunk), (made, &[index as u8, 1][..]));
                written.push(index);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(written, (3..200).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_written_after_the_first_chunk_that_fails() {
        for (broken, slow) in [(0, 1), (5, 4), (99, 0)] {
            let mut written = Vec::new();
            let result = in_order(
                0..100,
                |_, _| Ok(()),
                |index, _| {
                    if index == slow {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    // A later chunk that fails sooner is not the first.
                    if index == broken || index == broken + 1 {
                        return Err(Error::Forged(index));
                    }
                    Ok(())
                },
                |index, _, ()| {
                    written.push(index);
                    Ok(())
                },
            );
            assert!(matches!(result, Err(Error::Forged(index)) if index == broken));
            assert_eq!(written, (0..broken).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "chunk 7")]
    fn a_panic_ends_all_workers() {
        let work = |index, _: &mut Vec<u8>| {
            assert!(index != 7, "chunk 7");
            Ok(())
        };
        // On the calling thread it is the panic itself that comes through, on another one the scope's.
        let all = || in_order(0..50, |_, _| Ok(()), work, |_, _, ()| Ok(()));
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(all)).is_err() {
            panic!("chunk 7");
        }
    }

    #[test]
    fn reading_and_writing_may_fail() {
        let refuse = |at: u64| {
            move |index| {
                if index == at {
                    Err(Error::Forged(at))
                } else {
                    Ok(())
                }
            }
        };
        let read = refuse(2);
        let result = in_order(0..9, |i, _| read(i), |_, _| Ok(()), |_, _, ()| Ok(()));
        assert!(matches!(result, Err(Error::Forged(2))));
        let write = refuse(4);
        let result = in_order(0..9, |_, _| Ok(()), |_, _| Ok(()), |i, _, ()| write(i));
        assert!(matches!(result, Err(Error::Forged(4))));
        in_order(0..0, |_, _| Ok(()), |_, _| Ok(()), |_, _, ()| Ok(())).unwrap();
    }
}
