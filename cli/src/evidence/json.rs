//! Captures that are JSON.

use serde_json::Value;
use vouch_evidence::azure::Evidence;
use vouch_evidence::bundle::{Bundle, CpuEvidence, DeviceEvidence};
use vouch_evidence::nvidia::eat::Eat;
use vouch_evidence::session::Supplement;
use vouch_evidence::{Rejection, decode, tdx};
use vouch_protocol::Statement;

use super::tree::{Node, bytes, text};
use super::{reports, x509};

type Shown = Result<(String, Node), String>;

/// JSON says by its members what it is; what comes closest explains what is wrong with it.
pub(super) fn read(json: &[u8]) -> Shown {
    let parsed: Value = serde_json::from_slice(json).map_err(|e| format!("not JSON: {e}"))?;
    let has = |name: &str| parsed.get(name).is_some();
    let version = parsed
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let said = |rejection: Rejection| rejection.to_string();
    if version.starts_with("vouch/bundle/") {
        return bundle(&Bundle::from_json(json).map_err(said)?);
    }
    if version.starts_with("vouch/collateral/") {
        let supplement = Supplement::from_json(json).map_err(said)?;
        let node = collateral(&supplement.collateral).with("got_at", text(supplement.at));
        return Ok(("collateral of a verdict".into(), node));
    }
    if has("tpm_quote") || has("quote") {
        return azure(&Evidence::from_json(json).map_err(said)?);
    }
    if let Some(rim) = parsed.get("rim").and_then(Value::as_str) {
        let xml = decode::binary(rim.as_bytes()).map_err(said)?;
        return x509::manifest(&xml);
    }
    if parsed.pointer("/0/0").is_some_and(Value::is_string) {
        return eat(&Eat::parse(json).map_err(said)?);
    }
    if parsed.is_array() {
        return nvidia(decode::nvidia_evidence(json).map_err(said)?);
    }
    let intel = tdx::Collateral::from_json(json).map_err(said)?;
    if intel == tdx::Collateral::default() {
        let names = parsed
            .as_object()
            .into_iter()
            .flat_map(|members| members.keys());
        let names: Vec<&str> = names.map(String::as_str).take(6).collect();
        return Err(format!(
            "JSON that is nothing known, with members {names:?}"
        ));
    }
    intel_collateral(&intel)
}

/// Any JSON as a tree.
pub(super) fn value(json: &Value) -> Node {
    match json {
        Value::Object(members) => Node::branch(
            members
                .iter()
                .map(|(name, member)| (name.clone(), value(member))),
        ),
        Value::Array(items) => Node::list(items.iter().map(value)),
        Value::String(found) => text(found),
        other => text(other),
    }
}

fn device(report: &[u8], chain: &[Vec<u8>]) -> Node {
    let failed = |why: String| text(format!("cannot be read: {why}"));
    Node::branch([
        (
            "report",
            reports::nvidia(report).map_or_else(|r| failed(r.to_string()), |(_, node)| node),
        ),
        (
            "chain",
            x509::chain(chain).map_or_else(failed, |(_, node)| node),
        ),
    ])
}

fn nvidia(entries: Vec<decode::NvidiaEvidence>) -> Shown {
    let nodes = entries.iter().map(|entry| {
        device(&entry.report, &entry.chain)
            .with("arch (a hint, not signed)", text(&entry.arch))
            .with("nonce (a hint, not signed)", text(&entry.nonce))
    });
    Ok(("NVIDIA evidence".into(), Node::list(nodes)))
}

fn eat(eat: &Eat) -> Shown {
    let overall = eat.overall();
    let claims = |name: &str, value: &dyn ToString| (name.to_owned(), text(value.to_string()));
    let devices = eat.devices().map(|(name, token)| {
        let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let mut nodes = vec![
            claims("model", &said(&token.model)),
            claims("ueid", &said(&token.ueid)),
            claims("measurements", &said(&token.measurements)),
            claims("debug", &said(&token.debug)),
            claims("nonce", &token.nonce),
        ];
        nodes.extend(
            token
                .others
                .iter()
                .map(|(name, claim)| (name.clone(), value(claim))),
        );
        (name.to_owned(), Node::branch(nodes))
    });
    let node = Node::branch([
        ("issuer", text(&overall.issuer)),
        ("result", text(overall.result)),
        ("nonce", text(&overall.nonce)),
        ("keys", text(eat.key_ids().join(", "))),
        ("devices", Node::branch(devices)),
    ]);
    Ok(("tokens of NVIDIA's remote attestation service".into(), node))
}

fn azure(evidence: &Evidence) -> Shown {
    let said = |rejection: Rejection| rejection.to_string();
    let pcrs = evidence.tpm.pcrs.iter().map(bytes);
    let mut node = Node::branch([
        ("hcl", reports::hcl(&evidence.hcl).map_err(said)?.1),
        (
            "tpm_quote",
            reports::tpm(&evidence.tpm.message).map_err(said)?.1,
        ),
        ("pcrs", Node::list(pcrs)),
    ]);
    if let Some(vek) = &evidence.vek {
        node = node.with("vcek", x509::chain(std::slice::from_ref(vek))?.1);
    }
    if let Some(quote) = &evidence.quote {
        node = node.with("td_quote", reports::tdx(quote).map_err(said)?.1);
    }
    Ok(("evidence of an Azure machine".into(), node))
}

fn bundle(bundle: &Bundle) -> Shown {
    let devices = |list: &[DeviceEvidence]| {
        Node::list(list.iter().map(|one| device(&one.report, &one.chain)))
    };
    let failed = |rejection: Rejection| text(format!("cannot be read: {rejection}"));
    let cpu = match &bundle.cpu {
        CpuEvidence::SevSnp { report, vek, .. } => {
            let report = reports::sev_snp(report).map_or_else(failed, |(_, node)| node);
            let vek = x509::chain(std::slice::from_ref(vek)).map_or_else(text, |(_, node)| node);
            Node::branch([("report", report), ("vek", vek)])
        }
        CpuEvidence::Tdx { quote, collateral } => {
            let quote = reports::tdx(quote).map_or_else(failed, |(_, node)| node);
            let with = if collateral.is_some() {
                "with it"
            } else {
                "without"
            };
            Node::branch([("quote", quote), ("collateral", text(with))])
        }
        _ => text("of a kind that is not known here"),
    };
    let node = Node::branch([
        ("statement", statement(&bundle.statement)),
        ("gpus", devices(&bundle.gpus)),
        ("switches", devices(&bundle.switches)),
        ("cpu", cpu),
        ("collateral", collateral(&bundle.collateral)),
    ]);
    Ok(("evidence bundle".into(), node))
}

fn statement(encoded: &[u8]) -> Node {
    let statement = match Statement::decode(encoded) {
        Ok(statement) => statement,
        Err(error) => return text(format!("cannot be read: {error}")),
    };
    let datasets = statement.datasets.iter().map(|dataset| {
        Node::branch([
            ("records", text(dataset.records)),
            ("bytes", text(dataset.bytes)),
            ("schema", text(dataset.schema)),
            ("quality", text(dataset.quality)),
        ])
    });
    Node::branch([
        ("challenge", text(statement.challenge)),
        ("signing_key", text(statement.signing_key)),
        ("encryption_key", text(statement.encryption_key)),
        ("inputs", text(statement.inputs)),
        ("outputs", text(statement.outputs)),
        ("output_bytes", text(statement.counters.output_bytes)),
        ("output_rows", text(statement.counters.output_rows)),
        ("datasets", Node::list(datasets)),
    ])
}

fn collateral(collateral: &vouch_evidence::bundle::Collateral) -> Node {
    let each = |list: &[Vec<u8>], read: fn(&[u8]) -> Shown| {
        Node::list(
            list.iter()
                .map(|one| read(one).map_or_else(text, |(_, node)| node)),
        )
    };
    Node::branch([
        ("manifests", each(&collateral.manifests, x509::manifest)),
        ("ocsp", each(&collateral.ocsp, x509::der)),
        ("crls", each(&collateral.crls, x509::der)),
    ])
}

fn intel_collateral(collateral: &tdx::Collateral) -> Shown {
    let list = |der: &Option<Vec<u8>>| match der {
        Some(der) => x509::der(der).map_or_else(text, |(_, node)| node),
        None => text("-"),
    };
    let signed = |signed: &Option<tdx::Signed>| match signed {
        Some(signed) => {
            let json: Value = serde_json::from_str(&signed.text).unwrap_or_default();
            let chain = x509::chain(&signed.chain).map_or_else(text, |(_, node)| node);
            Node::branch([("signed", value(&json)), ("chain", chain)])
        }
        None => text("-"),
    };
    let node = Node::branch([
        ("root_crl", list(&collateral.root_crl)),
        ("pck_crl", list(&collateral.pck_crl)),
        ("tcb_info", signed(&collateral.tcb_info)),
        ("qe_identity", signed(&collateral.qe_identity)),
    ]);
    Ok(("Intel's collateral for TDX platforms".into(), node))
}
