//! vouch-devnet.
