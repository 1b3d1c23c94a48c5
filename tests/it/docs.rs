//! The tables of `docs/protocol.md` are those of the code.

use anyhow::{Context, Result, bail};
use vouch_protocol::{Clause, Clauses, Reason};
use vouch_tests::paths;

/// `| number | name | class | meaning |` for every reason.
fn reasons() -> String {
    let mut table =
        String::from("| number | name | class | meaning |\n| ---: | --- | --- | --- |\n");
    for reason in Reason::ALL {
        let (code, name, class) = (reason.code(), reason.name(), reason.class());
        table.push_str(&format!(
            "| {code} | `{name}` | {class} | {} |\n",
            reason.meaning()
        ));
    }
    table
}

/// `| bit | name | judged |` for every clause.
fn clauses() -> String {
    let mut table = String::from("| bit | clause | judged |\n| ---: | --- | --- |\n");
    for clause in Clause::ALL {
        let judged = if Clauses::ON_CHAIN.contains(*clause) {
            "on chain, when the order is placed"
        } else if Clauses::AT_START.contains(*clause) {
            "by the start and the finish verdict"
        } else {
            "by the finish verdict"
        };
        table.push_str(&format!("| {} | `{clause}` | {judged} |\n", *clause as u8));
    }
    table
}

/// What stands between `<!-- name -->` and `<!-- end -->`.
fn section<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let begin = format!("<!-- {name} -->\n");
    let (_, rest) = text
        .split_once(&begin)
        .with_context(|| format!("no '<!-- {name} -->'"))?;
    let (section, _) = rest
        .split_once("<!-- end -->")
        .with_context(|| format!("'{name}' has no '<!-- end -->'"))?;
    Ok(section)
}

#[test]
fn tables_are_those_of_the_code() -> Result<()> {
    let path = paths::root().join("docs/protocol.md");
    let mut text = std::fs::read_to_string(&path).context("reading docs/protocol.md")?;
    let mut stale = Vec::new();
    for (name, table) in [("reasons", reasons()), ("clauses", clauses())] {
        let found = section(&text, name)?.to_owned();
        if found != table {
            let begin = format!("<!-- {name} -->\n");
            text = text.replace(&format!("{begin}{found}"), &format!("{begin}{table}"));
            stale.push(name);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    if std::env::var_os("VOUCH_UPDATE_DOCS").is_some() {
        return std::fs::write(&path, text).context("writing docs/protocol.md");
    }
    bail!(
        "docs/protocol.md is behind the code in {}: VOUCH_UPDATE_DOCS=1 cargo test -p vouch-tests tables",
        stale.join(" and ")
    )
}

#[test]
fn a_missing_section_is_an_error() {
    assert!(section("<!-- a -->\nx\n<!-- end -->", "a").is_ok());
    assert!(section("<!-- a -->\nx\n", "a").is_err());
    assert!(section("x\n<!-- end -->", "a").is_err());
}
