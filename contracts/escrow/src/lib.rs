//! escrow.
