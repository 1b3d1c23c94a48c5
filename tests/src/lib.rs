//! vouch-tests.
