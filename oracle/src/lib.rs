//! The oracle daemon: follows orders, verifies evidence, signs and submits verdicts.
//!
//! **Decides** when a bundle is looked at, which verdict this operator signs (by crate
//! `vouch-evidence`) and how it gets on chain once and only once.
//!
//! **Trusts** its configuration: endpoints for what the chain says, vendors' roots for what hardware
//! says, its store for what it did before. Providers, bundles and sources are not trusted.
//!
//! **Leaves alone** money: the escrow checks quorum, state and deadlines again.
//!
//! ```text
//! intake ──▶ store ◀──▶ workers: fetch ▶ verify ▶ sign ▶ hand over ──▶ outbox ──▶ chain
//!    ▲                                                                              │
//!    └──────────────────────── events (close jobs) ◀────────────────────────────────┘
//! ```
//!
//! A verdict's time (`observedAt`, and the time at which certificates must be valid) is the time of
//! the block in which the provider announced the evidence: the same for every operator and for
//! everybody who verifies again later.

#![forbid(unsafe_code)]

pub mod api;
pub mod bundles;
pub mod chain;
pub mod collateral;
pub mod config;
pub mod daemon;
pub mod facts;
pub mod intake;
pub mod keys;
pub mod leader;
pub mod metrics;
pub mod outbox;
pub mod pipeline;
pub mod policies;
pub mod quorum;
mod schema;
pub mod store;
pub mod survey;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod uploads;
pub mod workers;
