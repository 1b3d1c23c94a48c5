//! The daemon as operators run it, on a real chain: quorums, crashes, faults of what it depends on.

mod api;
mod crash;
mod faults;
mod load;
mod page;
mod quorum;
