//! vouch-client.
