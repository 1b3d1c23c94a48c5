//! Assets at rest and in transit: who holds a pack learns nothing, who holds its key reads exactly
//! what the digest names.
//!
//! **Decides** how an asset is encrypted and named ([`pack`], [`Manifest`], [`Tree`]), how it is
//! fetched ([`Source`]), how a key reaches one recipient ([`seal`]) and how a result reaches its
//! buyer ([`result`]).
//!
//! **Trusts** the libraries that do the cryptography: STREAM over ChaCha20-Poly1305 (crates
//! `aead-stream`, `chacha20poly1305`), HPKE (crate `hpke`, RFC 9180), SHA-256 (`aws-lc-rs`). Sources,
//! stores and packs are not trusted.
//!
//! **Leaves alone** who may have a key (the broker decides) and what an asset means.
//!
//! A pack is a folder named by its digest: `manifest` (fixed size; its SHA-256 is the asset digest),
//! `tree` (the digest of every chunk) and `data` (the chunks). Nothing of a chunk is released before
//! its digest, its key and its tag have been checked.

#![forbid(unsafe_code)]

mod digest;
mod error;
mod fetch;
mod files;
mod key;
mod manifest;
mod ordered;
mod pack;
pub mod result;
pub mod seal;
mod stream;
mod tree;

pub use digest::{Hasher, sha256};
pub use error::Error;
pub use fetch::{Fetched, Source};
pub use files::PrivateFile;
pub use key::ContentKey;
pub use manifest::{DEFAULT_CHUNK_LEN, MANIFEST_LEN, Manifest};
pub use pack::{Pack, find, pack, pack_reader, publish};
pub use tree::Tree;
