//! Calls of other contracts, of precompiles and of the chain itself.

use alloy_primitives::{Address, B256, U256, address};
use stylus_sdk::{call::RawCall, prelude::*};
use vouch_abi::{
    IArbSys, IContract, IEscrow,
    call::{self, Answer, Revert, SolCall},
    codec,
};
use vouch_protocol::{Phase, challenge};

use crate::Escrow;

const ARB_SYS: Address = address!("0000000000000000000000000000000000000064");
const SHA256: Address = address!("0000000000000000000000000000000000000002");

impl Escrow {
    /// Calls a contract of the market, or the chain's own. What it reverts with, this reverts with.
    pub(crate) fn call(&self, to: Address, calldata: &[u8]) -> Answer {
        // No reference into storage is held across the call, and all writes go before it.
        unsafe {
            RawCall::new(self.vm())
                .flush_storage_cache()
                .call(to, calldata)
        }
        .map_err(Revert)
    }

    /// Asks a contract for one word.
    pub(crate) fn ask(&self, to: Address, calldata: &[u8]) -> Result<B256, Revert> {
        word(&self.call(to, calldata)?).ok_or_else(|| unexpected(to))
    }

    /// Number of the block. `block_number` of the SDK is that of the parent chain.
    pub(crate) fn block(&self) -> Result<u64, Revert> {
        let number = self.ask(ARB_SYS, &IArbSys::arbBlockNumberCall::SELECTOR)?;
        codec::decode(number.as_slice()).ok_or_else(|| unexpected(ARB_SYS))
    }

    /// SHA-256, by the precompile.
    pub(crate) fn sha256(&self, bytes: &[u8]) -> Result<B256, Revert> {
        let digest = unsafe { RawCall::new_static(self.vm()).call(SHA256, bytes) };
        digest
            .ok()
            .and_then(|digest| word(&digest))
            .ok_or_else(|| unexpected(SHA256))
    }

    pub(crate) fn challenge_of(&self, order: B256, phase: u8, attempt: u8) -> Answer {
        let record = self.record(order);
        let expected = record.phase().map_or(0, |phase| phase as u8);
        let phase = Phase::from_u8(phase)
            .filter(|phase| *phase as u8 == expected)
            .ok_or(IEscrow::WrongPhase {
                expected,
                found: phase,
            })?;
        let number = U256::from(record.since_block);
        let question = call::encode(&IArbSys::arbBlockHashCall { number });
        let block_hash = self.ask(ARB_SYS, &question)?;
        let (chain_id, escrow) = (self.vm().chain_id(), self.vm().contract_address());
        let challenge = challenge(chain_id, escrow, order, phase, attempt, block_hash);
        call::returns::<IEscrow::challengeOfCall>(challenge)
    }
}

/// The first word of an answer.
pub(crate) fn word(answer: &[u8]) -> Option<B256> {
    answer.first_chunk().map(|word| B256::new(*word))
}

pub(crate) fn unexpected(from: Address) -> Revert {
    IContract::UnexpectedAnswer { from }.into()
}
