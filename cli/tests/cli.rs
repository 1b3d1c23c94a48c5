//! The program as people run it: arguments, exit codes and what is printed.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vouch_protocol::{Counters, DatasetMeasure};
use vouch_simulator::{Machine, Options, Session, Tamper, Work};

fn vouch(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOUCH_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

fn exit(args: &[&str]) -> i32 {
    vouch(args).status.code().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stdout));
    })
}

/// Simulated evidence as files, in each of the accepted encodings.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(tamper: Option<Tamper>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir };
        let machine = Machine::new(b"cli test");
        let session = Session::from_secret([5; 32]);
        let inputs = [3; 32].into();
        let options = Options {
            tamper,
            ..Options::default()
        };
        let start = session.start([1; 32].into(), inputs);
        let evidence = machine.evidence(&start, &options);
        let gpu = &evidence.gpus[0];
        let chain = gpu.chain.concat();
        files.write("gpu.bin", &gpu.report);
        files.write("gpu.hex", hex::encode(&gpu.report).as_bytes());
        files.write("chain.der", &chain);
        files.write("chain.hex", hex::encode(&chain).as_bytes());
        files.write("cpu.bin", &evidence.cpu.report);
        files.write("vek.der", &evidence.cpu.chain[0]);
        files.write("amd.der", &evidence.cpu.chain[1..].concat());
        files.write("start.json", &evidence.bundle().to_json());
        let work = Work {
            outputs: [9; 32].into(),
            counters: Counters {
                output_bytes: 1,
                output_rows: 1,
            },
            datasets: vec![DatasetMeasure::default()],
        };
        let finish = session.finish([2; 32].into(), inputs, work);
        files.write("finish.json", &machine.bundle(&finish, &options).to_json());
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn gpu(&self, more: &[&str]) -> Output {
        let (report, certs) = (self.path("gpu.bin"), self.path("chain.der"));
        let args = [
            "verify",
            "nvidia",
            "--report",
            &report,
            "--certs",
            &certs,
            "--trust-simulator",
        ];
        vouch(&[&args, more].concat())
    }

    fn cpu(&self, more: &[&str]) -> Output {
        let (report, vek, chain) = (
            self.path("cpu.bin"),
            self.path("vek.der"),
            self.path("amd.der"),
        );
        let args = [
            "verify",
            "sev-snp",
            "--report",
            &report,
            "--vek",
            &vek,
            "--chain",
            &chain,
            "--trust-simulator",
        ];
        vouch(&[&args, more].concat())
    }
}

#[test]
fn bad_usage_is_64_whatever_is_wrong_with_it() {
    let files = Files::new(None);
    let (report, certs) = (files.path("gpu.bin"), files.path("chain.der"));
    let verify = ["verify", "nvidia", "--report", &report, "--certs", &certs];
    let with = |more: &[&'static str]| -> Vec<String> {
        verify
            .iter()
            .copied()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let mut cases: Vec<Vec<String>> = [
        &[][..],
        &["nothing"],
        &["verify"],
        &["verify", "nvidia"],
        &["verify", "nvidia", "--report", "x"],
        &["verify", "nvidia", "--report", "none", "--certs", "none"],
        &["verify", "nvidia", "--evidence", "none"],
        &["verify", "sev-snp", "--report", "none"],
        &["verify", "sev-snp", "--report", "none", "--vek", "none"],
        &["verify", "tdx", "--quote", "none"],
        &["verify", "bundle", "none"],
        &["offer", "publish"],
        &["offer", "show", "0x12"],
        &["order", "place", "--purpose", "play"],
        &["policy", "show", "none"],
        &["asset", "digest", "none"],
        &["asset", "digest", "/"],
        &["receipt", "verify", "none"],
        &["token", "mint", "me", "1"],
        &["deploy"],
        &["demo", "--tamper", "everything"],
        &["demo", "--operators", "0"],
        &["simulate", "evidence", "0x00"],
    ]
    .iter()
    .map(|case| case.iter().map(|arg| (*arg).to_owned()).collect())
    .collect();
    cases.push(with(&["--nonce", "12"]));
    cases.push(with(&["--at", "yesterday"]));
    cases.push(with(&["--evidence", "both"]));
    cases.push(with(&["--unknown"]));
    for case in &cases {
        let args: Vec<&str> = case.iter().map(String::as_str).collect();
        let output = vouch(&args);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.stderr.is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn help_and_version_are_successes_and_every_command_has_an_example() {
    assert_eq!(exit(&["--version"]), 0);
    for command in [
        &["verify", "nvidia"][..],
        &["verify", "sev-snp"],
        &["verify", "tdx"],
        &["verify", "bundle"],
        &["deploy"],
        &["demo"],
        &["offer", "publish"],
        &["offer", "cancel"],
        &["offer", "list"],
        &["offer", "show"],
        &["policy", "publish"],
        &["policy", "show"],
        &["order", "place"],
        &["order", "accept"],
        &["order", "evidence"],
        &["order", "show"],
        &["order", "list"],
        &["order", "refund"],
        &["order", "settle"],
        &["order", "withdraw"],
        &["receipt", "show"],
        &["receipt", "verify"],
        &["token", "mint"],
        &["token", "balance"],
        &["simulate", "evidence"],
        &["simulate", "roots"],
        &["asset", "digest"],
    ] {
        let output = vouch(&[command, &["--help"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(text.contains("Example"), "{command:?} has no example");
        assert!(text.contains("--json"), "{command:?} has no --json");
    }
}

#[test]
fn honest_evidence_is_accepted_in_every_encoding() {
    let files = Files::new(None);
    for report in ["gpu.bin", "gpu.hex"] {
        for certs in ["chain.der", "chain.hex"] {
            let (report, certs) = (files.path(report), files.path(certs));
            let args = [
                "verify",
                "nvidia",
                "--report",
                &report,
                "--certs",
                &certs,
                "--trust-simulator",
            ];
            assert_eq!(exit(&args), 0, "{report} {certs}");
        }
    }
    assert_eq!(files.cpu(&[]).status.code(), Some(0));
}

#[test]
fn the_json_of_an_accepted_report_has_verdict_reasons_claims_and_what_was_not_checked() {
    let files = Files::new(None);
    let found = json(&files.gpu(&["--json"]));
    let mut keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["claims", "not_checked", "reasons", "verdict"]);
    assert_eq!(found["verdict"], "accepted");
    assert_eq!(found["reasons"], Value::Array(vec![]));
    assert_eq!(found["claims"]["architecture"], "hopper");
    assert_eq!(found["claims"]["driver"], "550.90.07");
    assert_eq!(found["claims"]["simulated"], true);
    let not_checked: Vec<&str> = found["not_checked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["what"].as_str().unwrap())
        .collect();
    assert!(not_checked.contains(&"nonce"), "{not_checked:?}");
    let found = json(&files.cpu(&["--json", "--explain"]));
    assert_eq!(found["claims"]["generation"], "Genoa");
    let checks = found["checks"].as_array().unwrap();
    assert!(checks.len() > 5 && checks.iter().all(|check| check["outcome"] != "failed"));
}

#[test]
fn a_lie_is_rejected_with_its_code_and_name() {
    for tamper in [Tamper::GpuSignature, Tamper::GpuChain, Tamper::WrongRoot] {
        let output = Files::new(Some(tamper)).gpu(&["--json"]);
        let found = json(&output);
        assert_eq!(output.status.code(), Some(1), "{tamper}");
        assert_eq!(found["verdict"], "rejected");
        assert_eq!(
            found["reasons"][0]["code"],
            tamper.reason().code(),
            "{tamper}"
        );
        assert_eq!(
            found["reasons"][0]["name"],
            tamper.reason().name(),
            "{tamper}"
        );
    }
    let output = Files::new(Some(Tamper::CpuSignature)).cpu(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["reasons"][0]["code"], 120);
}

#[test]
fn nonces_and_report_data_are_compared_where_they_are_given() {
    let files = Files::new(None);
    let nonce = json(&files.gpu(&["--json"]))["claims"]["nonce"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(files.gpu(&["--nonce", &nonce]).status.code(), Some(0));
    let other = "00".repeat(32);
    let refused = files.gpu(&["--nonce", &other, "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(json(&refused)["reasons"][0]["name"], "gpu_nonce_mismatch");
    let data = json(&files.cpu(&["--json"]))["claims"]["report_data"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(files.cpu(&["--report-data", &data]).status.code(), Some(0));
    assert_eq!(
        files
            .cpu(&["--report-data", &"00".repeat(64)])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn simulated_evidence_is_refused_unless_it_is_asked_for() {
    let files = Files::new(None);
    let (report, certs) = (files.path("gpu.bin"), files.path("chain.der"));
    let output = vouch(&[
        "verify", "nvidia", "--report", &report, "--certs", &certs, "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["reasons"][0]["name"], "gpu_root_untrusted");
}

#[test]
fn certificates_out_of_date_are_inconclusive() {
    let files = Files::new(None);
    for at in ["2010-01-01T00:00:00Z", "2060-01-01T00:00:00Z"] {
        let output = files.cpu(&["--at", at, "--json"]);
        assert_eq!(output.status.code(), Some(2), "{at}");
        assert_eq!(json(&output)["verdict"], "inconclusive");
        assert_eq!(json(&output)["reasons"][0]["code"], 300);
    }
}

#[test]
fn garbage_is_never_accepted_and_never_panics() {
    let files = Files::new(None);
    files.write("garbage", &[0xff; 300]);
    files.write("empty", b"");
    for bad in ["garbage", "empty"] {
        let bad = files.path(bad);
        for args in [
            &[
                "verify",
                "nvidia",
                "--report",
                &bad,
                "--certs",
                &files.path("chain.der"),
            ][..],
            &[
                "verify",
                "nvidia",
                "--report",
                &files.path("gpu.bin"),
                "--certs",
                &bad,
            ],
            &["verify", "nvidia", "--evidence", &bad],
            &[
                "verify",
                "sev-snp",
                "--report",
                &bad,
                "--vek",
                &files.path("vek.der"),
            ],
            &[
                "verify",
                "sev-snp",
                "--report",
                &files.path("cpu.bin"),
                "--vek",
                &bad,
            ],
            &["verify", "tdx", "--quote", &bad],
            &["verify", "bundle", &bad],
        ] {
            let output = vouch(&[args, &["--json"]].concat());
            // Unknown versions are inconclusive; all else is rejected.
            assert!(matches!(output.status.code(), Some(1 | 2)), "{args:?}");
            assert!(
                !json(&output)["reasons"][0]["detail"]
                    .as_str()
                    .unwrap()
                    .is_empty()
            );
        }
    }
}

#[test]
fn bundles_are_verified_whole() {
    let files = Files::new(None);
    let (start, finish) = (files.path("start.json"), files.path("finish.json"));
    let bundle = |args: &[&str]| {
        vouch(&[&["verify", "bundle", "--trust-simulator", "--json"], args].concat())
    };
    let found = bundle(&[&start]);
    assert_eq!(found.status.code(), Some(0), "{}", json(&found));
    assert_eq!(json(&found)["claims"]["phase"], "start");
    assert_eq!(bundle(&[&finish]).status.code(), Some(64));
    assert_eq!(bundle(&[&start, "--start", &start]).status.code(), Some(64));
    let found = bundle(&[&finish, "--start", &start]);
    assert_eq!(found.status.code(), Some(0), "{}", json(&found));
    let zero = format!("0x{}", "00".repeat(32));
    for (flag, name) in [
        ("--challenge", "challenge_mismatch"),
        ("--inputs", "inputs_digest_mismatch"),
        ("--outputs", "outputs_digest_mismatch"),
        ("--digest", "evidence_digest_mismatch"),
    ] {
        let found = bundle(&[&finish, "--start", &start, flag, &zero]);
        assert_eq!(found.status.code(), Some(1), "{flag}");
        assert_eq!(json(&found)["reasons"][0]["name"], name, "{flag}");
    }
    let lie = Files::new(Some(Tamper::CpuReportData));
    let found = bundle(&[&lie.path("start.json")]);
    assert_eq!(
        json(&found)["reasons"][0]["name"],
        "cpu_report_data_mismatch"
    );
    // Genuine, but its host can look inside.
    let open = Files::new(Some(Tamper::CpuDebug));
    let found = bundle(&[&open.path("start.json")]);
    assert_eq!(json(&found)["reasons"][0]["name"], "debug_enabled");
}

#[test]
fn no_chain_is_an_error_that_says_what_to_do() {
    let output = vouch(&["offer", "list", "--rpc", "http://127.0.0.1:1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        text.contains("vouch-devnet") && text.contains("--rpc"),
        "{text}"
    );
    assert!(
        json(&output)["error"]
            .as_str()
            .unwrap()
            .contains("127.0.0.1:1")
    );
}

#[test]
fn digests_and_policies_need_no_chain() {
    let files = Files::new(None);
    files.write("asset", b"abc");
    let found = json(&vouch(&["asset", "digest", &files.path("asset"), "--json"]));
    assert_eq!(found["bytes"], 3);
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy.example.toml");
    let found = json(&vouch(&[
        "policy",
        "show",
        policy.to_str().unwrap(),
        "--json",
    ]));
    assert_eq!(found["terms"]["debug_off"], true);
    files.write("policy.toml", b"debug_off = true\n");
    let output = vouch(&["policy", "show", &files.path("policy.toml")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("cpu_kind"),
        "names the missing clause"
    );
}

/// The samples are no part of the repository; where they are, the real hardware is believed.
#[test]
fn real_hardware_is_accepted() {
    let root = std::env::var_os("VOUCH_EVIDENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence"),
        Into::into,
    );
    if !root.is_dir() {
        eprintln!("skipped: no evidence at {}", root.display());
        return;
    }
    let path = |name: &str| root.join(name).display().to_string();
    let report = path("nvidia/go-nvattest/test_raw_gpu_attestation_report.dat");
    let certs = path("nvidia/go-nvattest/test_gpu_attestation_certificate_chain.dat");
    let nonce = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
    let at = ["--at", "2025-09-01T00:00:00Z", "--nonce", nonce];
    assert_eq!(
        exit(
            &[
                &["verify", "nvidia", "--report", &report, "--certs", &certs][..],
                &at
            ]
            .concat()
        ),
        0
    );
    let evidence = path("nvidia/attestation-sdk/evidence_json/multi_gpu_hopper.json");
    assert_eq!(
        exit(&[
            "verify",
            "nvidia",
            "--evidence",
            &evidence,
            "--at",
            "2025-09-01T00:00:00Z"
        ]),
        0
    );
    for generation in ["milan", "genoa", "turin"] {
        let report = path(&format!("snp/ms-tee/{generation}_attestation_report.bin"));
        let vek = path(&format!("snp/ms-tee/{generation}_vcek.pem"));
        let args = [
            "verify",
            "sev-snp",
            "--report",
            &report,
            "--vek",
            &vek,
            "--at",
            "2026-06-01T00:00:00Z",
        ];
        assert_eq!(exit(&args), 0, "{generation}");
    }
    // Genuine, but its host can look inside.
    let report = path("snp/go-sev-guest/attestation.bin");
    let vek = path("snp/go-sev-guest/vcek.testcer");
    let args = ["verify", "sev-snp", "--report", &report, "--vek", &vek];
    assert_eq!(
        exit(&[&args[..], &["--at", "2025-06-01T00:00:00Z"]].concat()),
        1
    );
}
