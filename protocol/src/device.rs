//! Device identities: what may serve one running order at a time (protocol, Bindings 5).

use alloy_primitives::{B256, Keccak256};

/// The identity of a GPU or switch, from its leaf certificate's serial number.
pub fn gpu(leaf_serial: &[u8]) -> B256 {
    identity(b"vouch/device/gpu/v1", leaf_serial)
}

/// The identity of a CPU, from its chip id (SEV-SNP) or platform instance id (TDX).
pub fn cpu(chip_id: &[u8]) -> B256 {
    identity(b"vouch/device/cpu/v1", chip_id)
}

fn identity(domain: &[u8], id: &[u8]) -> B256 {
    let mut hash = Keccak256::new();
    hash.update(domain);
    hash.update(id);
    hash.finalize()
}
