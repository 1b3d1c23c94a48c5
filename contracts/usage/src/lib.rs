//! Under which constraints assets may be used, and how often they were.
//!
//! **Decides** whether a policy says of every clause that it is required or waived, which clauses a
//! leg's payment depends on, and whether the clauses that the chain can judge allow a use. Counts
//! uses where a policy limits them. Policies are content-addressed: callers bring them.
//!
//! **Trusts** the bound escrow to reserve and release uses, and the governor to bind it, once.
//!
//! **Leaves alone** the clauses that only hardware evidence can show to hold (operators judge
//! those) and money (contract `escrow`).
//!
//! Dispatched by `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U64, U256};
use stylus_sdk::{
    ArbResult,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageB256, StorageMap, StorageU64},
};
use vouch_abi::{
    IContract, IUsage, Policy,
    call::{self, Answer, Revert},
    dispatch, id,
    wire::Event,
};
use vouch_protocol::clause::{Clause, Clauses};

use crate::rules::Output;

/// The contract's storage.
#[storage]
pub struct Usage {
    governor: StorageAddress,
    escrow: StorageAddress,
    /// Uses by policy.
    uses: StorageMap<B256, StorageU64>,
    /// Uses by policy and buyer.
    uses_by: StorageMap<B256, StorageMap<Address, StorageU64>>,
    /// [`Output`]s by policy.
    outputs: StorageMap<B256, StorageB256>,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Usage::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Usage {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IUsage::constructorCall>(calldata)? {
            return self.construct(arguments.governor);
        }
        dispatch!(calldata, {
            call: IUsage::publishCall => self.publish(call.policy),
            call: IUsage::reserveCall => self.reserve(&call),
            call: IUsage::releaseCall => self.release(&call.ids, &call.clauses, call.buyer),
            call: IUsage::releaseOutputCall => self.release_output(&call),
            call: IUsage::outputOfCall => {
                let Output { bytes, rows } = self.output(call.policy);
                call::returns_all::<IUsage::outputOfCall>(IUsage::outputOfReturn {
                    outputBytes: bytes,
                    outputRows: rows,
                })
            },
            call: IUsage::requiredClausesCall => {
                call::returns::<IUsage::requiredClausesCall>(rules::required(&call.policy)?.0)
            },
            call: IUsage::usesCall => {
                call::returns::<IUsage::usesCall>(self.uses.get(call.policy).to())
            },
            call: IUsage::usesByCall => call::returns::<IUsage::usesByCall>(
                self.uses_by.getter(call.policy).get(call.buyer).to(),
            ),
            call: IUsage::idOfCall => call::returns::<IUsage::idOfCall>(id::policy_id(&call.policy)),
            call: IUsage::bindEscrowCall => self.bind_escrow(call.escrow),
            call: IUsage::governorCall => call::returns::<IUsage::governorCall>(self.governor.get()),
            call: IUsage::escrowCall => call::returns::<IUsage::escrowCall>(self.escrow.get()),
        })
    }

    fn construct(&mut self, governor: Address) -> Answer {
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        if governor.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        self.governor.set(governor);
        Ok(vec![])
    }

    fn publish(&mut self, policy: Policy) -> Answer {
        rules::required(&policy)?;
        let id = id::policy_id(&policy);
        let publisher = self.vm().msg_sender();
        self.log(&IUsage::PolicyPublished {
            policy: id,
            publisher,
            terms: policy,
        });
        call::returns::<IUsage::publishCall>(id)
    }

    fn reserve(&mut self, call: &IUsage::reserveCall) -> Answer {
        self.only_escrow()?;
        let now = self.vm().block_timestamp();
        for leg in &call.request.legs {
            let (policy, expected) = (&leg.policy, leg.offer.policy);
            let found = id::policy_id(policy);
            if found != expected {
                return Err(IUsage::PolicyMismatch { expected, found }.into());
            }
            let required = rules::required(policy)?;
            rules::check(
                policy,
                found,
                required,
                &leg.workloadProof,
                &call.r#use,
                now,
            )?;
            self.count(policy, found, required, call.r#use.buyer, call.count)?;
        }
        Ok(vec![])
    }

    fn count(
        &mut self,
        policy: &Policy,
        id: B256,
        required: Clauses,
        buyer: Address,
        more: u64,
    ) -> Result<(), Revert> {
        if required.contains(Clause::MaxUses) {
            let limit = policy.maxUses;
            let mut uses = self.uses.setter(id);
            let count = rules::count(uses.get().to(), limit, more)
                .ok_or(IUsage::UsesExhausted { policy: id, limit })?;
            uses.set(U64::from(count));
        }
        if required.contains(Clause::MaxUsesPerBuyer) {
            let limit = policy.maxUsesPerBuyer;
            let mut of_policy = self.uses_by.setter(id);
            let mut uses = of_policy.setter(buyer);
            let count =
                rules::count(uses.get().to(), limit, more).ok_or(IUsage::BuyerUsesExhausted {
                    policy: id,
                    buyer,
                    limit,
                })?;
            uses.set(U64::from(count));
        }
        if !required.intersection(Clauses::TOTALS).is_empty() {
            let output = self.output(id).reserve(policy, id, required, more)?;
            self.outputs.insert(id, output.pack());
        }
        Ok(())
    }

    fn output(&self, policy: B256) -> Output {
        Output::unpack(self.outputs.get(policy))
    }

    fn release_output(&mut self, call: &IUsage::releaseOutputCall) -> Answer {
        self.only_escrow()?;
        let output = self.output(call.policy);
        let output = output.release(call.outputBytes, call.outputRows);
        self.outputs.insert(call.policy, output.pack());
        Ok(vec![])
    }

    fn release(&mut self, ids: &[B256], clauses: &[u32], buyer: Address) -> Answer {
        self.only_escrow()?;
        let (expected, found) = (U256::from(ids.len()), U256::from(clauses.len()));
        if expected != found {
            return Err(IUsage::LengthsDiffer { expected, found }.into());
        }
        for (&id, &clauses) in ids.iter().zip(clauses) {
            let required = Clauses(clauses);
            if required.contains(Clause::MaxUses) {
                let mut uses = self.uses.setter(id);
                let count = uses.get().saturating_sub(U64::ONE);
                uses.set(count);
            }
            if required.contains(Clause::MaxUsesPerBuyer) {
                let mut of_policy = self.uses_by.setter(id);
                let mut uses = of_policy.setter(buyer);
                let count = uses.get().saturating_sub(U64::ONE);
                uses.set(count);
            }
        }
        Ok(vec![])
    }

    fn bind_escrow(&mut self, escrow: Address) -> Answer {
        let caller = self.vm().msg_sender();
        if caller != self.governor.get() {
            return Err(IUsage::NotGovernor { caller }.into());
        }
        if escrow.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let bound = self.escrow.get();
        if !bound.is_zero() {
            return Err(IUsage::EscrowAlreadyBound { escrow: bound }.into());
        }
        self.escrow.set(escrow);
        self.log(&IUsage::EscrowBound { escrow });
        Ok(vec![])
    }

    fn only_escrow(&self) -> Result<(), Revert> {
        let (caller, escrow) = (self.vm().msg_sender(), self.escrow.get());
        if caller == escrow {
            Ok(())
        } else {
            Err(IUsage::NotEscrow { caller, escrow }.into())
        }
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
