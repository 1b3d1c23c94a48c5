//! What the program says of evidence when collateral is given, missing, stale, forged or fetched.
//! Rows about real captures are skipped where the captures are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::any;
use serde_json::Value;
use vouch_simulator::{Machine, Options, Session};

fn vouch(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOUCH_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

/// Exit status and JSON.
fn json(args: &[&str]) -> (i32, Value) {
    let output = vouch(&[args, &["--json"]].concat());
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("{args:?}: {error}: {stderr}");
    });
    (output.status.code().unwrap(), value)
}

fn reasons(found: &Value) -> Vec<&str> {
    let list = found["reasons"].as_array().unwrap();
    list.iter()
        .map(|reason| reason["name"].as_str().unwrap())
        .collect()
}

fn not_checked(found: &Value) -> Vec<&str> {
    let list = found["not_checked"].as_array().unwrap();
    list.iter()
        .map(|entry| entry["what"].as_str().unwrap())
        .collect()
}

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("VOUCH_EVIDENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
        Into::into,
    );
    if !root.is_dir() {
        eprintln!("skipped: no captures at {}", root.display());
        return None;
    }
    Some(root)
}

const NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
const DRIVER: &str = "go-nvattest/rim/NV_GPU_DRIVER_GH100_550.90.07.xml";
const VBIOS: &str = "go-nvattest/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";
const OTHER: &str = "attestation-sdk/rims/NV_GPU_DRIVER_GH100_550.144.03.xml";
const FORGED: &str = "attestation-sdk/rims/incorrect_signature_driver_rim.xml";
const SWITCH: &str =
    "attestation-sdk/rims/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml";
const OCSP: [&str; 3] = [
    "go-nvattest/ocsp/test_gpu_certificate_l2.der",
    "go-nvattest/ocsp/test_gpu_certificate_l3_base64encoded_ocsp_response.dat",
    "go-nvattest/ocsp/test_gpu_certificate_l4.der",
];
const RIM_OCSP: &str = "go-nvattest/ocsp/test_gpu_driver_rim_l4.der";
const AT: &str = "2025-08-21T12:00:00Z";

type Names<'a> = &'a [&'a str];
/// Name, manifests, answers, time; exit status and reasons.
type Given<'a> = (&'a str, Names<'a>, Names<'a>, &'a str, i32, Names<'a>);
/// Quote, collateral, time; exit status and reasons.
type Quoted<'a> = (&'a str, Option<&'a str>, &'a str, i32, Names<'a>);

/// The golden H100 with manifests and answers, at a time.
fn golden(root: &Path, rims: &[&str], ocsp: &[&str], at: &str) -> (i32, Value) {
    let path = |name: &str| root.join("nvidia").join(name).display().to_string();
    let report = path("go-nvattest/test_raw_gpu_attestation_report.dat");
    let certs = path("go-nvattest/test_gpu_attestation_certificate_chain.dat");
    let mut args = vec!["verify", "nvidia", "--report", &report, "--certs", &certs];
    args.extend(["--nonce", NONCE, "--at", at]);
    let rims: Vec<String> = rims.iter().map(|name| path(name)).collect();
    let ocsp: Vec<String> = ocsp.iter().map(|name| path(name)).collect();
    args.extend(rims.iter().flat_map(|file| ["--rim", file]));
    args.extend(ocsp.iter().flat_map(|file| ["--ocsp", file]));
    json(&args)
}

#[test]
fn missing_unknown_different_forged_and_stale_collateral_read_differently() {
    let Some(root) = folder() else { return };
    let all = &[DRIVER, VBIOS][..];
    let rows: [Given<'_>; 9] = [
        ("nothing given", &[], &[], AT, 0, &[]),
        ("all of the manifests", all, &[], AT, 0, &[]),
        ("and all answers about the device", all, &OCSP, AT, 0, &[]),
        (
            "one of the manifests",
            &[DRIVER],
            &[],
            AT,
            2,
            &["manifest_missing"],
        ),
        (
            "another driver's manifest",
            &[OTHER, VBIOS],
            &[],
            "2025-09-01T00:00:00Z",
            2,
            &["manifest_missing"],
        ),
        (
            "a switch's manifest",
            &[SWITCH],
            &[],
            "2026-06-01T00:00:00Z",
            2,
            &["manifest_missing"],
        ),
        (
            "a forged manifest",
            &[FORGED, VBIOS],
            &[],
            AT,
            1,
            &["collateral_forged"],
        ),
        (
            "an old answer",
            all,
            &OCSP,
            "2025-09-01T00:00:00Z",
            2,
            &["collateral_expired"],
        ),
        (
            "one answer of three",
            all,
            &OCSP[..1],
            AT,
            2,
            &["revocation_missing"],
        ),
    ];
    for (name, rims, ocsp, at, exit, expected) in rows {
        let (found, json) = golden(&root, rims, ocsp, at);
        assert_eq!(
            (found, reasons(&json).as_slice()),
            (exit, expected),
            "{name}: {json:#}"
        );
        let open = not_checked(&json);
        assert_eq!(
            open.contains(&"reference manifests"),
            rims.is_empty(),
            "{name}"
        );
        assert!(!ocsp.is_empty() || open.contains(&"revocation"), "{name}");
    }
    // Answers about nobody's chain here are no answers: they are not taken for a check.
    let (exit, json) = golden(&root, &[], &[RIM_OCSP], AT);
    assert_eq!(
        (exit, not_checked(&json)[..].contains(&"revocation")),
        (0, true)
    );
    println!("golden H100: 1 real capture, 10 rows");
}

#[test]
fn a_measurement_that_differs_is_named() {
    let Some(root) = folder() else { return };
    let path = |name: &str| {
        root.join("nvidia/attestation-sdk")
            .join(name)
            .display()
            .to_string()
    };
    let rim = path("rims/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml");
    let report = path("gpu/hopperAttestationReport.txt");
    let certs = path("gpu/hopperCertChain.txt");
    let args = [
        "verify", "nvidia", "--report", &report, "--certs", &certs, "--rim", &rim,
    ];
    let (exit, found) = json(&[&args[..], &["--explain", "--at", "2025-09-01T00:00:00Z"]].concat());
    assert_eq!(
        (exit, reasons(&found).as_slice()),
        (1, &["measurement_mismatch"][..])
    );
    let reason = &found["reasons"][0];
    assert!(
        reason["expected"].as_str().unwrap().contains("(index 9)"),
        "{reason}"
    );
    let checks = found["checks"].as_array().unwrap();
    let compared: Vec<_> = checks
        .iter()
        .filter(|c| c["field"] == "report.measurements")
        .collect();
    assert_eq!(
        compared.len(),
        12,
        "every measurement of the manifest is shown"
    );
    assert!(
        compared
            .iter()
            .all(|check| check["offset"].is_u64() && check["source"].is_string())
    );
    assert_eq!(
        compared
            .iter()
            .filter(|check| check["outcome"] == "failed")
            .count(),
        1
    );
}

#[test]
fn intels_collateral_is_taken_in_the_layout_of_dcap_qvl() {
    let Some(root) = folder() else { return };
    let path = |name: &str| root.join("tdx/dcap-qvl").join(name).display().to_string();
    let (quote, collateral) = (path("tdx_quote"), path("tdx_quote_collateral.json"));
    let outdated = path("tdx_quote_outdated");
    let other = path("tdx_quote_outdated_collateral.json");
    let rows: [Quoted<'_>; 5] = [
        (&quote, Some(&collateral), "2025-07-01T00:00:00Z", 0, &[]),
        (&quote, None, "2025-07-01T00:00:00Z", 0, &[]),
        (
            &quote,
            Some(&collateral),
            "2026-11-01T00:00:00Z",
            2,
            &["collateral_expired"],
        ),
        (
            &quote,
            Some(&other),
            "2026-03-01T00:00:00Z",
            2,
            &["tcb_info_missing"],
        ),
        (
            &outdated,
            Some(&other),
            "2026-03-01T00:00:00Z",
            1,
            &["cpu_tcb_too_low"],
        ),
    ];
    for (quote, collateral, at, exit, expected) in rows {
        let mut args = vec!["verify", "tdx", "--quote", quote, "--at", at];
        args.extend(collateral.iter().flat_map(|file| ["--collateral", file]));
        let (found, json) = json(&args);
        assert_eq!(
            (found, reasons(&json).as_slice()),
            (exit, expected),
            "{json:#}"
        );
        let open = not_checked(&json).contains(&"platform's TCB");
        assert_eq!(open, collateral.is_none() && exit == 0);
    }
    println!("TDX: 2 real captures, 5 rows");
}

#[test]
fn azure_machines_are_accepted_with_their_nonce_only() {
    let Some(root) = folder() else { return };
    for name in [
        "snp/trustee/az-snp-vtpm/evidence-v0.json",
        "snp/trustee/az-snp-vtpm/evidence-v1.json",
        "tdx/trustee/az-tdx-vtpm/evidence-v0.json",
    ] {
        let file = root.join(name).display().to_string();
        let args = [
            "verify",
            "azure",
            "--evidence",
            &file,
            "--at",
            "2026-03-01T00:00:00Z",
        ];
        let (exit, found) = json(&[&args[..], &["--nonce", "6368616c6c656e6765"]].concat());
        assert_eq!(exit, 0, "{name}: {found:#}");
        assert!(found["claims"]["pcrs"]["23"].is_string());
        let (exit, found) = json(&[&args[..], &["--nonce", "00"]].concat());
        assert_eq!(
            (exit, reasons(&found)[0]),
            (1, "cpu_tpm_binding_invalid"),
            "{name}"
        );
        let (exit, found) = json(&args);
        assert_eq!(
            (exit, not_checked(&found).contains(&"nonce")),
            (0, true),
            "{name}"
        );
    }
    println!("Azure: 3 real captures");
}

#[test]
fn the_right_key_is_found_among_those_of_other_chips() {
    let Some(root) = folder() else { return };
    let keys = root.join("snp/ms-tee").display().to_string();
    for generation in ["milan", "genoa", "turin"] {
        let report = format!("{keys}/{generation}_attestation_report.bin");
        let args = [
            "verify",
            "sev-snp",
            "--report",
            &report,
            "--collateral",
            &keys,
        ];
        let (exit, found) = json(&[&args[..], &["--at", "2026-06-01T00:00:00Z"]].concat());
        assert_eq!(exit, 0, "{generation}: {found:#}");
    }
    println!("SEV-SNP: 3 real captures");
}

#[test]
fn tokens_without_keys_are_shown_and_not_believed() {
    let Some(root) = folder() else { return };
    let file = root.join("nvidia/attestation-sdk/eat/hopperClaimsv3_detached_eat.json");
    let file = file.display().to_string();
    let args = [
        "verify",
        "nvidia",
        "--token",
        &file,
        "--at",
        "2025-06-11T00:35:00Z",
    ];
    let (exit, found) = json(&args);
    assert_eq!(
        (exit, reasons(&found).as_slice()),
        (2, &["certificate_missing"][..])
    );
    assert_eq!(found["claims"][0]["result"], true);
    assert_eq!(found["claims"][1]["measurements"], "success");
}

#[test]
fn every_capture_can_be_shown() {
    let Some(root) = folder() else { return };
    let (mut shown, mut unknown) = (0, Vec::new());
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let output = vouch(&["evidence", "show", &path.display().to_string()]);
            match output.status.code() {
                Some(0) => shown += 1,
                Some(1) => unknown.push(path),
                other => panic!("{}: {other:?}", path.display()),
            }
        }
    }
    // Sources, root files of other languages, manifests that are broken on purpose.
    println!(
        "shown: {shown} real captures and collateral, not known: {}",
        unknown.len()
    );
    for known in [
        "gpu/",
        "ms-tee/",
        "dcap-qvl/tdx_",
        "evidence_json/",
        "az-",
        "eat/hopperClaimsv3_det",
    ] {
        let missed: Vec<_> = unknown
            .iter()
            .filter(|p| p.to_string_lossy().contains(known))
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}

/// Simulated evidence and a service, which are there for everybody.
struct Rig {
    dir: tempfile::TempDir,
    base: String,
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// The service answers everything with `status`.
    fn new(status: StatusCode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = Session::from_secret([5; 32]).start([1; 32].into(), [3; 32].into());
        let evidence = Machine::new(b"cli collateral").evidence(&start, &Options::default());
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("gpu.bin", &evidence.gpus[0].report);
        write("chain.der", &evidence.gpus[0].chain.concat());
        write("cpu.bin", &evidence.cpu.report);
        write("vek.der", &evidence.cpu.chain[0]);
        write("bundle.json", &evidence.bundle().to_json());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let app = Router::new().fallback(any(
            move |uri: Uri| async move { (status, uri.to_string()) },
        ));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            dir,
            base,
            _runtime: runtime,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn run(&self, kind: &str, more: &[&str]) -> (i32, Value) {
        let files = match kind {
            "nvidia" => vec!["--report", "gpu.bin", "--certs", "chain.der"],
            "sev-snp" => vec!["--report", "cpu.bin", "--vek", "vek.der"],
            _ => vec!["bundle.json"],
        };
        let files = files.into_iter().map(|arg| match arg.starts_with("--") {
            true => arg.to_owned(),
            false => self.path(arg),
        });
        let files: Vec<String> = files.collect();
        let mut args = vec!["verify", kind, "--trust-simulator"];
        args.extend(files.iter().map(String::as_str));
        args.extend(more);
        json(&args)
    }

    /// Every service is this one.
    fn fetch(&self, kind: &str, how: &str) -> (i32, Value) {
        let cache = self.path("cache");
        let mut args = vec![how, "--cache", &cache, "--patience", "1s"];
        for flag in [
            "--nvidia-rim-url",
            "--nvidia-ocsp-url",
            "--amd-kds-url",
            "--intel-pcs-url",
        ] {
            args.extend([flag, &self.base]);
        }
        self.run(kind, &args)
    }
}

#[test]
fn what_cannot_be_fetched_is_named_with_its_address_and_refuses_nobody() {
    let rig = Rig::new(StatusCode::NOT_FOUND);
    for (kind, path, reason) in [
        ("nvidia", "/v1/rim/NV_GPU_DRIVER_", "manifest_missing"),
        ("sev-snp", "/vcek/v1/", "revocation_missing"),
        ("bundle", "/v1/rim/NV_GPU_DRIVER_", "manifest_missing"),
    ] {
        for (how, why) in [("--fetch", "does not have it"), ("--offline", "(offline)")] {
            let (exit, found) = rig.fetch(kind, how);
            assert_eq!(exit, 2, "{kind} {how}: {found:#}");
            assert!(reasons(&found).contains(&reason), "{kind} {how}: {found:#}");
            let missing = found["collateral"]["missing"].as_array().unwrap();
            let named = missing.iter().any(|one| {
                let address = one["address"].as_str().unwrap();
                let cause = one["why"].as_str().unwrap();
                address.starts_with(&rig.base) && address.contains(path) && cause.contains(why)
            });
            assert!(named, "{kind} {how}: {missing:#?}");
        }
    }
}

#[test]
fn services_that_fail_or_answer_garbage_refuse_nobody() {
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK] {
        let (exit, found) = Rig::new(status).fetch("nvidia", "--fetch");
        assert_eq!(
            (exit, &found["verdict"]),
            (2, &"inconclusive".into()),
            "{status}"
        );
    }
}

const POLICY: &str = include_str!("../policy.example.toml");

#[test]
fn a_policy_judges_what_the_evidence_can_say_and_lists_the_rest() {
    let rig = Rig::new(StatusCode::NOT_FOUND);
    let file = rig.path("policy.toml");
    // Each row: clauses that are not `any`, exit status, the reason, a clause that is judged.
    let rows = [
        ("nvidia", "gpu_architecture", "[\"hopper\"]", 0, None),
        (
            "nvidia",
            "gpu_architecture",
            "[\"blackwell\"]",
            1,
            Some("gpu_architecture_refused"),
        ),
        ("nvidia", "gpu_count", "2", 1, Some("gpu_too_few")),
        ("nvidia", "rim_match", "true", 2, Some("manifest_missing")),
        (
            "nvidia",
            "revocation",
            "\"1d\"",
            2,
            Some("revocation_missing"),
        ),
        (
            "sev-snp",
            "cpu_kind",
            "[\"tdx\"]",
            1,
            Some("cpu_kind_refused"),
        ),
        ("sev-snp", "cpu_kind", "[\"sev_snp\"]", 0, None),
        (
            "bundle",
            "cpu_kind",
            "[\"tdx\"]",
            1,
            Some("cpu_kind_refused"),
        ),
        ("bundle", "rim_match", "true", 2, Some("manifest_missing")),
    ];
    for (kind, clause, value, exit, reason) in rows {
        std::fs::write(&file, only(clause, value)).unwrap();
        let (found, json) = rig.run(kind, &["--policy", &file]);
        assert_eq!(
            (found, reasons(&json).first().copied()),
            (exit, reason),
            "{kind} {clause}"
        );
        assert_eq!(json["clauses"][0]["clause"], clause, "{json:#}");
        assert_eq!(json["clauses"][0]["holds"], reason.is_none());
    }
    // A clause about something else than the evidence is not taken to hold.
    std::fs::write(&file, only("gpu_count", "1")).unwrap();
    let (exit, json) = rig.run("sev-snp", &["--policy", &file]);
    assert_eq!(
        (exit, not_checked(&json).contains(&"policy")),
        (0, true),
        "{json:#}"
    );
}

/// The example policy with *any* everywhere but in one clause.
fn only(clause: &str, value: &str) -> String {
    let example: toml::Table = POLICY.parse().unwrap();
    let line = |name: &String| match name.as_str() {
        name if name == clause => format!("{name} = {value}\n"),
        "royalty" => "royalty = \"none\"\n".to_owned(),
        name => format!("{name} = \"any\"\n"),
    };
    example.keys().map(line).collect()
}

#[test]
fn what_cannot_be_used_is_bad_usage_and_named() {
    let rig = Rig::new(StatusCode::NOT_FOUND);
    let (gpu, chain) = (rig.path("gpu.bin"), rig.path("chain.der"));
    let base = [
        "verify",
        "nvidia",
        "--trust-simulator",
        "--report",
        &gpu,
        "--certs",
        &chain,
    ];
    for (more, named) in [
        (&["--rim", "none.xml"][..], "--rim none.xml"),
        (&["--rim", &chain], "expected a reference manifest"),
        (
            &["--collateral", &gpu],
            "expected a manifest (XML), an OCSP response",
        ),
        (&["--policy", &gpu], "--policy"),
        (&["--fetch", "--nvidia-rim-url", "ftp://x"], "nvidia_rim"),
        (&["--fetch", "--patience", "soon"], "--patience"),
        (&["--token", "x"], "--token"),
        (&["--jwks", "x"], "--jwks"),
    ] {
        let output = vouch(&[&base[..], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {stderr}");
        assert!(stderr.contains(named), "{more:?}: {stderr}");
    }
}
