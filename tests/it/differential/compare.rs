//! Compares what two nodes answered, and holds the differences against the reviewed list.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::step::Compare;

/// Fields whose values rightly differ between two nodes: they depend on the genesis state. Such
/// values must have appeared at the same place first, so a receipt still names its own block.
const HASHES: [&str; 7] = [
    "blockHash",
    "hash",
    "parentHash",
    "stateRoot",
    "mixHash",
    "prevRandao",
    "currentBlockHash",
];
/// Fields that hold the wall clock.
const TIMES: [&str; 3] = ["timestamp", "blockTimestamp", "currentBlockTimestamp"];
/// How far two clocks may be apart, in seconds.
const CLOCK_TOLERANCE: u64 = 20;

/// One place at which two nodes disagree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) step: String,
    /// JSON pointer into the answer.
    pub(crate) path: String,
    pub(crate) expected: Option<Value>,
    pub(crate) found: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| {
            let text = value
                .as_ref()
                .map_or_else(|| "nothing".into(), Value::to_string);
            text.chars().take(300).collect::<String>()
        };
        write!(
            f,
            "{} at {}: expected {}, found {}",
            self.step,
            self.path,
            show(&self.expected),
            show(&self.found)
        )
    }
}

/// A difference that was looked at and is intended.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    /// The step's name; `*` at its end stands for anything.
    pub(crate) step: String,
    /// The place in the answer; a part `*` stands for any one part, a leading `**` for any number.
    pub(crate) path: String,
    /// Why our node differs.
    pub(crate) reason: String,
}

impl Exception {
    fn covers(&self, difference: &Difference) -> bool {
        let step = match self.step.strip_suffix('*') {
            Some(prefix) => difference.step.starts_with(prefix),
            None => difference.step == self.step,
        };
        step && path_matches(&self.path, &difference.path)
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').skip(1).collect();
    let (anywhere, pattern) = match pattern.strip_prefix("/**/") {
        Some(rest) => (true, rest),
        None => (false, pattern.strip_prefix('/').unwrap_or(pattern)),
    };
    let pattern: Vec<&str> = pattern.split('/').collect();
    let Some(extra) = path.len().checked_sub(pattern.len()) else {
        return false;
    };
    (anywhere || extra == 0)
        && path[extra..]
            .iter()
            .zip(&pattern)
            .all(|(a, b)| *b == "*" || a == b)
}

/// What is wrong after the exceptions: differences nobody allowed, and exceptions nobody needed.
pub(crate) fn review(differences: &[Difference], exceptions: &[Exception]) -> Vec<String> {
    let mut problems: Vec<String> = differences
        .iter()
        .filter(|difference| !exceptions.iter().any(|e| e.covers(difference)))
        .map(Difference::to_string)
        .collect();
    for exception in exceptions {
        if !differences
            .iter()
            .any(|difference| exception.covers(difference))
        {
            problems.push(format!(
                "unexpected agreement: no difference at step '{}', path '{}' ({}); remove the exception",
                exception.step, exception.path, exception.reason
            ));
        }
    }
    problems
}

/// Compares answers step by step, remembering where each hash appeared first.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    expected_seen: HashMap<String, String>,
    found_seen: HashMap<String, String>,
    pub(crate) differences: Vec<Difference>,
}

impl Comparison {
    /// Compares the answers of one step.
    pub(crate) fn step(&mut self, name: &str, how: Compare, expected: &Value, found: &Value) {
        self.value(name, String::new(), "", how, expected, found);
    }

    fn value(&mut self, step: &str, path: String, key: &str, how: Compare, a: &Value, b: &Value) {
        match (a, b) {
            (Value::Object(left), Value::Object(right)) => {
                for (key, value) in left {
                    let path = format!("{path}/{key}");
                    match right.get(key) {
                        Some(other) => self.value(step, path, key, how, value, other),
                        None => self.differ(step, path, Some(value), None),
                    }
                }
                for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                    self.differ(step, format!("{path}/{key}"), None, Some(value));
                }
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (i, (value, other)) in left.iter().zip(right).enumerate() {
                    self.value(step, format!("{path}/{i}"), key, how, value, other);
                }
            }
            _ => {
                let same = if how == Compare::Handle || HASHES.contains(&key) {
                    self.same_origin(step, &path, a, b)
                } else {
                    a == b || ((how == Compare::Clock || TIMES.contains(&key)) && close(a, b))
                };
                if !same {
                    self.differ(step, path, Some(a), Some(b));
                }
            }
        }
    }

    /// Whether two handles or hashes stand for the same thing: both of one length, or of one type,
    /// and first seen at the same place.
    fn same_origin(&mut self, step: &str, path: &str, a: &Value, b: &Value) -> bool {
        let (Value::String(a), Value::String(b)) = (a, b) else {
            return a == b;
        };
        let place = format!("{step}{path}");
        let first_a = self
            .expected_seen
            .entry(a.clone())
            .or_insert_with(|| place.clone());
        let first_b = self.found_seen.entry(b.clone()).or_insert(place);
        let both_hashes = (a.len() == 66) == (b.len() == 66);
        a.starts_with("0x") == b.starts_with("0x") && both_hashes && first_a == first_b
    }

    fn differ(
        &mut self,
        step: &str,
        path: String,
        expected: Option<&Value>,
        found: Option<&Value>,
    ) {
        self.differences.push(Difference {
            step: step.to_owned(),
            path,
            expected: expected.cloned(),
            found: found.cloned(),
        });
    }
}

fn close(a: &Value, b: &Value) -> bool {
    if a.is_string() != b.is_string() {
        return false;
    }
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.abs_diff(b) <= CLOCK_TOLERANCE,
        _ => false,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => u64::from_str_radix(s.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(steps: &[(&str, Value, Value)]) -> Vec<String> {
        let mut comparison = Comparison::default();
        for (name, a, b) in steps {
            comparison.step(name, Compare::Exactly, a, b);
        }
        comparison
            .differences
            .iter()
            .map(|d| format!("{}{}", d.step, d.path))
            .collect()
    }

    fn hash(n: u8) -> String {
        format!("0x{}", hex::encode([n; 32]))
    }

    #[test]
    fn a_changed_missing_or_added_value_is_a_difference() {
        let base = json!({"result": {"gasUsed": "0x1", "logs": [1, 2]}});
        assert!(compared(&[("s", base.clone(), base.clone())]).is_empty());
        let changed = json!({"result": {"gasUsed": "0x2", "logs": [1, 2]}});
        assert_eq!(
            compared(&[("s", base.clone(), changed)]),
            ["s/result/gasUsed"]
        );
        let missing = json!({"result": {"logs": [1, 2]}});
        assert_eq!(
            compared(&[("s", base.clone(), missing.clone())]),
            ["s/result/gasUsed"]
        );
        assert_eq!(
            compared(&[("s", missing, base.clone())]),
            ["s/result/gasUsed"]
        );
        let shorter = json!({"result": {"gasUsed": "0x1", "logs": [1]}});
        assert_eq!(compared(&[("s", base, shorter)]), ["s/result/logs"]);
    }

    #[test]
    fn block_hashes_may_differ_but_must_refer_to_the_same_block() {
        let block = |n| json!({"result": {"hash": hash(n)}});
        let receipt = |n| json!({"result": {"blockHash": hash(n)}});
        let good = [
            ("block", block(1), block(9)),
            ("receipt", receipt(1), receipt(9)),
        ];
        assert!(compared(&good).is_empty());
        let bad = [
            ("block", block(1), block(9)),
            ("receipt", receipt(1), receipt(8)),
        ];
        assert_eq!(compared(&bad), ["receipt/result/blockHash"]);
        let null = [("block", block(1), json!({"result": {"hash": null}}))];
        assert_eq!(compared(&null), ["block/result/hash"]);
    }

    #[test]
    fn stored_words_are_not_taken_for_hashes() {
        let word = |n| json!({"result": hash(n)});
        assert_eq!(
            compared(&[("eth_getStorageAt", word(1), word(2))]),
            ["eth_getStorageAt/result"]
        );
    }

    #[test]
    fn clocks_may_be_a_little_apart() {
        let at = |n: u64| json!({"result": {"timestamp": format!("{n:#x}")}});
        assert!(compared(&[("s", at(1000), at(1005))]).is_empty());
        assert_eq!(
            compared(&[("s", at(1000), at(2000))]),
            ["s/result/timestamp"]
        );
    }

    #[test]
    fn exceptions_cover_what_they_name_and_fail_when_they_are_not_needed() {
        let difference = Difference {
            step: "block 0".into(),
            path: "/result/baseFeePerGas".into(),
            expected: None,
            found: None,
        };
        let exception = |step: &str, path: &str| Exception {
            step: step.into(),
            path: path.into(),
            reason: "constant".into(),
        };
        let one = std::slice::from_ref(&difference);
        assert!(review(one, &[exception("*", "/**/baseFeePerGas")]).is_empty());
        assert!(review(one, &[exception("block 0", "/result/*")]).is_empty());
        assert_eq!(review(one, &[]).len(), 1);
        assert_eq!(review(one, &[exception("block 1", "/result/*")]).len(), 2);
        assert_eq!(review(one, &[exception("block 0", "/*")]).len(), 2);
        assert_eq!(review(&[], &[exception("*", "/**/baseFeePerGas")]).len(), 1);
    }
}
