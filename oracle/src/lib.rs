//! vouch-oracle.
