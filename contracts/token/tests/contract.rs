//! The contract on a machine without a chain.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use stylus_test::TestVM;
use token::Token;
use vouch_abi::{
    IContract,
    IToken::{self, ITokenCalls},
    call::{self, Revert, SolCall},
    id,
};

const ALICE: Address = Address::repeat_byte(1);
const BOB: Address = Address::repeat_byte(2);
const CAROL: Address = Address::repeat_byte(3);
const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
const NOW: u64 = 1_000;

struct World {
    vm: TestVM,
    contract: Token,
}

fn number(number: u64) -> U256 {
    U256::from(number)
}

impl World {
    /// Alice has 100.
    fn new() -> Self {
        let vm = TestVM::new();
        vm.set_block_timestamp(NOW);
        let contract = Token::from(&vm);
        let mut world = Self { vm, contract };
        let construct = IToken::constructorCall {
            name: "Vouch".into(),
            symbol: "V".into(),
        };
        world.contract.answer(&call::construct(&construct)).unwrap();
        world
            .send(
                ALICE,
                &IToken::mintCall {
                    to: ALICE,
                    value: number(100),
                },
            )
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

    fn balances(&mut self) -> [u64; 3] {
        [ALICE, BOB, CAROL].map(|account| {
            self.send(BOB, &IToken::balanceOfCall { account })
                .unwrap()
                .to()
        })
    }
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in ITokenCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
    assert_eq!(
        world.send(BOB, &IToken::nameCall {}),
        Ok("Vouch".to_string())
    );
    assert_eq!(world.send(BOB, &IToken::symbolCall {}), Ok("V".to_string()));
    assert_eq!(world.send(BOB, &IToken::decimalsCall {}), Ok(6));
    let again = IToken::constructorCall {
        name: "X".into(),
        symbol: "X".into(),
    };
    let expected: Revert = IContract::AlreadyConstructed {}.into();
    assert_eq!(
        world.contract.answer(&call::construct(&again)),
        Err(expected)
    );
}

#[test]
fn transfers_move_balances_also_to_oneself() {
    let mut world = World::new();
    assert_eq!(
        world.send(
            ALICE,
            &IToken::transferCall {
                to: BOB,
                value: number(30)
            }
        ),
        Ok(true)
    );
    assert_eq!(
        world.send(
            ALICE,
            &IToken::transferCall {
                to: ALICE,
                value: number(70)
            }
        ),
        Ok(true)
    );
    assert_eq!(world.balances(), [70, 30, 0]);
}

#[test]
fn transfer_errors_when_the_balance_is_too_small_or_nobody_receives() {
    let mut world = World::new();
    let expected = IToken::InsufficientBalance {
        account: ALICE,
        balance: number(100),
        needed: number(101),
    };
    let transfer = IToken::transferCall {
        to: BOB,
        value: number(101),
    };
    assert_eq!(world.refused(ALICE, &transfer), expected.into());
    let expected = IContract::ZeroAddress {};
    let transfer = IToken::transferCall {
        to: Address::ZERO,
        value: number(1),
    };
    assert_eq!(world.refused(ALICE, &transfer), expected.into());
}

#[test]
fn transfer_from_spends_the_allowance() {
    let mut world = World::new();
    world
        .send(
            ALICE,
            &IToken::approveCall {
                spender: BOB,
                value: number(40),
            },
        )
        .unwrap();
    let take = |value| IToken::transferFromCall {
        from: ALICE,
        to: CAROL,
        value: number(value),
    };
    assert_eq!(world.send(BOB, &take(25)), Ok(true));
    let expected = IToken::InsufficientAllowance {
        spender: BOB,
        allowance: number(15),
        needed: number(16),
    };
    assert_eq!(world.refused(BOB, &take(16)), expected.into());
    assert_eq!(world.balances(), [75, 0, 25]);
}

#[test]
fn permit_errors_when_expired_or_forged_and_uses_its_nonce() {
    let mut world = World::new();
    let separator = world.send(BOB, &IToken::DOMAIN_SEPARATORCall {}).unwrap();
    let (chain, contract) = (
        world.vm.snapshot().chain_id,
        world.vm.snapshot().contract_address,
    );
    assert_eq!(
        separator,
        id::domain_separator(keccak256("Vouch"), chain, contract)
    );
    let permit = IToken::permitCall {
        owner: ALICE,
        spender: BOB,
        value: number(9),
        deadline: number(NOW),
        v: 27,
        r: B256::with_last_byte(5),
        s: B256::with_last_byte(6),
    };
    // The machine answers every call with the last mocked answer: so far with nothing.
    let signer = Address::ZERO;
    for owner in [ALICE, CAROL] {
        let permit = IToken::permitCall {
            owner,
            ..permit.clone()
        };
        let expected = IToken::InvalidSigner { signer, owner };
        assert_eq!(world.refused(BOB, &permit), expected.into());
    }
    let hash = id::permit_hash(ALICE, BOB, number(9), U256::ZERO, number(NOW));
    let digest = id::typed_data_digest(separator, hash);
    let input = [digest, B256::with_last_byte(27), permit.r, permit.s].concat();
    world
        .vm
        .mock_static_call(ECRECOVER, input, Ok(ALICE.into_word().to_vec()));
    let of_another = IToken::permitCall {
        owner: CAROL,
        ..permit.clone()
    };
    let refused = IToken::InvalidSigner {
        signer: ALICE,
        owner: CAROL,
    };
    assert_eq!(world.refused(BOB, &of_another), refused.into());
    let malleable = IToken::permitCall {
        v: 29,
        ..permit.clone()
    };
    let refused = IToken::InvalidSigner {
        signer,
        owner: ALICE,
    };
    assert_eq!(world.refused(BOB, &malleable), refused.into());
    assert!(world.send(BOB, &permit).is_ok());
    let allowance = IToken::allowanceCall {
        owner: ALICE,
        spender: BOB,
    };
    assert_eq!(world.send(BOB, &allowance), Ok(number(9)));
    let nonce = world.send(BOB, &IToken::noncesCall { owner: ALICE });
    assert_eq!(nonce, Ok(number(1)), "the next permit signs another digest");
    world.vm.set_block_timestamp(NOW + 1);
    let late = IToken::PermitExpired {
        deadline: number(NOW),
        time: number(NOW + 1),
    };
    assert_eq!(world.refused(BOB, &permit), late.into());
}

#[test]
fn mint_errors_when_the_supply_would_overflow() {
    let mut world = World::new();
    let mint = IToken::mintCall {
        to: BOB,
        value: U256::MAX,
    };
    let expected = IToken::SupplyOverflow {
        supply: number(100),
        minted: U256::MAX,
    };
    assert_eq!(world.refused(BOB, &mint), expected.into());
}
