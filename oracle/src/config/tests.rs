use super::*;

const SMALL: &str = r#"
    [chain]
    deployment = "31337.json"
    endpoints = ["http://127.0.0.1:8547"]
    [keys]
    verdict = [{ env = "A" }]
    gas = { env = "B" }
    [store]
    dir = "db"
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("oracle.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

#[test]
fn the_documented_example_is_a_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle.example.toml");
    let config = Config::load(&path).unwrap();
    assert!(config.check_chain(412_346).is_ok());
}

#[test]
fn what_the_example_leaves_out_can_be_put_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle.example.toml");
    let example = std::fs::read_to_string(path).unwrap();
    let section = |name: &str| {
        let (_, section) = example.split_once(&format!("# [{name}]")).unwrap();
        let section = section.split("\n\n").next().unwrap().replace("\n# ", "\n");
        format!("\n[{name}]{section}")
    };
    let mut text = SMALL.to_owned();
    for name in ["collateral", "evidence.bucket", "trust", "server.tls"] {
        text.push_str(&section(name));
    }
    let config = load(&text).unwrap();
    let tls = config.server.tls.unwrap();
    let bucket = config.evidence.bucket.unwrap();
    let paths = [
        Some(tls.certificate),
        Some(tls.key),
        bucket.credentials,
        config.trust.authorities,
    ];
    assert!(
        paths
            .iter()
            .all(|path| path.as_ref().unwrap().is_absolute())
    );
    let collateral = config.collateral.unwrap();
    assert!(collateral.cache_dir.unwrap().is_absolute());
    assert_eq!(collateral.addresses, vouch_collateral::Addresses::default());
    assert!(load(SMALL).unwrap().collateral.is_none());
}

#[test]
fn defaults_are_filled_in_and_paths_are_the_files() {
    let config = load(SMALL).unwrap();
    assert_eq!(config.chain.finality, 256);
    assert!(config.chain.deployment.is_absolute());
    assert!(config.evidence_dir().ends_with("evidence"));
}

/// Each row: what is written, what stands there instead, what the error must name.
#[test]
fn faults_are_refused_by_name() {
    let table = [
        ("dir = \"db\"", "", "dir"),
        ("dir = \"db\"", "dir = 7", "string"),
        ("dir = \"db\"", "dir = \"db\"\ndirr = \"x\"", "dirr"),
        ("[store]", "[stor]", "stor"),
        ("\"http://127.0.0.1:8547\"", "", "chain.endpoints"),
        (
            "\"http://127.0.0.1:8547\"",
            "\"127.0.0.1:8547\"",
            "chain.endpoints[0]",
        ),
        ("{ env = \"A\" }", "", "keys.verdict"),
        ("{ env = \"A\" }", "{ envi = \"A\" }", "envi"),
        (
            "{ env = \"A\" }",
            "{ keystore = { path = \"x\" } }",
            "password_file",
        ),
        (
            "[store]",
            "[evidence]\nmax_bytes = 1\n[store]",
            "evidence.max_bytes",
        ),
        (
            "[store]",
            "[evidence]\nmax_bytes = -1\n[store]",
            "max_bytes",
        ),
        (
            "[store]",
            "[evidence]\nsources = [\"ftp://x\"]\n[store]",
            "evidence.sources[0]",
        ),
        (
            "[store]",
            "[server]\nlisten = \"nowhere\"\n[store]",
            "listen",
        ),
        (
            "[store]",
            "[server]\nworkers = 0\n[store]",
            "server.workers",
        ),
        (
            "[store]",
            "[submit]\nmax_fee_gwei = 0\n[store]",
            "submit.max_fee_gwei",
        ),
        (
            "[store]",
            "[submit]\nreplace_after_ms = 1\n[store]",
            "submit.replace_after_ms",
        ),
        (
            "[keys]",
            "confirmations = 1000\n[keys]",
            "chain.confirmations",
        ),
        ("[keys]", "finality = 0\n[keys]", "chain.finality"),
        (
            "[store]",
            "[collateral]\nnvidia_rim = \"\"\n[store]",
            "nvidia_rim",
        ),
        (
            "[store]",
            "[collateral.addresses]\nnvidia = \"\"\n[store]",
            "nvidia",
        ),
        (
            "[store]",
            "[server.tls]\ncertificate = \"c\"\n[store]",
            "key",
        ),
        (
            "[store]",
            "[evidence.bucket]\nname = \"a/b\"\n[store]",
            "evidence.bucket.name",
        ),
        (
            "[store]",
            "[evidence.bucket]\nname = \"b\"\nendpoint = \"s3.example.net\"\n[store]",
            "evidence.bucket.endpoint",
        ),
        (
            "[store]",
            "[evidence.bucket]\nname = \"b\"\n[store]\nevidence_dir = \"e\"",
            "store.evidence_dir",
        ),
        ("[store]", "[traces]\n[store]", "endpoint"),
        ("[chain]", "[chain", "expected"),
    ];
    for (good, bad, named) in table {
        assert!(SMALL.contains(good), "{good}");
        let error = load(&SMALL.replacen(good, bad, 1)).unwrap_err().to_string();
        assert!(error.contains(named), "{bad}: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nowhere/oracle.toml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/oracle.toml"));
}

#[test]
fn what_is_for_development_is_refused_elsewhere() {
    let keystore = "{ keystore = { path = \"a\", password_file = \"b\" } }";
    let strict = SMALL
        .replace("{ env = \"A\" }", keystore)
        .replace("{ env = \"B\" }", keystore);
    let simulated = "[trust.simulated]\nnvidia_root = \"n\"\namd_ark = \"a\"\namd_ask = \"s\"\n";
    let rows = [
        (strict.clone(), None),
        (format!("{strict}\n{simulated}"), Some("trust.simulated")),
        (
            strict.replacen(keystore, "{ env = \"A\" }", 1),
            Some("keys.verdict"),
        ),
        (
            strict.replacen(
                &format!("[{keystore}]"),
                &format!("[{keystore}, {keystore}]"),
                1,
            ),
            Some("keys.verdict"),
        ),
        (
            strict.replacen(&format!("gas = {keystore}"), "gas = { file = \"k\" }", 1),
            Some("keys.gas"),
        ),
        (
            strict.replacen("gas =", &format!("retiring = [{keystore}]\ngas ="), 1),
            None,
        ),
        (
            strict.replacen("gas =", "retiring = [{ env = \"A\" }]\ngas =", 1),
            Some("keys.retiring"),
        ),
    ];
    for (text, refused) in rows {
        let config = load(&text).unwrap();
        for chain_id in [31337, 412_346] {
            assert!(config.check_chain(chain_id).is_ok());
        }
        for chain_id in [1, 42161, 421_614] {
            let error = config.check_chain(chain_id).err().map(|e| e.to_string());
            match refused {
                None => assert_eq!(error, None, "{text}"),
                Some(key) => assert!(error.unwrap().contains(key), "{text}"),
            }
        }
    }
}

#[test]
fn spans_are_for_those_who_built_them_in() {
    let traces = |lines: &str| load(&format!("{SMALL}\n[traces]\n{lines}"));
    let good = "endpoint = \"http://127.0.0.1:4318/v1/traces\"\n";
    if !cfg!(feature = "otel") {
        let error = traces(good).unwrap_err().to_string();
        assert!(
            error.contains("traces") && error.contains("--features otel"),
            "{error}"
        );
        return;
    }
    assert_eq!(traces(good).unwrap().traces.unwrap().ratio, 1.0);
    for (lines, named) in [
        (
            "endpoint = \"127.0.0.1:4318\"".to_owned(),
            "traces.endpoint",
        ),
        ("endpoint = \"http://\"".to_owned(), "traces.endpoint"),
        (format!("{good}ratio = 1.5"), "traces.ratio"),
        (format!("{good}ratio = -0.1"), "traces.ratio"),
        (format!("{good}ratio = nan"), "traces.ratio"),
        (format!("{good}protocol = \"grpc\""), "protocol"),
    ] {
        let error = traces(&lines).unwrap_err().to_string();
        assert!(error.contains(named), "{lines}: {error}");
    }
}

#[test]
fn keys_with_a_service_are_for_those_who_built_it_in() {
    let gas = |value: &str| load(&SMALL.replace("{ env = \"B\" }", value));
    let key = "{ kms = { id = \"alias/gas\", region = \"eu-central-1\" } }";
    let found = gas(key);
    if cfg!(feature = "kms") {
        let config = found.unwrap();
        assert!(matches!(&config.keys.gas, Key::Kms(key) if key.id == "alias/gas"));
        assert!(gas("{ kms = { alias = \"gas\" } }").is_err());
        assert!(gas("{ kms = { id = \"gas\", profile = \"x\" } }").is_err());
    } else {
        let error = found.unwrap_err().to_string();
        assert!(
            error.contains("keys.gas") && error.contains("--features kms"),
            "{error}"
        );
    }
}
