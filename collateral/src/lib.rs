//! The vendors' collateral: fetched, kept on disk while it counts, and read from files.
//!
//! **Decides** what to ask which service for, how long an answer may be kept, and when to ask again.
//!
//! **Trusts** nobody: what it hands out is bytes that look like what was asked for. It knows until
//! when they count because they say so, and `vouch-evidence` checks that again.
//!
//! **Leaves alone** whether collateral is authentic and what it means for evidence.
//!
//! A [`Fetcher`] answers [`Request`]s: from its cache, else from the service, each asked once however
//! many callers want the same. [`Wanted`] says what a device needs, [`Fetcher::gather`] gets all of
//! it, and [`Found`] reads what people have in files. Source of addresses and formats: NVIDIA
//! attestation SDK; AMD 57230; Intel PCS API v4.

#![forbid(unsafe_code)]

mod answer;
mod cache;
mod config;
mod error;
mod fetcher;
mod files;
mod gather;
mod http;
mod ocsp;
mod request;

pub use config::{Addresses, Config, ConfigError};
pub use error::{Cause, Error};
pub use fetcher::{Document, Fetcher};
pub use files::{FileError, Found, MAX_FILES};
pub use gather::{Gathered, Wanted};
pub use request::{PckIssuer, Request, Service};
