//! The verifier has no special path for the simulator: what it makes has the real shapes.

use alloy_primitives::B256;
use vouch_evidence::{Anchors, Time, nvidia, sev_snp};
use vouch_protocol::Reason;
use vouch_simulator::{Evidence, Hardware, Machine, Options, Product, Session, Tamper, roots};

const NOW: Time = Time::from_unix(1_795_305_600);

/// SHA-256 of the simulated GPU root.
const ROOT: &str = "bfa64d148a144324d726fa89d2c32994593bdc444e9225cce1ca12bef95fe2d5";

fn anchors() -> Anchors {
    let roots = roots();
    Anchors::vendor()
        .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
        .unwrap()
}

fn evidence(cpu: Product, tamper: Option<Tamper>) -> Evidence {
    let machine = Machine::with_hardware(b"test", Hardware { gpus: 2, cpu });
    let statement = Session::from_secret([1; 32]).start(B256::repeat_byte(2), B256::repeat_byte(3));
    machine.evidence(
        &statement,
        &Options {
            tamper,
            ..Options::default()
        },
    )
}

fn check(evidence: &Evidence, anchors: &Anchors) -> Result<Vec<B256>, Reason> {
    let transcript = evidence.statement.transcript();
    let mut devices = Vec::new();
    for gpu in &evidence.gpus {
        let chain: Vec<&[u8]> = gpu.chain.iter().map(Vec::as_slice).collect();
        let report = nvidia::Report::parse(&gpu.report).map_err(|r| r.reason)?;
        let report = nvidia::verify(&report, &chain, anchors, NOW).map_err(|r| r.reason)?;
        nvidia::check_nonce(&report, &transcript.gpu_nonce(), &mut ()).map_err(|r| r.reason)?;
        devices.push(vouch_protocol::device::gpu(&report.device().leaf_serial));
    }
    let [vek, signer, root] = &evidence.cpu.chain;
    let report = sev_snp::Report::parse(&evidence.cpu.report).map_err(|r| r.reason)?;
    let chain = sev_snp::Chain { signer, root };
    let report = sev_snp::verify(&report, vek, Some(&chain), anchors, NOW).map_err(|r| r.reason)?;
    let bound = transcript.report_data(evidence.gpus.iter().map(|gpu| gpu.report.as_slice()));
    sev_snp::check_report_data(&report, &bound, &mut ()).map_err(|r| r.reason)?;
    let claims = report.claims();
    devices.push(claims.device);
    if claims.debug() {
        Err(Reason::DebugEnabled)
    } else {
        Ok(devices)
    }
}

#[test]
fn honest_evidence_verifies_and_names_the_machine_s_devices() {
    for cpu in Product::ALL {
        let machine = Machine::with_hardware(b"test", Hardware { gpus: 2, cpu });
        assert_eq!(
            check(&evidence(cpu, None), &anchors()),
            Ok(machine.devices()),
            "{cpu:?}"
        );
    }
}

#[test]
fn nobody_trusts_it_without_being_told_to() {
    let refused = check(&evidence(Product::Genoa, None), &Anchors::vendor());
    assert_eq!(refused, Err(Reason::GpuRootUntrusted));
}

#[test]
fn each_lie_about_a_report_has_its_reason() {
    for cpu in Product::ALL {
        for tamper in Tamper::ALL
            .iter()
            .copied()
            .filter(|kind| *kind != Tamper::OutputsDigest)
        {
            let found = check(&evidence(cpu, Some(tamper)), &anchors());
            assert_eq!(found, Err(tamper.reason()), "{tamper} on {cpu:?}");
        }
    }
}

#[test]
fn a_lie_about_outputs_is_vouched_for_by_honest_hardware() {
    let lie = evidence(Product::Genoa, Some(Tamper::OutputsDigest));
    let truth = evidence(Product::Genoa, None);
    assert!(check(&lie, &anchors()).is_ok());
    assert_ne!(lie.statement.outputs, truth.statement.outputs);
}

#[test]
fn no_signed_byte_can_change() {
    let truth = evidence(Product::Turin, None);
    for offset in (0..4000).step_by(97) {
        let mut changed = truth.clone();
        changed.gpus[1].report[offset] ^= 1;
        assert!(
            check(&changed, &anchors()).is_err(),
            "byte {offset} of the GPU report"
        );
    }
    for offset in (0..sev_snp::SIGNED_LEN).step_by(23) {
        let mut changed = truth.clone();
        changed.cpu.report[offset] ^= 1;
        assert!(
            check(&changed, &anchors()).is_err(),
            "byte {offset} of the CPU report"
        );
    }
}

#[test]
fn seeds_make_devices_and_secrets_make_sessions() {
    let [one, same, other] = [b"a", b"a", b"b"].map(|seed| Machine::new(seed).devices());
    assert_eq!(one, same);
    assert!(one.iter().all(|device| !other.contains(device)));
    let session = Session::generate();
    let again = Session::from_secret(session.secret());
    assert_eq!(session.signing_key(), again.signing_key());
    assert_eq!(session.encryption_key(), again.encryption_key());
    assert_ne!(
        session.encryption_key(),
        Session::generate().encryption_key()
    );
    assert_ne!(session.encryption_key(), session.signing_key());
}

#[test]
fn the_gpu_root_is_always_the_same_bytes() {
    let root = roots().nvidia;
    assert_eq!(root, roots().nvidia);
    assert_eq!(Machine::new(b"x").gpus()[0].chain().last(), Some(&root));
    // Operators pin it: a change here has to reach their configurations.
    use sha2::{Digest, Sha256};
    assert_eq!(hex::encode(Sha256::digest(&root)), ROOT);
}

#[test]
fn lies_have_distinct_names_that_are_read_back() {
    for kind in Tamper::ALL {
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    let error = "gpu".parse::<Tamper>().unwrap_err().to_string();
    assert!(
        error.contains("gpu-signature") && error.contains("swapped-gpu"),
        "{error}"
    );
}
