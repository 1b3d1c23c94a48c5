//! News of the chain, for subscribers.

use std::sync::Arc;

use alloy::{consensus::Header, primitives::B256, rpc::types::Log};

/// A block was made, or taken back.
#[derive(Clone, Debug)]
pub struct BlockEvent {
    /// Its header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Length of its encoding in bytes.
    pub size: usize,
    /// Its logs; marked removed if the block was taken back.
    pub logs: Vec<Log>,
    /// Whether the block was taken back.
    pub removed: bool,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was made or taken back.
    Block(Arc<BlockEvent>),
    /// A transaction came in.
    Pending(B256),
}
