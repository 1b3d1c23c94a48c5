//! Typed access to a deployed market: where the contracts are, how they get there, and what a
//! buyer, owner, provider or operator does with them.
//!
//! **Decides** how a deployment is written down ([`deployment`]), how a program becomes a contract
//! ([`program`], [`deploy`]) and is kept in the chain's cache ([`cache`]), how orders, challenges and verdicts are built and found ([`order`],
//! [`verdict`]), how evidence is left with an operator ([`upload`]), how money is given by signature ([`authorize`]), how changes of the market are announced and made ([`governance`]),
//! and how a revert reads ([`revert`]).
//!
//! **Trusts** the RPC endpoint it is given for what the chain says; a deployment's code hashes are
//! checked against that endpoint before use.
//!
//! **Leaves alone** evidence (crate `vouch-evidence`) and where keys come from (the binaries).

#![forbid(unsafe_code)]

pub mod authorize;
pub mod batch;
pub mod cache;
pub mod call;
pub mod calls;
pub mod connect;
pub mod convert;
pub mod deploy;
pub mod deployment;
pub mod error;
pub mod governance;
pub mod market;
pub mod order;
pub mod program;
pub mod revert;
pub mod upload;
pub mod verdict;

pub use connect::{connect, is_development};
pub use deployment::{Contract, Deployment, Entry};
pub use error::{Error, told};
pub use market::{Addresses, Market, send};
pub use order::{Placed, Record, State};
pub use revert::Revert;
