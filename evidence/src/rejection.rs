//! Why evidence was refused: the reason, the field, where it stands, what was expected and found.

use alloc::borrow::Cow;
use alloc::format;
use core::fmt;

use vouch_protocol::{Reason, reason::Class};

/// A piece of text that is usually known at compile time.
pub type Text = Cow<'static, str>;

/// Bytes of the longest text in a refusal: enough to see what came, not to repeat it.
const MAX_TEXT_LEN: usize = 512;

/// A text that says something, in bounds.
fn bounded(text: Text) -> Text {
    if text.is_empty() {
        return Cow::Borrowed("nothing");
    }
    if text.len() <= MAX_TEXT_LEN {
        return text;
    }
    let end = (0..=MAX_TEXT_LEN)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    Cow::Owned(format!("{} …", text.get(..end).unwrap_or_default()))
}

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
            expected: bounded(expected.into()),
            found: bounded(found.into()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_never_empty() {
        let long = "ä".repeat(10_000);
        let rejection = Rejection::malformed("field", long.clone(), "");
        assert!(rejection.expected.len() < 600 && rejection.expected.ends_with('…'));
        assert_eq!(rejection.found, "nothing");
        assert!(long.starts_with(rejection.expected.trim_end_matches(" …")));
    }
}
