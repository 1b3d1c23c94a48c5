//! One order, from its keys to its sealed result. Each step needs the one before; where one fails,
//! nothing more is announced and the order ends in the buyer's refund.

use std::time::Duration;

use alloy::primitives::B256;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use vouch_abi::Policy;
use vouch_client::{Deployment, Market, Placed, State, connect, send};
use vouch_content::{ContentKey, Source, find, result};
use vouch_evidence::bundle::Bundle;
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Clause, Clauses, Counters, DatasetMeasure, Phase, Statement};
use zeroize::Zeroizing;

use crate::backend::Backend;
use crate::broker;
use crate::config::Config;
use crate::measure::measure;
use crate::report::Report;
use crate::session::{Session, Work};
use crate::wasi::{Files, Limits, Outputs, Workload};

const DATASET: u8 = 1;
const MODEL: u8 = 2;
const WORKLOAD: u8 = 3;

/// The job of one order.
#[derive(Debug)]
pub struct Job<'a> {
    config: &'a Config,
    report: Report,
    market: Market,
    placed: Placed,
    policies: Vec<Policy>,
    backend: Backend,
    workload: Workload,
    session: Session,
    inputs: B256,
}

impl<'a> Job<'a> {
    /// Takes up an order. What runs must be what was ordered.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub async fn open(config: &'a Config, order: B256, report: Report) -> Result<Self> {
        let deployment = Deployment::load(&config.chain.deployment)?;
        let signer = config.signer(deployment.chain_id)?;
        let market = Market::open(
            &deployment,
            connect(&config.chain.endpoint, Some(signer)).await?,
        )
        .await?;
        let placed = market.terms(order).await?;
        let policies = market.policies(&placed).await?;
        let module = std::fs::read(&config.workload.file)
            .with_context(|| format!("workload: {}", config.workload.file.display()))?;
        let backend = Backend::open(&config.backend, &module, market.chain_id)?;
        let ordered = placed
            .terms
            .legs
            .iter()
            .find(|leg| leg.kind == WORKLOAD)
            .map(|leg| leg.digest);
        if let (Some(ordered), Some(found)) = (ordered, backend.workload()) {
            ensure!(
                ordered == found,
                "workload: expected {ordered}, found {found}"
            );
        }
        let assets = placed.terms.legs.iter().filter(|leg| is_content(leg.kind));
        Ok(Self {
            inputs: inputs_digest(assets.map(|leg| &leg.digest)),
            workload: Workload::new(&module)?,
            session: Session::generate()?,
            config,
            report,
            market,
            placed,
            policies,
            backend,
        })
    }

    /// Does the job.
    ///
    /// # Errors
    /// Where it stopped, and why.
    pub async fn run(self) -> Result<()> {
        let order = self.placed.order;
        self.report.step(
            "session",
            json!({ "session_key": self.session.encryption().public(), "signing_key": self.session.signing_key() }),
        );
        let challenge = self.market.challenge(order, Phase::Start, 0).await?;
        self.announce(Phase::Start, &self.session.start(challenge, self.inputs))
            .await?;
        self.wait_for(State::Running).await?;

        let (inputs, datasets) = self.fetch().await?;
        let outputs = self.work(inputs).await?;
        let counters = Counters {
            output_bytes: outputs.bytes,
            output_rows: outputs.rows,
        };
        let delivered = if self.may_export() {
            self.deliver(&outputs).await?
        } else {
            B256::ZERO
        };
        drop(outputs);

        let challenge = self.market.challenge(order, Phase::Finish, 0).await?;
        let work = Work {
            outputs: delivered,
            counters,
            datasets,
        };
        self.announce(
            Phase::Finish,
            &self.session.finish(challenge, self.inputs, work),
        )
        .await?;
        let end = self.wait_for(State::Settled).await?;
        self.report.step("ended", json!({ "state": end.name() }));
        Ok(())
    }

    /// Has the hardware vouch for a statement, leaves the evidence with the operators, and announces it.
    async fn announce(&self, phase: Phase, statement: &Statement) -> Result<()> {
        let bundle = self
            .backend
            .evidence(statement)
            .with_context(|| format!("{phase} evidence"))?
            .to_json();
        let digest = Bundle::digest(&bundle);
        let size = bundle.len();
        let url = format!(
            "{}/v1/evidence/{}",
            self.config.evidence.trim_end_matches('/'),
            hex::encode(digest)
        );
        let answer = reqwest::Client::new().put(&url).body(bundle).send().await;
        let answer = answer.with_context(|| format!("leaving evidence at {url}"))?;
        ensure!(
            answer.status().is_success(),
            "leaving evidence at {url}: HTTP status {}",
            answer.status()
        );
        let escrow = self.market.escrow();
        let terms = self.placed.terms.clone();
        let call = escrow.submitEvidence(terms, phase as u8, 0, digest, statement.outputs, url);
        // Told before it is sent: what follows on the chain is then no surprise.
        self.report.step(
            "evidence",
            json!({ "phase": phase.name(), "digest": digest, "bytes": size }),
        );
        let receipt = send(call).await.context("announcing evidence")?;
        self.report.step(
            "announced",
            json!({
                "phase": phase.name(),
                "digest": digest,
                "transaction": receipt.transaction_hash,
                "gas": receipt.gas_used,
            }),
        );
        Ok(())
    }

    /// Waits until the order is in a state, or past it.
    async fn wait_for(&self, state: State) -> Result<State> {
        let order = self.placed.order;
        loop {
            let found = self.market.record(order).await?.state;
            match found {
                State::Refunded => bail!("order {order}: expected {state}, found it refunded"),
                State::Finished if state == State::Settled => return Ok(found),
                found if found >= state => return Ok(found),
                _ => tokio::time::sleep(Duration::from_millis(self.config.chain.poll_ms)).await,
            }
        }
    }

    /// Fetches, decrypts and measures every input. Each is checked against its offer's digest before any
    /// of it is decrypted.
    async fn fetch(&self) -> Result<(Files, Vec<DatasetMeasure>)> {
        let sources: Vec<Source> = self
            .config
            .content
            .iter()
            .map(|text| Source::parse(text))
            .collect::<Result<_, _>>()?;
        let (mut files, mut measures) = (Files::new(), Vec::new());
        let mut models = 0;
        for leg in self
            .placed
            .terms
            .legs
            .iter()
            .filter(|leg| is_content(leg.kind))
        {
            let asset = leg.digest;
            let fetched = Source::fetch_from(&sources, asset, &self.config.cache).await?;
            self.report.step(
                "fetched",
                json!({ "asset": asset, "bytes": fetched.received, "kept": fetched.kept }),
            );
            let key = broker::key(
                &self.config.brokers,
                &self.session,
                self.placed.order,
                asset,
            )
            .await?;
            self.report.step("key", json!({ "asset": asset }));
            let cache = self.config.cache.clone();
            let plain = tokio::task::spawn_blocking(move || decrypt(&cache, asset, &key)).await??;
            if leg.kind == DATASET {
                let found = measure(&plain);
                self.report.step(
                    "measured",
                    json!({
                        "asset": asset,
                        "records": found.records,
                        "bytes": found.bytes,
                        "schema": found.schema,
                        "quality": found.quality,
                    }),
                );
                files.insert(format!("dataset-{}", measures.len()), plain);
                measures.push(found);
            } else {
                files.insert(format!("model-{models}"), plain);
                models += 1;
            }
        }
        Ok((files, measures))
    }

    /// Runs the workload in its own world, within what the policies and the order allow.
    async fn work(&self, inputs: Files) -> Result<Outputs> {
        let limits = self.limits();
        let started_at = self.market.record(self.placed.order).await?.started_at;
        let (workload, order) = (self.workload.clone(), self.placed.order);
        let mut arguments = vec!["workload".to_owned()];
        arguments.extend(self.config.workload.arguments.iter().cloned());
        let ran = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            workload.run(&arguments, &inputs, order, started_at, &limits)
        });
        // The order may end meanwhile: then there is nothing to work for.
        let mut ran = std::pin::pin!(ran);
        let outputs = loop {
            tokio::select! {
                ended = &mut ran => break ended?,
                () = tokio::time::sleep(HEARTBEAT) => {
                    let state = self.market.record(self.placed.order).await.map(|record| record.state);
                    self.report.step("working", json!({ "order": state.map_or("not known", State::name) }));
                }
            }
        };
        match outputs {
            Ok(outputs) => {
                let files: Vec<&String> = outputs.files.keys().collect();
                self.report.step(
                    "worked",
                    json!({ "files": files, "bytes": outputs.bytes, "rows": outputs.rows }),
                );
                Ok(outputs)
            }
            Err(violation) => {
                let reason = violation.to_string();
                self.report.step(
                    "stopped",
                    json!({ "code": violation.code(), "reason": reason }),
                );
                Err(violation).context("the workload was stopped; the order will not be paid")
            }
        }
    }

    /// The strictest of what the machine, the order and every policy allow.
    fn limits(&self) -> Limits {
        let mut limits = self.config.workload.limits();
        let mut seconds = u64::from(self.placed.terms.maxDuration);
        for policy in &self.policies {
            let requires = |clause| !Clauses(policy.any).contains(clause);
            if requires(Clause::OutputBytes) {
                limits.output_bytes = limits.output_bytes.min(policy.outputBytes);
            }
            if requires(Clause::OutputRows) {
                limits.output_rows = limits.output_rows.min(policy.outputRows);
            }
            if requires(Clause::MaxDuration) {
                seconds = seconds.min(policy.maxDuration.into());
            }
        }
        limits.time = limits.time.min(Duration::from_secs(seconds));
        limits
    }

    /// Whether every policy lets outputs leave as files.
    fn may_export(&self) -> bool {
        self.policies
            .iter()
            .all(|policy| Clauses(policy.any).contains(Clause::Export))
    }

    /// Seals the outputs to the buyer.
    async fn deliver(&self, outputs: &Outputs) -> Result<B256> {
        let archive = archive(outputs)?;
        let (recipient, order) = (self.placed.terms.resultKey, self.placed.order);
        let (cache, path) = (self.config.cache.clone(), self.config.result.clone());
        let sealed = tokio::task::spawn_blocking(move || {
            let size = archive.len() as u64;
            result::seal_to(&mut &archive[..], size, recipient, order, &cache, &path)
        })
        .await?
        .context("sealing the result")?;
        self.report.step(
            "result",
            json!({ "file": self.config.result, "digest": sealed.digest, "bytes": sealed.size }),
        );
        Ok(sealed.digest)
    }
}

/// How often the agent says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(10);

const fn is_content(kind: u8) -> bool {
    matches!(kind, DATASET | MODEL)
}

fn decrypt(cache: &std::path::Path, asset: B256, key: &ContentKey) -> Result<Zeroizing<Vec<u8>>> {
    let mut pack = find(cache, asset)?;
    let size = pack.manifest().size;
    // With room for all of it, so that growing leaves no copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(usize::try_from(size)?));
    pack.decrypt(key, 0..size, &mut *plain)?;
    Ok(plain)
}

/// The outputs as a tar archive, the same for the same outputs.
fn archive(outputs: &Outputs) -> Result<Zeroizing<Vec<u8>>> {
    let room = outputs
        .files
        .values()
        .map(|file| file.len() + 1024)
        .sum::<usize>()
        + 1024;
    let mut builder = tar::Builder::new(Vec::with_capacity(room));
    for (name, content) in &outputs.files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        builder
            .append_data(&mut header, name, content.as_slice())
            .with_context(|| format!("output {name:?}"))?;
    }
    Ok(Zeroizing::new(builder.into_inner()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_the_outputs_and_nothing_of_the_machine() {
        let mut outputs = Outputs::default();
        outputs
            .files
            .insert("model".into(), Zeroizing::new(b"weights".to_vec()));
        outputs
            .files
            .insert("metrics.json".into(), Zeroizing::new(b"{}".to_vec()));
        let archived = archive(&outputs).unwrap();
        assert_eq!(archived, archive(&outputs).unwrap());
        let mut found = Vec::new();
        for entry in tar::Archive::new(&archived[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap_or(0)), (0, 0));
            found.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(found, ["metrics.json", "model"]);
    }
}
