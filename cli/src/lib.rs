//! vouch.
