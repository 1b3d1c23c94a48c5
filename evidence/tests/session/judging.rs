use alloy_primitives::B256;
use vouch_evidence::Time;
use vouch_evidence::judge::{Judgement, Leg, judge};
use vouch_evidence::policy::{Bits, CpuTcb, Policy, Requirements, Term, Workloads};
use vouch_evidence::session::{CpuClaims, SessionClaims};
use vouch_evidence::sev_snp::Tcb;
use vouch_evidence::tdx::{self, Concern};
use vouch_protocol::{Clause, Clauses, Reason};
use vouch_simulator::{Options, Tamper};

use crate::rig::{bundle, finish, machine, start, verify_finish, verify_start};

fn finished() -> SessionClaims {
    verify_finish(&bundle(&finish())).unwrap()
}

fn leg(policy: Policy) -> Leg {
    Leg {
        required: policy.required(),
        policy,
        dataset: None,
    }
}

fn judged(policy: Policy) -> Judgement {
    judge(&finished(), &[leg(policy)], None)
}

/// What the rig's session fulfils, clause by clause.
fn fulfilled() -> Policy {
    let tcb = match finished().cpu {
        vouch_evidence::session::CpuClaims::SevSnp(claims) => claims.reported_tcb,
        _ => panic!(),
    };
    Policy {
        cpu_kind: Term::Require(Bits(1)),
        cpu_tcb: Term::Require(CpuTcb {
            min_snp: tcb,
            tdx_statuses: Bits(0),
        }),
        debug_off: Term::Require(()),
        gpu_architecture: Term::Require(Bits(1)),
        gpu_count: Term::Require(2),
        gpu_mode: Term::Require(Bits(1)),
        evidence_age: Term::Require(90),
        workload: Term::Require(Workloads::Listed(vec![finished().measurement])),
        max_duration: Term::Require(60),
        output_bytes: Term::Require(1_000),
        output_rows: Term::Require(10),
        ..Policy::any()
    }
}

#[test]
fn a_policy_that_is_fulfilled_is_accepted_with_all_its_bits() {
    let judgement = judged(fulfilled());
    assert_eq!(
        judgement.reason,
        Reason::Accepted,
        "{:#?}",
        judgement.findings
    );
    assert_eq!(judgement.clauses.leg(0), fulfilled().required());
    assert_eq!(judgement.clauses.leg(1), Clauses::NONE);
}

#[test]
fn each_clause_fails_alone_with_its_reason() {
    let too_high = Tcb([0xff; 8]);
    let cases: [(Policy, Clause, Reason); 13] = [
        (
            Policy {
                cpu_kind: Term::Require(Bits(2)),
                ..fulfilled()
            },
            Clause::CpuKind,
            Reason::CpuKindRefused,
        ),
        (
            Policy {
                cpu_tcb: Term::Require(CpuTcb {
                    min_snp: too_high,
                    tdx_statuses: Bits(0xffff),
                }),
                ..fulfilled()
            },
            Clause::CpuTcb,
            Reason::CpuTcbTooLow,
        ),
        (
            Policy {
                gpu_architecture: Term::Require(Bits(2)),
                ..fulfilled()
            },
            Clause::GpuArchitecture,
            Reason::GpuArchitectureRefused,
        ),
        (
            Policy {
                gpu_count: Term::Require(3),
                ..fulfilled()
            },
            Clause::GpuCount,
            Reason::GpuTooFew,
        ),
        (
            Policy {
                gpu_mode: Term::Require(Bits(4)),
                ..fulfilled()
            },
            Clause::GpuMode,
            Reason::GpuModeRefused,
        ),
        (
            Policy {
                evidence_age: Term::Require(89),
                ..fulfilled()
            },
            Clause::EvidenceAge,
            Reason::EvidenceTooOld,
        ),
        (
            Policy {
                workload: Term::Require(Workloads::Listed(vec![B256::ZERO])),
                ..fulfilled()
            },
            Clause::Workload,
            Reason::WorkloadRefused,
        ),
        (
            Policy {
                workload: Term::Require(Workloads::Ordered),
                ..fulfilled()
            },
            Clause::Workload,
            Reason::WorkloadRefused,
        ),
        (
            Policy {
                max_duration: Term::Require(59),
                ..fulfilled()
            },
            Clause::MaxDuration,
            Reason::UsageExceeded,
        ),
        (
            Policy {
                output_bytes: Term::Require(999),
                ..fulfilled()
            },
            Clause::OutputBytes,
            Reason::UsageExceeded,
        ),
        (
            Policy {
                output_rows: Term::Require(9),
                ..fulfilled()
            },
            Clause::OutputRows,
            Reason::UsageExceeded,
        ),
        (
            Policy {
                export: Term::Require(()),
                ..fulfilled()
            },
            Clause::Export,
            Reason::UsageExceeded,
        ),
        (
            Policy {
                rim_match: Term::Require(()),
                ..fulfilled()
            },
            Clause::RimMatch,
            Reason::ManifestMissing,
        ),
    ];
    for (policy, clause, reason) in cases {
        let judgement = judged(policy);
        assert_eq!(judgement.reason, reason, "{clause}");
        let failed: Vec<Clause> = judgement
            .findings
            .iter()
            .filter(|f| !f.holds())
            .map(|f| f.clause)
            .collect();
        assert_eq!(failed, [clause]);
        assert!(!judgement.clauses.leg(0).contains(clause));
    }
}

#[test]
fn debugging_fails_the_clause_that_forbids_it() {
    let options = Options {
        tamper: Some(Tamper::CpuDebug),
        ..Options::default()
    };
    let claims = verify_start(&machine().bundle(&start(), &options)).unwrap();
    assert_eq!(
        judge(&claims, &[leg(fulfilled())], None).reason,
        Reason::DebugEnabled
    );
    let waived = leg(Policy {
        debug_off: Term::Any,
        ..fulfilled()
    });
    assert_eq!(judge(&claims, &[waived], None).reason, Reason::Accepted);
}

#[test]
fn one_leg_that_holds_is_enough_and_the_others_keep_their_bits_off() {
    let strict = leg(Policy {
        gpu_count: Term::Require(8),
        ..fulfilled()
    });
    let stricter = leg(Policy {
        output_rows: Term::Require(1),
        ..fulfilled()
    });
    let judgement = judge(
        &finished(),
        &[strict.clone(), leg(fulfilled()), stricter.clone()],
        None,
    );
    assert_eq!(judgement.reason, Reason::Accepted);
    assert!(!judgement.clauses.leg(0).contains(Clause::GpuCount));
    assert!(judgement.clauses.leg(1).covers(fulfilled().required()));
    assert!(!judgement.clauses.leg(2).contains(Clause::OutputRows));
    let judgement = judge(&finished(), &[strict, stricter], None);
    assert_eq!(
        judgement.reason,
        Reason::NoLegHolds,
        "two legs fail for two reasons"
    );
    assert_eq!(judge(&finished(), &[], None).reason, Reason::NoLegHolds);
}

#[test]
fn collateral_that_is_missing_decides_nothing_even_where_another_leg_holds() {
    let needs = leg(Policy {
        revocation: Term::Require(3_600),
        ..Policy::any()
    });
    let judgement = judge(&finished(), &[leg(fulfilled()), needs], None);
    assert_eq!(judgement.reason, Reason::RevocationMissing);
    assert!(!judgement.reason.class().is_conclusive());
}

#[test]
fn another_workload_than_the_one_ordered_earns_nobody_anything() {
    let claims = finished();
    let ordered = judge(&claims, &[leg(fulfilled())], Some(claims.measurement));
    assert_eq!(ordered.reason, Reason::Accepted);
    let other = judge(&claims, &[leg(Policy::any())], Some(B256::repeat_byte(1)));
    assert_eq!(
        (other.reason, other.clauses.leg(0)),
        (Reason::WorkloadRefused, Clauses::NONE)
    );
}

#[test]
fn a_start_does_not_judge_what_only_a_finish_shows() {
    let claims = verify_start(&bundle(&start())).unwrap();
    let judgement = judge(&claims, &[leg(fulfilled())], None);
    assert_eq!(judgement.reason, Reason::Accepted);
    assert!(!judgement.clauses.leg(0).contains(Clause::OutputBytes));
    assert!(
        judgement
            .clauses
            .leg(0)
            .covers(fulfilled().required().intersection(Clauses::AT_START))
    );
}

#[test]
fn requirements_are_met_number_by_number() {
    let asked = Requirements {
        min_records: 500,
        min_bytes: 5_000,
        schema: B256::repeat_byte(0x5c),
        min_quality: 990_000,
    };
    let requires = |index, asked| {
        let leg = Leg {
            required: Clauses::NONE.with(Clause::Requirements),
            policy: Policy::any(),
            dataset: Some((index, asked)),
        };
        judge(&finished(), &[leg], None).reason
    };
    assert_eq!(requires(0, asked), Reason::Accepted);
    assert_eq!(requires(0, Requirements::default()), Reason::Accepted);
    assert_eq!(
        requires(1, Requirements::default()),
        Reason::RequirementsUnmet,
        "not measured"
    );
    for more in [
        Requirements {
            min_records: 501,
            ..asked
        },
        Requirements {
            min_bytes: 5_001,
            ..asked
        },
        Requirements {
            schema: B256::repeat_byte(1),
            ..asked
        },
        Requirements {
            min_quality: 990_001,
            ..asked
        },
    ] {
        assert_eq!(requires(0, more), Reason::RequirementsUnmet);
    }
}

#[test]
fn a_required_clause_without_a_term_never_holds() {
    for clause in Clauses::ATTESTED.iter() {
        let leg = Leg {
            required: Clauses::NONE.with(clause),
            policy: Policy::any(),
            dataset: None,
        };
        assert_eq!(
            judge(&finished(), &[leg], None).reason,
            Reason::NoLegHolds,
            "{clause}"
        );
    }
}

/// A finished session whose CPU is a trust domain with these attributes and this service domain.
fn trust_domain(attributes: u64, service_td: Option<[u8; 48]>) -> SessionClaims {
    let mut session = finished();
    let claims = tdx::Claims {
        version: 5,
        kind: tdx::Kind::Td15,
        device: B256::ZERO,
        platform_instance: None,
        ppid: [1; 16],
        fmspc: [2; 6],
        sgx_type: tdx::SgxType::Scalable,
        measurement: [3; 48],
        workload: session.measurement,
        rtmr: [[0; 48]; 4],
        report_data: [4; 64],
        attributes: tdx::Attributes(attributes),
        xfam: 0,
        config_id: [0; 48],
        owner: [0; 48],
        owner_config: [0; 48],
        service_td,
        module: [5; 48],
        tcb_svn: [6; 16],
        current_tcb_svn: None,
        appraisal: Some(tdx::Appraisal {
            status: tdx::TcbStatus::UpToDate,
            date: Time::from_unix(0),
            advisories: Vec::new(),
            platform: up_to_date(),
            module: None,
            current: None,
            quoting_enclave: up_to_date(),
            evaluation: 17,
            valid_until: Time::from_unix(u64::MAX),
        }),
        trailing: 0,
        simulated: false,
    };
    session.cpu = CpuClaims::Tdx {
        claims: Box::new(claims),
        unrated: None,
    };
    session
}

fn up_to_date() -> tdx::Rating {
    tdx::Rating {
        status: tdx::TcbStatus::UpToDate,
        date: Time::from_unix(0),
        advisories: Vec::new(),
    }
}

#[test]
fn what_is_wrong_with_a_trust_domain_is_refused_unless_waived_by_name() {
    const SEPT_VE_DISABLE: u64 = 1 << 28;
    let reason = |session: &SessionClaims, statuses: u16| {
        let policy = Policy {
            cpu_tcb: Term::Require(CpuTcb {
                min_snp: Tcb([0; 8]),
                tdx_statuses: Bits(statuses),
            }),
            ..Policy::any()
        };
        judge(session, &[leg(policy)], None).reason
    };
    let fine = trust_domain(SEPT_VE_DISABLE, None);
    assert_eq!(reason(&fine, 1), Reason::Accepted);
    assert_eq!(reason(&fine, 2), Reason::PlatformStatusRefused);
    for (concern, session) in [
        (Concern::SeptVeEnabled, trust_domain(0, None)),
        (
            Concern::ReservedAttributes,
            trust_domain(SEPT_VE_DISABLE | 1 << 40, None),
        ),
        (
            Concern::Migratable,
            trust_domain(SEPT_VE_DISABLE | 1 << 29, None),
        ),
        (
            Concern::ServiceTd,
            trust_domain(SEPT_VE_DISABLE, Some([7; 48])),
        ),
    ] {
        let waiver = 1 << concern.waiver_bit().unwrap();
        assert_eq!(reason(&session, 1), Reason::CpuAttributesRefused);
        assert_eq!(
            reason(&session, !waiver),
            Reason::CpuAttributesRefused,
            "{concern:?}"
        );
        assert_eq!(
            reason(&session, 1 | waiver),
            Reason::Accepted,
            "{concern:?}"
        );
        // A waiver is no status.
        assert_eq!(reason(&session, waiver), Reason::PlatformStatusRefused);
    }
    // Debugging has a clause of its own, and no waiver here.
    let debug = trust_domain(SEPT_VE_DISABLE | 1, None);
    assert_eq!(reason(&debug, 1), Reason::Accepted);
    let policy = Policy {
        debug_off: Term::Require(()),
        ..Policy::any()
    };
    let judgement = judge(&debug, &[leg(policy)], None);
    assert_eq!(judgement.reason, Reason::DebugEnabled);
}
