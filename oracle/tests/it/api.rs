//! The API against its own description: schemathesis asks what the document allows and what it does
//! not, and compares every answer with what the document promises.

use anyhow::{Context, Result, ensure};
use vouch_simulator::Tamper;
use vouch_tests::oracle::daemon::Plan;
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::tools::Tool;

/// What is asked for each operation. `words` are ids and digests of which the daemon has something.
fn settings(words: &[String]) -> String {
    format!(
        "seed = 1\n\
         cache.enabled = false\n\
         [dictionaries.known]\n\
         values = {words:?}\n\
         [parameters]\n\
         \"path.digest\" = {{ dictionary = \"known\", probability = 0.3 }}\n\
         \"path.order\" = {{ dictionary = \"known\", probability = 0.5 }}\n\
         \"query.order\" = {{ dictionary = \"known\", probability = 0.5 }}\n\
         [generation]\n\
         max-examples = {examples}\n\
         [phases.stateful]\n\
         enabled = false\n\
         # Its answer does not end.\n\
         [[operations]]\n\
         include-path = \"/v1/events\"\n\
         enabled = false\n\
         # A digest that belongs to the body, and a party's signature, are nothing to be guessed.\n\
         [[operations]]\n\
         include-path = \"/v1/evidence/{{digest}}\"\n\
         include-method = \"PUT\"\n\
         checks.positive_data_acceptance.enabled = false\n\
         # Lists of 64 signatures one field at a time take it many minutes to make up; and JSON Schema takes\n\
         # 1.0 for an integer, serde a list for a structure or for bytes.\n\
         [[operations]]\n\
         include-path = \"/v1/signatures\"\n\
         phases.coverage.enabled = false\n\
         checks.positive_data_acceptance.enabled = false\n\
         checks.negative_data_rejection.enabled = false\n",
        examples = vouch_tests::oracle::from_env("VOUCH_EXAMPLES", 20),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_its_document_says() -> Result<()> {
    let Some(tool) = Tool::schemathesis() else {
        return Ok(());
    };
    let size = Size {
        operators: 1,
        quorum: 1,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    plan.extra = "requests_per_second = 0\n".to_owned();
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let lane = lanes.first_mut().context("a lane")?;
    let mut words = Vec::new();
    for tamper in [None, Some(Tamper::GpuSignature)] {
        words.push(lane.order_with(tamper).await?.order.to_string());
    }
    let jobs = daemon.get("/v1/jobs").await?;
    for job in jobs["jobs"].as_array().context("jobs")? {
        for word in [&job["id"]["evidence"], &job["verdict"]["digest"]] {
            words.push(word.as_str().context("a digest")?.to_owned());
        }
    }
    std::fs::write(fair.path().join("schemathesis.toml"), settings(&words))?;
    let document = format!("{}/v1/openapi.json", plan.url());
    let output = tool
        .run_in(fair.path(), &["--no-color", "run", &document])
        .await?;
    ensure!(output.success, "{}", output.text());
    // Shown with --no-capture: how much was asked.
    eprintln!("{}", output.stdout);
    daemon.get("/v1/status").await?;
    Ok(())
}
