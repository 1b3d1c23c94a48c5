use std::path::PathBuf;

use vouch_evidence::{Time, decode};

/// Where the captures are, if they are here.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("VOUCH_EVIDENCE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
    };
    folder.is_dir().then_some(folder)
}

/// Runs `check` on every row whose file is here, and says how many were.
pub(crate) fn each<R>(what: &str, rows: &[R], name: impl Fn(&R) -> &str, check: impl Fn(&R)) {
    let Some(folder) = folder() else {
        println!("{what}: captures are not here, {} rows skipped", rows.len());
        return;
    };
    let (present, absent): (Vec<&R>, Vec<&R>) = rows
        .iter()
        .partition(|row| folder.join(name(row)).is_file());
    present.iter().for_each(|row| check(row));
    println!(
        "{what}: {} real captures checked, {} skipped (file not here)",
        present.len(),
        absent.len()
    );
    assert!(
        !present.is_empty(),
        "{what}: the folder is here but none of its captures"
    );
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    let file = folder().unwrap().join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub(crate) fn binary(path: &str) -> Vec<u8> {
    decode::binary(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn certificates(path: &str) -> Vec<Vec<u8>> {
    decode::certificates(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn slices(certificates: &[Vec<u8>]) -> Vec<&[u8]> {
    certificates.iter().map(Vec::as_slice).collect()
}

pub(crate) fn time(text: &str) -> Time {
    Time::from_rfc3339_utc(text).unwrap()
}
