//! Packs: made from an asset, read back whole or in part.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use alloy_primitives::B256;
use zeroize::Zeroizing;

use crate::digest::sha256;
use crate::error::Error;
use crate::files::{PrivateFile, open};
use crate::key::{ContentKey, random};
use crate::manifest::{MANIFEST_LEN, Manifest, TAG_LEN};
use crate::stream::Chunks;
use crate::tree::{Tree, leaf};

/// Chunks on their way between two threads.
const IN_FLIGHT: usize = 4;

/// Packs a file into `store`, under its new digest and with a fresh key. Memory is bounded by a few
/// chunks and the tree.
///
/// # Errors
/// [`Error`]; nothing is left behind then.
pub fn pack(file: &Path, store: &Path, chunk_len: u32) -> Result<(Manifest, ContentKey), Error> {
    let mut input = open(file)?;
    let size = input.metadata().map_err(Error::file(file))?.len();
    pack_reader(&mut input, size, store, chunk_len)
}

/// As [`pack`], from `size` bytes that are read from elsewhere.
///
/// # Errors
/// [`Error`]; nothing is left behind then.
pub fn pack_reader<R: Read + Send>(
    input: &mut R,
    size: u64,
    store: &Path,
    chunk_len: u32,
) -> Result<(Manifest, ContentKey), Error> {
    let key = ContentKey::generate()?;
    let mut manifest = Manifest {
        size,
        chunk_len,
        nonce: random()?,
        commitment: key.commitment(),
        root: B256::ZERO,
    };
    manifest.check()?;
    std::fs::create_dir_all(store).map_err(Error::file(store))?;
    let dir = tempfile::Builder::new()
        .prefix(".vouch-")
        .suffix(".part")
        .tempdir_in(store)
        .map_err(Error::file(store))?;
    let data_path = dir.path().join("data");
    let mut data = File::create(&data_path).map_err(Error::file(&data_path))?;
    let tree = encrypt(input, &manifest, &key, &mut data)?;
    data.sync_all().map_err(Error::file(&data_path))?;
    manifest.root = tree.root();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map_err(Error::file(&path))
    };
    write("tree", &tree.encode())?;
    write("manifest", &manifest.encode())?;
    place(dir, store, manifest.digest())?;
    Ok((manifest, key))
}

/// Encrypts on this thread while another one hashes and writes.
fn encrypt<R: Read>(
    input: &mut R,
    manifest: &Manifest,
    key: &ContentKey,
    out: &mut (impl Write + Send),
) -> Result<Tree, Error> {
    let chunks = Chunks::new(manifest, key)?;
    let (full, to_write) = sync_channel::<Vec<u8>>(IN_FLIGHT);
    let (empty, reuse) = sync_channel::<Vec<u8>>(IN_FLIGHT + 2);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write_chunks(&to_write, &empty, out));
        for index in 0..manifest.chunks() {
            let mut chunk = reuse.try_recv().unwrap_or_default();
            let length = manifest.encrypted_len(index) - TAG_LEN;
            read_exactly(input, &mut chunk, length)?;
            chunks.encrypt(index, &mut chunk)?;
            if full.send(chunk).is_err() {
                break;
            }
        }
        drop(full);
        let tree = writer
            .join()
            .unwrap_or_else(|_| Err(gone("writing the pack")))?;
        // A file that has grown since would be packed in part.
        let mut more = [0];
        if input
            .read(&mut more)
            .map_err(Error::io("reading the asset"))?
            != 0
        {
            return Err(Error::Length {
                what: "asset",
                expected: manifest.size,
                found: manifest.size + 1,
            });
        }
        Ok(tree)
    })
}

fn write_chunks(
    full: &Receiver<Vec<u8>>,
    empty: &SyncSender<Vec<u8>>,
    out: &mut impl Write,
) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    for chunk in full {
        tree.push(leaf(&chunk));
        out.write_all(&chunk)
            .map_err(Error::io("writing the pack"))?;
        let _ = empty.try_send(chunk);
    }
    Ok(tree)
}

/// The folder of an asset in a store, checked as far as it can be without reading its data.
///
/// # Errors
/// [`Error`].
pub fn find(store: &Path, asset: B256) -> Result<Pack<File>, Error> {
    let dir = store.join(hex::encode(asset));
    let read = |name: &str, limit: u64| {
        let path = dir.join(name);
        let mut bytes = Vec::new();
        open(&path)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::file(&path))?;
        Ok::<_, Error>(bytes)
    };
    let manifest = Manifest::decode_as(&read("manifest", MANIFEST_LEN as u64)?, asset)?;
    let tree = Tree::decode(&read("tree", manifest.tree_len())?, &manifest)?;
    let data = open(&dir.join("data"))?;
    let found = data.metadata().map_err(Error::file(&dir))?.len();
    if found != manifest.data_len() {
        return Err(Error::Length {
            what: "data",
            expected: manifest.data_len(),
            found,
        });
    }
    Ok(Pack::new(manifest, tree, data))
}

/// Puts an asset of one store into another one, chunk by checked chunk.
///
/// # Errors
/// [`Error`]; nothing is left behind then.
pub fn publish(store: &Path, asset: B256, to: &Path) -> Result<PathBuf, Error> {
    let mut pack = find(store, asset)?;
    std::fs::create_dir_all(to).map_err(Error::file(to))?;
    let dir = tempfile::Builder::new()
        .prefix(".vouch-")
        .suffix(".part")
        .tempdir_in(to)
        .map_err(Error::file(to))?;
    let path = dir.path().join("data");
    let mut data = File::create(&path).map_err(Error::file(&path))?;
    for index in 0..pack.manifest.chunks() {
        data.write_all(&pack.encrypted(index)?)
            .map_err(Error::file(&path))?;
    }
    data.sync_all().map_err(Error::file(&path))?;
    for (name, bytes) in [
        ("tree", pack.tree.encode()),
        ("manifest", pack.manifest.encode().to_vec()),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map_err(Error::file(&path))?;
    }
    place(dir, to, asset)
}

/// Gives a whole folder its name. One that is there already stays.
fn place(dir: tempfile::TempDir, store: &Path, asset: B256) -> Result<PathBuf, Error> {
    let target = store.join(hex::encode(asset));
    if find(store, asset).is_ok() {
        return Ok(target);
    }
    if target.exists() {
        // Something that is not the asset has its name.
        std::fs::remove_dir_all(&target).map_err(Error::file(&target))?;
    }
    // Packs are for everybody; the temporary folder was not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).map_err(Error::file(dir.path()))?;
    }
    let kept = dir.keep();
    std::fs::rename(&kept, &target).map_err(|error| {
        let _ = std::fs::remove_dir_all(&kept);
        Error::file(&target)(error)
    })?;
    Ok(target)
}

/// An encrypted asset whose manifest and tree have been checked.
#[derive(Debug)]
pub struct Pack<R> {
    manifest: Manifest,
    tree: Tree,
    data: R,
    /// Where the data begins in its file.
    base: u64,
}

impl<R: Read + Seek + Send> Pack<R> {
    pub(crate) const fn new(manifest: Manifest, tree: Tree, data: R) -> Self {
        Self {
            manifest,
            tree,
            data,
            base: 0,
        }
    }

    pub(crate) const fn starting_at(mut self, base: u64) -> Self {
        self.base = base;
        self
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The tree.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// An encrypted chunk, checked by the tree.
    ///
    /// # Errors
    /// [`Error::Chunk`], [`Error::Io`].
    pub fn encrypted(&mut self, index: u64) -> Result<Vec<u8>, Error> {
        let mut chunk = Vec::new();
        self.read_encrypted(index, &mut chunk)?;
        Ok(chunk)
    }

    fn read_encrypted(&mut self, index: u64, chunk: &mut Vec<u8>) -> Result<(), Error> {
        let at = self.base + self.manifest.offset(index);
        self.data
            .seek(SeekFrom::Start(at))
            .map_err(Error::io("reading the pack"))?;
        read_exactly(&mut self.data, chunk, self.manifest.encrypted_len(index))?;
        self.tree.check(index, chunk)
    }

    /// Checks every chunk by the tree. Needs no key.
    ///
    /// # Errors
    /// The first [`Error::Chunk`].
    pub fn verify(&mut self) -> Result<(), Error> {
        let mut chunk = Vec::new();
        for index in 0..self.manifest.chunks() {
            self.read_encrypted(index, &mut chunk)?;
        }
        Ok(())
    }

    /// Decrypts all of it into a file that only its owner can read, and that is there only once it is
    /// whole.
    ///
    /// # Errors
    /// [`Error`]; no file is left behind then.
    pub fn decrypt_to(&mut self, key: &ContentKey, path: &Path) -> Result<(), Error> {
        let mut file = PrivateFile::create(path)?;
        let all = 0..self.manifest.size;
        self.decrypt(key, all, &mut file)?;
        file.finish()
    }

    /// Decrypts a range of the asset's bytes. Only whole, checked chunks are ever decrypted, and `out`
    /// gets nothing of a chunk that fails. This thread reads and checks, another one decrypts.
    ///
    /// # Errors
    /// [`Error`]; what `out` got until then is authentic but not all of it.
    pub fn decrypt(
        &mut self,
        key: &ContentKey,
        range: Range<u64>,
        out: &mut (impl Write + Send),
    ) -> Result<(), Error> {
        let manifest = self.manifest;
        let chunks = Chunks::new(&manifest, key)?;
        if range.start > range.end || range.end > manifest.size {
            return Err(Error::Length {
                what: "range",
                expected: manifest.size,
                found: range.end,
            });
        }
        let chunk_len = u64::from(manifest.chunk_len);
        let first = range.start / chunk_len;
        // An empty asset has a chunk too: its tag says that it is empty.
        let end = range
            .end
            .div_ceil(chunk_len)
            .max(first + 1)
            .min(manifest.chunks());
        let (full, checked) = sync_channel::<(u64, Zeroizing<Vec<u8>>)>(IN_FLIGHT);
        // Used again as they are, and wiped when the last use is over.
        let (empty, reuse) = sync_channel::<Zeroizing<Vec<u8>>>(IN_FLIGHT + 2);
        std::thread::scope(|scope| {
            let decrypting = scope.spawn(move || {
                for (index, mut chunk) in checked {
                    chunks.decrypt(index, &mut chunk)?;
                    let at = index * chunk_len;
                    let from = range.start.saturating_sub(at).min(chunk.len() as u64);
                    let to = (range.end - at).min(chunk.len() as u64);
                    out.write_all(&chunk[from as usize..to as usize])
                        .map_err(Error::io("writing what was decrypted"))?;
                    let _ = empty.try_send(chunk);
                }
                out.flush().map_err(Error::io("writing what was decrypted"))
            });
            let mut read = Ok(());
            for index in first..end {
                let mut chunk = reuse.try_recv().unwrap_or_default();
                read = self.read_encrypted(index, &mut chunk);
                if read.is_err() || full.send((index, chunk)).is_err() {
                    break;
                }
            }
            drop(full);
            let decrypted = decrypting
                .join()
                .unwrap_or_else(|_| Err(gone("decrypting")));
            read.and(decrypted)
        })
    }
}

/// Fills `chunk` with exactly this many bytes.
fn read_exactly(input: &mut impl Read, chunk: &mut Vec<u8>, length: u64) -> Result<(), Error> {
    chunk.clear();
    let found = input
        .take(length)
        .read_to_end(chunk)
        .map_err(Error::io("reading a chunk"))?;
    if found as u64 != length {
        return Err(Error::Length {
            what: "chunk",
            expected: length,
            found: found as u64,
        });
    }
    Ok(())
}

fn gone(what: &'static str) -> Error {
    Error::io(what)(std::io::Error::other("the thread ended"))
}

/// SHA-256 of a file, and its length.
pub(crate) fn digest_file(path: &Path) -> Result<(B256, u64), Error> {
    let mut file = open(path)?;
    let mut hash = crate::digest::Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).map_err(Error::file(path))? {
            0 if size == 0 => return Ok((sha256(&[]), 0)),
            0 => return Ok((hash.finish(), size)),
            read => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}
