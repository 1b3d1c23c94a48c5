//! The story: one job from its offers to its payment or refund.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, I256, TxHash, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{Log, TransactionReceipt};
use alloy::sol_types::{SolEvent, SolEventInterface};
use anyhow::{Context, Result, bail, ensure};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::{IAttestation, Receipt};
use vouch_client::deploy::{Files, Setup, Step, deploy};
use vouch_client::{Error, Market, Placed, connect, send};
use vouch_content::seal::KeyPair;
use vouch_content::{DEFAULT_CHUNK_LEN, pack_reader, publish, sha256};
use vouch_protocol::statement::workload_digest;
use vouch_protocol::{Phase, Reason};
use vouch_simulator::{Tamper, guest_measurement};

use super::cast::{Actor, Cast};
use super::children::{
    Agent, AgentSetup, AgentStep, Broker, BrokerSetup, Devnet, Oracle, OracleSetup,
};
use super::ledger::{Deal, Ending};
use super::screen::{Screen, seconds, short, thousands};
use super::traces::Secrets;
use super::{job, market};
use crate::chain::Token;
use crate::deploy::default_quorum;
use crate::output::count;

/// How long the oracle may take for a verdict.
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A program that is ended in the middle of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kill {
    /// The agent, once it has keys and plaintext.
    Agent,
    /// The owners' brokers, which the encrypted assets come from too.
    Broker,
    /// The oracle, before the evidence of the finished job reaches it.
    Oracle,
}

/// What the demo is started with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) bin_dir: PathBuf,
    pub(super) wasm_dir: PathBuf,
    /// The WASI module that is trained with.
    pub(super) workload: PathBuf,
    /// A dataset that is not worth its price.
    pub(super) poor_dataset: bool,
    /// What fails in the middle of the job.
    pub(super) kill: Option<Kill>,
    pub(super) operators: usize,
    pub(super) tamper: Option<Tamper>,
}

/// Gas of one transaction.
#[derive(Clone, Debug)]
pub(super) struct Gas {
    pub(super) actor: String,
    pub(super) what: String,
    pub(super) gas: u64,
    pub(super) tx: TxHash,
}

/// One actor's balance, credits included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) actor: String,
    pub(super) address: Address,
    pub(super) before: U256,
    pub(super) after: U256,
    pub(super) expected: I256,
}

impl Balance {
    pub(super) fn change(&self) -> I256 {
        I256::from_raw(self.after) - I256::from_raw(self.before)
    }

    pub(super) fn is_right(&self) -> bool {
        self.change() == self.expected
    }
}

/// How it ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Paid, with a receipt that the chain confirms.
    Settled(Box<Receipt>),
    /// Refunded by a verdict with this reason.
    Refunded(Reason),
    /// Refunded because the finish deadline passed.
    Expired,
}

/// What the story came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) order: B256,
    pub(super) end: End,
    pub(super) token: Token,
    pub(super) balances: Vec<Balance>,
    /// What the escrow holds, and what it owes.
    pub(super) escrow: (U256, U256),
    pub(super) gas: Vec<Gas>,
    /// From each announcement of evidence to the block with its verdict on chain.
    pub(super) verdicts: Vec<(Phase, Duration)>,
    /// How good the trained model is, as the buyer alone read it.
    pub(super) metrics: Option<job::Metrics>,
    /// Whether the dataset was to be worth its price.
    pub(super) dataset_paid: bool,
}

/// The market and who acts in it.
struct Stage<'a> {
    screen: Screen,
    settings: &'a Settings,
    cast: &'a Cast,
    devnet: Devnet,
    oracles: Vec<Oracle>,
    market: Market,
    token: Token,
    deal: Deal,
    dir: PathBuf,
    /// Of the buyer: the result is sealed to it.
    result_key: KeyPair,
    /// The dataset owner's and the model owner's.
    brokers: Vec<Broker>,
    secrets: Secrets,
    gas: Vec<Gas>,
    verdicts: Vec<(Phase, Duration)>,
    /// Who signed the last verdict, by their places in the cast.
    signed: Vec<usize>,
}

/// Plays the story. Child processes and files end with it.
pub(super) async fn play(settings: &Settings, screen: Screen) -> Result<Outcome> {
    let dir = tempfile::Builder::new()
        .prefix("vouch-demo-")
        .tempdir()
        .context("creating a temporary directory")?;
    let cast = Cast::new(settings.operators)?;
    let mut stage = Stage::set(settings, &cast, screen, dir.path()).await?;
    screen.heading("Offers");
    let before = stage.balances().await?;
    let wares = stage.publish().await?;
    screen.heading("The job");
    let placed = stage.place(&wares).await?;
    let end = stage.work(&placed).await?;
    let metrics = match &end {
        End::Settled(_) => {
            screen.heading("The result");
            Some(stage.open_result(&placed).await?)
        }
        End::Refunded(_) | End::Expired => None,
    };
    let outcome = stage.close(placed, end, before, metrics).await?;
    Ok(outcome)
}

impl<'a> Stage<'a> {
    /// Starts the chain, deploys the contracts, starts the oracle, hands out tokens.
    async fn set(
        settings: &'a Settings,
        cast: &'a Cast,
        screen: Screen,
        dir: &std::path::Path,
    ) -> Result<Self> {
        screen.heading("The market");
        let step = screen.begin("chain", "starts");
        let devnet = Devnet::start(&settings.bin_dir, dir, cast.accounts()).await?;
        step.end(
            &format!("vouch-devnet at {}", devnet.url()),
            "chain id 31337, with Stylus",
        );

        let governor = connect(&devnet.ws_url(), Some(cast.governor.signer.clone())).await?;
        let setup = Setup {
            governor: cast.governor.address(),
            operators: cast.operators.iter().map(Actor::address).collect(),
            quorum: default_quorum(settings.operators),
            fee: U256::ZERO,
            token_name: "Vouch test dollar".to_owned(),
            token_symbol: "vUSD".to_owned(),
        };
        let files = Files {
            wasm: settings.wasm_dir.clone(),
            cache: Some(settings.wasm_dir.join("compressed")),
            deployment: dir.join("31337.json"),
        };
        let mut step = Some(screen.begin("contracts", "are compressed, deployed and activated"));
        let mut gas = Vec::new();
        let deployment = deploy(&governor, &setup, &files, |done| {
            if let Some(step) = step.take() {
                step.abandon();
            }
            if let Step::Deployed(contract, address, size, used) = done {
                let text = format!("{contract} at {}", short(address));
                let size = thousands(*size as u64);
                screen.line(
                    "governor",
                    &format!("deploys {text}"),
                    &format!("{size} bytes, {} gas", thousands(*used)),
                );
                gas.push((contract.name(), *used));
            }
        })
        .await
        .context("deploying the contracts")?;
        let market = Market::open(&deployment, connect(&devnet.ws_url(), None).await?).await?;
        let token = Token::of(&market, market.addresses.token)
            .await
            .map_err(message)?;
        let deal = market::deal(&token, settings.operators);
        let gas = deployment_gas(&deployment, gas);

        let step = screen.begin("oracle", "starts");
        let keys: Vec<String> = cast.operators.iter().map(Actor::key).collect();
        let oracle_setup = OracleSetup {
            chain: &devnet,
            deployment: &files.deployment,
            keys: &keys,
        };
        let oracles = Oracle::start_all(&settings.bin_dir, dir, &oracle_setup).await?;
        let quorum = format!(
            "quorum {} of {}",
            setup.quorum,
            count(settings.operators, "operator")
        );
        let at = match oracles.as_slice() {
            [oracle] => format!("vouch-oracle at {}", oracle.url),
            all => format!("{} daemons, the first at {}", all.len(), all[0].url),
        };
        step.end(&at, &quorum);

        let money = cast.governor.market(&market, &devnet.ws_url()).await?;
        for (actor, amount) in [
            (&cast.buyer, deal.locked() + deal.oracle_fee),
            (&cast.provider, deal.bond + deal.bond),
        ] {
            money
                .mint(actor.address(), amount)
                .await
                .context("handing out test tokens")?;
            screen.line(
                "governor",
                &format!("gives the {} {}", actor.name, token.show(amount)),
                "test tokens",
            );
        }
        let verdicts = Vec::new();
        Ok(Self {
            screen,
            settings,
            cast,
            devnet,
            oracles,
            market,
            token,
            deal,
            dir: dir.to_owned(),
            result_key: KeyPair::generate()?,
            brokers: Vec::new(),
            secrets: Secrets::default(),
            gas,
            verdicts,
            signed: Vec::new(),
        })
    }

    /// An owner encrypts its asset, publishes the pack, and gives the key to its broker.
    async fn encrypt(&mut self, owner: &Actor, name: &'static str, plain: &[u8]) -> Result<B256> {
        let step = self.screen.begin(&owner.name, "encrypts its asset");
        let (own, public) = (
            self.dir.join(format!("{name}-own")),
            self.dir.join(format!("{name}-public")),
        );
        let packed = pack_reader(&mut &*plain, plain.len() as u64, &own, DEFAULT_CHUNK_LEN);
        let (manifest, key) = packed.context("encrypting an asset")?;
        let asset = manifest.digest();
        publish(&own, asset, &public).context("publishing an asset")?;
        self.secrets.key(&key);
        let key_file = self.dir.join(format!("{name}.key"));
        let text = zeroize::Zeroizing::new(hex::encode(key.as_bytes()));
        vouch_content::PrivateFile::write(&key_file, text.as_bytes())?;
        let broker = Broker::start(
            &self.settings.bin_dir,
            &self.dir,
            &BrokerSetup {
                name,
                chain: &self.devnet,
                deployment: &self.dir.join("31337.json"),
                oracle: &self.oracles[0].url,
                asset: (asset, &key_file),
                content: &public,
            },
        )
        .await?;
        let text = format!(
            "encrypts its asset {}; its broker holds the key",
            short(asset)
        );
        step.end(&text, &format!("{} bytes", thousands(manifest.data_len())));
        self.brokers.push(broker);
        Ok(asset)
    }

    /// The owners and the provider publish policies and offers.
    async fn publish(&mut self) -> Result<[market::Ware; 4]> {
        let module = std::fs::read(&self.settings.workload).with_context(|| {
            let shown = self.settings.workload.display();
            format!("{shown} is not built: run ./scripts/demo, or name the module with --workload")
        })?;
        let dataset = job::dataset(self.settings.poor_dataset);
        let (cast, poor) = (self.cast, self.settings.poor_dataset);
        let assets = market::Assets {
            dataset: self
                .encrypt(&cast.dataset, "dataset-broker", &dataset)
                .await?,
            model: self
                .encrypt(&cast.model, "model-broker", job::MODEL)
                .await?,
            workload: workload_digest(&guest_measurement(&sha256(&module).0)),
        };
        self.secrets.plaintext(job::MODEL);
        self.secrets.plaintext(job::MARK);
        if poor {
            let lie = self.screen.style.yellow("every fourth record is spoilt");
            self.screen.line("", &lie, "");
        }
        let now = self.market.now().await?;
        let wares = market::wares(self.cast, &self.deal, &self.token, now, assets);
        let owners = [
            &self.cast.dataset,
            &self.cast.model,
            &self.cast.workload,
            &self.cast.provider,
        ];
        for (ware, owner) in wares.iter().zip(owners) {
            let step = self.screen.begin(&owner.name, &ware.text);
            let market = owner.market(&self.market, &self.devnet.ws_url()).await?;
            let policy = send(market.usage().publish(ware.policy.clone()))
                .await
                .context("publishing a policy")?;
            let offer = send(market.offers().publish(ware.offer.clone(), String::new()))
                .await
                .context("publishing an offer")?;
            let clauses = vouch_protocol::Clauses::POLICY
                .without(vouch_protocol::Clauses(ware.policy.any))
                .iter()
                .count();
            let used = self.note(owner, "publishes a policy", &policy)
                + self.note(owner, "publishes an offer", &offer);
            step.end(
                &ware.text,
                &format!("{}, {} gas", count(clauses, "condition"), thousands(used)),
            );
        }
        Ok(wares)
    }

    /// The buyer escrows the price; the provider accepts with a bond.
    async fn place(&mut self, wares: &[market::Ware; 4]) -> Result<Placed> {
        let buyer = &self.cast.buyer;
        let text = format!(
            "escrows {} for one job over all four",
            self.token.show(self.deal.locked())
        );
        let step = self.screen.begin(&buyer.name, &text);
        let market = buyer.market(&self.market, &self.devnet.ws_url()).await?;
        let approval = market
            .approve(self.token.address, self.deal.locked())
            .await
            .context("approving the escrow")?;
        let result_key = self.result_key.public();
        let request = market::order(wares, &self.deal, result_key, self.market.now().await?);
        let (placed, receipt) = market.place(request).await.context("placing the order")?;
        let used = self.note(buyer, "approves the escrow", &approval)
            + self.note(buyer, "places the order", &receipt);
        step.end(&text, &format!("{} gas", thousands(used)));
        self.screen
            .line("", &format!("order {}", short(placed.order)), "");

        let provider = &self.cast.provider;
        let text = format!("accepts with a bond of {}", self.token.show(self.deal.bond));
        let step = self.screen.begin(&provider.name, &text);
        let market = provider.market(&self.market, &self.devnet.ws_url()).await?;
        let approval = market
            .approve(self.token.address, self.deal.bond)
            .await
            .context("approving the bond")?;
        let receipt = send(market.escrow().accept(placed.terms.clone()))
            .await
            .context("accepting the order")?;
        let used = self.note(provider, "approves the bond", &approval)
            + self.note(provider, "accepts the order", &receipt);
        step.end(&text, &format!("{} gas", thousands(used)));
        Ok(placed)
    }

    /// The agent does the job; each of its steps is told.
    async fn work(&mut self, placed: &Placed) -> Result<End> {
        let result = self.dir.join("result.vouch");
        let provider = self.cast.provider.key();
        let [dataset, model] = self.brokers.as_slice() else {
            bail!("expected two brokers, found {}", self.brokers.len());
        };
        let mut agent = Agent::start(
            &self.settings.bin_dir,
            &self.dir,
            &AgentSetup {
                chain: &self.devnet,
                deployment: &self.dir.join("31337.json"),
                oracle: &self.oracles[0].url,
                brokers: [&dataset.url, &model.url],
                workload: &self.settings.workload,
                tamper: self.settings.tamper,
                key: &provider,
                order: placed.order,
                result: &result,
            },
        )?;
        let mut announced = Instant::now();
        while let Some(step) = agent.next().await? {
            if step.step == "measured" && self.settings.kill == Some(Kill::Agent) {
                self.tell(&step)?;
                agent.process.kill().await?;
                return self.expire(placed, "agent", agent).await;
            }
            // The work is done, but nobody takes its evidence.
            if step.step == "worked" && self.settings.kill == Some(Kill::Oracle) {
                self.tell(&step)?;
                for oracle in &mut self.oracles {
                    oracle.process.kill().await?;
                }
                return self.expire(placed, "oracle", agent).await;
            }
            if step.step == "evidence" {
                announced = Instant::now();
            }
            let Some(phase) = self.tell(&step)? else {
                continue;
            };
            let end = self.judged(placed, phase, announced).await?;
            match (phase, end) {
                // A refused session is ended with its agent: there is nothing to work for.
                (_, Some(End::Refunded(reason))) => return Ok(End::Refunded(reason)),
                (Phase::Finish, Some(end)) => {
                    agent.finish().await?;
                    self.search()?;
                    return Ok(end);
                }
                (Phase::Start, Some(end)) => return Ok(end),
                (Phase::Start, None) => match self.settings.kill {
                    Some(Kill::Broker) => {
                        for broker in &mut self.brokers {
                            broker.process.kill().await?;
                        }
                        return self.expire(placed, "brokers", agent).await;
                    }
                    Some(Kill::Agent | Kill::Oracle) | None => self.pass_time().await?,
                },
                (Phase::Finish, None) => break,
            }
        }
        Err(agent.process.failure("ended before the order did"))
    }

    /// Something failed in the middle: nothing is left behind, and after the deadline anybody refunds.
    async fn expire(&mut self, placed: &Placed, what: &str, agent: Agent) -> Result<End> {
        let lie = self.screen.style.yellow(format!("the {what} failed"));
        self.screen.line("", &lie, "killed");
        ensure!(
            !agent.end().await?,
            "the agent succeeded without the {what}"
        );
        self.screen
            .line("agent", "stops", "the order goes on to its deadline");
        self.search()?;
        let now = self.market.now().await?;
        let wait = placed.terms.deadlines.finish.saturating_sub(now) + 1;
        let provider = &self.market.provider;
        let _: serde_json::Value = provider
            .raw_request("evm_increaseTime".into(), [wait])
            .await
            .context("moving the chain's clock")?;
        let _: serde_json::Value = provider
            .raw_request("evm_mine".into(), ())
            .await
            .context("making a block")?;
        let buyer = &self.cast.buyer;
        let market = buyer.market(&self.market, &self.devnet.ws_url()).await?;
        let receipt = send(market.escrow().refund(placed.terms.clone()))
            .await
            .context("refunding the order")?;
        let used = self.note(buyer, "refunds the order", &receipt);
        self.screen.line(
            &buyer.name,
            "takes the refund after the deadline",
            &format!("{} gas", thousands(used)),
        );
        Ok(End::Expired)
    }

    /// No plaintext and no key is in any file or log.
    fn search(&self) -> Result<()> {
        let files = self.secrets.search(&self.dir)?;
        let text = "no key and no plaintext in any file or log";
        self.screen
            .line("", text, &format!("{} searched", count(files, "file")));
        Ok(())
    }

    /// Tells a step of the agent. Gives the phase whose evidence has just been announced.
    fn tell(&mut self, step: &AgentStep) -> Result<Option<Phase>> {
        let details = &step.details;
        let number = |name: &str| details[name].as_u64().unwrap_or_default();
        let text = |name: &str| details[name].as_str().unwrap_or_default().to_owned();
        let asset = || short(text("asset"));
        let phase = match details["phase"].as_str() {
            Some("start") => Some(Phase::Start),
            Some("finish") => Some(Phase::Finish),
            _ => None,
        };
        let line = |actor: &str, text: &str, note: &str| self.screen.line(actor, text, note);
        match step.step.as_str() {
            "session" => line("session", "makes its keys", ""),
            "evidence" => {
                let phase = phase.context("evidence without its phase")?;
                let quoted = format!("{phase} evidence of 1 GPU and the CPU");
                line(
                    "session",
                    &quoted,
                    &format!("{} bytes", thousands(number("bytes"))),
                );
                if let Some(tamper) = self
                    .settings
                    .tamper
                    .filter(|tamper| tamper.phase() == phase)
                {
                    line(
                        "",
                        &self.screen.style.yellow(format!("tampered: {tamper}")),
                        "",
                    );
                }
            }
            "announced" => {
                let phase = phase.context("an announcement without its phase")?;
                let what = format!("announces {phase} evidence {}", short(text("digest")));
                let gas = number("gas");
                line(
                    &self.cast.provider.name,
                    &what,
                    &format!("{} gas", thousands(gas)),
                );
                self.gas.push(Gas {
                    actor: self.cast.provider.name.clone(),
                    what: format!("announces {phase} evidence"),
                    gas,
                    tx: text("transaction")
                        .parse()
                        .context("a transaction's hash")?,
                });
                return Ok(Some(phase));
            }
            "fetched" => {
                let what = format!("fetches {}, encrypted", asset());
                line(
                    "session",
                    &what,
                    &format!("{} bytes", thousands(number("bytes"))),
                );
            }
            "key" => line(
                "broker",
                &format!("seals the key of {} to the session", asset()),
                "checked chain and evidence",
            ),
            "measured" => {
                let what = format!("measures {} records", thousands(number("records")));
                line(
                    "session",
                    &what,
                    &format!("{:.1} % well-formed", number("quality") as f64 / 10_000.0),
                );
            }
            "worked" => {
                let what = format!("trains, writes {} rows", thousands(number("rows")));
                line("session", &what, "in the WASI runtime");
            }
            "result" => {
                line(
                    "session",
                    "seals the result to the buyer",
                    &format!("{} bytes", thousands(number("bytes"))),
                );
            }
            "stopped" => line("session", &self.screen.style.red(text("reason")), ""),
            _ => {}
        }
        Ok(None)
    }

    /// The job takes a while on the chain's clock.
    async fn pass_time(&mut self) -> Result<()> {
        let _: serde_json::Value = self
            .market
            .provider
            .raw_request("evm_increaseTime".into(), [market::JOB_SECONDS])
            .await
            .context("moving the chain's clock")?;
        let text = format!("{} minutes pass", market::JOB_SECONDS / 60);
        self.screen.line("", &text, "on the chain's clock");
        Ok(())
    }

    /// Waits for the verdict of a phase. Returns how the order ended, if it did.
    async fn judged(
        &mut self,
        placed: &Placed,
        phase: Phase,
        announced: Instant,
    ) -> Result<Option<End>> {
        let step = self
            .screen
            .begin("oracle", "verifies chains, signatures and bindings");
        let (log, event) = self.verdict(placed.order, phase).await?;
        let took = announced.elapsed();
        self.verdicts.push((phase, took));
        let tx = log
            .transaction_hash
            .context("a log without its transaction")?;
        let verdict = self.market.provider.get_transaction_receipt(tx).await?;
        let verdict = verdict.with_context(|| format!("transaction {tx}: no receipt"))?;
        self.signed = self.signers(&verdict);
        let (text, what, end) = match event {
            IEscrowEvents::OrderStarted(_) => (
                "accepts: the order runs".to_owned(),
                "brings the start verdict",
                None,
            ),
            IEscrowEvents::OrderSettled(event) => (
                match self.settings.poor_dataset {
                    false => "accepts: everybody is paid".to_owned(),
                    true => "accepts: paid are all but the dataset's owner".to_owned(),
                },
                "brings the finish verdict, pays",
                Some(End::Settled(Box::new(event.receipt))),
            ),
            IEscrowEvents::OrderRefunded(event) => {
                let reason = Reason::from_code(event.reason)
                    .with_context(|| format!("reason {} is in no table", event.reason))?;
                (
                    format!("refuses: {reason}"),
                    "brings a refusal, refunds",
                    Some(End::Refunded(reason)),
                )
            }
            _ => bail!("order {}: an event that is no verdict", placed.order),
        };
        self.gas.push(Gas {
            actor: "oracle".into(),
            what: what.into(),
            gas: verdict.gas_used,
            tx,
        });
        step.end(
            &text,
            &format!("{}, {} gas", seconds(took), thousands(verdict.gas_used)),
        );
        Ok(end)
    }

    /// The operators whose signatures a verdict's transaction brought.
    fn signers(&self, receipt: &TransactionReceipt) -> Vec<usize> {
        let admitted = receipt
            .logs()
            .iter()
            .filter(|log| log.address() == self.market.addresses.attestation)
            .find_map(|log| IAttestation::VerdictAdmitted::decode_log(&log.inner).ok());
        let signers = admitted.map(|log| log.data.signers).unwrap_or_default();
        let operators = self.cast.operators.iter().enumerate();
        let signed = operators.filter(|(_, actor)| signers.contains(&actor.address()));
        signed.map(|(i, _)| i).collect()
    }

    /// The buyer opens the result; nobody else can.
    async fn open_result(&self, placed: &Placed) -> Result<job::Metrics> {
        let sealed = self.dir.join("result.vouch");
        let other = KeyPair::generate()?;
        ensure!(
            job::open_result(&sealed, &other, placed.order, &self.dir).is_err(),
            "result: somebody else's key opened it"
        );
        let (metrics, model) =
            job::open_result(&sealed, &self.result_key, placed.order, &self.dir)?;
        let text = format!(
            "opens the model: right on {:.1} % of {} unseen records",
            100.0 * metrics.accuracy,
            metrics.tried
        );
        self.screen.line(
            &self.cast.buyer.name,
            &text,
            &format!("{} bytes", thousands(model)),
        );
        for (broker, owner) in self
            .brokers
            .iter()
            .zip([&self.cast.dataset, &self.cast.model])
        {
            let uses: Vec<serde_json::Value> =
                serde_json::from_str(&broker.ask(&["reconcile"]).await?)?;
            let log = broker.ask(&["log"]).await?;
            let released = log
                .lines()
                .filter(|line| line.contains("  released on evidence "))
                .count();
            ensure!(
                uses.len() == 1 && released == 1,
                "{}: expected one use and one release, found {} and {released}",
                owner.name,
                uses.len()
            );
            self.screen.line(
                &owner.name,
                "sees one use, one key released, one receipt",
                "its broker's log and the chain",
            );
        }
        Ok(metrics)
    }

    /// Waits for what a verdict of `phase` does to the order.
    async fn verdict(&mut self, order: B256, phase: Phase) -> Result<(Log, IEscrowEvents)> {
        let begun = Instant::now();
        loop {
            for log in self.market.history(order).await? {
                let Ok(event) = IEscrowEvents::decode_log(&log.inner) else {
                    continue;
                };
                match event.data {
                    IEscrowEvents::OrderStarted(_) if phase == Phase::Finish => {}
                    event @ (IEscrowEvents::OrderStarted(_)
                    | IEscrowEvents::OrderSettled(_)
                    | IEscrowEvents::OrderRefunded(_)) => return Ok((log, event)),
                    _ => {}
                }
            }
            for oracle in &mut self.oracles {
                oracle.process.ensure_running()?;
            }
            self.devnet.process.ensure_running()?;
            if begun.elapsed() > VERDICT_LIMIT {
                let what = format!("brought no {phase} verdict within {VERDICT_LIMIT:?}");
                return Err(self.oracles[0].process.failure(&what));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Compares what everybody has with what the terms say.
    async fn close(
        self,
        placed: Placed,
        end: End,
        before: Vec<U256>,
        metrics: Option<job::Metrics>,
    ) -> Result<Outcome> {
        let dataset_paid = !self.settings.poor_dataset;
        let ending = match &end {
            End::Settled(receipt) => {
                let record = self.market.record(placed.order).await?;
                let hash = crate::receipt::hash(receipt);
                ensure!(
                    record.commitment == hash,
                    "receipt: the chain keeps {}, its event says {hash}",
                    record.commitment
                );
                Ending::Settled {
                    seconds: self.attested_seconds(&placed).await?,
                    dataset: dataset_paid,
                }
            }
            End::Expired => Ending::Expired,
            End::Refunded(reason) => Ending::Refunded {
                forged: reason.class() == vouch_protocol::Class::Forged,
            },
        };
        let expected = self.deal.changes(ending, &self.signed).all();
        let after = self.balances().await?;
        let balances = self
            .cast
            .paid()
            .zip(before.into_iter().zip(after).zip(expected))
            .map(|(actor, ((before, after), expected))| Balance {
                actor: actor.name.clone(),
                address: actor.address(),
                before,
                after,
                expected,
            })
            .collect();
        let addresses = &self.market.addresses;
        let held = self
            .market
            .balance(self.token.address, addresses.escrow)
            .await?;
        let owed = self
            .market
            .escrow()
            .owed(self.token.address)
            .call()
            .await
            .map_err(Error::from)?;
        Ok(Outcome {
            order: placed.order,
            end,
            token: self.token,
            balances,
            escrow: (held, owed),
            gas: self.gas,
            verdicts: self.verdicts,
            metrics,
            dataset_paid,
        })
    }

    /// Seconds between the two announcements: what compute is paid for. From the blocks, not from
    /// the verdicts.
    async fn attested_seconds(&self, placed: &Placed) -> Result<u64> {
        let mut times = Vec::new();
        for log in self.market.history(placed.order).await? {
            let Ok(event) = IEscrowEvents::decode_log(&log.inner) else {
                continue;
            };
            if !matches!(event.data, IEscrowEvents::EvidenceSubmitted(_)) {
                continue;
            }
            let number = log.block_number.context("a log without its block")?;
            let block = self
                .market
                .provider
                .get_block_by_number(number.into())
                .await?;
            times.push(block.ok_or(Error::BlockMissing(number))?.header.timestamp);
        }
        let [start, finish] = times.as_slice() else {
            bail!(
                "order {}: expected two announcements, found {}",
                placed.order,
                times.len()
            );
        };
        Ok(finish - start)
    }

    /// What everybody has, credits included.
    async fn balances(&self) -> Result<Vec<U256>> {
        let mut all = Vec::new();
        for actor in self.cast.paid() {
            let (address, token) = (actor.address(), self.token.address);
            let credit = self.market.escrow().creditOf(address, token).call().await;
            let credit = credit.map_err(Error::from)?;
            all.push(self.market.balance(token, address).await? + credit);
        }
        Ok(all)
    }

    /// Notes a transaction's gas.
    fn note(&mut self, actor: &Actor, what: &str, receipt: &TransactionReceipt) -> u64 {
        self.gas.push(Gas {
            actor: actor.name.clone(),
            what: what.to_owned(),
            gas: receipt.gas_used,
            tx: receipt.transaction_hash,
        });
        receipt.gas_used
    }
}

fn deployment_gas(deployment: &vouch_client::Deployment, gas: Vec<(&str, u64)>) -> Vec<Gas> {
    gas.into_iter()
        .filter_map(|(name, gas)| {
            let entry = deployment
                .contracts
                .iter()
                .find(|(contract, _)| contract.name() == name)?;
            let what = format!("deploys {name}");
            Some(Gas {
                actor: "governor".into(),
                what,
                gas,
                tx: entry.1.tx,
            })
        })
        .collect()
}

fn message(failure: crate::output::Failure) -> anyhow::Error {
    match failure {
        crate::output::Failure::Usage(error) | crate::output::Failure::Failed(error) => error,
    }
}
