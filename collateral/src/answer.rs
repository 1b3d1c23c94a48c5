//! Whether an answer is what was asked for, and until when it says that it counts.
//!
//! Nothing here looks at signatures. It keeps what is plainly something else (an error page, an
//! answer about another certificate) out of the cache.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use vouch_evidence::revocation::{crl_window, ocsp};
use vouch_evidence::tdx::Signed;
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Rejection, Time, decode};
use vouch_protocol::Reason;

use crate::request::Request;

/// How long something is kept that neither says until when it counts nor came with instructions.
const UNSAID: Duration = Duration::from_secs(24 * 3600);
/// Longest that HTTP headers can make something kept that does not say itself until when it counts.
const MOST_SAID: Duration = Duration::from_secs(7 * 24 * 3600);

/// What came over HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// The signer's certificates, percent-encoded PEM.
    pub(crate) chain: Option<String>,
    /// How long HTTP says it is fresh. Zero: it must not be kept.
    pub(crate) fresh: Option<Duration>,
}

/// An answer that looks right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// What was asked for, in the form that the verifier takes.
    pub(crate) bytes: Vec<u8>,
    /// The signer's certificates, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The last second at which it counts.
    pub(crate) until: Time,
}

/// Reads an answer that came at `now`.
pub(crate) fn read(request: &Request, answer: &Answer, now: Time) -> Result<Content, Rejection> {
    let body = answer.body.as_slice();
    let said = |bytes: Vec<u8>, until| Content {
        bytes,
        chain: Vec::new(),
        until,
    };
    Ok(match request {
        Request::Manifest(id) => {
            let fresh = answer.fresh.unwrap_or(UNSAID).min(MOST_SAID);
            said(manifest(id, body)?, now.plus(fresh.as_secs()))
        }
        Request::Ocsp {
            certificate,
            issuer,
        } => {
            let response = ocsp::Response::parse(body)?;
            let about = Certificate::parse(certificate)?;
            let issuer = Certificate::parse(issuer)?;
            if !response.is_about(&about, &issuer) {
                return Err(other(
                    "an answer about this certificate",
                    "one about another",
                ));
            }
            said(body.to_vec(), response.window().next_update)
        }
        Request::Vcek { .. } | Request::Vlek { .. } => match certificates(body)?.as_slice() {
            [(der, until)] => said(der.clone(), *until),
            list => return Err(other("one certificate", format!("{}", list.len()))),
        },
        Request::AmdChain { .. } => match certificates(body)?.as_slice() {
            [(signer, one), (root, other)] => {
                said([signer.as_slice(), root].concat(), *one.min(other))
            }
            list => return Err(other("two certificates", format!("{}", list.len()))),
        },
        Request::AmdCrl { .. } | Request::RootCrl => {
            said(body.to_vec(), crl_window(body)?.next_update)
        }
        Request::PckCrl(_) => Content {
            bytes: body.to_vec(),
            chain: chain(answer)?,
            until: crl_window(body)?.next_update,
        },
        Request::TcbInfo(_) => signed(answer, "tcbInfo")?,
        Request::QeIdentity => signed(answer, "enclaveIdentity")?,
    })
}

#[derive(Deserialize)]
struct RimAnswer {
    id: String,
    rim: String,
}

fn manifest(id: &str, body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let answer: RimAnswer = serde_json::from_slice(body)
        .map_err(|error| other("JSON with id and rim", error.to_string()))?;
    if answer.id != id {
        return Err(other(format!("manifest {id}"), format!("{:?}", answer.id)));
    }
    let xml = STANDARD
        .decode(answer.rim.as_bytes())
        .map_err(|error| other("rim in base64", error.to_string()))?;
    if !xml.trim_ascii_start().starts_with(b"<") {
        return Err(other("an XML document", "something else"));
    }
    Ok(xml)
}

fn certificates(body: &[u8]) -> Result<Vec<(Vec<u8>, Time)>, Rejection> {
    let ders = decode::certificates(body)?;
    let valid = |der: Vec<u8>| {
        let until = Certificate::parse(&der)?.not_after;
        Ok((der, until))
    };
    ders.into_iter().map(valid).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dated {
    next_update: String,
}

fn signed(answer: &Answer, member: &'static str) -> Result<Content, Rejection> {
    let chain = chain(answer)?;
    let signed = Signed::from_response(&answer.body, member, chain.clone())?;
    let dated: Option<Dated> = serde_json::from_str(&signed.text).ok();
    let until = dated
        .as_ref()
        .and_then(|dated| Time::from_rfc3339_utc(&dated.next_update));
    Ok(Content {
        bytes: answer.body.clone(),
        chain,
        until: until.ok_or_else(|| other(format!("{member}.nextUpdate"), "none"))?,
    })
}

/// The chain in an answer's header.
fn chain(answer: &Answer) -> Result<Vec<Vec<u8>>, Rejection> {
    let Some(text) = &answer.chain else {
        return Err(other("the signer's certificates in a header", "none"));
    };
    let pem: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    decode::certificates(&pem).map_err(|r| r.within("header"))
}

fn other(expected: impl Into<String>, found: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Malformed, "answer", expected.into(), found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rim(body: &str, fresh: Option<u64>) -> Result<Content, Rejection> {
        let answer = Answer {
            body: body.as_bytes().to_vec(),
            chain: None,
            fresh: fresh.map(Duration::from_secs),
        };
        read(
            &Request::Manifest("A".into()),
            &answer,
            Time::from_unix(1_000),
        )
    }

    #[test]
    fn manifests_are_kept_as_http_says_within_limits() {
        let body = r#"{"id":"A","rim":"PHg+","sha256":"","request_id":"1"}"#;
        for (fresh, until) in [
            (None, 1_000 + 86_400),
            (Some(60), 1_060),
            (Some(0), 1_000),
            (Some(u64::MAX), 1_000 + 7 * 86_400),
        ] {
            let content = rim(body, fresh).unwrap();
            assert_eq!(content.bytes, b"<x>");
            assert_eq!(content.until.unix(), until, "{fresh:?}");
        }
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"id":"A"}"#,
            r#"{"id":"B","rim":"PHg+"}"#,
            r#"{"id":"A","rim":"!"}"#,
            r#"{"id":"A","rim":"AAAA"}"#,
        ] {
            assert!(rim(body, None).is_err(), "{body}");
        }
        let answer = Answer {
            body: b"<html>".to_vec(),
            ..Answer::default()
        };
        let vcek = Request::Vlek {
            generation: vouch_evidence::sev_snp::Generation::Milan,
            tcb: [0; 8],
        };
        for request in [
            vcek,
            Request::RootCrl,
            Request::QeIdentity,
            Request::TcbInfo([0; 6]),
            Request::PckCrl(crate::PckIssuer::Platform),
            Request::Ocsp {
                certificate: vec![],
                issuer: vec![],
            },
        ] {
            assert!(read(&request, &answer, Time::from_unix(0)).is_err());
        }
    }
}
