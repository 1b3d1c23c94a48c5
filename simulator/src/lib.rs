//! vouch-simulator.
