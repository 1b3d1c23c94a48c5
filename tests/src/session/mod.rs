//! A hosted model, its owner's broker and sessions that serve it: the real programs, as their users start them.

mod programs;

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use vouch_abi::{Fee, LegRequest, Offer, Policy};
use vouch_client::order::{Schedule, Wish, leg};
use vouch_client::{Market, Placed, Record, connect, send};
use vouch_protocol::{Clause, Clauses};
use vouch_workload_language::{Recipe, train};

use crate::oracle::daemon::{Daemon, Plan};
use crate::oracle::fair::{Fair, Size};
use crate::paths;
use crate::tools::{Output, Tool};
use programs::Running;
pub use programs::{Agent, Broker};

/// The mnemonic of every development chain.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// What one use of the model costs.
pub const PRICE: u64 = 2_000;
/// Brings the buyer, and gets a fifth of what the sellers earn.
pub const MARKETPLACE: Address = Address::repeat_byte(0x3a);
/// Answers that the model's policy allows, as rows.
pub const QUOTA: u64 = 3;
/// Seconds that each step of an order may take.
pub const STEP: u64 = 1_000;

/// A market with a model that may only be asked.
#[derive(Debug)]
pub struct Studio {
    fair: Fair,
    /// What the model's owner has, and nobody else ever sees.
    own: TempDir,
    /// Ends with the studio.
    _oracle: Daemon,
    oracle_url: String,
    workload: PathBuf,
    asset: B256,
    /// The buyer.
    pub buyer: Market,
    buyer_key: PrivateKeySigner,
    provider: Market,
    provider_key: PrivateKeySigner,
    legs: Vec<LegRequest>,
    secrets: Vec<(&'static str, Vec<u8>)>,
    orders: u8,
    /// What an agent serves.
    serve: &'static str,
}

/// The model of the order, for as long as it may be asked.
const HOSTED: &str = "model = \"/in/model-0\"\nseconds = 300\n";
/// What the workload makes of it, for a moment.
const TRAINED: &str = "model = \"/out/model\"\nseconds = 1\n";

fn signer(index: u32) -> Result<PrivateKeySigner> {
    let builder = MnemonicBuilder::from_phrase(MNEMONIC).index(index)?;
    Ok(builder.build()?)
}

/// A classifier's weights, as the workload writes and reads them.
fn weights() -> Result<String> {
    let recipe = Recipe::parse("letters=3\nsmoothing=0.5\n")?;
    let dataset: String = ["one", "two", "three", "four", "five", "six"]
        .iter()
        .map(|word| format!("en,{word}\nde,das{word}heit\n"))
        .collect();
    Ok(train(&format!("language,words\n{dataset}"), recipe)
        .model
        .to_text())
}

impl Studio {
    /// Everything up to the offers, with the demo's classifier; no order yet.
    pub async fn open() -> Result<Self> {
        let file = paths::target()?.join("wasm32-wasip1/release/language.wasm");
        ensure!(
            file.is_file(),
            "{} is not built: run ./scripts/test",
            file.display()
        );
        Self::with(file).await
    }

    /// The same with another workload: a WASI module, or a bundle's folder.
    pub async fn with(workload: PathBuf) -> Result<Self> {
        let size = Size {
            operators: 1,
            quorum: 1,
            lanes: 1,
        };
        let (fair, _) = Fair::open(size).await?;
        let plan = Plan::new(&fair, "oracle", fair.operators.clone())?;
        let mut oracle = plan.start().await?;
        oracle.ready().await?;
        // The lane's buyer and provider, who have money and have approved the escrow.
        let (buyer_key, provider_key) = (signer(3)?, signer(4)?);
        let url = fair.node.url();
        let own = tempfile::tempdir()?;
        let weights = weights()?;
        std::fs::write(own.path().join("weights"), &weights)?;
        let mut studio = Self {
            buyer: fair
                .market
                .with(connect(&url, Some(buyer_key.clone())).await?),
            provider: fair
                .market
                .with(connect(&url, Some(provider_key.clone())).await?),
            oracle_url: plan.url(),
            workload,
            asset: B256::ZERO,
            legs: Vec::new(),
            secrets: Vec::new(),
            orders: 0,
            serve: HOSTED,
            buyer_key,
            provider_key,
            fair,
            own,
            _oracle: oracle,
        };
        for at in [0, weights.len() / 3, weights.len() - 48] {
            let part = weights.as_bytes()[at..at + 48].to_vec();
            studio.secrets.push(("the weights", part));
        }
        studio.pack().await?;
        studio.publish().await?;
        Ok(studio)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fair.path().join(name)
    }

    async fn vouch(&self, arguments: &[&str]) -> Result<Output> {
        Tool::own("vouch")?.run_in(self.own.path(), arguments).await
    }

    /// The owner encrypts the model and gives its key to the broker's store.
    async fn pack(&mut self) -> Result<()> {
        let packed = self
            .vouch(&[
                "asset", "pack", "weights", "--store", "packs", "--key", "key", "--json",
            ])
            .await?;
        ensure!(packed.success, "{}", packed.text());
        let packed: Value = serde_json::from_str(&packed.stdout)?;
        let asset = packed["asset"].as_str().context("no asset")?.to_owned();
        self.asset = asset.parse()?;
        let public = self.path("public").display().to_string();
        let published = self
            .vouch(&[
                "asset", "publish", &asset, "--store", "packs", "--to", &public,
            ])
            .await?;
        ensure!(published.success, "{}", published.text());

        let roots = vouch_simulator::roots();
        let files: [(&str, &[u8]); 3] = [
            ("nvidia_root", &roots.nvidia),
            ("amd_ark", roots.amd_ark),
            ("amd_ask", roots.amd_ask),
        ];
        let mut simulated = String::new();
        for (key, der) in files {
            std::fs::write(self.path(key), der)?;
            simulated.push_str(&format!("{key} = {key:?}\n"));
        }
        let text = format!(
            "owners = [\"{owner}\"]\nevidence = [{oracle:?}]\n[chain]\ndeployment = \"31337.json\"\nendpoints = [{ws:?}, {http:?}]\n\
             [store]\ndir = \"broker\"\nroot_key = \"root.key\"\ncontent = \"public\"\n\
             [simulated]\n{simulated}[server]\nlisten = \"127.0.0.1:0\"\n",
            owner = signer(1)?.address(),
            oracle = self.oracle_url,
            ws = self.fair.node.ws_url(),
            http = self.fair.node.url(),
        );
        std::fs::write(self.path("broker.toml"), text)?;
        let broker = Tool::own("vouch-broker")?;
        let key = self.own.path().join("key");
        let text = std::fs::read_to_string(&key)?.trim().to_owned();
        self.secrets.push(("the content key", hex::decode(&text)?));
        self.secrets.push(("the content key", text.into_bytes()));
        let key = key.display().to_string();
        for arguments in [&["init"][..], &["import", &asset, "--key", &key]] {
            let done = broker.run_in(self.fair.path(), arguments).await?;
            ensure!(done.success, "{arguments:?}: {}", done.text());
        }
        Ok(())
    }

    async fn publish(&mut self) -> Result<()> {
        let workload = self.workload.display().to_string();
        let digest = Tool::own("vouch-agent")?
            .run(&["workload", &workload])
            .await?;
        let requires = |clauses: &[Clause]| {
            let required = clauses
                .iter()
                .fold(Clauses::NONE, |all, clause| all.with(*clause));
            Policy {
                any: Clauses::POLICY.without(required).0,
                ..Policy::default()
            }
        };
        let model = Policy {
            outputRows: QUOTA,
            ..requires(&[Clause::DebugOff, Clause::Export, Clause::OutputRows])
        };
        let other = requires(&[Clause::DebugOff]);
        let owner = signer(1)?;
        let owner = self
            .fair
            .market
            .with(connect(&self.fair.node.url(), Some(owner)).await?);
        let owner_address = signer(1)?.address();
        let provider_address = self.provider_key.address();
        for (seller, address, kind, digest, price, policy) in [
            (&owner, owner_address, 2, self.asset, PRICE, model),
            (
                &owner,
                owner_address,
                3,
                digest.trim().parse()?,
                1,
                other.clone(),
            ),
            (&self.provider, provider_address, 4, B256::ZERO, 1, other),
        ] {
            let offer = Offer {
                owner: address,
                kind,
                digest,
                metadata: B256::ZERO,
                token: self.fair.market.addresses.token,
                price: U256::from(price),
                policy: vouch_abi::id::policy_id(&policy),
                volume: 1_000,
                openUntil: u64::MAX,
                shared: false,
                lineage: B256::ZERO,
                salt: B256::with_last_byte(1),
            };
            send(seller.offers().publish(offer.clone(), String::new())).await?;
            self.legs.push(leg(offer, policy));
        }
        Ok(())
    }

    /// From now on agents run the workload, and serve what it leaves as `/out/model`.
    pub const fn trains(&mut self) {
        self.serve = TRAINED;
    }

    /// Places an order for the model, and has it accepted.
    pub async fn accepted(&mut self) -> Result<Placed> {
        self.accepted_for(600).await
    }

    /// The same for so many seconds of compute.
    pub async fn accepted_for(&mut self, max_duration: u32) -> Result<Placed> {
        self.orders += 1;
        let step = Duration::from_secs(STEP);
        let wish = Wish {
            purpose: 1 << 2,
            max_duration,
            result_key: B256::repeat_byte(7),
            requirements: Default::default(),
            schedule: Schedule {
                accept: step,
                start: step,
                finish: step,
                settle: step,
            },
            challenge_window: 0,
            bond: U256::from(5),
            oracle_fee: U256::from(10),
            max_protocol_fee: 0,
            marketplace_fee: Fee {
                recipient: MARKETPLACE,
                rate: 200_000,
            },
            salt: B256::with_last_byte(self.orders),
        };
        let request = wish.request(self.legs.clone(), self.buyer.now().await?);
        let (placed, _) = self.buyer.place(request).await?;
        send(self.provider.escrow().accept(placed.terms.clone())).await?;
        Ok(placed)
    }

    /// The buyer pays for more seconds of compute.
    pub async fn top_up(&self, placed: &Placed, seconds: u32) -> Result<()> {
        let terms = placed.terms.clone();
        send(self.buyer.escrow().topUp(terms, seconds)).await?;
        Ok(())
    }

    /// What the escrow keeps of an order.
    pub async fn record(&self, placed: &Placed) -> Result<Record> {
        Ok(self.buyer.record(placed.order).await?)
    }

    /// Tokens of buyer and provider.
    pub async fn balances(&self) -> Result<[U256; 2]> {
        let token = self.buyer.addresses.token;
        let of = |key: &PrivateKeySigner| self.buyer.balance(token, key.address());
        Ok([of(&self.buyer_key).await?, of(&self.provider_key).await?])
    }

    /// Tokens of the marketplace.
    pub async fn shared(&self) -> Result<U256> {
        Ok(self
            .buyer
            .balance(self.buyer.addresses.token, MARKETPLACE)
            .await?)
    }

    /// Lets time pass and takes the refund.
    pub async fn refund(&self, placed: &Placed) -> Result<()> {
        send(self.buyer.escrow().refund(placed.terms.clone())).await?;
        Ok(())
    }

    /// Moves the chain's clock.
    pub async fn pass(&self, seconds: u64) -> Result<()> {
        let provider = &self.buyer.provider;
        let _: Value = provider
            .raw_request("evm_increaseTime".into(), [seconds])
            .await?;
        let _: Value = provider.raw_request("evm_mine".into(), ()).await?;
        Ok(())
    }

    /// Starts the owner's broker.
    pub async fn broker(&self) -> Result<Broker> {
        let mut command = Command::new(paths::binary("vouch-broker")?);
        command
            .args(["run", "--config"])
            .arg(self.path("broker.toml"));
        let log = self.path(&format!("broker-{}.log", self.orders));
        let mut running = Running::start(command, &log)?;
        let line = running.line().await?.context("the broker ended")?;
        let address = line.strip_prefix("Listening on ").context("no address")?;
        Ok(Broker {
            url: format!("http://{address}"),
            running,
        })
    }

    /// Starts the agent on an order. `chain` is its endpoint, where that is not the node's own.
    pub fn agent(&self, placed: &Placed, broker: &Broker, chain: Option<String>) -> Result<Agent> {
        self.agent_with(placed, broker, chain, "")
    }

    /// The same with more lines at the beginning of its configuration.
    pub fn agent_with(
        &self,
        placed: &Placed,
        broker: &Broker,
        chain: Option<String>,
        more: &str,
    ) -> Result<Agent> {
        let number = self.orders;
        let config = self.path(&format!("agent-{number}.toml"));
        let text = format!(
            "{more}evidence = {oracle:?}\nbrokers = [{url:?}]\ncontent = [\"{url}/v1/content\"]\n\
             result = \"result-{number}\"\ncache = \"cache-{number}\"\n\
             [chain]\ndeployment = \"31337.json\"\nendpoint = {chain:?}\nkey = {{ env = \"VOUCH_TEST_PROVIDER\" }}\npoll_ms = 25\n\
             [workload]\nfile = {workload:?}\n\
             [serve]\nlisten = \"127.0.0.1:0\"\narguments = [\"infer\"]\ncalls = 1000\n{serve}\
             [backend]\nkind = \"simulator\"\nmachine = \"studio {number}\"\n",
            oracle = self.oracle_url,
            url = broker.url,
            chain = chain.unwrap_or_else(|| self.fair.node.url()),
            workload = self.workload,
            serve = self.serve,
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(paths::binary("vouch-agent")?);
        command
            .arg("run")
            .arg(placed.order.to_string())
            .arg("--config")
            .arg(config)
            .arg("--json")
            .env(
                "VOUCH_TEST_PROVIDER",
                hex::encode(self.provider_key.to_bytes()),
            );
        let log = self.path(&format!("agent-{number}.log"));
        Ok(Agent {
            running: Running::start(command, &log)?,
            said: self.path(&format!("agent-{number}.out")),
            result: self.path(&format!("result-{number}")),
        })
    }

    /// Where the chain's node listens.
    pub fn node(&self) -> String {
        self.fair
            .node
            .url()
            .trim_start_matches("http://")
            .to_owned()
    }

    /// Where evidence is found.
    pub fn evidence(&self) -> &str {
        &self.oracle_url
    }

    /// `vouch call` by the buyer, or by somebody else, with a request. Gives what it printed.
    pub async fn call(&self, call: Call<'_>) -> Result<Output> {
        let file = self.own.path().join("request");
        std::fs::write(&file, call.request)?;
        let key = if call.stranger {
            &self.provider_key
        } else {
            &self.buyer_key
        };
        let key = hex::encode(key.to_bytes());
        let deployment = self.fair.deployment().display().to_string();
        let order = call.placed.order.to_string();
        let (rpc, evidence) = (
            self.fair.node.url(),
            call.evidence.unwrap_or(&self.oracle_url),
        );
        self.vouch(&[
            "call",
            &order,
            "--endpoint",
            call.endpoint,
            "--evidence",
            evidence,
            "--input",
            "request",
            "--trust-simulator",
            "--rpc",
            &rpc,
            "--deployment",
            &deployment,
            "--key",
            &key,
        ])
        .await
    }

    /// Bytes of the model.
    pub fn model_len(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.own.path().join("weights"))?.len())
    }

    /// Searches every file and log for weights and keys. Gives how many there were.
    ///
    /// # Errors
    /// The file that has something.
    pub fn search(&self) -> Result<usize> {
        let (mut open, mut files) = (vec![self.fair.path().to_owned()], 0);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                // A database's files may be gone by now.
                let Ok(content) = std::fs::read(&path) else {
                    continue;
                };
                files += 1;
                for (what, secret) in &self.secrets {
                    if contains(&content, secret) {
                        bail!("{}: {what} was written to it", path.display());
                    }
                }
            }
        }
        Ok(files)
    }
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    let first = part.first();
    (0..content.len()).any(|at| content.get(at) == first && content[at..].starts_with(part))
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Of which order.
    pub placed: &'a Placed,
    /// Where.
    pub endpoint: &'a str,
    /// Where evidence is looked for, if not at the operator's.
    pub evidence: Option<&'a str>,
    /// By somebody who is not the buyer.
    pub stranger: bool,
    /// What is asked.
    pub request: &'a [u8],
}

impl<'a> Call<'a> {
    /// As the buyer asks.
    pub fn honest(placed: &'a Placed, endpoint: &'a str) -> Self {
        Self {
            placed,
            endpoint,
            evidence: None,
            stranger: false,
            request: b"two",
        }
    }
}
