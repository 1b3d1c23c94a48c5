//! `docs/tutorial.md` as a reader follows it: every block, in one shell.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use vouch_tests::paths;

/// Where the tutorial's programs listen.
const PORTS: [&str; 4] = ["8545", "8640", "8650", "8443"];
/// More than any machine takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// What stands in the blocks, with ports that are free.
fn script() -> Result<String> {
    let path = paths::root().join("docs/tutorial.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let blocks = text.split("```bash\n").skip(1);
    let mut script: String = blocks.filter_map(|rest| rest.split("```").next()).collect();
    // Held until all are chosen, so that no port is taken twice.
    let mut held = Vec::new();
    for port in PORTS {
        ensure!(script.contains(port), "the tutorial names no port {port}");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        script = script.replace(port, &listener.local_addr()?.port().to_string());
        held.push(listener);
    }
    Ok(format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}"
    ))
}

#[tokio::test]
async fn whoever_follows_the_tutorial_gets_what_it_says() -> Result<()> {
    paths::wasm_dir()?;
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("said");
    let said = std::fs::File::create(&log)?;
    let mut shell = Command::new("bash")
        .arg("-c")
        .arg(script()?)
        .current_dir(paths::root())
        .env("CARGO_TARGET_DIR", paths::target()?)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::time::timeout(PATIENCE, shell.wait()).await;
    let said = std::fs::read_to_string(&log)?;
    let status = status.with_context(|| format!("goes on and on:\n{said}"))??;
    ensure!(status.success(), "{status}:\n{said}");
    for expected in [
        "\nen\nde\n",
        "\"accuracy\":0.9900",
        "\nconfirmed order 0x",
        "\nthe hardware vouches: sev_snp and 1 GPU",
        "settled  120 vUSD\n",
        "\n2 entries, unbroken",
        "\nlocked 12 vUSD more\n",
        "\nwhat it did not need of its policies' output is free again\n",
        "\npays 5 % to 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 for 0x",
        " vUSD\n",
    ] {
        ensure!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
    Ok(())
}
