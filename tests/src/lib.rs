//! What the system tests share: finding the real tools, starting a chain, talking JSON-RPC to it.
//!
//! **Decides** what happens where a tool is missing: the test says so and passes on a developer's
//! machine, and fails where the environment says `CI=true`, as `scripts/test` does.
//!
//! **Trusts** nothing: every child process has a time limit and dies with its test.
//!
//! **Leaves alone** what is right: that is for the tests in `it/`.
//!
//! [`world`] is a market on such a chain with everyone who takes part; [`gas`] measures one; [`session`] is a model
//! behind an API with the programs around it; [`load`] is what an oracle can take.

#![forbid(unsafe_code)]

pub mod gas;
pub mod load;
pub mod node;
pub mod oracle;
pub mod paths;
pub mod rpc;
pub mod session;
pub mod solidity;
pub mod tools;
pub mod world;
