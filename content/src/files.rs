//! Files that are there as a whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file that only its owner can read, under another name until it is whole: dropping it removes it.
#[derive(Debug)]
pub struct PrivateFile {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl PrivateFile {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        // Created with permissions 0600.
        let file = tempfile::Builder::new()
            .prefix(".vouch-")
            .suffix(".part")
            .tempfile_in(dir)
            .map_err(Error::file(path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Where the bytes go for now.
    pub fn as_file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// The file is whole: it takes its name, in the place of whatever had it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(self) -> Result<(), Error> {
        let path = self.path;
        self.file.as_file().sync_all().map_err(Error::file(&path))?;
        self.file
            .persist(&path)
            .map_err(|error| Error::file(&path)(error.error))?;
        Ok(())
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = Self::create(path)?;
        file.as_file().write_all(bytes).map_err(Error::file(path))?;
        file.finish()
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Opens a file for reading, and says which it was where it cannot.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::file(path))
}

/// Opens a file that grows.
pub(crate) fn open_partial(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::file(path))
}
