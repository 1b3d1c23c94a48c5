//! What is for sale.
//!
//! **Decides** whether an offer exists, is open and has uses left, and what the terms of an order
//! over it are. Offers are content-addressed:
//! callers bring the offer, the contract keeps one word per offer under its hash, so nobody can
//! swap price or policy under an id.
//!
//! **Trusts** the bound escrow to take and give back uses, and the governor to bind it, once.
//!
//! **Leaves alone** policies (contract `usage`) and money (contract `escrow`).
//!
//! The contract is dispatched by `vouch_abi::dispatch!` over the calls that `sol!` declares, not by
//! the SDK's `#[public]`, which wants every signature a second time and decodes with alloy's coder.
//! With that coder this contract measured 55,160 bytes, without it 28,095; `attestation` did not fit
//! a program at all. A program is paid for by its size in every call. A test shows that every
//! function of the interface is answered.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;

use alloc::{string::String, vec, vec::Vec};

use alloy_primitives::{Address, B256, U256};
use stylus_sdk::{
    ArbResult,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageB256, StorageMap},
};
use vouch_abi::{
    IContract, IOffers, Offer,
    call::{self, Answer, Revert, SolCall},
    dispatch, id, terms,
    wire::{self, Event},
};

use crate::rules::Listing;

/// The contract's storage.
#[storage]
pub struct Offers {
    governor: StorageAddress,
    escrow: StorageAddress,
    /// [`Listing`]s by offer id.
    listings: StorageMap<B256, StorageB256>,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Offers::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Offers {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IOffers::constructorCall>(calldata)? {
            return self.construct(arguments.governor);
        }
        if let (IOffers::sellCall::SELECTOR, arguments) = call::split(calldata) {
            return self.sell(arguments);
        }
        dispatch!(calldata, {
            call: IOffers::publishCall => self.publish(call.offer, call.uri),
            call: IOffers::cancelCall => self.cancel(call.offer),
            call: IOffers::restoreCall => self.restore(&call.offers),
            call: IOffers::availableCall => self.available(call.offer),
            call: IOffers::idOfCall => call::returns::<IOffers::idOfCall>(id::offer_id(&call.offer)),
            call: IOffers::bindEscrowCall => self.bind_escrow(call.escrow),
            call: IOffers::governorCall => {
                call::returns::<IOffers::governorCall>(self.governor.get())
            },
            call: IOffers::escrowCall => call::returns::<IOffers::escrowCall>(self.escrow.get()),
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

    fn publish(&mut self, offer: Offer, uri: String) -> Answer {
        let id = id::offer_id(&offer);
        if !self.listing(id).owner.is_zero() {
            return Err(IOffers::AlreadyPublished { offer: id }.into());
        }
        rules::check(&offer, &uri, self.vm().block_timestamp())?;
        let caller = self.vm().msg_sender();
        if caller != offer.owner {
            return Err(IOffers::NotOwner {
                caller,
                owner: offer.owner,
            }
            .into());
        }
        self.listings.insert(id, Listing::new(&offer).pack());
        let (owner, kind) = (offer.owner, offer.kind);
        self.log(&IOffers::OfferPublished {
            offer: id,
            owner,
            kind,
            terms: offer,
            uri,
        });
        call::returns::<IOffers::publishCall>(id)
    }

    fn cancel(&mut self, offer: B256) -> Answer {
        let owner = self.vm().msg_sender();
        self.change(offer, |listing| listing.cancel(offer, owner))?;
        self.log(&IOffers::OfferCancelled { offer, owner });
        Ok(vec![])
    }

    fn sell(&mut self, arguments: &[u8]) -> Answer {
        self.only_escrow()?;
        let (buyer, request) = wire::read_sale(arguments)
            .ok_or_else(|| call::malformed(IOffers::sellCall::SELECTOR))?;
        let now = self.vm().block_timestamp();
        let terms = terms::derive(request, buyer, now)?;
        for leg in &terms.legs {
            self.change(leg.offer, |listing| listing.take(leg.offer, now))?;
        }
        call::returns::<IOffers::sellCall>(terms)
    }

    fn restore(&mut self, offers: &[B256]) -> Answer {
        self.only_escrow()?;
        for &offer in offers {
            self.change(offer, |listing| listing.give_back(offer))?;
        }
        Ok(vec![])
    }

    fn available(&self, offer: B256) -> Answer {
        let listing = self.listing(offer);
        call::returns_all::<IOffers::availableCall>(IOffers::availableReturn {
            volume: listing.volume,
            open: listing.is_open(self.vm().block_timestamp()),
        })
    }

    fn bind_escrow(&mut self, escrow: Address) -> Answer {
        let caller = self.vm().msg_sender();
        if caller != self.governor.get() {
            return Err(IOffers::NotGovernor { caller }.into());
        }
        if escrow.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let bound = self.escrow.get();
        if !bound.is_zero() {
            return Err(IOffers::EscrowAlreadyBound { escrow: bound }.into());
        }
        self.escrow.set(escrow);
        self.log(&IOffers::EscrowBound { escrow });
        Ok(vec![])
    }

    fn only_escrow(&self) -> Result<(), Revert> {
        let (caller, escrow) = (self.vm().msg_sender(), self.escrow.get());
        if caller == escrow {
            Ok(())
        } else {
            Err(IOffers::NotEscrow { caller, escrow }.into())
        }
    }

    fn listing(&self, offer: B256) -> Listing {
        Listing::unpack(self.listings.get(offer))
    }

    fn change(
        &mut self,
        offer: B256,
        change: impl FnOnce(&mut Listing) -> Result<(), Revert>,
    ) -> Result<(), Revert> {
        let mut slot = self.listings.setter(offer);
        let mut listing = Listing::unpack(slot.get());
        change(&mut listing)?;
        slot.set(listing.pack());
        Ok(())
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
