//! What the agent and the process inside tell each other: lines of JSON, and files behind them.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::spec::Device;
use crate::workload::Files;

/// Bytes of the longest line.
const MAX_LINE: u64 = 1 << 20;

/// First, to the inside; the bundle's archive follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) runtime: PathBuf,
    pub(super) privileged: bool,
    /// Of the control group, on a machine where others may run containers too.
    pub(super) group: String,
    pub(super) devices: Vec<Device>,
}

/// A run, to the inside; its files follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) arguments: Vec<String>,
    pub(super) memory: u64,
    pub(super) output_bytes: u64,
}

/// What came of the setup or a run, from the inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It can run.
    Ready,
    /// It ended; the files that it left follow where its status is 0.
    Ended {
        /// Its exit status; 128 and the signal's number where a signal ended it.
        status: i32,
        /// Bytes of the files that it left.
        bytes: u64,
    },
    /// It left something that is neither a file nor a folder.
    Kind,
    /// It left more files than may be.
    Files,
    /// The machine could not do it.
    Failed(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    size: u64,
}

/// Writes a line.
pub(super) fn tell(out: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Reads a line; none where there is nothing more.
pub(super) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Announces a file, whose bytes follow.
pub(super) fn announce(out: &mut impl Write, name: &str, size: u64) -> io::Result<()> {
    let name = name.to_owned();
    tell(out, &Some(Header { name, size }))
}

/// Says that there are no more files.
pub(super) fn no_more(out: &mut impl Write) -> io::Result<()> {
    tell(out, &None::<Header>)
}

/// Writes files.
pub(super) fn send(out: &mut impl Write, files: &Files) -> io::Result<()> {
    for (name, content) in files {
        announce(out, name, content.len() as u64)?;
        out.write_all(content)?;
    }
    no_more(out)
}

/// Reads the next file's name and size; none after the last.
pub(super) fn next(from: &mut impl BufRead) -> io::Result<Option<(String, u64)>> {
    let header: Option<Option<Header>> = hear(from)?;
    let header = header.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(header.map(|header| (header.name, header.size)))
}

/// Reads files, `most` bytes of them in all.
pub(super) fn receive(from: &mut impl BufRead, most: u64) -> io::Result<Files> {
    let (mut files, mut left) = (Files::new(), most);
    while let Some((name, size)) = next(from)? {
        let too_much = || io::Error::other("more bytes than were announced");
        left = left.checked_sub(size).ok_or_else(too_much)?;
        let room = usize::try_from(size).map_err(io::Error::other)?;
        // With room for all of it, so that growing leaves no copies behind.
        let mut content = Zeroizing::new(vec![0; room]);
        from.read_exact(&mut content)?;
        files.insert(name, content);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_arrive_as_they_were_sent_and_nothing_behind_them_is_read() {
        let files = Files::from([
            ("empty".to_owned(), Zeroizing::new(Vec::new())),
            (
                "lines".to_owned(),
                Zeroizing::new(b"a\n{}\nnull\n".to_vec()),
            ),
        ]);
        let mut sent = Vec::new();
        send(&mut sent, &files).unwrap();
        sent.extend(b"behind");
        let mut from = &sent[..];
        assert!(receive(&mut from, 10).unwrap() == files);
        assert_eq!(from, b"behind");
    }

    #[test]
    fn cut_oversized_and_broken_streams_are_errors() {
        let files = Files::from([("a".to_owned(), Zeroizing::new(b"text".to_vec()))]);
        let mut sent = Vec::new();
        send(&mut sent, &files).unwrap();
        assert!(receive(&mut &sent[..], 3).is_err());
        for end in 0..sent.len() - 1 {
            assert!(receive(&mut &sent[..end], 10).is_err(), "{end}");
        }
        assert!(receive(&mut &b"{\"name\":1}\n"[..], 10).is_err());
    }
}
