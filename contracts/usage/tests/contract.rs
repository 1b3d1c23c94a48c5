//! The contract on a machine without a chain.

use alloy_primitives::{Address, B256, U256};
use stylus_test::TestVM;
use usage::Usage;
use vouch_abi::{
    Counters, IContract,
    IUsage::{self, IUsageCalls, Use},
    LegRequest, OrderRequest, Policy,
    call::{self, Revert, SolCall},
    id,
};
use vouch_protocol::clause::{Clause, Clauses};

const GOVERNOR: Address = Address::repeat_byte(1);
const ESCROW: Address = Address::repeat_byte(2);
const BUYER: Address = Address::repeat_byte(3);
const OTHER: Address = Address::repeat_byte(4);

/// Waives everything but the counters: two uses in all, one of each buyer.
fn counted() -> Policy {
    let counters = Clauses::NONE
        .with(Clause::MaxUses)
        .with(Clause::MaxUsesPerBuyer);
    Policy {
        any: Clauses::POLICY.without(counters).0,
        maxUses: 2,
        maxUsesPerBuyer: 1,
        ..Default::default()
    }
}

fn reserve(policy: Policy, buyer: Address) -> IUsage::reserveCall {
    let mut leg = LegRequest {
        policy,
        ..Default::default()
    };
    leg.offer.policy = id::policy_id(&leg.policy);
    IUsage::reserveCall {
        count: 1,
        r#use: Use {
            buyer,
            ..Default::default()
        },
        request: OrderRequest {
            legs: vec![leg],
            ..Default::default()
        },
    }
}

struct World {
    vm: TestVM,
    contract: Usage,
}

impl World {
    fn new() -> Self {
        let vm = TestVM::new();
        let mut contract = Usage::from(&vm);
        contract
            .answer(&call::construct(&IUsage::constructorCall {
                governor: GOVERNOR,
            }))
            .unwrap();
        let mut world = Self { vm, contract };
        world
            .send(GOVERNOR, &IUsage::bindEscrowCall { escrow: ESCROW })
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

    fn uses(&mut self, buyer: Address) -> (u64, u64) {
        let policy = id::policy_id(&counted());
        let total = self.send(OTHER, &IUsage::usesCall { policy }).unwrap();
        (
            total,
            self.send(OTHER, &IUsage::usesByCall { policy, buyer })
                .unwrap(),
        )
    }
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in IUsageCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
}

#[test]
fn publish_names_a_policy_by_its_hash_any_number_of_times() {
    let mut world = World::new();
    for caller in [BUYER, OTHER, BUYER] {
        let published = world.send(caller, &IUsage::publishCall { policy: counted() });
        assert_eq!(published, Ok(id::policy_id(&counted())));
    }
}

#[test]
fn publish_errors_when_the_policy_contradicts_itself() {
    let mut world = World::new();
    let policy = Policy {
        maxUses: 0,
        ..counted()
    };
    let expected = IUsage::InvalidClause {
        clause: Clause::MaxUses as u8,
    };
    assert_eq!(
        world.refused(BUYER, &IUsage::publishCall { policy }),
        expected.into()
    );
}

#[test]
fn reserve_errors_when_uses_are_exhausted() {
    let mut world = World::new();
    let policy = id::policy_id(&counted());
    world.send(ESCROW, &reserve(counted(), BUYER)).unwrap();
    let expected = IUsage::BuyerUsesExhausted {
        policy,
        buyer: BUYER,
        limit: 1,
    };
    assert_eq!(
        world.refused(ESCROW, &reserve(counted(), BUYER)),
        expected.into()
    );
}

#[test]
fn reserve_errors_when_all_uses_of_all_buyers_are_exhausted() {
    let mut world = World::new();
    let policy = id::policy_id(&counted());
    world.send(ESCROW, &reserve(counted(), BUYER)).unwrap();
    world.send(ESCROW, &reserve(counted(), OTHER)).unwrap();
    let expected = IUsage::UsesExhausted { policy, limit: 2 };
    assert_eq!(
        world.refused(ESCROW, &reserve(counted(), GOVERNOR)),
        expected.into()
    );
    assert_eq!(world.uses(BUYER), (2, 1));
}

#[test]
fn released_uses_can_be_reserved_again() {
    let mut world = World::new();
    world.send(ESCROW, &reserve(counted(), BUYER)).unwrap();
    let clauses = Clauses::POLICY.without(Clauses(counted().any)).0;
    let ids = vec![id::policy_id(&counted())];
    let release = IUsage::releaseCall {
        ids,
        clauses: vec![clauses],
        buyer: BUYER,
    };
    world.send(ESCROW, &release).unwrap();
    assert_eq!(world.uses(BUYER), (0, 0));
    world.send(ESCROW, &reserve(counted(), BUYER)).unwrap();
}

#[test]
fn release_errors_when_lengths_differ() {
    let call = IUsage::releaseCall {
        ids: vec![B256::ZERO],
        clauses: vec![],
        buyer: BUYER,
    };
    let expected = IUsage::LengthsDiffer {
        expected: U256::from(1),
        found: U256::ZERO,
    };
    assert_eq!(World::new().refused(ESCROW, &call), expected.into());
}

#[test]
fn reserve_errors_when_the_policy_is_not_the_offers() {
    let mut call = reserve(counted(), BUYER);
    let expected = B256::repeat_byte(9);
    call.request.legs[0].offer.policy = expected;
    let found = id::policy_id(&counted());
    let mismatch = IUsage::PolicyMismatch { expected, found };
    assert_eq!(World::new().refused(ESCROW, &call), mismatch.into());
}

/// At most 10 bytes may leave a session, and 25 all of them; of rows nothing is said.
fn budgeted() -> Policy {
    let limits = Clauses::NONE
        .with(Clause::OutputBytes)
        .with(Clause::TotalOutputBytes);
    Policy {
        any: Clauses::POLICY.without(limits).0,
        outputBytes: 10,
        total: Counters {
            outputBytes: 25,
            outputRows: 0,
        },
        ..Default::default()
    }
}

#[test]
fn what_may_leave_all_sessions_is_reserved_and_what_did_not_is_released() {
    let mut world = World::new();
    let policy = id::policy_id(&budgeted());
    let output = |world: &mut World| {
        let found = world.send(OTHER, &IUsage::outputOfCall { policy }).unwrap();
        (found.outputBytes, found.outputRows)
    };
    let mut two = reserve(budgeted(), BUYER);
    two.count = 2;
    world.send(ESCROW, &two).unwrap();
    assert_eq!(output(&mut world), (20, 0));
    let exhausted = IUsage::OutputExhausted {
        policy,
        clause: Clause::TotalOutputBytes as u8,
        limit: 25,
        reserved: 20,
    };
    let one = reserve(budgeted(), OTHER);
    assert_eq!(world.refused(ESCROW, &one), exhausted.into());
    let mut release = IUsage::releaseOutputCall {
        policy,
        outputBytes: 4,
        outputRows: 7,
    };
    let stranger: Revert = IUsage::NotEscrow {
        caller: BUYER,
        escrow: ESCROW,
    }
    .into();
    assert_eq!(world.refused(BUYER, &release), stranger);
    world.send(ESCROW, &release).unwrap();
    assert_eq!(output(&mut world), (16, 0), "rows are not counted here");
    assert!(world.send(ESCROW, &one).is_err());
    release.outputBytes = 1;
    world.send(ESCROW, &release).unwrap();
    world.send(ESCROW, &one).unwrap();
    assert_eq!(output(&mut world), (25, 0), "to the last byte");
    two.count = u64::MAX;
    assert!(world.send(ESCROW, &two).is_err(), "products do not wrap");
}

#[test]
fn only_the_escrow_reserves_and_releases() {
    let mut world = World::new();
    for caller in [GOVERNOR, BUYER] {
        let expected: Revert = IUsage::NotEscrow {
            caller,
            escrow: ESCROW,
        }
        .into();
        assert_eq!(world.refused(caller, &reserve(counted(), BUYER)), expected);
        let release = IUsage::releaseCall {
            ids: vec![],
            clauses: vec![],
            buyer: BUYER,
        };
        assert_eq!(world.refused(caller, &release), expected);
    }
}

#[test]
fn the_escrow_is_bound_once_by_the_governor() {
    let mut world = World::new();
    let bind = IUsage::bindEscrowCall { escrow: OTHER };
    let expected = IUsage::NotGovernor { caller: OTHER };
    assert_eq!(world.refused(OTHER, &bind), expected.into());
    let expected = IUsage::EscrowAlreadyBound { escrow: ESCROW };
    assert_eq!(world.refused(GOVERNOR, &bind), expected.into());
}
