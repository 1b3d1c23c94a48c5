//! vouch-evidence.
