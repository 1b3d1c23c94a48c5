//! The same verdicts as `dcap-qvl`, another implementation, on captures and on changed captures.

use std::cell::RefCell;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use vouch_evidence::tdx::{self, Certification, Claims, Collateral, Concern, Quote};
use vouch_evidence::{Anchors, Rejection, Time, anchors, decode};

use crate::folder::{each, folder, read, time};

/// Quote, collateral, time.
const ROWS: [(&str, &str, &str); 3] = [
    (
        "tdx/dcap-qvl/tdx_quote",
        "tdx/dcap-qvl/tdx_quote_collateral.json",
        "2025-07-01T00:00:00Z",
    ),
    (
        "tdx/dcap-qvl/tdx_quote_outdated",
        "tdx/dcap-qvl/tdx_quote_outdated_collateral.json",
        "2026-03-01T00:00:00Z",
    ),
    (
        "tdx/dcap-qvl/tdx_quote_td15ex",
        "tdx/dcap-qvl/tdx_quote_td15ex_collateral.json",
        "2026-10-20T00:00:00Z",
    ),
];

fn ours(quote: &[u8], json: &[u8], at: Time) -> Result<Claims, Rejection> {
    let collateral = Collateral::from_json(json)?;
    let quote = Quote::parse(quote)?;
    Ok(tdx::verify(&quote, Some(&collateral), &Anchors::vendor(), at)?.claims())
}

fn theirs(quote: &[u8], json: &[u8], at: Time) -> Result<(String, Vec<String>), String> {
    let mut collateral: QuoteCollateralV3 =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    collateral.pck_certificate_chain = None;
    QuoteVerifier::new_prod()
        .verify(quote, &collateral, at.unix())
        .map(|report| (report.status, report.advisory_ids))
        .map_err(|error| format!("{error:#}"))
}

/// A difference that [`agree`] lets pass.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    TheirPolicy,
    BytesOfTheRoot,
}

/// Where we differ on purpose:
/// - What `dcap-qvl` refuses by its own policy is a concern in our claims, for the policies of buyers
///   and data owners to judge.
/// - It prefers a chain in the collateral to the quote's own, which we take first; so it gets none.
/// - It does not look at the root that a chain brings, since its own stands in; ours must be equal.
fn agree(name: &str, quote: &[u8], json: &[u8], at: Time) -> Option<Difference> {
    match (ours(quote, json, at), theirs(quote, json, at)) {
        (Ok(claims), Ok((status, mut advisories))) => {
            let appraisal = claims.appraisal.unwrap();
            let mut found = appraisal.advisories;
            found.sort_unstable();
            advisories.sort_unstable();
            assert_eq!(appraisal.status.name(), status, "{name}");
            assert_eq!(found, advisories, "{name}");
            None
        }
        (Err(_), Err(_)) => None,
        (Ok(claims), Err(theirs)) => {
            let concerns: Vec<Concern> = claims.concerns().collect();
            assert!(!concerns.is_empty(), "{name}: only they refuse: {theirs}");
            Some(Difference::TheirPolicy)
        }
        (Err(ours), Ok(_)) => {
            assert!(
                bytes_of_root_differ(quote),
                "{name}: only we refuse: {ours}"
            );
            Some(Difference::BytesOfTheRoot)
        }
    }
}

/// Whether the third certificate of a quote's chain is not Intel's root as Intel publishes it.
fn bytes_of_root_differ(quote: &[u8]) -> bool {
    let Ok(quote) = Quote::parse(quote) else {
        return false;
    };
    let Certification::Chain(pem) = quote.certification else {
        return false;
    };
    let text = String::from_utf8_lossy(pem);
    let root = text.rsplit("-----BEGIN").next().unwrap_or_default();
    let published = "-----BEGIN".to_owned() + root;
    decode::certificates(published.trim_end_matches('\0').as_bytes())
        .map_or(true, |found| found != [anchors::INTEL_SGX_ROOT_CA])
}

#[test]
fn captures() {
    each(
        "TDX second opinion",
        &ROWS,
        |row| row.0,
        |(quote, json, at)| {
            let (bytes, collateral) = (read(quote), read(json));
            agree(quote, &bytes, &collateral, time(at));
            for other in ROWS.map(|row| row.2) {
                agree(quote, &bytes, &collateral, time(other));
            }
        },
    );
}

#[test]
fn collateral_of_another() {
    each(
        "TDX second opinion, crossed",
        &ROWS,
        |row| row.0,
        |(quote, ..)| {
            for (other, json, at) in ROWS {
                if crate::folder::folder().unwrap().join(json).is_file() {
                    agree(
                        &format!("{quote} with {other}'s"),
                        &read(quote),
                        &read(json),
                        time(at),
                    );
                }
            }
        },
    );
}

#[test]
fn changed_captures() {
    let found = RefCell::new(Vec::new());
    each(
        "TDX second opinion, changed",
        &ROWS,
        |row| row.0,
        |(quote, json, at)| {
            let (mut bytes, collateral) = (read(quote), read(json));
            let length = Quote::parse(&bytes).unwrap().length;
            for index in (0..length).step_by(29) {
                let bit = 1 << (index % 7);
                bytes[index] ^= bit;
                let name = format!("{quote}, byte {index}");
                found
                    .borrow_mut()
                    .extend(agree(&name, &bytes, &collateral, time(at)));
                bytes[index] ^= bit;
            }
        },
    );
    // A difference that no longer shows is not to stay on the list. (That of policies shows with few quotes.)
    if folder().is_some_and(|folder| folder.join(ROWS[0].0).is_file()) {
        assert!(found.into_inner().contains(&Difference::BytesOfTheRoot));
    }
}
