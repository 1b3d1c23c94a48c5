//! `vouch verify nvidia`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use vouch_collateral::Wanted;
use vouch_evidence::judge::Devices;
use vouch_evidence::nvidia::{self, FirmwareBinding, Kind, Report, rim};
use vouch_evidence::revocation::ocsp::{self, Hold};
use vouch_evidence::session::GpuClaims;
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Explanation, Observe, Rejection, Time, Verifier, decode};
use vouch_protocol::Reason;

use super::judged::{self, Judge};
use super::outcome::{Claims, Outcome};
use super::supplies::{Kind as Named, Sources, Supplies};
use super::{Common, eat, no_debug, read, required};
use crate::output::{self, Failure};

/// The first certificate of a device's chain that NVIDIA's responder knows.
const DEVICE_FROM: usize = 1;

/// `verify nvidia`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("input").required(true).args(["report", "evidence", "token"])),
    after_help = "Examples:
  vouch verify nvidia --report report.bin --certs chain.pem --nonce 931d…dfcb
  vouch verify nvidia --evidence evidence.json --at 2025-09-01T00:00:00Z --json
  vouch verify nvidia --evidence evidence.json --rim driver.xml --rim vbios.xml --explain
  vouch verify nvidia --evidence gpus.json --evidence switches.json --fetch
  vouch verify nvidia --token eat.json --jwks keys.json

Exit status: 0 accepted, 1 rejected, 2 inconclusive, 64 bad usage."
)]
pub struct Nvidia {
    /// Attestation report: SPDM request and response; raw, hex or base64.
    #[arg(long, value_name = "FILE", requires = "certs")]
    report: Option<PathBuf>,
    /// Its five certificates, leaf first; PEM or DER, also in hex or base64.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["evidence", "token"])]
    certs: Option<PathBuf>,
    /// NVIDIA's evidence JSON: an array of arch, certificate, evidence, nonce. May be repeated: the
    /// GPUs' and the switches'.
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// Tokens of NVIDIA's remote attestation service: a detached EAT, JSON.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rim", "ocsp", "policy", "collateral"])]
    pub(super) token: Option<PathBuf>,
    /// The service's keys (JWKS), with which tokens are checked.
    #[arg(long, value_name = "FILE", requires = "token", conflicts_with_all = ["report", "evidence"])]
    pub(super) jwks: Option<PathBuf>,
    /// The nonce that every report must answer, 32 bytes.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    pub(super) nonce: Option<Nonce>,
    /// Reference manifest (RIM) of the driver or VBIOS. May be repeated.
    #[arg(long, value_name = "FILE")]
    rim: Vec<PathBuf>,
    /// Answer of NVIDIA's OCSP responder; raw or base64. May be repeated.
    #[arg(long, value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    judge: Judge,
    #[command(flatten)]
    pub(super) common: Common,
}

/// 32 bytes; clap reads a bare array as a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nonce(pub(super) [u8; 32]);

fn nonce(text: &str) -> Result<Nonce, String> {
    decode::hex_array(text)
        .map(Nonce)
        .map_err(|r| format!("expected {}, found {}", r.expected, r.found))
}

/// One report with its chain, and where it came from.
struct Entry {
    scope: String,
    report: Vec<u8>,
    chain: Vec<Vec<u8>>,
    hint: Option<String>,
}

/// A device that is authentic.
struct Device<'a> {
    entry: &'a Entry,
    claims: nvidia::Claims,
}

pub(super) async fn run(args: &Nvidia) -> Result<output::Report, Failure> {
    if let Some(path) = &args.token {
        return eat::run(args, path);
    }
    let supplies = args
        .sources
        .open(&[(Named::Manifest, &args.rim), (Named::Ocsp, &args.ocsp)])?;
    let policy = args.judge.open()?;
    let mut outcome = Outcome {
        list: !args.evidence.is_empty(),
        subject: "NVIDIA evidence".to_owned(),
        ..Outcome::default()
    };
    let entries = match entries(args)? {
        Ok(entries) => entries,
        Err(rejection) => {
            outcome.rejections.push(rejection);
            return Ok(outcome.report());
        }
    };
    let mut explanation = Explanation::default();
    let devices = verify(&entries, args, &mut explanation, &mut outcome);
    topology(&devices, &mut explanation, &mut outcome);
    let compared = collateral(&devices, args, &supplies, &mut explanation, &mut outcome).await;
    match &policy {
        Some(policy) => {
            let view = Devices {
                gpus: Some(&compared.gpus),
                cpu: None,
                revocation: &oldest(&compared.revocation),
                at: args.common.time(),
            };
            judged::devices(policy, &view, &mut outcome);
        }
        None => by_default(&devices, compared, supplies.fetches(), &mut outcome),
    }
    if args.nonce.is_none() {
        let hint = match entries.iter().any(|entry| entry.hint.is_some()) {
            true => "no --nonce given; the nonce in the file is not signed and proves nothing",
            false => "no --nonce given: the report may be an old one",
        };
        outcome.not_checked.push(("nonce", hint.to_owned()));
    }
    if args.common.explain {
        outcome.checks = Some(explanation.into_checks());
    }
    Ok(outcome.report())
}

fn entries(args: &Nvidia) -> Result<Result<Vec<Entry>, Rejection>, Failure> {
    let mut files = Vec::new();
    for path in &args.evidence {
        files.push(read("--evidence", path)?);
    }
    if files.is_empty() {
        let report = read("--report", required("--report", &args.report)?)?;
        let certs = read("--certs", required("--certs", &args.certs)?)?;
        return Ok(one(&report, &certs).map(|entry| vec![entry]));
    }
    Ok(from_json(&files))
}

fn one(report: &[u8], certs: &[u8]) -> Result<Entry, Rejection> {
    Ok(Entry {
        scope: String::new(),
        report: decode::binary(report).map_err(|r| r.within("report"))?,
        chain: decode::certificates(certs).map_err(|r| r.within("certs"))?,
        hint: None,
    })
}

fn from_json(files: &[Vec<u8>]) -> Result<Vec<Entry>, Rejection> {
    let mut entries = Vec::new();
    for bytes in files {
        for entry in decode::nvidia_evidence(bytes)? {
            entries.push(Entry {
                scope: format!("evidence[{}]", entries.len()),
                report: entry.report,
                chain: entry.chain,
                hint: Some(entry.nonce).filter(|nonce| !nonce.is_empty()),
            });
        }
    }
    Ok(entries)
}

/// The devices whose reports hold; the others are rejected in `outcome`.
fn verify<'a>(
    entries: &'a [Entry],
    args: &Nvidia,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Vec<Device<'a>> {
    let mut devices = Vec::new();
    for entry in entries {
        let verified = scoped(explanation, &entry.scope, |explanation| {
            verify_one(entry, args, explanation, outcome)
        });
        match verified {
            Ok(claims) => devices.push(Device { entry, claims }),
            Err(rejection) => outcome.rejections.push(rejection),
        }
    }
    outcome.subject = match (devices.as_slice(), entries.len()) {
        ([device], 1) => format!("{}, {}", device.claims.kind, device.claims.model),
        (_, 1) => "1 report".to_owned(),
        (_, total) => format!("{} of {}", devices.len(), output::count(total, "report")),
    };
    devices
}

fn verify_one(
    entry: &Entry,
    args: &Nvidia,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Result<nvidia::Claims, Rejection> {
    let anchors = args.common.anchors()?;
    let chain: Vec<&[u8]> = entry.chain.iter().map(Vec::as_slice).collect();
    let report = Report::parse(&entry.report)?;
    let verifier = Verifier::new(&anchors, args.common.time());
    let report = nvidia::verify_observed(&report, &chain, &verifier, explanation)?;
    let claims = report.claims();
    outcome.claims.push(to_claims(&claims));
    if let Some(Nonce(nonce)) = &args.nonce {
        nvidia::check_nonce(&report, nonce, explanation)?;
    }
    Ok(claims)
}

/// Runs checks under the name of an entry, where it has one.
fn scoped<T>(
    explanation: &mut Explanation,
    scope: &str,
    check: impl FnOnce(&mut Explanation) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    if scope.is_empty() {
        return check(explanation);
    }
    explanation.enter(|| scope.to_owned());
    let result = check(explanation);
    explanation.leave();
    result.map_err(|rejection| rejection.within(scope))
}

/// Whether GPUs and switches are one machine can only be said where both are here.
fn topology(devices: &[Device<'_>], explanation: &mut Explanation, outcome: &mut Outcome) {
    let is_gpu = |device: &&Device<'_>| matches!(device.claims.kind, Kind::Gpu(_));
    let claims = |device: &Device<'_>| device.claims.clone();
    let gpus: Vec<_> = devices.iter().filter(is_gpu).map(claims).collect();
    let switches: Vec<_> = devices.iter().filter(|d| !is_gpu(d)).map(claims).collect();
    if !gpus.is_empty() && !switches.is_empty() {
        if let Err(rejection) = nvidia::check_topology(&gpus, &switches, explanation) {
            outcome.rejections.push(rejection);
        }
    } else if !switches.is_empty()
        || gpus
            .iter()
            .any(|gpu| gpu.mode == Some(nvidia::Mode::ProtectedPcie))
    {
        let why = "needs the evidence of all GPUs and all switches of the machine";
        outcome.not_checked.push(("topology", why.into()));
    }
}

/// What the collateral says of the devices.
struct Compared {
    gpus: Vec<GpuClaims>,
    /// Of each device.
    manifests: Vec<Result<(), Rejection>>,
    /// Of each chain: the devices', then those of the manifests' signers.
    revocation: Vec<Answered>,
    /// Whether anything was given or fetched to compare with.
    manifests_wanted: bool,
    revocation_wanted: bool,
}

/// What the answers say of one chain.
struct Answered {
    scope: String,
    made: Result<Time, Rejection>,
    /// Whether there is any answer about it.
    any: bool,
}

impl Answered {
    const fn of(made: Result<Time, Rejection>) -> Self {
        Self {
            scope: String::new(),
            made,
            any: true,
        }
    }
}

fn is_answered(chain: &[&[u8]], from: usize, responses: &[ocsp::Response<'_>]) -> bool {
    chain.windows(2).skip(from).any(|pair| {
        let [Ok(certificate), Ok(issuer)] = [pair[0], pair[1]].map(Certificate::parse) else {
            return false;
        };
        responses
            .iter()
            .any(|response| response.is_about(&certificate, &issuer))
    })
}

/// When the oldest answer about any chain was made, or why one of them does not count.
fn oldest(answered: &[Answered]) -> Result<Time, Rejection> {
    let mut made = answered
        .iter()
        .map(|one| one.made.clone())
        .collect::<Result<Vec<_>, _>>()?;
    made.sort();
    made.first()
        .copied()
        .ok_or_else(|| Rejection::new(Reason::RevocationMissing, "revocation", "a device", "none"))
}

async fn collateral(
    devices: &[Device<'_>],
    args: &Nvidia,
    supplies: &Supplies,
    explanation: &mut Explanation,
    outcome: &mut Outcome,
) -> Compared {
    let given = &supplies.found.collateral;
    let at = args.common.time();
    let anchors = args
        .common
        .anchors()
        .unwrap_or_else(|_| vouch_evidence::Anchors::vendor());
    let verifier = Verifier::new(&anchors, at);
    let mut wanted = Wanted::default();
    for device in devices {
        if given.manifests.is_empty() {
            wanted.manifests_of(&device.claims);
        }
        if given.ocsp.is_empty() {
            wanted.revocation_of(&device.entry.chain);
        }
    }
    if given.ocsp.is_empty() {
        given.manifests.iter().for_each(|xml| wanted.signer_of(xml));
    }
    let gathered = supplies.gather(wanted, &anchors, at, outcome).await;

    let mut manifests = Vec::new();
    let mut refused = None;
    let documents = given.manifests.iter().chain(&gathered.collateral.manifests);
    for (index, xml) in documents.enumerate() {
        let scope = format!("manifests[{index}]");
        let verified = scoped(explanation, &scope, |explanation| {
            rim::verify_observed(xml, &verifier, explanation)
        });
        match verified {
            Ok(manifest) => manifests.push(manifest),
            Err(rejection) => {
                refused.get_or_insert(rejection);
            }
        }
    }
    let compare = |device: &Device<'_>, explanation: &mut Explanation| {
        let compared = scoped(explanation, &device.entry.scope, |explanation| {
            rim::check_measurements(&device.claims, &manifests, explanation)
        });
        match (compared, &refused) {
            // The manifest that is missing may be the one that was refused: say that instead.
            (Err(r), Some(refused)) if r.reason == Reason::ManifestMissing => Err(refused.clone()),
            (compared, _) => compared.map(|_| ()),
        }
    };
    let manifests_wanted = !given.manifests.is_empty() || supplies.fetches();
    let compared: Vec<_> = devices
        .iter()
        .map(|device| match manifests_wanted {
            true => compare(device, explanation),
            false => compare(device, &mut Explanation::default()),
        })
        .collect();

    let mut answers = given.ocsp.clone();
    answers.extend(gathered.collateral.ocsp);
    let device_chains = devices
        .iter()
        .map(|device| (device.entry.scope.clone(), &device.entry.chain, DEVICE_FROM));
    let signers = manifests.iter().enumerate();
    let signer_chains = signers.map(|(i, m)| (format!("manifests[{i}]"), &m.device().chain, 0));
    let revocation = match ocsp::parse_all(&answers) {
        Err(rejection) => vec![Answered::of(Err(rejection))],
        Ok(responses) => device_chains
            .chain(signer_chains)
            .map(|(scope, chain, from)| {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                Answered {
                    made: scoped(explanation, &scope, |explanation| {
                        ocsp::check_chain(&chain, from, &responses, Hold::Refuse, at, explanation)
                    }),
                    any: is_answered(&chain, from, &responses),
                    scope,
                }
            })
            .collect(),
    };
    let gpus = devices.iter().zip(&compared);
    Compared {
        gpus: gpus
            .filter(|(device, _)| matches!(device.claims.kind, Kind::Gpu(_)))
            .map(|(device, compared)| GpuClaims {
                claims: device.claims.clone(),
                manifests: compared.clone(),
            })
            .collect(),
        manifests: compared,
        revocation,
        manifests_wanted,
        revocation_wanted: !given.ocsp.is_empty() || supplies.fetches(),
    }
}

/// Without a policy: no debugging, and whatever can be checked with what was given holds.
fn by_default(devices: &[Device<'_>], compared: Compared, fetched: bool, outcome: &mut Outcome) {
    for device in devices {
        if let Err(rejection) = no_debug("debug", device.claims.debug == Some(true)) {
            let scope = device.entry.scope.as_str();
            outcome.rejections.push(match scope {
                "" => rejection,
                scope => rejection.within(scope),
            });
        }
    }
    if devices.is_empty() {
        return;
    }
    match compared.manifests_wanted {
        true => {
            let mut failed: Vec<_> = compared
                .manifests
                .into_iter()
                .filter_map(Result::err)
                .collect();
            failed.dedup();
            outcome.rejections.extend(failed);
        }
        false => {
            let mut ids: Vec<String> = devices
                .iter()
                .flat_map(|d| [rim::driver_id(&d.claims), rim::vbios_id(&d.claims)])
                .flatten()
                .collect();
            ids.sort();
            ids.dedup();
            let why = format!(
                "measurements are shown, not compared: no --rim given, and no --fetch; needs {}",
                ids.join(", ")
            );
            outcome.not_checked.push(("reference manifests", why));
        }
    }
    if !compared.revocation_wanted {
        let why = "no answers of the vendor's responder given (--ocsp), and no --fetch";
        outcome.not_checked.push(("revocation", why.into()));
        return;
    }
    let mut failed = Vec::new();
    for Answered { scope, made, any } in compared.revocation {
        match made {
            Ok(_) => {}
            Err(rejection) if any || fetched => failed.push(rejection),
            Err(_) => {
                let of = if scope.is_empty() {
                    "the device"
                } else {
                    &scope
                };
                let why = format!("of {of}: none of the answers given is about its chain");
                outcome.not_checked.push(("revocation", why));
            }
        }
    }
    failed.dedup();
    outcome.rejections.extend(failed);
}

fn to_claims(claims: &nvidia::Claims) -> Claims {
    let hexed = |bytes: &[u8]| Value::String(hex::encode(bytes));
    let measurements: serde_json::Map<String, Value> = claims
        .measurements
        .iter()
        .filter(|(_, digest)| *digest != [0; 48])
        .map(|(index, digest)| (format!("{index:02}"), hexed(digest)))
        .collect();
    let pdis = |pdis: &[u64]| -> Value { pdis.iter().map(|pdi| format!("{pdi:016x}")).collect() };
    vec![
        ("kind", json!(claims.kind.name())),
        (
            "architecture",
            json!(claims.architecture().map(|a| a.name())),
        ),
        ("chip", json!(claims.chip)),
        ("model", json!(claims.model)),
        ("serial", hexed(&claims.leaf_serial)),
        ("device", json!(claims.device)),
        ("pdi", json!(claims.pdi.map(|pdi| format!("{pdi:016x}")))),
        ("nonce", hexed(&claims.nonce)),
        ("driver", json!(claims.driver_version)),
        ("vbios", json!(claims.vbios_version)),
        ("project", json!(claims.project)),
        ("project_sku", json!(claims.project_sku)),
        ("chip_sku", json!(claims.chip_sku)),
        ("mode", json!(claims.mode.map(nvidia::Mode::name))),
        ("protected_pcie", json!(claims.protected_pcie)),
        ("nvdec0", json!(claims.nvdec0)),
        ("debug", json!(claims.debug)),
        (
            "firmware_bound",
            json!(claims.firmware == FirmwareBinding::Bound),
        ),
        ("switches", pdis(&claims.switch_pdis)),
        ("gpus", pdis(&claims.gpu_pdis)),
        ("measurements", Value::Object(measurements)),
        ("simulated", json!(claims.simulated)),
    ]
}
