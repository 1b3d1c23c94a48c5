//! The same verdicts as the crate `sev`, another implementation, on captures and on changed captures.

use sev::certs::snp::{Certificate, Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use vouch_evidence::sev_snp::{self, Report};
use vouch_evidence::{Anchors, Cache, Rejection, Verifier};
use vouch_protocol::Reason;

use crate::folder::{binary, certificates, folder, time};
use crate::table::{Capture, ROWS, Row, is_here};

/// Where we differ on purpose, as far as captures show it: `sev` verifies three signatures, and leaves the
/// rest to its caller (TCB, chip, names and extensions of certificates). It writes what it read once more
/// and verifies that, so bytes that it does not read do not count.
const ONLY_WE_REFUSE: &[(Reason, &str)] = &[
    (
        Reason::CertificateExpired,
        "it does not look at the validity of certificates",
    ),
    (
        Reason::Malformed,
        "reserved bits, which it skips; DER in other than its one form, which it reads",
    ),
];

fn rows() -> impl Iterator<Item = (&'static Row, &'static str)> {
    ROWS.iter().filter_map(|row| match row.capture {
        Capture::SevSnp(vek) if is_here(row) => Some((row, vek)),
        _ => None,
    })
}

fn theirs(report: &[u8], vek: &[u8], signer: &[u8], root: &[u8]) -> std::io::Result<()> {
    let certificate = |der: &[u8]| Certificate::from_der(der);
    let chain: Chain = (certificate(signer)?, certificate(root)?, certificate(vek)?).into();
    let report = AttestationReport::from_bytes(report)?;
    (&chain, &report).verify()
}

fn agree(name: &str, ours: Result<(), Rejection>, theirs: std::io::Result<()>) -> Option<Reason> {
    match (ours, theirs) {
        (Ok(()), Ok(())) | (Err(_), Err(_)) => None,
        (Ok(()), Err(error)) => panic!("{name}: only they refuse: {error}"),
        (Err(rejection), Ok(())) => {
            let reviewed = ONLY_WE_REFUSE.iter().any(|(r, _)| *r == rejection.reason);
            assert!(reviewed, "{name}: only we refuse: {rejection}");
            Some(rejection.reason)
        }
    }
}

#[test]
fn captures_and_changed_captures() {
    if folder().is_none() {
        return println!("SEV-SNP second opinion: captures are not here, skipped");
    }
    let anchors = Anchors::vendor();
    let (mut verdicts, mut differences) = (0, std::collections::BTreeMap::new());
    for (row, vek) in rows() {
        let (mut bytes, mut vek) = (binary(row.file), certificates(vek).remove(0));
        let cache = Cache::new();
        let verifier = Verifier::new(&anchors, time(row.at)).with_cache(&cache);
        // AMD's certificates of the row's generation, as the genuine report leads to them.
        let parsed = Report::parse(&bytes).unwrap();
        let genuine = sev_snp::verify_observed(&parsed, &vek, None, &verifier, &mut ());
        let product = genuine.as_ref().map_or("milan", |authentic| {
            match authentic.claims().generation.name() {
                "Genoa" => "genoa",
                "Turin" => "turin",
                _ => "milan",
            }
        });
        let vlek = row.file.contains("vlek");
        let root =
            |file: &str| std::fs::read(format!("{}/roots/{file}", env!("CARGO_MANIFEST_DIR")));
        let signer = if vlek { "asvk" } else { "ask" };
        let signer = root(&format!("amd-{signer}-{product}.der")).unwrap();
        let root = root(&format!("amd-ark-{product}.der")).unwrap();
        let mut compare = |name: String, bytes: &[u8], vek: &[u8]| {
            let ours = Report::parse(bytes).and_then(|report| {
                sev_snp::verify_observed(&report, vek, None, &verifier, &mut ()).map(|_| ())
            });
            let found = agree(&name, ours, theirs(bytes, vek, &signer, &root));
            verdicts += 1;
            if let Some(reason) = found {
                *differences.entry(reason).or_insert(0) += 1;
            }
        };
        compare(row.file.into(), &bytes, &vek);
        if row.expected.is_err() {
            continue;
        }
        for at in (0..bytes.len()).step_by(53) {
            bytes[at] ^= 1 << (at % 8);
            compare(format!("{}, byte {at}", row.file), &bytes, &vek);
            bytes[at] ^= 1 << (at % 8);
        }
        for at in (0..vek.len()).step_by(101) {
            vek[at] ^= 1 << (at % 8);
            compare(format!("{}, byte {at} of its key", row.file), &bytes, &vek);
            vek[at] ^= 1 << (at % 8);
        }
    }
    println!(
        "SEV-SNP second opinion: {verdicts} verdicts compared; only we refuse: {differences:?}"
    );
    // A difference that no longer shows is not to stay on the list.
    for (reason, _) in ONLY_WE_REFUSE {
        assert!(
            differences.contains_key(reason),
            "{reason}: they refuse it too now"
        );
    }
}
