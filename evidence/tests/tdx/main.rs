//! Platforms that lie, or that Intel rates badly. No real capture does either, so these are made
//! under a root of our own, by everything that Intel's root says otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    missing_docs,
    reason = "tests"
)]

mod platform;

use platform::{ISSUER_SERIAL, PCK_SERIAL, Platform, SIGNER_SERIAL, level, svn};
use serde_json::json;
use vouch_evidence::Anchors;
use vouch_evidence::tdx::{Concern, Kind, TcbStatus};
use vouch_protocol::{Reason, device};

#[test]
fn an_honest_platform_is_believed_by_those_who_trust_its_root() {
    let platform = Platform::honest();
    let made = platform.make();
    let claims = platform.verify().unwrap();
    assert!(claims.simulated);
    assert_eq!(claims.status(), Some(TcbStatus::UpToDate));
    assert_eq!(claims.device, device::cpu(&[0xbb; 16]));
    assert_eq!(claims.measurement, [0x11; 48]);
    assert_eq!(claims.report_data, [0x22; 64]);
    let appraisal = claims.appraisal.unwrap();
    assert_eq!(appraisal.evaluation, 17);
    let rejection = made.verify(None, &Anchors::vendor()).unwrap_err();
    assert_eq!(rejection.reason, Reason::CpuRootUntrusted);
    let rejection = made
        .verify(Some(&made.collateral), &Anchors::vendor())
        .unwrap_err();
    assert_eq!(rejection.reason, Reason::CollateralForged);
    // One simulator's collateral says nothing about another one's platform.
    let other = platform.make();
    let anchors = Anchors::vendor()
        .with_simulated_intel(&made.root)
        .unwrap()
        .with_simulated_intel(&other.root)
        .unwrap();
    let rejection = made.verify(Some(&other.collateral), &anchors).unwrap_err();
    assert_eq!(rejection.reason, Reason::TcbInfoMissing);
}

#[test]
fn every_lie_has_its_reason() {
    type Change = fn(&mut Platform);
    let rows: &[(&str, Reason, Change)] = &[
        ("PCK revoked", Reason::Revoked, |p| {
            p.revoked_pcks = vec![9, PCK_SERIAL, 1]
        }),
        ("issuer revoked", Reason::Revoked, |p| {
            p.revoked_by_root = vec![ISSUER_SERIAL]
        }),
        ("signer revoked", Reason::Revoked, |p| {
            p.revoked_by_root = vec![SIGNER_SERIAL]
        }),
        ("platform revoked", Reason::Revoked, |p| {
            p.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("Revoked");
        }),
        ("module revoked", Reason::Revoked, |p| {
            p.tcb_info["tdxModuleIdentities"][1]["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
        }),
        ("quoting enclave revoked", Reason::Revoked, |p| {
            p.qe_identity["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
        }),
        (
            "own quoting enclave",
            Reason::CpuQuotingEnclaveInvalid,
            |p| p.qe_report[128] ^= 1,
        ),
        (
            "own enclave, its own identity",
            Reason::CpuQuotingEnclaveInvalid,
            |p| {
                p.qe_report[128..160].fill(0);
                p.qe_identity["mrsigner"] = json!("00".repeat(32));
            },
        ),
        (
            "another of Intel's enclaves",
            Reason::CpuQuotingEnclaveInvalid,
            |p| p.qe_report[256] = 1,
        ),
        (
            "quoting enclave debugged",
            Reason::CpuQuotingEnclaveInvalid,
            |p| p.qe_report[48] |= 2,
        ),
        ("MISCSELECT", Reason::CpuQuotingEnclaveInvalid, |p| {
            p.qe_report[16] = 1
        }),
        ("attributes", Reason::CpuQuotingEnclaveInvalid, |p| {
            p.qe_report[49] = 1
        }),
        ("key not bound", Reason::CpuQuotingEnclaveInvalid, |p| {
            p.binds = false
        }),
        (
            "more bound than the key",
            Reason::CpuQuotingEnclaveInvalid,
            |p| p.qe_report[383] = 1,
        ),
        ("quoting enclave too old", Reason::CpuTcbTooLow, |p| {
            p.qe_report[258] = 1
        }),
        ("module too old", Reason::CpuTcbTooLow, |p| p.report[0] = 2),
        ("module of an unknown line", Reason::TcbInfoMissing, |p| {
            p.report[1] = 2
        }),
        (
            "module of another signer",
            Reason::MeasurementMismatch,
            |p| p.report[64] = 1,
        ),
        ("module's attributes", Reason::MeasurementMismatch, |p| {
            p.report[112] = 1
        }),
        (
            "module's attributes outside the mask",
            Reason::MeasurementMismatch,
            |p| {
                p.tcb_info["tdxModuleIdentities"][1]["attributesMask"] = json!("00".repeat(8));
                p.report[112] = 1;
            },
        ),
        ("microcode too old", Reason::CpuTcbTooLow, |p| {
            p.report[2] = 2
        }),
        ("PCE too old", Reason::CpuTcbTooLow, |p| {
            p.tcb_info["tcbLevels"] = json!([level(5, 14, 5, "UpToDate", &[])]);
        }),
        ("platform too old", Reason::CpuTcbTooLow, |p| {
            p.tcb_info["tcbLevels"] = json!([level(8, 13, 5, "UpToDate", &[])]);
        }),
        ("no levels", Reason::CpuTcbTooLow, |p| {
            p.tcb_info["tcbLevels"] = json!([])
        }),
        ("another FMSPC", Reason::TcbInfoMissing, |p| {
            p.tcb_info["fmspc"] = json!("B0C06F000001");
        }),
        ("another PCE", Reason::TcbInfoMissing, |p| {
            p.tcb_info["pceId"] = json!("0001")
        }),
        (
            "TCB info of a later version",
            Reason::VersionUnsupported,
            |p| {
                p.tcb_info["version"] = json!(4);
            },
        ),
        (
            "a status that Intel does not have",
            Reason::VersionUnsupported,
            |p| {
                p.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("Fine");
            },
        ),
        (
            "a status that only comes about",
            Reason::VersionUnsupported,
            |p| {
                p.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("TDRelaunchAdvised");
            },
        ),
        ("15 components", Reason::VersionUnsupported, |p| {
            let list = &mut p.tcb_info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"];
            list.as_array_mut().unwrap().pop();
        }),
        ("TCB info too old", Reason::CollateralExpired, |p| {
            p.tcb_info["nextUpdate"] = json!("2026-01-10T00:00:00Z");
        }),
        ("identity from the future", Reason::CollateralExpired, |p| {
            p.qe_identity["issueDate"] = json!("2026-01-16T00:00:00Z");
        }),
        ("PCK of another name", Reason::CpuChainInvalid, |p| {
            p.pck_name = "PCK"
        }),
        ("PCK that issues", Reason::CpuChainInvalid, |p| {
            p.pck_is_authority = true
        }),
        ("PCK without its extension", Reason::CpuChainInvalid, |p| {
            p.pck_extension = false
        }),
        ("no PCK", Reason::CertificateMissing, |p| {
            p.certification = 3
        }),
    ];
    for (name, reason, change) in rows {
        let mut platform = Platform::honest();
        change(&mut platform);
        let rejection = platform.verify().expect_err(name);
        assert_eq!(rejection.reason, *reason, "{name}: {rejection}");
    }
}

#[test]
fn ratings_converge() {
    type Change = fn(&mut Platform);
    use TcbStatus::*;
    let rows: &[(TcbStatus, &[&str], Change)] = &[
        (UpToDate, &[], |p| p.report[0] = 5),
        // The module's own components are in its identity.
        (UpToDate, &[], |p| {
            p.tcb_info["tcbLevels"][1]["tcb"]["tdxtcbcomponents"][0]["svn"] = json!(200);
        }),
        (OutOfDate, &[], |p| p.report[0] = 4),
        (OutOfDate, &[], |p| p.qe_report[258] = 3),
        (OutOfDate, &["INTEL-SA-00001", "INTEL-SA-00002"], |p| {
            p.report[15] = 4
        }),
        (ConfigurationNeeded, &[], |p| {
            p.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("ConfigurationNeeded");
        }),
        (OutOfDateConfigurationNeeded, &[], |p| {
            p.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("ConfigurationAndSWHardeningNeeded");
            p.report[0] = 3;
        }),
        (SwHardeningNeeded, &["INTEL-SA-00615"], |p| {
            p.tcb_info["tcbLevels"][1] = level(5, 13, 5, "SWHardeningNeeded", &["INTEL-SA-00615"]);
        }),
        (OutOfDateConfigurationNeeded, &[], |p| {
            p.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("OutOfDateConfigurationNeeded");
        }),
    ];
    for (index, (status, advisories, change)) in rows.iter().enumerate() {
        let mut platform = Platform::honest();
        change(&mut platform);
        let appraisal = platform.verify().unwrap().appraisal.unwrap();
        let mut found = appraisal.advisories;
        found.sort_unstable();
        assert_eq!(appraisal.status, *status, "row {index}");
        assert_eq!(found, *advisories, "row {index}");
    }
}

#[test]
fn an_update_under_a_running_domain_advises_relaunch() {
    for (launched, current, status) in [
        (5, 5, TcbStatus::UpToDate),
        (3, 5, TcbStatus::TdRelaunchAdvised),
        (3, 4, TcbStatus::OutOfDate),
        (5, 3, TcbStatus::UpToDate),
    ] {
        let claims = Platform::td15(launched, current).verify().unwrap();
        assert_eq!(claims.kind, Kind::Td15);
        assert_eq!(claims.status(), Some(status), "{launched} to {current}");
    }
    let mut platform = Platform::td15(3, 5);
    platform.tcb_info["tcbLevels"][1]["tcbStatus"] = json!("ConfigurationNeeded");
    assert_eq!(
        platform.verify().unwrap().status(),
        Some(TcbStatus::TdRelaunchAdvisedConfigurationNeeded)
    );
    // The TCB that runs must have a rating too.
    assert_eq!(
        Platform::td15(5, 2).verify().unwrap_err().reason,
        Reason::CpuTcbTooLow
    );
    let mut platform = Platform::td15(5, 4);
    platform.tcb_info["tdxModuleIdentities"][1]["tcbLevels"] =
        json!([svn(5, "UpToDate"), svn(3, "Revoked")]);
    assert_eq!(platform.verify().unwrap_err().reason, Reason::Revoked);
}

#[test]
fn what_a_careful_policy_looks_at_is_said() {
    type Change = fn(&mut Platform);
    let rows: &[(Concern, Change)] = &[
        (Concern::Debug, |p| p.report[120] = 1),
        (Concern::Debug, |p| p.report[120] = 0x20),
        (Concern::ReservedAttributes, |p| p.report[125] = 1),
        (Concern::SeptVeEnabled, |p| p.report[123] = 0),
        (Concern::Migratable, |p| p.report[123] |= 0x20),
        (Concern::ServiceTd, |p| p.report[122] = 2),
        (Concern::ServiceTd, |p| p.report[600] = 1),
    ];
    for (concern, change) in rows {
        let mut platform = Platform::td15(5, 5);
        assert_eq!(platform.verify().unwrap().concerns().count(), 0);
        change(&mut platform);
        let claims = platform.verify().unwrap();
        assert_eq!(claims.concerns().collect::<Vec<_>>(), [*concern]);
        assert_eq!(claims.debug(), *concern == Concern::Debug);
    }
}

#[test]
fn a_chain_may_come_with_the_collateral() {
    let mut platform = Platform::honest();
    platform.certification = 3;
    platform.pck_chain_in_collateral = true;
    assert!(platform.verify().is_ok());
}

#[test]
fn bodies_must_have_their_size() {
    for (version, size) in [(4, 583), (4, 648), (5, 583), (5, 650)] {
        let mut platform = Platform::honest();
        platform.version = version;
        platform.report.resize(size, 0);
        let reason = platform.verify().unwrap_err().reason;
        assert_eq!(reason, Reason::Malformed, "version {version}, {size} bytes");
    }
}
