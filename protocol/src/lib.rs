//! The domain language of Vouch, in the smallest crate that everything can share.
//!
//! **Decides** the numbers and encodings that must be the same everywhere: the policy clauses
//! ([`clause`]), the reasons of a verdict ([`reason`]), the session statement and what binds
//! evidence to it ([`statement`]), and the challenge that binds a session to an order
//! ([`challenge`]).
//!
//! **Trusts** nothing: every function is pure and total on its input.
//!
//! **Leaves alone** evidence (crate `vouch-evidence`) and the contracts' interface (`vouch-abi`).
//! It builds without std, so contracts, the verifier and the TEE agent share the same code.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod challenge;
pub mod clause;
pub mod device;
pub mod reason;
pub mod statement;

pub use challenge::{Phase, challenge};
pub use clause::{Clause, Clauses};
pub use reason::{Class, Reason};
pub use statement::{Counters, DatasetMeasure, Statement, Transcript};
