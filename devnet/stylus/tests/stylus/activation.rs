//! Activation and its errors, expiry, the cache of programs.

use revm::primitives::{Address, B256, Bytes, U256, keccak256};
use vouch_stylus::{
    code,
    precompiles::{ARB_DEBUG, ARB_OWNER, ARB_WASM, ARB_WASM_CACHE},
};

use crate::support::{ALICE, ETHER, GAS, World, program, selector, with_address, with_word, word};

const PROGRAM: Address = Address::repeat_byte(0x51);

fn trivial() -> String {
    program(&[], "i32.const 0")
}

fn codehash(text: &str) -> B256 {
    keccak256(code::compress(&wat::parse_str(text).unwrap()))
}

#[test]
fn a_program_runs_only_once_activated() {
    let mut world = World::new();
    world.place(PROGRAM, &trivial());
    let result = world.send(PROGRAM, Bytes::new(), U256::ZERO, 1_000_000);
    assert!(result.is_halt(), "{result:?}");
    assert_eq!(result.tx_gas_used(), 1_000_000);
    let version = with_word("codehashVersion(bytes32)", codehash(&trivial()));
    let result = world.send(ARB_WASM, version.clone(), U256::ZERO, GAS);
    assert_eq!(
        result.output().unwrap().as_ref(),
        selector("ProgramNotActivated()")
    );

    let result = world.activate(PROGRAM, U256::from(ETHER));
    assert!(result.is_success(), "{result:?}");
    let log = &result.logs()[0];
    assert_eq!(log.address, ARB_WASM);
    assert_eq!(
        log.topics(),
        [
            keccak256("ProgramActivated(bytes32,bytes32,address,uint256,uint16)"),
            codehash(&trivial())
        ]
    );
    let output = result.output().unwrap();
    assert_eq!(output[..32], word(2));
    let fee = U256::from_be_slice(&output[32..]);
    assert!(fee > U256::ZERO && fee < U256::from(ETHER));
    assert_eq!(world.call(ARB_WASM, version).as_ref(), word(2));
    assert_eq!(world.call(PROGRAM, Bytes::new()), Bytes::new());
}

#[test]
fn what_was_paid_too_much_comes_back() {
    let mut world = World::new();
    let balance = |world: &World| world.db.cache.accounts[&ALICE].info.balance;
    world.place(PROGRAM, &trivial());
    let before = balance(&world);
    let result = world.activate(PROGRAM, U256::from(ETHER));
    let fee = U256::from_be_slice(&result.output().unwrap()[32..]);
    assert_eq!(before - balance(&world), fee);
}

#[test]
fn activating_twice_is_refused() {
    let mut world = World::new();
    world.install(PROGRAM, &trivial());
    let result = world.activate(PROGRAM, U256::from(ETHER));
    assert_eq!(
        result.output().unwrap().as_ref(),
        selector("ProgramUpToDate()")
    );
    // The record belongs to the code, not to the account.
    let twin = Address::repeat_byte(0x52);
    world.place(twin, &trivial());
    assert_eq!(world.call(twin, Bytes::new()), Bytes::new());
}

#[test]
fn too_little_value_names_the_fee() {
    let mut world = World::new();
    world.place(PROGRAM, &trivial());
    let result = world.activate(PROGRAM, U256::from(5));
    let output = result.output().unwrap();
    assert_eq!(
        output[..4],
        selector("ProgramInsufficientValue(uint256,uint256)")
    );
    assert_eq!(output[4..36], word(5));
    let want = U256::from_be_slice(&output[36..]);
    assert!(world.activate(PROGRAM, want).is_success());
}

#[test]
fn code_that_is_no_program_is_refused() {
    let mut world = World::new();
    world.etch(PROGRAM, vec![0x60, 0x00]);
    let result = world.activate(PROGRAM, U256::from(ETHER));
    assert_eq!(
        result.output().unwrap().as_ref(),
        selector("ProgramNotWasm()")
    );
    // A module that breaks the rules takes all gas and says nothing.
    world.place(PROGRAM, "(module (memory (export \"memory\") 1 1))");
    let result = world.activate(PROGRAM, U256::from(ETHER));
    assert!(!result.is_success() && result.output().unwrap().is_empty());
    assert_eq!(result.tx_gas_used(), GAS);
}

#[test]
fn activations_expire_and_can_be_kept_alive() {
    let mut world = World::new();
    world.install(PROGRAM, &trivial());
    let start = world.env.block.timestamp;
    let at = |world: &mut World, days: u64| {
        world.env.block.timestamp = start + U256::from(days * 86_400);
    };
    let keepalive = with_word("codehashKeepalive(bytes32)", codehash(&trivial()));
    at(&mut world, 30);
    let result = world.send(ARB_WASM, keepalive.clone(), U256::from(ETHER), GAS);
    let output = result.output().unwrap();
    assert_eq!(output[..4], selector("ProgramKeepaliveTooSoon(uint64)"));
    at(&mut world, 40);
    let result = world.send(ARB_WASM, keepalive, U256::from(ETHER), GAS);
    assert!(result.is_success(), "{result:?}");
    at(&mut world, 400);
    assert_eq!(world.call(PROGRAM, Bytes::new()), Bytes::new());
    at(&mut world, 406);
    assert!(world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS).is_halt());
    let version = with_word("codehashVersion(bytes32)", codehash(&trivial()));
    let result = world.send(ARB_WASM, version, U256::ZERO, GAS);
    assert_eq!(
        result.output().unwrap()[..4],
        selector("ProgramExpired(uint64)")
    );
    assert!(world.activate(PROGRAM, U256::from(ETHER)).is_success());
}

#[test]
fn a_reverted_activation_never_happened() {
    let mut world = World::new();
    world.place(PROGRAM, &trivial());
    // Calls ArbWasm with its calldata and value, then reverts.
    let contract = Address::repeat_byte(0xc0);
    let code = "3660006000376000600036600034607161ffff5a03f15060006000fd";
    world.etch(contract, revm::primitives::hex::decode(code).unwrap());
    let data = with_address("activateProgram(address)", PROGRAM);
    let result = world.send(contract, data, U256::from(ETHER), GAS);
    assert!(!result.is_success());
    assert!(world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS).is_halt());
    assert!(world.activate(PROGRAM, U256::from(ETHER)).is_success());
}

#[test]
fn caching_makes_the_next_start_cheaper() {
    let mut world = World::new();
    world.install(PROGRAM, &trivial());
    let gas = |world: &mut World| {
        world
            .send(PROGRAM, Bytes::new(), U256::ZERO, GAS)
            .tx_gas_used()
    };
    let uncached = gas(&mut world);
    let cache = with_address("cacheProgram(address)", PROGRAM);
    let refused = world.send(ARB_WASM_CACHE, cache.clone(), U256::ZERO, GAS);
    assert!(!refused.is_success(), "only managers and owners may cache");
    world.call(ARB_DEBUG, selector("becomeChainOwner()"));
    world.call(ARB_WASM_CACHE, cache);
    let cached = with_word("codehashIsCached(bytes32)", codehash(&trivial()));
    assert_eq!(world.call(ARB_WASM_CACHE, cached.clone()).as_ref(), word(1));
    let saved = uncached - gas(&mut world);
    let init = U256::from_be_slice(
        &world.call(ARB_WASM, with_address("programInitGas(address)", PROGRAM))[..32],
    );
    let start = U256::from_be_slice(
        &world.call(ARB_WASM, with_address("programInitGas(address)", PROGRAM))[32..],
    );
    assert_eq!(U256::from(saved), init - start);
    world.call(
        ARB_WASM_CACHE,
        with_word("evictCodehash(bytes32)", codehash(&trivial())),
    );
    assert_eq!(world.call(ARB_WASM_CACHE, cached).as_ref(), word(0));
    assert_eq!(gas(&mut world), uncached);
}

#[test]
fn a_program_run_before_in_the_block_starts_cheaper() {
    let mut world = World::new();
    world.install(PROGRAM, &trivial());
    let tx = world.tx(PROGRAM, Bytes::new(), U256::ZERO, GAS);
    let first = world.run(tx.clone(), Default::default());
    world.env.recent = first.recent.clone();
    let second = world.run(tx.clone(), Default::default());
    assert!(second.result.tx_gas_used() < first.result.tx_gas_used() - 8000);
    world.env.arbos_version = 51;
    let old = world.run(tx, Default::default());
    assert_eq!(old.result.tx_gas_used(), first.result.tx_gas_used());
}

#[test]
fn only_owners_change_parameters() {
    let mut world = World::new();
    let price = with_word("setInkPrice(uint32)", word(20_000).into());
    assert!(
        !world
            .send(ARB_OWNER, price.clone(), U256::ZERO, GAS)
            .is_success()
    );
    world.call(ARB_DEBUG, selector("becomeChainOwner()"));
    world.call(ARB_OWNER, price);
    assert_eq!(
        world.call(ARB_WASM, selector("inkPrice()")).as_ref(),
        word(20_000)
    );
    world.env.debug = false;
    let result = world.send(ARB_DEBUG, selector("becomeChainOwner()"), U256::ZERO, GAS);
    assert!(!result.is_success(), "ArbDebug exists on debug chains only");
}

#[test]
fn unknown_methods_take_all_gas() {
    let mut world = World::new();
    for data in [vec![], vec![1, 2, 3], vec![1, 2, 3, 4]] {
        let result = world.send(ARB_WASM, data, U256::ZERO, 100_000);
        assert!(!result.is_success() && !result.is_halt());
        assert_eq!(result.tx_gas_used(), 100_000);
    }
    let paid = world.send(ARB_WASM, selector("inkPrice()"), U256::from(1), 100_000);
    assert!(!paid.is_success(), "views take no value");
}

#[test]
fn a_large_program_is_joined_from_its_fragments() {
    let mut world = World::new();
    let wasm = wat::parse_str(trivial()).unwrap();
    let stream = code::compress(&wasm)[4..].to_vec();
    let (left, right) = stream.split_at(stream.len() / 2);
    let parts = [Address::repeat_byte(0xf1), Address::repeat_byte(0xf2)];
    for (address, slice) in parts.iter().zip([left, right]) {
        world.etch(*address, [&code::FRAGMENT_PREFIX[..], slice].concat());
    }
    let root = |length: u32, parts: &[Address]| {
        let mut root = [&code::ROOT_PREFIX[..], &[0], &length.to_be_bytes()].concat();
        parts
            .iter()
            .for_each(|part| root.extend_from_slice(part.as_slice()));
        root
    };
    let length = wasm.len() as u32;
    for wrong in [
        root(length + 1, &parts),
        root(length, &parts[..1]),
        root(length, &[]),
    ] {
        world.etch(PROGRAM, wrong);
        assert!(!world.activate(PROGRAM, U256::from(ETHER)).is_success());
    }
    let too_many = [parts[0], parts[1], parts[0]];
    world.etch(PROGRAM, root(length, &too_many));
    assert!(!world.activate(PROGRAM, U256::from(ETHER)).is_success());
    world.etch(PROGRAM, root(length, &parts));
    let result = world.activate(PROGRAM, U256::from(ETHER));
    assert!(result.is_success(), "{result:?}");
    assert_eq!(world.call(PROGRAM, Bytes::new()), Bytes::new());
    // A fragment neither runs nor activates.
    assert!(
        world
            .send(parts[0], Bytes::new(), U256::ZERO, GAS)
            .is_halt()
    );
    assert!(!world.activate(parts[0], U256::from(ETHER)).is_success());
    // With an empty cache of compiled modules the fragments are read again.
    world.vm = vouch_stylus::Vm::new();
    assert_eq!(world.call(PROGRAM, Bytes::new()), Bytes::new());
}

#[test]
fn a_dry_run_from_the_richest_account_succeeds() {
    // `cargo stylus check` asks as an account that has all the balance there can be.
    let mut world = World::new();
    world.place(PROGRAM, &trivial());
    let rich = Address::repeat_byte(0x71);
    let info = revm::state::AccountInfo {
        balance: U256::MAX,
        ..Default::default()
    };
    world.db.insert_account_info(rich, info);
    let data = with_address("activateProgram(address)", PROGRAM);
    let mut tx = world.tx(ARB_WASM, data, U256::from(ETHER), GAS);
    (tx.caller, tx.nonce) = (rich, 99);
    let options = vouch_stylus::Options {
        checks: vouch_stylus::Checks::Call,
        ..Default::default()
    };
    let outcome = world.run(tx, options);
    assert_eq!(
        outcome.result.output().unwrap()[..32],
        word(2),
        "{:?}",
        outcome.result
    );
    assert!(
        world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS).is_halt(),
        "nothing was committed"
    );
}
