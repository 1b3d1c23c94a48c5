//! A receipt as proof: this result, from these assets, under this workload, on this hardware. From the
//! chain's data and the evidence alone.

use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use alloy::sol_types::SolEventInterface;
use anyhow::{Context, Result, anyhow, bail, ensure};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::{Receipt, Verdict};
use vouch_client::{Market, Placed};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::{self, Expected, SessionClaims, Started};
use vouch_evidence::{Anchors, Time};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Phase, Reason, challenge};

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

/// What the chain says of an order's evidence.
#[derive(Clone, Debug)]
struct History {
    start: Announced,
    /// The verdict that started the order, with the digest that the escrow noted.
    verdict: Verdict,
    noted: B256,
    /// Every announcement after the start.
    later: Vec<Announced>,
}

/// What the evidence proves of a receipt.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The finish.
    pub(crate) claims: SessionClaims,
    /// Digest of the start evidence.
    pub(crate) start: B256,
}

/// Where challenges are valid.
#[derive(Clone, Copy, Debug)]
struct Place {
    chain_id: u64,
    escrow: Address,
    order: B256,
}

impl Place {
    fn of(market: &Market, order: B256) -> Self {
        Self {
            chain_id: market.chain_id,
            escrow: market.addresses.escrow,
            order,
        }
    }

    fn challenge(&self, phase: Phase, announced: &Announced) -> B256 {
        let Announced {
            attempt,
            challenged,
            ..
        } = *announced;
        let hash = challenged.hash;
        challenge(self.chain_id, self.escrow, self.order, phase, attempt, hash)
    }
}

/// Checks the evidence that started an order, together with its verdict. Gives what it says.
///
/// # Errors
/// The first thing that does not fit.
pub(crate) async fn check_start(
    market: &Market,
    order: B256,
    source: &str,
    anchors: &Anchors,
) -> Result<SessionClaims> {
    let placed = market.terms(order).await?;
    let history = history(market, order).await?;
    let digest = vouch_client::verdict::digest(&history.verdict, &market.domain());
    same("start verdict", history.noted, digest)?;
    let bundle = fetch(source, history.start.evidence).await;
    let bundle = bundle.context("start evidence")?;
    attested(
        Place::of(market, order),
        &inputs(&placed),
        &history,
        &bundle,
        anchors,
    )
}

/// What start evidence says, where it is what the verdict was given for.
fn attested(
    place: Place,
    inputs: &B256,
    history: &History,
    bundle: &[u8],
    anchors: &Anchors,
) -> Result<SessionClaims> {
    let History { start, verdict, .. } = history;
    ensure!(
        verdict.phase == Phase::Start as u8 && verdict.reason == Reason::Accepted.code(),
        "start verdict: expected an acceptance, found phase {} and reason {}",
        verdict.phase,
        verdict.reason
    );
    same("start verdict's order", place.order, verdict.order)?;
    let claims = started(place, *inputs, start, bundle, anchors)?;
    let statement = &claims.statement;
    same(
        "start verdict's session",
        verdict.sessionKey,
        statement.encryption_key,
    )?;
    same(
        "start verdict's workload",
        verdict.measurement,
        claims.measurement,
    )?;
    Ok(claims)
}

fn started(
    place: Place,
    inputs: B256,
    start: &Announced,
    bundle: &[u8],
    anchors: &Anchors,
) -> Result<SessionClaims> {
    let expected = Expected::Start {
        evidence: start.evidence,
        challenge: place.challenge(Phase::Start, start),
        challenged_at: Time::from_unix(start.challenged.time),
        inputs,
    };
    session::verify(bundle, &expected, anchors, Time::from_unix(start.at.time))
        .map_err(|rejection| anyhow!("start evidence: {rejection}"))
}

/// Checks a receipt, which the chain has confirmed, against the evidence of its order.
///
/// # Errors
/// The first thing that does not fit, with what was expected.
pub(crate) async fn check(
    market: &Market,
    receipt: &Receipt,
    source: &str,
    anchors: &Anchors,
) -> Result<Proof> {
    let placed = market.terms(receipt.order).await?;
    let (place, inputs) = (Place::of(market, receipt.order), inputs(&placed));
    let History { start, later, .. } = history(market, receipt.order).await?;
    let finish = later
        .into_iter()
        .find(|later| later.evidence == receipt.evidence);
    let finish =
        finish.with_context(|| format!("finish evidence {}: never announced", receipt.evidence))?;
    let bundle = fetch(source, start.evidence)
        .await
        .context("start evidence")?;
    let began = started(place, inputs, &start, &bundle, anchors)?;

    let bundle = fetch(source, finish.evidence)
        .await
        .context("finish evidence")?;
    let expected = Expected::Finish {
        evidence: finish.evidence,
        challenge: place.challenge(Phase::Finish, &finish),
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

/// What the chain says of an order's evidence, once it has started.
async fn history(market: &Market, order: B256) -> Result<History> {
    let (mut accepted, mut began) = (None, None);
    let (mut before, mut later) = (Vec::new(), Vec::new());
    for log in market.history(order).await? {
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
            IEscrowEvents::OrderStarted(event) => {
                let tx = log.transaction_hash;
                let tx = tx.context("a log without its transaction")?;
                let verdict = market.verdict_in(tx, order).await?;
                let verdict = verdict.context("start verdict: brought by another contract")?;
                began = Some((at, verdict, event.verdict));
            }
            IEscrowEvents::EvidenceSubmitted(event) => {
                let begun = began.as_ref().map(|(at, ..)| *at);
                let list = match begun {
                    Some(_) => &mut later,
                    None => &mut before,
                };
                list.push(Announced {
                    evidence: event.evidence,
                    attempt: event.attempt,
                    outputs: event.outputs,
                    challenged: begun
                        .or(accepted)
                        .context("evidence before the acceptance")?,
                    at,
                });
            }
            _ => {}
        }
    }
    let (_, verdict, noted) = began.context("the order never started")?;
    let start = before
        .into_iter()
        .find(|start| start.evidence == verdict.evidence);
    let start =
        start.with_context(|| format!("start evidence {}: never announced", verdict.evidence))?;
    Ok(History {
        start,
        verdict,
        noted,
        later,
    })
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

#[cfg(test)]
mod tests {
    use vouch_protocol::statement::workload_digest;
    use vouch_simulator::{Machine, Options, Session, Tamper, default_measurement};

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const INPUTS: B256 = B256::repeat_byte(3);

    /// A session that an order runs in: what the chain says of it, and its evidence.
    struct Case {
        place: Place,
        history: History,
        bundle: Vec<u8>,
    }

    fn case(tamper: Option<Tamper>) -> Case {
        let place = Place {
            chain_id: 31337,
            escrow: Address::repeat_byte(1),
            order: B256::repeat_byte(2),
        };
        let mut start = Announced {
            evidence: B256::ZERO,
            attempt: 0,
            outputs: B256::ZERO,
            challenged: Block {
                hash: B256::repeat_byte(4),
                time: NOW,
            },
            at: Block {
                hash: B256::repeat_byte(5),
                time: NOW + 5,
            },
        };
        let session = Session::from_secret([6; 32]);
        let statement = session.start(place.challenge(Phase::Start, &start), INPUTS);
        let options = Options {
            tamper,
            ..Options::default()
        };
        let bundle = Machine::new(b"proof")
            .bundle(&statement, &options)
            .to_json();
        start.evidence = Bundle::digest(&bundle);
        let verdict = Verdict {
            order: place.order,
            phase: Phase::Start as u8,
            reason: Reason::Accepted.code(),
            evidence: start.evidence,
            sessionKey: statement.encryption_key,
            measurement: workload_digest(&default_measurement()),
            ..Verdict::default()
        };
        let history = History {
            start,
            verdict,
            noted: B256::ZERO,
            later: Vec::new(),
        };
        Case {
            place,
            history,
            bundle,
        }
    }

    fn judge(case: &Case) -> Result<B256> {
        let anchors = crate::verify::simulator_anchors().unwrap();
        let Case {
            place,
            history,
            bundle,
        } = case;
        attested(*place, &INPUTS, history, bundle, &anchors)
            .map(|claims| claims.statement.signing_key)
    }

    #[test]
    fn the_key_is_the_one_that_the_evidence_names() {
        let key = Session::from_secret([6; 32]).signing_key();
        assert_eq!(judge(&case(None)).unwrap(), key);
    }

    #[test]
    fn evidence_that_is_not_of_this_running_order_names_no_key() {
        type Change = fn(&mut Case);
        let cases: [(Change, &str); 9] = [
            (|case| case.place.order = B256::ZERO, "order"),
            (|case| case.place.chain_id = 1, "challenge"),
            (
                |case| case.history.start.challenged.hash = B256::ZERO,
                "challenge",
            ),
            (|case| case.history.start.evidence = B256::ZERO, "evidence"),
            (|case| case.bundle.push(b' '), "evidence"),
            (|case| case.history.verdict.phase = 2, "start verdict"),
            (|case| case.history.verdict.reason = 110, "start verdict"),
            (|case| case.history.verdict.sessionKey = INPUTS, "session"),
            (|case| case.history.verdict.measurement = INPUTS, "workload"),
        ];
        for (index, (change, named)) in cases.into_iter().enumerate() {
            let mut changed = case(None);
            change(&mut changed);
            let error = format!("{:#}", judge(&changed).unwrap_err());
            assert!(error.contains(named), "{index}: {error}");
        }
        // Another order's verdict beside this order's evidence, and the other way round.
        let mut other = case(None);
        other.place.order = B256::repeat_byte(8);
        other.history.verdict.order = other.place.order;
        assert!(format!("{:#}", judge(&other).unwrap_err()).contains("challenge"));
    }

    #[test]
    fn forged_evidence_names_no_key_and_neither_does_a_simulator_unless_asked() {
        for tamper in [
            Tamper::GpuSignature,
            Tamper::CpuSignature,
            Tamper::WrongRoot,
        ] {
            let error = format!("{:#}", judge(&case(Some(tamper))).unwrap_err());
            assert!(error.contains("start evidence"), "{error}");
        }
        let Case {
            place,
            history,
            bundle,
        } = case(None);
        let refused = attested(place, &INPUTS, &history, &bundle, &Anchors::vendor());
        assert!(refused.is_err());
    }
}
