//! The contract on a machine without a chain.

use alloy_primitives::{Address, B256, U256};
use offers::Offers;
use stylus_test::TestVM;
use vouch_abi::{
    Deadlines, IContract,
    IOffers::{self, IOffersCalls},
    LegRequest, Offer, OrderRequest, Policy, Terms,
    call::{self, Revert, SolCall},
    id,
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
        workloadProof: vec![],
    };
    IOffers::sellCall {
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
