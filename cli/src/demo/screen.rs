//! The story as it happens, a line for each step.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::Style;

/// Widths of the columns of a step.
const ACTOR: usize = 18;
const TEXT: usize = 64;

/// Where steps are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) style: Style,
    /// A step under way is shown, and then replaced by what came of it.
    live: bool,
}

/// A step under way.
#[derive(Debug)]
pub(super) struct Pending {
    screen: Screen,
    actor: String,
    begun: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let style = Style::stdout();
        Self {
            style,
            live: style.is_coloured() && std::io::stdout().is_terminal(),
        }
    }

    /// A part of the story.
    pub(super) fn heading(self, text: &str) {
        say(&format!("\n{}\n", self.style.bold(text)));
    }

    /// One line without a step.
    pub(super) fn line(self, actor: &str, text: &str, note: &str) {
        let note = self.style.dim(note);
        say(&format!(
            "{}\n",
            format!("  {actor:<ACTOR$} {text:<TEXT$} {note}").trim_end()
        ));
    }

    /// Begins a step.
    pub(super) fn begin(self, actor: &str, doing: &str) -> Pending {
        if self.live {
            say(&format!(
                "  {actor:<ACTOR$} {}",
                self.style.dim(format!("{doing} …"))
            ));
        }
        Pending {
            screen: self,
            actor: actor.to_owned(),
            begun: Instant::now(),
        }
    }
}

impl Pending {
    /// Ends the step: what came of it, and a remark.
    pub(super) fn end(self, text: &str, note: &str) -> Duration {
        let took = self.begun.elapsed();
        if self.screen.live {
            say("\r\x1b[2K");
        }
        self.screen.line(&self.actor, text, note);
        took
    }

    /// Leaves the step without a result: an error follows.
    pub(super) fn abandon(self) {
        if self.screen.live {
            say("\n");
        }
    }
}

/// Prints at once. A reader that has gone away is no reason to fail.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// `0.42 s`, `12.3 s`.
pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{seconds:.1} s")
    }
}

/// `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The first characters of an identifier, for prose.
pub(super) fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    if text.len() > 14 {
        format!("{}…", &text[..10])
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn durations_have_three_digits_or_so() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.42 s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
    }

    #[test]
    fn long_identifiers_are_cut() {
        assert_eq!(short("0x123456789abcdef0"), "0x12345678…");
        assert_eq!(short("0x12"), "0x12");
    }
}
