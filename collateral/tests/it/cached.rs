use axum::body::Body;
use axum::http::Response;
use futures::future::join_all;
use vouch_collateral::{Cause, Config, Fetcher, Request};
use vouch_evidence::Time;
use vouch_protocol::Reason;

use crate::service::{Service, bytes, manifest, now, rim, with};

/// A revocation list that counts until `until`, in a year that tests can name.
fn list(until: i32) -> Vec<u8> {
    let params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: 1u64.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut issuer = rcgen::CertificateParams::default();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    issuer.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let issuer = rcgen::Issuer::new(issuer, key);
    params.signed_by(&issuer).unwrap().der().to_vec()
}

fn at(year: u16) -> Time {
    Time::from_utc(year, 6, 1, 0, 0, 0).unwrap()
}

fn any_rim() -> Response<Body> {
    rim("A", "<x/>")
}

#[tokio::test]
async fn a_hundred_callers_are_one_question() {
    let service = Service::start(|_, _| any_rim()).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    // In this runtime the question's task runs only when all callers wait.
    let request = manifest("A");
    let answers = join_all((0..100).map(|_| fetcher.get(&request, now()))).await;
    assert_eq!(service.count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().bytes == b"<x/>")
    );
    assert!(!answers[0].as_ref().unwrap().cached);
    assert!(fetcher.get(&request, now()).await.unwrap().cached);
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nobody_with_it() {
    let service = Service::start(|_, _| any_rim()).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    let request = manifest("A");
    let mut first = Box::pin(fetcher.get(&request, now()));
    assert!(futures::poll!(&mut first).is_pending());
    let second = fetcher.get(&request, now());
    drop(first);
    assert!(second.await.is_ok());
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn failures_are_shared_but_not_kept() {
    let service = Service::start(|n, _| match n {
        0 => crate::service::status(404),
        _ => any_rim(),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    let request = manifest("A");
    let answers = join_all((0..10).map(|_| fetcher.get(&request, now()))).await;
    assert!(
        answers
            .iter()
            .all(|a| a.as_ref().unwrap_err().cause == Cause::NotFound)
    );
    assert!(fetcher.get(&request, now()).await.is_ok());
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn another_process_finds_what_is_kept() {
    let service = Service::start(|_, _| any_rim()).await;
    let dir = tempfile::tempdir().unwrap();
    service
        .fetcher(dir.path())
        .get(&manifest("A"), now())
        .await
        .unwrap();
    let config = Config {
        offline: true,
        ..Config::new(dir.path().to_owned())
    };
    let other = Fetcher::new(&config).unwrap();
    let document = other.get(&manifest("A"), now()).await.unwrap();
    assert!(document.cached);
    // Offline, advice on how long to keep a manifest is no reason to be without one.
    let later = now().plus(400 * 86_400);
    assert!(other.get(&manifest("A"), later).await.is_ok());
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn what_http_says_is_kept_no_longer() {
    for (control, hits) in [("max-age=1000", 1), ("max-age=0", 2), ("no-store", 2)] {
        let service = Service::start(move |_, _| with("cache-control", control, any_rim())).await;
        let dir = tempfile::tempdir().unwrap();
        let fetcher = service.fetcher(dir.path());
        for later in [0, 500] {
            let got = fetcher.get(&manifest("A"), now().plus(later)).await;
            assert!(got.is_ok(), "{control}: {got:?}");
        }
        assert_eq!(service.count(), hits, "{control}");
    }
}

#[tokio::test]
async fn a_list_is_kept_until_its_next_update_and_asked_for_after() {
    let lists = [list(2030), list(2040)];
    let answers = lists.clone();
    let service = Service::start(move |n, _| bytes(answers[n.min(1)].clone())).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    for (year, expected, hits) in [(2029, 0, 1), (2028, 0, 1), (2031, 1, 2), (2039, 1, 2)] {
        let document = fetcher.get(&Request::RootCrl, at(year)).await.unwrap();
        assert_eq!(document.bytes, lists[expected], "{year}");
        assert_eq!(service.count(), hits, "{year}");
    }
    let error = fetcher.get(&Request::RootCrl, at(2041)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Expired { .. }), "{error}");
    assert_eq!(error.reason, Reason::CollateralExpired);
}

#[tokio::test]
async fn offline_says_what_is_missing_and_where_it_would_come_from() {
    let service = Service::start(move |_, _| bytes(list(2030))).await;
    let dir = tempfile::tempdir().unwrap();
    service
        .fetcher(dir.path())
        .get(&Request::RootCrl, at(2029))
        .await
        .unwrap();
    let config = Config {
        offline: true,
        ..service.config(dir.path())
    };
    let offline = Fetcher::new(&config).unwrap();
    assert!(offline.get(&Request::RootCrl, at(2029)).await.is_ok());

    let error = offline.get(&Request::RootCrl, at(2031)).await.unwrap_err();
    assert!(
        matches!(error.cause, Cause::OfflineExpired { .. }),
        "{error}"
    );
    assert_eq!(error.reason, Reason::CollateralExpired);
    assert!(
        error.to_string().contains("2030-01-01T00:00:00Z"),
        "{error}"
    );

    let error = offline
        .get(&Request::QeIdentity, at(2029))
        .await
        .unwrap_err();
    assert_eq!(
        (&error.cause, error.reason),
        (&Cause::Offline, Reason::TcbInfoMissing)
    );
    let address = format!("{}/tdx/certification/v4/qe/identity", service.base);
    assert!(error.to_string().ends_with(&address), "{error}");
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let service = Service::start(|_, _| any_rim()).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    fetcher.get(&manifest("A"), now()).await.unwrap();
    let folder = dir.path().join("nvidia_rim");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&file).unwrap();
    for damaged in [&whole[..whole.len() - 1], b"", b"{}\n<x/>", b"\xff\xff"] {
        std::fs::write(&file, damaged).unwrap();
        let before = service.count();
        assert!(!fetcher.get(&manifest("A"), now()).await.unwrap().cached);
        assert_eq!(service.count(), before + 1);
        assert!(fetcher.get(&manifest("A"), now()).await.unwrap().cached);
    }
    // Nothing is left over from writing.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_costs_nobody_the_answer() {
    let service = Service::start(|_, _| any_rim()).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    std::fs::write(
        dir.path().join("nvidia_rim"),
        "a file where the folder should be",
    )
    .unwrap();
    assert!(fetcher.get(&manifest("A"), now()).await.is_ok());
    assert!(fetcher.get(&manifest("A"), now()).await.is_ok());
    assert_eq!(service.count(), 2);
}
