//! Every wrong thing, and the reason it is refused for.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use vouch_abi::{IEscrow, Leg, Policy, Terms, Verdict};
use vouch_broker::release::{Refusal, Rules, Trust, decide};
use vouch_broker::request::{Request, message};
use vouch_broker::view::{Answer, Freshness, OrderView, ViewError, agree};
use vouch_client::{Record, State};
use vouch_content::seal::KeyPair;
use vouch_evidence::Anchors;
use vouch_evidence::Time;
use vouch_evidence::bundle::{Bundle, Collateral};
use vouch_evidence::session::Supplement;
use vouch_oracle::store::model::{BlockRef, Fact, JobId, Phase};
use vouch_protocol::statement::{inputs_digest, workload_digest};
use vouch_protocol::{Clause, Clauses, Reason, Statement};
use vouch_simulator::{Machine, Options, Period, Tamper, amd_crl, default_measurement, roots};
use vouch_verdict::{Case, Decision};

const ORDER: B256 = B256::repeat_byte(0x11);
const ASSET: B256 = B256::repeat_byte(0x22);
const OWNER: Address = Address::repeat_byte(0x55);
const NOW: u64 = 1_790_000_000;

fn block(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: B256::with_last_byte(number as u8),
        timestamp: NOW - 100 + number,
    }
}

fn fact(number: u64, event: &impl SolEvent) -> Fact {
    let log = event.encode_log_data();
    Fact {
        block: block(number),
        index: 0,
        tx: B256::repeat_byte(number as u8),
        topics: log.topics().to_vec(),
        data: log.data,
    }
}

fn anchors() -> Anchors {
    let roots = roots();
    Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .unwrap()
}

/// An order that runs, its evidence, and its session's request: all of it honest.
struct World {
    view: OrderView,
    bundle: Vec<u8>,
    supplement: Option<Supplement>,
    request: Request,
    signing: Ed25519KeyPair,
    anchors: Anchors,
    trust: Trust,
}

impl World {
    fn honest() -> Self {
        Self::with(None)
    }

    /// An order that the operators started, whatever its evidence is.
    fn with(tamper: Option<Tamper>) -> Self {
        let policy = Policy {
            any: Clauses::POLICY
                .without(Clauses::NONE.with(Clause::DebugOff).with(Clause::GpuCount))
                .0,
            minGpus: 1,
            ..Policy::default()
        };
        let leg = |kind, digest| Leg {
            kind,
            digest,
            payee: OWNER,
            policy: vouch_abi::id::policy_id(&policy),
            clauses: Clauses::NONE
                .with(Clause::DebugOff)
                .with(Clause::GpuCount)
                .0,
            ..Leg::default()
        };
        let workload = workload_digest(&default_measurement());
        let terms = Terms {
            legs: vec![leg(3, workload), leg(1, ASSET)],
            ..Terms::default()
        };
        let challenge = B256::repeat_byte(0x33);
        let signing = Ed25519KeyPair::generate().unwrap();
        let statement = Statement {
            challenge,
            signing_key: B256::from_slice(signing.public_key().as_ref()),
            encryption_key: KeyPair::generate().unwrap().public(),
            inputs: inputs_digest([&ASSET]),
            outputs: B256::ZERO,
            counters: Default::default(),
            datasets: Vec::new(),
        };
        let machine = Machine::new(b"broker");
        let bundle = machine
            .bundle(
                &statement,
                &Options {
                    tamper,
                    ..Options::default()
                },
            )
            .to_json();
        let honest = machine.bundle(&statement, &Options::default()).to_json();
        let job = |bundle: &[u8]| JobId {
            order: ORDER,
            phase: Phase(vouch_protocol::Phase::Start),
            attempt: 0,
            evidence: Bundle::digest(bundle),
            outputs: B256::ZERO,
        };
        let placed = IEscrow::OrderPlaced {
            order: ORDER,
            buyer: terms.buyer,
            provider: terms.provider,
            terms: terms.clone(),
        };
        let accepted = IEscrow::OrderAccepted {
            order: ORDER,
            provider: terms.provider,
        };
        let mut view = OrderView {
            record: Record {
                state: State::Running,
                since_block: 4,
                started_at: NOW,
                finished_at: 0,
                beat_at: 0,
                topped_up: 0,
                commitment: B256::ZERO,
            },
            facts: vec![fact(1, &placed), fact(2, &accepted)],
            policies: vec![policy; 2],
            verdict: None,
            verdict_digest: None,
            announced: Some((job(&bundle), block(3))),
            challenge: Some(challenge),
            terms,
        };
        // The verdict of operators to whom the evidence is good.
        let case = Case {
            bundle: honest.clone(),
            announced: job(&honest).announcement(),
            terms: view.terms.clone(),
            policies: view.policies.clone(),
            challenge,
            challenged_at: block(2).timestamp,
            observed_at: block(3).timestamp,
            started: None,
            supplement: None,
        };
        let Decision::Conclusive {
            verdict,
            reason: Reason::Accepted,
            ..
        } = vouch_verdict::decide(&case, &anchors(), None, &mut ())
        else {
            panic!("honest evidence is accepted");
        };
        view.verdict = Some(Verdict {
            evidence: Bundle::digest(&bundle),
            ..*verdict
        });
        let session = statement.encryption_key;
        let mut world = Self {
            request: Request {
                order: ORDER,
                asset: ASSET,
                session,
                signature: String::new(),
            },
            view,
            bundle,
            supplement: None,
            signing,
            anchors: anchors(),
            trust: Trust::Both,
        };
        world.commit();
        world.sign();
        world
    }

    /// The order was started by the view's verdict.
    fn commit(&mut self) {
        let domain = vouch_client::verdict::domain(31337, Default::default());
        let Some(verdict) = &self.view.verdict else {
            return;
        };
        let digest = vouch_client::verdict::digest(verdict, &domain);
        self.view.verdict_digest = Some(digest);
        self.start(digest);
    }

    /// The order's event says that this verdict started it.
    fn start(&mut self, verdict: B256) {
        let started = IEscrow::OrderStarted {
            order: ORDER,
            verdict,
            sessionKey: self.request.session,
            devices: Vec::new(),
        };
        self.view.facts.truncate(2);
        self.view.facts.push(fact(4, &started));
    }

    fn sign(&mut self) {
        let Request {
            order,
            asset,
            session,
            ..
        } = self.request;
        self.request.signature = hex::encode(self.signing.sign(&message(order, asset, session)));
    }

    fn change(&mut self, change: impl FnOnce(&mut Verdict)) {
        change(self.view.verdict.as_mut().unwrap());
        self.commit();
    }

    fn decide(&self) -> Result<B256, Refusal> {
        decide(
            &self.request,
            &self.view,
            &self.bundle,
            self.supplement.as_ref(),
            &Rules {
                owners: vec![Address::repeat_byte(0x77), OWNER],
                trust: self.trust,
                anchors: Arc::new(self.anchors.clone()),
            },
        )
    }
}

#[test]
fn an_honest_session_is_granted_in_every_mode() {
    for trust in [Trust::Both, Trust::Chain, Trust::Evidence] {
        let world = World {
            trust,
            ..World::honest()
        };
        assert_eq!(
            world.decide().unwrap(),
            Bundle::digest(&world.bundle),
            "{trust:?}"
        );
    }
}

/// What is wrong, how it is made wrong, and the code of the refusal.
type Wrong = (&'static str, fn(&mut World), &'static str);

const WRONG: &[Wrong] = &[
    (
        "another session's key",
        |w| w.request.session = B256::repeat_byte(9),
        "session_key",
    ),
    (
        "another session's key, signed",
        |w| {
            w.request.session = B256::repeat_byte(9);
            w.sign();
        },
        "session_key",
    ),
    (
        "an asset of another order",
        |w| w.request.asset = B256::repeat_byte(9),
        "asset_not_ordered",
    ),
    (
        "the workload instead of content",
        |w| w.request.asset = w.view.terms.legs[0].digest,
        "asset_not_ordered",
    ),
    (
        "somebody else's offer of the same asset",
        |w| w.view.terms.legs[1].payee = Address::repeat_byte(9),
        "offer_not_owned",
    ),
    (
        "a royalty for the asset instead of its use",
        |w| w.view.terms.legs[1].kind = 6,
        "asset_not_ordered",
    ),
    (
        "an order that is placed",
        |w| w.view.record.state = State::Placed,
        "order_state",
    ),
    (
        "an order that is accepted",
        |w| w.view.record.state = State::Accepted,
        "order_state",
    ),
    (
        "an order that is finished",
        |w| w.view.record.state = State::Finished,
        "order_state",
    ),
    (
        "an order that is settled",
        |w| w.view.record.state = State::Settled,
        "order_state",
    ),
    (
        "an order that is refunded",
        |w| w.view.record.state = State::Refunded,
        "order_state",
    ),
    (
        "no verdict at hand",
        |w| w.view.verdict = None,
        "verdict_refused",
    ),
    (
        "a verdict that the chain does not keep",
        |w| w.start(B256::ZERO),
        "verdict_refused",
    ),
    (
        "a verdict that names another session",
        |w| w.change(|v| v.sessionKey.0[0] ^= 1),
        "session_key",
    ),
    (
        "a verdict that names other inputs",
        |w| w.change(|v| v.inputs.0[0] ^= 1),
        "verdict_refused",
    ),
    (
        "a verdict that rejects",
        |w| w.change(|v| v.reason = 110),
        "verdict_refused",
    ),
    (
        "a finish verdict",
        |w| w.change(|v| v.phase = 2),
        "verdict_refused",
    ),
    (
        "a verdict under which another leg holds, but not the asset's",
        |w| w.change(|v| v.clauses &= U256::from(u32::MAX)),
        "verdict_refused",
    ),
    (
        "a verdict with other devices",
        |w| w.change(|v| v.devices[0].0[0] ^= 1),
        "verdict_refused",
    ),
    (
        "a verdict with another measurement",
        |w| w.change(|v| v.measurement.0[0] ^= 1),
        "verdict_refused",
    ),
    (
        "no announcement",
        |w| w.view.announced = None,
        "evidence_missing",
    ),
    ("another bundle", |w| w.bundle[10] ^= 1, "evidence_refused"),
    ("no bundle", |w| w.bundle.clear(), "evidence_refused"),
    (
        "another challenge",
        |w| w.view.challenge = Some(B256::ZERO),
        "evidence_refused",
    ),
    (
        "a simulator's evidence where vendors alone are trusted",
        |w| w.anchors = Anchors::vendor(),
        "evidence_refused",
    ),
    ("no signature", |w| w.request.signature.clear(), "signature"),
    (
        "a signature that is no hex",
        |w| w.request.signature = "zz".into(),
        "signature",
    ),
    (
        "a signature of another key",
        |w| {
            w.signing = Ed25519KeyPair::generate().unwrap();
            w.sign();
        },
        "signature",
    ),
    (
        "a signature of another order",
        |w| {
            let Request { asset, session, .. } = w.request;
            w.request.signature = hex::encode(w.signing.sign(&message(B256::ZERO, asset, session)));
        },
        "signature",
    ),
];

#[test]
fn each_wrong_thing_is_refused_for_its_reason() {
    for (what, spoil, code) in WRONG {
        let mut world = World::honest();
        spoil(&mut world);
        match world.decide() {
            Ok(_) => panic!("{what}: granted"),
            Err(refusal) => assert_eq!(refusal.code(), *code, "{what}: {refusal}"),
        }
    }
}

#[test]
fn the_owner_s_own_leg_decides_where_others_use_the_asset_too() {
    let mut world = World::honest();
    let mut other = world.view.terms.legs[1].clone();
    other.payee = Address::repeat_byte(9);
    other.clauses = 0;
    world.view.terms.legs.insert(1, other.clone());
    world.trust = Trust::Chain;
    // The verdict, which nobody made for these legs, holds for none but the stranger's.
    world.change(|v| {
        v.inputs = inputs_digest([&ASSET, &ASSET]);
        v.clauses &= U256::from(u32::MAX);
    });
    let refusal = world.decide().unwrap_err();
    let expected = "clauses of the asset's leg";
    assert!(
        matches!(refusal, Refusal::Verdict { field, .. } if field == expected),
        "{refusal}"
    );
}

#[test]
fn evidence_that_the_chain_accepted_and_the_broker_does_not() {
    for tamper in Tamper::ALL
        .iter()
        .filter(|tamper| tamper.phase() == vouch_protocol::Phase::Start)
    {
        let world = World::with(Some(*tamper));
        match world.decide() {
            Err(Refusal::Evidence { reason, .. }) => {
                assert_eq!(reason, tamper.reason(), "{tamper}")
            }
            other => panic!("{tamper}: {other:?}"),
        }
        // Whoever trusts the operators alone gets what the operators say.
        assert!(
            World {
                trust: Trust::Chain,
                ..World::with(Some(*tamper))
            }
            .decide()
            .is_ok(),
            "{tamper}"
        );
    }
}

/// What the vendors answered in some time, got at another.
fn supplement(from: &str, until: &str, at: u64) -> Supplement {
    let period = Period { from, until };
    Supplement {
        at: Time::from_unix(at),
        collateral: Collateral {
            ocsp: Machine::new(b"broker").ocsp(period),
            crls: vec![amd_crl(period)],
            ..Collateral::default()
        },
        ..Supplement::default()
    }
}

#[test]
fn evidence_that_waits_for_collateral_is_refused_until_there_is_some_that_counts() {
    let mut world = World::honest();
    for policy in &mut world.view.policies {
        policy.revocationMaxAge = u32::MAX;
        policy.any = Clauses(policy.any)
            .without(Clauses::NONE.with(Clause::Revocation))
            .0;
    }
    let required = Clauses::NONE.with(Clause::Revocation);
    for leg in &mut world.view.terms.legs {
        leg.clauses |= required.0;
    }
    // The order's event repeats its terms.
    let placed = IEscrow::OrderPlaced {
        order: ORDER,
        buyer: world.view.terms.buyer,
        provider: world.view.terms.provider,
        terms: world.view.terms.clone(),
    };
    world.view.facts[0] = fact(1, &placed);
    world.trust = Trust::Evidence;
    let mut refused = |supplement| {
        world.supplement = supplement;
        let refusal = world.decide().unwrap_err();
        assert!(refusal.is_retryable(), "{refusal}");
        match refusal {
            Refusal::Open { reason, .. } => reason,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(None), Reason::RevocationMissing);
    let stale = supplement("20200101000000Z", "20200201000000Z", NOW);
    assert_eq!(refused(Some(stale)), Reason::CollateralExpired);
    world.supplement = Some(supplement("20260101000000Z", "20991231000000Z", NOW));
    assert_eq!(world.decide(), Ok(Bundle::digest(&world.bundle)));
    // Nobody else has the broker fetch anything.
    world.supplement = None;
    world.request.signature = hex::encode([0; 64]);
    assert_eq!(world.decide().unwrap_err().code(), "signature");
}

#[test]
fn evidence_alone_needs_no_verdict_but_an_open_order() {
    let mut world = World {
        trust: Trust::Evidence,
        ..World::honest()
    };
    (world.view.verdict, world.view.verdict_digest) = (None, None);
    world.view.record.state = State::Accepted;
    assert!(world.decide().is_ok());
    world.view.record.state = State::Refunded;
    assert_eq!(world.decide().unwrap_err().code(), "order_state");
    let mut world = World {
        trust: Trust::Evidence,
        ..World::with(Some(Tamper::CpuDebug))
    };
    world.view.verdict = None;
    assert_eq!(world.decide().unwrap_err().code(), "evidence_refused");
}

#[test]
fn a_view_that_is_stale_or_not_shared_is_none() {
    let fresh = Freshness {
        max_age: 60,
        max_lag: 2,
        may_run_ahead: false,
    };
    let answer = |name: &str, number: u64| Answer {
        endpoint: name.into(),
        head: BlockRef {
            timestamp: NOW,
            ..block(number)
        },
        view: World::honest_view(),
    };
    let view = World::honest_view();
    let both = |one: Answer, other: Answer, hashes: [u8; 2], now| {
        agree(vec![one, other], &hashes.map(B256::repeat_byte), now, fresh)
    };
    assert_eq!(
        both(answer("a", 9), answer("b", 8), [1, 1], NOW + 60).unwrap(),
        view
    );

    let stale = both(answer("a", 9), answer("b", 9), [1, 1], NOW + 61).unwrap_err();
    assert!(matches!(stale, ViewError::Stale { age: 61, .. }), "{stale}");
    let ahead = both(answer("a", 9), answer("b", 9), [1, 1], NOW - 61).unwrap_err();
    assert!(
        matches!(ahead, ViewError::Stale { age: -61, .. }),
        "{ahead}"
    );
    let mut other = answer("b", 9);
    other.head.timestamp = NOW - 100;
    let stale = both(answer("a", 9), other, [1, 1], NOW).unwrap_err();
    assert!(stale.to_string().contains("endpoint b"), "{stale}");

    let mut other = answer("b", 9);
    other.view.record.state = State::Refunded;
    for (one, other, hashes) in [
        (answer("a", 9), other, [1, 1]),
        (answer("a", 9), answer("b", 9), [1, 2]),
        (answer("a", 9), answer("b", 6), [1, 1]),
    ] {
        let error = both(one, other, hashes, NOW).unwrap_err();
        assert!(matches!(error, ViewError::Disagree { .. }), "{error}");
        assert_eq!(Refusal::from(error).code(), "endpoints_disagree");
    }
    assert!(agree(Vec::new(), &[], NOW, fresh).is_err());
}

impl World {
    /// A view that is the same every time it is made.
    fn honest_view() -> OrderView {
        OrderView {
            record: Record {
                state: State::Running,
                since_block: 4,
                started_at: NOW,
                finished_at: 0,
                beat_at: 0,
                topped_up: 0,
                commitment: B256::ZERO,
            },
            facts: Vec::new(),
            terms: Terms::default(),
            policies: Vec::new(),
            verdict: None,
            verdict_digest: None,
            announced: None,
            challenge: None,
        }
    }
}
