//! Packs: made from an asset, read back whole or in part.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;

use crate::digest::sha256;
use crate::error::Error;
use crate::files::{PrivateFile, open};
use crate::key::{ContentKey, random};
use crate::manifest::{MANIFEST_LEN, Manifest, TAG_LEN};
use crate::ordered::in_order;
use crate::stream::Chunks;
use crate::tree::{Tree, leaf};

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

/// Encrypts and hashes what is read, and writes it.
fn encrypt<R: Read + Send>(
    input: &mut R,
    manifest: &Manifest,
    key: &ContentKey,
    out: &mut (impl Write + Send),
) -> Result<Tree, Error> {
    let chunks = Chunks::new(manifest, key)?;
    let mut tree = Tree::default();
    in_order(
        0..manifest.chunks(),
        |index, chunk| read_exactly(input, chunk, manifest.encrypted_len(index) - TAG_LEN),
        |index, chunk| {
            chunks.encrypt(index, chunk)?;
            Ok(leaf(chunk))
        },
        |_, chunk, leaf| {
            tree.push(leaf);
            out.write_all(chunk).map_err(Error::io("writing the pack"))
        },
    )?;
    // A file that has grown since would be packed in part.
    let mut more = [0];
    let more = input.read(&mut more);
    if more.map_err(Error::io("reading the asset"))? != 0 {
        return Err(Error::Length {
            what: "asset",
            expected: manifest.size,
            found: manifest.size + 1,
        });
    }
    Ok(tree)
}

/// The folder of an asset in a store, checked as far as it can be without reading its data.
///
/// # Errors
/// [`Error`].
pub fn find(store: &Path, asset: B256) -> Result<Pack<File>, Error> {
    let dir = store.join(hex::encode(asset));
    if !dir.is_dir() {
        let store = store.to_owned();
        return Err(Error::Absent { asset, store });
    }
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

/// Puts an asset of one store into another one. Every chunk is checked. Where the file system allows, the
/// two stores share the data: packs never change.
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
    let own = store.join(hex::encode(asset)).join("data");
    if std::fs::hard_link(&own, &path).is_ok() {
        pack.verify()?;
    } else {
        let mut data = File::create(&path).map_err(Error::file(&path))?;
        pack.check_each(|chunk| data.write_all(chunk).map_err(Error::file(&path)))?;
        data.sync_all().map_err(Error::file(&path))?;
    }
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
        read_chunk(&mut self.data, self.base, &self.manifest, index, &mut chunk)?;
        self.tree.check(index, &chunk)?;
        Ok(chunk)
    }

    /// Checks every chunk by the tree. Needs no key.
    ///
    /// # Errors
    /// The first [`Error::Chunk`].
    pub fn verify(&mut self) -> Result<(), Error> {
        self.check_each(|_| Ok(()))
    }

    /// Checks every chunk and hands it on, in order.
    fn check_each(
        &mut self,
        mut then: impl FnMut(&[u8]) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let (manifest, tree, data, base) = (&self.manifest, &self.tree, &mut self.data, self.base);
        in_order(
            0..manifest.chunks(),
            |index, chunk| read_chunk(data, base, manifest, index, chunk),
            |index, chunk| tree.check(index, chunk),
            |_, chunk, ()| then(chunk),
        )
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
    /// gets nothing of a chunk that fails.
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
        let (tree, data, base) = (&self.tree, &mut self.data, self.base);
        in_order(
            first..end,
            |index, chunk| read_chunk(data, base, &manifest, index, chunk),
            |index, chunk| {
                tree.check(index, chunk)?;
                chunks.decrypt(index, chunk)
            },
            |index, chunk, ()| {
                let at = index * chunk_len;
                let from = range.start.saturating_sub(at).min(chunk.len() as u64);
                let to = (range.end - at).min(chunk.len() as u64);
                out.write_all(&chunk[from as usize..to as usize])
                    .map_err(Error::io("writing what was decrypted"))
            },
        )?;
        out.flush().map_err(Error::io("writing what was decrypted"))
    }
}

/// Reads an encrypted chunk of a pack that begins at `base`.
fn read_chunk(
    data: &mut (impl Read + Seek),
    base: u64,
    manifest: &Manifest,
    index: u64,
    chunk: &mut Vec<u8>,
) -> Result<(), Error> {
    data.seek(SeekFrom::Start(base + manifest.offset(index)))
        .map_err(Error::io("reading the pack"))?;
    read_exactly(data, chunk, manifest.encrypted_len(index))
}

/// Fills `chunk` with exactly this many bytes.
pub(crate) fn read_exactly(
    input: &mut impl Read,
    chunk: &mut Vec<u8>,
    length: u64,
) -> Result<(), Error> {
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
