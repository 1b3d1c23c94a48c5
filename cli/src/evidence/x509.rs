//! Certificates, revocation answers and manifests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouch_evidence::decode;
use vouch_evidence::nvidia::rim;
use vouch_evidence::revocation::{Window, crl_window, ocsp};
use vouch_evidence::tdx::Pck;
use vouch_evidence::x509::Certificate;

use super::tree::{Node, bytes, maybe, text};

type Shown = Result<(String, Node), String>;

const CRL_BEGIN: &str = "-----BEGIN X509 CRL-----";
const CRL_END: &str = "-----END X509 CRL-----";

pub(super) fn pem(raw: &[u8]) -> Shown {
    let list = std::str::from_utf8(raw)
        .ok()
        .and_then(|text| text.split_once(CRL_BEGIN));
    if let Some((_, rest)) = list {
        let body = rest.split_once(CRL_END).map_or(rest, |(body, _)| body);
        let body: String = body.split_ascii_whitespace().collect();
        return der(&STANDARD.decode(body).map_err(|error| error.to_string())?);
    }
    chain(&decode::certificates(raw).map_err(|rejection| rejection.to_string())?)
}

pub(super) fn der(raw: &[u8]) -> Shown {
    if let Ok(response) = ocsp::Response::parse(raw) {
        return Ok(("OCSP response".into(), window(response.window())));
    }
    if let Ok(found) = crl_window(raw) {
        return Ok(("certificate revocation list".into(), window(found)));
    }
    chain(&decode::certificates(raw).map_err(|rejection| rejection.to_string())?)
}

pub(super) fn manifest(xml: &[u8]) -> Shown {
    let manifest = rim::read(xml).map_err(|rejection| rejection.to_string())?;
    let golden = manifest.golden.iter().map(|golden| {
        let digests = golden.alternatives.iter().map(bytes);
        let node = match golden.alternatives.as_slice() {
            [one] => bytes(one),
            _ => Node::list(digests),
        };
        (format!("{:02} {}", golden.index, golden.name), node)
    });
    let node = Node::branch([
        ("edition", text(&manifest.edition)),
        ("product", text(&manifest.product)),
        ("version", text(&manifest.version)),
        ("active measurements", Node::branch(golden)),
    ]);
    Ok(("NVIDIA reference manifest (RIM)".into(), node))
}

pub(super) fn chain(ders: &[Vec<u8>]) -> Shown {
    let shown = ders.iter().map(|der| certificate(der));
    let nodes = shown.collect::<Result<Vec<_>, _>>()?;
    Ok(match <[Node; 1]>::try_from(nodes) {
        Ok([one]) => ("certificate".into(), one),
        Err(nodes) => (format!("{} certificates", nodes.len()), Node::list(nodes)),
    })
}

fn certificate(der: &[u8]) -> Result<Node, String> {
    let parsed = Certificate::parse(der).map_err(|rejection| rejection.to_string())?;
    let authority = parsed
        .basic_constraints
        .is_some_and(|found| found.authority);
    let mut node = Node::branch([
        ("subject", maybe(parsed.common_name())),
        ("issuer", maybe(parsed.issuer_common_name())),
        ("serial", bytes(parsed.serial)),
        ("not_before", text(parsed.not_before)),
        ("not_after", text(parsed.not_after)),
        ("key", text(parsed.key.name())),
        ("authority", text(authority)),
    ]);
    if let Ok(pck) = Pck::read(&parsed) {
        let platform = Node::branch([
            ("fmspc", bytes(pck.fmspc)),
            ("pce_id", bytes(pck.pce_id)),
            ("pce_svn", text(pck.pce_svn)),
            ("components", bytes(pck.components)),
        ]);
        node = node.with("platform", platform);
    }
    Ok(node)
}

fn window(window: Window) -> Node {
    Node::branch([
        ("this_update", text(window.this_update)),
        ("next_update", text(window.next_update)),
    ])
}
