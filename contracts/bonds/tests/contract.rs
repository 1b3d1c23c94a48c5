//! The contract on a machine without a chain. The machine answers a call the same way each time, so what needs
//! a token that moves is tested in `tests/laws`.

use alloy_primitives::{Address, B256, U256};
use bonds::Bonds;
use bonds::rules::LEAST_DELAY;
use stylus_test::TestVM;
use vouch_abi::{
    IBonds::{self, IBondsCalls},
    IContract, VerdictShare,
    call::{self, Revert, SolCall},
};

const GOVERNOR: Address = Address::repeat_byte(1);
const TOKEN: Address = Address::repeat_byte(2);
const OPERATOR: Address = Address::repeat_byte(3);

fn construct(governor: Address, token: Address, delay: u64) -> Vec<u8> {
    call::construct(&IBonds::constructorCall {
        governor,
        token,
        delay,
    })
}

struct World {
    vm: TestVM,
    contract: Bonds,
}

impl World {
    fn new() -> Self {
        let vm = TestVM::new();
        vm.set_chain_id(42_161);
        let mut contract = Bonds::from(&vm);
        contract
            .answer(&construct(GOVERNOR, TOKEN, LEAST_DELAY))
            .unwrap();
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
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in IBondsCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
}

#[test]
fn construct_errors_for_nobody_for_short_delays_and_twice() {
    let fresh = |call: &[u8]| {
        let vm = TestVM::new();
        vm.set_chain_id(42_161);
        Bonds::from(&vm).answer(call)
    };
    for (governor, token) in [(Address::ZERO, TOKEN), (GOVERNOR, Address::ZERO)] {
        let answer = fresh(&construct(governor, token, LEAST_DELAY));
        assert_eq!(answer, Err(IContract::ZeroAddress {}.into()));
    }
    let answer = fresh(&construct(GOVERNOR, TOKEN, LEAST_DELAY - 1));
    let expected = IBonds::DelayOutOfRange {
        delay: LEAST_DELAY - 1,
        least: LEAST_DELAY,
        most: 90 * 86_400,
    };
    assert_eq!(answer, Err(expected.into()));
    let again = construct(OPERATOR, TOKEN, LEAST_DELAY);
    let answer = World::new().contract.answer(&again);
    assert_eq!(answer, Err(IContract::AlreadyConstructed {}.into()));
}

#[test]
fn only_the_governor_sets_the_minimum_and_binds() {
    let mut world = World::new();
    let minimum = IBonds::setMinimumCall {
        minimum: U256::from(5),
    };
    let expected: Revert = IBonds::NotGovernor { caller: OPERATOR }.into();
    assert_eq!(world.refused(OPERATOR, &minimum), expected);
    let bind = IBonds::bindEscrowCall { escrow: TOKEN };
    assert_eq!(world.refused(OPERATOR, &bind), expected);
    let zero = IBonds::bindEscrowCall {
        escrow: Address::ZERO,
    };
    assert_eq!(
        world.refused(GOVERNOR, &zero),
        IContract::ZeroAddress {}.into()
    );
    let is_bonded = IBonds::isBondedCall { operator: OPERATOR };
    assert_eq!(world.send(OPERATOR, &is_bonded), Ok(true), "nothing asked");
    world.send(GOVERNOR, &minimum).unwrap();
    assert_eq!(world.send(OPERATOR, &is_bonded), Ok(false));
}

#[test]
fn what_is_not_there_is_not_paid() {
    let mut world = World::new();
    let amount = U256::ZERO;
    let zero: Revert = IBonds::ZeroAmount {}.into();
    assert_eq!(
        world.refused(OPERATOR, &IBonds::unbondCall { amount }),
        zero
    );
    let bond = IBonds::bondCall {
        operator: OPERATOR,
        amount,
    };
    assert_eq!(world.refused(OPERATOR, &bond), zero);
    let amount = U256::from(1);
    let expected = IBonds::BondTooLow {
        operator: OPERATOR,
        bond: U256::ZERO,
        needed: amount,
    };
    let unbond = IBonds::unbondCall { amount };
    assert_eq!(world.refused(OPERATOR, &unbond), expected.into());
    let expected = IBonds::NothingToWithdraw { account: OPERATOR };
    let withdraw = IBonds::withdrawCall {};
    assert_eq!(world.refused(OPERATOR, &withdraw), expected.into());
    let expected = IBonds::Sufficient {
        operator: OPERATOR,
        bond: U256::ZERO,
        minimum: U256::ZERO,
    };
    let evict = IBonds::evictCall { operator: OPERATOR };
    assert_eq!(world.refused(OPERATOR, &evict), expected.into());
}

#[test]
fn slash_errors_for_malformed_signatures() {
    let mut world = World::new();
    let second = VerdictShare {
        verdict: B256::repeat_byte(1),
        ..Default::default()
    };
    for length in [0, 64, 66, 130] {
        let slash = IBonds::slashCall {
            first: VerdictShare::default(),
            firstSignature: vec![1; length].into(),
            second: second.clone(),
            secondSignature: vec![1; 65].into(),
        };
        let expected = IBonds::InvalidSignature { index: U256::ZERO };
        assert_eq!(world.refused(OPERATOR, &slash), expected.into());
    }
}
