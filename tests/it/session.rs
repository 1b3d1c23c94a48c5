//! A hosted model behind an API, from its encryption to the last answer of its quota, with everything that is
//! refused on the way; and what is left of a job whose agent, broker or network ends at some point of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alloy::primitives::U256;
use anyhow::{Context, Result};
use vouch_client::State;
use vouch_tests::oracle::proxy::Tcp;
use vouch_tests::paths;
use vouch_tests::session::{Call, PRICE, QUOTA, STEP, Studio};

#[tokio::test]
async fn a_hosted_model_answers_its_buyer_as_often_as_its_policy_says_and_never_leaves()
-> Result<()> {
    let mut studio = Studio::open().await?;
    let broker = studio.broker().await?;
    let placed = studio.accepted().await?;
    let nowhere = "https://127.0.0.1:9";
    let early = studio.call(Call::honest(&placed, nowhere)).await?;
    assert!(
        !early.success && early.text().contains("found it accepted"),
        "{}",
        early.text()
    );

    let mut agent = studio.agent(&placed, &broker, None)?;
    let digest = agent.evidence().await?;
    let endpoint = agent.serving().await?;
    let evidence = studio.evidence().to_owned();
    // Another session of the same model, which is as genuine.
    let other = studio.accepted().await?;
    let mut other_agent = studio.agent(&other, &broker, None)?;
    let others = other_agent.evidence().await?;
    let other_endpoint = other_agent.serving().await?;

    let honest = Call::honest(&placed, &endpoint);
    // Evidence of the other order under the name of this one's.
    let swapped = tempfile::tempdir()?;
    let url = format!("{evidence}/v1/evidence/{}", others.trim_start_matches("0x"));
    let bundle = reqwest::get(url).await?.bytes().await?;
    assert!(!bundle.is_empty());
    let name = digest.trim_start_matches("0x");
    std::fs::write(swapped.path().join(name), &bundle)?;
    let swapped = format!("dir:{}", swapped.path().display());
    let nothing = tempfile::tempdir()?;
    let nothing = format!("dir:{}", nothing.path().display());
    let huge = vec![b'a'; (1 << 20) + 1];
    for (what, call, told) in [
        (
            "another session's endpoint",
            Call {
                endpoint: &other_endpoint,
                ..honest
            },
            "nothing was asked",
        ),
        (
            "another order's evidence",
            Call {
                evidence: Some(&swapped),
                ..honest
            },
            "evidence",
        ),
        (
            "no evidence",
            Call {
                evidence: Some(&nothing),
                ..honest
            },
            "evidence",
        ),
        (
            "another buyer",
            Call {
                stranger: true,
                ..honest
            },
            "expected a signature by the order's buyer",
        ),
        (
            "an oversized request",
            Call {
                request: &huge,
                ..honest
            },
            "413",
        ),
        (
            "a request that is no text",
            Call {
                request: b"\xff\xfe",
                ..honest
            },
            "the workload was stopped: exit_status",
        ),
        (
            "an endpoint without TLS",
            Call {
                endpoint: &endpoint.replace("https", "http"),
                ..honest
            },
            "nothing was asked",
        ),
    ] {
        let output = studio.call(call).await?;
        assert!(!output.success, "{what}: {}", output.text());
        assert!(output.text().contains(told), "{what}: {}", output.text());
    }
    // None of it was an answer.
    for answer in 0..QUOTA {
        let output = studio.call(honest).await?;
        assert!(output.success, "{answer}: {}", output.text());
        assert_eq!(output.stdout, "en\n");
    }
    let served = agent.until("served").await?;
    assert_eq!(
        (&served["bytes"], &served["rows"]),
        (&(3 * QUOTA).into(), &QUOTA.into())
    );
    let result = agent.result.clone();
    let (success, said) = agent.end().await?;
    assert!(success, "{said}");
    assert!(!result.exists(), "a result was exported");
    assert_eq!(studio.record(&placed).await?.state, State::Settled);
    let share = U256::from((PRICE + 1) / 5);
    assert!(
        studio.shared().await? >= share,
        "of model and workload at least"
    );
    let late = studio.call(honest).await?;
    assert!(
        !late.success && late.text().contains("found it settled"),
        "{}",
        late.text()
    );

    other_agent.kill().await?;
    studio.search()?;
    studio.pass(3 * STEP).await?;
    studio.refund(&other).await?;
    assert_eq!(studio.record(&other).await?.state, State::Refunded);
    Ok(())
}

/// Answers with the length of the model and what was asked.
const PROGRAM: &str = r#"
#include <stdio.h>
int main(void) {
    char asked[64] = {0};
    FILE *model = fopen("/in/model", "r"), *request = fopen("/in/request", "r");
    if (!model || !request || !fgets(asked, sizeof asked, request)) return 1;
    long length = 0;
    while (fgetc(model) != EOF) length++;
    FILE *response = fopen("/out/response", "w");
    return !response || fprintf(response, "%ld %s\n", length, asked) < 0 || fclose(response);
}
"#;

/// A bundle with the program; none where this machine runs no containers.
fn bundle(dir: &Path) -> Result<Option<PathBuf>> {
    let bundle = dir.join("bundle");
    std::fs::create_dir_all(bundle.join("rootfs"))?;
    let config =
        r#"{"ociVersion":"1.0.2","process":{"args":["/answer"]},"root":{"path":"rootfs"}}"#;
    std::fs::write(bundle.join("config.json"), config)?;
    let source = dir.join("answer.c");
    std::fs::write(&source, PROGRAM)?;
    let works = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let rights = "--user --map-root-user --mount --pid --fork --mount-proc true";
    let (source, program) = (source.display(), bundle.join("rootfs/answer"));
    let compile = format!("cc -static -o {} {source}", program.display());
    let doctor = Command::new(paths::binary("vouch-agent")?)
        .args(["doctor", "--json"])
        .output()?;
    let found: serde_json::Value = serde_json::from_slice(&doctor.stdout)?;
    let has_runtime = found["findings"].as_array().is_some_and(|findings| {
        findings
            .iter()
            .any(|finding| finding["need"] == "container runtime" && finding["ok"] == true)
    });
    for (there, what) in [
        (has_runtime, "a container runtime"),
        (
            works(Command::new("unshare").args(rights.split(' '))),
            "the right to make namespaces",
        ),
        (
            works(Command::new("sh").args(["-c", &compile])),
            "a C compiler that links statically",
        ),
    ] {
        if !there {
            println!("skipped: expected {what}, found none");
            return Ok(None);
        }
    }
    Ok(Some(bundle))
}

#[tokio::test]
async fn a_container_answers_for_a_hosted_model_like_a_module() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(bundle) = bundle(dir.path())? else {
        return Ok(());
    };
    let mut studio = Studio::with(bundle.clone()).await?;
    let broker = studio.broker().await?;
    let placed = studio.accepted().await?;
    let mut agent = studio.agent(&placed, &broker, None)?;
    let endpoint = agent.serving().await?;
    for _ in 0..QUOTA {
        let output = studio.call(Call::honest(&placed, &endpoint)).await?;
        assert!(output.success, "{}", output.text());
        assert_eq!(output.stdout, format!("{} two\n", studio.model_len()?));
    }
    let (success, said) = agent.end().await?;
    assert!(success, "{said}");
    assert_eq!(studio.record(&placed).await?.state, State::Settled);
    studio.search()?;

    // Another image than the one that is offered.
    let placed = studio.accepted().await?;
    std::fs::write(bundle.join("rootfs/extra"), "")?;
    let (success, said) = studio.agent(&placed, &broker, None)?.end().await?;
    assert!(!success && said.contains("workload: expected 0x"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_session_that_shows_that_it_lives_is_paid_for_that_time_though_it_never_finishes()
-> Result<()> {
    let mut studio = Studio::open().await?;
    let broker = studio.broker().await?;
    let [_, before] = studio.balances().await?;
    let placed = studio.accepted().await?;
    let more = "heartbeat_seconds = 1\n";
    let mut agent = studio.agent_with(&placed, &broker, None, more)?;
    agent.serving().await?;
    let begun = std::time::Instant::now();
    let attested = loop {
        let record = studio.record(&placed).await?;
        if record.beat_at > record.started_at {
            break record.beat_at - record.started_at;
        }
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(60),
            "no heartbeat came"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    agent.kill().await?;
    studio.pass(4 * STEP).await?;
    studio.refund(&placed).await?;
    assert_eq!(studio.record(&placed).await?.state, State::Refunded);
    // One unit a second; heartbeats that were under way may have come after the look.
    let [_, after] = studio.balances().await?;
    assert!(
        after >= before + U256::from(attested),
        "{attested} s: {before} {after}"
    );
    Ok(())
}

/// A workload that makes `/out/model` of nothing, and takes many seconds for it.
const SLOW: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 1024) "model")
    (func (export "_start") (local $n i64)
        (loop $again
            (local.set $n (i64.add (local.get $n) (i64.const 1)))
            (br_if $again (i64.lt_u (local.get $n) (i64.const 16000000000))))
        (drop (call $open (i32.const 4) (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
        (i32.store (i32.const 16) (i32.const 1024))
        (i32.store (i32.const 20) (i32.const 5))
        (drop (call $write (i32.const 5) (i32.const 16) (i32.const 1) (i32.const 32)))))"#;

#[tokio::test]
async fn work_that_takes_longer_goes_on_where_more_time_is_paid_for_meanwhile() -> Result<()> {
    const SHORT: u32 = 4;
    let dir = tempfile::tempdir()?;
    let workload = dir.path().join("slow.wasm");
    std::fs::write(&workload, wat::parse_str(SLOW)?)?;
    let mut studio = Studio::with(workload).await?;
    studio.trains();
    let broker = studio.broker().await?;
    let placed = studio.accepted_for(SHORT).await?;
    let (success, said) = studio.agent(&placed, &broker, None)?.end().await?;
    assert!(!success && said.contains("time: "), "{said}");

    let placed = studio.accepted_for(SHORT).await?;
    let mut agent = studio.agent(&placed, &broker, None)?;
    agent.until("working").await?;
    studio.top_up(&placed, 600).await?;
    let (success, said) = agent.end().await?;
    assert!(success, "{said}");
    assert_eq!(studio.record(&placed).await?.state, State::Settled);
    Ok(())
}

/// What ends, and at which step of the agent.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Agent(&'static str),
    Broker(&'static str),
    Network(&'static str),
}

#[tokio::test]
async fn whatever_ends_at_any_point_the_order_is_refunded_and_nothing_is_left_behind() -> Result<()>
{
    let mut studio = Studio::open().await?;
    let before = studio.balances().await?;
    let mut orders = Vec::new();
    for ends in [
        Ends::Agent("session"),
        Ends::Agent("evidence"),
        Ends::Agent("announced"),
        Ends::Agent("fetched"),
        Ends::Agent("key"),
        Ends::Agent("serving"),
        Ends::Agent("called"),
        Ends::Broker("session"),
        Ends::Broker("announced"),
        Ends::Network("session"),
        Ends::Network("announced"),
        Ends::Network("fetched"),
    ] {
        let placed = studio.accepted().await?;
        let broker = studio.broker().await?;
        let network = Tcp::start(studio.node(), std::time::Duration::ZERO).await?;
        let chain = format!("http://{}", network.address());
        let mut agent = studio.agent(&placed, &broker, Some(chain))?;
        let (Ends::Agent(step) | Ends::Broker(step) | Ends::Network(step)) = ends;
        if step == "called" {
            let endpoint = agent.serving().await?;
            let answered = studio.call(Call::honest(&placed, &endpoint)).await?;
            assert!(answered.success, "{}", answered.text());
        }
        agent
            .until(step)
            .await
            .with_context(|| format!("{ends:?}"))?;
        match ends {
            Ends::Agent(_) => agent.kill().await?,
            Ends::Broker(_) => {
                broker.kill().await?;
                let (success, said) = agent.end().await?;
                assert!(!success, "{ends:?}");
                assert!(said.contains("error:"), "{ends:?}: {said}");
            }
            Ends::Network(_) => {
                drop(network);
                let (success, said) = agent.end().await?;
                assert!(!success, "{ends:?}");
                assert!(said.contains("error:"), "{ends:?}: {said}");
            }
        }
        studio.search().with_context(|| format!("{ends:?}"))?;
        orders.push((ends, placed));
    }
    studio.pass(4 * STEP).await?;
    for (ends, placed) in &orders {
        studio
            .refund(placed)
            .await
            .with_context(|| format!("{ends:?}"))?;
        assert_eq!(
            studio.record(placed).await?.state,
            State::Refunded,
            "{ends:?}"
        );
    }
    assert_eq!(studio.balances().await?, before);
    Ok(())
}
