//! What evidence is worth to an order: who would be paid, who would not, and when nobody can say.

use alloy::primitives::{B256, U256};
use vouch_abi::{Leg, Policy, Requirements, Terms, Verdict};
use vouch_client::convert::clauses_from_abi;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::{Anchors, Cache};
use vouch_protocol::statement::{inputs_digest, workload_digest};
use vouch_protocol::{Clause, Clauses, Counters, DatasetMeasure, Phase, Reason, Statement};
use vouch_simulator::{Machine, Options, Session, Tamper, Work, default_measurement, roots};
use vouch_verdict::{Announcement, Case, Decision, attested, decide, examine};

const ORDER: B256 = B256::repeat_byte(0x11);
const DATASET: B256 = B256::repeat_byte(0x22);
const OUTPUTS: B256 = B256::repeat_byte(0x44);
const NOW: u64 = 1_790_000_000;

fn anchors() -> Anchors {
    let roots = roots();
    Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .unwrap()
}

/// A policy that asks for `clauses` and nothing else.
fn policy(clauses: &[Clause]) -> Policy {
    let asked = clauses.iter().fold(Clauses::NONE, |set, c| set.with(*c));
    Policy {
        any: Clauses::POLICY.without(asked).0,
        minGpus: 1,
        outputBytes: 1000,
        maxDuration: 600,
        ..Policy::default()
    }
}

/// An order of a workload and a dataset, and the machine that works on it.
struct World {
    machine: Machine,
    session: Session,
    terms: Terms,
    policies: Vec<Policy>,
}

impl World {
    fn new() -> Self {
        let policies = vec![
            policy(&[Clause::DebugOff, Clause::GpuCount]),
            policy(&[Clause::DebugOff, Clause::OutputBytes, Clause::MaxDuration]),
        ];
        let leg = |kind, digest, policy: &Policy, extra: Clauses| Leg {
            kind,
            digest,
            clauses: attested(policy).required().0 | extra.0,
            ..Leg::default()
        };
        let workload = workload_digest(&default_measurement());
        let asked = Clauses::NONE.with(Clause::Requirements);
        let terms = Terms {
            legs: vec![
                leg(3, workload, &policies[0], Clauses::NONE),
                leg(1, DATASET, &policies[1], asked),
            ],
            requirements: Requirements {
                minRecords: 100,
                ..Requirements::default()
            },
            ..Terms::default()
        };
        Self {
            machine: Machine::new(b"verdict"),
            session: Session::from_secret([7; 32]),
            terms,
            policies,
        }
    }

    fn case(&self, phase: Phase, statement: &Statement, tamper: Option<Tamper>) -> Case {
        let options = Options {
            tamper,
            ..Options::default()
        };
        let bundle = self.machine.bundle(statement, &options).to_json();
        Case {
            announced: Announcement {
                order: ORDER,
                phase,
                attempt: 2,
                evidence: Bundle::digest(&bundle),
                outputs: match phase {
                    Phase::Start => B256::ZERO,
                    Phase::Finish => OUTPUTS,
                    Phase::Heartbeat => B256::with_last_byte(77),
                },
            },
            bundle,
            terms: self.terms.clone(),
            policies: self.policies.clone(),
            challenge: statement.challenge,
            challenged_at: NOW - 10,
            observed_at: NOW,
            started: None,
            supplement: None,
        }
    }

    fn start(&self, tamper: Option<Tamper>) -> Case {
        let statement = self
            .session
            .start(B256::repeat_byte(0x33), inputs_digest([&DATASET]));
        self.case(Phase::Start, &statement, tamper)
    }

    /// A heartbeat of a session.
    fn heartbeat(&self, session: &Session) -> Case {
        let (challenge, inputs) = (B256::repeat_byte(0x44), inputs_digest([&DATASET]));
        let statement = session.heartbeat(challenge, inputs, Counters::default());
        let mut case = self.case(Phase::Heartbeat, &statement, None);
        case.started = Some(conclusive(&self.start(None)).0);
        case
    }

    /// The finish of a session that let `bytes` out after measuring `records`.
    fn finish(&self, bytes: u64, records: u64) -> Case {
        let work = Work {
            outputs: OUTPUTS,
            counters: Counters {
                output_bytes: bytes,
                output_rows: 1,
            },
            datasets: vec![DatasetMeasure {
                records,
                ..DatasetMeasure::default()
            }],
        };
        let (challenge, inputs) = (B256::repeat_byte(0x55), inputs_digest([&DATASET]));
        let statement = self.session.finish(challenge, inputs, work);
        let mut case = self.case(Phase::Finish, &statement, None);
        let mut started = conclusive(&self.start(None)).0;
        started.observedAt = NOW - 100;
        case.started = Some(started);
        case
    }
}

/// What a case comes to: the same whether its issuers are known, are met for the first time, or are not remembered.
fn conclusive(case: &Case) -> (Verdict, Reason) {
    let cache = Cache::new();
    let [new, met, known] = [None, Some(&cache), Some(&cache)].map(|cache| decided(case, cache));
    assert_eq!(new, met);
    assert_eq!(new, known);
    new
}

fn decided(case: &Case, cache: Option<&Cache>) -> (Verdict, Reason) {
    match decide(case, &anchors(), cache, &mut ()) {
        Decision::Conclusive {
            verdict, reason, ..
        } => (*verdict, reason),
        Decision::Inconclusive { reason, detail } => panic!("{reason}: {detail}"),
    }
}

/// Which legs' required clauses hold.
fn paid(case: &Case, verdict: &Verdict) -> Vec<bool> {
    let found = clauses_from_abi(verdict.clauses);
    let legs = case.terms.legs.iter().enumerate();
    legs.map(|(index, leg)| found.leg(index).covers(Clauses(leg.clauses)))
        .collect()
}

#[test]
fn an_honest_start_names_the_session_and_its_devices() {
    let world = World::new();
    let case = world.start(None);
    let (verdict, reason) = conclusive(&case);
    assert_eq!(reason, Reason::Accepted);
    assert_eq!(verdict.reason, Reason::Accepted.code());
    assert_eq!(verdict.order, ORDER);
    assert_eq!((verdict.phase, verdict.attempt), (1, 2));
    assert_eq!(verdict.evidence, Bundle::digest(&case.bundle));
    assert_eq!(verdict.inputs, inputs_digest([&DATASET]));
    assert_eq!(verdict.sessionKey, world.session.encryption_key());
    assert_eq!(verdict.devices, world.machine.devices());
    assert_eq!(verdict.observedAt, NOW);
}

#[test]
fn the_same_case_gives_the_same_verdict() {
    let case = World::new().start(None);
    assert_eq!(conclusive(&case).0, conclusive(&case).0);
}

#[test]
fn every_lie_is_refused_for_its_reason_and_pays_nobody() {
    let world = World::new();
    let lies = Tamper::ALL.iter().filter(|lie| lie.phase() == Phase::Start);
    for lie in lies {
        let case = world.start(Some(*lie));
        let (verdict, reason) = conclusive(&case);
        assert_eq!(reason, lie.reason(), "{lie}");
        let allowed = reason == Reason::DebugEnabled;
        assert!(allowed || verdict.clauses == U256::ZERO, "{lie}");
        assert!(!paid(&case, &verdict).contains(&true), "{lie}");
    }
}

#[test]
fn what_was_announced_otherwise_is_refused() {
    type Change = fn(&mut Case);
    let rows: [(&str, Reason, Change); 4] = [
        ("challenge", Reason::ChallengeMismatch, |case| {
            case.challenge = B256::ZERO;
        }),
        ("bundle", Reason::EvidenceDigestMismatch, |case| {
            case.announced.evidence = B256::ZERO;
        }),
        ("inputs", Reason::InputsDigestMismatch, |case| {
            case.terms.legs[1].digest = B256::ZERO;
        }),
        ("bytes", Reason::Malformed, |case| {
            case.bundle = b"{}".to_vec();
            case.announced.evidence = Bundle::digest(b"{}");
        }),
    ];
    let world = World::new();
    for (name, expected, change) in rows {
        let mut case = world.start(None);
        change(&mut case);
        assert_eq!(conclusive(&case).1, expected, "{name}");
    }
}

#[test]
fn each_leg_of_a_finish_has_its_own_conditions() {
    let world = World::new();
    // Bytes that left, records measured; is the workload's owner paid, is the dataset's?
    let rows = [
        (1000, 100, [true, true]),
        (1001, 100, [true, false]),
        (1000, 99, [true, false]),
        (u64::MAX, 0, [true, false]),
    ];
    for (bytes, records, expected) in rows {
        let case = world.finish(bytes, records);
        let (verdict, reason) = conclusive(&case);
        assert_eq!(reason, Reason::Accepted, "{bytes} bytes, {records} records");
        assert_eq!(paid(&case, &verdict), expected, "{bytes}, {records}");
        assert_eq!(verdict.outputs, OUTPUTS);
    }
}

#[test]
fn a_finish_continues_its_start() {
    let world = World::new();
    let mut case = world.finish(1, 100);
    case.started.as_mut().unwrap().sessionKey = B256::ZERO;
    assert_eq!(conclusive(&case).1, Reason::SessionMismatch);
    let mut case = world.finish(1, 100);
    case.announced.outputs = B256::ZERO;
    assert_eq!(conclusive(&case).1, Reason::OutputsDigestMismatch);
    // Rejected, it still gives back the devices that the start took.
    let (rejected, _) = conclusive(&case);
    assert_eq!(rejected.devices, world.machine.devices());
}

#[test]
fn without_what_it_takes_nothing_is_said() {
    let world = World::new();
    let mut case = world.finish(1, 100);
    case.started = None;
    let asked = |clause| {
        let mut world = World::new();
        world.policies[0] = policy(&[clause]);
        world.terms.legs[0].clauses = Clauses::NONE.with(clause).0;
        world.start(None)
    };
    let rows = [
        (case, Reason::EvidenceMissing),
        (asked(Clause::RimMatch), Reason::ManifestMissing),
        (asked(Clause::Revocation), Reason::RevocationMissing),
    ];
    for (case, expected) in rows {
        match decide(&case, &anchors(), None, &mut ()) {
            Decision::Inconclusive { reason, .. } => assert_eq!(reason, expected),
            Decision::Conclusive { reason, .. } => panic!("{expected}: decided: {reason}"),
        }
    }
}

#[test]
fn simulated_roots_count_only_where_they_are_trusted() {
    let case = World::new().start(None);
    let Decision::Conclusive { reason, .. } = decide(&case, &Anchors::vendor(), None, &mut ())
    else {
        panic!("a root is known or not");
    };
    assert!(matches!(
        reason,
        Reason::GpuRootUntrusted | Reason::CpuRootUntrusted
    ));
}

#[test]
fn a_policy_asks_for_what_it_does_not_call_any() {
    let attestable = Clauses::ATTESTED.without(Clauses::NONE.with(Clause::Requirements));
    for clause in Clause::ALL {
        let required = attested(&policy(&[*clause])).required();
        let expected = Clauses::NONE.with(*clause).intersection(attestable);
        assert_eq!(required, expected, "{clause}");
    }
}

#[test]
fn a_bundle_is_examined_without_an_order() {
    let world = World::new();
    let (start, finish) = (world.start(None), world.finish(1, 100));
    let real = examine(&start.bundle, None, NOW, &anchors());
    assert_eq!(real["verdict"], "accepted");
    assert_eq!(real["claims"]["simulated"], true);
    let both = examine(&finish.bundle, Some(&start.bundle), NOW, &anchors());
    assert_eq!(both["verdict"], "accepted", "{both}");
    let forged = world.start(Some(Tamper::GpuSignature));
    let refused = examine(&forged.bundle, None, NOW, &anchors());
    assert_eq!(refused["verdict"], "rejected");
    assert_eq!(
        refused["reasons"][0]["name"],
        Reason::GpuSignatureInvalid.name()
    );
    let nonsense = examine(b"nonsense", None, NOW, &anchors());
    assert_eq!(nonsense["claims"], serde_json::Value::Null);
}

#[test]
fn a_heartbeat_counts_until_the_block_that_challenged_it() {
    let world = World::new();
    let case = world.heartbeat(&world.session);
    let (verdict, reason) = conclusive(&case);
    assert_eq!(reason, Reason::Accepted);
    assert_eq!((verdict.phase, verdict.attempt), (3, 2));
    assert_eq!(verdict.observedAt, case.challenged_at);
    assert_eq!(verdict.outputs, B256::ZERO, "a block's number is no output");
    assert_eq!(verdict.devices, world.machine.devices());
    // Of the legs' clauses those that a start is judged by.
    let found = clauses_from_abi(verdict.clauses);
    for (index, leg) in case.terms.legs.iter().enumerate() {
        let due = Clauses(leg.clauses).intersection(Clauses::AT_START);
        assert_eq!(found.leg(index), due, "leg {index}");
    }
}

#[test]
fn a_heartbeat_of_another_session_or_with_a_result_is_none() {
    let world = World::new();
    let other = world.heartbeat(&Session::from_secret([8; 32]));
    assert_eq!(conclusive(&other).1, Reason::SessionMismatch);
    let mut finish = world.finish(1, 100);
    finish.announced.phase = Phase::Heartbeat;
    assert_eq!(conclusive(&finish).1, Reason::OutputsDigestMismatch);
    let mut unstarted = world.heartbeat(&world.session);
    unstarted.started = None;
    match decide(&unstarted, &anchors(), None, &mut ()) {
        Decision::Inconclusive { reason, .. } => assert_eq!(reason, Reason::EvidenceMissing),
        Decision::Conclusive { reason, .. } => panic!("{reason}"),
    }
}
