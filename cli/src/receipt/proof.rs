//! A receipt as proof: this result, from these assets, under this workload, on this hardware. From the
//! chain's data and the evidence alone.

use alloy::primitives::B256;
use alloy::providers::Provider;
use alloy::sol_types::SolEventInterface;
use anyhow::{Context, Result, anyhow, bail, ensure};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::Receipt;
use vouch_client::{Market, Placed};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::{self, Expected, SessionClaims, Started};
use vouch_evidence::{Anchors, Time};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Phase, challenge};

/// Bytes of the largest bundle.
const MAX_BUNDLE: usize = 16 << 20;
const WORKLOAD: u8 = 3;

/// A block, as far as evidence depends on it.
#[derive(Clone, Copy, Debug)]
struct Block {
    hash: B256,
    time: u64,
}

/// One phase, as the chain has it.
#[derive(Clone, Copy, Debug)]
struct Announced {
    evidence: B256,
    attempt: u8,
    outputs: B256,
    /// Whose hash the challenge is made of.
    challenged: Block,
    /// In which it was announced.
    at: Block,
}

/// What the evidence proves of a receipt.
#[derive(Debug)]
pub(super) struct Proof {
    /// The finish.
    pub(super) claims: SessionClaims,
    /// Digest of the start evidence.
    pub(super) start: B256,
}

/// Checks a receipt, which the chain has confirmed, against the evidence of its order.
///
/// # Errors
/// The first thing that does not fit, with what was expected.
pub(super) async fn check(
    market: &Market,
    receipt: &Receipt,
    source: &str,
    anchors: &Anchors,
) -> Result<Proof> {
    let placed = market.terms(receipt.order).await?;
    let [start, finish] = announced(market, receipt).await?;
    let inputs = inputs(&placed);
    let bind = |phase, announced: &Announced| {
        let Announced {
            attempt,
            challenged,
            ..
        } = *announced;
        challenge(
            market.chain_id,
            market.addresses.escrow,
            receipt.order,
            phase,
            attempt,
            challenged.hash,
        )
    };

    let bundle = fetch(source, start.evidence)
        .await
        .context("start evidence")?;
    let expected = Expected::Start {
        evidence: start.evidence,
        challenge: bind(Phase::Start, &start),
        challenged_at: Time::from_unix(start.challenged.time),
        inputs,
    };
    let began = session::verify(&bundle, &expected, anchors, Time::from_unix(start.at.time))
        .map_err(|rejection| anyhow!("start evidence: {rejection}"))?;

    let bundle = fetch(source, finish.evidence)
        .await
        .context("finish evidence")?;
    let expected = Expected::Finish {
        evidence: finish.evidence,
        challenge: bind(Phase::Finish, &finish),
        challenged_at: Time::from_unix(finish.challenged.time),
        inputs,
        outputs: receipt.outputs,
        started: Started {
            at: Time::from_unix(start.at.time),
            session_key: began.statement.encryption_key,
            devices: began.devices,
            measurement: began.measurement,
        },
    };
    let claims = session::verify(&bundle, &expected, anchors, Time::from_unix(finish.at.time))
        .map_err(|rejection| anyhow!("finish evidence: {rejection}"))?;

    same("outputs", receipt.outputs, finish.outputs)?;
    same("measurement", receipt.measurement, claims.measurement)?;
    ensure!(
        receipt.devices == claims.devices,
        "devices: expected {:?}, found {:?}",
        receipt.devices,
        claims.devices
    );
    let legs: Vec<B256> = placed.terms.legs.iter().map(|leg| leg.digest).collect();
    ensure!(
        receipt.assets == legs,
        "assets: expected {legs:?}, found {:?}",
        receipt.assets
    );
    if let Some(workload) = placed.terms.legs.iter().find(|leg| leg.kind == WORKLOAD) {
        same("workload", workload.digest, claims.measurement)?;
    }
    Ok(Proof {
        claims,
        start: start.evidence,
    })
}

fn same(what: &str, expected: B256, found: B256) -> Result<()> {
    ensure!(
        expected == found,
        "{what}: expected {expected}, found {found}"
    );
    Ok(())
}

fn inputs(placed: &Placed) -> B256 {
    let assets = placed
        .terms
        .legs
        .iter()
        .filter(|leg| matches!(leg.kind, 1 | 2));
    inputs_digest(assets.map(|leg| &leg.digest))
}

/// The announcements that the order was started and finished on.
async fn announced(market: &Market, receipt: &Receipt) -> Result<[Announced; 2]> {
    let (mut accepted, mut began) = (None, None);
    let (mut start, mut finish) = (None, None);
    for log in market.history(receipt.order).await? {
        let number = log.block_number.context("a log without its block")?;
        let block = market.provider.get_block_by_number(number.into()).await?;
        let header = block
            .with_context(|| format!("block {number}: the endpoint does not have it"))?
            .header;
        let at = Block {
            hash: header.hash,
            time: header.timestamp,
        };
        let event = IEscrowEvents::decode_log(&log.inner).context("an event of the escrow")?;
        match event.data {
            IEscrowEvents::OrderAccepted(_) => accepted = Some(at),
            IEscrowEvents::OrderStarted(_) => {
                let tx = log
                    .transaction_hash
                    .context("a log without its transaction")?;
                let verdict = market.verdict_in(tx).await?;
                began = Some((
                    at,
                    verdict.context("start verdict: brought by another contract")?,
                ));
            }
            IEscrowEvents::EvidenceSubmitted(event) if event.phase == 1 && began.is_none() => {
                let challenged = accepted.context("evidence before the acceptance")?;
                start.get_or_insert_with(Vec::new).push(Announced {
                    evidence: event.evidence,
                    attempt: event.attempt,
                    outputs: event.outputs,
                    challenged,
                    at,
                });
            }
            IEscrowEvents::EvidenceSubmitted(event) if event.evidence == receipt.evidence => {
                let (challenged, _) = began.as_ref().context("finish evidence before the start")?;
                finish = Some(Announced {
                    evidence: event.evidence,
                    attempt: event.attempt,
                    outputs: event.outputs,
                    challenged: *challenged,
                    at,
                });
            }
            _ => {}
        }
    }
    let (_, verdict) = began.context("the order never started")?;
    let start = start
        .unwrap_or_default()
        .into_iter()
        .find(|start| start.evidence == verdict.evidence);
    let start =
        start.with_context(|| format!("start evidence {}: never announced", verdict.evidence))?;
    let finish =
        finish.with_context(|| format!("finish evidence {}: never announced", receipt.evidence))?;
    Ok([start, finish])
}

/// A bundle by its digest, from `dir:PATH` or an operator's server.
async fn fetch(source: &str, digest: B256) -> Result<Vec<u8>> {
    let name = hex::encode(digest);
    let bytes = match source.strip_prefix("dir:") {
        Some(dir) => {
            let path = std::path::Path::new(dir).join(&name);
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?
        }
        None => {
            let url = format!("{}/v1/evidence/{name}", source.trim_end_matches('/'));
            let answer = reqwest::get(&url).await.with_context(|| url.clone())?;
            ensure!(
                answer.status().is_success(),
                "{url}: HTTP status {}",
                answer.status()
            );
            let long = answer
                .content_length()
                .is_some_and(|length| length > MAX_BUNDLE as u64);
            ensure!(!long, "{url}: expected at most {MAX_BUNDLE} bytes");
            answer.bytes().await.with_context(|| url.clone())?.to_vec()
        }
    };
    let found = Bundle::digest(&bytes);
    if found != digest {
        bail!("{source}: expected evidence {digest}, found {found}");
    }
    Ok(bytes)
}
