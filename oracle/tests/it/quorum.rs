//! Five operators, some of whom are down, slow, wrong or malicious.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolValue;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vouch_abi::Verdict;
use vouch_client::verdict::digest;
use vouch_client::{State, send};
use vouch_oracle::quorum::Message;
use vouch_oracle::store::model::{JobId, StoredVerdict};
use vouch_protocol::Phase;
use vouch_simulator::Tamper;
use vouch_tests::oracle::audit;
use vouch_tests::oracle::daemon::{Daemon, Plan};
use vouch_tests::oracle::fair::{Fair, Size};
use vouch_tests::oracle::lane::{Lane, inputs};
use vouch_tests::oracle::proxy::Tcp;
use vouch_tests::paths;
use vouch_tests::tools::Tool;

/// A market of five operators and one lane.
async fn five(quorum: u16) -> Result<(Fair, Lane)> {
    let size = Size {
        operators: 5,
        quorum,
        lanes: 1,
    };
    let (fair, mut lanes) = Fair::open(size).await?;
    let mut lane = lanes.pop().context("a lane")?;
    lane.patience = Duration::from_secs(60);
    Ok((fair, lane))
}

/// A daemon for each of the first `count` operators, each with all five as peers.
fn plans(fair: &Fair, count: usize) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for (i, key) in fair.operators.iter().enumerate() {
        plans.push(Plan::new(
            fair,
            &format!("operator-{i}"),
            vec![key.clone()],
        )?);
    }
    let urls: Vec<String> = plans.iter().map(Plan::url).collect();
    for (i, plan) in plans.iter_mut().enumerate() {
        plan.peers = urls.clone();
        plan.peers.remove(i);
    }
    plans.truncate(count);
    Ok(plans)
}

async fn start(plans: &[Plan]) -> Result<Vec<Daemon>> {
    let mut daemons = Vec::new();
    for plan in plans {
        daemons.push(plan.start().await?);
    }
    for daemon in &mut daemons {
        daemon.ready().await?;
    }
    Ok(daemons)
}

async fn post(plan: &Plan, body: impl Into<reqwest::Body>) -> Result<(u16, Value)> {
    let request = reqwest::Client::new()
        .post(format!("{}/v1/signatures", plan.url()))
        .header("content-type", "application/json")
        .body(body);
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await.unwrap_or_default()))
}

/// The only job a daemon has, and the block of its announcement, once it has a verdict of its own.
async fn job(daemon: &Daemon) -> Result<(JobId, B256, StoredVerdict)> {
    loop {
        let jobs = daemon.get("/v1/jobs").await?;
        let job = &jobs["jobs"][0];
        if !job["verdict"].is_null() {
            return Ok((
                serde_json::from_value(job["id"].clone())?,
                serde_json::from_value(job["block"]["hash"].clone())?,
                serde_json::from_value(job["verdict"].clone())?,
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A lie: another verdict about the same evidence, signed by somebody.
async fn lie(
    fair: &Fair,
    id: JobId,
    block: B256,
    truth: &StoredVerdict,
    signer: &PrivateKeySigner,
    change: impl FnOnce(&mut Verdict),
) -> Result<Message> {
    let mut verdict = Verdict::abi_decode(&truth.verdict)?;
    change(&mut verdict);
    let stored = StoredVerdict {
        digest: digest(&verdict, &fair.market.domain()),
        verdict: verdict.abi_encode().into(),
        ..truth.clone()
    };
    let signer = signer.clone().into();
    let share = Message::sign(id, block, &stored, &signer, &fair.market.domain()).await?;
    Ok(Message::of(id, share))
}

/// With a quorum of two: one operator works, one is slow both ways, one sends garbage, two are down.
/// (Two who agree are all there are, so a larger quorum could not be reached.)
#[tokio::test(flavor = "multi_thread")]
async fn two_down_one_slow_one_garbage_and_orders_settle() -> Result<()> {
    let (fair, mut lane) = five(2).await?;
    let mut plans = plans(&fair, 3)?;
    let garbler = plans.pop().context("three plans")?;
    let slow = Duration::from_millis(200);
    let to_slow = Tcp::start(format!("127.0.0.1:{}", plans[1].port), slow).await?;
    let chain = fair.node.url().replace("http://", "");
    let slow_chain = Tcp::start(chain, Duration::from_millis(50)).await?;
    plans[0].peers[0] = format!("http://{}", to_slow.address());
    plans[1].endpoints = vec![format!("http://{}", slow_chain.address())];
    let daemons = start(&plans).await?;

    // The third operator answers nonsense, and sends some.
    let garbage = tokio::net::TcpListener::bind(("127.0.0.1", garbler.port)).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = garbage.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"results\": [7], ")
                .await;
        }
    });
    let target = plans[0].clone();
    let noise = tokio::spawn(async move {
        for n in 0..200u32 {
            let bodies = [
                "{".to_owned(),
                json!({"shares": [{}]}).to_string(),
                "x".repeat(2_000_000),
                json!({"shares": [{"job": {"order": B256::ZERO, "phase": "start", "attempt": n, "evidence": B256::ZERO,
                    "outputs": B256::ZERO}, "block": B256::ZERO, "verdict": "0x00", "signature": "0x", "statement": "0x"}]}).to_string(),
            ];
            for body in bodies {
                let _ = post(&target, body).await;
            }
        }
    });
    let mut orders = Vec::new();
    for tamper in [None, Some(Tamper::GpuSignature), None] {
        orders.push(lane.order_with(tamper).await?);
    }
    noise.abort();
    let senders: Vec<Address> = fair
        .operators
        .iter()
        .map(PrivateKeySigner::address)
        .collect();
    let report = audit::chain(&fair, &orders, &senders).await?;
    assert_eq!((report.settled, report.refunded), (2, 1));
    for daemon in &daemons {
        audit::books(daemon, report.verdicts).await?;
    }
    Ok(())
}

/// With a quorum of three, the same five are one too few: nothing is settled, and nothing false. Once
/// one of those who were down is back, the order goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_of_three_waits_for_one_who_was_down() -> Result<()> {
    let (fair, mut lane) = five(3).await?;
    let mut plans = plans(&fair, 4)?;
    let slow = Duration::from_millis(200);
    let to_slow = Tcp::start(format!("127.0.0.1:{}", plans[1].port), slow).await?;
    for plan in [0, 3] {
        let peer = plans[1].url();
        let peers = plans[plan].peers.iter_mut().filter(|url| **url == peer);
        peers.for_each(|url| *url = format!("http://{}", to_slow.address()));
    }
    let mut daemons = start(&plans[..2]).await?;
    let placed = lane.placed().await?;
    let session = vouch_simulator::Session::generate();
    let challenge = fair.market.challenge(placed.order, Phase::Start, 0).await?;
    let statement = session.start(challenge, inputs(&placed));
    lane.announce(&placed, Phase::Start, &statement, None, B256::ZERO)
        .await?;
    let (id, block, truth) = job(&daemons[0]).await?;
    // The third signs garbage, with its own key.
    let garbage = lie(&fair, id, block, &truth, &fair.operators[2], |verdict| {
        verdict.reason = 110;
        verdict.clauses = U256::from(7);
    })
    .await?;
    for plan in &plans[..2] {
        let (_, answer) = post(plan, json!({"shares": [garbage]}).to_string()).await?;
        // The second daemon may have it from the first one already.
        let status = &answer["results"][0]["status"];
        assert!(
            ["new", "known"].map(Value::from).contains(status),
            "{answer}"
        );
    }
    let waits = "operators of weight 2 of 3 signed this verdict, 1 another";
    while !std::fs::read_to_string(plans[0].log())?.contains(waits) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let state = fair.market.record(placed.order).await?.state;
    assert_eq!(state, State::Accepted);

    daemons.push(plans[3].start().await?);
    assert_eq!(lane.decided(&placed, Phase::Start).await?, State::Running);
    for daemon in &daemons {
        audit::books(daemon, 1).await?;
    }
    Ok(())
}

/// With a quorum of three, two operators who say that forged evidence is fine settle nothing, by
/// whichever way they try; the three honest ones refund the buyer.
#[tokio::test(flavor = "multi_thread")]
async fn two_malicious_of_five_settle_nothing_false() -> Result<()> {
    let (fair, mut lane) = five(3).await?;
    let plans = plans(&fair, 3)?;
    // Two honest operators are not enough, so the lie has time.
    let mut daemons = start(&plans[..2]).await?;
    let placed = lane.placed().await?;
    let session = vouch_simulator::Session::generate();
    let inputs = inputs(&placed);
    let challenge = fair.market.challenge(placed.order, Phase::Start, 0).await?;
    let statement = session.start(challenge, inputs);
    let forged = Some(Tamper::GpuSignature);
    lane.announce(&placed, Phase::Start, &statement, forged, B256::ZERO)
        .await?;
    let (id, block, truth) = job(&daemons[0]).await?;
    assert_eq!(truth.reason, 110);
    let accept = |verdict: &mut Verdict| {
        verdict.reason = 0;
        verdict.clauses = U256::MAX;
    };
    let mut lies = Vec::new();
    for liar in &fair.operators[3..] {
        lies.push(lie(&fair, id, block, &truth, liar, accept).await?);
    }
    // A stranger helps, and they copy an honest operator's signature onto their verdict.
    let stranger = lie(
        &fair,
        id,
        block,
        &truth,
        &PrivateKeySigner::random(),
        accept,
    )
    .await?;
    let honest = lie(&fair, id, block, &truth, &fair.operators[0], |_| {}).await?;
    let mixed = Message {
        signature: honest.signature.clone(),
        statement: honest.statement.clone(),
        ..lies[0].clone()
    };
    // The truth, signed as no contract takes it: whoever sent that would fail.
    let mut odd = lie(&fair, id, block, &truth, &fair.operators[3], |_| {}).await?;
    let mut signature = odd.signature.to_vec();
    *signature.last_mut().context("v")? -= 27;
    odd.signature = signature.into();
    for plan in &plans[..2] {
        let shares = json!({"shares": [lies[0], lies[1], stranger, mixed, odd]});
        let (status, answer) = post(plan, shares.to_string()).await?;
        assert_eq!(status, 200);
        let results = answer["results"].as_array().context("results")?;
        let found: Vec<&str> = results
            .iter()
            .filter_map(|r| r["status"].as_str())
            .collect();
        // The second daemon may have a lie from the first one already.
        let taken = |status: &&str| ["new", "known"].contains(status);
        assert!(found[..2].iter().all(taken), "{found:?}");
        assert_eq!(found[2], "not_operator");
        assert!(!["new", "known"].contains(&found[3]), "{found:?}");
        assert_eq!(found[4], "signature_invalid");
    }
    // Straight to the chain, with two signatures and with a third that is none.
    let mut verdict = Verdict::abi_decode(&truth.verdict)?;
    accept(&mut verdict);
    let digest = digest(&verdict, &fair.market.domain());
    let signed: Vec<_> = fair.operators[3..]
        .iter()
        .map(|key| vouch_client::verdict::Signed::new(digest, key))
        .collect::<Result<_, _>>()?;
    let two = vouch_client::verdict::concatenate(signed);
    let three: Bytes = [&two[..], &honest.signature[..]].concat().into();
    for signatures in [two, three] {
        let escrow = fair.market.escrow();
        let call = escrow.submitVerdict(placed.terms.clone(), verdict.clone(), signatures);
        assert!(send(call).await.is_err());
    }
    let state = fair.market.record(placed.order).await?.state;
    assert_eq!(state, State::Accepted, "nothing false was settled");

    // The third honest operator comes back.
    daemons.push(plans[2].start().await?);
    assert_eq!(lane.decided(&placed, Phase::Start).await?, State::Refunded);
    for daemon in &daemons {
        audit::books(daemon, 1).await?;
    }
    Ok(())
}

/// An operator that signs two verdicts about the same evidence leaves a proof that anybody can check.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_two_things_leaves_a_proof() -> Result<()> {
    let (fair, mut lane) = five(3).await?;
    let plans = plans(&fair, 1)?;
    let daemons = start(&plans).await?;
    let placed = lane.placed().await?;
    let session = vouch_simulator::Session::generate();
    let challenge = fair.market.challenge(placed.order, Phase::Start, 0).await?;
    let statement = session.start(challenge, B256::ZERO);
    lane.announce(&placed, Phase::Start, &statement, None, B256::ZERO)
        .await?;
    let (id, block, truth) = job(&daemons[0]).await?;
    let liar = &fair.operators[4];
    let first = lie(&fair, id, block, &truth, liar, |_| {}).await?;
    let second = lie(&fair, id, block, &truth, liar, |verdict| {
        verdict.reason = 110
    })
    .await?;
    for (message, expected) in [(&first, "new"), (&second, "equivocated"), (&first, "known")] {
        let (_, answer) = post(&plans[0], json!({"shares": [message]}).to_string()).await?;
        assert_eq!(answer["results"][0]["status"], expected);
    }
    let found = daemons[0].get("/v1/equivocations").await?;
    let proof = &found["equivocations"][0];
    let job: JobId = serde_json::from_value(proof["job"].clone())?;
    let mut digests = Vec::new();
    for half in ["first", "second"] {
        let share = serde_json::from_value(proof[half].clone())?;
        let checked = Message::of(job, share).check(&fair.market.domain());
        let (_, share) = checked.map_err(anyhow::Error::from)?;
        assert_eq!(share.signer, liar.address());
        assert_eq!(share.block, block);
        digests.push(share.digest);
    }
    assert_ne!(digests[0], digests[1]);
    let metrics = reqwest::get(format!("{}/metrics", plans[0].url())).await?;
    let metrics = metrics.text().await?;
    assert!(
        metrics.contains("vouch_oracle_equivocations_total 1"),
        "{metrics}"
    );
    Ok(())
}

/// Two of its lies reach two daemons; what they tell each other is the proof, with which anybody takes the
/// liar's bond and place. The order goes on without it.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_two_things_loses_bond_and_place() -> Result<()> {
    let (fair, mut lane) = five(3).await?;
    let plans = plans(&fair, 3)?;
    let mut daemons = start(&plans[..2]).await?;
    let liar = &fair.operators[4];
    fair.market
        .mint(liar.address(), U256::from(20_000_000))
        .await?;
    operator(&fair, liar, &["bond", "20"]).await?;

    let placed = lane.placed().await?;
    let session = vouch_simulator::Session::generate();
    let challenge = fair.market.challenge(placed.order, Phase::Start, 0).await?;
    let statement = session.start(challenge, inputs(&placed));
    lane.announce(&placed, Phase::Start, &statement, None, B256::ZERO)
        .await?;
    let (id, block, truth) = job(&daemons[0]).await?;
    job(&daemons[1]).await?;
    for (plan, reason) in plans.iter().zip([110, 111]) {
        let said = lie(&fair, id, block, &truth, liar, |verdict| {
            verdict.reason = reason;
        })
        .await?;
        post(plan, json!({"shares": [said]}).to_string()).await?;
    }
    for daemon in &daemons {
        let told = async {
            while daemon.get("/v1/equivocations").await?["equivocations"] == json!([]) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(60), told)
            .await
            .context("a daemon that was told one lie never heard of the other")??;
    }

    // Whoever reports it need not be an operator.
    let reporter = somebody(&fair).await?;
    let proofs = format!("{}/v1/equivocations", plans[1].url());
    let done = operator(&fair, &reporter, &["slash", &proofs]).await?;
    assert_eq!(done["slashed"][0]["operator"], json!(liar.address()));
    assert_eq!(done["slashed"][0]["lost"], "20");
    let bond = fair.market.bonds().bondOf(liar.address()).call().await?;
    assert_eq!(bond.bonded, U256::ZERO);
    let attestation = fair.market.attestation();
    assert!(!attestation.isOperator(liar.address()).call().await?);

    // What the contract said before is believed for five seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = lie(&fair, id, block, &truth, liar, |verdict| {
        verdict.reason = 112
    })
    .await?;
    let (_, answer) = post(&plans[0], json!({"shares": [late]}).to_string()).await?;
    assert_eq!(answer["results"][0]["status"], "not_operator");
    let state = fair.market.record(placed.order).await?.state;
    assert_eq!(state, State::Accepted);
    daemons.push(plans[2].start().await?);
    assert_eq!(lane.decided(&placed, Phase::Start).await?, State::Running);
    Ok(())
}

/// An account that has ether and is nobody.
async fn somebody(fair: &Fair) -> Result<PrivateKeySigner> {
    let account = PrivateKeySigner::random();
    let full = json!([account.address(), U256::from(10).pow(U256::from(20))]);
    fair.node.rpc.call("anvil_setBalance", full).await?;
    Ok(account)
}

/// `vouch operator` with these arguments: what it prints.
async fn operator(fair: &Fair, key: &PrivateKeySigner, arguments: &[&str]) -> Result<Value> {
    let (file, url) = (fair.deployment().display().to_string(), fair.node.url());
    let key = key.to_bytes().to_string();
    let mut all = vec!["operator"];
    all.extend(arguments);
    all.extend([
        "--json",
        "--rpc",
        &url,
        "--deployment",
        &file,
        "--key",
        &key,
    ]);
    let output = Tool::own("vouch")?.run_in(paths::root(), &all).await?;
    ensure!(output.success, "{}", output.text());
    serde_json::from_str(&output.stdout).context("reading what was printed")
}
