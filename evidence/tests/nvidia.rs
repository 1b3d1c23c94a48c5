//! Chains and reports of devices that do not exist, each wrong in one way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![allow(clippy::as_conversions, missing_docs, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData,
};
use vouch_evidence::nvidia::{self, FirmwareBinding, Kind, Mode, Report};
use vouch_evidence::{Anchors, Rejection, Time};
use vouch_protocol::Reason;

const NOW: Time = Time::from_unix(1_795_305_600);
const NONCE: [u8; 32] = [0x42; 32];
const FWID: [u8; 48] = [0xf1; 48];
const NAMES: [&str; 5] = [
    "GH100 A01 GSP FMC LF",
    "GH100 A01 GSP BROM",
    "NVIDIA GH100 Provisioner ICA 1",
    "NVIDIA GH100 Identity",
    "Test Device Identity CA",
];

/// A device, and what is unusual about it.
struct Device {
    names: [&'static str; 5],
    /// Place of a certificate that is changed before it is signed.
    place: usize,
    change: fn(&mut CertificateParams),
    /// Place of a certificate with a P-256 key.
    p256: Option<usize>,
    /// The embedded parent key is that of another certificate.
    wrong_parent: bool,
    blackwell: bool,
    opaque: Vec<(u16, Vec<u8>)>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            names: NAMES,
            place: 0,
            change: |_| {},
            p256: None,
            wrong_parent: false,
            blackwell: false,
            opaque: vec![
                (3, b"570.1\0".to_vec()),
                (20, FWID.to_vec()),
                (21, vec![0x55]),
            ],
        }
    }
}

struct Evidence {
    report: Vec<u8>,
    chain: Vec<Vec<u8>>,
}

fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let mut out = vec![tag];
    match contents.len() {
        short @ 0..=127 => out.push(short as u8),
        long @ 128..=255 => out.extend([0x81, long as u8]),
        long => out.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    out.extend(contents);
    out
}

fn firmware_id() -> Vec<u8> {
    let sha384 = der(
        6,
        &[&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02]],
    );
    der(0x30, &[&sha384, &der(4, &[&FWID])])
}

fn firmware_extension(device: &Device, parent: &[u8]) -> CustomExtension {
    if device.blackwell {
        let info = der(
            0x30,
            &[
                &der(0x80, &[b"NVIDIA"]),
                &der(0xa6, &[&firmware_id()]),
                &der(0x87, &[&[0, 0x80, 0, 0, 1]]),
            ],
        );
        return CustomExtension::from_oid_content(&[2, 23, 133, 5, 4, 1, 1], info);
    }
    CustomExtension::from_oid_content(
        &[2, 23, 133, 5, 4, 1],
        der(0x30, &[&[2, 1, 1], parent, &firmware_id()]),
    )
}

impl Device {
    fn make(&self) -> Evidence {
        let keys: Vec<KeyPair> = (0..5)
            .map(|place| {
                KeyPair::generate_for(if self.p256 == Some(place) {
                    &PKCS_ECDSA_P256_SHA256
                } else {
                    &PKCS_ECDSA_P384_SHA384
                })
                .unwrap()
            })
            .collect();
        let params: Vec<CertificateParams> =
            (0..5).map(|place| self.params(place, &keys)).collect();
        let chain = (0..5).map(|place| {
            let issuer = (place + 1).min(4);
            let issuer = Issuer::from_params(&params[issuer], &keys[issuer]);
            params[place]
                .signed_by(&keys[place], &issuer)
                .unwrap()
                .der()
                .to_vec()
        });
        Evidence {
            chain: chain.collect(),
            report: self.report(&keys[0]),
        }
    }

    fn params(&self, place: usize, keys: &[KeyPair]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, self.names[place]);
        params.serial_number = Some(vec![0x41, place as u8, 3, 4, 5, 6, 7, 8, 9].into());
        if place == 0 {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            let parent = keys[if self.wrong_parent { 2 } else { 1 }].subject_public_key_info();
            params
                .custom_extensions
                .push(firmware_extension(self, &parent));
        } else {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        }
        if place == self.place {
            (self.change)(&mut params);
        }
        params
    }

    fn report(&self, key: &KeyPair) -> Vec<u8> {
        let mut report = vec![0x11, 0xe0, 0x01, 0xff];
        report.extend(NONCE);
        report.push(0);
        let mut block = vec![1, 1, 51, 0, 1, 48, 0];
        block.extend([0xaa; 48]);
        report.extend([0x11, 0x60, 0, 0, 1, block.len() as u8, 0, 0]);
        report.extend(block);
        report.extend([0x99; 32]);
        let opaque: Vec<u8> = self
            .opaque
            .iter()
            .flat_map(|(id, value)| {
                [
                    &id.to_le_bytes()[..],
                    &(value.len() as u16).to_le_bytes(),
                    value,
                ]
                .concat()
            })
            .collect();
        report.extend((opaque.len() as u16).to_le_bytes());
        report.extend(opaque);
        let signature = match EcdsaKeyPair::from_pkcs8(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            &key.serialize_der(),
        ) {
            Ok(key) => key
                .sign(&SystemRandom::new(), &report)
                .unwrap()
                .as_ref()
                .to_vec(),
            Err(_) => vec![1; 96],
        };
        report.extend(signature);
        report
    }
}

fn verify(evidence: &Evidence) -> Result<nvidia::Claims, Rejection> {
    verify_at(evidence, NOW)
}

fn verify_at(evidence: &Evidence, time: Time) -> Result<nvidia::Claims, Rejection> {
    let roots = vouch_simulator::roots();
    let root = evidence.chain.last().unwrap();
    let anchors = Anchors::vendor().with_simulated(root, roots.amd_ark, roots.amd_ask)?;
    let report = Report::parse(&evidence.report)?;
    let chain: Vec<&[u8]> = evidence.chain.iter().map(Vec::as_slice).collect();
    Ok(nvidia::verify(&report, &chain, &anchors, time)?.claims())
}

fn refused(device: &Device, reason: Reason) {
    let rejection = verify(&device.make()).unwrap_err();
    assert_eq!(rejection.reason, reason, "{rejection}");
}

#[test]
fn devices_of_each_family_are_accepted() {
    let hopper = verify(&Device::default().make()).unwrap();
    assert_eq!(
        (hopper.kind.name(), hopper.mode, hopper.firmware),
        ("gpu", Some(Mode::Single), FirmwareBinding::Bound)
    );
    assert!(hopper.simulated);
    let blackwell = Device {
        names: [
            "GB100 A01 GSP FMC LF",
            "GB100 A01 GSP BROM",
            "NVIDIA GB100 Provisioner ICA 00000",
            "NVIDIA GB100 Identity",
            NAMES[4],
        ],
        blackwell: true,
        opaque: vec![
            (3, b"575\0".to_vec()),
            (20, FWID.to_vec()),
            (34, vec![1, 0]),
            (35, b"GB100\0".to_vec()),
            (36, vec![1, 0]),
        ],
        ..Device::default()
    };
    let claims = verify(&blackwell.make()).unwrap();
    assert_eq!(
        (claims.mode, claims.debug),
        (Some(Mode::Multi), Some(false))
    );
    let switch = Device {
        names: [
            "LS_10 A01 FSP FMC LF",
            "LS_10 A01 FSP BROM",
            "NVIDIA LS_10 Provisioner ICA 1",
            NAMES[3],
            NAMES[4],
        ],
        opaque: vec![(6, b"96.10.55.00.01".to_vec()), (22, vec![1; 8])],
        ..Device::default()
    };
    assert_eq!(verify(&switch.make()).unwrap().kind, Kind::Switch);
}

#[test]
fn names_of_two_families_are_refused() {
    for (place, name, reason) in [
        (0, "LS_10 A01 FSP FMC LF", Reason::GpuFamilyMismatch),
        (0, "GB100 A01 GSP FMC LF", Reason::GpuFamilyMismatch),
        (0, "GH100 A01 GSP", Reason::GpuFamilyMismatch),
        (1, "GB100 A01 GSP BROM", Reason::GpuFamilyMismatch),
        (1, "GH100 BROM", Reason::GpuFamilyMismatch),
        (1, "TU102 A01 GSP BROM", Reason::DeviceUnsupported),
        (
            2,
            "NVIDIA LS_10 Provisioner ICA 1",
            Reason::GpuFamilyMismatch,
        ),
        (2, "GH100 Provisioner", Reason::GpuFamilyMismatch),
        (3, "NVIDIA GB100 Identity", Reason::GpuFamilyMismatch),
        (3, "NVIDIA Identity", Reason::GpuFamilyMismatch),
    ] {
        let mut names = NAMES;
        names[place] = name;
        refused(
            &Device {
                names,
                ..Device::default()
            },
            reason,
        );
    }
}

#[test]
fn what_a_report_says_must_fit_its_chain() {
    let with = |opaque| Device {
        opaque,
        ..Device::default()
    };
    refused(&with(vec![(20, FWID.to_vec())]), Reason::GpuFamilyMismatch);
    refused(
        &with(vec![(3, b"570\0".to_vec()), (26, vec![0; 128])]),
        Reason::GpuFamilyMismatch,
    );
    refused(
        &with(vec![(3, b"570\0".to_vec()), (35, b"GB100\0".to_vec())]),
        Reason::GpuFamilyMismatch,
    );
    refused(
        &with(vec![(3, b"570\0".to_vec()), (20, vec![0; 48])]),
        Reason::GpuFirmwareMismatch,
    );
    refused(
        &Device {
            wrong_parent: true,
            ..Device::default()
        },
        Reason::GpuChainInvalid,
    );
    // The extension of the other architecture does not stand in.
    refused(
        &Device {
            blackwell: true,
            ..Device::default()
        },
        Reason::GpuChainInvalid,
    );
    let absent = verify(&with(vec![(3, b"535\0".to_vec())]).make()).unwrap();
    assert_eq!(
        (absent.firmware, absent.mode),
        (FirmwareBinding::Absent, None)
    );
}

#[test]
fn certificates_must_be_what_their_place_asks_for() {
    let change = |place, change| Device {
        place,
        change,
        ..Device::default()
    };
    for place in 1..5 {
        let reason = if place == 4 {
            Reason::CpuChainInvalid
        } else {
            Reason::GpuChainInvalid
        };
        refused(&change(place, |params| params.is_ca = IsCa::NoCa), reason);
        refused(
            &change(place, |params| params.is_ca = IsCa::ExplicitNoCa),
            reason,
        );
        refused(
            &change(place, |params| {
                params.key_usages = vec![KeyUsagePurpose::CrlSign]
            }),
            reason,
        );
        refused(&change(place, |params| params.key_usages.clear()), reason);
    }
    refused(
        &change(0, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
        }),
        Reason::GpuChainInvalid,
    );
    refused(
        &change(0, |params| params.is_ca = IsCa::ExplicitNoCa),
        Reason::GpuChainInvalid,
    );
    refused(
        &change(0, |params| {
            params.key_usages.push(KeyUsagePurpose::KeyCertSign)
        }),
        Reason::GpuChainInvalid,
    );
    refused(
        &change(0, |params| {
            params.key_usages = vec![KeyUsagePurpose::KeyAgreement]
        }),
        Reason::GpuChainInvalid,
    );
    refused(
        &change(0, |params| params.custom_extensions.clear()),
        Reason::GpuChainInvalid,
    );
    for place in 0..4 {
        let critical = |params: &mut CertificateParams| {
            let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        };
        refused(&change(place, critical), Reason::GpuChainInvalid);
        let lenient = |params: &mut CertificateParams| {
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]));
        };
        verify(&change(place, lenient).make()).unwrap();
        refused(
            &Device {
                p256: Some(place),
                ..Device::default()
            },
            Reason::GpuChainInvalid,
        );
    }
}

#[test]
fn chains_of_another_length_order_or_time_are_refused() {
    let evidence = Device::default().make();
    let changed = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut chain = evidence.chain.clone();
        change(&mut chain);
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let roots = vouch_simulator::roots();
        let anchors = Anchors::vendor()
            .with_simulated(&evidence.chain[4], roots.amd_ark, roots.amd_ask)
            .unwrap();
        let report = Report::parse(&evidence.report).unwrap();
        nvidia::verify(&report, &chain, &anchors, NOW)
            .unwrap_err()
            .reason
    };
    assert_eq!(
        changed(|chain| drop(chain.remove(0))),
        Reason::GpuChainInvalid
    );
    assert_eq!(
        changed(|chain| drop(chain.remove(4))),
        Reason::GpuChainInvalid
    );
    assert_eq!(changed(Vec::clear), Reason::GpuChainInvalid);
    assert_eq!(
        changed(|chain| chain.insert(2, chain[2].clone())),
        Reason::GpuChainInvalid
    );
    assert_eq!(changed(|chain| chain.swap(1, 2)), Reason::GpuChainInvalid);
    assert_eq!(changed(|chain| chain.reverse()), Reason::GpuRootUntrusted);
    assert_eq!(changed(|chain| chain[4].push(0)), Reason::GpuRootUntrusted);
    assert_eq!(changed(|chain| chain[0].push(0)), Reason::Malformed);
    let expired = Device {
        place: 2,
        change: |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1),
        ..Device::default()
    };
    refused(&expired, Reason::CertificateExpired);
    assert_eq!(
        verify_at(&evidence, Time::from_unix(0)).unwrap_err().reason,
        Reason::CertificateExpired
    );
}

#[test]
fn reports_are_read_strictly() {
    let genuine = Device::default().make();
    let malformed = |opaque: Vec<(u16, Vec<u8>)>| {
        let evidence = Device {
            opaque,
            ..Device::default()
        }
        .make();
        Report::parse(&evidence.report).unwrap_err().reason
    };
    let driver = || (3, b"570\0".to_vec());
    for opaque in [
        vec![driver(), driver()],
        vec![(0, vec![])],
        vec![(255, vec![])],
        vec![driver(), (37, vec![]), (37, vec![])],
        vec![(3, b"570\0x".to_vec())],
        vec![(3, vec![0xff])],
        vec![(11, vec![0xab])],
        vec![(20, vec![0; 47])],
        vec![(21, vec![])],
        vec![(36, vec![0])],
    ] {
        assert_eq!(malformed(opaque.clone()), Reason::Malformed, "{opaque:?}");
    }
    assert_eq!(
        malformed(vec![(34, vec![2, 0])]),
        Reason::VersionUnsupported
    );
    // A field of newer firmware is signed like the others, and not used.
    let newer = Device {
        opaque: vec![driver(), (37, vec![1, 2, 3]), (300, vec![])],
        ..Device::default()
    };
    assert!(Report::parse(&newer.make().report).is_ok());
    for (at, reason) in [
        (0, Reason::VersionUnsupported),
        (1, Reason::Malformed),
        (2, Reason::Malformed),
        (3, Reason::Malformed),
        (36, Reason::Malformed),
        (37, Reason::VersionUnsupported),
        (38, Reason::Malformed),
        (41, Reason::Malformed),
        (42, Reason::Malformed),
        (45, Reason::Malformed),
        (46, Reason::Malformed),
        (47, Reason::Malformed),
        (50, Reason::Malformed),
    ] {
        let mut report = genuine.report.clone();
        report[at] ^= 0x80;
        let rejection = Report::parse(&report).unwrap_err();
        assert_eq!(rejection.reason, reason, "byte {at}: {rejection}");
        assert!(
            rejection
                .offset
                .is_some_and(|offset| offset.abs_diff(at) <= 64),
            "byte {at}: {rejection}"
        );
    }
    let mut longer = genuine.report.clone();
    longer.extend([0; 3]);
    assert_eq!(Report::parse(&longer).unwrap().trailing_zeros, 3);
    longer.push(1);
    assert_eq!(
        Report::parse(&longer).unwrap_err().offset,
        Some(longer.len() - 1)
    );
}
