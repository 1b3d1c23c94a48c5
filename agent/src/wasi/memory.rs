//! How much linear memory a workload has.

use wasmtime::ResourceLimiter;

use crate::workload::Violation;

/// Table elements a workload may have: functions it can call indirectly.
const MAX_TABLE: usize = 1 << 20;

/// The limit, and whether it was asked to go beyond it.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    refused: Option<u64>,
}

impl Memory {
    pub(super) const fn new(limit: u64) -> Self {
        Self {
            limit,
            refused: None,
        }
    }

    pub(super) fn violation(&self, limit: u64) -> Option<Violation> {
        self.refused.map(|asked| Violation::Memory { limit, asked })
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired as u64 <= self.limit {
            return Ok(true);
        }
        self.refused = Some(desired as u64);
        // Stopped at once: an allocator that fails would end as a trap without the reason.
        Err(wasmtime::Error::new(Violation::Memory {
            limit: self.limit,
            asked: desired as u64,
        }))
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }
}
