//! The contract on a machine without a chain. The machine answers every call with the last mocked
//! answer, so a verdict has one signer here; several are tested in the rules and on the devnet.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use attestation::Attestation;
use stylus_test::{AccountAccess, ChainAccess, TestVM};
use vouch_abi::{
    IAttestation::{self, IAttestationCalls},
    IBonds, IContract, Verdict,
    call::{self, Revert, SolCall},
    id,
};

const GOVERNOR: Address = Address::repeat_byte(1);
const ESCROW: Address = Address::repeat_byte(2);
const OTHER: Address = Address::repeat_byte(9);
const BONDS: Address = Address::repeat_byte(3);
const OPERATORS: [Address; 3] = [
    Address::repeat_byte(0xa1),
    Address::repeat_byte(0xa2),
    Address::repeat_byte(0xa3),
];
const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
const NOW: u64 = 1_000;

struct World {
    vm: TestVM,
    contract: Attestation,
}

fn construct(operators: &[Address], quorum: u16) -> Vec<u8> {
    call::construct(&IAttestation::constructorCall {
        governor: GOVERNOR,
        operators: operators.to_vec(),
        quorum,
        fee: U256::from(50),
        bonds: BONDS,
    })
}

impl World {
    fn new() -> Self {
        let vm = TestVM::new();
        vm.set_block_timestamp(NOW);
        let mut contract = Attestation::from(&vm);
        contract.answer(&construct(&OPERATORS, 1)).unwrap();
        let mut world = Self { vm, contract };
        world
            .send(GOVERNOR, &IAttestation::bindEscrowCall { escrow: ESCROW })
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

    /// Signatures of a verdict that the precompile will recover to these signers.
    fn sign(&mut self, verdict: &Verdict, signers: &[Address]) -> Bytes {
        let digest = self
            .send(
                OTHER,
                &IAttestation::digestOfCall {
                    verdict: verdict.clone(),
                },
            )
            .unwrap();
        let signatures: Vec<u8> = signers
            .iter()
            .flat_map(|signer| self.signature(digest, *signer))
            .collect();
        signatures.into()
    }

    fn signature(&self, digest: B256, signer: Address) -> Vec<u8> {
        let (r, s) = (signer.into_word(), B256::with_last_byte(1));
        let input = [digest, B256::with_last_byte(27), r, s].concat();
        self.vm
            .mock_static_call(ECRECOVER, input, Ok(signer.into_word().to_vec()));
        [&r[..], &s[..], &[27]].concat()
    }

    fn admit(&mut self, verdict: &Verdict, signers: &[Address]) -> Result<B256, Revert> {
        let signatures = self.sign(verdict, signers);
        let call = IAttestation::admitCall {
            verdict: verdict.clone(),
            signatures,
            busyUntil: NOW + 100,
        };
        let admitted = self.send(ESCROW, &call)?;
        assert_eq!(admitted.signers, signers);
        Ok(admitted.digest)
    }

    /// What contract `bonds` says of an account.
    fn bonded(&self, operator: Address, enough: bool) {
        let question = IBonds::isBondedCall { operator }.abi_encode();
        let answer = B256::with_last_byte(u8::from(enough)).to_vec();
        self.vm.mock_static_call(BONDS, question, Ok(answer));
    }

    fn holder(&mut self, device: B256) -> (Vec<u8>, u64) {
        let holder = self
            .send(OTHER, &IAttestation::holderOfCall { device })
            .unwrap();
        (holder.order.to_vec(), holder.until)
    }
}

fn verdict(order: u8, phase: u8, reason: u16) -> Verdict {
    Verdict {
        order: B256::repeat_byte(order),
        phase,
        reason,
        devices: vec![B256::repeat_byte(0xde)],
        ..Default::default()
    }
}

#[test]
fn every_function_of_the_interface_is_answered() {
    let mut world = World::new();
    for selector in IAttestationCalls::SELECTORS {
        let unknown: Revert = IContract::UnknownFunction {
            selector: selector.into(),
        }
        .into();
        assert_ne!(world.contract.answer(selector), Err(unknown));
    }
}

#[test]
fn a_verdict_is_admitted_under_its_eip712_digest() {
    let world = World::new();
    world.vm.set_contract_address(OTHER);
    world.vm.set_chain_id(412_346);
    let mut world = World {
        contract: Attestation::from(&world.vm),
        ..world
    };
    let verdict = verdict(1, 1, 0);
    let digest = world.admit(&verdict, &OPERATORS[..1]).unwrap();
    assert_eq!(digest, id::verdict_digest(412_346, OTHER, &verdict));
}

#[test]
fn admit_errors_without_a_quorum_and_for_anybody_but_the_escrow() {
    let mut world = World::new();
    let expected = IAttestation::QuorumNotReached {
        expected: 1,
        found: 0,
    };
    assert_eq!(world.admit(&verdict(1, 1, 0), &[]), Err(expected.into()));
    let signer = Address::repeat_byte(0xa4);
    let expected = IAttestation::NotOperator { signer };
    assert_eq!(
        world.admit(&verdict(1, 1, 0), &[signer]),
        Err(expected.into())
    );
    let call = IAttestation::admitCall {
        verdict: verdict(1, 1, 0),
        signatures: Bytes::new(),
        busyUntil: 0,
    };
    for caller in [GOVERNOR, OPERATORS[0], OTHER] {
        let expected = IAttestation::NotEscrow {
            caller,
            escrow: ESCROW,
        };
        assert_eq!(world.refused(caller, &call), expected.into());
    }
}

#[test]
fn a_device_serves_one_order_at_a_time() {
    let mut world = World::new();
    let device = B256::repeat_byte(0xde);
    world.admit(&verdict(1, 1, 0), &OPERATORS[..1]).unwrap();
    assert_eq!(world.holder(device), (vec![1; 24], NOW + 100));
    let order = B256::repeat_byte(1)[..24].try_into().unwrap();
    let busy = IAttestation::DeviceBusy {
        device,
        order,
        until: NOW + 100,
    };
    assert_eq!(
        world.admit(&verdict(2, 1, 0), &OPERATORS[..1]),
        Err(busy.into())
    );
    world.admit(&verdict(2, 2, 0), &OPERATORS[..1]).unwrap();
    assert_eq!(
        world.holder(device).1,
        NOW + 100,
        "another order's finish frees nothing"
    );
    world.admit(&verdict(1, 2, 0), &OPERATORS[..1]).unwrap();
    assert_eq!(world.holder(device), (vec![0; 24], 0));
    world.admit(&verdict(2, 1, 0), &OPERATORS[..1]).unwrap();
    world.vm.set_block_timestamp(NOW + 101);
    assert_eq!(world.holder(device), (vec![0; 24], 0), "its time is over");
    world.admit(&verdict(3, 1, 0), &OPERATORS[..1]).unwrap();
}

#[test]
fn places_stay_without_gaps_when_operators_change() {
    let mut world = World::new();
    let more: Vec<Address> = (1..=61).map(Address::with_last_byte).collect();
    let change = |added: &[Address], removed: &[Address]| IAttestation::setOperatorsCall {
        added: added.to_vec(),
        removed: removed.to_vec(),
        quorum: 1,
    };
    for account in more.iter().chain([&OTHER]) {
        world.bonded(*account, true);
    }
    world.send(GOVERNOR, &change(&more, &[])).unwrap();
    let expected = IAttestation::TooManyOperators {
        limit: U256::from(64),
    };
    assert_eq!(
        world.refused(GOVERNOR, &change(&[OTHER], &[])),
        expected.into()
    );
    world
        .send(GOVERNOR, &change(&[OTHER], &[OPERATORS[0], more[60]]))
        .unwrap();
    world.bonded(OTHER, true);
    let expected: Revert = IAttestation::AlreadyOperator { account: OTHER }.into();
    assert_eq!(world.refused(GOVERNOR, &change(&[OTHER], &[])), expected);
    // Each signs a root, and is the one that is remembered for it.
    for signer in [OTHER, OPERATORS[1], OPERATORS[2], more[0], more[59]] {
        let verdict = verdict(signer[19], 2, 0);
        let call = IAttestation::digestOfCall {
            verdict: verdict.clone(),
        };
        let digest = world.send(OTHER, &call).unwrap();
        let root = vouch_abi::merkle::leaf(digest);
        let contract = world.vm.contract_address();
        let batch = id::batch_digest(world.vm.chain_id(), contract, root);
        let signed = [world.signature(batch, signer), vec![128]].concat();
        for signatures in [signed, vec![128]] {
            let call = IAttestation::admitCall {
                verdict: verdict.clone(),
                signatures: signatures.into(),
                busyUntil: 0,
            };
            assert_eq!(world.send(ESCROW, &call).unwrap().signers, [signer]);
        }
    }
}

#[test]
fn rejected_starts_take_no_devices() {
    let mut world = World::new();
    world.admit(&verdict(1, 1, 110), &OPERATORS[..1]).unwrap();
    assert_eq!(world.holder(B256::repeat_byte(0xde)).1, 0);
}

#[test]
fn the_governor_changes_operators_within_the_rules() {
    let mut world = World::new();
    let change = |added: &[Address], removed: &[Address], quorum| IAttestation::setOperatorsCall {
        added: added.to_vec(),
        removed: removed.to_vec(),
        quorum,
    };
    let refused: Revert = IAttestation::NotGovernor { caller: OTHER }.into();
    assert_eq!(world.refused(OTHER, &change(&[OTHER], &[], 1)), refused);
    let refused: Revert = IAttestation::NotOperator { signer: OTHER }.into();
    assert_eq!(world.refused(GOVERNOR, &change(&[], &[OTHER], 1)), refused);
    world.bonded(OPERATORS[0], true);
    let refused: Revert = IAttestation::AlreadyOperator {
        account: OPERATORS[0],
    }
    .into();
    assert_eq!(
        world.refused(GOVERNOR, &change(&[OPERATORS[0]], &[], 1)),
        refused
    );
    let refused: Revert = IContract::ZeroAddress {}.into();
    assert_eq!(
        world.refused(GOVERNOR, &change(&[Address::ZERO], &[], 1)),
        refused
    );
}

#[test]
fn removed_operators_sign_no_more() {
    let mut world = World::new();
    world
        .send(
            GOVERNOR,
            &IAttestation::setOperatorsCall {
                added: vec![],
                removed: vec![OPERATORS[0]],
                quorum: 2,
            },
        )
        .unwrap();
    assert_eq!(
        world.send(OTHER, &IAttestation::operatorCountCall {}),
        Ok(2)
    );
    let expected = IAttestation::NotOperator {
        signer: OPERATORS[0],
    };
    assert_eq!(
        world.admit(&verdict(1, 1, 0), &OPERATORS[..1]),
        Err(expected.into())
    );
}

#[test]
fn construct_errors_when_the_quorum_is_out_of_reach() {
    for (operators, quorum) in [(&OPERATORS[..], 4), (&OPERATORS[..], 0), (&[], 0), (&[], 1)] {
        let mut contract = Attestation::from(&TestVM::new());
        let weight = operators.len() as u16;
        let expected: Revert = IAttestation::InvalidQuorum { quorum, weight }.into();
        assert_eq!(
            contract.answer(&construct(operators, quorum)),
            Err(expected)
        );
    }
}

#[test]
fn only_the_governor_sets_the_fee() {
    let mut world = World::new();
    let set = IAttestation::setFeeCall { fee: U256::from(7) };
    let expected = IAttestation::NotGovernor { caller: OTHER };
    assert_eq!(world.refused(OTHER, &set), expected.into());
    world.send(GOVERNOR, &set).unwrap();
    assert_eq!(
        world.send(OTHER, &IAttestation::feeCall {}),
        Ok(U256::from(7))
    );
}

#[test]
fn only_who_has_enough_at_stake_is_added() {
    let mut world = World::new();
    let change = IAttestation::setOperatorsCall {
        added: vec![OTHER],
        removed: vec![],
        quorum: 1,
    };
    world.bonded(OTHER, false);
    let expected = IAttestation::NotBonded { account: OTHER };
    assert_eq!(world.refused(GOVERNOR, &change), expected.into());
    world.bonded(OTHER, true);
    world.send(GOVERNOR, &change).unwrap();
}

#[test]
fn contract_bonds_expels_at_once_whatever_the_quorum() {
    let mut world = World::new();
    let expel = |operator| IAttestation::expelCall { operator };
    for caller in [GOVERNOR, OPERATORS[1], OTHER, ESCROW] {
        let expected = IAttestation::NotBonds {
            caller,
            bonds: BONDS,
        };
        let refused = world.refused(caller, &expel(OPERATORS[0]));
        assert_eq!(refused, expected.into());
    }
    assert_eq!(world.send(BONDS, &expel(OTHER)), Ok(false), "no operator");
    for operator in OPERATORS {
        assert_eq!(world.send(BONDS, &expel(operator)), Ok(true));
        let expected = IAttestation::NotOperator { signer: operator };
        let admitted = world.admit(&verdict(1, 1, 0), &[operator]);
        assert_eq!(admitted, Err(expected.into()));
        assert_eq!(world.send(BONDS, &expel(operator)), Ok(false), "once");
    }
    let count = world.send(OTHER, &IAttestation::operatorCountCall {});
    assert_eq!(count, Ok(0));
    let quorum = world.send(OTHER, &IAttestation::quorumCall {});
    assert_eq!(quorum, Ok(1), "nobody reaches it now");
}

#[test]
fn weights_are_the_governor_s_to_set_and_end_what_was_remembered() {
    let mut world = World::new();
    let weigh = |operator, weight, quorum| IAttestation::setWeightsCall {
        weights: vec![IAttestation::Weight { operator, weight }],
        quorum,
    };
    let [one, other, _] = OPERATORS;
    let expected = IAttestation::NotGovernor { caller: OTHER };
    assert_eq!(world.refused(OTHER, &weigh(one, 2, 2)), expected.into());
    let expected = IAttestation::NotOperator { signer: OTHER };
    assert_eq!(
        world.refused(GOVERNOR, &weigh(OTHER, 2, 2)),
        expected.into()
    );
    for weight in [0, u16::MAX] {
        let expected = IAttestation::InvalidWeight {
            operator: one,
            weight,
        };
        assert_eq!(
            world.refused(GOVERNOR, &weigh(one, weight, 1)),
            expected.into()
        );
    }
    let expected = IAttestation::InvalidQuorum {
        quorum: 8,
        weight: 7,
    };
    assert_eq!(world.refused(GOVERNOR, &weigh(one, 5, 8)), expected.into());

    world.send(GOVERNOR, &weigh(one, 5, 4)).unwrap();
    let weight = |world: &mut World, account| {
        let question = IAttestation::weightOfCall { account };
        world.send(OTHER, &question).unwrap()
    };
    assert_eq!(weight(&mut world, one), 5);
    assert_eq!(weight(&mut world, other), 1);
    assert_eq!(weight(&mut world, OTHER), 0);
    let total = IAttestation::totalWeightCall {};
    assert_eq!(world.send(OTHER, &total), Ok(7));
    let expected = IAttestation::QuorumNotReached {
        expected: 4,
        found: 1,
    };
    assert_eq!(
        world.admit(&verdict(1, 1, 0), &[other]),
        Err(expected.into())
    );
    world.admit(&verdict(1, 1, 0), &[one]).unwrap();

    // The last takes the place of who is removed, and keeps what it weighs.
    world.send(GOVERNOR, &weigh(OPERATORS[2], 3, 4)).unwrap();
    let remove = IAttestation::setOperatorsCall {
        added: vec![],
        removed: vec![one],
        quorum: 4,
    };
    world.send(GOVERNOR, &remove).unwrap();
    assert_eq!(world.send(OTHER, &total), Ok(4));
    assert_eq!(weight(&mut world, OPERATORS[2]), 3);
    assert_eq!(weight(&mut world, one), 0);
    // Whoever comes back weighs as anybody does.
    world.bonded(one, true);
    let add = IAttestation::setOperatorsCall {
        added: vec![one],
        removed: vec![],
        quorum: 4,
    };
    world.send(GOVERNOR, &add).unwrap();
    assert_eq!(weight(&mut world, one), 1);
}

#[test]
fn operators_abstain_by_event_and_from_nothing_that_can_be_decided() {
    let mut world = World::new();
    let abstain = |reason| IAttestation::abstainCall {
        order: B256::repeat_byte(7),
        phase: 2,
        attempt: 1,
        reason,
    };
    let expected = IAttestation::NotOperator { signer: OTHER };
    assert_eq!(world.refused(OTHER, &abstain(401)), expected.into());
    for reason in [0, 113, 200] {
        let expected = IAttestation::Conclusive { reason };
        assert_eq!(
            world.refused(OPERATORS[1], &abstain(reason)),
            expected.into()
        );
    }
    world.send(OPERATORS[1], &abstain(401)).unwrap();
    let (topics, _) = world.vm.get_emitted_logs().pop().unwrap();
    assert_eq!(
        topics[1..],
        [B256::repeat_byte(7), OPERATORS[1].into_word()]
    );
}
