//! What commands print: one result, as JSON or for a person.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `verify`, accepted.
    Success,
    /// Failed; for `verify`, rejected.
    Failure,
    /// `verify` alone: the evidence shows neither.
    Inconclusive,
    /// The command line, or a file it names, cannot be used.
    Usage,
}

impl Exit {
    /// The process's exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Inconclusive => 2,
            Self::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command has no result.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be done as it was asked: exit 64.
    Usage(anyhow::Error),
    /// It was tried and went wrong: exit 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// A usage error with this message.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Failed(_) => Exit::Failure,
        }
    }

    const fn error(&self) -> &anyhow::Error {
        match self {
            Self::Usage(error) | Self::Failed(error) => error,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&vouch_client::told(self.error().as_ref()))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a command found or did.
#[derive(Clone, Debug)]
pub struct Report {
    /// For programs.
    pub json: Value,
    /// For people; lines end with a newline.
    pub text: String,
    /// How the program ends.
    pub exit: Exit,
}

impl Report {
    /// A success.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self {
            json,
            text: text.into(),
            exit: Exit::Success,
        }
    }
}

/// How the result is printed. Every command has it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Format {
    /// Print JSON instead of text.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl Format {
    /// Prints a command's outcome: the result on standard output, an error on standard error (and,
    /// with `--json`, as `{"error": …}` on standard output too).
    pub fn emit(self, outcome: Result<Report, Failure>) -> Exit {
        let mut out = std::io::stdout().lock();
        let (text, exit) = match outcome {
            Ok(report) if self.json => (pretty(&report.json), report.exit),
            Ok(report) => (report.text, report.exit),
            Err(failure) => {
                eprintln!("{} {failure}", Style::stderr().red("error:"));
                let error = json!({ "error": failure.to_string() });
                (
                    if self.json {
                        pretty(&error)
                    } else {
                        String::new()
                    },
                    failure.exit(),
                )
            }
        };
        // A reader that has gone away is no reason to fail.
        let _ = out.write_all(text.as_bytes());
        exit
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For standard output.
    pub fn stdout() -> Self {
        Self::wanted(std::io::stdout().is_terminal())
    }

    /// For standard error.
    pub fn stderr() -> Self {
        Self::wanted(std::io::stderr().is_terminal())
    }

    /// None at all.
    pub const fn plain() -> Self {
        Self { colour: false }
    }

    fn wanted(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !refused,
        }
    }

    /// Whether there are colours.
    pub const fn is_coloured(self) -> bool {
        self.colour
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// For headings.
    pub fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// For what matters less.
    pub fn dim(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    /// For what is well.
    pub fn green(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// For what is not.
    pub fn red(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// For what nobody can say yet.
    pub fn yellow(self, text: impl Display) -> String {
        self.paint("33", text)
    }
}

/// Names and values in two columns.
pub fn fields<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows {
        for (i, line) in value
            .lines()
            .chain(value.is_empty().then_some(""))
            .enumerate()
        {
            let name = if i == 0 { name } else { "" };
            out.push_str(format!("{name:width$}  {line}").trim_end());
            out.push('\n');
        }
    }
    out
}

/// A column's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table: headings, then rows. Widths are those of the text without colours.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>], style: Style) -> String {
    let width = |column: usize| {
        let heading = columns[column].0.chars().count();
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| visible(cell));
        cells.chain([heading]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<String>| {
        let mut out = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(columns) {
            let padding = " ".repeat(width.saturating_sub(visible(cell)));
            let cell = match align {
                Align::Left => format!("{cell}{padding}"),
                Align::Right => format!("{padding}{cell}"),
            };
            out.push_str(if out.is_empty() { "" } else { "  " });
            out.push_str(&cell);
        }
        format!("{}\n", out.trim_end())
    };
    let mut out = line(
        columns
            .iter()
            .map(|(heading, _)| style.dim(heading))
            .collect(),
    );
    for row in rows {
        out.push_str(&line(row.clone()));
    }
    out
}

/// Characters that a terminal shows of `text`.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => count += 1,
        }
    }
    count
}

/// The plural of a noun with its number.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_whether_coloured_or_not() {
        let style = Style { colour: true };
        let rows = vec![
            vec![style.green("a"), "1".to_owned()],
            vec!["long".to_owned(), style.red("1000")],
        ];
        let columns = [("name", Align::Left), ("n", Align::Right)];
        let coloured = table(&columns, &rows, style);
        let lines: Vec<usize> = coloured.lines().map(visible).collect();
        assert_eq!(lines, [10, 10, 10]);
        assert!(
            coloured.contains("\x1b[32ma\x1b[0m        1"),
            "{coloured:?}"
        );
    }

    #[test]
    fn fields_keep_further_lines_in_their_column() {
        assert_eq!(
            fields([("a", "1\n2".to_owned()), ("bbb", String::new())]),
            "a    1\n     2\nbbb\n"
        );
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [
            Exit::Success,
            Exit::Failure,
            Exit::Inconclusive,
            Exit::Usage,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 64]);
    }
}
