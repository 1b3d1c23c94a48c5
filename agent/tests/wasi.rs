//! What a workload can and cannot do.

use std::time::Duration;

use alloy::primitives::B256;
use vouch_agent::wasi::Module;
use vouch_agent::workload::{Files, Limits, Outputs, Violation};
use zeroize::Zeroizing;

/// A module whose `_start` is `body`, with a memory that holds `data` from address 1024 on.
fn module(imports: &str, data: &str, body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            {imports}
            (memory (export "memory") 1)
            (data (i32.const 1024) "{data}")
            (func (export "_start") {body}))"#
    ))
    .unwrap()
}

const OPEN: &str = r#"(import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;
const WRITE: &str = r#"(import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))"#;
const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;

/// Opens a path of `length` bytes below folder `fd`, and ends with the call's number.
fn open(fd: u32, length: usize, flags: u32, rights: u64) -> String {
    format!(
        "(call $exit (call $open (i32.const {fd}) (i32.const 0) (i32.const 1024) (i32.const {length}) \
         (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 0)))"
    )
}

fn inputs() -> Files {
    Files::from([("secret".to_owned(), Zeroizing::new(b"plaintext".to_vec()))])
}

fn run(wasm: &[u8], limits: Limits) -> Result<Outputs, Violation> {
    Module::new(wasm)?.run(&["workload"], &inputs(), B256::repeat_byte(1), 7, &limits)
}

#[test]
fn a_module_that_does_nothing_leaves_nothing() {
    let outputs = run(&module("", "", ""), Limits::default()).unwrap();
    assert_eq!(outputs, Outputs::default());
}

#[test]
fn the_network_ends_a_workload() {
    for (name, parameters, arguments) in [
        ("sock_accept", "i32 i32 i32", 3),
        ("sock_send", "i32 i32 i32 i32 i32", 5),
        ("sock_recv", "i32 i32 i32 i32 i32 i32", 6),
    ] {
        let import = format!(
            r#"(import "wasi_snapshot_preview1" "{name}" (func $call (param {parameters}) (result i32)))"#
        );
        let arguments = "(i32.const 0)".repeat(arguments);
        let wasm = module(&import, "", &format!("(drop (call $call {arguments}))"));
        assert_eq!(run(&wasm, Limits::default()), Err(Violation::Network(name)));
    }
    // What newer worlds call a socket is not there at all.
    let import =
        r#"(import "wasi_snapshot_preview1" "sock_open" (func $call (param i32) (result i32)))"#;
    let wasm = module(import, "", "(drop (call $call (i32.const 0)))");
    assert!(matches!(
        run(&wasm, Limits::default()),
        Err(Violation::Module(_))
    ));
}

#[test]
fn paths_outside_the_folders_end_a_workload() {
    let imports = [OPEN, EXIT].concat();
    for path in ["../etc/passwd", "/etc/passwd", "x/../../y", ".."] {
        for fd in [3, 4] {
            let wasm = module(&imports, path, &open(fd, path.len(), 0, 2));
            let ended = run(&wasm, Limits::default());
            assert!(
                matches!(ended, Err(Violation::Outside(_))),
                "{path}: {ended:?}"
            );
        }
    }
    // Writing to the inputs is outside as well.
    for (flags, rights) in [(1 | 8, 1 << 6), (0, 1 << 6), (8, 2)] {
        let wasm = module(&imports, "secret", &open(3, 6, flags, rights));
        let ended = run(&wasm, Limits::default());
        assert!(matches!(ended, Err(Violation::Outside(_))), "{ended:?}");
    }
}

#[test]
fn what_is_not_there_is_an_error_of_the_workload() {
    let imports = [OPEN, EXIT].concat();
    for (fd, path, errno) in [
        (3, "none", 44),
        (3, "a/b", 44),
        (9, "secret", 8),
        (1, "secret", 8),
    ] {
        let wasm = module(&imports, path, &open(fd, path.len(), 0, 2));
        assert_eq!(
            run(&wasm, Limits::default()),
            Err(Violation::Exit(errno)),
            "{fd} {path}"
        );
    }
    let wasm = module(&imports, "secret", &open(3, 6, 0, 2));
    assert!(run(&wasm, Limits::default()).is_ok());
}

#[test]
fn memory_beyond_the_limit_ends_a_workload() {
    let grow = "(drop (memory.grow (i32.const 100)))";
    let limits = Limits {
        memory: 50 << 16,
        ..Limits::default()
    };
    let ended = run(&module("", "", grow), limits);
    assert!(matches!(ended, Err(Violation::Memory { .. })), "{ended:?}");
    assert!(run(&module("", "", grow), Limits::default()).is_ok());
}

#[test]
fn work_beyond_the_limit_ends_a_workload() {
    let forever = module("", "", "(loop $again (br $again))");
    let fuel = Limits {
        fuel: 1_000_000,
        ..Limits::default()
    };
    assert!(matches!(run(&forever, fuel), Err(Violation::Time(_))));
    let clock = Limits {
        time: Duration::from_millis(50).into(),
        ..Limits::default()
    };
    assert!(matches!(run(&forever, clock), Err(Violation::Time(_))));
}

#[test]
fn output_beyond_the_budget_ends_a_workload() {
    // Creates /out/f (the first new descriptor is 5) and writes ten bytes and two lines to it.
    let body = format!(
        "(drop (call $open (i32.const 4) (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1) \
           (i64.const {}) (i64.const 0) (i32.const 0) (i32.const 0))) \
         (i32.store (i32.const 16) (i32.const 1025)) (i32.store (i32.const 20) (i32.const 10)) \
         (drop (call $write (i32.const 5) (i32.const 16) (i32.const 1) (i32.const 32)))",
        1 << 6
    );
    let wasm = module(&[OPEN, WRITE].concat(), r"fabcd\nefgh\n", &body);
    let outputs = run(&wasm, Limits::default()).unwrap();
    assert_eq!((outputs.bytes, outputs.rows), (10, 2));
    assert_eq!(outputs.files["f"].as_slice(), b"abcd\nefgh\n");
    for (limits, unit) in [
        (
            Limits {
                output_bytes: 9,
                ..Limits::default()
            },
            "bytes",
        ),
        (
            Limits {
                output_rows: 1,
                ..Limits::default()
            },
            "rows",
        ),
    ] {
        match run(&wasm, limits) {
            Err(Violation::Output { unit: found, .. }) => assert_eq!(found, unit),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hostile_addresses_are_errors_and_not_panics() {
    let imports = [OPEN, WRITE, EXIT].concat();
    for (at, length) in [("-1", "1"), ("65536", "1"), ("0", "-1")] {
        let call = format!(
            "(call $exit (call $open (i32.const 3) (i32.const 0) (i32.const {at}) (i32.const {length}) \
             (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))"
        );
        let ended = run(&module(&imports, "", &call), Limits::default());
        assert!(
            matches!(ended, Err(Violation::Exit(_) | Violation::Outside(_))),
            "{at}: {ended:?}"
        );
    }
    let call =
        "(call $exit (call $write (i32.const 1) (i32.const -8) (i32.const -1) (i32.const 0)))";
    assert!(matches!(
        run(&module(&imports, "", call), Limits::default()),
        Err(Violation::Exit(_))
    ));
}

#[test]
fn traps_exits_and_garbage_are_told_apart() {
    assert!(matches!(
        run(&module("", "", "unreachable"), Limits::default()),
        Err(Violation::Trap(_))
    ));
    let exit = module(EXIT, "", "(call $exit (i32.const 3))");
    assert_eq!(run(&exit, Limits::default()), Err(Violation::Exit(3)));
    let well = module(EXIT, "", "(call $exit (i32.const 0))");
    assert!(run(&well, Limits::default()).is_ok());
    for garbage in [&b""[..], b"\0asm", b"not a module"] {
        assert!(matches!(
            run(garbage, Limits::default()),
            Err(Violation::Module(_))
        ));
    }
    let unknown = module(r#"(import "env" "system" (func))"#, "", "");
    assert!(matches!(
        run(&unknown, Limits::default()),
        Err(Violation::Module(_))
    ));
}
