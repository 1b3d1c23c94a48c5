//! One order, from its keys to its sealed result. Each step needs the one before; where one fails,
//! nothing more is announced and the order ends in the buyer's refund.

mod evidence;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use vouch_abi::Policy;
use vouch_client::{Deployment, Market, Placed, Record, State, connect};
use vouch_content::{ContentKey, Source, find, result};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Clause, Clauses, Counters, DatasetMeasure, Phase};
use zeroize::Zeroizing;

use crate::backend::Backend;
use crate::broker;
use crate::config::{Config, Model, Serve};
use crate::measure::measure;
use crate::report::Report;
use crate::serve::{Service, serve};
use crate::session::{Session, Work};
use crate::workload::{Files, Limits, Outputs, Workload};

const DATASET: u8 = 1;
const MODEL: u8 = 2;
const WORKLOAD: u8 = 3;

/// The job of one order.
#[derive(Debug)]
pub struct Job<'a> {
    config: &'a Config,
    report: Report,
    market: Market,
    /// The provider's key, which the market signs with too.
    signer: PrivateKeySigner,
    placed: Placed,
    policies: Vec<Policy>,
    backend: Backend,
    workload: Workload,
    session: Arc<Session>,
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
            connect(&config.chain.endpoint, Some(signer.clone())).await?,
        )
        .await?;
        let placed = market.terms(order).await?;
        let policies = market.policies(&placed).await?;
        let (workload, digest) = Workload::open(&config.workload)?;
        let backend = Backend::open(&config.backend, digest, market.chain_id)?;
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
        ensure!(
            config.serve.is_some() || may_export(&policies),
            "serve: expected, for a policy allows nothing but an API; found none"
        );
        let assets = placed.terms.legs.iter().filter(|leg| is_content(leg.kind));
        Ok(Self {
            inputs: inputs_digest(assets.map(|leg| &leg.digest)),
            workload,
            session: Arc::new(Session::generate()?),
            config,
            report,
            market,
            signer,
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
        let start = self.session.start(challenge, self.inputs);
        self.announce(Phase::Start, 0, B256::ZERO, &start).await?;
        self.wait_for(State::Running).await?;
        let began = Instant::now();

        let work = tokio::select! {
            work = self.perform(began) => work?,
            never = self.heartbeats() => match never {},
        };

        let challenge = self.market.challenge(order, Phase::Finish, 0).await?;
        let outputs = work.outputs;
        let finish = self.session.finish(challenge, self.inputs, work);
        self.announce(Phase::Finish, 0, outputs, &finish).await?;
        let end = self.wait_for(State::Settled).await?;
        self.report.step("ended", json!({ "state": end.name() }));
        Ok(())
    }

    /// The work between start and finish. What it made of plaintext is gone when it ends.
    async fn perform(&self, began: Instant) -> Result<Work> {
        let (inputs, datasets) = self.fetch().await?;
        let produced = self.produce(inputs).await?;
        let called = self.serve(&produced, began).await?;
        let (outputs, exported) = match &produced.outputs {
            Some(outputs) if self.may_export() => {
                (self.deliver(outputs).await?, outputs.counters())
            }
            _ => (B256::ZERO, Counters::default()),
        };
        // The result and what callers were told: the rest never left.
        let counters = Counters {
            output_bytes: exported.output_bytes.saturating_add(called.output_bytes),
            output_rows: exported.output_rows.saturating_add(called.output_rows),
        };
        Ok(Work {
            outputs,
            counters,
            datasets,
        })
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
        let record = self.market.record(self.placed.order).await?;
        let (limits, started_at) = (self.limits(&record), record.started_at);
        let (allowed, begun) = (limits.time.clone(), Instant::now());
        let (workload, order) = (self.workload.clone(), self.placed.order);
        let mut arguments = vec!["workload".to_owned()];
        arguments.extend(self.config.workload.arguments.iter().cloned());
        let ran = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            workload.run(&arguments, &inputs, order, started_at, &limits)
        });
        // The order may end meanwhile: then there is nothing to work for. Or more time may be paid for.
        let mut ran = std::pin::pin!(ran);
        let outputs = loop {
            let left = allowed.now().saturating_sub(begun.elapsed());
            let look = left.saturating_sub(LAST_LOOK).clamp(LOOK, HEARTBEAT);
            tokio::select! {
                ended = &mut ran => break ended?,
                () = tokio::time::sleep(look) => {
                    let record = self.market.record(self.placed.order).await.ok();
                    if let Some(record) = &record {
                        allowed.extend(self.limits(record).time.now());
                    }
                    let state = record.map_or("not known", |record| record.state.name());
                    self.report.step("working", json!({ "order": state }));
                }
            }
        };
        match outputs {
            Ok(outputs) => {
                // How many, not which: the workload chose the names, and could put plaintext there.
                let files = outputs.files.len();
                self.report.step(
                    "worked",
                    json!({ "files": files, "bytes": outputs.bytes, "rows": outputs.rows, "runtime": self.workload.runtime() }),
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

    /// The strictest of what the machine, the order as it stands, and every policy allow.
    fn limits(&self, record: &Record) -> Limits {
        let mut limits = self.config.workload.limits();
        let mut seconds = u64::from(self.placed.terms.maxDuration) + u64::from(record.topped_up);
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
        limits.time = limits.time.now().min(Duration::from_secs(seconds)).into();
        limits
    }

    /// Whether every policy lets outputs leave as files.
    fn may_export(&self) -> bool {
        may_export(&self.policies)
    }

    /// Has the workload train, unless the model to serve is there already.
    async fn produce(&self, mut inputs: Files) -> Result<Produced> {
        let Some(Serve { model, .. }) = &self.config.serve else {
            let outputs = Some(self.work(inputs).await?);
            return Ok(Produced {
                outputs,
                model: None,
            });
        };
        let (outputs, model) = match model {
            Model::Hosted(name) => (None, inputs.remove(name)),
            Model::Trained(name) => {
                let outputs = self.work(inputs).await?;
                let model = outputs.files.get(name).cloned();
                (Some(outputs), model)
            }
        };
        let model = Some(model.context("serve.model: there is no such file")?);
        Ok(Produced { outputs, model })
    }

    /// Serves the model, where the configuration says so. Gives what callers were told.
    async fn serve(&self, produced: &Produced, began: Instant) -> Result<Counters> {
        let (Some(config), Some(model)) = (&self.config.serve, &produced.model) else {
            return Ok(Counters::default());
        };
        let (record, now) = (
            self.market.record(self.placed.order).await?,
            self.market.now().await?,
        );
        let mut limits = self.limits(&record);
        if let Some(outputs) = produced.outputs.as_ref().filter(|_| self.may_export()) {
            // The result takes its part of the budget.
            limits.output_bytes = limits.output_bytes.saturating_sub(outputs.bytes);
            limits.output_rows = limits.output_rows.saturating_sub(outputs.rows);
        }
        // What the policies allow began with the start; the finish has to be on chain in time.
        let allowed = limits.time.now().saturating_sub(began.elapsed());
        let left = Duration::from_secs(self.placed.terms.deadlines.finish.saturating_sub(now));
        let most = allowed.min(left).saturating_sub(FINISHING);
        let time = Duration::from_secs(config.seconds).min(most);
        let arguments = config.arguments.iter().cloned();
        let service = Service {
            workload: self.workload.clone(),
            arguments: std::iter::once("workload".to_owned())
                .chain(arguments)
                .collect(),
            model: model.clone(),
            order: self.placed.order,
            buyer: self.placed.terms.buyer,
            limits,
            time: record.started_at,
            calls: config.calls,
            deadline: Instant::now() + time,
        };
        let session = Arc::clone(&self.session);
        let listener = tokio::net::TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| format!("serve.listen {}", config.listen))?;
        serve(service, session, listener, self.stopped(), self.report).await
    }

    /// Waits until the order does not run any more.
    async fn stopped(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let record = self.market.record(self.placed.order).await;
            if record.is_ok_and(|record| record.state != State::Running) {
                return;
            }
        }
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

/// What the workload left, and the model to be served.
struct Produced {
    /// None where nothing was trained.
    outputs: Option<Outputs>,
    model: Option<Zeroizing<Vec<u8>>>,
}

/// Time kept for the finish, after the last answer.
const FINISHING: Duration = Duration::from_secs(30);
/// How often the agent says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long before a run's time is up it is looked for more that was paid for, and how often from then on.
const LAST_LOOK: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);

fn may_export(policies: &[Policy]) -> bool {
    policies
        .iter()
        .all(|policy| Clauses(policy.any).contains(Clause::Export))
}

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
