//! The oracle as its operators run it: real daemons on a real chain, with orders that flow.

pub mod audit;
pub mod clock;
pub mod cloud;
pub mod crash;
pub mod daemon;
pub mod disk;
pub mod fair;
pub mod key_service;
pub mod lane;
pub mod mirror;
pub mod postgres;
pub mod proxy;
pub mod vendor;

/// What people at a shell pass, or a default.
pub fn from_env<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
