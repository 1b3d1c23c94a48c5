//! Sessions under simulated roots: what a bundle must bind, and what its clauses are worth.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, missing_docs, reason = "tests")]

mod binding;
mod judging;
mod rig;
