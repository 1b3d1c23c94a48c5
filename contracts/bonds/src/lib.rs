//! Operators' bonds: what an operator loses who signs two verdicts about the same evidence.
//!
//! **Decides** how much each operator has at stake, how long it stays at stake after the operator wants it
//! back, and what is a proof against it. Abstaining, being late and being outvoted are none.
//!
//! **Trusts** the governor to name the token, once, and the least bond; the token to say truly what this
//! contract holds.
//!
//! **Leaves alone** who is an operator (contract `attestation`): it only asks that those go who have too
//! little at stake.
//!
//! Dispatched by `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;
mod token;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U64, U256};
use stylus_sdk::{
    ArbResult,
    call::RawCall,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageBool, StorageMap, StorageU64, StorageU256},
};
use vouch_abi::{
    IAttestation, IBonds, IContract, IEscrow, VerdictShare,
    call::{self, Answer, Revert, SolCall},
    codec, dispatch, id,
    signature::{ECRECOVER, LENGTH, recovery_input},
    wire::Event,
};

/// The contract's storage.
#[storage]
pub struct Bonds {
    governor: StorageAddress,
    /// Seconds; in one word with the governor.
    delay: StorageU64,
    token: StorageAddress,
    escrow: StorageAddress,
    attestation: StorageAddress,
    minimum: StorageU256,
    /// By operator.
    bonded: StorageMap<Address, StorageU256>,
    /// By operator: what is being taken out.
    leaving: StorageMap<Address, StorageU256>,
    /// By operator: when that can be withdrawn.
    until: StorageMap<Address, StorageU64>,
    /// By account.
    rewards: StorageMap<Address, StorageU256>,
    /// By operator and job.
    slashed: StorageMap<Address, StorageMap<B256, StorageBool>>,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Bonds::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Bonds {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IBonds::constructorCall>(calldata)? {
            return self.construct(&arguments);
        }
        dispatch!(calldata, {
            call: IBonds::bondCall => self.bond(call.operator, call.amount),
            call: IBonds::unbondCall => self.unbond(call.amount),
            call: IBonds::withdrawCall => self.withdraw(),
            call: IBonds::slashCall => self.slash(&call),
            call: IBonds::evictCall => self.evict(call.operator),
            call: IBonds::setMinimumCall => self.set_minimum(call.minimum),
            call: IBonds::minimumCall => {
                call::returns::<IBonds::minimumCall>(self.minimum.get())
            },
            call: IBonds::isBondedCall => {
                call::returns::<IBonds::isBondedCall>(self.is_bonded(call.operator))
            },
            call: IBonds::bondOfCall => {
                let bond = IBonds::bondOfReturn {
                    bonded: self.bonded.get(call.operator),
                    leaving: self.leaving.get(call.operator),
                    until: self.until.get(call.operator).to(),
                };
                call::returns_all::<IBonds::bondOfCall>(bond)
            },
            call: IBonds::rewardOfCall => {
                call::returns::<IBonds::rewardOfCall>(self.rewards.get(call.account))
            },
            call: IBonds::tokenCall => call::returns::<IBonds::tokenCall>(self.token.get()),
            call: IBonds::delayCall => call::returns::<IBonds::delayCall>(self.delay.get().to()),
            call: IBonds::bindEscrowCall => self.bind_escrow(call.escrow),
            call: IBonds::governorCall => {
                call::returns::<IBonds::governorCall>(self.governor.get())
            },
            call: IBonds::escrowCall => call::returns::<IBonds::escrowCall>(self.escrow.get()),
        })
    }

    fn construct(&mut self, arguments: &IBonds::constructorCall) -> Answer {
        let &IBonds::constructorCall {
            governor,
            token,
            delay,
        } = arguments;
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        if governor.is_zero() || token.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        rules::check_delay(delay, self.vm().chain_id())?;
        self.governor.set(governor);
        self.token.set(token);
        self.delay.set(U64::from(delay));
        Ok(vec![])
    }

    fn bond(&mut self, operator: Address, amount: U256) -> Answer {
        self.enter()?;
        if operator.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        if amount.is_zero() {
            return Err(IBonds::ZeroAmount {}.into());
        }
        let payer = self.vm().msg_sender();
        self.pull(payer, amount)?;
        let mut bonded = self.bonded.setter(operator);
        // Bounded by what the token has.
        let sum = bonded.get().saturating_add(amount);
        bonded.set(sum);
        self.log(&IBonds::Bonded {
            operator,
            payer,
            amount,
        });
        Ok(vec![])
    }

    fn unbond(&mut self, amount: U256) -> Answer {
        self.enter()?;
        let operator = self.vm().msg_sender();
        if amount.is_zero() {
            return Err(IBonds::ZeroAmount {}.into());
        }
        let bond = self.bonded.get(operator);
        let rest = bond.checked_sub(amount).ok_or(IBonds::BondTooLow {
            operator,
            bond,
            needed: amount,
        })?;
        self.bonded.insert(operator, rest);
        let mut leaving = self.leaving.setter(operator);
        let sum = leaving.get().saturating_add(amount);
        leaving.set(sum);
        let now = self.vm().block_timestamp();
        let until = now.saturating_add(self.delay.get().to());
        self.until.insert(operator, U64::from(until));
        self.log(&IBonds::Unbonding {
            operator,
            amount,
            until,
        });
        if !self.is_bonded(operator) {
            self.expel(operator)?;
        }
        Ok(vec![])
    }

    fn withdraw(&mut self) -> Answer {
        self.enter()?;
        let operator = self.vm().msg_sender();
        let (until, time) = (
            self.until.get(operator).to::<u64>(),
            self.vm().block_timestamp(),
        );
        let mut amount = self.rewards.take(operator);
        let leaving = self.leaving.get(operator);
        if !leaving.is_zero() && time >= until {
            self.leaving.delete(operator);
            self.until.delete(operator);
            amount = amount.saturating_add(leaving);
        } else if !leaving.is_zero() && amount.is_zero() {
            return Err(IBonds::StillBonded { until, time }.into());
        }
        if amount.is_zero() {
            return Err(IBonds::NothingToWithdraw { account: operator }.into());
        }
        self.log(&IBonds::Withdrawn { operator, amount });
        self.push(operator, amount)?;
        call::returns::<IBonds::withdrawCall>(amount)
    }

    fn slash(&mut self, proof: &IBonds::slashCall) -> Answer {
        self.enter()?;
        let job = rules::contradiction(&proof.first, &proof.second)?;
        let operator = self.signer(0, &proof.first, &proof.firstSignature)?;
        let second = self.signer(1, &proof.second, &proof.secondSignature)?;
        if operator != second {
            let first = operator;
            return Err(IBonds::TwoSigners { first, second }.into());
        }
        // An operator that was punished and came back is not punished again for the same.
        if self.slashed.getter(operator).get(job) {
            return Err(IBonds::AlreadySlashed { operator }.into());
        }
        self.slashed.setter(operator).insert(job, true);
        let leaving = self.leaving.take(operator);
        let amount = self.bonded.take(operator).saturating_add(leaving);
        self.until.delete(operator);
        if !self.expel(operator)? && amount.is_zero() {
            return Err(IBonds::NothingToSlash { operator }.into());
        }
        let (reporter, reward) = (self.vm().msg_sender(), rules::reward(amount));
        let mut rewards = self.rewards.setter(reporter);
        let sum = rewards.get().saturating_add(reward);
        rewards.set(sum);
        self.log(&IBonds::Slashed {
            operator,
            reporter,
            amount,
            reward,
            first: proof.first.verdict,
            second: proof.second.verdict,
        });
        Ok(vec![])
    }

    fn signer(
        &self,
        index: u64,
        share: &VerdictShare,
        signature: &[u8],
    ) -> Result<Address, Revert> {
        let invalid = || IBonds::InvalidSignature {
            index: U256::from(index),
        };
        if signature.len() != LENGTH {
            return Err(invalid().into());
        }
        let digest = id::share_digest(self.vm().chain_id(), self.attestation.get(), share);
        let input = recovery_input(digest, signature).ok_or_else(invalid)?;
        // A static call of a precompile: nothing of this contract's storage is touched meanwhile.
        let output = unsafe { RawCall::new_static(self.vm()).call(ECRECOVER, &input) };
        let signer: Option<Address> = output.ok().and_then(|output| codec::decode(&output));
        let signer = signer.filter(|signer| !signer.is_zero());
        Ok(signer.ok_or_else(invalid)?)
    }

    fn evict(&mut self, operator: Address) -> Answer {
        self.enter()?;
        if self.is_bonded(operator) {
            let (bond, minimum) = (self.bonded.get(operator), self.minimum.get());
            return Err(IBonds::Sufficient {
                operator,
                bond,
                minimum,
            }
            .into());
        }
        self.expel(operator)?;
        Ok(vec![])
    }

    fn is_bonded(&self, operator: Address) -> bool {
        self.bonded.get(operator) >= self.minimum.get()
    }

    /// Whether it was an operator until now.
    fn expel(&self, operator: Address) -> Result<bool, Revert> {
        let attestation = self.attestation.get();
        if attestation.is_zero() {
            return Ok(false);
        }
        let answer = self.call(
            attestation,
            &call::encode(&IAttestation::expelCall { operator }),
        )?;
        codec::decode(&answer)
            .ok_or_else(|| IContract::UnexpectedAnswer { from: attestation }.into())
    }

    fn call(&self, to: Address, data: &[u8]) -> Answer {
        // No reference into storage is held across the call, and all writes go before it.
        unsafe { RawCall::new(self.vm()).flush_storage_cache().call(to, data) }.map_err(Revert)
    }

    fn set_minimum(&mut self, minimum: U256) -> Answer {
        self.only_governor()?;
        self.minimum.set(minimum);
        self.log(&IBonds::MinimumChanged { minimum });
        Ok(vec![])
    }

    fn bind_escrow(&mut self, escrow: Address) -> Answer {
        self.only_governor()?;
        if escrow.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let bound = self.escrow.get();
        if !bound.is_zero() {
            return Err(IBonds::EscrowAlreadyBound { escrow: bound }.into());
        }
        let answer = self.call(escrow, &IEscrow::attestationCall::SELECTOR)?;
        let attestation: Option<Address> = codec::decode(&answer);
        let attestation = attestation
            .filter(|attestation| !attestation.is_zero())
            .ok_or(IContract::UnexpectedAnswer { from: escrow })?;
        self.attestation.set(attestation);
        self.escrow.set(escrow);
        self.log(&IBonds::EscrowBound { escrow });
        Ok(vec![])
    }

    /// Refuses calls that the token makes while it is being called.
    fn enter(&self) -> Result<(), Revert> {
        if self.vm().msg_reentrant() {
            return Err(IBonds::Reentered {}.into());
        }
        Ok(())
    }

    fn only_governor(&self) -> Result<(), Revert> {
        let caller = self.vm().msg_sender();
        if caller == self.governor.get() {
            return Ok(());
        }
        Err(IBonds::NotGovernor { caller }.into())
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
