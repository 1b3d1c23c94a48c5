//! What a verification found, for programs and for people.

use serde_json::{Map, Value, json};
use vouch_collateral::Error;
use vouch_evidence::{Check, Rejection, Time};
use vouch_protocol::Reason;
use vouch_protocol::reason::Class;

use crate::output::{Exit, Report, Style, fields};

/// What evidence shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Authentic.
    Accepted,
    /// Not authentic, or not what was asked for.
    Rejected,
    /// The vendor's collateral, or this verifier, is the problem.
    Inconclusive,
}

impl Verdict {
    /// The verdict's name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// What a reason makes of the evidence.
    pub const fn of(reason: Reason) -> Self {
        match reason.class() {
            Class::Accepted => Self::Accepted,
            Class::Forged | Class::Policy => Self::Rejected,
            Class::Stale | Class::Missing | Class::Unsupported => Self::Inconclusive,
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Accepted => Exit::Success,
            Self::Rejected => Exit::Failure,
            Self::Inconclusive => Exit::Inconclusive,
        }
    }
}

/// Claims in the order in which people read them.
pub(crate) type Claims = Vec<(&'static str, Value)>;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was verified, in a few words.
    pub subject: String,
    /// Why it is not accepted; empty where it is.
    pub rejections: Vec<Rejection>,
    /// What each authentic report says.
    pub(crate) claims: Vec<Claims>,
    /// Whether the input is a list of reports.
    pub(crate) list: bool,
    /// What nobody asked to have checked, or gave no means to.
    pub not_checked: Vec<(&'static str, String)>,
    /// Every check, where they were asked for.
    pub checks: Option<Vec<Check>>,
    /// What became of the clauses of a policy, where one was given.
    pub(crate) clauses: Vec<Value>,
    /// Collateral that was fetched, with the time until which it counts.
    pub(crate) fetched: Vec<(String, Time)>,
    /// Collateral that could not be had.
    pub(crate) not_had: Vec<Error>,
}

/// What a person can do about a refusal that is not the device's fault, or looks like it.
const fn advice(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::ManifestMissing => {
            "the device is not refused, it cannot be compared: give the manifest with --rim FILE, or get it with --fetch; for a version that NVIDIA has published no manifest of, there is none to compare with"
        }
        Reason::MeasurementMismatch => {
            "what runs is not what the vendor published for this version: install the released driver or firmware, or check that the manifest is the vendor's newest"
        }
        Reason::CollateralForged => {
            "a document given as collateral is not what its vendor signed, which says nothing about the device: use the vendor's own"
        }
        Reason::CollateralExpired => {
            "the answer is stale, not the device: get a newer one (--fetch), or verify at a time at which it counted (--at)"
        }
        Reason::CertificateExpired => {
            "a certificate does not count at the time of verification: verify at a time at which it did (--at), or get newer collateral (--fetch)"
        }
        Reason::RevocationMissing => {
            "give the vendor's answer or list (--collateral PATH), or get it with --fetch"
        }
        Reason::TcbInfoMissing => {
            "give Intel's collateral for this platform with --collateral FILE, or get it with --fetch"
        }
        Reason::GpuSignatureInvalid | Reason::CpuSignatureInvalid => {
            "the report was changed, or the certificates are of another device or firmware than the one that made it: take both from the same machine at the same time"
        }
        Reason::GpuNonceMismatch => {
            "the report answers another challenge: ask the machine for a new report with this nonce"
        }
        Reason::CpuReportDataMismatch => {
            "the report was made for other data: ask the machine for a new one with these 64 bytes"
        }
        Reason::VersionUnsupported | Reason::DeviceUnsupported | Reason::AlgorithmUnsupported => {
            "this program does not know the format: a newer one may"
        }
        _ => return None,
    })
}

impl Outcome {
    /// Notes collateral that was fetched.
    pub(crate) fn fetched(&mut self, what: &str, until: Time) {
        self.fetched.push((what.to_owned(), until));
    }

    /// Notes collateral that could not be had.
    pub(crate) fn not_had(&mut self, error: &Error) {
        self.not_had.push(error.clone());
    }

    /// The verdict: a rejection outweighs what is inconclusive.
    pub fn verdict(&self) -> Verdict {
        let verdicts = || {
            self.rejections
                .iter()
                .map(|rejection| Verdict::of(rejection.reason))
        };
        if verdicts().any(|verdict| verdict == Verdict::Rejected) {
            Verdict::Rejected
        } else if verdicts().next().is_some() {
            Verdict::Inconclusive
        } else {
            Verdict::Accepted
        }
    }

    /// For printing.
    pub fn report(&self) -> Report {
        Report {
            json: self.to_json(),
            text: self.to_text(Style::stdout()),
            exit: self.verdict().exit(),
        }
    }

    fn to_json(&self) -> Value {
        let reasons: Vec<Value> = self.rejections.iter().map(reason_json).collect();
        let mut claims: Vec<Value> = self
            .claims
            .iter()
            .map(|claims| {
                let fields = claims
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()));
                Value::Object(fields.collect::<Map<_, _>>())
            })
            .collect();
        let claims = match (self.list, claims.pop()) {
            (false, claims) => claims.unwrap_or_else(|| json!({})),
            (true, last) => claims.into_iter().chain(last).collect(),
        };
        let not_checked: Vec<Value> = self
            .not_checked
            .iter()
            .map(|(what, why)| json!({ "what": what, "why": why }))
            .collect();
        let mut out = json!({
            "verdict": self.verdict().name(),
            "reasons": reasons,
            "claims": claims,
            "not_checked": not_checked,
        });
        if let Some(checks) = &self.checks {
            out["checks"] = checks.iter().map(check_json).collect();
        }
        if !self.clauses.is_empty() {
            out["clauses"] = json!(self.clauses);
        }
        if !self.fetched.is_empty() || !self.not_had.is_empty() {
            let fetched = self.fetched.iter();
            let missing = self.not_had.iter();
            out["collateral"] = json!({
                "fetched": fetched
                    .map(|(what, until)| json!({ "what": what, "until": until.to_string() }))
                    .collect::<Vec<_>>(),
                "missing": missing
                    .map(|error| json!({
                        "what": error.what,
                        "why": error.cause.to_string(),
                        "address": error.address,
                    }))
                    .collect::<Vec<_>>(),
            });
        }
        out
    }

    fn to_text(&self, style: Style) -> String {
        let verdict = match self.verdict() {
            Verdict::Accepted => style.green("accepted"),
            Verdict::Rejected => style.red("rejected"),
            Verdict::Inconclusive => style.yellow("inconclusive"),
        };
        let mut out = format!("{}  {}\n", style.bold(verdict), self.subject);
        for rejection in &self.rejections {
            out.push_str(&format!("\n{}\n", style.bold(rejection.reason)));
            let mut rows = vec![("  field", rejection.field.to_string())];
            if let Some(offset) = rejection.offset {
                rows.push(("  at byte", offset.to_string()));
            }
            rows.push(("  expected", rejection.expected.to_string()));
            rows.push(("  found", rejection.found.to_string()));
            rows.push(("  meaning", rejection.reason.meaning().to_owned()));
            if let Some(advice) = advice(rejection.reason) {
                rows.push(("  to do", advice.to_owned()));
            }
            out.push_str(&fields(rows));
        }
        if !self.not_had.is_empty() {
            out.push_str(&format!("\n{}\n", style.bold("could not be had")));
            for error in &self.not_had {
                out.push_str(&format!("{}\n  {}\n", error.what, error.cause));
                out.push_str(&format!("  {}\n", error.place()));
            }
        }
        if !self.clauses.is_empty() {
            out.push_str(&format!("\n{}\n", style.bold("policy")));
            for clause in &self.clauses {
                let mark = match clause["holds"] == true {
                    true => style.green("ok  "),
                    false => style.red("FAIL"),
                };
                let [name, expected, found] =
                    ["clause", "expected", "found"].map(|key| plain(&clause[key]));
                out.push_str(&format!(
                    "{mark} {name}: asked for {expected}; found {found}\n"
                ));
            }
        }
        for (i, claims) in self.claims.iter().enumerate() {
            let heading = if self.list {
                format!("\n[{i}]\n")
            } else {
                "\n".to_owned()
            };
            out.push_str(&heading);
            let shown = claims.iter().filter(|(_, value)| !is_nothing(value));
            out.push_str(&fields(shown.map(|(name, value)| (*name, plain(value)))));
        }
        if let Some(checks) = &self.checks {
            out.push_str(&format!("\n{}\n", style.bold("checks")));
            for check in checks {
                out.push_str(&check_text(check, style));
            }
        }
        if !self.fetched.is_empty() {
            out.push_str(&format!("\n{}\n", style.bold("fetched")));
            for (what, until) in &self.fetched {
                out.push_str(&format!("{what}, counts until {until}\n"));
            }
        }
        if !self.not_checked.is_empty() {
            out.push_str(&format!("\n{}\n", style.bold("not checked")));
            let rows = self
                .not_checked
                .iter()
                .map(|(what, why)| (*what, why.clone()));
            out.push_str(&fields(rows));
        }
        out
    }
}

fn reason_json(rejection: &Rejection) -> Value {
    json!({
        "code": rejection.reason.code(),
        "name": rejection.reason.name(),
        "detail": rejection.to_string(),
        "field": rejection.field,
        "offset": rejection.offset,
        "expected": rejection.expected,
        "found": rejection.found,
    })
}

fn outcome_name(check: &Check) -> &'static str {
    match check.outcome {
        vouch_evidence::Outcome::Passed => "passed",
        vouch_evidence::Outcome::Failed(_) => "failed",
        vouch_evidence::Outcome::NotChecked => "not_checked",
    }
}

fn check_json(check: &Check) -> Value {
    json!({
        "outcome": outcome_name(check),
        "field": check.field,
        "offset": check.offset,
        "expected": check.expected,
        "found": check.found,
        "source": check.source,
    })
}

fn check_text(check: &Check, style: Style) -> String {
    let mark = match check.outcome {
        vouch_evidence::Outcome::Passed => style.green("ok  "),
        vouch_evidence::Outcome::Failed(_) => style.red("FAIL"),
        vouch_evidence::Outcome::NotChecked => style.yellow("-   "),
    };
    let at = check
        .offset
        .map_or_else(String::new, |offset| format!(" at byte {offset}"));
    let mut out = format!("{mark} {}{at}\n", style.bold(&check.field));
    if check.expected == check.found {
        out.push_str(&format!("     {}\n", check.found));
    } else {
        out.push_str(&format!(
            "     expected {}\n     found    {}\n",
            check.expected, check.found
        ));
    }
    out.push_str(&format!("     {}\n", style.dim(check.source)));
    out
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.len() > 4 => format!("{} entries", items.len()),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) if fields.len() > 8 => format!("{} entries", fields.len()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(reasons: &[Reason]) -> Outcome {
        Outcome {
            rejections: reasons
                .iter()
                .map(|reason| Rejection::new(*reason, "report.x", "a", "b"))
                .collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn one_rejection_outweighs_everything_inconclusive() {
        for (reasons, verdict, exit) in [
            (&[][..], Verdict::Accepted, 0),
            (&[Reason::GpuSignatureInvalid], Verdict::Rejected, 1),
            (&[Reason::DebugEnabled], Verdict::Rejected, 1),
            (&[Reason::CertificateExpired], Verdict::Inconclusive, 2),
            (&[Reason::VersionUnsupported], Verdict::Inconclusive, 2),
            (
                &[Reason::CertificateExpired, Reason::Malformed],
                Verdict::Rejected,
                1,
            ),
        ] {
            let report = outcome(reasons).report();
            assert_eq!(outcome(reasons).verdict(), verdict, "{reasons:?}");
            assert_eq!(report.exit.code(), exit, "{reasons:?}");
            assert_eq!(report.json["verdict"], verdict.name());
        }
    }

    #[test]
    fn the_json_has_a_fixed_shape() {
        let report = outcome(&[Reason::GpuNonceMismatch]).report();
        assert_eq!(
            report.json,
            json!({
                "verdict": "rejected",
                "reasons": [{
                    "code": 113,
                    "name": "gpu_nonce_mismatch",
                    "detail": "report.x: expected a, found b",
                    "field": "report.x",
                    "offset": null,
                    "expected": "a",
                    "found": "b",
                }],
                "claims": {},
                "not_checked": [],
            })
        );
        let list = Outcome {
            list: true,
            ..outcome(&[])
        };
        assert_eq!(list.report().json["claims"], json!([]));
    }
}
