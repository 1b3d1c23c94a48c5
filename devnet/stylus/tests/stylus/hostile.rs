//! Bytes and programs that mean harm.

use proptest::prelude::*;
use revm::{
    Database,
    context::result::EVMError,
    database::InMemoryDB,
    primitives::{Address, B256, Bytes, U256},
    state::{AccountInfo, Bytecode},
};
use vouch_stylus::{
    Options,
    code::{self, Code},
    instrument::instrument,
    params::STATE_ACCOUNT,
    precompiles::{ARB_DEBUG, ARB_OWNER, ARB_WASM},
    validate::{Module, Rules},
};

use crate::support::{GAS, World, import, program, selector, with_word, word};

fn rules(debug: bool) -> Rules {
    Rules {
        debug,
        max_initial_pages: 128,
    }
}

fn read(wasm: &[u8]) {
    for debug in [false, true] {
        if let Ok(module) = Module::parse(wasm, &rules(debug))
            && let Ok(out) = instrument(module, debug)
        {
            // What we accept and rewrite must itself be valid.
            wasmparser::validate(&out.wasm).expect("instrumented module");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_code_is_read_without_panic(code: Vec<u8>, kind in 0u8..4) {
        let code = [&[0xef, 0xf0, kind, 0][..], &code].concat();
        if let Ok(Code::Classic { compressed }) = Code::parse(&code, 60) {
            let _ = code::decompress(compressed, 1 << 17);
        }
    }

    #[test]
    fn any_module_is_read_without_panic(body: Vec<u8>) {
        read(&body);
        read(&[b"\0asm\x01\0\0\0", body.as_slice()].concat());
    }

    #[test]
    fn a_damaged_module_is_read_without_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let text = format!(
            "(module {} (memory (export \"memory\") 1) (table 2 2 funcref) (global (mut i32) (i32.const 1))
              (elem (i32.const 0) $f) (data (i32.const 0) \"abc\")
              (func $f (param i32) (result i32) (local i64)
                local.get 0 (if (result i32) (then i32.const 1 return) (else i32.const 2))
                (block (loop local.get 0 br_if 1 br 0)) i32.const 3 memory.grow drop
                i32.const 0 i32.const 0 i32.const 4 memory.fill
                i32.const 0 call_indirect (param i32) (result i32))
              (export \"user_entrypoint\" (func $f)))",
            import("pay_for_memory_grow")
        );
        let mut wasm = wat::parse_str(text).unwrap();
        read(&wasm);
        for (at, byte) in damage {
            let at = at.index(wasm.len());
            wasm[at] = byte;
        }
        read(&wasm);
    }
}

const SELF: Address = Address::repeat_byte(0x5e);

/// Calls itself with all gas until that fails, then returns the depth reached.
fn recursive(waste: &str) -> String {
    let imports: String = [
        "contract_address",
        "call_contract",
        "read_return_data",
        "write_result",
    ]
    .map(import)
    .concat();
    format!(
        "(module {imports} (memory (export \"memory\") 1 1)
          (func $waste (param i32) {waste})
          (func (export \"user_entrypoint\") (param i32) (result i32)
            (call $contract_address (i32.const 0))
            (call $waste (i32.const 0))
            (drop (call $call_contract (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)
              (i64.const -1) (i32.const 64)))
            (drop (call $read_return_data (i32.const 128) (i32.const 0) (i32.const 4)))
            (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
            (call $write_result (i32.const 128) (i32.const 4))
            (i32.const 0)))"
    )
}

fn depth_reached(waste: &str, gas: u64) -> u32 {
    let mut world = World::new();
    world.install(SELF, &recursive(waste));
    let result = world.send(SELF, Bytes::new(), U256::ZERO, gas);
    assert!(result.is_success(), "{result:?}");
    u32::from_le_bytes(result.output().unwrap()[..4].try_into().unwrap())
}

#[test]
fn pages_end_nested_calls() {
    // Each level keeps back a 64th of the gas, so this takes much of it. Every level opens a
    // page, and only 128 can be paid for.
    assert_eq!(depth_reached("", 1 << 45), 128);
}

#[test]
fn calls_nest_to_the_limit_of_the_evm() {
    // With pages made free, the depth of calls is what ends it.
    let mut world = World::new();
    world.install(SELF, &recursive(""));
    world.call(ARB_DEBUG, selector("becomeChainOwner()"));
    world.call(
        ARB_OWNER,
        with_word("setWasmFreePages(uint16)", word(2000).into()),
    );
    let result = world.send(SELF, Bytes::new(), U256::ZERO, 1 << 49);
    assert!(result.is_success(), "{result:?}");
    assert_eq!(result.output().unwrap()[..4], 1025u32.to_le_bytes());
}

#[test]
fn native_stack_survives_fat_frames_at_every_level() {
    // Each level first uses nearly all of its own stack, and stays alive below the next call.
    let imports: String = [
        "contract_address",
        "call_contract",
        "read_return_data",
        "write_result",
    ]
    .map(import)
    .concat();
    let text = format!(
        "(module {imports} (memory (export \"memory\") 1 1)
          (func $sink (param i64))
          (func $down (param $n i32) (local i64 i64 i64 i64 i64 i64 i64 i64)
            (if (local.get $n) (then
              (local.set 1 (i64.extend_i32_u (local.get $n)))
              (local.set 2 (i64.add (local.get 1) (i64.const 1)))
              (local.set 3 (i64.add (local.get 2) (i64.const 1)))
              (local.set 4 (i64.add (local.get 3) (i64.const 1)))
              (call $down (i32.sub (local.get $n) (i32.const 1)))
              (call $sink (i64.add (local.get 1) (i64.add (local.get 2) (i64.add (local.get 3) (local.get 4))))))
            (else
              (drop (call $call_contract (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)
                (i64.const -1) (i32.const 64)))
              (drop (call $read_return_data (i32.const 128) (i32.const 0) (i32.const 4))))))
          (func (export \"user_entrypoint\") (param i32) (result i32)
            (call $contract_address (i32.const 0))
            (call $down (i32.const 1200))
            (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
            (call $write_result (i32.const 128) (i32.const 4))
            (i32.const 0)))"
    );
    let mut world = World::new();
    world.install(SELF, &text);
    let result = world.send(SELF, Bytes::new(), U256::ZERO, 1 << 45);
    assert!(result.is_success(), "{result:?}");
    assert_eq!(result.output().unwrap()[..4], 128u32.to_le_bytes());
}

#[test]
fn endless_recursion_inside_a_program_takes_all_gas() {
    let mut world = World::new();
    let text = "(module (memory (export \"memory\") 0 0)
        (func $r (param i32) (result i32) (call $r (local.get 0)))
        (export \"user_entrypoint\" (func $r)))";
    world.install(SELF, text);
    let result = world.send(SELF, Bytes::new(), U256::ZERO, GAS);
    assert!(result.is_halt());
    assert_eq!(result.tx_gas_used(), GAS);
}

#[test]
fn an_endless_loop_ends_with_its_ink() {
    let mut world = World::new();
    world.install(SELF, &program(&[], "(loop (br 0)) unreachable"));
    let result = world.send(SELF, Bytes::new(), U256::ZERO, 1_000_000);
    assert!(result.is_halt());
    assert_eq!(result.tx_gas_used(), 1_000_000);
}

#[test]
fn memory_beyond_what_can_be_paid_is_never_had() {
    let text = |pages: i32| {
        let import = import("pay_for_memory_grow");
        format!(
            "(module {import} (memory (export \"memory\") 0)
              (func (export \"user_entrypoint\") (param i32) (result i32)
                (i32.eq (memory.grow (i32.const {pages})) (i32.const -1))))"
        )
    };
    for pages in [129, 65_535, 65_536, -1] {
        let mut world = World::new();
        world.install(SELF, &text(pages));
        assert!(
            world
                .send(SELF, Bytes::new(), U256::ZERO, 1 << 40)
                .is_halt(),
            "{pages}"
        );
    }
    let mut world = World::new();
    world.install(SELF, &text(128));
    assert!(
        world
            .send(SELF, Bytes::new(), U256::ZERO, 1 << 40)
            .is_success()
    );
    assert!(
        world
            .send(SELF, Bytes::new(), U256::ZERO, 31_000_000)
            .is_halt(),
        "too dear"
    );
}

/// A database that cannot read the storage of one account.
struct Broken {
    inner: InMemoryDB,
    account: Address,
}

#[derive(Debug, thiserror::Error)]
#[error("disk on fire")]
struct OnFire;

impl revm::database_interface::DBErrorMarker for OnFire {}

impl Database for Broken {
    type Error = OnFire;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, OnFire> {
        self.inner.basic(address).map_err(|_| OnFire)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, OnFire> {
        self.inner.code_by_hash(hash).map_err(|_| OnFire)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, OnFire> {
        if address == self.account {
            return Err(OnFire);
        }
        self.inner.storage(address, slot).map_err(|_| OnFire)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, OnFire> {
        self.inner.block_hash(number).map_err(|_| OnFire)
    }
}

#[test]
fn a_failing_database_is_an_error_not_a_revert() {
    let mut world = World::new();
    let load = "(call $storage_load_bytes32 (i32.const 0) (i32.const 0)) (i32.const 0)";
    world.install(SELF, &program(&["storage_load_bytes32"], load));
    // A program that calls it, and one more in between.
    let call = |to: Address| {
        let digits: String = to.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let text = program(
            &["call_contract"],
            "(drop (call $call_contract (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)
               (i64.const -1) (i32.const 64))) (i32.const 0)",
        );
        text.replacen(
            "(func (export",
            &format!("(data (i32.const 0) \"{digits}\") (func (export"),
            1,
        )
    };
    let [near, far] = [0x11, 0x22].map(Address::repeat_byte);
    world.install(near, &call(SELF));
    world.install(far, &call(near));
    for to in [SELF, near, far] {
        let tx = world.tx(to, Bytes::new(), U256::ZERO, GAS);
        let db = Broken {
            inner: world.db.clone(),
            account: SELF,
        };
        let result = vouch_stylus::transact(&world.vm, &world.env, db, tx, Options::default());
        assert!(
            matches!(result, Err(EVMError::Database(OnFire))),
            "{result:?}"
        );
    }
    // And of the account that holds the programs' records.
    let tx = world.tx(SELF, Bytes::new(), U256::ZERO, GAS);
    let db = Broken {
        inner: world.db.clone(),
        account: STATE_ACCOUNT,
    };
    let result = vouch_stylus::transact(&world.vm, &world.env, db, tx, Options::default());
    assert!(
        matches!(result, Err(EVMError::Database(OnFire))),
        "{result:?}"
    );
    let tx = world.tx(ARB_WASM, selector("inkPrice()"), U256::ZERO, GAS);
    let db = Broken {
        inner: world.db.clone(),
        account: STATE_ACCOUNT,
    };
    let result = vouch_stylus::transact(&world.vm, &world.env, db, tx, Options::default());
    assert!(
        matches!(result, Err(EVMError::Database(OnFire))),
        "{result:?}"
    );
}
