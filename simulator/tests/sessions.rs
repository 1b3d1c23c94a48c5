//! Simulated bundles through the whole verifier: bound to a phase of an order, judged for its legs.

use alloy_primitives::B256;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::judge::{self, Leg};
use vouch_evidence::policy::{Policy, Term};
use vouch_evidence::session::{self, Expected, Started};
use vouch_evidence::{Anchors, Time};
use vouch_protocol::{Clause, Clauses, Counters, Phase, Reason, Statement, statement};
use vouch_simulator::{Hardware, Machine, Options, Product, Session, Tamper, Work, roots};

const NOW: Time = Time::from_unix(1_795_305_600);
const CHALLENGE: B256 = B256::repeat_byte(1);
const INPUTS: B256 = B256::repeat_byte(2);
const OUTPUTS: B256 = B256::repeat_byte(3);

fn machine(cpu: Product) -> Machine {
    Machine::with_hardware(b"test", Hardware { gpus: 1, cpu })
}

fn statement(phase: Phase) -> Statement {
    let session = Session::from_secret([9; 32]);
    match phase {
        Phase::Start => session.start(CHALLENGE, INPUTS),
        Phase::Heartbeat => session.heartbeat(CHALLENGE, INPUTS, Counters::default()),
        Phase::Finish => {
            let work = Work {
                outputs: OUTPUTS,
                counters: Counters {
                    output_bytes: 10,
                    output_rows: 1,
                },
                datasets: vec![],
            };
            session.finish(CHALLENGE, INPUTS, work)
        }
    }
}

fn expected(phase: Phase, machine: &Machine, evidence: B256) -> Expected {
    let (challenge, challenged_at, inputs) = (CHALLENGE, NOW, INPUTS);
    let started = Started {
        at: NOW,
        session_key: Session::from_secret([9; 32]).encryption_key(),
        devices: machine.devices(),
        measurement: statement::workload_digest(&Options::default().measurement),
    };
    match phase {
        Phase::Start => Expected::Start {
            evidence,
            challenge,
            challenged_at,
            inputs,
        },
        Phase::Heartbeat => Expected::Heartbeat {
            evidence,
            challenge,
            challenged_at,
            inputs,
            started,
        },
        Phase::Finish => Expected::Finish {
            evidence,
            challenge,
            challenged_at,
            inputs,
            outputs: OUTPUTS,
            started,
        },
    }
}

/// The reason of the verdict on an order whose one leg asks for no debugging.
fn verdict(phase: Phase, cpu: Product, tamper: Option<Tamper>) -> Reason {
    let roots = roots();
    let anchors = Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .unwrap();
    let machine = machine(cpu);
    let options = Options {
        tamper,
        ..Options::default()
    };
    let json = machine.bundle(&statement(phase), &options).to_json();
    let expected = expected(phase, &machine, Bundle::digest(&json));
    let claims = match session::verify(&json, &expected, &anchors, NOW) {
        Ok(claims) => claims,
        Err(rejection) => return rejection.reason,
    };
    assert!(claims.simulated, "simulated evidence says so");
    let leg = Leg {
        required: Clauses::NONE.with(Clause::DebugOff),
        policy: Policy {
            debug_off: Term::Require(()),
            ..Policy::any()
        },
        dataset: None,
    };
    judge::judge(
        &claims,
        &[leg],
        Some(statement::workload_digest(&options.measurement)),
    )
    .reason
}

#[test]
fn honest_sessions_are_accepted_in_every_phase() {
    for cpu in Product::ALL {
        for phase in [Phase::Start, Phase::Heartbeat, Phase::Finish] {
            assert_eq!(
                verdict(phase, cpu, None),
                Reason::Accepted,
                "{phase} on {cpu:?}"
            );
        }
    }
}

#[test]
fn each_lie_gets_its_reason_where_it_is_first_told_and_later() {
    for cpu in Product::ALL {
        for tamper in Tamper::ALL.iter().copied() {
            for phase in [Phase::Start, Phase::Heartbeat, Phase::Finish] {
                if phase >= tamper.phase() {
                    let found = verdict(phase, cpu, Some(tamper));
                    assert_eq!(found, tamper.reason(), "{tamper} at {phase} on {cpu:?}");
                }
            }
        }
    }
}
