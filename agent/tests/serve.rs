//! A session behind an API: whom it answers, what it counts, and what never leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use reqwest::tls::TlsInfo;
use tokio::task::JoinHandle;
use vouch_agent::report::Report;
use vouch_agent::serve::{MAX_REQUEST, Service, serve};
use vouch_agent::session::Session;
use vouch_agent::wasi::Module;
use vouch_agent::workload::{Limits, Workload};
use vouch_client::call::{ANSWER_SIGNATURE, Ask, SEQUENCE, SIGNATURE, answered, message};
use vouch_protocol::Counters;
use zeroize::Zeroizing;

const ORDER: B256 = B256::repeat_byte(7);
const WEIGHTS: &[u8] = b"the weights of the model";

/// A workload that writes each text to its file in `/out`.
fn workload(files: &[(&str, &str)]) -> Workload {
    let (mut data, mut body) = (String::new(), String::new());
    for (index, (name, text)) in files.iter().enumerate() {
        let name_at = 1024 + data.len();
        let (text_at, fd) = (name_at + name.len(), 5 + index);
        data.push_str(name);
        data.push_str(text);
        body.push_str(&format!(
            "(drop (call $open (i32.const 4) (i32.const 0) (i32.const {name_at}) (i32.const {}) (i32.const 1)
               (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
             (i32.store (i32.const 16) (i32.const {text_at})) (i32.store (i32.const 20) (i32.const {}))
             (drop (call $write (i32.const {fd}) (i32.const 16) (i32.const 1) (i32.const 32)))",
            name.len(),
            text.len(),
        ));
    }
    let data = data.replace('\n', "\\n");
    let wasm = wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "{data}")
            (func (export "_start") {body}))"#
    ));
    Workload::Wasi(Module::new(&wasm.unwrap()).unwrap())
}

/// A session that serves.
struct Served {
    url: String,
    key: B256,
    buyer: PrivateKeySigner,
    http: reqwest::Client,
    ended: JoinHandle<anyhow::Result<Counters>>,
}

impl Served {
    async fn start(workload: Workload, calls: u64, limits: Limits, time: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let session = Arc::new(Session::generate().unwrap());
        let buyer = PrivateKeySigner::from_slice(&[1; 32]).unwrap();
        let service = Service {
            workload,
            arguments: vec!["workload".into()],
            model: Zeroizing::new(WEIGHTS.to_vec()),
            order: ORDER,
            buyer: buyer.address(),
            limits,
            time: 0,
            calls,
            deadline: Instant::now() + time,
        };
        let key = session.signing_key();
        let until = std::future::pending();
        let report = Report { json: true };
        let ended = tokio::spawn(serve(service, session, listener, until, report));
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .tls_info(true)
            .build();
        Self {
            url,
            key,
            buyer,
            http: http.unwrap(),
            ended,
        }
    }

    /// An honest session with calls and budget to spare.
    async fn plenty() -> Self {
        let files = [
            ("response", "two\nlines\n"),
            ("model", "the weights of the model"),
        ];
        let time = Duration::from_secs(60);
        Self::start(workload(&files), 3, Limits::default(), time).await
    }

    fn signed(&self, ask: Ask, sequence: u64, body: &[u8]) -> String {
        let signature = self
            .buyer
            .sign_message_sync(&message(ORDER, sequence, ask, body));
        hex::encode(signature.unwrap().as_bytes())
    }

    async fn send(
        &self,
        ask: Ask,
        sequence: &str,
        signature: &str,
        body: &[u8],
    ) -> reqwest::Response {
        let request = self.http.post(format!("{}{}", self.url, ask.path()));
        let request = request
            .header(SEQUENCE, sequence)
            .header(SIGNATURE, signature);
        request.body(body.to_vec()).send().await.unwrap()
    }

    async fn ask(&self, sequence: u64) -> (u16, String) {
        let signature = self.signed(Ask::Infer, sequence, b"request");
        let sequence = sequence.to_string();
        let answer = self
            .send(Ask::Infer, &sequence, &signature, b"request")
            .await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn end(self) -> Counters {
        let signature = self.signed(Ask::End, u64::MAX, b"");
        let sequence = u64::MAX.to_string();
        let answer = self.send(Ask::End, &sequence, &signature, b"").await;
        assert_eq!(answer.status().as_u16(), 204);
        self.ended.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_buyer_is_answered_under_the_sessions_key_and_signature() {
    let served = Served::plenty().await;
    let signature = served.signed(Ask::Infer, 1, b"request");
    let answer = served.send(Ask::Infer, "1", &signature, b"request").await;
    assert_eq!(answer.status().as_u16(), 200);
    let certificate = answer.extensions().get::<TlsInfo>().unwrap();
    let certificate = certificate.peer_certificate().unwrap();
    assert!(
        certificate
            .windows(32)
            .any(|part| part == served.key.as_slice()),
        "the certificate has another key than the session"
    );
    let signature = hex::decode(answer.headers()[ANSWER_SIGNATURE].as_bytes()).unwrap();
    let answer = answer.bytes().await.unwrap();
    assert_eq!(&answer[..], b"two\nlines\n");
    let verify = |signed: &[u8]| {
        UnparsedPublicKey::new(&ED25519, served.key.as_slice()).verify(signed, &signature)
    };
    assert!(verify(&answered(ORDER, 1, b"request", &answer)).is_ok());
    assert!(verify(&answered(ORDER, 2, b"request", &answer)).is_err());
    assert!(verify(&answered(ORDER, 1, b"another", &answer)).is_err());
    // Ten bytes and two rows: the second file, with the model in it, did not leave.
    let counted = served.end().await;
    assert_eq!((counted.output_bytes, counted.output_rows), (10, 2));
}

#[tokio::test]
async fn whoever_is_not_the_buyer_and_whatever_is_malformed_is_refused_and_costs_nothing() {
    let served = Served::plenty().await;
    let good = served.signed(Ask::Infer, 5, b"request");
    let stranger = PrivateKeySigner::from_slice(&[2; 32]).unwrap();
    let stranger = stranger.sign_message_sync(&message(ORDER, 5, Ask::Infer, b"request"));
    let stranger = hex::encode(stranger.unwrap().as_bytes());
    let other = served.signed(Ask::Infer, 5, b"another");
    let ending = served.signed(Ask::End, 5, b"request");
    for (sequence, signature, status) in [
        ("five", good.as_str(), 400),
        ("-5", &good, 400),
        ("", &good, 400),
        ("5", "", 400),
        ("5", "0x12", 400),
        ("5", &"zz".repeat(65), 400),
        ("5", &"00".repeat(65), 403),
        ("5", &stranger, 403),
        ("5", &other, 403),
        ("5", &ending, 403),
        ("6", &good, 403),
    ] {
        let answer = served
            .send(Ask::Infer, sequence, signature, b"request")
            .await;
        let found = answer.status().as_u16();
        assert!(
            found == status || (status, found) == (403, 400),
            "{sequence} {signature}: {found}"
        );
        let text = answer.text().await.unwrap();
        assert!(!text.contains("weights") && !text.contains("two"), "{text}");
    }
    let huge = vec![0; MAX_REQUEST + 1];
    let signature = served.signed(Ask::Infer, 5, &huge);
    let answer = served.send(Ask::Infer, "5", &signature, &huge).await;
    assert_eq!(answer.status().as_u16(), 413);
    assert_eq!(served.end().await, Counters::default());
}

#[tokio::test]
async fn no_call_is_played_again_and_after_the_last_there_is_none() {
    let served = Served::plenty().await;
    assert_eq!(served.ask(4).await.0, 200);
    for again in [4, 3, 0] {
        assert_eq!(served.ask(again).await.0, 409, "{again}");
    }
    assert_eq!(served.ask(5).await.0, 200);
    assert_eq!(served.ask(9).await.0, 200);
    let counted = served.ended.await.unwrap().unwrap();
    assert_eq!((counted.output_bytes, counted.output_rows), (30, 6));
}

#[tokio::test]
async fn the_budget_is_that_of_all_calls_together() {
    // What the workload writes beside the answer counts against one call's budget, not against the next's.
    let limits = Limits {
        output_bytes: 25,
        ..Limits::default()
    };
    let module = workload(&[("response", "two\nlines\n")]);
    let served = Served::start(module, 9, limits, Duration::from_secs(60)).await;
    assert_eq!(served.ask(1).await.0, 200);
    assert_eq!(served.ask(2).await.0, 200);
    let (status, text) = served.ask(3).await;
    assert_eq!(
        (status, text.as_str()),
        (422, "the workload was stopped: output\n")
    );
    let counted = served.end().await;
    assert_eq!((counted.output_bytes, counted.output_rows), (20, 4));
}

#[tokio::test]
async fn the_policies_rows_are_a_quota_of_answers() {
    // An answer without a line's end is a row all the same.
    for (response, answers) in [("yes", 3), ("two\nlines\n", 1)] {
        let limits = Limits {
            output_rows: 3,
            ..Limits::default()
        };
        let module = workload(&[("response", response)]);
        let served = Served::start(module, 1000, limits, Duration::from_secs(60)).await;
        for sequence in 1..=answers {
            assert_eq!(served.ask(sequence).await.0, 200, "{response:?} {sequence}");
        }
        let counted = match answers {
            // The quota is used up, and the serving over.
            3 => served.ended.await.unwrap().unwrap(),
            // There is a row left, but not for an answer of two.
            _ => {
                assert_eq!(served.ask(9).await.0, 422);
                served.end().await
            }
        };
        assert!(counted.output_rows <= 3, "{counted:?}");
        assert_eq!(counted.output_bytes, answers * response.len() as u64);
    }
}

#[tokio::test]
async fn a_workload_without_an_answer_tells_nothing_else() {
    let module = workload(&[("model", "the weights of the model")]);
    let served = Served::start(module, 9, Limits::default(), Duration::from_secs(60)).await;
    let (status, text) = served.ask(1).await;
    assert_eq!(status, 422);
    assert!(!text.contains("weights"), "{text}");
    assert_eq!(served.end().await, Counters::default());
}

#[tokio::test]
async fn the_deadline_ends_it_though_a_connection_stays_open() {
    let module = workload(&[("response", "two\nlines\n")]);
    let served = Served::start(module, 9, Limits::default(), Duration::from_millis(1)).await;
    // Says nothing, and does not go away.
    let address = served.url.trim_start_matches("https://").to_owned();
    let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let counted = served.ended.await.unwrap().unwrap();
    assert_eq!(counted, Counters::default());
}
