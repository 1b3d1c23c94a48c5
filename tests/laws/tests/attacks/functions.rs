//! Every function of the contracts, called from inside a transfer, and with words that no encoder writes. On test
//! machines: there arithmetic that wraps panics.

use std::collections::BTreeSet;

use alloy::dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier};
use alloy::json_abi::{Function, StateMutability};
use alloy::primitives::{Address, B256, Bytes, I256, U256};
use alloy::sol_types::{SolCall, SolError};
use vouch_abi::{IAttestation, IBonds, IContract, IEscrow, IGovernance, IOffers, IToken, IUsage};
use vouch_client::calls::batch;
use vouch_laws::market::{BUYERS, STRANGER};
use vouch_laws::shares;
use vouch_laws::step::Mode;
use vouch_laws::testvm::{ATTESTATION, BONDS, ESCROW, GOVERNANCE, Machines, OFFERS, TOKENS, USAGE};
use vouch_laws::world::World;

/// A value of a type: nothing, but lists have one element.
fn sample(kind: &DynSolType) -> DynSolValue {
    if let Some(fields) = kind.as_tuple() {
        return DynSolValue::Tuple(fields.iter().map(sample).collect());
    }
    match kind {
        DynSolType::Bool => DynSolValue::Bool(false),
        DynSolType::Int(bits) => DynSolValue::Int(I256::ZERO, *bits),
        DynSolType::Uint(bits) => DynSolValue::Uint(U256::ZERO, *bits),
        DynSolType::FixedBytes(length) => DynSolValue::FixedBytes(B256::ZERO, *length),
        DynSolType::Address => DynSolValue::Address(Address::ZERO),
        DynSolType::Bytes => DynSolValue::Bytes(vec![1]),
        DynSolType::String => DynSolValue::String("x".into()),
        DynSolType::Array(of) => DynSolValue::Array(vec![sample(of)]),
        other => panic!("no function takes {other:?}"),
    }
}

/// A call of a function with such values.
fn calldata(function: &Function) -> Vec<u8> {
    let inputs = function.inputs.iter();
    let values: Vec<_> = inputs
        .map(|input| sample(&input.resolve().expect("a type")))
        .collect();
    function.abi_encode_input(&values).expect("encoded")
}

/// A function that changes something is a way in.
fn ways_in(functions: impl IntoIterator<Item = Function>) -> Vec<Function> {
    let ways = functions.into_iter();
    ways.filter(|function| function.state_mutability == StateMutability::NonPayable)
        .collect()
}

/// The reason of a revert, also of the call in a batch that failed.
fn reason(data: &[u8]) -> Vec<u8> {
    match IEscrow::BatchFailed::abi_decode(data) {
        Ok(failed) => failed.reason.to_vec(),
        Err(_) => data.to_vec(),
    }
}

/// Whether a contract refused a call because it was being called, or because it is for its governor alone.
#[track_caller]
fn kept_out(machines: &Machines, what: &str, reentered: [u8; 4], not_governor: [u8; 4]) {
    let entered = machines.entered(0);
    assert!(!entered.is_empty(), "{what} was not tried");
    for outcome in entered {
        let found = reason(&outcome.expect_err(what));
        let selector = found.get(..4).unwrap_or_default();
        assert!(
            selector == reentered || selector == not_governor,
            "{what} is refused with {}",
            Bytes::from(found.clone())
        );
    }
}

#[test]
fn no_function_of_the_escrow_is_entered_from_inside_a_transfer() {
    let functions = ways_in(IEscrow::abi::functions().into_values().flatten());
    assert!(functions.len() > 15, "only {} functions", functions.len());
    for function in functions {
        let call = Bytes::from(calldata(&function));
        let calls = vec![call.clone()];
        // A batch is what it is made of.
        let alone = (!function.name.starts_with("multicall")).then(|| call.clone());
        let plain = IEscrow::multicallCall { calls }.abi_encode().into();
        let batches = [plain, batch(std::slice::from_ref(&call))];
        let batches = batches.into_iter().filter(|_| alone.is_some());
        for data in alone.clone().into_iter().chain(batches) {
            let mut machines = Machines::fresh();
            machines.behave(0, Mode::Reenters, (ESCROW, data.to_vec()));
            let mut request = machines.request(0, 0, 1);
            shares::agree(&mut request, 0);
            machines.place(BUYERS[0], request).expect("placed");
            let held = machines.balance(0, None);
            assert_eq!(held, machines.owed(0).expect("an answer"));
            kept_out(
                &machines,
                &function.name,
                IEscrow::Reentered::SELECTOR,
                IEscrow::NotGovernor::SELECTOR,
            );
        }
    }
}

#[test]
fn no_function_of_the_bonds_is_entered_from_inside_a_transfer() {
    let functions = ways_in(IBonds::abi::functions().into_values().flatten());
    assert!(functions.len() > 5, "only {} functions", functions.len());
    for function in functions {
        let machines = Machines::fresh();
        machines.behave(0, Mode::Reenters, (BONDS, calldata(&function)));
        let (payer, amount) = (BUYERS[0], U256::from(5));
        let approve = IToken::approveCall {
            spender: BONDS,
            value: amount,
        };
        machines.must(payer, TOKENS[0], &approve);
        let operator = machines.keys[0].address();
        machines.must(payer, BONDS, &IBonds::bondCall { operator, amount });
        kept_out(
            &machines,
            &function.name,
            IBonds::Reentered::SELECTOR,
            IBonds::NotGovernor::SELECTOR,
        );
    }
}

/// What offsets, lengths and numbers could be to wrap around, or to point elsewhere.
fn hostile() -> [U256; 10] {
    [
        U256::MAX,
        U256::MAX - U256::from(31),
        U256::from(1) << 255,
        U256::from(u64::MAX),
        U256::from(u64::MAX - 31),
        U256::from(u32::MAX),
        U256::from(u32::MAX - 31),
        U256::from(1_u64 << 31),
        U256::from(33),
        U256::from(1),
    ]
}

#[test]
fn hostile_words_wrap_nowhere_and_change_nothing_of_the_market() {
    let contracts = [
        (ESCROW, IEscrow::abi::functions()),
        (OFFERS, IOffers::abi::functions()),
        (USAGE, IUsage::abi::functions()),
        (ATTESTATION, IAttestation::abi::functions()),
        (BONDS, IBonds::abi::functions()),
        (GOVERNANCE, IGovernance::abi::functions()),
        (TOKENS[0], IToken::abi::functions()),
    ];
    let machines = Machines::fresh();
    let market = [ESCROW, USAGE, ATTESTATION, BONDS, GOVERNANCE];
    let storage = || {
        market.map(|at| {
            let mut words = machines.machine.vm(at).snapshot().storage;
            words.retain(|_, word| !word.is_zero());
            words
        })
    };
    let before = storage();
    let (mut tried, mut malformed) = (0, 0);
    for (at, functions) in contracts {
        for function in functions.into_values().flatten() {
            let whole = calldata(&function);
            let words = (4..whole.len()).step_by(32);
            let changed = words.flat_map(|word| {
                let with = |hostile: U256| {
                    let mut data = whole.clone();
                    data[word..word + 32].copy_from_slice(&hostile.to_be_bytes::<32>());
                    data
                };
                hostile().map(with)
            });
            let cut = (0..whole.len())
                .step_by(16)
                .map(|end| whole[..end].to_vec());
            for data in changed.chain(cut) {
                tried += 1;
                let found = machines.machine.send(STRANGER, at, &data);
                let refusal = found.err().unwrap_or_default();
                malformed +=
                    u32::from(refusal.starts_with(&IContract::MalformedCalldata::SELECTOR));
            }
        }
    }
    assert!(storage() == before, "somebody's calls changed the market");
    assert!(
        tried > 5_000 && malformed > tried / 4,
        "{malformed} of {tried}"
    );
}

/// No two functions of a contract share a selector, nor does any have the constructor's.
#[test]
fn no_function_passes_for_another() {
    for functions in [
        IEscrow::abi::functions(),
        IOffers::abi::functions(),
        IUsage::abi::functions(),
        IAttestation::abi::functions(),
        IBonds::abi::functions(),
        IGovernance::abi::functions(),
        IToken::abi::functions(),
    ] {
        let functions: Vec<_> = functions.into_values().flatten().collect();
        let mut selectors: BTreeSet<[u8; 4]> = functions
            .iter()
            .map(|function| function.selector().0)
            .collect();
        assert!(selectors.insert(vouch_abi::call::CONSTRUCTOR));
        assert_eq!(selectors.len(), functions.len() + 1);
    }
}
