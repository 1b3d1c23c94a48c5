use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use vouch_collateral::{Addresses, Cause, Config, Fetcher, Request, Service as Vendor};
use vouch_evidence::sev_snp::{Endorsement, Generation};
use vouch_protocol::Reason;

use crate::service::{Service, bytes, manifest, now, rim, status, with};

#[tokio::test]
async fn a_service_that_fails_for_a_while_is_asked_again() {
    for code in [429, 500, 502, 503, 408] {
        let service = Service::start(move |n, _| match n {
            0 => status(code),
            1 => with("retry-after", "0", status(code)),
            _ => rim("A", "<x/>"),
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let got = service.fetcher(dir.path()).get(&manifest("A"), now()).await;
        assert_eq!(got.unwrap().bytes, b"<x/>", "{code}");
        assert_eq!(service.count(), 3, "{code}");
    }
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_given_up() {
    let service = Service::start(|_, _| status(500)).await;
    let dir = tempfile::tempdir().unwrap();
    let error = service
        .fetcher(dir.path())
        .get(&manifest("A"), now())
        .await
        .unwrap_err();
    let last = "status 500".to_owned();
    assert_eq!(error.cause, Cause::Unreachable { tries: 4, last });
    assert_eq!(error.reason, Reason::ManifestMissing);
    assert!(error.cause.is_transient() && !error.reason.class().is_conclusive());
    assert_eq!(service.count(), 4);
    let text = error.to_string();
    assert!(
        text.contains("manifest A") && text.contains("/v1/rim/A"),
        "{text}"
    );
}

#[tokio::test]
async fn a_service_that_asks_for_an_hour_is_left_alone() {
    let service = Service::start(|_, _| with("retry-after", "3600", status(429))).await;
    let dir = tempfile::tempdir().unwrap();
    let fetcher = service.fetcher(dir.path());
    let error = fetcher.get(&manifest("A"), now()).await.unwrap_err();
    assert_eq!(error.cause, Cause::Busy { seconds: 3600 });
    // Everything of that service waits, and nothing of the others.
    let error = fetcher.get(&manifest("B"), now()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Busy { seconds } if seconds > 3590));
    assert_eq!(service.count(), 1);
    let _ = fetcher.get(&Request::QeIdentity, now()).await.unwrap_err();
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn answers_that_will_not_change_are_not_asked_for_again() {
    let rows = [
        (404, Cause::NotFound),
        (410, Cause::NotFound),
        (302, Cause::Refused { status: 302 }),
        (401, Cause::Refused { status: 401 }),
        (403, Cause::Refused { status: 403 }),
        (204, Cause::Refused { status: 204 }),
    ];
    for (code, cause) in rows {
        let elsewhere = move |_: usize, _: &_| with("location", "/v1/rim/B", status(code));
        let service = Service::start(elsewhere).await;
        let dir = tempfile::tempdir().unwrap();
        let got = service.fetcher(dir.path()).get(&manifest("A"), now()).await;
        assert_eq!(got.unwrap_err().cause, cause, "{code}");
        assert_eq!(service.count(), 1, "{code}");
    }
}

#[tokio::test]
async fn garbage_is_refused_and_not_kept() {
    let rows = [
        bytes_of("<html>maintenance</html>"),
        bytes_of(""),
        bytes_of(r#"{"id":"B","rim":"PHgvPg=="}"#),
    ];
    for body in rows {
        let service = Service::start(move |n, _| match n {
            0 => bytes(body.clone()),
            _ => rim("A", "<x/>"),
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let fetcher = service.fetcher(dir.path());
        let error = fetcher.get(&manifest("A"), now()).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Garbage { .. }), "{error}");
        assert_eq!(service.count(), 1);
        assert!(fetcher.get(&manifest("A"), now()).await.is_ok());
    }
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up() {
    let never = stream::pending::<Result<Bytes, std::io::Error>>;
    let service = Service::start(move |_, _| bytes(Body::from_stream(never()))).await;
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        timeout: Duration::from_millis(100),
        tries: 2,
        ..service.config(dir.path())
    };
    let fetcher = Fetcher::new(&config).unwrap();
    let error = fetcher.get(&manifest("A"), now()).await.unwrap_err();
    assert!(
        matches!(error.cause, Cause::Unreachable { tries: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let service = Service::start(|n, _| match n {
        0 => {
            let broken = std::io::Error::other("broken off");
            let parts = [Ok(Bytes::from_static(b"{\"id\":")), Err(broken)];
            with(
                "content-length",
                "1000",
                bytes(Body::from_stream(stream::iter(parts))),
            )
        }
        _ => rim("A", "<x/>"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let got = service.fetcher(dir.path()).get(&manifest("A"), now()).await;
    assert!(got.is_ok(), "{got:?}");
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let rows: [fn() -> axum::http::Response<Body>; 2] = [
        || {
            let part = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]));
            bytes(Body::from_stream(stream::repeat_with(part)))
        },
        || bytes(vec![b' '; 2 * 1024 * 1024]),
    ];
    for body in rows {
        let service = Service::start(move |_, _| body()).await;
        let dir = tempfile::tempdir().unwrap();
        let got = service
            .fetcher(dir.path())
            .get(&Request::QeIdentity, now())
            .await;
        let error = got.unwrap_err();
        assert!(matches!(error.cause, Cause::TooLarge { .. }), "{error}");
        assert_eq!(error.reason, Reason::TcbInfoMissing);
        assert_eq!(service.count(), 1);
    }
}

#[tokio::test]
async fn a_service_without_an_address_is_not_asked() {
    let service = Service::start(|_, _| rim("A", "<x/>")).await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = service.config(dir.path());
    config.addresses = Addresses {
        nvidia_rim: String::new(),
        ..config.addresses
    };
    let error = Fetcher::new(&config)
        .unwrap()
        .get(&manifest("A"), now())
        .await
        .unwrap_err();
    let disabled = Vendor::NvidiaRim;
    assert_eq!(error.cause, Cause::Disabled { service: disabled });
    assert_eq!(service.count(), 0);
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().to_owned());
    config.addresses.amd_kds = format!("{base}/mirror/");
    config.first_wait = Duration::from_millis(1);
    let crl = Request::AmdCrl {
        generation: Generation::Turin,
        endorsement: Endorsement::Vcek,
    };
    let error = Fetcher::new(&config)
        .unwrap()
        .get(&crl, now())
        .await
        .unwrap_err();
    assert_eq!(error.address, format!("{base}/mirror/vcek/v1/Turin/crl"));
    assert_eq!(error.reason, Reason::RevocationMissing);
    assert!(
        error.to_string().contains("no answer after 4 tries"),
        "{error}"
    );
}

#[tokio::test]
async fn the_authorization_goes_to_nvidia_alone() {
    let service = Service::start(|_, _| status(404)).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "Bearer hush\n").unwrap();
    let config = Config {
        nvidia_authorization: Some(file),
        ..service.config(dir.path())
    };
    let fetcher = Fetcher::new(&config).unwrap();
    for request in [manifest("A"), Request::QeIdentity, Request::RootCrl] {
        let _ = fetcher.get(&request, now()).await.unwrap_err();
    }
    let sent: Vec<bool> = service
        .hits()
        .iter()
        .map(|hit| {
            hit.headers
                .get("authorization")
                .is_some_and(|h| h == "Bearer hush")
        })
        .collect();
    assert_eq!(sent, [true, false, false]);
}

fn bytes_of(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
