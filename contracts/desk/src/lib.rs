//! The escrow's front desk, as a program of its own: [`Escrow::answer_desk`] with an entrypoint.
//!
//! **Decides** nothing by itself: the escrow and its annex run it by delegate call, on the escrow's storage and as the escrow.
//! A program may have 24,576 bytes; what an order needs on its ordinary way stays in the escrow, what is
//! about no order is here.
//!
//! **Trusts** the escrow to call it. Called by anybody else it works on its own storage, in which there
//! is neither order nor money.
//!
//! **Leaves alone** everything else.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    extern crate alloc;

    use alloc::vec::Vec;

    use alloy_primitives::U256;
    use escrow::Escrow;
    use stylus_sdk::{ArbResult, host::VM, prelude::*};

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Escrow::new(U256::ZERO, 0, host) };
        contract.answer_desk(&calldata).map_err(|revert| revert.0)
    }
}
