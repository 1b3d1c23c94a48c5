//! Results: one file that the buyer alone can open. `DOMAIN || sealed key || manifest || tree || data`;
//! its SHA-256 is what finish evidence names as the outputs.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use alloy_primitives::B256;

use crate::error::Error;
use crate::files::{PrivateFile, open};
use crate::manifest::{DEFAULT_CHUNK_LEN, MANIFEST_LEN, Manifest};
use crate::pack::{Pack, digest_file, find, pack_reader};
use crate::seal::{KeyPair, Purpose, SEALED_LEN, seal};
use crate::tree::Tree;

const DOMAIN: &[u8; 15] = b"vouch/result/v1";

/// A sealed result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of the file.
    pub digest: B256,
    /// Its bytes.
    pub size: u64,
}

/// Encrypts `size` bytes to the buyer's result key, as the file `out`. What is written into the folder
/// `scratch` meanwhile is encrypted too.
///
/// # Errors
/// [`Error`]; no file is left behind then.
pub fn seal_to<R: Read + Send>(
    plain: &mut R,
    size: u64,
    recipient: B256,
    order: B256,
    scratch: &Path,
    out: &Path,
) -> Result<Sealed, Error> {
    let (manifest, key) = pack_reader(plain, size, scratch, DEFAULT_CHUNK_LEN)?;
    let sealed = seal(recipient, &Purpose::Result { order }, &key)?;
    let dir = scratch.join(hex::encode(manifest.digest()));
    let written = (|| {
        let mut pack = find(scratch, manifest.digest())?;
        let mut file = PrivateFile::create(out)?;
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::file(out));
        write(DOMAIN)?;
        write(&sealed)?;
        write(&manifest.encode())?;
        write(&pack.tree().encode())?;
        for index in 0..manifest.chunks() {
            write(&pack.encrypted(index)?)?;
        }
        file.finish()
    })();
    std::fs::remove_dir_all(&dir).map_err(Error::file(&dir))?;
    written?;
    let (digest, size) = digest_file(out)?;
    Ok(Sealed { digest, size })
}

/// Opens a sealed result into the file `out`, which is there only once it is whole.
///
/// # Errors
/// [`Error`]; no file is left behind then.
pub fn open_file(sealed: &Path, pair: &KeyPair, order: B256, out: &Path) -> Result<(), Error> {
    let mut file = open(sealed)?;
    let length = file.metadata().map_err(Error::file(sealed))?.len();
    let mut head = Vec::new();
    (&file)
        .take(DOMAIN.len() as u64)
        .read_to_end(&mut head)
        .map_err(Error::file(sealed))?;
    if head != DOMAIN {
        return Err(Error::Manifest {
            field: "result",
            expected: "vouch/result/v1".into(),
            found: "other bytes".into(),
        });
    }
    let least = (DOMAIN.len() + SEALED_LEN + MANIFEST_LEN) as u64;
    if length < least {
        return Err(Error::Length {
            what: "result",
            expected: least,
            found: length,
        });
    }
    let key: [u8; SEALED_LEN] = read(&mut file, sealed)?;
    let manifest: [u8; MANIFEST_LEN] = read(&mut file, sealed)?;
    let manifest = Manifest::decode(&manifest)?;
    let base = least + manifest.tree_len();
    let expected = base + manifest.data_len();
    if length != expected {
        return Err(Error::Length {
            what: "result",
            expected,
            found: length,
        });
    }
    let mut tree = Vec::new();
    (&file)
        .take(manifest.tree_len())
        .read_to_end(&mut tree)
        .map_err(Error::file(sealed))?;
    let tree = Tree::decode(&tree, &manifest)?;
    let key = pair.open(&key, &Purpose::Result { order })?;
    Pack::new(manifest, tree, file)
        .starting_at(base)
        .decrypt_to(&key, out)
}

fn read<const N: usize>(file: &mut File, path: &Path) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map_err(Error::file(path))?;
    Ok(bytes)
}
