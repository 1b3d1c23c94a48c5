//! An Anvil-compatible Ethereum development node that also executes Stylus programs.
//!
//! It decides what a block is and when one is made, keeps every state there ever was, and speaks
//! the JSON-RPC that Ethereum tools speak to Anvil, so that they work unchanged. What runs inside
//! a transaction is left to [`vouch_stylus`].
//!
//! It trusts everyone who can reach its port: the keys it holds are public, and any client may
//! change any balance. It listens on loopback unless told otherwise, and nothing it says is
//! secured by anything. Use it to develop and to test.

pub mod accounts;
pub mod chain;
pub mod config;
pub mod execute;
mod node;
mod rpc;
mod trace;

pub use config::{BaseFee, Config, Mining};
pub use node::{ChainFailed, ChainHandle, Node, NodeHandle, StartError};
pub use rpc::CLIENT_VERSION;
pub use trace::StepOptions;
