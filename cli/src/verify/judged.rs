//! `--policy`: the clauses of a usage policy that are about the evidence at hand.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vouch_evidence::Rejection;
use vouch_evidence::judge::{Devices, Finding, Leg, judge, judge_devices};
use vouch_evidence::policy::Policy;
use vouch_evidence::session::SessionClaims;
use vouch_protocol::{Clauses, Phase};

use super::outcome::Outcome;
use super::read;
use crate::output::Failure;
use crate::policy_file;

/// The policy flag.
#[derive(Clone, Debug, Args)]
pub(super) struct Judge {
    /// Usage policy to judge by, TOML or JSON (see `vouch policy`) [default: authentic, and no
    /// debugging].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Judge {
    pub(super) fn open(&self) -> Result<Option<Policy>, Failure> {
        self.policy.as_deref().map(from_file).transpose()
    }
}

fn from_file(path: &Path) -> Result<Policy, Failure> {
    let bytes = read("--policy", path)?;
    let shown = path.display();
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("--policy {shown}: expected text")))?;
    let policy = policy_file::parse(&text)
        .map_err(|error| Failure::Usage(error.context(format!("--policy {shown}"))))?;
    Ok(vouch_verdict::attested(&policy))
}

/// Judges devices; what the policy asks of other things is listed as not checked.
pub(super) fn devices(policy: &Policy, devices: &Devices<'_>, outcome: &mut Outcome) {
    say(policy, judge_devices(devices, policy), outcome);
}

/// Judges a session, as one leg of an order would be.
pub(super) fn session(policy: &Policy, claims: &SessionClaims, outcome: &mut Outcome) {
    let required = match claims.phase {
        Phase::Start | Phase::Heartbeat => policy.required().intersection(Clauses::AT_START),
        Phase::Finish => policy.required(),
    };
    let leg = Leg {
        required,
        policy: policy.clone(),
        dataset: None,
    };
    say(policy, judge(claims, &[leg], None).findings, outcome);
}

fn say(policy: &Policy, findings: Vec<Finding>, outcome: &mut Outcome) {
    for clause in policy.required().iter() {
        if findings.iter().all(|finding| finding.clause != clause) {
            let why = format!(
                "{} is asked for, and this evidence does not say",
                clause.name()
            );
            outcome.not_checked.push(("policy", why));
        }
    }
    for finding in findings {
        outcome.clauses.push(json!({
            "clause": finding.clause.name(),
            "holds": finding.holds(),
            "expected": finding.expected,
            "found": finding.found,
        }));
        if !finding.holds() {
            let field = format!("policy.{}", finding.clause.name());
            let rejection = Rejection::new(finding.reason, field, finding.expected, finding.found);
            outcome.rejections.push(rejection);
        }
    }
}
