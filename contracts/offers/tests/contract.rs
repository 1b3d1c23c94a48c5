//! The contract on a machine without a chain.

use alloy_primitives::{Address, B256, Bytes, U256};
use offers::Offers;
use stylus_sdk::prelude::*;
use stylus_test::TestVM;
use vouch_abi::{
    Deadlines, IContract,
    IOffers::{self, IOffersCalls},
    ISigner, LegRequest, Offer, OrderRequest, Policy, Terms,
    call::{self, Revert, SolCall},
    id,
    signature::{ECRECOVER, recovery_input},
};
use vouch_protocol::Clauses;

const GOVERNOR: Address = Address::repeat_byte(1);
const ESCROW: Address = Address::repeat_byte(2);
const OWNER: Address = Address::repeat_byte(3);
const STRANGER: Address = Address::repeat_byte(4);
const NOW: u64 = 1_000;

fn offer() -> Offer {
    Offer {
        owner: OWNER,
        kind: 1,
        digest: B256::repeat_byte(5),
        token: Address::repeat_byte(6),
        price: U256::from(7),
        volume: 1,
        openUntil: NOW + 10,
        ..Default::default()
    }
}

/// Orders name the machine that serves them, so each takes two offers.
fn compute() -> Offer {
    Offer {
        kind: 4,
        digest: B256::ZERO,
        volume: 100,
        openUntil: NOW + 1_000,
        ..offer()
    }
}

fn sale(offer: Offer) -> IOffers::sellCall {
    let leg = |offer| LegRequest {
        offer,
        policy: Policy {
            any: Clauses::POLICY.0,
            ..Default::default()
        },
        ..Default::default()
    };
    IOffers::sellCall {
        count: 1,
        buyer: STRANGER,
        request: OrderRequest {
            legs: vec![leg(offer), leg(compute())],
            resultKey: B256::repeat_byte(8),
            purpose: 4,
            maxDuration: 60,
            deadlines: Deadlines {
                accept: NOW + 100,
                start: NOW + 200,
                finish: NOW + 300,
                settle: NOW + 400,
            },
            ..Default::default()
        },
    }
}

struct World {
    vm: TestVM,
    contract: Offers,
}

impl World {
    fn new() -> Self {
        let vm = TestVM::new();
        vm.set_block_timestamp(NOW);
        let mut contract = Offers::from(&vm);
        contract
            .answer(&call::construct(&IOffers::constructorCall {
                governor: GOVERNOR,
            }))
            .unwrap();
        Self { vm, contract }
    }

    fn bound() -> Self {
        let mut world = Self::new();
        world
            .send(GOVERNOR, &IOffers::bindEscrowCall { escrow: ESCROW })
            .unwrap();
        world
    }

    fn send<C: SolCall>(&mut self, from: Address, call: &C) -> Result<C::Return, Revert> {
        self.vm.set_sender(from);
        let answer = self.contract.answer(&call.abi_encode())?;
        Ok(C::abi_decode_returns(&answer).unwrap())
    }

    fn refused<C: SolCall>(&mut self, from: Address, call: &C) -> Revert {
        self.send(from, call).err().expect("refused")
    }

    fn publish(&mut self) -> B256 {
        self.send(
            OWNER,
            &IOffers::publishCall {
                offer: offer(),
                uri: String::new(),
            },
        )
        .unwrap()
    }

    fn publish_compute(&mut self) {
        let publish = IOffers::publishCall {
            offer: compute(),
            uri: String::new(),
        };
        self.send(OWNER, &publish).unwrap();
    }

    fn volume(&mut self, offer: B256) -> (u64, bool) {
        let found = self
            .send(STRANGER, &IOffers::availableCall { offer })
            .unwrap();
        (found.volume, found.open)
    }
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in IOffersCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
}

#[test]
fn construct_errors_the_second_time_and_without_governor() {
    let again = call::construct(&IOffers::constructorCall { governor: STRANGER });
    let expected: Revert = IContract::AlreadyConstructed {}.into();
    assert_eq!(World::new().contract.answer(&again), Err(expected));
    let nobody = call::construct(&IOffers::constructorCall {
        governor: Address::ZERO,
    });
    let expected: Revert = IContract::ZeroAddress {}.into();
    assert_eq!(Offers::from(&TestVM::new()).answer(&nobody), Err(expected));
}

#[test]
fn publish_names_the_offer_by_its_hash_and_tells_everybody() {
    let mut world = World::new();
    let id = world.publish();
    assert_eq!(id, id::offer_id(&offer()));
    assert_eq!(world.volume(id), (1, true));
    let (topics, _) = world.vm.get_emitted_logs().pop().unwrap();
    assert_eq!(
        topics[1..],
        [id, OWNER.into_word(), B256::with_last_byte(1)]
    );
}

#[test]
fn publish_errors_when_not_the_owner_or_already_published() {
    let mut world = World::new();
    let publish = IOffers::publishCall {
        offer: offer(),
        uri: String::new(),
    };
    let expected = IOffers::NotOwner {
        caller: STRANGER,
        owner: OWNER,
    };
    assert_eq!(world.refused(STRANGER, &publish), expected.into());
    let id = world.publish();
    assert_eq!(
        world.refused(OWNER, &publish),
        IOffers::AlreadyPublished { offer: id }.into()
    );
    world
        .send(OWNER, &IOffers::cancelCall { offer: id })
        .unwrap();
    let expected = IOffers::AlreadyPublished { offer: id };
    assert_eq!(
        world.refused(OWNER, &publish),
        expected.into(),
        "cancelled for good"
    );
}

#[test]
fn uses_are_the_escrows_to_take_and_give_back() {
    let mut world = World::bound();
    let id = world.publish();
    world.publish_compute();
    let (sell, restore) = (sale(offer()), IOffers::restoreCall { offers: vec![id] });
    for caller in [STRANGER, GOVERNOR, OWNER] {
        let expected: Revert = IOffers::NotEscrow {
            caller,
            escrow: ESCROW,
        }
        .into();
        assert_eq!(world.refused(caller, &sell), expected);
        assert_eq!(world.refused(caller, &restore), expected);
    }
    let terms: Terms = world.send(ESCROW, &sell).unwrap();
    assert_eq!((terms.buyer, terms.provider), (STRANGER, OWNER));
    assert_eq!(terms.legs[0].offer, id);
    assert_eq!(terms.legs[0].amount, offer().price);
    assert_eq!(terms.legs[1].amount, offer().price * U256::from(60));
    assert_eq!(world.volume(id), (0, false));
    assert_eq!(world.volume(terms.legs[1].offer), (99, true));
    let exhausted = IOffers::VolumeExhausted { offer: id };
    assert_eq!(world.refused(ESCROW, &sell), exhausted.into());
    world.send(ESCROW, &restore).unwrap();
    assert_eq!(world.volume(id), (1, true));
}

#[test]
fn sell_errors_when_an_offer_is_unknown_closed_or_cancelled() {
    let mut world = World::bound();
    let id = world.publish();
    world.publish_compute();
    // An offer that differs in one field is another offer.
    let cheaper = Offer {
        price: U256::from(1),
        ..offer()
    };
    let unknown = IOffers::NotPublished {
        offer: id::offer_id(&cheaper),
    };
    assert_eq!(world.refused(ESCROW, &sale(cheaper)), unknown.into());
    world.vm.set_block_timestamp(NOW + 11);
    let closed = IOffers::OfferClosed {
        offer: id,
        openUntil: NOW + 10,
        time: NOW + 11,
    };
    assert_eq!(world.refused(ESCROW, &sale(offer())), closed.into());
    world.vm.set_block_timestamp(NOW);
    let stranger = IOffers::NotOwner {
        caller: STRANGER,
        owner: OWNER,
    };
    assert_eq!(
        world.refused(STRANGER, &IOffers::cancelCall { offer: id }),
        stranger.into()
    );
    world
        .send(OWNER, &IOffers::cancelCall { offer: id })
        .unwrap();
    let closed = IOffers::OfferClosed {
        offer: id,
        openUntil: 0,
        time: NOW,
    };
    assert_eq!(world.refused(ESCROW, &sale(offer())), closed.into());
}

#[test]
fn the_escrow_is_bound_once_by_the_governor() {
    let mut world = World::new();
    let bind = |escrow| IOffers::bindEscrowCall { escrow };
    let expected = IOffers::NotGovernor { caller: STRANGER };
    assert_eq!(world.refused(STRANGER, &bind(ESCROW)), expected.into());
    let expected = IContract::ZeroAddress {};
    assert_eq!(
        world.refused(GOVERNOR, &bind(Address::ZERO)),
        expected.into()
    );
    world.send(GOVERNOR, &bind(ESCROW)).unwrap();
    let expected = IOffers::EscrowAlreadyBound { escrow: ESCROW };
    assert_eq!(world.refused(GOVERNOR, &bind(STRANGER)), expected.into());
    assert_eq!(world.send(STRANGER, &IOffers::escrowCall {}), Ok(ESCROW));
}

/// A signature that the precompile will recover to `signer`.
fn sign(world: &World, offer: &Offer, signer: Address) -> Bytes {
    let digest = id::offer_digest(world.vm.chain_id(), world.vm.contract_address(), offer);
    let mut signature = vec![1; 64];
    signature.push(27);
    let input = recovery_input(digest, &signature).unwrap();
    world
        .vm
        .mock_static_call(ECRECOVER, input.to_vec(), Ok(signer.into_word().to_vec()));
    signature.into()
}

fn signed_sale(offer: Offer, signature: Bytes) -> IOffers::sellCall {
    let mut sale = sale(offer);
    sale.request.legs[0].signature = signature;
    sale
}

#[test]
fn a_signed_offer_is_sold_without_being_published_and_its_volume_counted() {
    let mut world = World::bound();
    world.publish_compute();
    let signature = sign(&world, &offer(), OWNER);
    let sale = signed_sale(offer(), signature);
    world.send(ESCROW, &sale).unwrap();
    let id = id::offer_id(&offer());
    let (topics, _) = world.vm.get_emitted_logs().pop().unwrap();
    assert_eq!(
        topics[1..],
        [id, OWNER.into_word(), B256::with_last_byte(1)]
    );
    assert_eq!(world.volume(id), (0, false));
    let exhausted = IOffers::VolumeExhausted { offer: id };
    assert_eq!(world.refused(ESCROW, &sale), exhausted.into());
}

#[test]
fn sell_errors_when_the_signature_is_not_the_owners() {
    let mut world = World::bound();
    world.publish_compute();
    let expected: Revert = IOffers::InvalidSignature {
        offer: id::offer_id(&offer()),
        owner: OWNER,
    }
    .into();
    for signer in [STRANGER, Address::ZERO] {
        let sale = signed_sale(offer(), sign(&world, &offer(), signer));
        assert_eq!(world.refused(ESCROW, &sale), expected);
    }
    let signature = sign(&world, &offer(), OWNER);
    let mut long = signature.to_vec();
    long.push(27);
    let mut other_v = signature.to_vec();
    other_v[64] = 29;
    // The same signature with the other `s`.
    let mut malleable = signature.to_vec();
    malleable[32] = 0x80;
    for bytes in [long, other_v, malleable, signature[..64].to_vec()] {
        let sale = signed_sale(offer(), bytes.into());
        assert_eq!(world.refused(ESCROW, &sale), expected);
    }
    let invalid = Offer {
        volume: 0,
        ..offer()
    };
    let sale = signed_sale(invalid.clone(), sign(&world, &invalid, OWNER));
    let expected = IOffers::InvalidOffer {
        field: "volume".into(),
    };
    assert_eq!(world.refused(ESCROW, &sale), expected.into());
}

#[test]
fn a_contract_that_owns_an_offer_says_what_it_signed() {
    let mut world = World::bound();
    world.publish_compute();
    world.vm.set_code(OWNER, vec![0xfe]);
    let signature = Bytes::from(vec![1, 2, 3]);
    let hash = id::offer_digest(world.vm.chain_id(), world.vm.contract_address(), &offer());
    let question = ISigner::isValidSignatureCall {
        hash,
        signature: signature.clone(),
    }
    .abi_encode();
    let magic = ISigner::isValidSignatureCall::SELECTOR;
    let mut word = [0; 32];
    word[..4].copy_from_slice(&magic);
    let mut other = word;
    other[0] ^= 1;
    let sale = signed_sale(offer(), signature);
    let expected: Revert = IOffers::InvalidSignature {
        offer: id::offer_id(&offer()),
        owner: OWNER,
    }
    .into();
    for answer in [Ok(other.to_vec()), Ok(vec![]), Err(word.to_vec())] {
        world.vm.mock_static_call(OWNER, question.clone(), answer);
        assert_eq!(world.refused(ESCROW, &sale), expected);
    }
    world
        .vm
        .mock_static_call(OWNER, question, Ok(word.to_vec()));
    world.send(ESCROW, &sale).unwrap();
}

#[test]
fn signed_offers_are_revoked_one_by_one_or_all_below_a_nonce() {
    let mut world = World::bound();
    world.publish_compute();
    let salted = |salt| Offer {
        volume: 5,
        salt: B256::with_last_byte(salt),
        ..offer()
    };
    let sale = |world: &World, salt| signed_sale(salted(salt), sign(world, &salted(salt), OWNER));
    let revoke = IOffers::revokeCall { offer: salted(9) };
    let expected = IOffers::NotOwner {
        caller: STRANGER,
        owner: OWNER,
    };
    assert_eq!(world.refused(STRANGER, &revoke), expected.into());
    world.send(OWNER, &revoke).unwrap();
    let closed = IOffers::OfferClosed {
        offer: id::offer_id(&salted(9)),
        openUntil: 0,
        time: NOW,
    };
    let revoked = sale(&world, 9);
    assert_eq!(world.refused(ESCROW, &revoked), closed.into());

    // Used before, and then voided: with its signature or without.
    let used = sale(&world, 3);
    world.send(ESCROW, &used).unwrap();
    let raise = |nonce: u64| IOffers::raiseNonceCall {
        nonce: U256::from(nonce),
    };
    world.send(OWNER, &raise(4)).unwrap();
    let void: Revert = IOffers::OfferVoid {
        offer: id::offer_id(&salted(3)),
        salt: U256::from(3),
        nonce: U256::from(4),
    }
    .into();
    assert_eq!(world.refused(ESCROW, &used), void);
    let unsigned = signed_sale(salted(3), Bytes::new());
    assert_eq!(world.refused(ESCROW, &unsigned), void);
    let kept = sale(&world, 4);
    world.send(ESCROW, &kept).unwrap();
    for nonce in [0, 3, 4] {
        let expected = IOffers::NonceNotAbove {
            nonce: U256::from(4),
            found: U256::from(nonce),
        };
        assert_eq!(world.refused(OWNER, &raise(nonce)), expected.into());
    }
    let asked = IOffers::nonceOfCall { owner: STRANGER };
    assert_eq!(world.send(STRANGER, &asked), Ok(U256::ZERO));

    // What was published stays, whatever its salt.
    world.publish();
    let published = signed_sale(offer(), Bytes::new());
    world.send(ESCROW, &published).unwrap();
}
