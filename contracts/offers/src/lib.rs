//! What is for sale.
//!
//! **Decides** whether an offer exists, is open and has uses left, and what the terms of an order
//! over it are. Offers are content-addressed:
//! callers bring the offer, the contract keeps one word per offer under its hash, so nobody can
//! swap price or policy under an id.
//!
//! **Trusts** the bound escrow to take and give back uses, and the governor to bind it, once, and to set the
//! protocol's fee, within its limit and for later orders only.
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

use alloy_primitives::{Address, B256, FixedBytes, U32, U256};
use stylus_sdk::{
    ArbResult,
    call::RawCall,
    host::VM,
    prelude::*,
    storage::{StorageAddress, StorageB256, StorageMap, StorageU32, StorageU256},
};
use vouch_abi::{
    Fee, IContract, IEscrow, IOffers, ISigner, Offer, OrderRecord,
    call::{self, Answer, Revert, SolCall},
    codec, dispatch, id,
    signature::{ECRECOVER, recovery_input},
    terms::{self, DERIVING, MAX_PROTOCOL_FEE},
    wire::{self, Event},
};

use crate::rules::Listing;

/// State of an order that is paid, as the escrow numbers them.
const SETTLED: u8 = 5;

/// The contract's storage.
#[storage]
pub struct Offers {
    governor: StorageAddress,
    escrow: StorageAddress,
    /// [`Listing`]s by offer id.
    listings: StorageMap<B256, StorageB256>,
    /// Of orders placed from now on: recipient, then rate, in one word.
    fee_recipient: StorageAddress,
    fee_rate: StorageU32,
    /// By owner: signed offers with a smaller salt are void.
    nonces: StorageMap<Address, StorageU256>,
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
            call: IOffers::publishDerivedCall => self.publish_derived(call),
            call: IOffers::cancelCall => self.cancel(call.offer),
            call: IOffers::revokeCall => self.revoke(&call.offer),
            call: IOffers::raiseNonceCall => self.raise_nonce(call.nonce),
            call: IOffers::nonceOfCall => {
                call::returns::<IOffers::nonceOfCall>(self.nonces.get(call.owner))
            },
            call: IOffers::restoreCall => self.restore(&call.offers),
            call: IOffers::availableCall => self.available(call.offer),
            call: IOffers::idOfCall => call::returns::<IOffers::idOfCall>(id::offer_id(&call.offer)),
            call: IOffers::bindEscrowCall => self.bind_escrow(call.escrow),
            call: IOffers::setProtocolFeeCall => self.set_protocol_fee(call.fee),
            call: IOffers::protocolFeeCall => {
                call::returns::<IOffers::protocolFeeCall>(self.protocol_fee())
            },
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
        let id = self.list(offer, uri)?;
        call::returns::<IOffers::publishCall>(id)
    }

    fn publish_derived(&mut self, call: IOffers::publishDerivedCall) -> Answer {
        let IOffers::publishDerivedCall {
            offer,
            uri,
            terms,
            policies,
        } = call;
        let escrow = self.escrow.get();
        let order = id::order_id(self.vm().chain_id(), escrow, &terms);
        let question = call::encode(&IEscrow::orderOfCall { order });
        // A static call: nothing of this contract's storage is touched meanwhile.
        let answer = unsafe { RawCall::new_static(self.vm()).call(escrow, &question) };
        let record: OrderRecord = codec::decode(&answer.map_err(Revert)?)
            .ok_or(IContract::UnexpectedAnswer { from: escrow })?;
        if record.state != SETTLED {
            let state = record.state;
            return Err(IOffers::NotSettled { order, state }.into());
        }
        if terms.purpose & DERIVING == 0 {
            return Err(rules::invalid("purpose"));
        }
        let (caller, owner) = (offer.owner, terms.buyer);
        if caller != owner {
            return Err(IOffers::NotOwner { caller, owner }.into());
        }
        let royalties = rules::royalties(&terms, &policies)?;
        let (expected, found) = (id::lineage(&royalties), offer.lineage);
        if found != expected {
            return Err(IOffers::LineageMismatch { expected, found }.into());
        }
        let id = self.list(offer, uri)?;
        self.log(&IOffers::OfferDerived {
            offer: id,
            order,
            royalties,
        });
        call::returns::<IOffers::publishDerivedCall>(id)
    }

    fn list(&mut self, offer: Offer, uri: String) -> Result<B256, Revert> {
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
        Ok(id)
    }

    fn cancel(&mut self, offer: B256) -> Answer {
        let owner = self.vm().msg_sender();
        self.change(offer, |listing| listing.cancel(offer, owner))?;
        self.log(&IOffers::OfferCancelled { offer, owner });
        Ok(vec![])
    }

    fn sell(&mut self, arguments: &[u8]) -> Answer {
        self.only_escrow()?;
        let (buyer, request, count) = wire::read_sale(arguments)
            .ok_or_else(|| call::malformed(IOffers::sellCall::SELECTOR))?;
        let now = self.vm().block_timestamp();
        let terms = terms::derive(&request, buyer, self.protocol_fee(), now)?;
        for (leg, requested) in terms.legs.iter().zip(&request.legs) {
            let mut listing = self.listing(leg.offer);
            if listing.owner.is_zero() && !requested.signature.is_empty() {
                listing = self.admit_signed(leg.offer, &requested.offer, &requested.signature)?;
            }
            if listing.signed {
                self.not_void(leg.offer, &requested.offer)?;
            }
            listing.take(leg.offer, now, count)?;
            self.listings.insert(leg.offer, listing.pack());
        }
        call::returns::<IOffers::sellCall>(terms)
    }

    /// Makes a signed offer known, the first time it is used.
    fn admit_signed(&self, id: B256, offer: &Offer, signature: &[u8]) -> Result<Listing, Revert> {
        rules::check(offer, "", self.vm().block_timestamp())?;
        let owner = offer.owner;
        if !self.has_signed(offer, signature) {
            return Err(IOffers::InvalidSignature { offer: id, owner }.into());
        }
        self.log(&IOffers::OfferPublished {
            offer: id,
            owner,
            kind: offer.kind,
            terms: offer.clone(),
            uri: String::new(),
        });
        Ok(Listing::signed(offer))
    }

    fn not_void(&self, id: B256, offer: &Offer) -> Result<(), Revert> {
        let salt = U256::from_be_bytes(offer.salt.0);
        let nonce = self.nonces.get(offer.owner);
        if salt < nonce {
            let offer = id;
            return Err(IOffers::OfferVoid { offer, salt, nonce }.into());
        }
        Ok(())
    }

    /// Whether the owner signed: with its key, or as a contract (ERC-1271).
    fn has_signed(&self, offer: &Offer, signature: &[u8]) -> bool {
        let (chain_id, offers) = (self.vm().chain_id(), self.vm().contract_address());
        let digest = id::offer_digest(chain_id, offers, offer);
        if self.vm().code_size(offer.owner) > 0 {
            let question = call::encode(&ISigner::isValidSignatureCall {
                hash: digest,
                signature: signature.to_vec().into(),
            });
            // Static, and no reference into storage is held: the owner can change nothing here.
            let call = RawCall::new_static(self.vm()).limit_return_data(0, 32);
            let answer = unsafe { call.call(offer.owner, &question) };
            let magic = ISigner::isValidSignatureCall::SELECTOR;
            return answer
                .is_ok_and(|answer| codec::decode::<FixedBytes<4>>(&answer) == Some(magic.into()));
        }
        let Some(input) = recovery_input(digest, signature) else {
            return false;
        };
        let output = unsafe { RawCall::new_static(self.vm()).call(ECRECOVER, &input) };
        let signer: Option<Address> = output.ok().and_then(|output| codec::decode(&output));
        signer == Some(offer.owner)
    }

    fn revoke(&mut self, offer: &Offer) -> Answer {
        let (caller, owner) = (self.vm().msg_sender(), offer.owner);
        if caller != owner {
            return Err(IOffers::NotOwner { caller, owner }.into());
        }
        let id = id::offer_id(offer);
        let mut listing = self.listing(id);
        if listing.owner.is_zero() {
            listing = Listing::signed(offer);
        }
        listing.open_until = 0;
        self.listings.insert(id, listing.pack());
        self.log(&IOffers::OfferCancelled { offer: id, owner });
        Ok(vec![])
    }

    fn raise_nonce(&mut self, found: U256) -> Answer {
        let owner = self.vm().msg_sender();
        let nonce = self.nonces.get(owner);
        if found <= nonce {
            return Err(IOffers::NonceNotAbove { nonce, found }.into());
        }
        self.nonces.insert(owner, found);
        self.log(&IOffers::NonceRaised {
            owner,
            nonce: found,
        });
        Ok(vec![])
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
        self.only_governor()?;
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

    fn protocol_fee(&self) -> Fee {
        Fee {
            recipient: self.fee_recipient.get(),
            rate: self.fee_rate.get().to(),
        }
    }

    fn set_protocol_fee(&mut self, fee: Fee) -> Answer {
        self.only_governor()?;
        terms::check_fee(&fee, MAX_PROTOCOL_FEE)?;
        self.fee_recipient.set(fee.recipient);
        self.fee_rate.set(U32::from(fee.rate));
        self.log(&IOffers::ProtocolFeeSet { fee });
        Ok(vec![])
    }

    fn only_governor(&self) -> Result<(), Revert> {
        let caller = self.vm().msg_sender();
        if caller != self.governor.get() {
            return Err(IOffers::NotGovernor { caller }.into());
        }
        Ok(())
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
