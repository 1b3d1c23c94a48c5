//! Host functions, one by one: what they do and what they charge.

use revm::primitives::{Address, Bytes, U256, keccak256};

use crate::support::{ALICE, GAS, NOW, World, import, program, word};

const PROGRAM: Address = Address::repeat_byte(0x51);

/// Installs a program with its data at address 0 and calls it with `input`.
fn run(imports: &[&str], data: &str, body: &str, input: impl Into<Bytes>) -> (World, Bytes) {
    let mut world = World::new();
    world.install(PROGRAM, &with_data(imports, data, body));
    let output = world.call(PROGRAM, input);
    (world, output)
}

fn with_data(imports: &[&str], data: &str, body: &str) -> String {
    program(imports, body).replacen("(func (export", &format!("{data} (func (export"), 1)
}

#[test]
fn arguments_and_results() {
    let echo = "(call $read_args (i32.const 0))
        (call $write_result (i32.const 1) (i32.const 1))
        (call $write_result (i32.const 0) (local.get 0)) (i32.const 0)";
    let input = vec![9, 8, 7, 6, 5];
    let (_, output) = run(&["read_args", "write_result"], "", echo, input.clone());
    assert_eq!(output, input, "the last result counts");
}

#[test]
fn a_status_other_than_zero_reverts_with_data() {
    let mut world = World::new();
    let body = "(i32.store (i32.const 0) (i32.const 0x04030201))
        (call $write_result (i32.const 0) (i32.const 4))";
    for end in [
        "(i32.const 1)",
        "(call $exit_early (i32.const 7)) unreachable",
    ] {
        let text = program(&["write_result", "exit_early"], &format!("{body} {end}"));
        world.install(PROGRAM, &text);
        let result = world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS);
        assert!(!result.is_success() && !result.is_halt());
        assert_eq!(result.output().unwrap().as_ref(), [1, 2, 3, 4]);
        assert!(result.tx_gas_used() < GAS / 10);
    }
    let text = program(
        &["write_result", "exit_early"],
        &format!("{body} (call $exit_early (i32.const 0)) unreachable"),
    );
    world.install(PROGRAM, &text);
    assert_eq!(world.call(PROGRAM, Bytes::new()).as_ref(), [1, 2, 3, 4]);
}

#[test]
fn traps_and_bad_pointers_revert_without_data_and_keep_gas() {
    let mut world = World::new();
    for body in [
        "unreachable",
        "(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 0)",
        "(drop (i32.load (i32.const 65536))) (i32.const 0)",
        "(call $write_result (i32.const 65530) (i32.const 7)) (i32.const 0)",
        "(call $write_result (i32.const -1) (i32.const 1)) (i32.const 0)",
        "(call $read_args (i32.const 65535)) (i32.const 0)",
        "(call $storage_load_bytes32 (i32.const 65505) (i32.const 0)) (i32.const 0)",
        "(call $emit_log (i32.const 0) (i32.const 160) (i32.const 5)) (i32.const 0)",
        "(call $emit_log (i32.const 0) (i32.const 31) (i32.const 1)) (i32.const 0)",
    ] {
        let first = "(call $write_result (i32.const 0) (i32.const 4))";
        let imports = [
            "write_result",
            "read_args",
            "storage_load_bytes32",
            "emit_log",
        ];
        world.install(PROGRAM, &program(&imports, &format!("{first} {body}")));
        let result = world.send(PROGRAM, vec![1, 2], U256::ZERO, GAS);
        assert!(
            !result.is_success() && !result.is_halt(),
            "{body}: {result:?}"
        );
        assert!(result.output().unwrap().is_empty(), "{body}");
        assert!(result.tx_gas_used() < GAS / 10, "{body}");
    }
}

const KEY_AND_VALUE: &str = "(data (i32.const 31) \"\\05\") (data (i32.const 63) \"\\2a\")";

#[test]
fn storage_is_written_when_flushed() {
    let imports = [
        "storage_load_bytes32",
        "storage_cache_bytes32",
        "storage_flush_cache",
        "write_result",
    ];
    let body = "(call $storage_cache_bytes32 (i32.const 0) (i32.const 32))
        (call $storage_load_bytes32 (i32.const 0) (i32.const 64))
        (call $write_result (i32.const 64) (i32.const 32))";
    let flush = format!("{body} (call $storage_flush_cache (i32.const 1)) (i32.const 0)");
    let (world, output) = run(&imports, KEY_AND_VALUE, &flush, Bytes::new());
    assert_eq!(
        output.as_ref(),
        word(42),
        "a write is seen before it is flushed"
    );
    assert_eq!(world.slot(PROGRAM, 5), U256::from(42));
    let lost = format!("{body} (i32.const 0)");
    let (world, output) = run(&imports, KEY_AND_VALUE, &lost, Bytes::new());
    assert_eq!(output.as_ref(), word(42));
    assert_eq!(
        world.slot(PROGRAM, 5),
        U256::ZERO,
        "what is not flushed is lost"
    );
    let revert = format!("{body} (call $storage_flush_cache (i32.const 0)) (i32.const 1)");
    let mut world = World::new();
    world.install(PROGRAM, &with_data(&imports, KEY_AND_VALUE, &revert));
    world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS);
    assert_eq!(world.slot(PROGRAM, 5), U256::ZERO);
}

#[test]
fn clearing_a_slot_gives_a_refund() {
    let imports = ["storage_cache_bytes32", "storage_flush_cache"];
    let body = "(call $storage_cache_bytes32 (i32.const 0) (i32.const 32))
        (call $storage_flush_cache (i32.const 0)) (i32.const 0)";
    let mut world = World::new();
    // The same code but for one byte of data: both cost the same to start.
    let keep = with_data(&imports, "(data (i32.const 63) \"\\02\")", body);
    let clear = with_data(&imports, "(data (i32.const 63) \"\\00\")", body);
    let used = [keep, clear].map(|text| {
        world.install(PROGRAM, &text);
        world
            .db
            .insert_account_storage(PROGRAM, U256::ZERO, U256::from(1))
            .unwrap();
        let result = world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS);
        (
            result.gas().total_gas_spent(),
            result.gas().inner_refunded(),
        )
    });
    assert_eq!(used[0].1, 0);
    // EIP-3529.
    assert_eq!(used[1].1, 4800);
    assert_eq!(used[0].0.abs_diff(used[1].0), 0);
}

#[test]
fn transient_storage_lasts_for_the_transaction() {
    let imports = [
        "transient_load_bytes32",
        "transient_store_bytes32",
        "write_result",
    ];
    let body = "(call $transient_load_bytes32 (i32.const 0) (i32.const 64))
        (call $transient_store_bytes32 (i32.const 0) (i32.const 32))
        (call $transient_load_bytes32 (i32.const 0) (i32.const 96))
        (call $write_result (i32.const 64) (i32.const 64)) (i32.const 0)";
    let (mut world, output) = run(&imports, KEY_AND_VALUE, body, Bytes::new());
    assert_eq!(output.as_ref(), [word(0), word(42)].concat());
    let again = world.call(PROGRAM, Bytes::new());
    assert_eq!(again, output, "the next transaction starts anew");
}

#[test]
fn logs_carry_topics_and_data() {
    let data = "(data (i32.const 31) \"\\01\") (data (i32.const 63) \"\\02\") (data (i32.const 64) \"abc\")";
    let body = "(call $emit_log (i32.const 0) (i32.const 67) (i32.const 2)) (i32.const 0)";
    let mut world = World::new();
    world.install(PROGRAM, &with_data(&["emit_log"], data, body));
    let result = world.send(PROGRAM, Bytes::new(), U256::ZERO, GAS);
    let [log] = result.logs() else {
        panic!("{result:?}")
    };
    assert_eq!(log.address, PROGRAM);
    assert_eq!(log.topics(), [word(1), word(2)]);
    assert_eq!(log.data.data.as_ref(), b"abc");
}

#[test]
fn facts_about_frame_and_block() {
    let words = ["msg_value", "block_basefee", "tx_gas_price"];
    let addresses = [
        "msg_sender",
        "contract_address",
        "tx_origin",
        "block_coinbase",
    ];
    let numbers = [
        "block_number",
        "block_timestamp",
        "chainid",
        "block_gas_limit",
    ];
    let mut body = String::new();
    for (at, name) in words.iter().enumerate() {
        body += &format!("(call ${name} (i32.const {}))", 32 * at);
    }
    for (at, name) in addresses.iter().enumerate() {
        body += &format!("(call ${name} (i32.const {}))", 96 + 20 * at);
    }
    for (at, name) in numbers.iter().enumerate() {
        body += &format!("(i64.store (i32.const {}) (call ${name}))", 176 + 8 * at);
    }
    body += "(i32.store (i32.const 208) (call $tx_ink_price))
        (i32.store (i32.const 212) (call $msg_reentrant))
        (call $write_result (i32.const 0) (i32.const 216)) (i32.const 0)";
    let imports = [
        &words[..],
        &addresses,
        &numbers,
        &["tx_ink_price", "msg_reentrant", "write_result"],
    ]
    .concat();
    let mut world = World::new();
    world.install(PROGRAM, &program(&imports, &body));
    world.env.block.beneficiary = Address::repeat_byte(0xcb);
    let result = world.send(PROGRAM, Bytes::new(), U256::from(11), GAS);
    assert!(result.is_success(), "{result:?}");
    let mut expected = [word(11), word(0), word(0)].concat();
    for address in [ALICE, PROGRAM, ALICE, Address::repeat_byte(0xcb)] {
        expected.extend_from_slice(address.as_slice());
    }
    for number in [7, NOW, 412_346, 1 << 50] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend(10_000u32.to_le_bytes());
    expected.extend(0u32.to_le_bytes());
    assert_eq!(result.output().unwrap().as_ref(), expected);
}

#[test]
fn facts_about_accounts() {
    let other = Address::repeat_byte(0x0e);
    let imports = [
        "read_args",
        "write_result",
        "account_balance",
        "account_codehash",
        "account_code",
        "account_code_size",
    ];
    let body = "(call $read_args (i32.const 0))
        (call $account_balance (i32.const 0) (i32.const 32))
        (call $account_codehash (i32.const 0) (i32.const 64))
        (i32.store (i32.const 96) (call $account_code_size (i32.const 0)))
        (i32.store (i32.const 100)
          (call $account_code (i32.const 0) (i32.const 1) (i32.const 100) (i32.const 104)))
        (call $write_result (i32.const 32) (i32.const 80)) (i32.const 0)";
    let mut world = World::new();
    world.install(PROGRAM, &program(&imports, body));
    world.etch(other, vec![1, 2, 3, 4]);
    let output = world.call(PROGRAM, other.to_vec());
    assert_eq!(output[..32], word(0));
    assert_eq!(output[32..64], keccak256([1, 2, 3, 4])[..]);
    assert_eq!(output[64..68], 4u32.to_le_bytes());
    assert_eq!(output[68..72], 3u32.to_le_bytes());
    assert_eq!(output[72..76], [2, 3, 4, 0]);
    let output = world.call(PROGRAM, Address::repeat_byte(0xef).to_vec());
    assert_eq!(
        output[32..64],
        word(0),
        "an absent account has no code hash"
    );
    let output = world.call(PROGRAM, ALICE.to_vec());
    assert_ne!(output[..32], word(0));
}

#[test]
fn arithmetic() {
    let imports = [
        "read_args",
        "write_result",
        "math_div",
        "math_mod",
        "math_pow",
        "math_add_mod",
        "math_mul_mod",
    ];
    let calls = [
        ("math_div", "(i32.const 0) (i32.const 32)"),
        ("math_mod", "(i32.const 0) (i32.const 32)"),
        ("math_pow", "(i32.const 0) (i32.const 32)"),
        (
            "math_add_mod",
            "(i32.const 0) (i32.const 32) (i32.const 64)",
        ),
        (
            "math_mul_mod",
            "(i32.const 0) (i32.const 32) (i32.const 64)",
        ),
    ];
    let max = U256::MAX.to_be_bytes::<32>();
    for (name, args) in calls {
        let body = format!(
            "(call $read_args (i32.const 0)) (call ${name} {args})
             (call $write_result (i32.const 0) (i32.const 32)) (i32.const 0)"
        );
        let mut world = World::new();
        world.install(PROGRAM, &program(&imports, &body));
        let mut of = |a: [u8; 32], b: u64, m: u64| {
            let output = world.call(PROGRAM, [a, word(b), word(m)].concat());
            U256::from_be_slice(&output)
        };
        let expected = match name {
            "math_div" => [U256::from(14), U256::ZERO, U256::MAX / U256::from(3)],
            "math_mod" => [U256::from(2), U256::ZERO, U256::ZERO],
            "math_pow" => [U256::from(1_000_000), U256::from(1), U256::MAX],
            "math_add_mod" => [U256::from(6), U256::ZERO, U256::from(3)],
            _ => [U256::from(6), U256::ZERO, U256::from(0)],
        };
        let cases = match name {
            "math_pow" => [of(word(100), 3, 0), of(word(9), 0, 0), of(max, 3, 0)],
            "math_add_mod" => [of(word(100), 6, 10), of(word(9), 7, 0), of(max, 3, 5)],
            "math_mul_mod" => [of(word(12), 3, 10), of(word(9), 7, 0), of(max, 5, 5)],
            _ => [of(word(100), 7, 0), of(word(9), 0, 0), of(max, 3, 0)],
        };
        assert_eq!(cases, expected, "{name}");
    }
}

#[test]
fn hashing() {
    let body = "(call $read_args (i32.const 64))
        (call $native_keccak256 (i32.const 64) (local.get 0) (i32.const 0))
        (call $write_result (i32.const 0) (i32.const 32)) (i32.const 0)";
    let imports = ["read_args", "write_result", "native_keccak256"];
    for length in [0, 1, 135, 136, 500] {
        let input = vec![7u8; length];
        let (_, output) = run(&imports, "", body, input.clone());
        assert_eq!(output.as_ref(), keccak256(&input).as_slice());
    }
}

/// Ink between two readings of the ink left, less what reading and storing it costs.
fn ink_of(imports: &[&str], data: &str, setup: &str, call: &str, input: &[u8]) -> u64 {
    let body = |call: &str| {
        format!(
            "(local $before i64) {setup}
             (local.set $before (call $evm_ink_left)) {call}
             (i64.store (i32.const 2000) (i64.sub (local.get $before) (call $evm_ink_left)))
             (call $write_result (i32.const 2000) (i32.const 8)) (i32.const 0)"
        )
    };
    let imports = [imports, &["evm_ink_left", "write_result"]].concat();
    let measure = |call: &str| {
        let mut world = World::new();
        world.install(PROGRAM, &with_data(&imports, data, &body(call)));
        world.etch(Address::repeat_byte(0x0e), vec![0; 100]);
        let output = world.call(PROGRAM, input.to_vec());
        u64::from_le_bytes(output[..8].try_into().unwrap())
    };
    // A call ends a block, and its pointers and lengths are constants of 1 ink each.
    let constants = call.matches(".const").count() as u64;
    let drops = call.matches("(drop").count() as u64;
    let calls = call.matches("(call").count() as u64;
    measure(call) - measure("") - constants - 9 * drops - calls * (2450 + 3800)
}

#[test]
fn charges_by_hand() {
    let load = "(call $storage_load_bytes32 (i32.const 0) (i32.const 64))";
    let cases: &[(&[&str], &str, &str, u64)] = &[
        (
            &["read_args"],
            "",
            "(call $read_args (i32.const 0))",
            8400 + 5040 + 30 * 68,
        ),
        (
            &[],
            "",
            "(call $write_result (i32.const 0) (i32.const 32))",
            8400 + 2 * 16_381,
        ),
        (
            &[],
            "",
            "(call $write_result (i32.const 0) (i32.const 42))",
            8400 + 2 * (16_381 + 550),
        ),
        (
            &["msg_sender"],
            "",
            "(call $msg_sender (i32.const 0))",
            13_440,
        ),
        (&["chainid"], "", "(drop (call $chainid))", 8400),
        // A cold slot: 2100 gas, and 59673 ink rounded down to 5 gas.
        (&["storage_load_bytes32"], "", load, 18_480 + 21_050_000),
        // The same slot again comes from the cache.
        (&["storage_load_bytes32"], load, load, 18_480),
        (
            &["storage_cache_bytes32"],
            "",
            "(call $storage_cache_bytes32 (i32.const 0) (i32.const 32))",
            18_480,
        ),
        (
            &["storage_flush_cache"],
            "",
            "(call $storage_flush_cache (i32.const 0))",
            68_073,
        ),
        // Setting a cold empty slot: 20000 + 2100 gas.
        (
            &["storage_cache_bytes32", "storage_flush_cache"],
            "(i32.store (i32.const 32) (i32.const 1))
             (call $storage_cache_bytes32 (i32.const 0) (i32.const 32))",
            "(call $storage_flush_cache (i32.const 0))",
            68_073 + 221_000_000,
        ),
        (
            &["transient_load_bytes32"],
            "",
            "(call $transient_load_bytes32 (i32.const 0) (i32.const 64))",
            78_153 + 1_000_000,
        ),
        (
            &["emit_log"],
            "",
            "(call $emit_log (i32.const 0) (i32.const 40) (i32.const 1))",
            68_073 + 16_381 + 55 * 8 + 10_000 * (375 * 2 + 8 * 8),
        ),
        (
            &["native_keccak256"],
            "",
            "(call $native_keccak256 (i32.const 0) (i32.const 65) (i32.const 0))",
            121_800 + 21_000,
        ),
        (
            &["native_keccak256"],
            "",
            "(call $native_keccak256 (i32.const 0) (i32.const 64) (i32.const 0))",
            121_800,
        ),
        (
            &["math_div"],
            "",
            "(call $math_div (i32.const 0) (i32.const 32))",
            43_520,
        ),
        // The exponent is zero: 32 leading zero bytes.
        (
            &["math_pow"],
            "",
            "(call $math_pow (i32.const 0) (i32.const 32))",
            23_520 + 20_500,
        ),
        (
            &["pay_for_memory_grow"],
            "",
            "(call $pay_for_memory_grow (i32.const 0))",
            8400,
        ),
        // The second page is free, the third costs 1000 gas.
        (
            &["pay_for_memory_grow"],
            "",
            "(call $pay_for_memory_grow (i32.const 1))",
            0,
        ),
        (
            &["pay_for_memory_grow"],
            "",
            "(call $pay_for_memory_grow (i32.const 2))",
            10_000_000,
        ),
        // The program's own account is warm, one never touched is cold.
        (
            &["contract_address", "account_balance"],
            "(call $contract_address (i32.const 0))",
            "(call $account_balance (i32.const 0) (i32.const 32))",
            78_153 + 1_000_000,
        ),
        (
            &["account_codehash"],
            "",
            "(call $account_codehash (i32.const 1000) (i32.const 32))",
            78_153 + 26_000_000,
        ),
        // 100 bytes of code, cold: 700 + 2600 gas, and the whole code is paid for.
        (
            &["account_code"],
            "",
            "(drop (call $account_code (i32.const 100) (i32.const 0) (i32.const 1) (i32.const 200)))",
            68_073 + 33_000_000 + 5040 + 30 * 68,
        ),
        (
            &["account_code_size"],
            "(drop (call $account_code_size (i32.const 100)))",
            "(drop (call $account_code_size (i32.const 100)))",
            68_073,
        ),
    ];
    let data = format!(
        "(data (i32.const 100) \"{}\") (data (i32.const 1000) \"{}\")",
        "\\0e".repeat(20),
        "\\0d".repeat(20)
    );
    for (imports, setup, call, expected) in cases {
        assert_eq!(
            ink_of(imports, &data, setup, call, &[0; 100]),
            *expected,
            "{call}"
        );
    }
}

#[test]
fn out_of_ink_takes_all_gas() {
    let mut world = World::new();
    let body = "(loop (call $native_keccak256 (i32.const 0) (i32.const 1000) (i32.const 0)) (br 0)) unreachable";
    world.install(PROGRAM, &program(&["native_keccak256"], body));
    let result = world.send(PROGRAM, Bytes::new(), U256::ZERO, 2_000_000);
    assert!(result.is_halt());
    assert_eq!(result.tx_gas_used(), 2_000_000);
}

#[test]
fn a_start_function_of_a_debug_chain_runs_first() {
    let text = format!(
        "(module {} (memory (export \"memory\") 1 1)
          (func $s (i32.store8 (i32.const 0) (i32.const 77))) (start $s)
          (func (export \"user_entrypoint\") (param i32) (result i32)
            (call $write_result (i32.const 0) (i32.const 1)) (i32.const 0)))",
        import("write_result")
    );
    let mut world = World::new();
    world.install(PROGRAM, &text);
    assert_eq!(world.call(PROGRAM, Bytes::new()).as_ref(), [77]);
}
