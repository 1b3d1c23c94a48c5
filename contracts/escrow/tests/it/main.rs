//! The rules of the escrow: what each call refuses, what it decides, and that no sequence of calls
//! makes or loses money.

mod contract;
mod model;
mod money;
mod rules;
mod samples;
mod terms;
