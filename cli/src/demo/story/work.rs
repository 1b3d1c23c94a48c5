//! Second act: the agent does the job, the oracle judges it, and now and then something fails.

use std::time::Instant;

use alloy::primitives::B256;
use alloy::providers::Provider;
use alloy::rpc::types::{Log, TransactionReceipt};
use alloy::sol_types::{SolEvent, SolEventInterface};
use anyhow::{Context, Result, bail, ensure};
use vouch_abi::IAttestation;
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_client::{Placed, send};
use vouch_protocol::{Phase, Reason};

use super::super::children::{Agent, AgentSetup, AgentStep};
use super::super::market;
use super::super::screen::{seconds, short, thousands};
use super::{End, Gas, Kill, POLL, Stage, VERDICT_LIMIT};
use crate::output::count;

impl Stage<'_> {
    /// The agent does the job; each of its steps is told.
    pub(super) async fn work(&mut self, placed: &Placed) -> Result<End> {
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
                // One that is to fail before its end has nobody to call it.
                serve: self.settings.kill.is_none(),
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
            if step.step == "serving" {
                self.call(placed, &step).await?;
            }
            let Some(phase) = self.tell(&step)? else {
                continue;
            };
            if phase == Phase::Heartbeat {
                // Work goes on, whatever the operators make of it.
                continue;
            }
            let end = self.judged(placed, phase, announced).await?;
            match (phase, end) {
                // A refused session is ended with its agent: there is nothing to work for.
                (_, Some(End::Refunded(reason))) => return Ok(End::Refunded(reason)),
                (Phase::Finish, Some(end)) => {
                    agent.finish().await?;
                    self.search()?;
                    return Ok(end);
                }
                (Phase::Start | Phase::Heartbeat, Some(end)) => return Ok(end),
                (Phase::Start, None) => match self.settings.kill {
                    Some(Kill::Broker) => {
                        for broker in &mut self.brokers {
                            broker.process.kill().await?;
                        }
                        return self.expire(placed, "brokers", agent).await;
                    }
                    Some(Kill::Agent | Kill::Oracle) | None => self.pass_time().await?,
                },
                (Phase::Finish | Phase::Heartbeat, None) => break,
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

    /// No plaintext, no key and nothing of the trained model is in any file or log.
    fn search(&self) -> Result<()> {
        let files = self.secrets.search(&self.dir)?;
        let text = "no key, plaintext or trained model in any file or log";
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
                line(
                    "session",
                    &what,
                    &format!("in the {} runtime", text("runtime")),
                );
            }
            "served" => {
                let what = format!("answered {} bytes and no more", thousands(number("bytes")));
                line("session", &what, "counted, and in the evidence");
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
}
