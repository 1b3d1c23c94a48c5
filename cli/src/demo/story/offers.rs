//! First act: the owners encrypt and offer, the buyer places an order, the provider accepts it.

use alloy::primitives::B256;
use anyhow::{Context, Result};
use vouch_client::{Placed, send};
use vouch_content::{DEFAULT_CHUNK_LEN, pack_reader, publish, sha256};
use vouch_protocol::statement::workload_digest;
use vouch_simulator::guest_measurement;

use super::super::cast::Actor;
use super::super::children::{Broker, BrokerSetup};
use super::super::screen::{short, thousands};
use super::super::{job, market};
use super::Stage;
use crate::output::count;

impl Stage<'_> {
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
                owner: owner.address(),
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
    pub(super) async fn publish(&mut self) -> Result<[market::Ware; 4]> {
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
        self.secrets.weights(&job::weights(&dataset)?);
        if poor {
            let lie = self.screen.style.yellow("every fourth record is spoilt");
            self.screen.line("", &lie, "");
        }
        let now = self.market.now().await?;
        let wares = market::wares(
            self.cast,
            &self.deal,
            &self.token,
            now,
            assets,
            self.settings.api_only,
        );
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
    pub(super) async fn place(&mut self, wares: &[market::Ware; 4]) -> Result<Placed> {
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
}
