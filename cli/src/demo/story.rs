//! The story: one job from its offers to its payment or refund.

mod api;
mod offers;
mod settlement;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{Address, B256, I256, TxHash, U256};
use alloy::rpc::types::TransactionReceipt;
use anyhow::{Context, Result};
use vouch_abi::Receipt;
use vouch_client::deploy::{Files, Setup, Step, deploy};
use vouch_client::{Error, Market, connect};
use vouch_content::seal::KeyPair;
use vouch_protocol::{Phase, Reason};
use vouch_simulator::Tamper;

use super::cast::{Actor, Cast};
use super::children::{Broker, Devnet, Oracle, OracleSetup};
use super::ledger::Deal;
use super::screen::{Screen, short, thousands};
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
    /// A dataset whose owner lets no output leave but API answers.
    pub(super) api_only: bool,
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
    /// What the model behind the API answered.
    pub(super) answers: Vec<String>,
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
    /// What the model behind the API answered.
    answers: Vec<String>,
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
        End::Settled(receipt) => {
            screen.heading("The result");
            let metrics = match settings.api_only {
                false => Some(stage.open_result(&placed)?),
                true => stage.no_result()?,
            };
            stage.prove(receipt).await?;
            stage.owners().await?;
            metrics
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
            deployer: cast.governor.address(),
            owner: cast.governor.address(),
            delay: crate::deploy::DEVELOPMENT_DELAY,
            bond_delay: crate::deploy::DEVELOPMENT_DELAY,
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
            answers: Vec::new(),
            signed: Vec::new(),
        })
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
