//! The Solidity interfaces in `contracts/interfaces` are those of the declarations, comments
//! included. `UPDATE_ABI=1 cargo test -p vouch-abi` writes them.
//!
//! The declarations are Solidity but for two things: interfaces have no constructors there, and
//! parameters of reference types name where their data lies. That the result means the same is
//! checked by a compiler, in `vouch-tests`.

use std::{collections::BTreeSet, fs, path::PathBuf};

const HEADER: &str = "// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;
";

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The lines inside every `interfaces! { … }`, without their indentation.
fn declarations() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(crate_dir().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut inside = false;
        for line in text.lines() {
            match line {
                "interfaces! {" => inside = true,
                "}" => inside = false,
                _ if inside => lines.push(line.strip_prefix("    ").unwrap_or(line).to_owned()),
                _ => {}
            }
        }
    }
    lines
}

/// A struct or interface with its comments: its name and its lines.
struct Item {
    name: String,
    lines: Vec<String>,
}

fn items(lines: &[String]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut current = Vec::new();
    for line in lines {
        if line.is_empty() && current.is_empty() {
            continue;
        }
        current.push(line.clone());
        if line == "}" {
            let head = current
                .iter()
                .find(|line| !line.starts_with("//"))
                .expect("a declaration");
            let name = head.split(' ').nth(1).expect("a name").to_owned();
            items.push(Item {
                name,
                lines: std::mem::take(&mut current),
            });
        }
    }
    assert!(current.is_empty(), "not closed: {current:?}");
    items
}

/// Adds `location` to every parameter of a reference type.
fn located(parameters: &str, location: &str, structs: &BTreeSet<String>) -> String {
    let parameter = |parameter: &str| {
        let Some((kind, name)) = parameter.trim().split_once(' ') else {
            return parameter.trim().to_owned();
        };
        let base = kind.trim_end_matches("[]");
        if kind != base || ["string", "bytes"].contains(&kind) || structs.contains(base) {
            format!("{kind} {location} {name}")
        } else {
            format!("{kind} {name}")
        }
    };
    parameters
        .split(',')
        .filter(|text| !text.trim().is_empty())
        .map(parameter)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `function name(…) … returns (…);` with locations.
fn function(line: &str, structs: &BTreeSet<String>) -> String {
    let (name, rest) = line.split_once('(').expect("parameters");
    let (parameters, rest) = rest.split_once(')').expect("the parameters' end");
    let parameters = located(parameters, "calldata", structs);
    let rest = match rest.split_once("returns (") {
        None => rest.to_owned(),
        Some((attributes, returned)) => {
            let (returned, end) = returned
                .split_once(')')
                .expect("the end of what it returns");
            let single = returned.split_whitespace().count() == 1;
            let returned = if single {
                located(&format!("{returned} _"), "memory", structs)
                    .trim_end_matches(" _")
                    .to_owned()
            } else {
                located(returned, "memory", structs)
            };
            format!("{attributes}returns ({returned}){end}")
        }
    };
    format!("{name}({parameters}){rest}")
}

/// A declaration as Solidity has it.
fn translate(lines: &[String], structs: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let mut statement = String::new();
    let mut in_struct = false;
    for line in lines {
        let trimmed = line.trim_start();
        in_struct = (in_struct || trimmed.starts_with("struct ")) && !trimmed.starts_with('}');
        let continues = !statement.is_empty();
        if !continues && !trimmed.starts_with("function ") && !trimmed.starts_with("constructor") {
            // A struct's fields take no documentation, only comments.
            let comment = if in_struct { "//" } else { "///" };
            text += &line.replace("///", comment);
            text.push('\n');
            continue;
        }
        if continues {
            statement.push(' ');
            statement += trimmed;
        } else {
            statement = line.clone();
        }
        if statement.ends_with(';') {
            if statement.trim_start().starts_with("function ") {
                text += &function(&statement, structs);
                text.push('\n');
            }
            statement.clear();
        }
    }
    // Where a constructor stood.
    while text.contains("{\n\n") {
        text = text.replace("{\n\n", "{\n");
    }
    text
}

fn files() -> Vec<(String, String)> {
    let items = items(&declarations());
    let is_interface = |item: &Item| item.lines.iter().any(|l| l.starts_with("interface "));
    let named = |item: &&Item| !is_interface(item);
    let shared: BTreeSet<String> = items
        .iter()
        .filter(named)
        .map(|item| item.name.clone())
        .collect();
    let mut types = HEADER.to_owned();
    let mut files = Vec::new();
    for item in &items {
        if !is_interface(item) {
            types += "\n";
            types += &translate(&item.lines, &shared);
            continue;
        }
        let mut structs = shared.clone();
        for line in &item.lines {
            if let Some(nested) = line.trim().strip_prefix("struct ") {
                structs.insert(nested.trim_end_matches(" {").to_owned());
            }
        }
        let body = translate(&item.lines, &structs);
        let uses_types = shared.iter().any(|name| {
            body.split(|c: char| !c.is_ascii_alphanumeric())
                .any(|word| word == name)
        });
        let import = if uses_types {
            "\nimport \"./Types.sol\";\n"
        } else {
            ""
        };
        files.push((
            format!("{}.sol", item.name),
            format!("{HEADER}{import}\n{body}"),
        ));
    }
    files.push(("Types.sol".to_owned(), types));
    files
}

#[test]
fn committed_interfaces_are_up_to_date() {
    let folder = crate_dir().join("../interfaces");
    let files = files();
    assert!(files.len() > 5, "only {} interfaces", files.len());
    for (name, expected) in &files {
        let path = folder.join(name);
        if std::env::var_os("UPDATE_ABI").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == *expected,
            "{} differs from the declarations: run UPDATE_ABI=1 cargo test -p vouch-abi",
            path.display()
        );
    }
    let kept: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sol"))
        .collect();
    let expected: BTreeSet<String> = files.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        kept, expected,
        "an interface of nothing, or none of something"
    );
}

#[test]
fn reference_types_get_a_location() {
    let structs = BTreeSet::from(["Offer".to_owned()]);
    for (declared, expected) in [
        (
            "function f(Offer o, uint8 n) external;",
            "function f(Offer calldata o, uint8 n) external;",
        ),
        (
            "function f() external view returns (bytes32[] a, string b);",
            "function f() external view returns (bytes32[] memory a, string memory b);",
        ),
        (
            "function f(Offer[] o) external returns (string);",
            "function f(Offer[] calldata o) external returns (string memory);",
        ),
        (
            "function f(bytes32 o) external pure returns (bool);",
            "function f(bytes32 o) external pure returns (bool);",
        ),
    ] {
        assert_eq!(function(declared, &structs), expected);
    }
}
