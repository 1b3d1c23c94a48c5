//! Calls of other contracts, of precompiles and of the chain itself.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256, address};
use stylus_sdk::{call::RawCall, prelude::*};
use vouch_abi::{
    IArbSys, IContract, IEscrow,
    call::{self, Answer, Revert, SolCall},
    codec::{self, Codec, Fields},
};
use vouch_protocol::{Phase, challenge};

use crate::{Escrow, rules::Record};

const ARB_SYS: Address = address!("0000000000000000000000000000000000000064");
const SHA256: Address = address!("0000000000000000000000000000000000000002");

impl Escrow {
    /// Calls a contract of the market, or the chain's own. What it reverts with, this reverts with.
    pub(crate) fn call<C: SolCall + Fields>(
        &self,
        to: Address,
        call: &C,
    ) -> Result<Vec<u8>, Revert> {
        // No reference into storage is held across the call, and all writes go before it.
        let call = call::encode(call);
        unsafe { RawCall::new(self.vm()).flush_storage_cache().call(to, &call) }.map_err(Revert)
    }

    /// Asks a contract for one value.
    pub(crate) fn ask<C>(&self, to: Address, call: &C) -> Result<C::Return, Revert>
    where
        C: SolCall<Return: Codec> + Fields,
    {
        let answer = self.call(to, call)?;
        codec::decode(&answer).ok_or_else(|| unexpected(to))
    }

    /// Number of the block. `block_number` of the SDK is that of the parent chain.
    pub(crate) fn block(&self) -> Result<u64, Revert> {
        let number = self.ask(ARB_SYS, &IArbSys::arbBlockNumberCall {})?;
        number.try_into().map_err(|_| unexpected(ARB_SYS))
    }

    /// SHA-256, by the precompile.
    pub(crate) fn sha256(&self, bytes: &[u8]) -> Result<B256, Revert> {
        let digest = unsafe { RawCall::new_static(self.vm()).call(SHA256, bytes) };
        digest.ok().and_then(|digest| codec::decode(&digest)).ok_or_else(|| unexpected(SHA256))
    }

    pub(crate) fn challenge_of(&self, order: B256, phase: u8, attempt: u8) -> Answer {
        let record = Record::unpack(self.orders.getter(order).record.get());
        let expected = record.phase().map_or(0, |phase| phase as u8);
        let phase = Phase::from_u8(phase)
            .filter(|phase| *phase as u8 == expected)
            .ok_or(IEscrow::WrongPhase { expected, found: phase })?;
        let number = U256::from(record.since_block);
        let block_hash = self.ask(ARB_SYS, &IArbSys::arbBlockHashCall { number })?;
        let (chain_id, escrow) = (self.vm().chain_id(), self.vm().contract_address());
        let challenge = challenge(chain_id, escrow, order, phase, attempt, block_hash);
        call::returns::<IEscrow::challengeOfCall>(challenge)
    }
}

pub(crate) fn unexpected(from: Address) -> Revert {
    IContract::UnexpectedAnswer { from }.into()
}
