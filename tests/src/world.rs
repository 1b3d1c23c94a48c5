//! A market on a chain of its own, with everyone who takes part in it.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use anyhow::{Context, Result, bail};
use vouch_abi::{Fee, LegRequest, Offer, OrderRequest, Policy, Verdict};
use vouch_client::deploy::{Files, Setup, deploy};
use vouch_client::order::{Schedule, Wish, leg, price};
use vouch_client::{Deployment, Error, Market, Placed, Record, connect, send, verdict};
use vouch_protocol::statement::inputs_digest;
use vouch_protocol::{Clause, Clauses, Phase, Reason};

use crate::node::Node;
use crate::paths;
use crate::solidity;

/// The development mnemonic.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Price of the dataset.
pub const DATASET_PRICE: u64 = 1_000;
/// Price of the model.
pub const MODEL_PRICE: u64 = 2_000;
/// Price of the compute, per second.
pub const COMPUTE_RATE: u64 = 3;
/// Longest time of an order, in seconds.
pub const MAX_DURATION: u32 = 600;
/// What the operators share.
pub const ORACLE_FEE: u64 = 51;
/// What the provider locks.
pub const BOND: u64 = 500;
/// What the buyer locks: prices, the longest time, and the fee.
pub const LOCKED: u64 =
    DATASET_PRICE + MODEL_PRICE + COMPUTE_RATE * MAX_DURATION as u64 + ORACLE_FEE;
/// What everyone has to begin with.
pub const MINTED: u64 = 1_000_000;

/// Somebody with a key, and the market as they see it.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The key.
    pub signer: PrivateKeySigner,
    /// The market through a provider that signs with it.
    pub market: Market,
}

impl Actor {
    /// Where the actor's tokens are.
    pub fn address(&self) -> Address {
        self.signer.address()
    }
}

/// Everyone, and the chain they share.
#[derive(Debug)]
pub struct World {
    /// The chain; ends with the world.
    pub node: Node,
    /// The contracts on it.
    pub deployment: Deployment,
    /// Deployed the contracts.
    pub governor: Actor,
    /// Sells the dataset.
    pub dataset_owner: Actor,
    /// Sells the model.
    pub model_owner: Actor,
    /// Sells compute.
    pub provider: Actor,
    /// Pays.
    pub buyer: Actor,
    /// Has no part in any order.
    pub stranger: Actor,
    /// Sign verdicts.
    pub operators: Vec<Actor>,
    /// The three published offers.
    pub legs: Vec<LegRequest>,
    orders: u8,
}

/// Dataset and model may be used for inference on at least one GPU that cannot be debugged.
pub fn policy() -> Policy {
    let required = Clauses::NONE.with(Clause::DebugOff).with(Clause::GpuCount);
    let required = required.with(Clause::Purposes).with(Clause::MaxDuration);
    Policy {
        any: Clauses::POLICY.without(required).0,
        minGpus: 1,
        purposes: INFER,
        maxDuration: 3600,
        ..Default::default()
    }
}

/// The purpose "infer".
pub const INFER: u8 = 1 << 2;

/// How a world differs from the ordinary one.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many of the three operators must agree.
    pub quorum: u16,
    /// Pay in a token of the EVM, `Coin` or `Trouble` of `tests/solidity`, instead of the market's own test token.
    pub coin: Option<&'static str>,
    /// Whether everyone holds tokens from the beginning, or only those who have to pay.
    pub everyone_holds: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quorum: 2,
            coin: None,
            everyone_holds: true,
        }
    }
}

impl World {
    /// A chain with the contracts, offers published, everyone with tokens.
    pub async fn new() -> Result<Self> {
        Self::with(Options::default()).await
    }

    /// The same with other options.
    pub async fn with(options: Options) -> Result<Self> {
        let node = Node::devnet(&[]).await?;
        let signer = |index: u32| -> Result<PrivateKeySigner> {
            Ok(MnemonicBuilder::from_phrase(MNEMONIC)
                .index(index)?
                .build()?)
        };
        let url = node.url();
        let governor = connect(&url, Some(signer(0)?)).await?;
        let operators = [signer(5)?, signer(6)?, signer(7)?];
        let files = tempfile::tempdir()?;
        let setup = Setup {
            deployer: signer(0)?.address(),
            owner: signer(0)?.address(),
            delay: 0,
            bond_delay: 3_600,
            operators: operators.iter().map(PrivateKeySigner::address).collect(),
            quorum: options.quorum,
            fee: U256::from(10),
            token_name: "Test Dollar".into(),
            token_symbol: "TUSD".into(),
        };
        let files = Files {
            wasm: paths::wasm_dir()?,
            cache: Some(paths::target()?.join("programs")),
            deployment: files.path().join("31337.json"),
        };
        let deployment = deploy(&governor, &setup, &files, |_| ())
            .await
            .context("deploying")?;
        let mut market = Market::open(&deployment, governor.clone()).await?;
        if let Some(coin) = options.coin {
            let file = format!("{coin}.sol");
            market.addresses.token = solidity::create(&governor, &file, coin).await?;
        }
        let mut actors = Vec::new();
        for index in 0..8 {
            let signer = signer(index)?;
            let provider = connect(&url, Some(signer.clone())).await?;
            actors.push(Actor {
                signer,
                market: market.with(provider),
            });
        }
        let operators = actors.split_off(5);
        let [governor, dataset_owner, model_owner, provider, buyer] =
            actors.try_into().unwrap_or_else(|actors: Vec<Actor>| {
                panic!("expected five actors, found {}", actors.len())
            });
        let stranger = signer(8)?;
        let stranger = Actor {
            market: market.with(connect(&url, Some(stranger.clone())).await?),
            signer: stranger,
        };
        let mut world = Self {
            node,
            deployment,
            governor,
            dataset_owner,
            model_owner,
            provider,
            buyer,
            stranger,
            operators,
            legs: Vec::new(),
            orders: 0,
        };
        world.fund(options.everyone_holds).await?;
        world.publish().await?;
        Ok(world)
    }

    async fn fund(&self, everyone: bool) -> Result<()> {
        for actor in self.everyone().into_values() {
            let pays = [self.buyer.address(), self.provider.address()].contains(&actor.address());
            if everyone || pays {
                self.governor
                    .market
                    .mint(actor.address(), U256::from(MINTED))
                    .await?;
            }
            if pays {
                actor
                    .market
                    .approve(actor.market.addresses.token, U256::MAX)
                    .await?;
            }
        }
        Ok(())
    }

    async fn publish(&mut self) -> Result<()> {
        let any = Policy {
            any: Clauses::POLICY.0,
            ..Default::default()
        };
        let token = self.governor.market.addresses.token;
        let shapes = [
            (self.dataset_owner.clone(), 1, DATASET_PRICE, policy()),
            (self.model_owner.clone(), 2, MODEL_PRICE, policy()),
            (self.provider.clone(), 4, COMPUTE_RATE, any),
        ];
        for (owner, kind, price, policy) in shapes {
            let digest = if kind == 4 {
                B256::ZERO
            } else {
                B256::repeat_byte(kind)
            };
            let offer = Offer {
                owner: owner.address(),
                kind,
                digest,
                metadata: B256::repeat_byte(0xaa),
                token,
                price: U256::from(price),
                policy: vouch_abi::id::policy_id(&policy),
                volume: 1_000,
                openUntil: u64::MAX,
                shared: false,
                lineage: B256::ZERO,
                salt: B256::ZERO,
            };
            let uri = "ipfs://description".to_owned();
            send(owner.market.offers().publish(offer.clone(), uri))
                .await
                .context("publishing")?;
            self.legs.push(leg(offer, policy));
        }
        Ok(())
    }

    /// Everyone who may hold tokens, by name.
    pub fn everyone(&self) -> BTreeMap<&'static str, &Actor> {
        BTreeMap::from([
            ("dataset owner", &self.dataset_owner),
            ("model owner", &self.model_owner),
            ("provider", &self.provider),
            ("buyer", &self.buyer),
            ("operator 0", &self.operators[0]),
            ("operator 1", &self.operators[1]),
            ("operator 2", &self.operators[2]),
        ])
    }

    /// What each has gained or lost since the beginning, credits counted, and who is unchanged left out.
    pub async fn changes(&self) -> Result<BTreeMap<&'static str, i64>> {
        let market = &self.governor.market;
        let token = market.addresses.token;
        let mut changes = BTreeMap::new();
        for (name, actor) in self.everyone() {
            let held = market.balance(token, actor.address()).await?;
            let credit = market
                .escrow()
                .creditOf(actor.address(), token)
                .call()
                .await?;
            let total = i64::try_from(held + credit).context("a balance beyond all money")?;
            let change = total - i64::try_from(MINTED)?;
            if change != 0 {
                changes.insert(name, change);
            }
        }
        Ok(changes)
    }

    /// Tokens the escrow holds beyond what it owes: never negative, and nothing is ever left over.
    pub async fn surplus(&self) -> Result<U256> {
        let market = &self.governor.market;
        let (token, escrow) = (market.addresses.token, market.addresses.escrow);
        let held = market.balance(token, escrow).await?;
        let owed = market.escrow().owed(token).call().await?;
        held.checked_sub(owed)
            .with_context(|| format!("owes {owed}, holds {held}"))
    }

    /// A request for all three offers; no two are equal.
    pub async fn request(&mut self) -> Result<OrderRequest> {
        let request = self.unchecked_request().await?;
        assert_eq!(
            price(&request),
            U256::from(LOCKED),
            "the client's price is the test's"
        );
        Ok(request)
    }

    /// As [`request`](Self::request), where a test has changed the offers.
    pub async fn unchecked_request(&mut self) -> Result<OrderRequest> {
        self.orders += 1;
        let wish = Wish {
            purpose: INFER,
            max_duration: MAX_DURATION,
            result_key: B256::repeat_byte(7),
            requirements: Default::default(),
            schedule: Schedule {
                accept: Duration::from_secs(1000),
                start: Duration::from_secs(1000),
                finish: Duration::from_secs(1000),
                settle: Duration::from_secs(1000),
            },
            challenge_window: 0,
            bond: U256::from(BOND),
            oracle_fee: U256::from(ORACLE_FEE),
            max_protocol_fee: 0,
            marketplace_fee: Fee::default(),
            salt: B256::with_last_byte(self.orders),
        };
        Ok(wish.request(self.legs.clone(), self.buyer.market.now().await?))
    }

    /// Places an order.
    pub async fn place(&mut self) -> Result<Placed> {
        let request = self.request().await?;
        Ok(self.buyer.market.place(request).await?.0)
    }

    /// Places an order and has it accepted.
    pub async fn accepted(&mut self) -> Result<Placed> {
        let placed = self.place().await?;
        send(self.provider.market.escrow().accept(placed.terms.clone())).await?;
        Ok(placed)
    }

    /// Places an order, has it accepted and started on `device`.
    pub async fn running(&mut self, device: u8) -> Result<Placed> {
        let placed = self.accepted().await?;
        let verdict = self
            .verdict(&placed, Phase::Start, Reason::Accepted, device)
            .await?;
        self.submit(&placed, &verdict, &[0, 1]).await?;
        Ok(placed)
    }

    /// A verdict that says everything holds for every leg, observed now.
    pub async fn verdict(
        &self,
        placed: &Placed,
        phase: Phase,
        reason: Reason,
        device: u8,
    ) -> Result<Verdict> {
        let mut holds = [0u32; 8];
        for (word, leg) in holds.iter_mut().zip(&placed.terms.legs) {
            *word = Clauses(leg.clauses).intersection(Clauses::ATTESTED).0;
        }
        if reason != Reason::Accepted {
            holds = [0; 8];
        }
        let assets: Vec<B256> = placed
            .terms
            .legs
            .iter()
            .filter(|leg| leg.kind <= 2)
            .map(|leg| leg.digest)
            .collect();
        let outputs = if phase == Phase::Finish {
            B256::repeat_byte(9)
        } else {
            B256::ZERO
        };
        Ok(Verdict {
            order: placed.order,
            phase: phase as u8,
            attempt: 0,
            evidence: B256::repeat_byte(0xee),
            clauses: U256::from_be_bytes(vouch_protocol::clause::LegClauses(holds).to_be_bytes()),
            reason: reason.code(),
            devices: vec![B256::repeat_byte(device)],
            sessionKey: B256::repeat_byte(5),
            measurement: B256::repeat_byte(6),
            inputs: inputs_digest(&assets),
            outputs,
            observedAt: self.buyer.market.now().await?,
            ..Default::default()
        })
    }

    /// Signatures of some operators.
    pub fn sign(&self, verdict: &Verdict, operators: &[usize]) -> Result<Vec<verdict::Signed>> {
        let digest = verdict::digest(verdict, &self.governor.market.domain());
        let signed = operators
            .iter()
            .map(|i| verdict::Signed::new(digest, &self.operators[*i].signer));
        Ok(signed.collect::<Result<_, Error>>()?)
    }

    /// Submits a verdict that some operators signed. Anyone may: the stranger does.
    pub async fn submit(
        &self,
        placed: &Placed,
        verdict: &Verdict,
        operators: &[usize],
    ) -> Result<TransactionReceipt, Error> {
        let signatures = self.sign(verdict, operators).map_err(|e| Error::Decode {
            what: "signature",
            detail: e.to_string(),
        })?;
        let signatures = verdict::concatenate(signatures);
        let escrow = self.stranger.market.escrow();
        let call = escrow.submitVerdict(placed.terms.clone(), verdict.clone(), signatures);
        send(call).await
    }

    /// What the escrow keeps of an order.
    pub async fn record(&self, placed: &Placed) -> Result<Record> {
        Ok(self.buyer.market.record(placed.order).await?)
    }

    /// Lets `seconds` pass.
    pub async fn pass(&self, seconds: u64) -> Result<()> {
        let provider = &self.governor.market.provider;
        let _: serde_json::Value = provider
            .raw_request("evm_increaseTime".into(), [seconds])
            .await?;
        let _: serde_json::Value = provider.raw_request("evm_mine".into(), ()).await?;
        Ok(())
    }
}

/// The name of the error with which a contract refused.
pub fn refusal<T>(result: Result<T, Error>) -> Result<String> {
    match result {
        Ok(_) => bail!("expected a refusal, but the call succeeded"),
        Err(error) => match error.revert() {
            Some(revert) => Ok(revert.name.clone()),
            None => Err(error).context("expected a refusal"),
        },
    }
}
