use alloy_primitives::B256;
use vouch_evidence::bundle::{Bundle, CpuEvidence};
use vouch_evidence::session::{self, Expected, Started};
use vouch_evidence::{Anchors, Cache, Explanation, Outcome, Time, Verifier};
use vouch_protocol::{Phase, Reason};
use vouch_simulator::{Machine, Options, Session, Tamper};

use crate::rig::{
    NOW, anchors, bundle, expect_finish, expect_start, finish, machine, start, verify_finish,
    verify_start,
};

#[test]
fn an_honest_start_and_finish_are_accepted() {
    let started = verify_start(&bundle(&start())).unwrap();
    assert_eq!(started.phase, Phase::Start);
    assert_eq!(started.devices, machine().devices());
    assert_eq!((started.gpus.len(), started.switches.len()), (2, 0));
    assert_eq!((started.age, started.duration), (90, None));
    assert!(started.simulated);
    let finished = verify_finish(&bundle(&finish())).unwrap();
    assert_eq!(
        (finished.phase, finished.duration),
        (Phase::Finish, Some(60))
    );
    assert_eq!(finished.statement, finish());
}

#[test]
fn the_simulator_is_trusted_only_where_its_roots_are_named() {
    let json = bundle(&start()).to_json();
    let refused =
        session::verify(&json, &expect_start(&json), &Anchors::vendor(), NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::GpuRootUntrusted);
    assert!(refused.field.starts_with("gpus[0]"), "{}", refused.field);
}

#[test]
fn every_lie_is_refused_for_its_reason() {
    for tamper in Tamper::ALL {
        let options = Options {
            tamper: Some(*tamper),
            ..Options::default()
        };
        let found = match tamper.phase() {
            Phase::Start => verify_start(&machine().bundle(&start(), &options)),
            Phase::Heartbeat | Phase::Finish => {
                verify_finish(&machine().bundle(&finish(), &options))
            }
        };
        match found {
            // Debugging is authentic; policies refuse it.
            Ok(claims) => assert!(
                claims.cpu.debug() && tamper.reason() == Reason::DebugEnabled,
                "{tamper} was accepted"
            ),
            Err(rejection) => {
                assert_eq!(rejection.reason, tamper.reason(), "{tamper}: {rejection}")
            }
        }
    }
}

#[test]
fn another_order_phase_or_asset_is_refused() {
    let json = bundle(&start()).to_json();
    let other = B256::repeat_byte(0xff);
    let Expected::Start {
        evidence,
        challenge,
        challenged_at,
        inputs,
    } = expect_start(&json)
    else {
        panic!()
    };
    for (evidence, challenge, inputs, reason) in [
        (other, challenge, inputs, Reason::EvidenceDigestMismatch),
        (evidence, other, inputs, Reason::ChallengeMismatch),
        (evidence, challenge, other, Reason::InputsDigestMismatch),
    ] {
        let expected = Expected::Start {
            evidence,
            challenge,
            challenged_at,
            inputs,
        };
        assert_eq!(
            session::verify(&json, &expected, &anchors(), NOW)
                .unwrap_err()
                .reason,
            reason
        );
    }
    // Evidence of one phase is worth nothing for the other.
    assert_eq!(
        verify_start(&bundle(&finish())).unwrap_err().reason,
        Reason::OutputsDigestMismatch
    );
    assert_eq!(
        verify_finish(&bundle(&start())).unwrap_err().reason,
        Reason::OutputsDigestMismatch
    );
    let mut counted = start();
    counted.counters.output_bytes = 1;
    assert_eq!(
        verify_start(&bundle(&counted)).unwrap_err().reason,
        Reason::Malformed
    );
}

#[test]
fn a_finish_from_another_session_machine_or_workload_is_refused() {
    let mut statement = finish();
    statement.encryption_key = Session::from_secret([8; 32]).encryption_key();
    assert_eq!(
        verify_finish(&bundle(&statement)).unwrap_err().reason,
        Reason::SessionMismatch
    );
    let elsewhere = Machine::new(b"elsewhere").bundle(&finish(), &Options::default());
    assert_eq!(
        verify_finish(&elsewhere).unwrap_err().reason,
        Reason::SessionMismatch
    );
    let options = Options {
        measurement: [9; 48],
        ..Options::default()
    };
    assert_eq!(
        verify_finish(&machine().bundle(&finish(), &options))
            .unwrap_err()
            .reason,
        Reason::SessionMismatch
    );
    let json = bundle(&finish()).to_json();
    let Expected::Finish {
        evidence,
        challenge,
        challenged_at,
        inputs,
        outputs,
        started,
    } = expect_finish(&json)
    else {
        panic!()
    };
    let devices = started.devices[1..].to_vec();
    let expected = Expected::Finish {
        evidence,
        challenge,
        challenged_at,
        inputs,
        outputs,
        started: Started { devices, ..started },
    };
    assert_eq!(
        session::verify(&json, &expected, &anchors(), NOW)
            .unwrap_err()
            .reason,
        Reason::SessionMismatch
    );
}

#[test]
fn the_cpu_vouches_for_these_reports_in_this_order() {
    let honest = bundle(&start());
    let changed = |change: fn(&mut Bundle)| {
        let mut bundle = honest.clone();
        change(&mut bundle);
        verify_start(&bundle).unwrap_err()
    };
    assert_eq!(
        changed(|b| b.gpus.reverse()).reason,
        Reason::CpuReportDataMismatch
    );
    assert_eq!(
        changed(|b| drop(b.gpus.pop())).reason,
        Reason::CpuReportDataMismatch
    );
    assert_eq!(
        changed(|b| b.gpus.clear()).reason,
        Reason::CpuReportDataMismatch
    );
    assert_eq!(
        changed(|b| b.switches.append(&mut b.gpus)).reason,
        Reason::GpuFamilyMismatch
    );
    assert_eq!(
        changed(|b| b.gpus[0].chain.swap(0, 1)).reason,
        Reason::GpuChainInvalid
    );
    assert_eq!(
        changed(|b| drop(b.gpus[1].chain.pop())).reason,
        Reason::GpuChainInvalid
    );
    assert_eq!(
        changed(|b| b.gpus[1].report.push(1)).reason,
        Reason::Malformed
    );
    assert_eq!(changed(|b| b.statement.push(0)).reason, Reason::Malformed);
    let other_cpu = Machine::new(b"elsewhere")
        .bundle(&start(), &Options::default())
        .cpu;
    let mut bundle = honest.clone();
    bundle.cpu = other_cpu;
    assert_eq!(
        verify_start(&bundle).unwrap_err().reason,
        Reason::CpuReportDataMismatch
    );
    // A zero byte after a report is tolerated, and nobody hashes it.
    let mut bundle = honest;
    bundle.gpus[0].report.push(0);
    verify_start(&bundle).unwrap();
}

#[test]
fn one_gpu_does_not_count_twice() {
    let mut bundle = bundle(&start());
    bundle.gpus[1] = bundle.gpus[0].clone();
    assert_eq!(
        verify_start(&bundle).unwrap_err().reason,
        Reason::GpuDuplicate
    );
}

#[test]
fn a_key_of_the_wrong_kind_is_refused() {
    let mut bundle = bundle(&start());
    let CpuEvidence::SevSnp { vek, chain, .. } = &mut bundle.cpu else {
        panic!()
    };
    *vek = chain.as_ref().unwrap().signer.clone();
    assert_eq!(
        verify_start(&bundle).unwrap_err().reason,
        Reason::CpuChainInvalid
    );
}

#[test]
fn before_its_certificates_were_issued_nothing_is_decided() {
    let json = bundle(&start()).to_json();
    let refused =
        session::verify(&json, &expect_start(&json), &anchors(), Time::from_unix(0)).unwrap_err();
    assert_eq!(refused.reason, Reason::CertificateExpired);
    assert!(!refused.class().is_conclusive());
}

#[test]
fn a_cache_changes_nothing_but_the_time_it_takes() {
    let (anchors, cache) = (anchors(), Cache::new());
    let json = bundle(&start()).to_json();
    let expected = expect_start(&json);
    let verifier = Verifier::new(&anchors, NOW).with_cache(&cache);
    let cold = session::verify(&json, &expected, &anchors, NOW).unwrap();
    for _ in 0..2 {
        assert_eq!(
            session::verify_observed(&json, &expected, &verifier, &mut ()).unwrap(),
            cold
        );
    }
    let before = Verifier::new(&anchors, Time::from_unix(0)).with_cache(&cache);
    let refused = session::verify_observed(&json, &expected, &before, &mut ()).unwrap_err();
    assert_eq!(refused.reason, Reason::CertificateExpired);
}

#[test]
fn an_explanation_names_every_check_and_ends_with_the_one_that_failed() {
    let options = Options {
        tamper: Some(Tamper::CpuReportData),
        ..Options::default()
    };
    let json = machine().bundle(&start(), &options).to_json();
    let mut explanation = Explanation::default();
    let anchors = anchors();
    let refused = session::verify_observed(
        &json,
        &expect_start(&json),
        &Verifier::new(&anchors, NOW),
        &mut explanation,
    );
    let refused = refused.unwrap_err();
    let checks = explanation.checks();
    let last = checks.last().unwrap();
    assert_eq!(last.outcome, Outcome::Failed(Reason::CpuReportDataMismatch));
    assert_eq!(
        (last.field.as_ref(), last.offset),
        ("cpu.report.report_data", Some(0x50))
    );
    assert_eq!(refused.field, last.field);
    assert!(checks.len() > 60, "{} checks", checks.len());
    assert!(
        checks
            .iter()
            .all(|check| !check.source.is_empty() && !check.field.is_empty())
    );
    assert!(
        checks
            .iter()
            .any(|check| check.field == "gpus[1].report.signature"
                && check.outcome == Outcome::Passed)
    );
}
