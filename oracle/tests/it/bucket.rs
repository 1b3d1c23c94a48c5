//! Evidence in a bucket: orders are paid, what rots is not believed, a service that is away holds up and loses nothing.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::B256;
use anyhow::{Context, Result, ensure};
use vouch_client::State;
use vouch_oracle::bundles::{Bucket, BundleError, Bundles, Objects, digest};
use vouch_oracle::config;
use vouch_oracle::tls::Authorities;
use vouch_oracle::uploads::{Mark, UNANNOUNCED, Uploads};
use vouch_tests::oracle::audit;
use vouch_tests::oracle::cloud::Cloud;
use vouch_tests::oracle::daemon::{Plan, tail};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::proxy::Tcp;
use vouch_tests::tools::Tool;

const ONE: Size = Size {
    operators: 1,
    quorum: 1,
    lanes: 1,
};
const BUCKET: &str = "evidence";
const PREFIX: &str = "operators/first";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes an account's key, which the services do not look at.
fn credentials(dir: &Path) -> Result<()> {
    let text = "access_key_id = \"test\"\nsecret_access_key = \"test\"\n";
    Ok(std::fs::write(dir.join("s3.toml"), text)?)
}

/// The lines that put a daemon's evidence into the bucket.
fn section(endpoint: &str) -> String {
    format!(
        "[evidence.bucket]\nname = {BUCKET:?}\nprefix = {PREFIX:?}\nendpoint = {endpoint:?}\ncredentials = \"s3.toml\"\n"
    )
}

async fn market() -> Result<Option<(Cloud, Fair, vouch_tests::oracle::lane::Lane, Plan)>> {
    let Some(cloud) = Cloud::start().await? else {
        return Ok(None);
    };
    cloud.bucket(BUCKET).await?;
    let (fair, mut lanes) = Fair::open(ONE).await?;
    let mut plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
    credentials(fair.path())?;
    plan.bucket = Some(section(&cloud.url()));
    Ok(Some((cloud, fair, lanes.pop().context("a lane")?, plan)))
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_paid_on_evidence_that_is_in_a_bucket() -> Result<()> {
    let Some((cloud, fair, mut lane, plan)) = market().await? else {
        return Ok(());
    };
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let done = lane.order().await.with_context(|| tail(&plan.log()))?;
    assert_eq!(done.state, State::Settled);

    let jobs = daemon.get("/v1/jobs").await?;
    let jobs = jobs["jobs"].as_array().context("jobs")?;
    ensure!(jobs.len() == 2, "{jobs:?}");
    let mut names = cloud.names(BUCKET).await?;
    names.sort();
    let mut expected = Vec::new();
    for job in jobs {
        let evidence: B256 = serde_json::from_value(job["id"]["evidence"].clone())?;
        expected.push(format!("{PREFIX}/{}", hex::encode(evidence)));
    }
    expected.sort();
    assert_eq!(names, expected);

    // What a party leaves is there too, with its mark.
    let order = lane.placed().await?.order;
    let left = b"what the operators are shown".to_vec();
    let evidence = digest(&left);
    fair.market
        .upload(&plan.url(), order, evidence, left.clone(), &lane.buyer_key)
        .await?;
    let names = cloud.names(BUCKET).await?;
    let (order, name) = (hex::encode(order), hex::encode(evidence));
    for expected in [
        format!("{PREFIX}/{name}"),
        format!("{PREFIX}/uploads/{order}/{name}"),
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    let url = format!("{}/v1/evidence/{name}", plan.url());
    assert_eq!(reqwest::get(&url).await?.bytes().await?, left);

    // Other bytes under its name are not it, and too many are not read.
    let object = format!("{BUCKET}/{PREFIX}/{name}");
    cloud.put(&object, "something else").await?;
    assert_eq!(reqwest::get(&url).await?.status(), 404);
    cloud.put(&object, vec![0; 9 << 20]).await?;
    assert_eq!(reqwest::get(&url).await?.status(), 413);

    let sender = fair.operators[0].address();
    let report = audit::chain(&fair, &[done], &[sender]).await?;
    audit::books(&daemon, report.verdicts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_holds_up_orders_and_loses_none() -> Result<()> {
    let Some((cloud, fair, mut lane, mut plan)) = market().await? else {
        return Ok(());
    };
    let way = Tcp::start(cloud.address(), Duration::ZERO).await?;
    let address = way.address();
    plan.bucket = Some(section(&format!("http://{address}")));
    // It starts without, and has to write and to read without.
    drop(way);
    let mut daemon = plan.start().await?;
    daemon.ready().await?;
    let mut orders = Vec::new();
    for _ in 0..2 {
        let away = async {
            let failed = daemon.says("step_failed", TIMEOUT * 3).await;
            ensure!(failed, "{}", tail(&plan.log()));
            Tcp::start_at(address, cloud.address(), Duration::ZERO).await
        };
        let (done, way) = tokio::try_join!(lane.order(), away)?;
        orders.push(done);
        drop(way);
    }
    let log = std::fs::read_to_string(plan.log())?;
    assert!(log.contains("evidence.bucket"), "{log}");
    assert!(orders.iter().all(|done| done.state == State::Settled));
    let sender = fair.operators[0].address();
    let report = audit::chain(&fair, &orders, &[sender]).await?;
    audit::books(&daemon, report.verdicts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_says_what_is_wrong_with_a_bucket() -> Result<()> {
    let Some((cloud, fair, _lane, mut plan)) = market().await? else {
        return Ok(());
    };
    let tool = Tool::own("vouch-oracle")?;
    let check = async |plan: &Plan| {
        let config = plan.write()?;
        let config = config.to_str().context("a path")?;
        tool.run_in(fair.path(), &["check-config", "--config", config])
            .await
    };
    let good = check(&plan).await?;
    ensure!(good.success, "{}", good.text());

    let section = section(&cloud.url());
    let secret = "AKIA-secret-of-the-account";
    std::fs::write(fair.path().join("garbage"), format!("{secret}\n"))?;
    std::fs::write(
        fair.path().join("misspelt"),
        format!("access_key_id = \"a\"\nsecret_key = {secret:?}\n"),
    )?;
    for (good, bad, named) in [
        ("name = \"evidence\"", "name = \"elsewhere\"", "elsewhere"),
        ("name = \"evidence\"", "name = \"\"", "evidence.bucket.name"),
        ("prefix", "praefix", "praefix"),
        ("http://", "ftp://", "evidence.bucket.endpoint"),
        (&cloud.address(), "127.0.0.1:1", "127.0.0.1:1"),
        ("s3.toml", "nowhere.toml", "nowhere.toml"),
        ("s3.toml", "garbage", "secret_access_key"),
        ("s3.toml", "misspelt", "evidence.bucket.credentials"),
    ] {
        ensure!(section.contains(good), "{good}");
        plan.bucket = Some(section.replacen(good, bad, 1));
        let checked = check(&plan).await?;
        ensure!(!checked.success, "{bad}: {}", checked.text());
        assert!(checked.stderr.contains(named), "{bad}: {}", checked.stderr);
        assert!(!checked.text().contains(secret), "{}", checked.text());
    }
    plan.bucket = Some(section);
    plan.extra = "[evidence.other]\n".to_owned();
    ensure!(!check(&plan).await?.success);
    Ok(())
}

/// What is in the bucket is what would be in a directory.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_and_marks_are_kept_and_go_as_in_a_directory() -> Result<()> {
    let Some(cloud) = Cloud::start().await? else {
        return Ok(());
    };
    cloud.bucket(BUCKET).await?;
    let dir = tempfile::tempdir()?;
    credentials(dir.path())?;
    let settings = config::Bucket {
        name: BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
        endpoint: Some(cloud.url()),
        region: None,
        credentials: Some(dir.path().join("s3.toml")),
    };
    let bucket = Bucket::new(&settings, TIMEOUT, &Authorities::default())?;
    bucket.reach().await?;
    let places = [
        Bundles::new(Objects::Bucket(bucket), 8),
        Bundles::open(dir.path().join("evidence"), 8)?,
    ];
    for bundles in places {
        let id = digest(b"bundle");
        assert_eq!(bundles.get(id).await?, None);
        for _ in 0..2 {
            bundles.put(id, b"bundle".to_vec()).await?;
        }
        assert_eq!(bundles.get(id).await?, Some(b"bundle".to_vec()));
        for (id, bytes) in [(id, &b"bundlf"[..]), (digest(&[0; 9]), &[0; 9])] {
            let refused = bundles.put(id, bytes.to_vec()).await.unwrap_err();
            assert!(
                matches!(
                    refused,
                    BundleError::Digest { .. } | BundleError::TooLarge { limit: 8 }
                ),
                "{refused}"
            );
        }
        assert_eq!(bundles.get(id).await?, Some(b"bundle".to_vec()));

        let uploads = Uploads::beside(&bundles);
        let (order, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let evidence = |n: usize| B256::with_last_byte(n as u8);
        for n in 0..UNANNOUNCED {
            assert!(uploads.mark(order, evidence(n), vec![]).await?);
        }
        assert!(!uploads.mark(order, evidence(UNANNOUNCED), vec![]).await?);
        assert!(uploads.mark(order, evidence(0), vec![]).await?);
        assert!(uploads.mark(other, evidence(0), vec![]).await?);
        let announced = vec![evidence(3)];
        assert!(
            uploads
                .mark(order, evidence(UNANNOUNCED), announced)
                .await?
        );
        assert!(
            uploads
                .older_than(Duration::from_secs(3600))
                .await?
                .is_empty()
        );
        // The clock that a bucket goes by counts whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let marks = uploads.older_than(Duration::ZERO).await?;
        assert_eq!(marks.len(), UNANNOUNCED + 1, "{marks:?}");
        let gone = Mark {
            order,
            evidence: evidence(3),
        };
        assert!(!marks.contains(&gone));
        for mark in marks.into_iter().chain([gone]) {
            uploads.forget(mark).await?;
        }
        assert!(uploads.older_than(Duration::ZERO).await?.is_empty());

        for _ in 0..2 {
            bundles.remove(id).await?;
            assert_eq!(bundles.get(id).await?, None);
        }
    }
    assert!(cloud.names(BUCKET).await?.is_empty());
    Ok(())
}
