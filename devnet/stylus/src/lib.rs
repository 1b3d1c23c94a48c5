//! vouch-stylus.
