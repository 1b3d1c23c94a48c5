//! Ink, stack and counts of small modules, worked out by hand.

use super::*;
use crate::validate::Rules;
use wasmtime::{Engine, Instance, Store, Val};

const RULES: Rules = Rules {
    debug: false,
    max_initial_pages: 128,
};

fn rewrite(body: &str) -> Instrumented {
    let text = format!("(module (memory (export \"memory\") 1 1) {body})");
    let wasm = wat::parse_str(text).unwrap();
    instrument(Module::parse(&wasm, &RULES).unwrap(), false).unwrap()
}

/// What a run used and left.
struct Ran {
    result: Option<i32>,
    used: u64,
    status: i32,
    stack: i32,
}

fn run(body: &str, arg: i32, ink: u64, stack: i32) -> Ran {
    let engine = Engine::default();
    let module = wasmtime::Module::new(&engine, rewrite(body).wasm).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let [ink_left, status, _, stack_left] =
        INJECTED.map(|name| instance.get_global(&mut store, name).unwrap());
    ink_left.set(&mut store, Val::I64(ink as i64)).unwrap();
    stack_left.set(&mut store, Val::I32(stack)).unwrap();
    let entry = instance
        .get_typed_func::<i32, i32>(&mut store, ENTRYPOINT)
        .unwrap();
    let result = entry.call(&mut store, arg).ok();
    Ran {
        result,
        used: ink - ink_left.get(&mut store).unwrap_i64() as u64,
        status: status.get(&mut store).unwrap_i32(),
        stack: stack_left.get(&mut store).unwrap_i32(),
    }
}

fn ink_of(body: &str, arg: i32) -> u64 {
    let ran = run(body, arg, 1 << 40, 10_000);
    assert!(ran.result.is_some());
    assert_eq!(ran.stack, 10_000, "every frame is given back");
    ran.used
}

const ENTRY: &str = "(func (export \"user_entrypoint\") (param i32) (result i32)";

#[test]
fn one_block() {
    // local.get 75, end 1
    assert_eq!(ink_of(&format!("{ENTRY} local.get 0)"), 5), 2450 + 76);
}

#[test]
fn a_call_ends_its_block() {
    let body = format!("{ENTRY} call $f i32.const 0) (func $f i32.const 1 drop)");
    let entry = (2450 + 3800) + (2450 + 1 + 1);
    assert_eq!(ink_of(&body, 0), entry + (2450 + 1 + 9 + 1));
}

#[test]
fn a_loop_pays_each_round() {
    let body = format!(
        "{ENTRY} (loop $l local.get 0 i32.const 1 i32.sub local.tee 0 br_if $l) i32.const 0)"
    );
    let round = 2450 + 75 + 1 + 70 + 75 + 765;
    assert_eq!(
        ink_of(&body, 3),
        (2450 + 1) + 3 * round + (2450 + 1) + (2450 + 2)
    );
}

#[test]
fn if_and_else_are_blocks() {
    let body = format!(
        "{ENTRY} local.get 0 (if (result i32) (then i32.const 1) (else i64.const 9 i32.wrap_i64)))"
    );
    // The then-branch ends with `else`; the end of the function is a block of its own.
    let head = 2450 + 75 + 765;
    assert_eq!(ink_of(&body, 1), head + (2450 + 1 + 1) + (2450 + 1));
    assert_eq!(ink_of(&body, 0), head + (2450 + 1 + 100 + 1) + (2450 + 1));
}

#[test]
fn bulk_memory_pays_by_the_byte() {
    let body = format!("{ENTRY} i32.const 0 i32.const 7 local.get 0 memory.fill i32.const 0)");
    let fixed = 2450 + 1 + 1 + 75 + 950 + 1 + 1;
    assert_eq!(ink_of(&body, 0), fixed);
    assert_eq!(ink_of(&body, 40), fixed + 4000);
}

#[test]
fn indirect_calls_and_tables_pay_by_size() {
    let body = format!(
        "(type $t (func (param i32 i64))) (table 1 1 funcref) (elem (i32.const 0) $f)
         (func $f (type $t))
         {ENTRY} i32.const 1 i64.const 2 i32.const 0 call_indirect (type $t)
           (block (block local.get 0 br_table 0 1)) i32.const 0)"
    );
    let call = 2450 + 1 + 1 + 1 + 13_610 + 2 * 650;
    let table = 2450 + 1 + 1 + 75 + 2400 + 325;
    // Case 0 leaves the inner block, then passes the outer end.
    assert_eq!(
        ink_of(&body, 0),
        call + (2450 + 1) + table + (2450 + 1) + (2450 + 2)
    );
    assert_eq!(ink_of(&body, 1), call + (2450 + 1) + table + (2450 + 2));
}

#[test]
fn too_little_ink_traps_at_the_head_of_the_block() {
    let body = format!("{ENTRY} local.get 0)");
    assert_eq!(run(&body, 3, 2526, 100).result, Some(3));
    let ran = run(&body, 3, 2525, 100);
    assert_eq!((ran.result, ran.status, ran.used), (None, 1, 0));
    let fill = format!("{ENTRY} i32.const 0 i32.const 7 local.get 0 memory.fill i32.const 0)");
    let ran = run(&fill, -1, 1 << 30, 100);
    assert_eq!(
        (ran.result, ran.status),
        (None, 1),
        "4 GiB cannot be paid for"
    );
}

#[test]
fn floats_may_be_present_but_never_run() {
    let body = format!("{ENTRY} f64.const 1 drop i32.const 0)");
    let ran = run(&body, 0, u64::MAX - 1, 100);
    assert_eq!((ran.result, ran.status), (None, 1));
}

#[test]
fn recursion_ends_when_the_stack_is_used_up() {
    let body = format!("{ENTRY} call $r i32.const 0) (func $r call $r)");
    let ran = run(&body, 0, 1 << 40, 22_000);
    assert_eq!((ran.result, ran.status, ran.stack), (None, 0, 0));
    // A frame of $r is 2 values of metering and 4 words; so is the entry point's.
    let calls = (22_000 - 1) / 6;
    let last = (2450 + 3800) * calls;
    assert_eq!(ran.used, last);
}

#[test]
fn a_branch_out_of_the_function_gives_its_frame_back() {
    for exit in ["br 0", "return", "br_if 0", "br_table 0"] {
        let operand = if exit.contains('_') {
            "i32.const 1"
        } else {
            ""
        };
        let body = format!(
            "{ENTRY} call $f call $f call $f i32.const 0) (func $f (local i64 i64) {operand} {exit})"
        );
        assert_eq!(run(&body, 0, 1 << 40, 1000).stack, 1000, "{exit}");
    }
    let body = format!("{ENTRY} local.get 0 br 0)");
    let ran = run(&body, 77, 1 << 40, 1000);
    assert_eq!((ran.result, ran.stack), (Some(77), 1000));
}

#[test]
fn injected_instructions_are_counted() {
    // Frame 12, ink check 12, two of its own, give back 4, return 1.
    let shape = rewrite(&format!("{ENTRY} local.get 0)")).shape;
    assert_eq!(shape.instructions, 12 + 12 + 2 + 4 + 1);
    assert_eq!(
        (shape.functions, shape.signature_values, shape.globals),
        (1, 2, 4)
    );
    assert_eq!(shape.footprint, 1);
}

#[test]
fn only_needed_exports_survive() {
    let out = rewrite(&format!("{ENTRY} i32.const 0) (func (export \"other\"))"));
    let engine = Engine::default();
    let module = wasmtime::Module::new(&engine, out.wasm).unwrap();
    let mut names: Vec<_> = module
        .exports()
        .map(|export| export.name().to_owned())
        .collect();
    names.sort();
    let mut expected = [INJECTED.as_slice(), &[ENTRYPOINT, MEMORY]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}
