//! The laws of the market, and attacks on it, on the chain's virtual machine in this process.
//!
//! **Decides** what must hold whatever anybody does: money held is money owed, terminal states stay,
//! only a fresh verdict of a quorum pays, everybody gets exactly what the reference model says, and
//! anybody can bring every order to its end once its deadlines have passed.
//!
//! **Trusts** the virtual machine of `vouch-stylus` to run the contracts as a chain would.
//!
//! **Leaves alone** blocks and RPC: the system tests have those.
//!
//! [`lab`] is the chain, [`market`] the contracts on it and who uses them, [`step`] what they do,
//! [`model`] what should come of it, and [`play`] does both and compares; [`random`] makes the sequences. [`world`] is what is played
//! against: that market, the contracts' own types on [`testvm`]s, or the contracts' [`rules`] alone, which are
//! fast enough for a million steps. [`stakes`] has steps and a model of their own.

#![deny(unsafe_code)]

pub mod disputes;
pub mod lab;
pub mod market;
pub mod model;
pub mod play;
pub mod random;
pub mod rules;
pub mod shares;
pub mod stakes;
pub mod step;
pub mod testvm;
pub mod twist;
pub mod world;
