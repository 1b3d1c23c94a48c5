//! One buyer and one provider with a machine, who do one order after the other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{B256, U256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, bail};
use vouch_abi::{Fee, LegRequest};
use vouch_client::order::{Schedule, Wish};
use vouch_client::{Market, Placed, State, send};
use vouch_evidence::bundle::Bundle;
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Counters, DatasetMeasure, Phase, Statement};
use vouch_simulator::{Machine, Options, Session, Tamper, Work};

use super::fair::INFER;

/// How often the chain is asked how an order stands.
const POLL: Duration = Duration::from_millis(25);
/// Every so many orders the provider lies.
const LIE_EVERY: usize = 7;

/// The lane.
#[derive(Debug)]
pub struct Lane {
    index: usize,
    buyer: Market,
    provider: Market,
    legs: Vec<LegRequest>,
    bundles: PathBuf,
    machine: Machine,
    orders: usize,
    placed: usize,
    /// The buyer's key.
    pub buyer_key: PrivateKeySigner,
    /// The provider's key.
    pub provider_key: PrivateKeySigner,
    /// How long the oracle may take for a verdict.
    pub patience: Duration,
    /// Seconds each step of an order may take on the chain's clock.
    pub deadline: Duration,
}

/// An order that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The order.
    pub order: B256,
    /// Paid or refunded.
    pub state: State,
    /// What the evidence deserved.
    pub expected: State,
    /// From evidence announced to verdict on chain, for the last phase.
    pub took: Duration,
}

impl Lane {
    pub(super) fn new(
        index: usize,
        (buyer, buyer_key): (Market, PrivateKeySigner),
        (provider, provider_key): (Market, PrivateKeySigner),
        legs: Vec<LegRequest>,
        bundles: PathBuf,
    ) -> Self {
        Self {
            buyer_key,
            provider_key,
            index,
            buyer,
            provider,
            legs,
            bundles,
            machine: Machine::new(format!("lane {index}").as_bytes()),
            orders: 0,
            placed: 0,
            patience: Duration::from_secs(120),
            deadline: Duration::from_secs(100_000),
        }
    }

    /// What evidence is about.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Does one order from its beginning to its end. Now and then the provider lies.
    pub async fn order(&mut self) -> Result<Done> {
        self.orders += 1;
        let tamper = (self.orders % LIE_EVERY == LIE_EVERY - 1).then_some(Tamper::GpuSignature);
        self.order_with(tamper).await
    }

    /// Does one order with evidence that is honest, or spoiled at the start.
    pub async fn order_with(&mut self, tamper: Option<Tamper>) -> Result<Done> {
        let placed = self.placed().await?;
        let session = Session::generate();
        let inputs = inputs(&placed);
        let challenge = self.buyer.challenge(placed.order, Phase::Start, 0).await?;
        let start = session.start(challenge, inputs);
        self.announce(&placed, Phase::Start, &start, tamper, B256::ZERO)
            .await?;
        let announced = Instant::now();
        let state = self.decided(&placed, Phase::Start).await?;
        if tamper.is_some() || state != State::Running {
            return Ok(Done {
                order: placed.order,
                state,
                expected: match tamper {
                    Some(_) => State::Refunded,
                    None => State::Settled,
                },
                took: announced.elapsed(),
            });
        }
        let work = Work {
            outputs: B256::repeat_byte(9),
            counters: Counters {
                output_bytes: 10,
                output_rows: 1,
            },
            datasets: vec![DatasetMeasure {
                records: 1,
                bytes: 1,
                schema: B256::ZERO,
                quality: 1_000_000,
            }],
        };
        let outputs = work.outputs;
        let challenge = self.buyer.challenge(placed.order, Phase::Finish, 0).await?;
        let finish = session.finish(challenge, inputs, work);
        self.announce(&placed, Phase::Finish, &finish, None, outputs)
            .await?;
        let announced = Instant::now();
        let state = self.decided(&placed, Phase::Finish).await?;
        Ok(Done {
            order: placed.order,
            state,
            expected: State::Settled,
            took: announced.elapsed(),
        })
    }

    /// Places an order and has it accepted.
    pub async fn placed(&mut self) -> Result<Placed> {
        let step = self.deadline;
        // Two orders of one second differ in nothing else.
        self.placed += 1;
        let mut salt = B256::with_last_byte(self.index as u8);
        salt[..8].copy_from_slice(&(self.placed as u64).to_be_bytes());
        let wish = Wish {
            purpose: INFER,
            max_duration: 100_000,
            result_key: B256::repeat_byte(7),
            requirements: Default::default(),
            schedule: Schedule {
                accept: step,
                start: step,
                finish: step,
                settle: step,
            },
            challenge_window: 0,
            bond: U256::from(500),
            oracle_fee: U256::from(51),
            max_protocol_fee: 0,
            marketplace_fee: Fee::default(),
            salt,
        };
        let request = wish.request(self.legs.clone(), self.buyer.now().await?);
        let (placed, _) = self.buyer.place(request).await.context("placing")?;
        send(self.provider.escrow().accept(placed.terms.clone()))
            .await
            .context("accepting")?;
        Ok(placed)
    }

    /// Leaves evidence where operators look for it, and names it on chain.
    pub async fn announce(
        &self,
        placed: &Placed,
        phase: Phase,
        statement: &Statement,
        tamper: Option<Tamper>,
        outputs: B256,
    ) -> Result<B256> {
        let options = Options {
            tamper,
            ..Options::default()
        };
        let json = self.machine.bundle(statement, &options).to_json();
        let digest = Bundle::digest(&json);
        let path = self.bundles.join(hex::encode(digest));
        let draft = path.with_extension("tmp");
        std::fs::write(&draft, json).context("writing a bundle")?;
        std::fs::rename(&draft, &path).context("writing a bundle")?;
        let terms = placed.terms.clone();
        let uri = String::new();
        let escrow = self.provider.escrow();
        send(escrow.submitEvidence(terms, phase as u8, 0, digest, outputs, uri))
            .await
            .context("announcing")?;
        Ok(digest)
    }

    /// Waits until the phase is decided.
    pub async fn decided(&self, placed: &Placed, phase: Phase) -> Result<State> {
        let begun = Instant::now();
        loop {
            let state = self.buyer.record(placed.order).await?.state;
            if state != State::before(phase) {
                return Ok(state);
            }
            if begun.elapsed() > self.patience {
                bail!(
                    "order {}: no {phase} verdict within {:?}",
                    placed.order,
                    self.patience
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// What a session of an order is given.
pub fn inputs(placed: &Placed) -> B256 {
    let legs = placed.terms.legs.iter().filter(|leg| leg.kind <= 2);
    inputs_digest(legs.map(|leg| &leg.digest))
}
