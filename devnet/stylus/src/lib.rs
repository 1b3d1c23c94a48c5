//! Stylus programs inside revm.
//!
//! This crate runs Ethereum transactions the way an Arbitrum chain does: ordinary contracts in the
//! EVM, contracts whose code begins with a Stylus prefix in a WebAssembly engine, both over one
//! journal, calling each other freely. It decides which modules may be activated, what each of
//! their instructions and host calls costs, and how a program's end maps onto an EVM frame. It
//! also provides the `ArbWasm` family of precompiles and the accounts a fresh chain starts with.
//!
//! It trusts its caller for the block environment and the database. It keeps no state of its own
//! beyond a cache of compiled modules: activated programs, parameters and chain owners live in
//! the storage of [`params::STATE_ACCOUNT`], so snapshots and reverts need no special care.
//!
//! Blocks, receipts, transaction pools and RPC are left to the node. The gas model follows the
//! published rules of `ArbOS` 60 and Stylus version 2; it has not been checked against another
//! implementation.

mod chain;
pub mod code;
mod engine;
mod env;
mod evm;
mod execute;
mod frame;
pub mod genesis;
mod guest;
mod hostio;
pub mod imports;
pub mod instrument;
mod machine;
pub mod params;
pub mod precompiles;
pub mod pricing;
pub mod program;
mod trace;
pub mod validate;

pub use chain::{Chain, RecentPrograms};
pub use engine::{CompileError, Vm};
pub use env::{Checks, Env, Options};
pub use evm::{Ctx, StylusEvm};
pub use execute::{Outcome, inspect, transact};
pub use genesis::genesis_accounts;
pub use trace::HostioStep;
