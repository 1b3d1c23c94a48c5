//! Verification of hardware attestation evidence: bytes in, claims out.
//!
//! **Decides** whether a GPU, switch or CPU report is authentic, what its device says of itself,
//! whether a bundle of them binds a session, and which clauses of a usage policy it fulfils.
//!
//! **Trusts** the [`Anchors`] it is given. It has no clock, no randomness and no I/O: time, anchors,
//! collateral and policy are arguments, so the same input gives the same verdict anywhere.
//!
//! **Leaves alone** where evidence and collateral come from, and what a verdict does.
//!
//! Stages have types and cannot be made out of order: bytes → `Report` (parsed) → [`Authentic`]
//! (chain and signature hold) → `Claims` → [`session::SessionClaims`] (bound to one session) →
//! [`judge::Judgement`].
//!
//! Parsing and checking of GPU and SEV-SNP reports builds without std.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

extern crate alloc;

pub mod anchors;
mod authentic;
#[cfg(feature = "std")]
pub mod azure;
#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
pub mod bundle;
#[cfg(feature = "std")]
mod cache;
pub mod check;
mod cursor;
#[cfg(feature = "std")]
pub mod decode;
mod der;
mod digest;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "std")]
pub mod judge;
pub mod nvidia;
#[cfg(feature = "std")]
pub mod policy;
mod rejection;
#[cfg(feature = "std")]
pub mod revocation;
#[cfg(feature = "std")]
pub mod session;
pub mod sev_snp;
pub mod signature;
pub mod tdx;
mod time;
mod verifier;
pub mod x509;

pub use anchors::Anchors;
pub use authentic::Authentic;
#[cfg(feature = "std")]
pub use cache::Cache;
pub use check::{Check, Explanation, Observe, Outcome};
pub use rejection::{Rejection, Text};
pub use time::Time;
pub use verifier::Verifier;
