//! The API over TLS: who gets answers, how a certificate is renewed, and operators that exchange signatures.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vouch_client::State;
use vouch_tests::oracle::audit;
use vouch_tests::oracle::daemon::{Daemon, Plan, tail};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::postgres::Server;
use vouch_tests::tools::Tool;

const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who says whose a server is.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// Writes a certificate of this machine's address and its key.
    fn issue(&self, certificate: &Path, key: &Path) -> Result<()> {
        let own = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let issued = params.signed_by(&own, &self.issuer)?;
        std::fs::write(certificate, issued.pem())?;
        std::fs::write(key, own.serialize_pem())?;
        Ok(())
    }

    /// Gives a daemon a certificate.
    fn give(&self, fair: &Fair, plan: &mut Plan, name: &str) -> Result<()> {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        self.issue(&fair.path().join(&certificate), &fair.path().join(&key))?;
        plan.authority = Some(self.pem.clone());
        plan.extra = format!("[server.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        Ok(())
    }
}

fn all_of(operators: usize) -> Size {
    Size {
        operators,
        quorum: u16::try_from(operators).unwrap_or(u16::MAX),
        lanes: 1,
    }
}

/// Waits until a daemon has said something so often.
async fn logged(plan: &Plan, text: &str, times: usize) -> Result<()> {
    let waiting = async {
        while std::fs::read_to_string(plan.log())?.matches(text).count() < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.with_context(|| tail(&plan.log()))?
}

/// Why a client that believes `authority` gets no answer; nothing where it gets one.
async fn refused(plan: &Plan, authority: &Authority) -> Result<Option<String>> {
    let mut asking = plan.clone();
    asking.authority = Some(authority.pem.clone());
    let answer = asking
        .client()?
        .get(format!("{}/healthz", plan.url()))
        .send();
    match answer.await {
        Ok(answer) => {
            ensure!(answer.status().is_success(), "{}", answer.status());
            Ok(None)
        }
        Err(error) => Ok(Some(format!("{:#}", anyhow::Error::from(error)))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_the_certificate_gets_answers_and_nobody_else() -> Result<()> {
    let (fair, _lanes) = Fair::open(all_of(1)).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    authority.give(&fair, &mut plan, "server")?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;

    assert_eq!(refused(&plan, &authority).await?, None);
    let why = refused(&plan, &stranger).await?.context("an answer")?;
    assert!(why.contains("certificate"), "{why}");
    // The system's authorities do not know it either.
    let unknown = reqwest::get(format!("{}/healthz", plan.url())).await;
    assert!(unknown.is_err_and(|error| error.is_connect()));
    // Its name is what it was asked by.
    let elsewhere = plan.url().replace("127.0.0.1", "localhost");
    let answer = plan.client()?.get(format!("{elsewhere}/healthz")).send();
    assert!(answer.await.is_err_and(|error| error.is_connect()));
    let old = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(authority.pem.as_bytes())?])
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .build()?;
    let answer = old.get(format!("{}/healthz", plan.url())).send();
    assert!(answer.await.is_err_and(|error| error.is_connect()));

    // Plain HTTP is not understood, and not answered in plain.
    let mut plain = TcpStream::connect(("127.0.0.1", plan.port)).await?;
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: oracle\r\nConnection: close\r\n\r\n")
        .await?;
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.windows(5).any(|bytes| bytes == b"HTTP/"), "{said:?}");

    // Those who dawdle keep nobody waiting.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(("127.0.0.1", plan.port)).await?);
    }
    assert_eq!(refused(&plan, &authority).await?, None);

    // The daemon's own command finds it, though the certificate may bear another name.
    let config = plan.write()?;
    let config = config.to_str().context("a path")?;
    let tool = Tool::own("vouch-oracle")?;
    let status = tool.run(&["status", "--config", config]).await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    // Which the store alone does not know.
    assert!(status["operators"].is_array(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_the_daemon_runs() -> Result<()> {
    let (fair, _lanes) = Fair::open(all_of(1)).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    let (first, second) = (Authority::new()?, Authority::new()?);
    first.give(&fair, &mut plan, "server")?;
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    assert_eq!(refused(&plan, &first).await?, None);

    let path = |name: &str| fair.path().join(name);
    second.issue(&path("server.crt"), &path("server.key"))?;
    // Not before it is told.
    assert_eq!(refused(&plan, &first).await?, None);
    daemon.reload().await?;
    logged(&plan, "certificate renewed", 1).await?;
    assert_eq!(refused(&plan, &second).await?, None);
    assert!(refused(&plan, &first).await?.is_some());

    // What will not do changes nothing, and check-config says which file it is.
    let config = plan.write()?;
    let config = config.to_str().context("a path")?;
    let tool = Tool::own("vouch-oracle")?;
    let check = ["check-config", "--config", config];
    ensure!(tool.run_in(fair.path(), &check).await?.success);
    let bad = [("server.key", "no key"), ("server.crt", "no certificate")];
    for (times, (name, content)) in (1..).zip(bad) {
        let good = std::fs::read(path(name))?;
        std::fs::write(path(name), content)?;
        daemon.reload().await?;
        logged(&plan, "certificate_refused", times).await?;
        assert_eq!(refused(&plan, &second).await?, None);
        let checked = tool.run_in(fair.path(), &check).await?;
        let named = path(name).display().to_string();
        ensure!(
            !checked.success
                && checked.stderr.contains(&named)
                && checked.stderr.contains("found none"),
            "{}",
            checked.text()
        );
        std::fs::write(path(name), good)?;
        daemon.reload().await?;
        logged(&plan, "certificate renewed", times + 1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_store_is_reached_over_tls() -> Result<()> {
    let Some(server) = Server::start()? else {
        return Ok(());
    };
    let (fair, mut lanes) = Fair::open(all_of(1)).await?;
    let mut lane = lanes.pop().context("a lane")?;
    let authority = Authority::new()?;
    let path = |name: &str| fair.path().join(name);
    std::fs::write(path("authority.pem"), &authority.pem)?;
    authority.issue(&path("store.crt"), &path("store.key"))?;
    server.encrypt(&path("store.crt"), &path("store.key"))?;

    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.store = Some(server.url());
    let refused = plan.start().await?.ready().await.err().context("no TLS")?;
    assert!(
        format!("{refused:#}").contains("no encryption"),
        "{refused:#}"
    );

    // Encryption alone is not enough: it must be the right server.
    plan.store = Some(format!("{}?sslmode=require", server.url()));
    let mut daemon = plan.start().await?;
    assert!(
        daemon.says("UnknownIssuer", PATIENCE).await,
        "{}",
        tail(&plan.log())
    );
    daemon.kill().await?;

    plan.store = Some(format!("{}?sslmode=verify-full", server.url()));
    plan.extra
        .push_str("[trust]\nauthorities = \"authority.pem\"\n");
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let done = lane.order().await.with_context(|| tail(&plan.log()))?;
    assert_eq!(done.state, State::Settled);
    let config = plan.write()?;
    let config = config.to_str().context("a path")?;
    let tool = Tool::own("vouch-oracle")?;
    tool.run(&["job", "--config", config, &done.order.to_string()])
        .await?;
    Ok(())
}

/// Waits until a daemon says that it reaches its peer, or does not. A slow answer counts as none until the next.
async fn reaches(daemon: &Daemon, expected: bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = daemon.get("/v1/status").await?;
        let trouble = &status["peers"][0]["trouble"];
        if trouble.is_null() == expected {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_exchange_signatures_with_those_whose_authority_they_trust() -> Result<()> {
    let (fair, mut lanes) = Fair::open(all_of(2)).await?;
    let mut lane = lanes.pop().context("a lane")?;
    lane.patience = Duration::from_secs(60);
    let authority = Authority::new()?;
    std::fs::write(fair.path().join("authority.pem"), &authority.pem)?;
    let mut plans = Vec::new();
    for (i, key) in fair.operators.iter().enumerate() {
        let name = format!("operator-{i}");
        let mut plan = Plan::new(&fair, &name, vec![key.clone()])?;
        authority.give(&fair, &mut plan, &name)?;
        plans.push(plan);
    }
    plans[0].peers = vec![plans[1].url()];
    plans[1].peers = vec![plans[0].url()];
    // The second believes nobody yet.
    plans[0]
        .extra
        .push_str("[trust]\nauthorities = \"authority.pem\"\n");
    let mut daemons = Vec::new();
    for plan in &plans {
        daemons.push(plan.start().await?);
    }
    for daemon in &mut daemons {
        daemon.ready().await?;
    }
    // What it cannot send it is asked for: one direction is enough.
    let first = lane.order().await.with_context(|| tail(&plans[0].log()))?;
    reaches(&daemons[1], false).await?;
    reaches(&daemons[0], true).await?;

    daemons.pop().context("a daemon")?.kill().await?;
    plans[1]
        .extra
        .push_str("[trust]\nauthorities = \"authority.pem\"\n");
    daemons.push(plans[1].start().await?);
    daemons[1].ready().await?;
    let second = lane.order().await.with_context(|| tail(&plans[1].log()))?;
    assert_eq!(
        (first.state, second.state),
        (State::Settled, State::Settled)
    );
    reaches(&daemons[1], true).await?;
    let senders: Vec<_> = fair.operators.iter().map(|key| key.address()).collect();
    let report = audit::chain(&fair, &[first, second], &senders).await?;
    assert_eq!(report.settled, 2);
    Ok(())
}
