//! Who may say what the hardware showed, and what they said.
//!
//! **Decides** whether a quorum of operators signed a verdict, and which order a device serves.
//!
//! **Trusts** the governor to name operators, quorum and fee, and to bind the escrow, once; contract
//! `bonds` to say who has enough at stake, and to expel who has not; a quorum of operators to sign only
//! what the evidence shows.
//!
//! **Leaves alone** what a verdict does to an order and its money (contract `escrow`).
//!
//! Dispatched by `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U8, U16, U32, U64, U256};
use stylus_sdk::{
    ArbResult,
    call::RawCall,
    host::VM,
    prelude::*,
    storage::{
        StorageAddress, StorageB256, StorageMap, StorageU16, StorageU32, StorageU64, StorageU256,
    },
};
use vouch_abi::{
    IAttestation, IBonds, IContract, Verdict,
    call::{self, Answer, Revert},
    codec, dispatch, id,
    signature::ECRECOVER,
    wire::Event,
};

use crate::rules::{Admitted, Holder, MAX_OPERATORS, Seat, Signed};

/// The contract's storage.
#[storage]
pub struct Attestation {
    governor: StorageAddress,
    escrow: StorageAddress,
    /// What the signatures of a verdict must weigh together. In one word with the escrow: every verdict needs
    /// both.
    quorum: StorageU16,
    count: StorageU16,
    /// What the signatures of all operators weigh together.
    weight: StorageU16,
    /// Counts the changes of operators and quorum.
    epoch: StorageU64,
    fee: StorageU256,
    /// [`Seat`]s by operator.
    seats: StorageMap<Address, StorageU32>,
    operators: StorageMap<U8, StorageAddress>,
    /// Who has signed a batch: [`Admitted`]s by root.
    batches: StorageMap<B256, StorageB256>,
    /// [`Holder`]s by device.
    devices: StorageMap<B256, StorageB256>,
    /// Where operators have something at stake; zero: they need not.
    bonds: StorageAddress,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Attestation::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Attestation {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IAttestation::constructorCall>(calldata)? {
            return self.construct(arguments);
        }
        dispatch!(calldata, {
            call: IAttestation::admitCall => self.admit(&call.verdict, &call.signatures, call.busyUntil),
            call: IAttestation::digestOfCall => {
                call::returns::<IAttestation::digestOfCall>(self.digest(&call.verdict))
            },
            call: IAttestation::signersOfCall => {
                let (signers, _) = self.signers(call.digest, &call.signatures)?;
                call::returns::<IAttestation::signersOfCall>(signers)
            },
            call: IAttestation::setOperatorsCall => self.set_operators(call.added, call.removed, call.quorum),
            call: IAttestation::setWeightsCall => self.set_weights(call.weights, call.quorum),
            call: IAttestation::abstainCall => self.abstain(call),
            call: IAttestation::weightOfCall => {
                call::returns::<IAttestation::weightOfCall>(self.seat(call.account).weight)
            },
            call: IAttestation::totalWeightCall => {
                call::returns::<IAttestation::totalWeightCall>(self.weight.get().to())
            },
            call: IAttestation::expelCall => self.expel(call.operator),
            call: IAttestation::bondsCall => {
                call::returns::<IAttestation::bondsCall>(self.bonds.get())
            },
            call: IAttestation::setFeeCall => self.set_fee(call.fee),
            call: IAttestation::isOperatorCall => {
                call::returns::<IAttestation::isOperatorCall>(self.is_operator(call.account))
            },
            call: IAttestation::operatorCountCall => {
                call::returns::<IAttestation::operatorCountCall>(self.count.get().to())
            },
            call: IAttestation::quorumCall => {
                call::returns::<IAttestation::quorumCall>(self.quorum.get().to())
            },
            call: IAttestation::feeCall => call::returns::<IAttestation::feeCall>(self.fee.get()),
            call: IAttestation::holderOfCall => self.holder_of(call.device),
            call: IAttestation::bindEscrowCall => self.bind_escrow(call.escrow),
            call: IAttestation::governorCall => {
                call::returns::<IAttestation::governorCall>(self.governor.get())
            },
            call: IAttestation::escrowCall => {
                call::returns::<IAttestation::escrowCall>(self.escrow.get())
            },
        })
    }

    fn construct(&mut self, arguments: IAttestation::constructorCall) -> Answer {
        let IAttestation::constructorCall {
            governor,
            operators,
            quorum,
            fee,
            bonds,
        } = arguments;
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        if governor.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        self.governor.set(governor);
        self.change_operators(operators, vec![], quorum)?;
        // Those of the beginning had no chance to bond anything yet: whoever stays without is evicted there.
        self.bonds.set(bonds);
        self.change_fee(fee);
        Ok(vec![])
    }

    fn admit(&mut self, verdict: &Verdict, signatures: &[u8], busy_until: u64) -> Answer {
        let (caller, escrow) = (self.vm().msg_sender(), self.escrow.get());
        if caller != escrow {
            return Err(IAttestation::NotEscrow { caller, escrow }.into());
        }
        let digest = self.digest(verdict);
        let (signers, unknown) = self.signers(digest, signatures)?;
        if let Some(root) = unknown {
            self.remember(root, &signers);
        }
        if busy_until != 0 {
            self.move_devices(verdict, busy_until)?;
        }
        self.log(&IAttestation::VerdictAdmitted {
            order: verdict.order,
            phase: verdict.phase,
            digest,
            reason: verdict.reason,
            signers: signers.clone(),
        });
        call::returns_all::<IAttestation::admitCall>(IAttestation::admitReturn { digest, signers })
    }

    fn move_devices(&mut self, verdict: &Verdict, until: u64) -> Result<(), Revert> {
        let now = self.vm().block_timestamp();
        let (order, starts) = (verdict.order, rules::starts(verdict));
        for &device in &verdict.devices {
            let mut slot = self.devices.setter(device);
            let holder = Holder::unpack(slot.get());
            if starts {
                slot.set(holder.take(device, order, until, now)?.pack());
            } else if let Some(free) = holder.give_back(order) {
                slot.set(free.pack());
            }
        }
        Ok(())
    }

    fn digest(&self, verdict: &Verdict) -> B256 {
        id::verdict_digest(self.vm().chain_id(), self.vm().contract_address(), verdict)
    }

    /// The signers of a verdict, and the root of its batch where that was not admitted before.
    fn signers(
        &self,
        digest: B256,
        signatures: &[u8],
    ) -> Result<(Vec<Address>, Option<B256>), Revert> {
        let (digest, signatures, unknown) = match Signed::read(signatures)? {
            Signed::Verdict(signatures) => (digest, signatures, None),
            Signed::Batch {
                siblings,
                signatures,
            } => {
                let root = rules::root(digest, siblings);
                let admitted = Admitted::unpack(self.batches.get(root));
                if let Some(places) = admitted.places(self.epoch.get().to()) {
                    return Ok((self.operators_at(places), None));
                }
                let contract = self.vm().contract_address();
                let digest = id::batch_digest(self.vm().chain_id(), contract, root);
                (digest, signatures, Some(root))
            }
        };
        let signers = rules::signers(
            digest,
            signatures,
            self.quorum.get().to(),
            |input| self.recover(input),
            |signer| self.seat(signer).weight,
        )?;
        Ok((signers, unknown))
    }

    /// In ascending order, as if their signatures had come.
    fn operators_at(&self, places: impl Iterator<Item = u8>) -> Vec<Address> {
        let mut operators = Vec::new();
        for place in places {
            let operator = self.operators.get(U8::from(place));
            let at = operators.partition_point(|other| *other < operator);
            operators.insert(at, operator);
        }
        operators
    }

    fn remember(&mut self, root: B256, signers: &[Address]) {
        let bits = signers.iter().fold(0u64, |bits, signer| {
            let place = self.seat(*signer).place;
            bits | 1u64.rotate_left(u32::from(place).wrapping_sub(1))
        });
        let admitted = Admitted {
            epoch: self.epoch.get().to(),
            signers: bits,
        };
        self.batches.insert(root, admitted.pack());
        self.log(&IAttestation::BatchAdmitted {
            root,
            signers: signers.to_vec(),
        });
    }

    fn is_operator(&self, account: Address) -> bool {
        self.seat(account).place != 0
    }

    fn seat(&self, account: Address) -> Seat {
        Seat::unpack(self.seats.get(account).to())
    }

    /// Returns what was there before.
    fn seat_at(&mut self, account: Address, seat: Seat) -> Seat {
        let before = self.seats.replace(account, U32::from(seat.pack()));
        Seat::unpack(before.to())
    }

    fn recover(&self, input: &[u8; 128]) -> Address {
        // A static call of a precompile: nothing of this contract's storage is touched meanwhile.
        let output = unsafe { RawCall::new_static(self.vm()).call(ECRECOVER, input) };
        output
            .ok()
            .and_then(|output| codec::decode(&output))
            .unwrap_or_default()
    }

    fn set_operators(&mut self, added: Vec<Address>, removed: Vec<Address>, quorum: u16) -> Answer {
        self.only_governor()?;
        self.change_operators(added, removed, quorum)?;
        Ok(vec![])
    }

    fn change_operators(
        &mut self,
        added: Vec<Address>,
        removed: Vec<Address>,
        quorum: u16,
    ) -> Result<(), Revert> {
        let mut count: u16 = self.count.get().to();
        for &signer in &removed {
            if !self.remove(signer, count) {
                return Err(IAttestation::NotOperator { signer }.into());
            }
            count = count.saturating_sub(1);
        }
        for &account in &added {
            if account.is_zero() {
                return Err(IContract::ZeroAddress {}.into());
            }
            if count >= MAX_OPERATORS {
                let limit = U256::from(MAX_OPERATORS);
                return Err(IAttestation::TooManyOperators { limit }.into());
            }
            if !self.is_bonded(account)? {
                return Err(IAttestation::NotBonded { account }.into());
            }
            self.operators.insert(U8::from(count), account);
            count = count.saturating_add(1);
            // At most [`MAX_OPERATORS`].
            let seat = Seat {
                place: count as u8,
                weight: 1,
            };
            if self.seat_at(account, seat).place != 0 {
                return Err(IAttestation::AlreadyOperator { account }.into());
            }
            self.reweigh(account, 0, 1)?;
        }
        self.count.set(U16::from(count));
        self.end_epoch(quorum)?;
        self.log(&IAttestation::OperatorsChanged {
            added,
            removed,
            quorum,
        });
        Ok(())
    }

    fn reweigh(&mut self, operator: Address, from: u16, to: u16) -> Result<(), Revert> {
        let total = rules::reweigh(self.weight.get().to(), operator, from, to)?;
        self.weight.set(U16::from(total));
        Ok(())
    }

    fn set_weights(&mut self, weights: Vec<IAttestation::Weight>, quorum: u16) -> Answer {
        self.only_governor()?;
        for &IAttestation::Weight { operator, weight } in &weights {
            let seat = self.seat(operator);
            if seat.place == 0 {
                return Err(IAttestation::NotOperator { signer: operator }.into());
            }
            self.reweigh(operator, seat.weight, weight)?;
            self.seat_at(operator, Seat { weight, ..seat });
        }
        self.end_epoch(quorum)?;
        self.log(&IAttestation::WeightsSet { weights, quorum });
        Ok(vec![])
    }

    fn abstain(&mut self, call: IAttestation::abstainCall) -> Answer {
        let operator = self.vm().msg_sender();
        if !self.is_operator(operator) {
            return Err(IAttestation::NotOperator { signer: operator }.into());
        }
        rules::check_abstention(call.reason)?;
        self.log(&IAttestation::Abstained {
            order: call.order,
            operator,
            phase: call.phase,
            attempt: call.attempt,
            reason: call.reason,
        });
        Ok(vec![])
    }

    /// Takes an operator out; whether it was one. There were `count`.
    fn remove(&mut self, signer: Address, count: u16) -> bool {
        let left = self.seat_at(signer, Seat::default());
        if left.place == 0 {
            return false;
        }
        let total = self.weight.get().saturating_sub(U16::from(left.weight));
        self.weight.set(total);
        // The last one takes the place, so that places stay without gaps.
        let last = self.operators.take(U8::from(count.saturating_sub(1)));
        if last != signer {
            let place = left.place;
            self.operators.insert(U8::from(place.wrapping_sub(1)), last);
            let seat = self.seat(last);
            self.seat_at(last, Seat { place, ..seat });
        }
        true
    }

    /// Sets a quorum that the operators can reach. What was remembered of the old ones is worth nothing any
    /// more.
    fn end_epoch(&mut self, quorum: u16) -> Result<(), Revert> {
        rules::check_quorum(quorum, self.weight.get().to())?;
        self.quorum.set(U16::from(quorum));
        self.epoch.set(self.epoch.get().wrapping_add(U64::ONE));
        Ok(())
    }

    fn expel(&mut self, operator: Address) -> Answer {
        let (caller, bonds) = (self.vm().msg_sender(), self.bonds.get());
        if caller != bonds {
            return Err(IAttestation::NotBonds { caller, bonds }.into());
        }
        let count: u16 = self.count.get().to();
        let removed = self.remove(operator, count);
        if removed {
            self.count.set(U16::from(count.saturating_sub(1)));
            self.epoch.set(self.epoch.get().wrapping_add(U64::ONE));
            self.log(&IAttestation::OperatorsChanged {
                added: vec![],
                removed: vec![operator],
                quorum: self.quorum.get().to(),
            });
        }
        call::returns::<IAttestation::expelCall>(removed)
    }

    fn is_bonded(&self, operator: Address) -> Result<bool, Revert> {
        let bonds = self.bonds.get();
        if bonds.is_zero() {
            return Ok(true);
        }
        let question = call::encode(&IBonds::isBondedCall { operator });
        // A static call: nothing of this contract's storage is touched meanwhile.
        let answer = unsafe { RawCall::new_static(self.vm()).call(bonds, &question) };
        let answer = answer.map_err(Revert)?;
        codec::decode(&answer).ok_or_else(|| IContract::UnexpectedAnswer { from: bonds }.into())
    }

    fn set_fee(&mut self, fee: U256) -> Answer {
        self.only_governor()?;
        self.change_fee(fee);
        Ok(vec![])
    }

    fn change_fee(&mut self, fee: U256) {
        self.fee.set(fee);
        self.log(&IAttestation::FeeChanged { fee });
    }

    fn holder_of(&self, device: B256) -> Answer {
        let holder = Holder::unpack(self.devices.get(device));
        let holder = if holder.holds(self.vm().block_timestamp()) {
            holder
        } else {
            Holder::default()
        };
        call::returns_all::<IAttestation::holderOfCall>(IAttestation::holderOfReturn {
            order: holder.order,
            until: holder.until,
        })
    }

    fn bind_escrow(&mut self, escrow: Address) -> Answer {
        self.only_governor()?;
        if escrow.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let bound = self.escrow.get();
        if !bound.is_zero() {
            return Err(IAttestation::EscrowAlreadyBound { escrow: bound }.into());
        }
        self.escrow.set(escrow);
        self.log(&IAttestation::EscrowBound { escrow });
        Ok(vec![])
    }

    fn only_governor(&self) -> Result<(), Revert> {
        let caller = self.vm().msg_sender();
        if caller == self.governor.get() {
            return Ok(());
        }
        Err(IAttestation::NotGovernor { caller }.into())
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
