//! Who may import whom, as `ARCHITECTURE.md` draws it: the drawing is checked against Cargo's own
//! view of the graph.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vouch_tests::paths;

/// A crate, and crates that must not be among what it is built from.
struct Rule {
    package: &'static str,
    forbidden: &'static [&'static str],
    why: &'static str,
}

const CONTRACTS: [&str; 7] = [
    "offers",
    "usage",
    "escrow",
    "attestation",
    "governance",
    "bonds",
    "token",
];

const RULES: &[Rule] = &[
    Rule {
        package: "vouch-protocol",
        forbidden: &[
            "vouch-abi",
            "alloy",
            "stylus-sdk",
            "tokio",
            "reqwest",
            "rand",
            "serde_json",
        ],
        why: "the domain language is shared by contracts, verifier and clients",
    },
    Rule {
        package: "vouch-abi",
        forbidden: &["stylus-sdk", "alloy", "tokio"],
        why: "without feature `rpc` the interface is built into contracts",
    },
    Rule {
        package: "annex",
        forbidden: &[
            "offers",
            "usage",
            "attestation",
            "governance",
            "bonds",
            "token",
            "vouch-client",
        ],
        why: "the annex is the escrow's second program and nobody else's",
    },
    Rule {
        package: "desk",
        forbidden: &[
            "offers",
            "usage",
            "attestation",
            "governance",
            "bonds",
            "token",
            "vouch-client",
        ],
        why: "the desk is the escrow's third program and nobody else's",
    },
    Rule {
        package: "vouch-evidence",
        forbidden: &[
            "vouch-abi",
            "vouch-client",
            "vouch-simulator",
            "alloy",
            "alloy-provider",
            "tokio",
            "reqwest",
            "hyper",
            "mio",
            "socket2",
            "rand",
            "rocksdb",
            "getrandom",
            "chrono",
            "jiff",
        ],
        why: "the verifier decides from its arguments alone: no I/O, no clock, no chance",
    },
    Rule {
        package: "vouch-collateral",
        forbidden: &[
            "vouch-abi",
            "vouch-client",
            "vouch-simulator",
            "alloy",
            "rocksdb",
            "axum",
        ],
        why: "the fetcher gets bytes: it knows neither the market nor what evidence is worth",
    },
    Rule {
        package: "vouch-simulator",
        forbidden: &["vouch-abi", "vouch-client", "alloy", "tokio", "reqwest"],
        why: "evidence is made of bytes and keys alone",
    },
    Rule {
        package: "vouch-stylus",
        forbidden: &[
            "vouch-abi",
            "vouch-client",
            "vouch-protocol",
            "vouch-evidence",
            "axum",
            "rocksdb",
        ],
        why: "the chain knows nothing of the market",
    },
    Rule {
        package: "vouch-devnet",
        forbidden: &[
            "vouch-abi",
            "vouch-client",
            "vouch-protocol",
            "vouch-evidence",
            "rocksdb",
        ],
        why: "the chain knows nothing of the market",
    },
    Rule {
        package: "vouch-client",
        forbidden: &[
            "vouch-evidence",
            "vouch-simulator",
            "vouch-devnet",
            "rocksdb",
        ],
        why: "the client speaks to the chain and judges nothing",
    },
    Rule {
        package: "vouch-verdict",
        forbidden: &["vouch-simulator", "vouch-oracle", "rocksdb", "axum"],
        why: "what a bundle is worth is a function of bundle, order and time",
    },
    Rule {
        package: "vouch-oracle",
        forbidden: &["vouch-simulator", "vouch-devnet", "vouch-stylus"],
        why: "an operator accepts simulated evidence by configuration, not by code",
    },
    Rule {
        package: "vouch-content",
        forbidden: &[
            "vouch-abi",
            "vouch-client",
            "vouch-evidence",
            "vouch-oracle",
            "alloy",
        ],
        why: "content is encrypted and named without knowing who may have it",
    },
    Rule {
        package: "vouch-broker",
        forbidden: &[
            "vouch-simulator",
            "vouch-devnet",
            "vouch-stylus",
            "wasmtime",
        ],
        why: "a broker accepts simulated evidence by configuration, not by code",
    },
    Rule {
        package: "vouch-agent",
        forbidden: &["vouch-devnet", "vouch-stylus", "revm"],
        why: "the machine's agent knows the chain through its endpoint alone",
    },
    Rule {
        package: "vouch",
        forbidden: &[
            "vouch-devnet",
            "vouch-stylus",
            "vouch-oracle",
            "vouch-broker",
            "vouch-agent",
            "wasmtime",
            "rocksdb",
        ],
        why: "the command line starts the chain, the oracle, brokers and the agent as programs",
    },
];

/// Names of every crate `package` is built from, tests and build scripts left out.
fn dependencies(package: &str, target: Option<&str>) -> Result<BTreeSet<String>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(paths::root())
        .args([
            "tree",
            "--locked",
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{lib} {p}",
        ])
        .args(["--package", package]);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    let output = command.output().context("starting cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree of {package}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(str::to_owned)
        .collect();
    ensure!(
        names.contains(package),
        "cargo tree of {package} does not name it:\n{text}"
    );
    Ok(names)
}

fn broken(package: &str, found: &BTreeSet<String>, forbidden: &[&str], why: &str) -> Vec<String> {
    let bad = forbidden
        .iter()
        .filter(|name| **name != package && found.contains(**name));
    bad.map(|name| format!("{package} is built from {name}, but {why}"))
        .collect()
}

#[test]
fn crates_import_only_what_they_may() -> Result<()> {
    let mut problems = Vec::new();
    for rule in RULES {
        let found = dependencies(rule.package, None)?;
        problems.extend(broken(rule.package, &found, rule.forbidden, rule.why));
    }
    for contract in CONTRACTS {
        let found = dependencies(contract, Some("wasm32-unknown-unknown"))?;
        let why = "contracts call each other through the interface only";
        problems.extend(broken(contract, &found, &CONTRACTS, why));
        let why = "a contract has 24 KiB and no operating system";
        let forbidden = [
            "vouch-evidence",
            "vouch-client",
            "alloy",
            "tokio",
            "reqwest",
            "serde_json",
        ];
        problems.extend(broken(contract, &found, &forbidden, why));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn a_forbidden_import_is_found() {
    let found = BTreeSet::from(["vouch-evidence".to_owned(), "tokio".to_owned()]);
    assert_eq!(
        broken("vouch-evidence", &found, &["tokio", "rand"], "why").len(),
        1
    );
    assert!(broken("vouch-evidence", &found, &["vouch-evidence"], "why").is_empty());
}

/// Clocks and the environment are in std, so Cargo cannot see them: the sources are searched.
#[test]
fn the_verifier_reads_no_clock_and_no_environment() -> Result<()> {
    let forbidden = [
        "SystemTime::now",
        "Instant::now",
        "std::env",
        "std::net",
        "std::fs",
        "Utc::now",
    ];
    let mut problems = Vec::new();
    for crate_dir in ["evidence/src", "protocol/src"] {
        let mut open = vec![paths::root().join(crate_dir)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                for entry in std::fs::read_dir(&path)? {
                    open.push(entry?.path());
                }
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            // Tests at the end of a file may read their vectors.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let found = forbidden.iter().filter(|name| code.contains(**name));
            problems.extend(found.map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}
