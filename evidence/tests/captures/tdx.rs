use vouch_evidence::tdx::{self, Claims, Collateral, Concern, Kind, Quote, Signed, TcbStatus};
use vouch_evidence::{Anchors, Explanation, Outcome, Rejection, Verifier};
use vouch_protocol::Reason;

use crate::folder::{each, folder, read, time};

/// How the collateral of a row comes about.
#[derive(Clone, Copy, Debug)]
enum From {
    /// None is given.
    Nowhere,
    /// A file in the JSON layout.
    File(&'static str),
    /// The service's answers of February 2026, with lists and chains of the same weeks.
    GoV5,
    /// The service's answers of June 2023, with the signer's certificate of 2025: that of 2023 was
    /// not kept.
    Go2023,
}

const COLLATERAL: &str = "tdx/dcap-qvl/tdx_quote_collateral.json";
const OUTDATED_COLLATERAL: &str = "tdx/dcap-qvl/tdx_quote_outdated_collateral.json";

fn collateral(from: From) -> Option<Collateral> {
    let file = |path| Collateral::from_json(&read(path)).unwrap();
    match from {
        From::Nowhere => None,
        From::File(path) => Some(file(path)),
        From::GoV5 => {
            let mut all = file(OUTDATED_COLLATERAL);
            all.tcb_info = Some(response(
                "tdx/go-tdx-guest/sample_tcbinfo_response_v5",
                "tcbInfo",
                &all,
            ));
            Some(all)
        }
        From::Go2023 => {
            let mut all = file(COLLATERAL);
            all.tcb_info = Some(response(
                "tdx/go-tdx-guest/sample_tcbInfo_response",
                "tcbInfo",
                &all,
            ));
            all.qe_identity = Some(response(
                "tdx/go-tdx-guest/sample_qeIdentity_response",
                "enclaveIdentity",
                &all,
            ));
            all.pck_crl = Some(read("tdx/go-tdx-guest/pckcrl"));
            all.root_crl = Some(read("tdx/go-tdx-guest/rootcrl.der"));
            Some(all)
        }
    }
}

fn response(path: &str, member: &'static str, chain_of: &Collateral) -> Signed {
    let chain = chain_of.tcb_info.as_ref().unwrap().chain.clone();
    Signed::from_response(&read(path), member, chain).unwrap()
}

/// A quote, on its own or in the JSON of an Azure machine.
fn quote(path: &str) -> Vec<u8> {
    let bytes = read(path);
    if path.ends_with(".json") {
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        return serde_json::from_value(json["td_quote"].clone()).unwrap();
    }
    bytes
}

fn verify(bytes: &[u8], collateral: Option<&Collateral>, at: &str) -> Result<Claims, Rejection> {
    let quote = Quote::parse(bytes)?;
    Ok(tdx::verify(&quote, collateral, &Anchors::vendor(), time(at))?.claims())
}

struct Row {
    quote: &'static str,
    from: From,
    at: &'static str,
    expected: Result<Expected, Reason>,
}

#[derive(Debug, PartialEq)]
struct Expected {
    version: u16,
    kind: Kind,
    status: Option<TcbStatus>,
    concerns: Vec<Concern>,
    trailing: usize,
}

fn rows() -> Vec<Row> {
    use Concern::*;
    use Kind::*;
    let ok = |quote, from, at, version, kind, status, concerns: &[Concern], trailing| Row {
        quote,
        from,
        at,
        expected: Ok(Expected {
            version,
            kind,
            status,
            concerns: concerns.to_vec(),
            trailing,
        }),
    };
    let bad = |quote, from, at, reason| Row {
        quote,
        from,
        at,
        expected: Err(reason),
    };
    const UP: Option<TcbStatus> = Some(TcbStatus::UpToDate);
    const QUOTE: &str = "tdx/dcap-qvl/tdx_quote";
    const OUTDATED: &str = "tdx/dcap-qvl/tdx_quote_outdated";
    const V5: &str = "tdx/go-tdx-guest/quote_v5_sample.dat";
    const V4: &str = "tdx/go-tdx-guest/tdx_prod_quote_SPR_E4.dat";
    const DEBUG: &str = "tdx/trustee/tdx_quote_4.dat";
    const AZURE: &str = "tdx/trustee/az-tdx-vtpm/evidence-v0.json";
    const TD15EX: &str = "tdx/dcap-qvl/tdx_quote_td15ex";
    const JULY: &str = "2025-07-01T00:00:00Z";
    const MARCH: &str = "2026-03-01T00:00:00Z";
    let file = From::File(COLLATERAL);
    let none = From::Nowhere;
    vec![
        ok(QUOTE, file, JULY, 4, Td10, UP, &[], 70),
        ok(QUOTE, none, JULY, 4, Td10, None, &[], 70),
        ok(V5, From::GoV5, "2026-02-25T00:00:00Z", 5, Td15, UP, &[], 0),
        ok(OUTDATED, none, MARCH, 5, Td15, None, &[], 0),
        // Attributes have only PKS; bytes that are not zero follow the quote.
        ok(
            V4,
            none,
            "2023-07-01T00:00:00Z",
            4,
            Td10,
            None,
            &[SeptVeEnabled],
            39,
        ),
        ok(DEBUG, none, JULY, 4, Td10, None, &[Debug], 0),
        ok(AZURE, none, JULY, 4, Td10, None, &[SeptVeEnabled], 70),
        ok(
            TD15EX,
            From::File("tdx/dcap-qvl/tdx_quote_td15ex_collateral.json"),
            "2026-10-20T00:00:00Z",
            5,
            Td15Ex,
            UP,
            &[],
            0,
        ),
        // Component 8 of the platform is 3, and Intel's lowest level asks for 5.
        bad(
            OUTDATED,
            From::File(OUTDATED_COLLATERAL),
            MARCH,
            Reason::CpuTcbTooLow,
        ),
        bad(
            V4,
            From::Go2023,
            "2023-07-01T00:00:00Z",
            Reason::CertificateExpired,
        ),
        // Collateral of another platform, of SGX, too late and too early.
        bad(DEBUG, file, JULY, Reason::TcbInfoMissing),
        bad(
            QUOTE,
            From::File("tdx/dcap-qvl/sgx_quote_collateral.json"),
            JULY,
            Reason::TcbInfoMissing,
        ),
        bad(
            QUOTE,
            file,
            "2025-08-01T00:00:00Z",
            Reason::CollateralExpired,
        ),
        bad(
            QUOTE,
            file,
            "2025-06-01T00:00:00Z",
            Reason::CollateralExpired,
        ),
        bad(
            QUOTE,
            file,
            "2032-12-01T00:00:00Z",
            Reason::CollateralExpired,
        ),
        bad(
            QUOTE,
            none,
            "2032-12-01T00:00:00Z",
            Reason::CertificateExpired,
        ),
        // Not TDX, or not Intel's.
        bad(
            "tdx/dcap-qvl/sgx_quote",
            none,
            JULY,
            Reason::VersionUnsupported,
        ),
        bad(
            "tdx/intel-qvl/quote.dat",
            none,
            JULY,
            Reason::VersionUnsupported,
        ),
        bad("tdx/intel-qvl/tdx/quote.dat", none, JULY, Reason::Malformed),
    ]
}

#[test]
fn quotes_with_their_collateral() {
    each(
        "TDX quotes",
        &rows(),
        |row| row.quote,
        |row| {
            let found = verify(&quote(row.quote), collateral(row.from).as_ref(), row.at);
            let name = format!("{} with {:?} at {}", row.quote, row.from, row.at);
            match (&row.expected, found) {
                (Ok(expected), Ok(claims)) => {
                    let found = Expected {
                        version: claims.version,
                        kind: claims.kind,
                        status: claims.status(),
                        concerns: claims.concerns().collect(),
                        trailing: claims.trailing,
                    };
                    assert_eq!(found, *expected, "{name}");
                    assert!(!claims.simulated, "{name}");
                }
                (Err(reason), Err(rejection)) => {
                    assert_eq!(rejection.reason, *reason, "{name}: {rejection}");
                }
                (Ok(_), Err(rejection)) => panic!("{name}: refused: {rejection}"),
                (Err(reason), Ok(_)) => panic!("{name}: accepted, expected {reason}"),
            }
        },
    );
}

#[test]
fn claims_are_those_of_the_capture() {
    if folder().is_none() {
        println!("TDX claims: captures are not here, skipped");
        return;
    }
    let all = collateral(From::File(COLLATERAL));
    let claims = verify(
        &quote("tdx/dcap-qvl/tdx_quote"),
        all.as_ref(),
        "2025-07-01T00:00:00Z",
    )
    .unwrap();
    let appraisal = claims.appraisal.as_ref().unwrap();
    assert_eq!(claims.fmspc, [0xb0, 0xc0, 0x6f, 0, 0, 0]);
    assert_eq!(claims.tcb_svn[..4], [6, 1, 3, 0]);
    assert_eq!(claims.attributes.0, 1 << 28);
    assert_eq!(claims.service_td, None);
    assert!(claims.platform_instance.is_some());
    assert!(appraisal.advisories.is_empty());
    assert_eq!(
        appraisal.module.as_ref().unwrap().status,
        TcbStatus::UpToDate
    );
    assert_eq!(appraisal.current, None);
    assert_eq!(appraisal.valid_until, time("2025-07-19T10:00:35Z"));
}

#[test]
fn without_collateral_nothing_is_passed_in_silence() {
    if folder().is_none() {
        println!("TDX explanations: captures are not here, skipped");
        return;
    }
    let bytes = quote("tdx/dcap-qvl/tdx_quote");
    let quote = Quote::parse(&bytes).unwrap();
    let anchors = Anchors::vendor();
    let verifier = Verifier::new(&anchors, time("2025-07-01T00:00:00Z"));
    let mut explanation = Explanation::default();
    tdx::verify_observed(&quote, None, &verifier, &mut explanation).unwrap();
    let open: Vec<_> = explanation
        .checks()
        .iter()
        .filter(|check| check.outcome == Outcome::NotChecked)
        .map(|check| &*check.field)
        .collect();
    assert_eq!(
        open,
        ["pck_chain.revocation", "qe_report.identity", "tcb.status"]
    );
}

#[test]
fn a_cache_changes_no_verdict() {
    if folder().is_none() {
        println!("TDX cache: captures are not here, skipped");
        return;
    }
    let bytes = quote("tdx/dcap-qvl/tdx_quote");
    let other = quote("tdx/trustee/tdx_quote_4.dat");
    let all = collateral(From::File(COLLATERAL)).unwrap();
    let anchors = Anchors::vendor();
    let cache = vouch_evidence::Cache::new();
    let verifier = |at| Verifier::new(&anchors, time(at)).with_cache(&cache);
    let all = tdx::verify_collateral(&all, &verifier("2025-07-01T00:00:00Z"), &mut ()).unwrap();
    let verify = |bytes: &[u8], at| {
        let quote = Quote::parse(bytes).unwrap();
        tdx::verify_observed(&quote, Some(&all), &verifier(at), &mut ())
            .map(|authentic| authentic.claims().status())
            .map_err(|rejection| rejection.reason)
    };
    for _ in 0..2 {
        let up = Ok(Some(TcbStatus::UpToDate));
        assert_eq!(verify(&bytes, "2025-07-01T00:00:00Z"), up);
        assert_eq!(
            verify(&other, "2025-07-01T00:00:00Z"),
            Err(Reason::TcbInfoMissing)
        );
        assert_eq!(
            verify(&bytes, "2025-07-20T00:00:00Z"),
            Err(Reason::CollateralExpired)
        );
        assert_eq!(
            verify(&bytes, "2033-07-20T00:00:00Z"),
            Err(Reason::CertificateExpired)
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    let rows = rows();
    each(
        "TDX truncations",
        &rows,
        |row| row.quote,
        |row| {
            let bytes = quote(row.quote);
            let length = Quote::parse(&bytes).map_or(bytes.len(), |quote| quote.length);
            for end in 0..length {
                let parsed = Quote::parse(&bytes[..end]);
                assert!(parsed.is_err(), "{}: {end} bytes accepted", row.quote);
            }
        },
    );
}
