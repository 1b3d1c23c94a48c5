//! Last act: what the buyer opens, what the owners see, and what everybody has.

use alloy::primitives::{B256, U256};
use alloy::providers::Provider;
use alloy::sol_types::SolEventInterface;
use anyhow::{Context, Result, anyhow, bail, ensure};
use vouch_abi::IEscrow::IEscrowEvents;
use vouch_abi::Receipt;
use vouch_client::{Error, Placed};
use vouch_content::seal::KeyPair;

use super::super::job;
use super::super::ledger::Ending;
use super::super::screen::{short, thousands};
use super::{Balance, End, Outcome, Stage, message};
use crate::asset::uses;
use crate::call::attested_key;
use crate::output::count;
use crate::receipt::proof;

impl Stage<'_> {
    /// The buyer opens the result; nobody else can.
    pub(super) fn open_result(&self, placed: &Placed) -> Result<job::Metrics> {
        let sealed = self.dir.join("result.vouch");
        let other = KeyPair::generate()?;
        ensure!(
            job::open_result(&sealed, &other, placed.order, &self.dir).is_err(),
            "result: somebody else's key opened it"
        );
        let (metrics, model) =
            job::open_result(&sealed, &self.result_key, placed.order, &self.dir)?;
        ensure!(
            self.secrets.knows(&model),
            "result: another model than the one that files were searched for"
        );
        let text = format!(
            "opens the model: right on {:.1} % of {} unseen records",
            100.0 * metrics.accuracy,
            metrics.tried
        );
        self.screen.line(
            &self.cast.buyer.name,
            &text,
            &format!("{} bytes", thousands(model.len() as u64)),
        );
        Ok(metrics)
    }

    /// Nothing but answers left the session.
    pub(super) fn no_result(&self) -> Result<Option<job::Metrics>> {
        let sealed = self.dir.join("result.vouch");
        ensure!(
            !sealed.exists(),
            "result: expected none, for the dataset's policy is API only"
        );
        let note = "the dataset's policy: API only";
        let buyer = &self.cast.buyer.name;
        self.screen
            .line(buyer, "has its answers, and no model", note);
        Ok(None)
    }

    /// Anybody checks the receipt against chain and evidence.
    pub(super) async fn prove(&self, receipt: &Receipt) -> Result<()> {
        let anchors = crate::verify::simulator_anchors().map_err(|error| anyhow!("{error}"))?;
        let oracle = &self.oracles[0].url;
        let proof = proof::check(&self.market, receipt, oracle, &anchors).await?;
        let mut forged = receipt.clone();
        forged.outputs = B256::repeat_byte(9);
        let refused = proof::check(&self.market, &forged, oracle, &anchors).await;
        ensure!(
            refused.is_err(),
            "receipt: other outputs were proved as well"
        );
        let order = receipt.order;
        let refused = attested_key(&self.market, order, oracle, &anchors).await;
        ensure!(
            refused.is_err(),
            "API: an order that does not run was called"
        );
        let what = match receipt.outputs.is_zero() {
            true => "these answers".to_owned(),
            false => format!("result {}", short(receipt.outputs)),
        };
        let text = format!("verifies the receipt: {what} came from these assets");
        let gpus = count(proof.claims.gpus.len(), "GPU");
        let note = format!("{} and {gpus} vouch", proof.claims.cpu.kind().name());
        self.screen.line("anybody", &text, &note);
        Ok(())
    }

    /// The owners list the uses of their assets, and compare them with their brokers' logs.
    pub(super) async fn owners(&self) -> Result<()> {
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
            let used = uses::of(&self.market, broker.asset)
                .await
                .map_err(message)?;
            let [used] = used.as_slice() else {
                bail!(
                    "{}: expected one use on chain, found {}",
                    owner.name,
                    used.len()
                );
            };
            let paid = used.paid.context("a use without its receipt")?;
            let paid = used.token.show(paid);
            let text = format!("sees one use, one key released, one receipt over {paid}");
            self.screen
                .line(&owner.name, &text, "its broker's log and the chain");
        }
        Ok(())
    }

    /// Compares what everybody has with what the terms say.
    pub(super) async fn close(
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
            answers: self.answers,
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
}
