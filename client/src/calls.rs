//! Several calls of the escrow in one transaction.

use alloy::primitives::Bytes;
use alloy::sol_types::{SolCall, SolValue};
use vouch_abi::IEscrow;
use vouch_abi::pack;

/// Calldata that makes several calls of the escrow at once, packed: all succeed, or none does.
pub fn batch(calls: &[Bytes]) -> Bytes {
    let packed = packed(calls);
    IEscrow::multicallPackedCall { packed }.abi_encode().into()
}

/// Several calls, as `multicallPacked` takes them.
pub fn packed(calls: &[Bytes]) -> Bytes {
    pack::pack(&calls.abi_encode()).into()
}

/// The calls in calldata of the escrow: those of a batch, or the one that it is.
pub fn calls(calldata: &[u8]) -> Vec<Bytes> {
    if let Ok(batch) = IEscrow::multicallCall::abi_decode(calldata) {
        return batch.calls;
    }
    let unpacked = IEscrow::multicallPackedCall::abi_decode(calldata)
        .ok()
        .and_then(|batch| pack::unpack(&batch.packed));
    if let Some(unpacked) = unpacked {
        return Vec::abi_decode(&unpacked).unwrap_or_default();
    }
    vec![Bytes::copy_from_slice(calldata)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_batch_are_found_again() {
        let each = [vec![1, 2, 3, 4, 5], vec![], vec![0; 300]].map(Bytes::from);
        assert_eq!(calls(&batch(&each)), each);
        let plain = IEscrow::multicallCall {
            calls: each.to_vec(),
        };
        assert_eq!(calls(&plain.abi_encode()), each);
        assert_eq!(calls(&each[0]), each[..1], "not a batch");
    }

    #[test]
    fn hostile_calldata_has_no_calls() {
        let packed = IEscrow::multicallPackedCall {
            packed: vec![0xff; 5].into(),
        };
        let calldata = packed.abi_encode();
        assert_eq!(calls(&calldata), [Bytes::from(calldata.clone())]);
        let packed = pack::pack(&[0xff; 64]).into();
        let calldata = IEscrow::multicallPackedCall { packed }.abi_encode();
        assert!(calls(&calldata).is_empty());
    }
}
