use vouch_evidence::tdx::{self, Collateral, Quote};
use vouch_evidence::{Anchors, Rejection, Verifier};
use vouch_protocol::Reason;

use crate::folder::{folder, read, time};

const AT: &str = "2025-07-01T00:00:00Z";

fn collateral() -> Option<Collateral> {
    if folder().is_none() {
        println!("TDX collateral: captures are not here, skipped");
        return None;
    }
    Some(file("tdx/dcap-qvl/tdx_quote_collateral.json"))
}

fn file(path: &str) -> Collateral {
    Collateral::from_json(&read(path)).unwrap()
}

fn verify(collateral: &Collateral, at: &str) -> Result<(), Rejection> {
    let anchors = Anchors::vendor();
    let verifier = Verifier::new(&anchors, time(at));
    let verified = tdx::verify_collateral(collateral, &verifier, &mut ())?;
    let bytes = read("tdx/dcap-qvl/tdx_quote");
    let quote = Quote::parse(&bytes)?;
    tdx::verify_observed(&quote, Some(&verified), &verifier, &mut ()).map(|_| ())
}

#[test]
fn the_layout_is_written_as_it_is_read() {
    let Some(all) = collateral() else { return };
    assert_eq!(
        Collateral::from_json(all.to_json().as_bytes()).unwrap(),
        all
    );
    // An object in place of the signed text is the signed text.
    let text = String::from_utf8(read("tdx/dcap-qvl/tdx_quote_collateral.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let signed = json["tcb_info"].as_str().unwrap().to_owned();
    json["tcb_info"] = serde_json::Value::Null;
    let embedded = json
        .to_string()
        .replace("\"tcb_info\":null", &format!("\"tcb_info\":{signed}"));
    assert_eq!(Collateral::from_json(embedded.as_bytes()).unwrap(), all);
}

#[test]
fn what_is_missing_or_of_another_is_said() {
    type Change = fn(&mut Collateral);
    let Some(all) = collateral() else { return };
    verify(&all, AT).unwrap();
    let rows: [(&str, Reason, Change); 16] = [
        ("no root CRL", Reason::RevocationMissing, |c| {
            c.root_crl = None
        }),
        ("no PCK CRL", Reason::RevocationMissing, |c| {
            c.pck_crl = None
        }),
        ("no TCB info", Reason::TcbInfoMissing, |c| c.tcb_info = None),
        ("no QE identity", Reason::TcbInfoMissing, |c| {
            c.qe_identity = None
        }),
        ("no CRL chain", Reason::CertificateMissing, |c| {
            c.pck_crl_chain.clear()
        }),
        ("no signer", Reason::CertificateMissing, |c| {
            c.tcb_info.as_mut().unwrap().chain.clear();
        }),
        ("lists swapped", Reason::CollateralForged, |c| {
            std::mem::swap(&mut c.pck_crl, &mut c.root_crl);
        }),
        ("the processors' list", Reason::RevocationMissing, |c| {
            let other = file("tdx/dcap-qvl/sgx_quote_collateral.json");
            (c.pck_crl, c.pck_crl_chain) = (other.pck_crl, other.pck_crl_chain);
        }),
        (
            "the processors' list, this chain",
            Reason::CollateralForged,
            |c| {
                c.pck_crl = file("tdx/dcap-qvl/sgx_quote_collateral.json").pck_crl;
            },
        ),
        ("SGX TCB info", Reason::TcbInfoMissing, |c| {
            c.tcb_info = file("tdx/dcap-qvl/sgx_quote_collateral.json").tcb_info;
        }),
        ("SGX enclave", Reason::TcbInfoMissing, |c| {
            c.qe_identity = file("tdx/dcap-qvl/sgx_quote_collateral.json").qe_identity;
        }),
        ("JSON swapped", Reason::TcbInfoMissing, |c| {
            std::mem::swap(&mut c.tcb_info, &mut c.qe_identity);
        }),
        ("signature of another", Reason::CollateralForged, |c| {
            c.tcb_info.as_mut().unwrap().signature = c.qe_identity.as_ref().unwrap().signature;
        }),
        (
            "the issuer of PCKs signs JSON",
            Reason::CollateralForged,
            |c| {
                c.tcb_info.as_mut().unwrap().chain = c.pck_crl_chain.clone();
            },
        ),
        ("another root", Reason::CollateralForged, |c| {
            c.pck_crl_chain[1] = read("tdx/intel-qvl/tdx/trustedRootCaCert.pem");
        }),
        (
            "signer in place of the root",
            Reason::CollateralForged,
            |c| {
                let chain = &mut c.qe_identity.as_mut().unwrap().chain;
                chain[1] = chain[0].clone();
            },
        ),
    ];
    for (name, reason, change) in rows {
        let mut changed = all.clone();
        change(&mut changed);
        let rejection = verify(&changed, AT).expect_err(name);
        assert_eq!(rejection.reason, reason, "{name}: {rejection}");
    }
}

#[test]
fn stale_parts_are_said_one_by_one() {
    let Some(fresh) = collateral() else { return };
    let old = file("tdx/dcap-qvl/tdx_quote_outdated_collateral.json");
    let stale: [fn(&mut Collateral, &Collateral); 3] = [
        |c, old| c.tcb_info = old.tcb_info.clone(),
        |c, old| c.qe_identity = old.qe_identity.clone(),
        |c, old| c.pck_crl = old.pck_crl.clone(),
    ];
    for change in stale {
        let mut changed = fresh.clone();
        change(&mut changed, &old);
        let rejection = verify(&changed, AT).unwrap_err();
        assert_eq!(rejection.reason, Reason::CollateralExpired, "{rejection}");
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    type Part = fn(&mut Collateral) -> &mut Vec<u8>;
    let Some(mut all) = collateral() else { return };
    let parts: [(&str, Part); 6] = [
        ("root CRL", |c| c.root_crl.as_mut().unwrap()),
        ("PCK CRL", |c| c.pck_crl.as_mut().unwrap()),
        ("PCK CRL issuer", |c| &mut c.pck_crl_chain[0]),
        ("PCK CRL root", |c| &mut c.pck_crl_chain[1]),
        ("TCB signer", |c| &mut c.tcb_info.as_mut().unwrap().chain[0]),
        ("QE root", |c| &mut c.qe_identity.as_mut().unwrap().chain[1]),
    ];
    let mut count = 0;
    for (name, part) in parts {
        for index in 0..part(&mut all).len() {
            part(&mut all)[index] ^= 1 << (index % 8);
            let found = verify(&all, AT);
            part(&mut all)[index] ^= 1 << (index % 8);
            assert!(found.is_err(), "{name}: byte {index} accepted");
            count += 1;
        }
    }
    // Texts stay text: each character becomes another one.
    for is_tcb in [true, false] {
        let signed = if is_tcb {
            &all.tcb_info
        } else {
            &all.qe_identity
        };
        let text = signed.as_ref().unwrap().text.clone();
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
            let mut changed = all.clone();
            let signed = if is_tcb {
                &mut changed.tcb_info
            } else {
                &mut changed.qe_identity
            };
            signed.as_mut().unwrap().text = String::from_utf8(bytes).unwrap();
            let rejection = verify(&changed, AT).expect_err("accepted");
            assert_eq!(
                rejection.reason,
                Reason::CollateralForged,
                "character {index}"
            );
            count += 1;
        }
    }
    println!("TDX collateral: {count} changed bytes refused");
}

#[test]
fn broken_json_is_refused() {
    for json in [
        "",
        "[]",
        "{",
        r#"{"tcb_info":"{}"}"#,
        r#"{"tcb_info":"{}","tcb_info_signature":"00"}"#,
        r#"{"tcb_info":1,"tcb_info_signature":"zz"}"#,
        r#"{"root_ca_crl":""}"#,
        r#"{"root_ca_crl":"","root_ca_crl":""}"#,
        r#"{"pck_crl":"g"}"#,
        r#"{"tcb_info_issuer_chain":"-----BEGIN CERTIFICATE-----"}"#,
    ] {
        let rejection = Collateral::from_json(json.as_bytes()).expect_err(json);
        assert_eq!(rejection.reason, Reason::Malformed, "{json}: {rejection}");
    }
    assert_eq!(Collateral::from_json(b"{}").unwrap(), Collateral::default());
}
