//! Calls in both directions, creations, and what crosses the border between EVM and programs.

use revm::{
    context::result::ExecutionResult,
    interpreter::{CallInputs, CallOutcome, interpreter::EthInterpreter},
    primitives::{Address, Bytes, Log, TxKind, U256, hex, keccak256},
};
use vouch_stylus::{Checks, Ctx, Options, code, genesis};

use crate::support::{ALICE, ETHER, GAS, World, import, program, word};

const FORWARDER: Address = Address::repeat_byte(0xf0);
const OTHER: Address = Address::repeat_byte(0x0e);
const THIRD: Address = Address::repeat_byte(0x33);

/// Takes kind, address, value, data; makes the call; returns its status and what it returned.
fn forwarder() -> String {
    let imports = [
        "read_args",
        "write_result",
        "call_contract",
        "delegate_call_contract",
        "static_call_contract",
        "read_return_data",
    ]
    .map(import)
    .concat();
    format!(
        "(module {imports} (memory (export \"memory\") 1 1)
          (func (export \"user_entrypoint\") (param $len i32) (result i32) (local $status i32)
            (call $read_args (i32.const 0))
            (local.set $status
              (if (result i32) (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0))
                (then (call $call_contract (i32.const 1) (i32.const 53) (i32.sub (local.get $len) (i32.const 53))
                  (i32.const 21) (i64.const -1) (i32.const 4000)))
                (else (if (result i32) (i32.eq (i32.load8_u (i32.const 0)) (i32.const 1))
                  (then (call $delegate_call_contract (i32.const 1) (i32.const 53)
                    (i32.sub (local.get $len) (i32.const 53)) (i64.const -1) (i32.const 4000)))
                  (else (call $static_call_contract (i32.const 1) (i32.const 53)
                    (i32.sub (local.get $len) (i32.const 53)) (i64.const -1) (i32.const 4000)))))))
            (i32.store8 (i32.const 4096) (local.get $status))
            (drop (call $read_return_data (i32.const 4097) (i32.const 0) (i32.load (i32.const 4000))))
            (call $write_result (i32.const 4096) (i32.add (i32.const 1) (i32.load (i32.const 4000))))
            (i32.const 0)))"
    )
}

const CALL: u8 = 0;
const DELEGATE: u8 = 1;
const STATIC: u8 = 2;

fn forward(kind: u8, to: Address, value: u64, data: &[u8]) -> Vec<u8> {
    [&[kind][..], to.as_slice(), &word(value), data].concat()
}

/// Stores its argument in slot 0, emits it as a log, returns caller and value.
fn writer() -> String {
    let imports = [
        "read_args",
        "write_result",
        "storage_cache_bytes32",
        "storage_flush_cache",
        "emit_log",
        "msg_sender",
        "msg_value",
    ];
    program(
        &imports,
        "(call $read_args (i32.const 32))
         (call $storage_cache_bytes32 (i32.const 0) (i32.const 32))
         (call $storage_flush_cache (i32.const 0))
         (call $emit_log (i32.const 32) (i32.const 32) (i32.const 0))
         (call $msg_sender (i32.const 64)) (call $msg_value (i32.const 84))
         (call $write_result (i32.const 64) (i32.const 52)) (i32.const 0)",
    )
}

/// An EVM contract that forwards its calldata to `to` with `opcode`, and returns what it returned
/// or reverts with it.
fn evm_forwarder(opcode: u8, to: Address) -> Vec<u8> {
    let value = if opcode == 0xf1 { "34" } else { "" };
    let text = format!(
        "366000600037 60006000 366000 {value} 73{}5a{opcode:02x}",
        hex::encode(to)
    )
    .replace(' ', "");
    let mut code = hex::decode(text).unwrap();
    // RETURNDATACOPY all, then return or revert.
    code.extend(hex::decode("3d600060003e").unwrap());
    let target = code.len() + 7;
    code.extend([0x60, target as u8, 0x57, 0x3d, 0x60, 0x00, 0xfd]);
    code.extend([0x5b, 0x3d, 0x60, 0x00, 0xf3]);
    code
}

fn world() -> World {
    let mut world = World::new();
    world.install(FORWARDER, &forwarder());
    world
}

#[test]
fn a_program_calls_a_contract() {
    let mut world = world();
    // Returns its calldata.
    world.etch(OTHER, hex::decode("366000600037366000f3").unwrap());
    let output = world.call(FORWARDER, forward(CALL, OTHER, 0, b"hello"));
    assert_eq!(output.as_ref(), b"\0hello");
    // Reverts with its calldata.
    world.etch(OTHER, hex::decode("366000600037366000fd").unwrap());
    let output = world.call(FORWARDER, forward(CALL, OTHER, 0, b"hello"));
    assert_eq!(output.as_ref(), b"\x02hello");
    // Halts.
    world.etch(OTHER, vec![0xfe]);
    let result = world.send(
        FORWARDER,
        forward(CALL, OTHER, 0, b"hello"),
        U256::ZERO,
        GAS,
    );
    assert_eq!(result.output().unwrap().as_ref(), b"\x02");
    assert!(
        result.tx_gas_used() > GAS - GAS / 32,
        "all but a 64th is gone"
    );
    // Nobody there.
    let output = world.call(
        FORWARDER,
        forward(CALL, Address::repeat_byte(9), 0, b"hello"),
    );
    assert_eq!(output.as_ref(), b"\0");
}

#[test]
fn a_contract_calls_a_program() {
    let mut world = world();
    world.install(OTHER, &writer());
    world.etch(THIRD, evm_forwarder(0xf1, OTHER));
    let result = world.send(THIRD, word(77), U256::from(5), GAS);
    assert!(result.is_success(), "{result:?}");
    let output = result.output().unwrap();
    assert_eq!(output[..20], THIRD[..]);
    assert_eq!(output[20..], word(5));
    assert_eq!(world.slot(OTHER, 0), U256::from(77));
    assert_eq!(result.logs()[0].address, OTHER);
}

#[test]
fn delegated_code_acts_as_its_caller() {
    let mut world = world();
    world.install(OTHER, &writer());
    // EVM to program: storage and logs are the contract's, caller and value the transaction's.
    world.etch(THIRD, evm_forwarder(0xf4, OTHER));
    let result = world.send(THIRD, word(77), U256::from(5), GAS);
    let output = result.output().unwrap();
    assert_eq!(output[..20], ALICE[..]);
    assert_eq!(output[20..], word(5));
    assert_eq!(world.slot(THIRD, 0), U256::from(77));
    assert_eq!(world.slot(OTHER, 0), U256::ZERO);
    assert_eq!(result.logs()[0].address, THIRD);
    // Program to program.
    let result = world.send(
        FORWARDER,
        forward(DELEGATE, OTHER, 0, &word(78)),
        U256::from(6),
        GAS,
    );
    let output = result.output().unwrap();
    assert_eq!((output[0], &output[1..21]), (0, &ALICE[..]));
    assert_eq!(output[21..], word(6));
    assert_eq!(world.slot(FORWARDER, 0), U256::from(78));
    // Program to EVM: SSTORE(0, 79).
    world.etch(OTHER, hex::decode("604f60005500").unwrap());
    assert_eq!(
        world
            .call(FORWARDER, forward(DELEGATE, OTHER, 0, &[]))
            .as_ref(),
        [0]
    );
    assert_eq!(world.slot(FORWARDER, 0), U256::from(79));
}

#[test]
fn a_static_call_changes_nothing() {
    let mut world = world();
    world.install(OTHER, &writer());
    let output = world.call(FORWARDER, forward(STATIC, OTHER, 0, &word(77)));
    assert_eq!(output.as_ref(), [2]);
    assert_eq!(world.slot(OTHER, 0), U256::ZERO);
    // Nor does a program that a static call reached through a contract.
    world.etch(THIRD, evm_forwarder(0xfa, OTHER));
    assert!(!world.send(THIRD, word(77), U256::ZERO, GAS).is_success());
    // Sending value from a static call fails without a charge for the call.
    world.etch(THIRD, evm_forwarder(0xfa, FORWARDER));
    let output = world.call(THIRD, forward(CALL, ALICE, 1, &[]));
    assert_eq!(output.as_ref(), [2]);
    // A flush with nothing to write is fine.
    world.install(
        OTHER,
        &program(
            &["storage_flush_cache"],
            "(call $storage_flush_cache (i32.const 0)) (i32.const 0)",
        ),
    );
    assert_eq!(
        world
            .call(FORWARDER, forward(STATIC, OTHER, 0, &[]))
            .as_ref(),
        [0]
    );
    for (name, call) in [
        (
            "emit_log",
            "(call $emit_log (i32.const 0) (i32.const 0) (i32.const 0))",
        ),
        (
            "transient_store_bytes32",
            "(call $transient_store_bytes32 (i32.const 0) (i32.const 0))",
        ),
        (
            "create1",
            "(call $create1 (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 64))",
        ),
    ] {
        world.install(OTHER, &program(&[name], &format!("{call} (i32.const 0)")));
        assert_eq!(
            world
                .call(FORWARDER, forward(STATIC, OTHER, 0, &[]))
                .as_ref(),
            [2],
            "{name}"
        );
        assert_eq!(
            world.call(FORWARDER, forward(CALL, OTHER, 0, &[])).as_ref(),
            [0],
            "{name}"
        );
    }
}

#[test]
fn reentry_sees_flushed_storage_and_is_noticed() {
    // With arguments: store 1, flush, call the contract given, return what it returned.
    // Without: return slot 0 and whether this is a reentry.
    let imports = [
        "read_args",
        "write_result",
        "storage_load_bytes32",
        "storage_cache_bytes32",
        "storage_flush_cache",
        "call_contract",
        "read_return_data",
        "msg_reentrant",
    ];
    let body = "(if (i32.eqz (local.get 0)) (then
            (call $storage_load_bytes32 (i32.const 0) (i32.const 64))
            (i32.store8 (i32.const 96) (call $msg_reentrant))
            (call $write_result (i32.const 64) (i32.const 33))
            (return (i32.const 0))))
        (call $read_args (i32.const 128))
        (i32.store8 (i32.const 63) (i32.const 1))
        (call $storage_cache_bytes32 (i32.const 0) (i32.const 32))
        (call $storage_flush_cache (i32.const 0))
        (drop (call $call_contract (i32.const 128) (i32.const 0) (i32.const 0) (i32.const 0)
          (i64.const -1) (i32.const 200)))
        (drop (call $read_return_data (i32.const 300) (i32.const 0) (i32.load (i32.const 200))))
        (call $write_result (i32.const 300) (i32.load (i32.const 200))) (i32.const 0)";
    let mut world = World::new();
    world.install(OTHER, &program(&imports, body));
    assert_eq!(
        world.call(OTHER, Bytes::new()).as_ref(),
        [&word(0)[..], &[0]].concat()
    );
    world.etch(THIRD, evm_forwarder(0xf1, OTHER));
    let seen = [&word(1)[..], &[1]].concat();
    assert_eq!(
        world.call(OTHER, THIRD.to_vec()).as_ref(),
        seen,
        "through a contract"
    );
    assert_eq!(world.call(OTHER, OTHER.to_vec()).as_ref(), seen, "directly");
    // Delegated code does not count as the account's own frame.
    world.etch(THIRD, evm_forwarder(0xf4, OTHER));
    let fresh = [&word(0)[..], &[0]].concat();
    assert_eq!(world.call(THIRD, Bytes::new()).as_ref(), fresh);
}

#[test]
fn value_moves_with_calls() {
    let mut world = world();
    let heir = Address::repeat_byte(0x77);
    let poor = world.call(FORWARDER, forward(CALL, heir, 5, &[]));
    assert_eq!(poor.as_ref(), [2], "nothing to send");
    let result = world.send(FORWARDER, forward(CALL, heir, 5, &[]), U256::from(12), GAS);
    assert_eq!(result.output().unwrap().as_ref(), [0]);
    assert_eq!(world.db.cache.accounts[&heir].info.balance, U256::from(5));
    assert_eq!(
        world.db.cache.accounts[&FORWARDER].info.balance,
        U256::from(7)
    );
    let first = result.tx_gas_used();
    let second = world
        .send(FORWARDER, forward(CALL, heir, 5, &[]), U256::ZERO, GAS)
        .tx_gas_used();
    assert_eq!(first - second, 25_000, "the account exists now");
}

#[test]
fn a_program_that_is_not_activated_takes_what_it_is_given() {
    let mut world = world();
    world.place(OTHER, &writer());
    let result = world.send(
        FORWARDER,
        forward(CALL, OTHER, 0, &word(1)),
        U256::ZERO,
        GAS,
    );
    assert_eq!(result.output().unwrap().as_ref(), [2]);
    assert!(result.tx_gas_used() > GAS - GAS / 32);
}

/// Creates a contract from its arguments with an endowment of 3; returns address and return data.
fn creator(create: &str) -> String {
    let imports = [
        "read_args",
        "write_result",
        "create1",
        "create2",
        "read_return_data",
    ];
    program(
        &imports,
        &format!(
            "(i32.store8 (i32.const 31) (i32.const 3))
             (call $read_args (i32.const 1000))
             {create}
             (drop (call $read_return_data (i32.const 120) (i32.const 0) (i32.load (i32.const 96))))
             (call $write_result (i32.const 100) (i32.add (i32.const 20) (i32.load (i32.const 96))))
             (i32.const 0)"
        ),
    )
}

const CREATE1: &str =
    "(call $create1 (i32.const 1000) (local.get 0) (i32.const 0) (i32.const 100) (i32.const 96))";
const CREATE2: &str = "(call $create2 (i32.const 1000) (local.get 0) (i32.const 0) (i32.const 32)
    (i32.const 100) (i32.const 96))";

#[test]
fn programs_create_contracts() {
    let mut world = World::new();
    for create in [CREATE1, CREATE2] {
        world.install(OTHER, &creator(create));
        let init = code::init_code(&[0x60, 0x01]);
        let nonce = world.db.cache.accounts[&OTHER].info.nonce;
        let result = world.send(OTHER, init.clone(), U256::from(3), GAS);
        let created = Address::from_slice(result.output().unwrap());
        let expected = if create == CREATE1 {
            OTHER.create(nonce)
        } else {
            OTHER.create2(word(0), keccak256(&init))
        };
        assert_eq!(created, expected);
        let account = &world.db.cache.accounts[&created].info;
        assert_eq!(
            account.code.as_ref().unwrap().original_bytes().as_ref(),
            [0x60, 0x01]
        );
        assert_eq!(account.balance, U256::from(3));
    }
}

#[test]
fn a_constructor_that_fails_gives_address_zero() {
    let mut world = World::new();
    world.install(OTHER, &creator(CREATE1));
    // Reverts with four bytes 00000007.
    let revert = hex::decode("60076000526004601cfd").unwrap();
    let result = world.send(OTHER, revert, U256::from(3), GAS);
    assert_eq!(
        result.output().unwrap().as_ref(),
        [&[0; 23][..], &[7]].concat()
    );
    let result = world.send(OTHER, vec![0xfe], U256::from(3), GAS);
    assert_eq!(result.output().unwrap().as_ref(), [0; 20]);
    assert!(result.tx_gas_used() > GAS - GAS / 32);
    // Not enough balance for the endowment: nothing to read, gas kept.
    let mut poor = World::new();
    poor.install(OTHER, &creator(CREATE1));
    let result = poor.send(OTHER, code::init_code(&[1]), U256::ZERO, GAS);
    assert_eq!(result.output().unwrap().as_ref(), [0; 20]);
    assert!(result.tx_gas_used() < GAS / 10);
}

fn deploy(world: &mut World, code: &[u8]) -> ExecutionResult {
    let mut tx = world.tx(ALICE, code::init_code(code), U256::ZERO, GAS);
    tx.kind = TxKind::Create;
    let outcome = world.run(tx, Options::default());
    revm::DatabaseCommit::commit(&mut world.db, outcome.state);
    outcome.result
}

#[test]
fn only_stylus_code_may_begin_with_ef() {
    let mut world = World::new();
    for good in [
        &[0xef, 0xf0, 0, 0][..],
        &[0xef, 0xf0, 1, 9],
        &[0xef, 0xf0, 2, 0],
    ] {
        assert!(deploy(&mut world, good).is_success(), "{good:?}");
    }
    for bad in [
        &[0xef][..],
        &[0xef, 0, 1],
        &[0xef, 0xf0, 0],
        &[0xef, 0xf0, 3, 0],
    ] {
        let result = deploy(&mut world, bad);
        assert!(result.is_halt(), "{bad:?}");
        assert_eq!(result.tx_gas_used(), GAS);
    }
    world.env.arbos_version = 51;
    assert!(deploy(&mut world, &[0xef, 0xf0, 0, 0]).is_success());
    assert!(deploy(&mut world, &[0xef, 0xf0, 1, 9]).is_halt());
    assert!(deploy(&mut world, &[0x60, 0]).is_success());
}

#[test]
fn a_program_cannot_be_destroyed() {
    let mut world = world();
    // SELFDESTRUCT to the zero address.
    world.etch(OTHER, hex::decode("6000ff").unwrap());
    let output = world.call(FORWARDER, forward(DELEGATE, OTHER, 0, &[]));
    assert_eq!(output.as_ref(), [2]);
    assert_eq!(
        world.call(FORWARDER, forward(CALL, OTHER, 0, &[])).as_ref(),
        [0]
    );
}

#[test]
fn refunds_of_calls_count_only_if_they_succeed() {
    let mut world = world();
    world.etch(OTHER, hex::decode("600060005500").unwrap());
    world
        .db
        .insert_account_storage(OTHER, U256::ZERO, U256::from(1))
        .unwrap();
    let tx = world.tx(FORWARDER, forward(CALL, OTHER, 0, &[]), U256::ZERO, GAS);
    let outcome = world.run(tx.clone(), Options::default());
    assert_eq!(outcome.result.gas().inner_refunded(), 4800);
    // The same store, then a revert.
    world.etch(OTHER, hex::decode("600060005560006000fd").unwrap());
    world
        .db
        .insert_account_storage(OTHER, U256::ZERO, U256::from(1))
        .unwrap();
    let outcome = world.run(tx, Options::default());
    assert_eq!(outcome.result.gas().inner_refunded(), 0);
}

#[derive(Default)]
struct Watcher {
    calls: Vec<Address>,
    ends: usize,
    logs: Vec<Log>,
    steps: usize,
}

impl revm::Inspector<Ctx<&mut revm::database::InMemoryDB>, EthInterpreter> for Watcher {
    fn call(
        &mut self,
        _: &mut Ctx<&mut revm::database::InMemoryDB>,
        inputs: &mut CallInputs,
    ) -> Option<CallOutcome> {
        self.calls.push(inputs.target_address);
        None
    }

    fn call_end(
        &mut self,
        _: &mut Ctx<&mut revm::database::InMemoryDB>,
        _: &CallInputs,
        _: &mut CallOutcome,
    ) {
        self.ends += 1;
    }

    fn log(&mut self, _: &mut Ctx<&mut revm::database::InMemoryDB>, log: Log) {
        self.logs.push(log);
    }

    fn step(
        &mut self,
        _: &mut revm::interpreter::Interpreter<EthInterpreter>,
        _: &mut Ctx<&mut revm::database::InMemoryDB>,
    ) {
        self.steps += 1;
    }
}

#[test]
fn an_inspector_sees_frames_and_logs_of_programs() {
    let mut world = world();
    world.install(OTHER, &writer());
    world.etch(THIRD, evm_forwarder(0xf1, OTHER));
    let tx = world.tx(
        FORWARDER,
        forward(CALL, THIRD, 0, &word(3)),
        U256::ZERO,
        GAS,
    );
    let mut watcher = Watcher::default();
    let options = Options {
        checks: Checks::Call,
        record_hostios: false,
    };
    let outcome = vouch_stylus::inspect(
        &world.vm,
        &world.env,
        &mut world.db,
        tx.clone(),
        options,
        &mut watcher,
    )
    .unwrap();
    assert!(outcome.result.is_success());
    assert_eq!(watcher.calls, [FORWARDER, THIRD, OTHER]);
    assert_eq!(watcher.ends, 3);
    assert_eq!(watcher.logs.len(), 1);
    assert!(
        watcher.steps > 10 && watcher.steps < 40,
        "{}",
        watcher.steps
    );
    let plain = world.run(tx, options);
    assert_eq!(plain.result, outcome.result, "watching changes nothing");
}

#[test]
fn host_calls_are_recorded() {
    let mut world = world();
    world.install(OTHER, &writer());
    world.etch(THIRD, evm_forwarder(0xf1, OTHER));
    let (result, steps) = world.trace(FORWARDER, forward(CALL, THIRD, 0, &word(3)));
    assert!(result.is_success());
    let names = |steps: &[vouch_stylus::HostioStep]| {
        steps
            .iter()
            .map(|step| step.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&steps),
        [
            "user_entrypoint",
            "read_args",
            "call_contract",
            "read_return_data",
            "write_result",
            "user_returned"
        ]
    );
    let call = &steps[2];
    assert_eq!(call.address, Some(THIRD));
    assert_eq!(call.args[..20], THIRD[..]);
    assert_eq!(call.args[28..60], word(0));
    assert_eq!(call.args[60..], word(3));
    assert_eq!(call.outs.as_ref(), [0, 0, 0, 52, 0]);
    assert_eq!(names(&call.steps), ["evm_call_contract"]);
    let inner = &call.steps[0];
    assert_eq!(inner.address, Some(OTHER));
    assert_eq!(inner.steps.first().unwrap().name, "user_entrypoint");
    assert_eq!(inner.steps[1].outs.as_ref(), word(3));
    assert_eq!(inner.steps.last().unwrap().outs.as_ref(), [0; 4]);
    for step in steps.iter().chain(&inner.steps) {
        assert!(step.start_ink >= step.end_ink, "{}", step.name);
    }
    let tx = world.tx(
        FORWARDER,
        forward(CALL, THIRD, 0, &word(3)),
        U256::ZERO,
        GAS,
    );
    assert!(
        world.run(tx, Options::default()).steps.is_empty(),
        "only when asked for"
    );
}

#[test]
fn the_stylus_deployer_deploys_activates_and_refunds() {
    let mut world = World::new();
    let code = code::compress(&wat::parse_str(program(&[], "i32.const 0")).unwrap());
    let init = code::init_code(&code);
    // deploy(bytes initCode, bytes initData, uint256 initValue, bytes32 salt)
    let mut data = hex::decode("a9a8e4e9").unwrap();
    let padded = init.len().div_ceil(32) * 32;
    data.extend([word(128), word(160 + padded as u64), word(0), word(1)].concat());
    data.extend(word(init.len() as u64));
    data.extend(&init);
    data.resize(4 + 160 + padded, 0);
    data.extend(word(0));
    let result = world.send(genesis::STYLUS_DEPLOYER, data, U256::from(ETHER), GAS);
    assert!(result.is_success(), "{result:?}");
    let log = result.logs().last().unwrap();
    assert_eq!(log.topics()[0], keccak256("ContractDeployed(address)"));
    let deployed = Address::from_slice(&log.data.data[12..32]);
    assert_eq!(world.call(deployed, Bytes::new()), Bytes::new());
    let left = world.db.cache.accounts[&genesis::STYLUS_DEPLOYER]
        .info
        .balance;
    assert_eq!(left, U256::ZERO, "what activation did not take went back");
}
