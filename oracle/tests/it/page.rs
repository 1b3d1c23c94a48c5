//! The operator's page, in a browser.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use vouch_simulator::Tamper;
use vouch_tests::oracle::daemon::Plan;
use vouch_tests::oracle::fair::{Fair, Size};

/// Chromium, or nothing and a message.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: Chromium is not installed: scripts/setup --tests");
    }
    found
}

/// What a page looks like once it has loaded, and a picture of it.
async fn load(program: &PathBuf, url: &str, picture: &std::path::Path) -> Result<String> {
    let profile = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1250,1700",
            "--virtual-time-budget=4000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.context("the browser took over a minute")??;
    ensure!(output.status.success(), "the browser: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_jobs_and_why_evidence_was_refused() -> Result<()> {
    let Some(browser) = browser() else {
        return Ok(());
    };
    let size = Size {
        operators: 2,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let mut plan = Plan::new(&fair, "oracle", vec![fair.operators[0].clone()])?;
    plan.peers = vec!["http://127.0.0.1:1/<script>alert(1)</script>".into()];
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let lane = lanes.first_mut().context("a lane")?;
    lane.order_with(None).await?;
    let refused = lane.order_with(Some(Tamper::GpuSignature)).await?;

    let jobs = daemon
        .get(&format!("/v1/jobs?order={}", refused.order))
        .await?;
    let digest = jobs["jobs"][0]["verdict"]["digest"].as_str();
    let digest = digest.context("a verdict")?;
    let explained = daemon.get(&format!("/v1/explanations/{digest}")).await?;
    assert_eq!(explained["reason"]["name"], "gpu_signature_invalid");
    let checks = explained["checks"].as_array().context("checks")?;
    let failed: Vec<_> = checks.iter().filter(|c| c["outcome"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        explained["chains"][0]["certificates"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );

    let keep = std::env::var_os("VOUCH_PICTURE").map(PathBuf::from);
    let picture = keep.unwrap_or_else(|| fair.path().join("page.png"));
    let url = format!("{}/?once#{digest}", plan.url());
    let dom = load(&browser, &url, &picture).await?;
    for shown in [
        "as of",
        "final",
        "accepted",
        "rejected, reason 110",
        "gpu_signature_invalid",
        "gpus[0]",
        "✗",
        "<svg",
    ] {
        assert!(dom.contains(shown), "the page lacks {shown:?}:\n{dom}");
    }
    assert!(!dom.contains("<script>alert"), "markup from outside");
    Ok(())
}
