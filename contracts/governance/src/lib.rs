//! Who may change the market, and how long that takes.
//!
//! **Decides** who owns the market, and that every change of it (operators, quorum, fees, parameters) is
//! announced a fixed delay before anyone can make it. Immediate is only what does no harm: stopping new
//! orders, and binding a contract to its escrow, which each lets happen once. That orders go on after a pause
//! is a change like any other: whoever was warned by the pause can look why it ends.
//!
//! **Trusts** nobody: the owner can only announce, the called contracts decide what they let their
//! governor do. They hold the money, this contract never does.
//!
//! **Leaves alone** what a change means (the contracts that are governed).
//!
//! Dispatched by `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use stylus_sdk::{
    ArbResult,
    call::RawCall,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageMap, StorageU64},
};
use vouch_abi::{
    IContract, IEscrow, IGovernance, IOffers,
    call::{self, Answer, Revert},
    codec, dispatch,
    wire::Event,
};

use crate::rules::Window;

/// The contract's storage.
#[storage]
pub struct Governance {
    owner: StorageAddress,
    /// Seconds; in one word with the owner.
    delay: StorageU64,
    /// May become owner.
    proposed: StorageAddress,
    /// From when on each operation can be executed; zero for what is not scheduled.
    operations: StorageMap<B256, StorageU64>,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Governance::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Governance {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IGovernance::constructorCall>(calldata)? {
            return self.construct(&arguments);
        }
        dispatch!(calldata, {
            call: IGovernance::scheduleCall => self.schedule(call),
            call: IGovernance::cancelCall => self.cancel(call.operation),
            call: IGovernance::executeCall => self.execute(&call),
            call: IGovernance::pauseCall => self.pause(call.escrow),
            call: IGovernance::bindCall => self.bind(call.target, call.escrow),
            call: IGovernance::proposeOwnerCall => self.propose_owner(call.account),
            call: IGovernance::acceptOwnershipCall => self.accept_ownership(),
            call: IGovernance::ownerCall => {
                call::returns::<IGovernance::ownerCall>(self.owner.get())
            },
            call: IGovernance::proposedOwnerCall => {
                call::returns::<IGovernance::proposedOwnerCall>(self.proposed.get())
            },
            call: IGovernance::delayCall => {
                call::returns::<IGovernance::delayCall>(self.delay.get().to())
            },
            call: IGovernance::scheduledCall => {
                let window = self.window(call.operation);
                let (from, until) = window.map_or((0, 0), |window| (window.from, window.until));
                let scheduled = IGovernance::scheduledReturn { from, until };
                call::returns_all::<IGovernance::scheduledCall>(scheduled)
            },
            call: IGovernance::operationOfCall => {
                let operation = operation(call.target, &call.data);
                call::returns::<IGovernance::operationOfCall>(operation)
            },
        })
    }

    fn construct(&mut self, arguments: &IGovernance::constructorCall) -> Answer {
        let &IGovernance::constructorCall { owner, delay } = arguments;
        if !self.owner.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        if owner.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        rules::check_delay(delay, self.vm().chain_id())?;
        self.delay.set(U64::from(delay));
        self.change_owner(owner);
        Ok(vec![])
    }

    fn schedule(&mut self, asked: IGovernance::scheduleCall) -> Answer {
        self.only_owner()?;
        let IGovernance::scheduleCall { target, data } = asked;
        // A call of an address without code would succeed and mean nothing.
        if self.vm().code_size(target) == 0 {
            return Err(IGovernance::NoContract { target }.into());
        }
        let (operation, now) = (operation(target, &data), self.vm().block_timestamp());
        if let Some(Window { from, until }) = self.window(operation)
            && now <= until
        {
            return Err(IGovernance::AlreadyScheduled { operation, from }.into());
        }
        let Window { from, until } = Window::after(now, self.delay.get().to());
        self.operations.insert(operation, U64::from(from));
        self.log(&IGovernance::OperationScheduled {
            operation,
            target,
            data,
            from,
            until,
        });
        call::returns::<IGovernance::scheduleCall>(operation)
    }

    fn cancel(&mut self, operation: B256) -> Answer {
        self.only_owner()?;
        if self.operations.take(operation).is_zero() {
            return Err(IGovernance::NotScheduled { operation }.into());
        }
        self.log(&IGovernance::OperationCancelled { operation });
        Ok(vec![])
    }

    fn execute(&mut self, asked: &IGovernance::executeCall) -> Answer {
        let operation = operation(asked.target, &asked.data);
        let window = self
            .window(operation)
            .ok_or(IGovernance::NotScheduled { operation })?;
        window.check(operation, self.vm().block_timestamp())?;
        // Before the call, so that the target finds nothing to execute again.
        self.operations.delete(operation);
        let result = Bytes::from(self.call(asked.target, &asked.data)?);
        self.log(&IGovernance::OperationExecuted {
            operation,
            target: asked.target,
            result: result.clone(),
        });
        call::returns::<IGovernance::executeCall>(result)
    }

    fn pause(&mut self, escrow: Address) -> Answer {
        self.only_owner()?;
        self.call(
            escrow,
            &call::encode(&IEscrow::setPausedCall { paused: true }),
        )?;
        self.log(&IGovernance::EscrowPaused { escrow });
        Ok(vec![])
    }

    fn bind(&mut self, target: Address, escrow: Address) -> Answer {
        self.only_owner()?;
        // All that is bound has the same function.
        self.call(target, &call::encode(&IOffers::bindEscrowCall { escrow }))?;
        Ok(vec![])
    }

    fn propose_owner(&mut self, proposed: Address) -> Answer {
        self.only_owner()?;
        if proposed.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        self.proposed.set(proposed);
        let owner = self.owner.get();
        self.log(&IGovernance::OwnerProposed { owner, proposed });
        Ok(vec![])
    }

    fn accept_ownership(&mut self) -> Answer {
        let (caller, proposed) = (self.vm().msg_sender(), self.proposed.get());
        // Where nobody is proposed, the zero address is nobody too.
        if caller != proposed || caller.is_zero() {
            return Err(IGovernance::NotProposed { caller, proposed }.into());
        }
        self.proposed.set(Address::ZERO);
        self.change_owner(caller);
        Ok(vec![])
    }

    fn change_owner(&mut self, owner: Address) {
        let previous = self.owner.get();
        self.owner.set(owner);
        self.log(&IGovernance::OwnerChanged { previous, owner });
    }

    fn window(&self, operation: B256) -> Option<Window> {
        let from = self.operations.get(operation);
        (!from.is_zero()).then(|| Window::starting(from.to()))
    }

    fn call(&self, target: Address, data: &[u8]) -> Answer {
        // No reference into storage is held across the call, and all writes go before it.
        let answer = unsafe {
            RawCall::new(self.vm())
                .flush_storage_cache()
                .call(target, data)
        };
        answer.map_err(|reason| {
            let reason = Bytes::from(reason);
            IGovernance::CallFailed { target, reason }.into()
        })
    }

    fn only_owner(&self) -> Result<(), Revert> {
        let (caller, owner) = (self.vm().msg_sender(), self.owner.get());
        if caller == owner {
            return Ok(());
        }
        Err(IGovernance::NotOwner { caller, owner }.into())
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}

/// `keccak256(abi.encode(target, data))`
fn operation(target: Address, data: &Bytes) -> B256 {
    let mut bytes = Vec::new();
    // A call's arguments are encoded the same way.
    let call = IGovernance::operationOfCall {
        target,
        data: data.clone(),
    };
    codec::append(&call, &mut bytes);
    keccak256(bytes)
}
