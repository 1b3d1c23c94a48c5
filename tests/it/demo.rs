//! The demo, as `scripts/demo` runs it once everything is built: an honest job is paid, and each kind
//! of lie ends in a refund for its own reason.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use vouch_tests::paths;
use vouch_tests::tools::Tool;

/// Runs the demo and gives what it wrote with `--json`.
async fn demo(arguments: &[&str]) -> Result<Value> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("demo.json");
    let file_argument = file
        .to_str()
        .context("the temporary directory's name is not UTF-8")?;
    let wasm_dir = paths::wasm_dir()?;
    let wasm_dir = wasm_dir
        .to_str()
        .context("the target directory's name is not UTF-8")?;
    let tool = Tool::own("vouch")?;
    let all = [
        &["demo", "--wasm-dir", wasm_dir, "--json", file_argument],
        arguments,
    ]
    .concat();
    let output = tool.run_in(paths::root(), &all).await?;
    assert!(
        output.success,
        "vouch demo {arguments:?} failed:\n{}",
        output.text()
    );
    let text = std::fs::read_to_string(&file).context("reading what the demo wrote")?;
    let result: Value = serde_json::from_str(&text).context("what the demo wrote is not JSON")?;
    assert_eq!(result["ok"], json!(true), "{result:#}");
    Ok(result)
}

/// Changes of all balances, in the token's units: money moves, none is made or lost.
fn total_change(result: &Value) -> Result<f64> {
    let balances = result["balances"].as_array().context("no balances")?;
    assert!(balances.len() >= 5, "{balances:?}");
    let mut total = 0.0;
    for balance in balances {
        assert_eq!(balance["right"], json!(true), "{balance}");
        let change = balance["change"].as_str().context("a change is text")?;
        let change: f64 = change
            .replace([',', '_', '+'], "")
            .parse()
            .context("reading a change")?;
        total += change;
    }
    Ok(total)
}

#[tokio::test]
async fn an_honest_job_is_paid() -> Result<()> {
    let result = demo(&[]).await?;
    assert_eq!(result["end"], "settled");
    assert!(
        result["evidence_to_payment_ms"].as_u64().is_some(),
        "{result:#}"
    );
    assert!(result["receipt"].is_object(), "{result:#}");
    let accuracy = result["accuracy"].as_f64().context("no accuracy")?;
    assert!(accuracy > 0.9, "{accuracy}");
    assert!(total_change(&result)?.abs() < 1e-9);
    assert_eq!(result["escrow"]["holds"], result["escrow"]["owes"]);
    assert_eq!(result["answers"], json!(["en", "de", "es", "it"]));
    Ok(())
}

/// The demo itself sees to it that there is no result, and that only the buyer is answered.
#[tokio::test]
async fn a_policy_of_api_only_lets_answers_leave_and_nothing_else() -> Result<()> {
    let result = demo(&["--api-only"]).await?;
    assert_eq!(result["end"], "settled");
    assert_eq!(result["answers"], json!(["en", "de", "es", "it"]));
    assert_eq!(result["accuracy"], Value::Null);
    assert_eq!(
        result["receipt"]["outputs"],
        json!(format!("0x{}", "00".repeat(32)))
    );
    assert_eq!(result["balances"][0]["change"], "+120");
    assert!(total_change(&result)?.abs() < 1e-9);
    Ok(())
}

/// The demo itself checks every balance against its ledger, and searches its files for plaintext and keys.
#[tokio::test]
async fn a_dataset_that_measures_less_than_was_asked_for_is_not_paid() -> Result<()> {
    let result = demo(&["--poor-dataset"]).await?;
    assert_eq!(result["end"], "settled");
    let owner = &result["balances"][0];
    assert_eq!(owner["actor"], "dataset owner");
    assert_eq!(owner["change"], "0", "{owner}");
    assert!(total_change(&result)?.abs() < 1e-9);
    Ok(())
}

#[tokio::test]
async fn whatever_fails_in_the_middle_the_buyer_is_refunded_and_nothing_stays() -> Result<()> {
    for program in ["agent", "broker", "oracle"] {
        let result = demo(&["--kill", program]).await?;
        assert_eq!(result["end"], "refunded", "{program}");
        assert_eq!(result["receipt"], Value::Null, "{program}");
        for balance in result["balances"].as_array().context("no balances")? {
            assert_eq!(balance["change"], "0", "{program}: {balance}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn three_operators_agree() -> Result<()> {
    let result = demo(&["--operators", "3"]).await?;
    assert_eq!(result["end"], "settled");
    assert!(total_change(&result)?.abs() < 1e-9);
    Ok(())
}

/// A lie named `tamper` must end in a refund for `reason`.
async fn refunded(tamper: &str, reason: &str) -> Result<()> {
    let result = demo(&["--tamper", tamper]).await?;
    assert_eq!(result["end"], "refunded");
    assert_eq!(result["reason"]["name"], reason);
    assert_eq!(result["receipt"], Value::Null);
    assert!(total_change(&result)?.abs() < 1e-9);
    Ok(())
}

macro_rules! tampers {
    ($($name:ident: $tamper:literal => $reason:literal;)*) => {$(
        #[tokio::test]
        async fn $name() -> Result<()> {
            refunded($tamper, $reason).await
        }
    )*};
}

tampers! {
    a_gpu_signature_that_does_not_verify: "gpu-signature" => "gpu_signature_invalid";
    a_gpu_report_for_another_nonce: "gpu-nonce" => "gpu_nonce_mismatch";
    a_broken_gpu_chain: "gpu-chain" => "gpu_chain_invalid";
    a_cpu_signature_that_does_not_verify: "cpu-signature" => "cpu_signature_invalid";
    report_data_of_another_session: "cpu-report-data" => "cpu_report_data_mismatch";
    a_cpu_that_can_be_debugged: "cpu-debug" => "debug_enabled";
    a_root_nobody_trusts: "wrong-root" => "gpu_root_untrusted";
    outputs_that_were_not_delivered: "outputs-digest" => "outputs_digest_mismatch";
    a_gpu_report_of_another_session: "swapped-gpu" => "gpu_nonce_mismatch";
}

#[tokio::test]
async fn an_unknown_lie_is_bad_usage() -> Result<()> {
    let output = Tool::own("vouch")?
        .run_in(paths::root(), &["demo", "--tamper", "everything"])
        .await?;
    assert!(!output.success);
    assert!(
        output.stderr.contains("gpu-signature"),
        "the kinds are listed:\n{}",
        output.stderr
    );
    Ok(())
}
