//! The contract on a machine without a chain: what it answers before anything else is called.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolError, SolValue};
use escrow::Escrow;
use stylus_test::TestVM;
use vouch_abi::{
    IContract,
    IEscrow::{self, IEscrowCalls},
    call::{self, CONSTRUCTOR, Revert, SolCall},
};

use crate::samples::*;

const GOVERNOR: Address = Address::repeat_byte(0x60);
const PARTS: [Address; 5] = [
    Address::repeat_byte(0x61),
    Address::repeat_byte(0x62),
    Address::repeat_byte(0x63),
    Address::repeat_byte(0x64),
    Address::repeat_byte(0x65),
];

fn construct(governor: Address) -> Vec<u8> {
    let [offers, usage, attestation, annex, desk] = PARTS;
    call::construct(&IEscrow::constructorCall {
        governor,
        offers,
        usage,
        attestation,
        annex,
        desk,
    })
}

fn constructed() -> (TestVM, Escrow) {
    let vm = TestVM::new();
    for part in PARTS {
        vm.set_code(part, vec![0xfe]);
    }
    let mut contract = Escrow::from(&vm);
    contract.answer_desk(&construct(GOVERNOR)).unwrap();
    (vm, contract)
}

/// The functions that the annex answers.
const ANNEX: [[u8; 4]; 9] = [
    IEscrow::submitEvidenceCall::SELECTOR,
    IEscrow::topUpCall::SELECTOR,
    IEscrow::releaseOutputCall::SELECTOR,
    IEscrow::settleCall::SELECTOR,
    IEscrow::disputeCall::SELECTOR,
    IEscrow::resolveCall::SELECTOR,
    IEscrow::disputeBondOfCall::SELECTOR,
    IEscrow::restoreCall::SELECTOR,
    IEscrow::idOfCall::SELECTOR,
];

/// The functions that the escrow's own program answers; the desk answers what is in neither list.
const OWN: [[u8; 4]; 7] = [
    IEscrow::placeCall::SELECTOR,
    IEscrow::placeManyCall::SELECTOR,
    IEscrow::acceptCall::SELECTOR,
    IEscrow::submitVerdictCall::SELECTOR,
    IEscrow::refundCall::SELECTOR,
    IEscrow::multicallCall::SELECTOR,
    IEscrow::multicallPackedCall::SELECTOR,
];

fn ask<C: SolCall>(contract: &mut Escrow, call: &C) -> Result<C::Return, Revert> {
    let calldata = call.abi_encode();
    let answer = if OWN.contains(&C::SELECTOR) {
        contract.answer(&calldata)?
    } else if ANNEX.contains(&C::SELECTOR) {
        contract.answer_annex(&calldata)?
    } else {
        contract.answer_desk(&calldata)?
    };
    Ok(C::abi_decode_returns(&answer).unwrap())
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let (_, mut contract) = constructed();
    for selector in IEscrowCalls::SELECTORS {
        let named = (*selector).into();
        if OWN.contains(selector) {
            let answer = contract.answer(selector);
            let malformed: Revert = IContract::MalformedCalldata { selector: named }.into();
            let paused = matches!(&answer, Err(revert) if *revert == malformed);
            assert!(paused, "{selector:?}: {answer:?}");
        } else {
            let unknown: Revert = IContract::UnknownFunction { selector: named }.into();
            let answer = if ANNEX.contains(selector) {
                contract.answer_annex(selector)
            } else {
                contract.answer_desk(selector)
            };
            assert_ne!(answer, Err(unknown), "{selector:?}");
        }
    }
    let unknown = IContract::UnknownFunction {
        selector: [1, 2, 3, 4].into(),
    };
    assert_eq!(contract.answer_desk(&[1, 2, 3, 4]), Err(unknown.into()));
}

/// A batch's only failing call.
fn failed(index: u64, reason: Revert) -> Revert {
    IEscrow::BatchFailed {
        index: U256::from(index),
        reason: reason.0.into(),
    }
    .into()
}

#[test]
fn a_batch_names_the_call_that_failed() {
    let (_, mut contract) = constructed();
    let refund = IEscrow::refundCall { terms: terms() }.abi_encode();
    let reason = contract.answer(&refund).unwrap_err();
    for (calls, index) in [(vec![refund.clone()], 0), (vec![refund.clone(); 2], 0)] {
        let calls = calls.into_iter().map(Into::into).collect::<Vec<_>>();
        let packed = vouch_abi::pack::pack(&calls.abi_encode()).into();
        let expected = Err(failed(index, reason.clone()));
        let plain = IEscrow::multicallCall { calls }.abi_encode();
        assert_eq!(contract.answer(&plain), expected);
        let packed = IEscrow::multicallPackedCall { packed }.abi_encode();
        assert_eq!(contract.answer(&packed), expected);
    }
    let nothing = IEscrow::multicallCall { calls: vec![] };
    assert_eq!(ask(&mut contract, &nothing), Ok(vec![]));
}

#[test]
fn packed_calls_that_do_not_unpack_are_malformed() {
    let (_, mut contract) = constructed();
    for packed in [&[0xff; 4][..], &[0, 1], &[5]] {
        let packed = packed.to_vec().into();
        let call = IEscrow::multicallPackedCall { packed }.abi_encode();
        let answer = contract.answer(&call);
        assert!(
            matches!(&answer, Err(revert) if revert.0[..4] == IContract::MalformedCalldata::SELECTOR),
            "{answer:?}"
        );
    }
}

#[test]
fn the_constructor_names_everybody_once() {
    let (_, mut contract) = constructed();
    let [offers, usage, attestation, annex, desk] = PARTS;
    assert_eq!(ask(&mut contract, &IEscrow::governorCall {}), Ok(GOVERNOR));
    assert_eq!(ask(&mut contract, &IEscrow::offersCall {}), Ok(offers));
    assert_eq!(ask(&mut contract, &IEscrow::usageCall {}), Ok(usage));
    assert_eq!(
        ask(&mut contract, &IEscrow::attestationCall {}),
        Ok(attestation)
    );
    assert_eq!(ask(&mut contract, &IEscrow::annexCall {}), Ok(annex));
    assert_eq!(ask(&mut contract, &IEscrow::deskCall {}), Ok(desk));
    let again: Revert = IContract::AlreadyConstructed {}.into();
    assert_eq!(contract.answer(&construct(STRANGER)), Err(again.clone()));
    assert_eq!(contract.answer_desk(&construct(STRANGER)), Err(again));
}

#[test]
fn construct_errors_when_somebody_is_missing_or_has_no_code() {
    let vm = TestVM::new();
    let mut contract = Escrow::from(&vm);
    let from = PARTS[0];
    let expected: Revert = IContract::UnexpectedAnswer { from }.into();
    assert_eq!(contract.answer_desk(&construct(GOVERNOR)), Err(expected));
    let zero: Revert = IContract::ZeroAddress {}.into();
    assert_eq!(contract.answer_desk(&construct(Address::ZERO)), Err(zero));
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
