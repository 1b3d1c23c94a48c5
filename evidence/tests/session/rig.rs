//! One simulated machine and what is expected of it.

use std::sync::OnceLock;

use alloy_primitives::B256;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::{self, Expected, SessionClaims, Started};
use vouch_evidence::{Anchors, Rejection, Time};
use vouch_protocol::{Counters, DatasetMeasure, Statement};
use vouch_simulator::{Hardware, Machine, Options, Product, Session, Work, roots};

pub(crate) const CHALLENGED: Time = Time::from_unix(1_795_305_600);
pub(crate) const NOW: Time = CHALLENGED.plus(90);
pub(crate) const CHALLENGE: B256 = B256::repeat_byte(0xc4);
pub(crate) const INPUTS: B256 = B256::repeat_byte(0x11);
pub(crate) const OUTPUTS: B256 = B256::repeat_byte(0x22);

pub(crate) fn anchors() -> Anchors {
    let roots = roots();
    Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .unwrap()
}

/// Made once: its keys take a moment.
pub(crate) fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        Machine::with_hardware(
            b"rig",
            Hardware {
                gpus: 2,
                cpu: Product::Genoa,
            },
        )
    })
}

pub(crate) fn start() -> Statement {
    Session::from_secret([7; 32]).start(CHALLENGE, INPUTS)
}

pub(crate) fn finish() -> Statement {
    let work = Work {
        outputs: OUTPUTS,
        counters: Counters {
            output_bytes: 1_000,
            output_rows: 10,
        },
        datasets: vec![DatasetMeasure {
            records: 500,
            bytes: 5_000,
            schema: B256::repeat_byte(0x5c),
            quality: 990_000,
        }],
    };
    Session::from_secret([7; 32]).finish(CHALLENGE, INPUTS, work)
}

pub(crate) fn bundle(statement: &Statement) -> Bundle {
    machine().bundle(statement, &Options::default())
}

pub(crate) fn expect_start(json: &[u8]) -> Expected {
    Expected::Start {
        evidence: Bundle::digest(json),
        challenge: CHALLENGE,
        challenged_at: CHALLENGED,
        inputs: INPUTS,
    }
}

pub(crate) fn expect_finish(json: &[u8]) -> Expected {
    let started = verify_start(&bundle(&start())).unwrap();
    Expected::Finish {
        evidence: Bundle::digest(json),
        challenge: CHALLENGE,
        challenged_at: CHALLENGED,
        inputs: INPUTS,
        outputs: OUTPUTS,
        started: Started {
            at: CHALLENGED.plus(30),
            session_key: started.statement.encryption_key,
            devices: started.devices,
            measurement: started.measurement,
        },
    }
}

pub(crate) fn verify_start(bundle: &Bundle) -> Result<SessionClaims, Rejection> {
    let json = bundle.to_json();
    session::verify(&json, &expect_start(&json), &anchors(), NOW)
}

pub(crate) fn verify_finish(bundle: &Bundle) -> Result<SessionClaims, Rejection> {
    let json = bundle.to_json();
    session::verify(&json, &expect_finish(&json), &anchors(), NOW)
}
