//! How the demo ends: the tables, the JSON, and whether all of it is right.

use alloy::primitives::{I256, U256};
use serde_json::{Value, json};
use vouch_simulator::Tamper;

use super::hardware::Sample;
use super::screen::{seconds, thousands};
use super::story::{Balance, End, Outcome};
use crate::chain::Token;
use crate::output::{Align, Style, table};
use crate::receipt;

/// What the trained model must get right of unseen records; guessing would be a quarter.
const LEAST_ACCURACY: f64 = 0.9;

/// Everything that has to be as expected; each entry is something that is not.
pub(super) fn faults(outcome: &Outcome, tamper: Option<Tamper>, samples: &[Sample]) -> Vec<String> {
    let mut faults = Vec::new();
    let token = &outcome.token;
    for balance in outcome
        .balances
        .iter()
        .filter(|balance| !balance.is_right())
    {
        faults.push(format!(
            "{}: expected a change of {}, found {}",
            balance.actor,
            signed(token, balance.expected),
            signed(token, balance.change())
        ));
    }
    let (held, owed) = outcome.escrow;
    if held != owed {
        faults.push(format!(
            "escrow: holds {}, owes {}",
            token.show(held),
            token.show(owed)
        ));
    }
    if let Some(metrics) = &outcome.metrics
        && metrics.accuracy < LEAST_ACCURACY
    {
        let found = metrics.accuracy;
        faults.push(format!(
            "model: expected an accuracy of at least {LEAST_ACCURACY}, found {found}"
        ));
    }
    match (&outcome.end, tamper) {
        (End::Settled(_) | End::Expired, None) => {}
        (End::Expired, Some(tamper)) => {
            faults.push(format!(
                "tampered with {tamper}: expected a verdict, found none"
            ));
        }
        (End::Refunded(reason), Some(tamper)) if *reason == tamper.reason() => {}
        (End::Refunded(reason), Some(tamper)) => faults.push(format!(
            "tampered with {tamper}: expected the reason {}, found {reason}",
            tamper.reason()
        )),
        (End::Refunded(reason), None) => {
            faults.push(format!(
                "honest evidence: expected payment, found a refund: {reason}"
            ));
        }
        (End::Settled(_), Some(tamper)) => {
            faults.push(format!(
                "tampered with {tamper}: expected a refund, found payment"
            ));
        }
    }
    for sample in samples.iter().filter(|sample| !sample.is_right()) {
        let (changed, refused) = sample.bits;
        faults.push(match sample.refused {
            Some(reason) => format!(
                "{}: expected it to be accepted, found {reason}",
                sample.name
            ),
            None => format!(
                "{}: {} of {changed} changed bits were accepted",
                sample.name,
                changed - refused
            ),
        });
    }
    faults
}

/// The closing tables.
pub(super) fn text(
    outcome: &Outcome,
    samples: Option<&[Sample]>,
    faults: &[String],
    style: Style,
) -> String {
    let token = &outcome.token;
    let mut out = String::new();
    let mut part = |title: &str, body: &str| {
        out.push_str(&format!("\n{}\n{}", style.bold(title), indented(body)));
    };
    let (held, owed) = outcome.escrow;
    let held = format!("The escrow holds {}.\n", exactly(token, held, owed));
    part(
        &format!("Balances ({})", token.symbol),
        &format!("{}\n{held}", balances(outcome, style)),
    );
    part("Gas", &gas(outcome, style));
    part("Time from evidence to verdict", &times(outcome, style));
    match &outcome.end {
        End::Settled(found) => part("Receipt", &receipt::to_text(found, token)),
        End::Expired => part("Refund", "The finish deadline passed.\n"),
        End::Refunded(reason) => part("Refund", &format!("{reason}\n{}\n", reason.meaning())),
    }
    if let Some(samples) = samples {
        part("Evidence of real hardware", &hardware(samples, style));
    }
    out.push('\n');
    if faults.is_empty() {
        let done = match &outcome.end {
            End::Settled(_) if !outcome.dataset_paid => {
                "Paid because the hardware vouched, all but the dataset's owner: it measured less than was asked for. Every balance is exactly right."
            }
            End::Settled(_) => "Paid because the hardware vouched. Every balance is exactly right.",
            End::Expired => {
                "Refunded because the job was not done in time. Every balance is exactly right."
            }
            End::Refunded(_) => {
                "Refunded because the evidence lied. Every balance is exactly right."
            }
        };
        out.push_str(&format!("{}\n", style.green(done)));
    }
    for fault in faults {
        out.push_str(&format!("{} {fault}\n", style.red("wrong:")));
    }
    out
}

/// The same for programs.
pub(super) fn to_json(
    outcome: &Outcome,
    tamper: Option<Tamper>,
    samples: Option<&[Sample]>,
    faults: &[String],
) -> Value {
    let token = &outcome.token;
    let balances: Vec<Value> = outcome
        .balances
        .iter()
        .map(|balance| {
            json!({
                "actor": balance.actor,
                "address": balance.address,
                "before": token.number(balance.before),
                "after": token.number(balance.after),
                "change": signed(token, balance.change()),
                "expected": signed(token, balance.expected),
                "right": balance.is_right(),
            })
        })
        .collect();
    let gas: Vec<Value> = outcome
        .gas
        .iter()
        .map(|gas| json!({ "actor": gas.actor, "step": gas.what, "gas": gas.gas, "transaction": gas.tx }))
        .collect();
    let verdicts: Vec<Value> = outcome
        .verdicts
        .iter()
        .map(|(phase, took)| json!({ "phase": phase.name(), "ms": took.as_millis() as u64 }))
        .collect();
    let to_payment = match &outcome.end {
        End::Settled(_) => outcome
            .verdicts
            .last()
            .map(|(_, took)| took.as_millis() as u64),
        End::Refunded(_) | End::Expired => None,
    };
    let (end, reason, receipt) = match &outcome.end {
        End::Settled(found) => ("settled", Value::Null, receipt::to_json(found, token)),
        End::Expired => ("refunded", Value::Null, Value::Null),
        End::Refunded(reason) => (
            "refunded",
            json!({ "code": reason.code(), "name": reason.name() }),
            Value::Null,
        ),
    };
    json!({
        "ok": faults.is_empty(),
        "faults": faults,
        "order": outcome.order,
        "end": end,
        "reason": reason,
        "tamper": tamper.map(Tamper::name),
        "token": { "address": token.address, "symbol": token.symbol, "decimals": token.decimals },
        "balances": balances,
        "escrow": { "holds": token.number(outcome.escrow.0), "owes": token.number(outcome.escrow.1) },
        "gas": gas,
        "evidence_to_verdict": verdicts,
        "evidence_to_payment_ms": to_payment,
        "answers": outcome.answers,
        "accuracy": outcome.metrics.map(|metrics| metrics.accuracy),
        "receipt": receipt,
        "hardware": samples.map(|samples| samples.iter().map(Sample::to_json).collect::<Vec<_>>()),
    })
}

fn balances(outcome: &Outcome, style: Style) -> String {
    let token = &outcome.token;
    let row = |balance: &Balance| {
        let mark = if balance.is_right() {
            style.green("exact")
        } else {
            style.red("WRONG")
        };
        vec![
            balance.actor.clone(),
            token.number(balance.before),
            token.number(balance.after),
            signed(token, balance.change()),
            signed(token, balance.expected),
            mark,
        ]
    };
    let rows: Vec<_> = outcome.balances.iter().map(row).collect();
    let columns = [
        ("actor", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
        ("expected", Align::Right),
        ("", Align::Left),
    ];
    table(&columns, &rows, style)
}

fn gas(outcome: &Outcome, style: Style) -> String {
    let columns = [
        ("actor", Align::Left),
        ("step", Align::Left),
        ("gas", Align::Right),
    ];
    let rows: Vec<_> = outcome
        .gas
        .iter()
        .map(|gas| vec![gas.actor.clone(), gas.what.clone(), thousands(gas.gas)])
        .collect();
    table(&columns, &rows, style)
}

fn times(outcome: &Outcome, style: Style) -> String {
    let rows: Vec<_> = outcome
        .verdicts
        .iter()
        .enumerate()
        .map(|(i, (phase, took))| {
            let last = i + 1 == outcome.verdicts.len();
            let what = match (&outcome.end, last) {
                (End::Settled(_), true) => "announced to paid",
                (End::Refunded(_), true) => "announced to refunded",
                _ => "announced to running",
            };
            vec![phase.to_string(), what.to_owned(), seconds(*took)]
        })
        .collect();
    table(
        &[
            ("phase", Align::Left),
            ("from, to", Align::Left),
            ("time", Align::Right),
        ],
        &rows,
        style,
    )
}

fn hardware(samples: &[Sample], style: Style) -> String {
    let rows: Vec<_> = samples
        .iter()
        .map(|sample| {
            let verdict = match sample.refused {
                None => style.green("accepted"),
                Some(reason) => style.red(reason),
            };
            let (changed, refused) = sample.bits;
            let bits = format!("{refused} of {changed} refused");
            let bits = if refused == changed {
                style.green(bits)
            } else {
                style.red(bits)
            };
            vec![sample.name.clone(), verdict, bits]
        })
        .collect();
    let columns = [
        ("report", Align::Left),
        ("as it is", Align::Left),
        ("one bit changed", Align::Left),
    ];
    table(&columns, &rows, style)
}

fn exactly(token: &Token, held: U256, owed: U256) -> String {
    match held == owed {
        true => format!("{} and owes as much: the operators' fees", token.show(held)),
        false => format!("{} and owes {}", token.show(held), token.show(owed)),
    }
}

/// `+12.5`, `-3`, `0`.
pub(super) fn signed(token: &Token, amount: I256) -> String {
    let number = token.number(amount.unsigned_abs());
    match amount {
        amount if amount.is_positive() => format!("+{number}"),
        amount if amount.is_negative() => format!("-{number}"),
        _ => number,
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}").trim_end().to_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy::primitives::{Address, B256};
    use vouch_abi::Receipt;
    use vouch_protocol::{Phase, Reason};

    use super::super::story::Gas;
    use super::*;

    fn outcome(end: End) -> Outcome {
        Outcome {
            order: B256::ZERO,
            end,
            token: Token {
                address: Address::ZERO,
                symbol: "vUSD".into(),
                decimals: 2,
            },
            balances: vec![Balance {
                actor: "buyer".into(),
                address: Address::ZERO,
                before: U256::from(1000),
                after: U256::from(950),
                expected: I256::unchecked_from(-50),
            }],
            escrow: (U256::from(3), U256::from(3)),
            gas: vec![Gas {
                actor: "buyer".into(),
                what: "places".into(),
                gas: 1234,
                tx: B256::ZERO,
            }],
            verdicts: vec![
                (Phase::Start, Duration::from_millis(200)),
                (Phase::Finish, Duration::from_millis(350)),
            ],
            metrics: None,
            answers: Vec::new(),
            dataset_paid: true,
        }
    }

    fn settled() -> Outcome {
        outcome(End::Settled(Box::default()))
    }

    #[test]
    fn a_right_story_has_no_faults() {
        assert_eq!(faults(&settled(), None, &[]), [""; 0]);
        let refunded = outcome(End::Refunded(Reason::GpuSignatureInvalid));
        assert_eq!(faults(&refunded, Some(Tamper::GpuSignature), &[]), [""; 0]);
    }

    #[test]
    fn each_thing_that_can_be_wrong_is_named() {
        let wrong_balance = {
            let mut outcome = settled();
            outcome.balances[0].after += U256::from(1);
            outcome
        };
        let wrong_escrow = Outcome {
            escrow: (U256::from(3), U256::from(4)),
            ..settled()
        };
        let refunded = || outcome(End::Refunded(Reason::GpuChainInvalid));
        let sample = |refused, bits| Sample {
            name: "H100".into(),
            refused,
            bits,
        };
        for (found, named) in [
            (faults(&wrong_balance, None, &[]), "buyer"),
            (faults(&wrong_escrow, None, &[]), "escrow"),
            (faults(&refunded(), None, &[]), "honest"),
            (
                faults(&refunded(), Some(Tamper::GpuSignature), &[]),
                "gpu_signature_invalid",
            ),
            (
                faults(&settled(), Some(Tamper::GpuSignature), &[]),
                "expected a refund",
            ),
            (
                faults(&settled(), None, &[sample(Some(Reason::Malformed), (8, 8))]),
                "accepted",
            ),
            (faults(&settled(), None, &[sample(None, (8, 7))]), "1 of 8"),
        ] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(named), "{found:?}");
        }
    }

    #[test]
    fn the_json_has_what_the_tables_have() {
        let json = to_json(&settled(), None, None, &[]);
        assert_eq!(json["ok"], true);
        assert_eq!(json["end"], "settled");
        assert_eq!(json["evidence_to_payment_ms"], 350);
        assert_eq!(json["balances"][0]["change"], "-0.5");
        assert_eq!(json["balances"][0]["right"], true);
        assert_eq!(json["gas"][0]["gas"], 1234);
        assert_eq!(json["hardware"], Value::Null);
        assert_eq!(
            json["receipt"]["hash"],
            json!(receipt::hash(&Receipt::default()))
        );
        let refunded = outcome(End::Refunded(Reason::DebugEnabled));
        let json = to_json(&refunded, Some(Tamper::CpuDebug), Some(&[]), &["x".into()]);
        assert_eq!(json["ok"], false);
        assert_eq!(
            json["reason"],
            json!({ "code": 200, "name": "debug_enabled" })
        );
        assert_eq!(json["tamper"], "cpu-debug");
        assert_eq!(json["receipt"], Value::Null);
        assert_eq!(json["evidence_to_payment_ms"], Value::Null);
    }

    #[test]
    fn the_text_says_how_it_ended() {
        let text = text(&settled(), None, &[], Style::plain());
        assert!(text.contains("Every balance is exactly right"), "{text}");
        assert!(
            text.contains("  buyer      10    9.5    -0.5      -0.5  exact"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }
}
