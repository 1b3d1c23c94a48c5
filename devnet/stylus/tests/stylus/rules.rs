//! Modules that may not become programs.

use vouch_stylus::validate::{Module, ModuleError, Rules};

use crate::support::import;

const RULES: Rules = Rules {
    debug: false,
    max_initial_pages: 128,
};

const MEMORY: &str = "(memory (export \"memory\") 1 1)";
const ENTRY: &str = "(func (export \"user_entrypoint\") (param i32) (result i32) i32.const 0)";

fn check_with(text: &str, rules: &Rules) -> Result<(), ModuleError> {
    let wasm = wat::parse_str(text).expect(text);
    let module = Module::parse(&wasm, rules)?;
    vouch_stylus::instrument::instrument(module, rules.debug).map(|_| ())
}

fn check(text: &str) -> Result<(), ModuleError> {
    check_with(text, &RULES)
}

/// Checks a module with the usual memory and entry point and `extra`.
fn with(extra: &str) -> Result<(), ModuleError> {
    check(&format!("(module {extra} {MEMORY} {ENTRY})"))
}

/// Checks an otherwise empty function.
fn with_code(code: &str) -> Result<(), ModuleError> {
    with(&format!("(func (local i32 i64 f32 f64) {code})"))
}

#[test]
fn the_usual_module_is_fine() {
    with("").unwrap();
    with(&import("read_args")).unwrap();
    with("(func (param f32 f64))").unwrap();
}

#[test]
fn memory_and_entry_point_are_required() {
    for text in [
        format!("(module {MEMORY})"),
        format!("(module {ENTRY})"),
        format!("(module (memory 1 1) {ENTRY})"),
        format!("(module {MEMORY} (func (export \"user_entrypoint\")))"),
        format!(
            "(module {MEMORY} (func (export \"user_entrypoint\") (param i64) (result i32) i32.const 0))"
        ),
        format!("(module {MEMORY} (global (export \"user_entrypoint\") i32 i32.const 0))"),
        format!("(module (memory 1 1) (func (export \"memory\")) {ENTRY})"),
    ] {
        assert!(
            matches!(check(&text), Err(ModuleError::MissingExport { .. })),
            "{text}"
        );
    }
}

#[test]
fn growable_memory_must_be_paid_for() {
    for memory in ["1", "1 2", "0 65536"] {
        let memory = format!("(memory (export \"memory\") {memory})");
        let error = check(&format!("(module {memory} {ENTRY})")).unwrap_err();
        assert!(matches!(error, ModuleError::MissingPayForMemoryGrow));
        assert!(
            error.to_string().contains("pay_for_memory_grow"),
            "cargo stylus looks for this"
        );
        let import = import("pay_for_memory_grow");
        check(&format!("(module {import} {memory} {ENTRY})")).unwrap();
    }
}

#[test]
fn only_known_functions_may_be_imported() {
    for unknown in [
        "(import \"vm_hooks\" \"nonsense\" (func))",
        "(import \"env\" \"read_args\" (func (param i32)))",
        "(import \"console\" \"log_i32\" (func (param i32)))",
        "(import \"debug\" \"null_host\" (func))",
    ] {
        assert!(
            matches!(with(unknown), Err(ModuleError::UnknownImport { .. })),
            "{unknown}"
        );
    }
    for wrong in [
        "(import \"vm_hooks\" \"read_args\" (func (param i64)))",
        "(import \"vm_hooks\" \"read_args\" (func (param i32) (result i32)))",
        "(import \"vm_hooks\" \"read_args\" (func))",
    ] {
        assert!(
            matches!(with(wrong), Err(ModuleError::ImportType { .. })),
            "{wrong}"
        );
    }
    for other in [
        "(import \"vm_hooks\" \"memory\" (global i32))",
        "(import \"vm_hooks\" \"table\" (table 1 funcref))",
    ] {
        assert!(
            matches!(with(other), Err(ModuleError::Unexpected(_))),
            "{other}"
        );
    }
}

#[test]
fn debug_chains_allow_more() {
    let debug = Rules {
        debug: true,
        ..RULES
    };
    let allowed = [
        "(import \"console\" \"log_i32\" (func (param i32)))",
        "(func $s) (start $s)",
        "(func (export \"other\"))",
    ];
    for extra in allowed {
        check_with(&format!("(module {extra} {MEMORY} {ENTRY})"), &debug).unwrap();
    }
    assert!(matches!(with(allowed[1]), Err(ModuleError::Start)));
    with(allowed[2]).unwrap();
    for name in ["stylus_ink_left", "stylus_stack_left", "stylus_start"] {
        let text = format!("(module (func (export \"{name}\")) {MEMORY} {ENTRY})");
        assert!(matches!(
            check_with(&text, &debug),
            Err(ModuleError::ReservedExport(_))
        ));
    }
    with("(func (export \"stylus_ink_left\"))").unwrap();
    assert!(matches!(
        with("(func (export \"stylus_start\"))"),
        Err(ModuleError::ReservedExport(_))
    ));
}

#[test]
fn float_arithmetic_is_refused() {
    for op in [
        "local.get 2 local.get 2 f32.add drop",
        "local.get 3 local.get 3 f64.lt drop",
        "local.get 2 i32.trunc_f32_s drop",
        "local.get 3 i64.trunc_sat_f64_u drop",
        "local.get 0 f64.convert_i32_s drop",
        "local.get 2 f64.promote_f32 drop",
        "local.get 2 f32.neg drop",
    ] {
        assert!(
            matches!(with_code(op), Err(ModuleError::Instruction(_))),
            "{op}"
        );
    }
    for inert in [
        "f32.const 1 drop",
        "i32.const 0 f64.load drop",
        "i32.const 0 local.get 2 f32.store",
        "local.get 2 i32.reinterpret_f32 drop",
    ] {
        with_code(inert).unwrap();
    }
}

#[test]
fn other_bulk_operations_are_refused() {
    for code in [
        "(data $d \"x\") (func i32.const 0 i32.const 0 i32.const 0 memory.init $d)",
        "(data $d \"x\") (func data.drop $d)",
        "(table 1 1 funcref) (elem $e func) (func elem.drop $e)",
        "(table 1 1 funcref) (elem $e func) (func i32.const 0 i32.const 0 i32.const 0 table.init $e)",
        "(table 1 1 funcref) (func i32.const 0 i32.const 0 i32.const 0 table.copy)",
    ] {
        assert!(
            matches!(with(code), Err(ModuleError::Instruction(_))),
            "{code}"
        );
    }
    with_code("i32.const 0 i32.const 0 i32.const 0 memory.copy").unwrap();
}

#[test]
fn later_proposals_are_refused() {
    for extra in [
        "(func (result i32 i32) i32.const 0 i32.const 0)",
        "(func (local externref))",
        "(func v128.const i64x2 0 0 drop)",
        "(func $f return_call $f)",
        "(memory 1 1)",
        "(func i32.const 0 i32.const 1 i32.atomic.store)",
        "(tag)",
        "(table 1 1 funcref) (table 1 1 funcref)",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(func (drop (ref.null func)))",
    ] {
        assert!(with(extra).is_err(), "{extra}");
    }
    assert!(
        check(&format!(
            "(module (memory (export \"memory\") i64 1 1) {ENTRY})"
        ))
        .is_err()
    );
    assert!(
        check(&format!(
            "(module (memory (export \"memory\") 1 1 shared) {ENTRY})"
        ))
        .is_err()
    );
    assert!(Module::parse(&wat::parse_str("(component)").unwrap(), &RULES).is_err());
}

#[track_caller]
fn limited(extra: &str, what: &str) {
    match with(extra) {
        Err(ModuleError::Limit { what: found, .. }) => assert_eq!(found, what),
        other => panic!("expected a limit on {what}, got {other:?}"),
    }
}

#[test]
fn sizes_are_limited_exactly() {
    let repeat = |count: usize, text: &str| text.repeat(count);
    with(&repeat(4095, "(func)")).unwrap();
    limited(&repeat(4096, "(func)"), "functions");
    with(&repeat(128, "(data (i32.const 0) \"\")")).unwrap();
    limited(&repeat(129, "(data (i32.const 0) \"\")"), "data segments");
    let elem = "(elem (i32.const 0) func)";
    with(&format!("(table 1 1 funcref) {}", repeat(128, elem))).unwrap();
    limited(
        &format!("(table 1 1 funcref) {}", repeat(129, elem)),
        "element segments",
    );
    limited("(table 4097 funcref)", "table entries");
    with("(table 4096 funcref)").unwrap();
    let entries = |count| {
        format!(
            "(table 1 funcref) (func $f) (elem (i32.const 0) func {})",
            repeat(count, " $f")
        )
    };
    with(&entries(4096)).unwrap();
    limited(&entries(4097), "element entries");
    let import = import("read_args").replace("$read_args", "");
    with(&repeat(513, &import)).unwrap();
    limited(&repeat(514, &import), "imports");
    limited(&repeat(32_769, "(global i32 (i32.const 0))"), "globals");
    let exports = |count| {
        (0..count)
            .map(|n| format!("(func (export \"{n}\"))"))
            .collect::<String>()
    };
    with(&exports(1022)).unwrap();
    limited(&exports(1023), "exports");
    with(&format!("(func (export \"{}\"))", "x".repeat(512))).unwrap();
    limited(
        &format!("(func (export \"{}\"))", "x".repeat(513)),
        "bytes in an export's name",
    );
    with(&format!("(func (local {}))", repeat(348, "i32 "))).unwrap();
    limited(
        &format!("(func (local {}))", repeat(349, "i32 ")),
        "locals of a function",
    );
    limited(
        &format!("(func {})", repeat(65_536, "nop ")),
        "instructions of a function",
    );
}

#[test]
fn memory_and_frames_are_limited() {
    let pages = |count: u32, rules: &Rules| {
        let text = format!("(module (memory (export \"memory\") {count} {count}) {ENTRY})");
        check_with(&text, rules)
    };
    pages(128, &RULES).unwrap();
    assert!(matches!(pages(129, &RULES), Err(ModuleError::Limit { .. })));
    let tight = Rules {
        max_initial_pages: 3,
        ..RULES
    };
    pages(3, &tight).unwrap();
    assert!(matches!(pages(4, &tight), Err(ModuleError::Limit { .. })));

    let deep = |values: usize| {
        with(&format!(
            "(func {} {})",
            "i32.const 0 ".repeat(values),
            "drop ".repeat(values)
        ))
    };
    deep(4096).unwrap();
    assert!(matches!(
        deep(4097),
        Err(ModuleError::Frame {
            size: 4097,
            limit: 4096,
            ..
        })
    ));
}
