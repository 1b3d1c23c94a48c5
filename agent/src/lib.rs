//! The program inside the trusted machine: it takes one accepted order from its keys to its sealed
//! result.
//!
//! **Decides** what the hardware is asked to vouch for ([`session`]), what a workload can reach
//! ([`wasi`], [`container`]), what leaves through an API ([`serve`]), what a dataset measures ([`measure`]) and in which order things happen ([`job`]).
//!
//! **Trusts** the machine it runs on, which is why that machine's evidence is checked by everybody
//! else. Brokers, sources, workloads and the chain's endpoint are not trusted: content is checked by
//! digest, keys open for this session alone, a lying endpoint only costs the job.
//!
//! **Leaves alone** whether the evidence is good enough, and money.
//!
//! Plaintext and keys are in this process's memory and nowhere else: when the process ends, in
//! whichever way, they are gone.

// Allowed in one file, that of NVIDIA's library.
#![deny(unsafe_code)]

pub mod backend;
pub mod broker;
pub mod config;
pub mod container;
pub mod doctor;
pub mod job;
pub mod measure;
pub mod report;
pub mod serve;
pub mod session;
pub mod wasi;
pub mod workload;
