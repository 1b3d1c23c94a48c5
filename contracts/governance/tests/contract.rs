//! The contract on a machine without a chain.

use alloy_primitives::{Address, B256, Bytes, U256};
use governance::Governance;
use governance::rules::{GRACE, LEAST_DELAY};
use stylus_test::{BlockAccess, TestVM};
use vouch_abi::{
    IAttestation, IContract, IEscrow,
    IGovernance::{self, IGovernanceCalls},
    IOffers,
    call::{self, Revert, SolCall},
};

const OWNER: Address = Address::repeat_byte(1);
const HEIR: Address = Address::repeat_byte(2);
const STRANGER: Address = Address::repeat_byte(9);
const TARGET: Address = Address::repeat_byte(0xaa);
const NOW: u64 = 1_000;
const DELAY: u64 = LEAST_DELAY;

struct World {
    vm: TestVM,
    contract: Governance,
}

fn construct(owner: Address, delay: u64) -> Vec<u8> {
    call::construct(&IGovernance::constructorCall { owner, delay })
}

fn change() -> Bytes {
    let fee = U256::from(7);
    IAttestation::setFeeCall { fee }.abi_encode().into()
}

impl World {
    fn new() -> Self {
        let vm = TestVM::new();
        vm.set_chain_id(42_161);
        vm.set_block_timestamp(NOW);
        vm.set_code(TARGET, vec![1]);
        let mut contract = Governance::from(&vm);
        contract.answer(&construct(OWNER, DELAY)).unwrap();
        Self { vm, contract }
    }

    fn send<C: SolCall>(&mut self, from: Address, call: &C) -> Result<C::Return, Revert> {
        self.vm.set_sender(from);
        let answer = self.contract.answer(&call.abi_encode())?;
        Ok(C::abi_decode_returns(&answer).unwrap())
    }

    fn refused<C: SolCall>(&mut self, from: Address, call: &C) -> Revert {
        self.send(from, call).err().expect("refused")
    }

    fn schedule(&mut self) -> B256 {
        let call = IGovernance::scheduleCall {
            target: TARGET,
            data: change(),
        };
        self.send(OWNER, &call).unwrap()
    }

    /// The target answers the change with this.
    fn target_answers(&self, answer: Result<Vec<u8>, Vec<u8>>) {
        self.vm
            .mock_call(TARGET, change().to_vec(), U256::ZERO, answer);
    }

    fn execute(&mut self) -> Result<Bytes, Revert> {
        let call = IGovernance::executeCall {
            target: TARGET,
            data: change(),
        };
        self.send(STRANGER, &call)
    }

    fn pass(&self, seconds: u64) {
        let now = self.vm.block_timestamp();
        self.vm.set_block_timestamp(now + seconds);
    }

    fn window(&mut self, operation: B256) -> (u64, u64) {
        let call = IGovernance::scheduledCall { operation };
        let found = self.send(STRANGER, &call).unwrap();
        (found.from, found.until)
    }
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in IGovernanceCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
}

#[test]
fn a_change_is_made_by_anybody_after_its_delay_and_once() {
    let mut world = World::new();
    let operation = world.schedule();
    let named = IGovernance::operationOfCall {
        target: TARGET,
        data: change(),
    };
    assert_eq!(world.send(STRANGER, &named), Ok(operation));
    let from = NOW + DELAY;
    assert_eq!(world.window(operation), (from, from + GRACE));
    world.target_answers(Ok(vec![5]));
    world.pass(DELAY - 1);
    let early = IGovernance::TooEarly {
        operation,
        from,
        time: from - 1,
    };
    assert_eq!(world.execute(), Err(early.into()));
    world.pass(1);
    assert_eq!(world.execute(), Ok(Bytes::from(vec![5])));
    assert_eq!(world.window(operation), (0, 0));
    let gone = IGovernance::NotScheduled { operation };
    assert_eq!(world.execute(), Err(gone.into()), "a second time");
}

#[test]
fn execute_errors_for_another_call_than_was_announced() {
    let mut world = World::new();
    world.schedule();
    world.pass(DELAY);
    let other = IAttestation::setFeeCall { fee: U256::MAX }.abi_encode();
    for (target, data) in [(TARGET, Bytes::from(other)), (STRANGER, change())] {
        let call = IGovernance::executeCall { target, data };
        let named = IGovernance::operationOfCall {
            target,
            data: call.data.clone(),
        };
        let operation = world.send(STRANGER, &named).unwrap();
        let expected = IGovernance::NotScheduled { operation };
        assert_eq!(world.refused(OWNER, &call), expected.into());
    }
}

#[test]
fn a_change_that_nobody_made_in_time_is_void_until_announced_anew() {
    let mut world = World::new();
    let operation = world.schedule();
    let until = NOW + DELAY + GRACE;
    world.pass(DELAY + GRACE + 1);
    let late = IGovernance::TooLate {
        operation,
        until,
        time: until + 1,
    };
    assert_eq!(world.execute(), Err(late.into()));
    assert_eq!(world.schedule(), operation);
    assert_eq!(world.window(operation).0, until + 1 + DELAY);
}

#[test]
fn cancelled_changes_are_not_made() {
    let mut world = World::new();
    let operation = world.schedule();
    let cancel = IGovernance::cancelCall { operation };
    world.send(OWNER, &cancel).unwrap();
    world.pass(DELAY);
    let gone: Revert = IGovernance::NotScheduled { operation }.into();
    assert_eq!(world.execute(), Err(gone.clone()));
    assert_eq!(world.refused(OWNER, &cancel), gone, "once");
}

#[test]
fn a_change_the_target_refuses_stays_scheduled_where_the_chain_reverts() {
    let mut world = World::new();
    world.schedule();
    world.pass(DELAY);
    let reason = IAttestation::NotGovernor { caller: OWNER };
    let reason = Revert::from(reason).0;
    world.target_answers(Err(reason.clone()));
    let expected = IGovernance::CallFailed {
        target: TARGET,
        reason: reason.into(),
    };
    assert_eq!(world.execute(), Err(expected.into()));
}

#[test]
fn schedule_errors_twice_and_without_a_contract() {
    let mut world = World::new();
    let operation = world.schedule();
    let call = IGovernance::scheduleCall {
        target: TARGET,
        data: change(),
    };
    world.pass(5);
    let expected = IGovernance::AlreadyScheduled {
        operation,
        from: NOW + DELAY,
    };
    assert_eq!(world.refused(OWNER, &call), expected.into());
    let call = IGovernance::scheduleCall {
        target: STRANGER,
        data: change(),
    };
    let expected = IGovernance::NoContract { target: STRANGER };
    assert_eq!(world.refused(OWNER, &call), expected.into());
}

#[test]
fn pausing_and_binding_are_immediate_and_nothing_else() {
    let mut world = World::new();
    let pause = IEscrow::setPausedCall { paused: true }.abi_encode();
    world.vm.mock_call(TARGET, pause, U256::ZERO, Ok(vec![]));
    world
        .send(OWNER, &IGovernance::pauseCall { escrow: TARGET })
        .unwrap();
    let bind = IOffers::bindEscrowCall { escrow: HEIR }.abi_encode();
    let reason = Revert::from(IOffers::EscrowAlreadyBound { escrow: OWNER }).0;
    world
        .vm
        .mock_call(TARGET, bind, U256::ZERO, Err(reason.clone()));
    let bind = IGovernance::bindCall {
        target: TARGET,
        escrow: HEIR,
    };
    let expected = IGovernance::CallFailed {
        target: TARGET,
        reason: reason.into(),
    };
    assert_eq!(world.refused(OWNER, &bind), expected.into());
}

#[test]
fn strangers_may_do_nothing() {
    let mut world = World::new();
    let operation = world.schedule();
    let expected: Revert = IGovernance::NotOwner {
        caller: STRANGER,
        owner: OWNER,
    }
    .into();
    let calls = [
        IGovernance::scheduleCall {
            target: TARGET,
            data: Bytes::new(),
        }
        .abi_encode(),
        IGovernance::cancelCall { operation }.abi_encode(),
        IGovernance::pauseCall { escrow: TARGET }.abi_encode(),
        IGovernance::bindCall {
            target: TARGET,
            escrow: STRANGER,
        }
        .abi_encode(),
        IGovernance::proposeOwnerCall { account: STRANGER }.abi_encode(),
    ];
    world.vm.set_sender(STRANGER);
    for call in calls {
        assert_eq!(world.contract.answer(&call), Err(expected.clone()));
    }
    let expected = IGovernance::NotProposed {
        caller: STRANGER,
        proposed: Address::ZERO,
    };
    let accept = IGovernance::acceptOwnershipCall {};
    assert_eq!(world.refused(STRANGER, &accept), expected.into());
}

#[test]
fn the_market_changes_hands_in_two_steps() {
    let mut world = World::new();
    let accept = IGovernance::acceptOwnershipCall {};
    let owner = IGovernance::ownerCall {};
    let zero = IGovernance::proposeOwnerCall {
        account: Address::ZERO,
    };
    assert_eq!(
        world.refused(OWNER, &zero),
        IContract::ZeroAddress {}.into()
    );
    world
        .send(OWNER, &IGovernance::proposeOwnerCall { account: HEIR })
        .unwrap();
    assert_eq!(world.send(STRANGER, &owner), Ok(OWNER), "not yet");
    let expected = IGovernance::NotProposed {
        caller: OWNER,
        proposed: HEIR,
    };
    assert_eq!(world.refused(OWNER, &accept), expected.into());
    world.send(HEIR, &accept).unwrap();
    assert_eq!(world.send(STRANGER, &owner), Ok(HEIR));
    let expected = IGovernance::NotOwner {
        caller: OWNER,
        owner: HEIR,
    };
    let pause = IGovernance::pauseCall { escrow: TARGET };
    assert_eq!(world.refused(OWNER, &pause), expected.into());
    let expected = IGovernance::NotProposed {
        caller: HEIR,
        proposed: Address::ZERO,
    };
    assert_eq!(world.refused(HEIR, &accept), expected.into(), "once");
}

#[test]
fn a_proposal_can_be_replaced() {
    let mut world = World::new();
    for account in [STRANGER, HEIR] {
        let propose = IGovernance::proposeOwnerCall { account };
        world.send(OWNER, &propose).unwrap();
    }
    let accept = IGovernance::acceptOwnershipCall {};
    let expected = IGovernance::NotProposed {
        caller: STRANGER,
        proposed: HEIR,
    };
    assert_eq!(world.refused(STRANGER, &accept), expected.into());
}

#[test]
fn construct_errors_without_an_owner_with_a_short_delay_and_twice() {
    let fresh = || {
        let vm = TestVM::new();
        vm.set_chain_id(42_161);
        Governance::from(&vm)
    };
    let answer = fresh().answer(&construct(Address::ZERO, DELAY));
    assert_eq!(answer, Err(IContract::ZeroAddress {}.into()));
    let expected: Revert = IGovernance::DelayOutOfRange {
        delay: DELAY - 1,
        least: DELAY,
        most: 30 * 86_400,
    }
    .into();
    assert_eq!(fresh().answer(&construct(OWNER, DELAY - 1)), Err(expected));
    let mut world = World::new();
    let again = world.contract.answer(&construct(STRANGER, DELAY));
    assert_eq!(again, Err(IContract::AlreadyConstructed {}.into()));
}
