//! An owner's broker: nobody gets a content key but a session that the hardware vouches for, for an
//! order that is paid for, once.
//!
//! **Decides** whether a session's request for a key is granted ([`release`]), from what the chain says
//! ([`view`]) and from its own verification of the evidence, and remembers every answer ([`journal`]).
//!
//! **Trusts** its root key and disk; its endpoints only where all of them agree and are not behind; the
//! operators' verdict and its own verifier both, unless its owner chose one of them.
//!
//! **Leaves alone** the asset itself, which it may serve encrypted, and money.

#![forbid(unsafe_code)]

pub mod config;
pub mod journal;
pub mod keys;
pub mod reconcile;
pub mod release;
pub mod request;
pub mod server;
pub mod view;
