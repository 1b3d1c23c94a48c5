//! The contract on a machine without a chain: what it answers before anything else is called.

use alloy_primitives::{Address, B256, U256};
use escrow::Escrow;
use stylus_test::TestVM;
use vouch_abi::{
    IContract,
    IEscrow::{self, IEscrowCalls},
    call::{self, CONSTRUCTOR, Revert, SolCall},
};

use crate::samples::*;

const GOVERNOR: Address = Address::repeat_byte(0x60);
const PARTS: [Address; 3] = [
    Address::repeat_byte(0x61),
    Address::repeat_byte(0x62),
    Address::repeat_byte(0x63),
];

fn construct(governor: Address) -> Vec<u8> {
    let [offers, usage, attestation] = PARTS;
    call::construct(&IEscrow::constructorCall {
        governor,
        offers,
        usage,
        attestation,
    })
}

fn constructed() -> (TestVM, Escrow) {
    let vm = TestVM::new();
    for part in PARTS {
        vm.set_code(part, vec![0xfe]);
    }
    let mut contract = Escrow::from(&vm);
    contract.answer(&construct(GOVERNOR)).unwrap();
    (vm, contract)
}

fn ask<C: SolCall>(contract: &mut Escrow, call: &C) -> Result<C::Return, Revert> {
    let answer = contract.answer(&call.abi_encode())?;
    Ok(C::abi_decode_returns(&answer).unwrap())
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let (_, mut contract) = constructed();
    for selector in IEscrowCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(contract.answer(selector), Err(unknown), "{selector:?}");
    }
    let unknown = IContract::UnknownFunction {
        selector: [1, 2, 3, 4].into(),
    };
    assert_eq!(contract.answer(&[1, 2, 3, 4]), Err(unknown.into()));
}

#[test]
fn the_constructor_names_everybody_once() {
    let (_, mut contract) = constructed();
    let [offers, usage, attestation] = PARTS;
    assert_eq!(ask(&mut contract, &IEscrow::governorCall {}), Ok(GOVERNOR));
    assert_eq!(ask(&mut contract, &IEscrow::offersCall {}), Ok(offers));
    assert_eq!(ask(&mut contract, &IEscrow::usageCall {}), Ok(usage));
    assert_eq!(
        ask(&mut contract, &IEscrow::attestationCall {}),
        Ok(attestation)
    );
    let again: Revert = IContract::AlreadyConstructed {}.into();
    assert_eq!(contract.answer(&construct(STRANGER)), Err(again));
}

#[test]
fn construct_errors_when_somebody_is_missing_or_has_no_code() {
    let vm = TestVM::new();
    let mut contract = Escrow::from(&vm);
    let from = PARTS[0];
    let expected: Revert = IContract::UnexpectedAnswer { from }.into();
    assert_eq!(contract.answer(&construct(GOVERNOR)), Err(expected));
    let zero: Revert = IContract::ZeroAddress {}.into();
    assert_eq!(contract.answer(&construct(Address::ZERO)), Err(zero));
    let malformed: Revert = IContract::MalformedCalldata {
        selector: CONSTRUCTOR.into(),
    }
    .into();
    assert_eq!(contract.answer(&CONSTRUCTOR), Err(malformed));
}

#[test]
fn calls_with_value_are_refused() {
    let (vm, mut contract) = constructed();
    vm.set_value(U256::from(1));
    let expected: Revert = IContract::ValueRefused {
        value: U256::from(1),
    }
    .into();
    assert_eq!(ask(&mut contract, &IEscrow::pausedCall {}), Err(expected));
}

#[test]
fn only_the_governor_pauses_and_only_placing_is_paused() {
    let (vm, mut contract) = constructed();
    vm.set_sender(STRANGER);
    let refused: Revert = IEscrow::NotGovernor { caller: STRANGER }.into();
    let pause = IEscrow::setPausedCall { paused: true };
    assert!(matches!(ask(&mut contract, &pause), Err(revert) if revert == refused));
    vm.set_sender(GOVERNOR);
    assert!(ask(&mut contract, &pause).is_ok());
    assert_eq!(ask(&mut contract, &IEscrow::pausedCall {}), Ok(true));
    let place = IEscrow::placeCall {
        request: Default::default(),
    };
    assert_eq!(ask(&mut contract, &place), Err(IEscrow::Paused {}.into()));
    // A refund gets as far as finding no order.
    let order = ask(&mut contract, &IEscrow::idOfCall { terms: terms() }).unwrap();
    let nothing = IEscrow::WrongState {
        order,
        expected: 3,
        found: 0,
    };
    let refund = contract.answer(&IEscrow::refundCall { terms: terms() }.abi_encode());
    assert_eq!(refund, Err(nothing.into()));
}

#[test]
fn withdraw_errors_when_there_is_no_credit() {
    let (vm, mut contract) = constructed();
    vm.set_sender(STRANGER);
    let expected = IEscrow::NothingToWithdraw {
        account: STRANGER,
        token: TOKEN,
    };
    let withdraw = IEscrow::withdrawCall { token: TOKEN };
    assert_eq!(ask(&mut contract, &withdraw), Err(expected.into()));
}

#[test]
fn challenge_errors_when_the_order_waits_for_no_evidence() {
    let (_, mut contract) = constructed();
    let question = IEscrow::challengeOfCall {
        order: B256::ZERO,
        phase: 1,
        attempt: 0,
    };
    let expected = IEscrow::WrongPhase {
        expected: 0,
        found: 1,
    };
    assert_eq!(ask(&mut contract, &question), Err(expected.into()));
}
