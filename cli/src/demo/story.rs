//! The story: one job from its offers to its payment or refund.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, I256, TxHash, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{Log, TransactionReceipt};
use alloy::sol_types::{SolEvent, SolEventInterface};
use anyhow::{Context, Result, anyhow, bail, ensure};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::{IAttestation, Receipt};
use vouch_client::deploy::{Files, Setup, Step, deploy};
use vouch_client::{Error, Market, Placed, connect, send};
use vouch_evidence::bundle::Bundle;
use vouch_protocol::{Phase, Reason, Statement};
use vouch_simulator::{Machine, Options, Session, Tamper};

use super::cast::{Actor, Cast};
use super::children::{Devnet, Oracle, OracleSetup};
use super::ledger::{Deal, Ending};
use super::screen::{Screen, seconds, short, thousands};
use super::{job, market};
use crate::chain::Token;
use crate::deploy::default_quorum;
use crate::order::put_bundle;
use crate::output::count;

/// How long the oracle may take for a verdict.
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// What the demo is started with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) bin_dir: PathBuf,
    pub(super) wasm_dir: PathBuf,
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
    machine: Machine,
    session: Session,
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
    let outcome = stage.close(placed, end, before).await?;
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
        let machine = Machine::new(b"vouch demo");
        let session = Session::generate();
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
            machine,
            session,
            gas,
            verdicts,
            signed: Vec::new(),
        })
    }

    /// The owners and the provider publish policies and offers.
    async fn publish(&mut self) -> Result<[market::Ware; 4]> {
        let workload =
            vouch_protocol::statement::workload_digest(&vouch_simulator::default_measurement());
        let now = self.market.now().await?;
        let wares = market::wares(self.cast, &self.deal, &self.token, now, workload);
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
        let result_key = Session::generate().encryption_key();
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

    /// The session is attested, works, and is attested again.
    async fn work(&mut self, placed: &Placed) -> Result<End> {
        let inputs = crate::simulate::inputs(placed);
        let challenge = self.market.challenge(placed.order, Phase::Start, 0).await?;
        let start = self.session.start(challenge, inputs);
        if let Some(end) = self
            .attest(placed, Phase::Start, &start, B256::ZERO)
            .await?
        {
            return Ok(end);
        }
        let step = self.screen.begin("session", "works");
        let work = job::run(&job::dataset());
        let learned = format!(
            "reads {} records, writes {} rows in {} minutes",
            thousands(work.datasets[0].records),
            work.counters.output_rows,
            market::JOB_SECONDS / 60
        );
        let _: serde_json::Value = self
            .market
            .provider
            .raw_request("evm_increaseTime".into(), [market::JOB_SECONDS])
            .await
            .context("moving the chain's clock")?;
        step.end(&learned, "on the chain's clock");
        let challenge = self
            .market
            .challenge(placed.order, Phase::Finish, 0)
            .await?;
        let delivered = work.outputs;
        let finish = self.session.finish(challenge, inputs, work);
        self.attest(placed, Phase::Finish, &finish, delivered)
            .await?
            .ok_or_else(|| {
                anyhow!(
                    "order {}: the finish verdict ended it in neither payment nor refund",
                    placed.order
                )
            })
    }

    /// Makes the evidence of a phase, announces it, and waits for the verdict. Returns how the order
    /// ended, if it did.
    async fn attest(
        &mut self,
        placed: &Placed,
        phase: Phase,
        statement: &Statement,
        outputs: B256,
    ) -> Result<Option<End>> {
        let tamper = self
            .settings
            .tamper
            .filter(|tamper| tamper.phase() == phase);
        let options = Options {
            tamper,
            ..Options::default()
        };
        let step = self
            .screen
            .begin("session", "has the hardware vouch for it");
        let json = self.machine.bundle(statement, &options).to_json();
        let digest = Bundle::digest(&json);
        let quoted = format!(
            "{phase} evidence of {} and the CPU",
            count(self.machine.gpus().len(), "GPU")
        );
        step.end(&quoted, &format!("{} bytes", thousands(json.len() as u64)));
        if let Some(tamper) = tamper {
            let lie = self.screen.style.yellow(format!("tampered: {tamper}"));
            self.screen.line("", &lie, "");
        }

        let provider = &self.cast.provider;
        let text = format!("announces {phase} evidence {}", short(digest));
        let step = self.screen.begin(&provider.name, &text);
        let uri = put_bundle(&self.oracles[0].url, digest, json)
            .await
            .map_err(message)?;
        let market = provider.market(&self.market, &self.devnet.ws_url()).await?;
        let escrow = market.escrow();
        let call =
            escrow.submitEvidence(placed.terms.clone(), phase as u8, 0, digest, outputs, uri);
        let announced = Instant::now();
        let receipt = send(call).await.context("announcing evidence")?;
        let used = self.note(provider, &format!("announces {phase} evidence"), &receipt);
        step.end(&text, &format!("{} gas", thousands(used)));

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
                "accepts: everybody is paid".to_owned(),
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
    async fn close(self, placed: Placed, end: End, before: Vec<U256>) -> Result<Outcome> {
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
                }
            }
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
