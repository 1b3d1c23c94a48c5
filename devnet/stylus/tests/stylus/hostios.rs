//! hostios
