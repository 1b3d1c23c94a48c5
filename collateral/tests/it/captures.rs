//! Real collateral, served as the vendors serve it, is what the verifier takes.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vouch_collateral::{Found, Request, Wanted};
use vouch_evidence::revocation::ocsp::{self, Hold};
use vouch_evidence::sev_snp::{self, Generation};
use vouch_evidence::tdx::{self, Quote};
use vouch_evidence::{Anchors, Time, Verifier, decode, nvidia};

use crate::service::{Service, bytes, now, status, with};

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("VOUCH_EVIDENCE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
    };
    if !folder.is_dir() {
        println!("captures are not here, skipped");
        return None;
    }
    Some(folder)
}

fn time(text: &str) -> Time {
    Time::from_rfc3339_utc(text).unwrap()
}

#[tokio::test]
async fn intels_answers_become_collateral_that_verifies() {
    let Some(folder) = folder() else { return };
    let read = |name: &str| std::fs::read(folder.join("tdx/dcap-qvl").join(name)).unwrap();
    let stored: Value = serde_json::from_slice(&read("tdx_quote_collateral.json")).unwrap();
    let text = move |name: &str| stored[name].as_str().unwrap().to_owned();
    let signed = {
        let text = text.clone();
        move |member: &str, name: &str| {
            let signature = text(&format!("{name}_signature"));
            let body = format!(r#"{{"{member}":{},"signature":"{signature}"}}"#, text(name));
            let chain = text(&format!("{name}_issuer_chain"));
            (body, percent(&chain))
        }
    };
    let service = Service::start(move |_, hit| match hit.target.as_str() {
        "/sgx/certification/v4/pckcrl?ca=platform&encoding=der" => {
            let list = hex::decode(text("pck_crl")).unwrap();
            let chain = percent(&text("pck_crl_issuer_chain"));
            with("SGX-PCK-CRL-Issuer-Chain", &chain, bytes(list))
        }
        "/tdx/certification/v4/tcb?fmspc=b0c06f000000" => {
            let (body, chain) = signed("tcbInfo", "tcb_info");
            with("TCB-Info-Issuer-Chain", &chain, bytes(body))
        }
        "/tdx/certification/v4/qe/identity" => {
            let (body, chain) = signed("enclaveIdentity", "qe_identity");
            with("SGX-Enclave-Identity-Issuer-Chain", &chain, bytes(body))
        }
        "/IntelSGXRootCA.der" => bytes(hex::decode(text("root_ca_crl")).unwrap()),
        _ => status(404),
    })
    .await;

    let at = time("2025-07-01T00:00:00Z");
    let anchors = Anchors::vendor();
    let verifier = Verifier::new(&anchors, at);
    let quote = read("tdx_quote");
    let quote = Quote::parse(&quote).unwrap();
    let mut wanted = Wanted::default();
    wanted.tdx(&quote);
    let dir = tempfile::tempdir().unwrap();
    // From the service, then from the cache.
    for hits in [4, 4] {
        let fetcher = service.fetcher(dir.path());
        let gathered = fetcher.gather(wanted.clone(), at, &verifier).await;
        assert!(gathered.failures.is_empty(), "{:?}", gathered.failures);
        assert_eq!(service.count(), hits);
        let collateral = gathered.tdx.unwrap();
        let authentic = tdx::verify_collateral(&collateral, &verifier, &mut ()).unwrap();
        let quote = tdx::verify_observed(&quote, Some(&authentic), &verifier, &mut ()).unwrap();
        assert_eq!(quote.claims().status().unwrap().name(), "UpToDate");
    }
}

#[tokio::test]
async fn nvidias_answers_are_those_of_the_golden_machine() {
    let Some(folder) = folder() else { return };
    let golden = folder.join("nvidia/go-nvattest");
    let read = |name: &str| std::fs::read(golden.join(name)).unwrap();
    let chain = decode::certificates(&read("test_gpu_attestation_certificate_chain.dat")).unwrap();
    let report = decode::binary(&read("test_raw_gpu_attestation_report.dat")).unwrap();
    let report = nvidia::Report::parse(&report).unwrap();
    let slices: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let at = time("2025-08-21T12:00:00Z");
    let anchors = Anchors::vendor();
    let verifier = Verifier::new(&anchors, at);
    let claims = nvidia::verify_observed(&report, &slices, &verifier, &mut ())
        .unwrap()
        .claims();

    let mut stored = Found::default();
    stored.add(&golden.join("ocsp")).unwrap();
    let answers = stored.collateral.ocsp.clone();
    let rims = golden.join("rim");
    let service = Service::start(move |_, hit| match hit.target.strip_prefix("/v1/rim/") {
        Some(id) => match std::fs::read(rims.join(format!("{id}.xml"))) {
            Ok(xml) => bytes(json!({ "id": id, "rim": STANDARD.encode(xml) }).to_string()),
            Err(_) => status(404),
        },
        // The responder finds its answer by the hash of the issuer's key and the serial number,
        // which stand in request and response alike.
        None => {
            assert_eq!((hit.method.as_str(), hit.target.as_str()), ("POST", "/"));
            assert_eq!(hit.headers["content-type"], "application/ocsp-request");
            let id = hit.body.windows(2).position(|w| w == [0x04, 0x30]).unwrap();
            let id = &hit.body[id..];
            let known = answers
                .iter()
                .find(|der| der.windows(id.len()).any(|w| w == id));
            known.map_or_else(|| status(400), |der| bytes(der.clone()))
        }
    })
    .await;

    let mut wanted = Wanted::default();
    wanted.manifests_of(&claims);
    wanted.revocation_of(&chain);
    let dir = tempfile::tempdir().unwrap();
    let gathered = service
        .fetcher(dir.path())
        .gather(wanted, at, &verifier)
        .await;
    assert_eq!(gathered.collateral.manifests.len(), 2);
    // The stored answers about the manifests' signers are two months younger than those about the
    // device: all of them count at `at` or later, so all are taken.
    assert!(gathered.failures.is_empty(), "{:?}", gathered.failures);
    assert_eq!(gathered.collateral.ocsp.len(), 7);
    let responses = ocsp::parse_all(&gathered.collateral.ocsp).unwrap();
    ocsp::check_chain(&slices, 1, &responses, Hold::Refuse, at, &mut ()).unwrap();
}

#[tokio::test]
async fn amds_certificates_are_found_by_chip_and_tcb() {
    let Some(folder) = folder() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, generation) in [
        ("milan", Generation::Milan),
        ("genoa", Generation::Genoa),
        ("turin", Generation::Turin),
    ] {
        let read = |suffix: &str| {
            std::fs::read(folder.join(format!("snp/ms-tee/{name}_{suffix}"))).unwrap()
        };
        let vek = decode::certificates(&read("vcek.pem")).unwrap().remove(0);
        let stored = vek.clone();
        let chain = [read("ask.pem"), read("ark.pem")].concat();
        let service = Service::start(move |_, hit| match hit.target.ends_with("cert_chain") {
            true => bytes(chain.clone()),
            false => bytes(stored.clone()),
        })
        .await;
        let report = read("attestation_report.bin");
        let report = sev_snp::Report::parse(&report).unwrap();
        let wanted = Request::vcek(&report);
        assert_eq!(wanted.len(), 1);
        let fetcher = service.fetcher(&dir.path().join(name));
        let document = fetcher.get(&wanted[0], now()).await.unwrap();
        assert_eq!(document.bytes, vek);
        let target = &service.hits()[0].target;
        assert!(
            target.starts_with(&format!("/vcek/v1/{generation}/")),
            "{target}"
        );
        let chain = Request::AmdChain {
            generation,
            endorsement: sev_snp::Endorsement::Vcek,
        };
        let chain = fetcher.get(&chain, now()).await.unwrap();
        let chain = decode::certificates(&chain.bytes).unwrap();
        let chain = sev_snp::Chain {
            signer: &chain[0],
            root: &chain[1],
        };
        let anchors = Anchors::vendor();
        let at = time("2026-03-01T00:00:00Z");
        sev_snp::verify(&report, &document.bytes, Some(&chain), &anchors, at).unwrap();
    }
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
