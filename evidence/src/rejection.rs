//! Why evidence was refused: the reason, the field, where it stands, what was expected and found.

use alloc::borrow::Cow;
use alloc::format;
use core::fmt;

use vouch_protocol::{Reason, reason::Class};

/// A piece of text that is usually known at compile time.
pub type Text = Cow<'static, str>;

/// One refusal. It names the thing, what was expected and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// Stable reason, whose hundreds are the class.
    pub reason: Reason,
    /// What was looked at, as a path: `gpus[0].report.measurements`.
    pub field: Text,
    /// Where the field begins in its input, in bytes.
    pub offset: Option<usize>,
    /// What would have been accepted.
    pub expected: Text,
    /// What came.
    pub found: Text,
}

impl Rejection {
    /// A refusal of `field`.
    pub fn new(
        reason: Reason,
        field: impl Into<Text>,
        expected: impl Into<Text>,
        found: impl Into<Text>,
    ) -> Self {
        Self {
            reason,
            field: field.into(),
            offset: None,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The bytes are not what their format asks for.
    pub(crate) fn malformed(
        field: impl Into<Text>,
        expected: impl Into<Text>,
        found: impl Into<Text>,
    ) -> Self {
        Self::new(Reason::Malformed, field, expected, found)
    }

    /// Says where the field begins.
    #[must_use]
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Puts `scope` before the field's path.
    #[must_use]
    pub fn within(mut self, scope: &str) -> Self {
        self.field = if self.field.is_empty() {
            Cow::Owned(scope.into())
        } else {
            Cow::Owned(format!("{scope}.{}", self.field))
        };
        self
    }

    /// What the refusal means for an order.
    pub const fn class(&self) -> Class {
        self.reason.class()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

impl core::error::Error for Rejection {}
