//! The daemon as operators run it, on a real chain: quorums, crashes, faults of what it depends on.

mod api;
mod bucket;
mod crash;
mod endpoints;
mod faults;
mod keys;
mod load;
mod page;
mod quorum;
mod surroundings;
mod tls;
#[cfg(feature = "otel")]
mod traces;
mod upload;
