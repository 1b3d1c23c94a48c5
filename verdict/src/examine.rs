//! A bundle without an order.

use serde_json::{Value, json};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::{self, Expected, Started};
use vouch_evidence::{Anchors, Rejection, Time};
use vouch_protocol::Reason;
use vouch_protocol::statement::Statement;

/// Verifies a bundle for nobody's order: whether it is authentic and binds its own statement. What
/// it must be bound to is the bundle's own claim, so this answers "is it real", not "is it mine".
/// A finish bundle is judged as the continuation of `start`, its session's start bundle.
pub fn examine(bundle: &[u8], start: Option<&[u8]>, at: u64, anchors: &Anchors) -> Value {
    let time = Time::from_unix(at);
    let (statement, mut expected) = match itself(bundle, time) {
        Ok(own) => own,
        Err(rejection) => return refused(rejection.reason, &rejection.to_string()),
    };
    if let Some(start) = start {
        let before = itself(start, time)
            .and_then(|(_, expected)| session::verify(start, &expected, anchors, time));
        let before = match before {
            Ok(claims) => claims,
            Err(rejection) => {
                return refused(rejection.reason, &rejection.within("start").to_string());
            }
        };
        expected = Expected::Finish {
            evidence: Bundle::digest(bundle),
            challenge: statement.challenge,
            challenged_at: time,
            inputs: before.statement.inputs,
            outputs: statement.outputs,
            started: Started {
                at: time,
                session_key: before.statement.encryption_key,
                devices: before.devices,
                measurement: before.measurement,
            },
        };
    }
    match session::verify(bundle, &expected, anchors, time) {
        Ok(claims) => json!({
            "verdict": Reason::Accepted.class().name(),
            "reasons": [],
            "claims": {
                "challenge": statement.challenge,
                "inputs": statement.inputs,
                "sessionKey": statement.encryption_key,
                "measurement": claims.measurement,
                "devices": claims.devices,
                "gpus": claims.gpus.len(),
                "switches": claims.switches.len(),
                "cpu": claims.cpu.kind().name(),
                "simulated": claims.simulated,
            },
        }),
        Err(rejection) => refused(rejection.reason, &rejection.to_string()),
    }
}

/// A bundle's statement, and the expectation that it is the start it says it is.
fn itself(bundle: &[u8], time: Time) -> Result<(Statement, Expected), Rejection> {
    let parsed = Bundle::from_json(bundle)?;
    let statement = Statement::decode(&parsed.statement).map_err(|error| {
        let (expected, found) = ("a session statement", error.to_string());
        Rejection::new(Reason::Malformed, "statement", expected, found)
    })?;
    let expected = Expected::Start {
        evidence: Bundle::digest(bundle),
        challenge: statement.challenge,
        challenged_at: time,
        inputs: statement.inputs,
    };
    Ok((statement, expected))
}

fn refused(reason: Reason, detail: &str) -> Value {
    json!({
        "verdict": match reason.class().is_conclusive() {
            true => "rejected",
            false => "inconclusive",
        },
        "reasons": [{
            "code": reason.code(),
            "class": reason.class().name(),
            "name": reason.name(),
            "detail": detail,
        }],
        "claims": null,
    })
}
