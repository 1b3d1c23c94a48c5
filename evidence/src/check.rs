//! Explanations: every check with what was compared, where, and where its rule comes from.
//!
//! Verification is generic over an [`Observe`]r. The unit observer costs nothing: the text of a
//! passed check is made by a closure that is then never called.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use vouch_protocol::Reason;

use crate::rejection::{Rejection, Text};

/// A rule of a format or vendor: what breaking it means, and where it is written down.
#[derive(Debug)]
pub struct Rule {
    /// Path of the field the rule is about, relative to its evidence.
    pub field: &'static str,
    /// What breaking it means.
    pub reason: Reason,
    /// Document and section.
    pub source: &'static str,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not hold; the evidence was refused.
    Failed(Reason),
    /// What it needs was not given, so nothing is said.
    NotChecked,
}

/// One check, for a person to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, as a path.
    pub field: Text,
    /// Where the field begins in its input, in bytes.
    pub offset: Option<usize>,
    /// What was asked for.
    pub expected: Text,
    /// What was there.
    pub found: Text,
    /// Document and section of the rule.
    pub source: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// Both sides of a comparison.
#[derive(Debug)]
pub(crate) struct Compared {
    offset: Option<usize>,
    expected: Text,
    found: Text,
}

impl Compared {
    pub(crate) fn new(expected: impl Into<Text>, found: impl Into<Text>) -> Self {
        Self {
            offset: None,
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    fn check(self, rule: &Rule, outcome: Outcome) -> Check {
        Check {
            field: rule.field.into(),
            offset: self.offset,
            expected: self.expected,
            found: self.found,
            source: rule.source,
            outcome,
        }
    }
}

/// Sees the checks go by.
pub trait Observe {
    /// One check was made. Call `check` to have its text.
    fn note(&mut self, check: impl FnOnce() -> Check);

    /// What follows is about `scope`, until [`Observe::leave`].
    fn enter(&mut self, scope: impl FnOnce() -> String);

    /// Ends the innermost scope.
    fn leave(&mut self);
}

/// Checks a rule: notes it, and refuses where it does not hold.
pub(crate) fn ensure<O: Observe>(
    observer: &mut O,
    rule: &'static Rule,
    holds: bool,
    compared: impl FnOnce() -> Compared,
) -> Result<(), Rejection> {
    if holds {
        observer.note(|| compared().check(rule, Outcome::Passed));
        return Ok(());
    }
    let compared = compared();
    let mut rejection = Rejection::new(
        rule.reason,
        rule.field,
        compared.expected.clone(),
        compared.found.clone(),
    );
    rejection.offset = compared.offset;
    observer.note(|| compared.check(rule, Outcome::Failed(rule.reason)));
    Err(rejection)
}

/// Notes a check that could not be made.
pub(crate) fn skip<O: Observe>(
    observer: &mut O,
    rule: &'static Rule,
    needs: impl Into<Text>,
    because: impl Into<Text>,
) {
    observer.note(|| Compared::new(needs, because).check(rule, Outcome::NotChecked));
}

/// Notes nothing.
impl Observe for () {
    fn note(&mut self, _: impl FnOnce() -> Check) {}

    fn enter(&mut self, _: impl FnOnce() -> String) {}

    fn leave(&mut self) {}
}

/// Keeps every check, in order, each with its scope in its path.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    checks: Vec<Check>,
    scopes: Vec<String>,
}

impl Explanation {
    /// The checks so far. The last one may be the one that failed.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks so far, without the explanation around them.
    pub fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}

impl Observe for Explanation {
    fn note(&mut self, check: impl FnOnce() -> Check) {
        let mut check = check();
        if !self.scopes.is_empty() {
            check.field = format!("{}.{}", self.scopes.join("."), check.field).into();
        }
        self.checks.push(check);
    }

    fn enter(&mut self, scope: impl FnOnce() -> String) {
        self.scopes.push(scope());
    }

    fn leave(&mut self) {
        self.scopes.pop();
    }
}

/// Lower-case hexadecimal, for both sides of a comparison.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(
        String::with_capacity(bytes.len().saturating_mul(2)),
        |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
            }
            text
        },
    )
}
