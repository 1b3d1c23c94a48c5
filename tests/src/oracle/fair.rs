//! A market on a chain of its own, with lanes of buyers and providers beside each other.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, U256};
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use anyhow::{Context, Result};
use tempfile::TempDir;
use vouch_abi::{Offer, Policy};
use vouch_client::deploy::{Files, Setup, deploy};
use vouch_client::order::leg;
use vouch_client::{Market, connect, send};
use vouch_protocol::{Clause, Clauses};

use super::lane::Lane;
use crate::node::Node;
use crate::paths;

/// The mnemonic of every development chain.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// What one use of the dataset costs.
pub const DATASET_PRICE: u64 = 1_000;
/// What a second of compute costs.
const COMPUTE_RATE: u64 = 3;
/// What everyone has to begin with.
const MINTED: u64 = 1_000_000_000;
/// The purpose "infer".
pub(super) const INFER: u8 = 1 << 2;

/// How large a market is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Operators of the attestation contract.
    pub operators: usize,
    /// How many of them must sign.
    pub quorum: u16,
    /// Orders at a time.
    pub lanes: usize,
}

/// The market.
#[derive(Debug)]
pub struct Fair {
    /// The chain. Ends with the market.
    pub node: Node,
    /// Files of the test: deployment, configurations, databases, evidence.
    pub dir: TempDir,
    /// The contracts, in the governor's name.
    pub market: Market,
    /// Who owns the dataset.
    pub owner: Address,
    /// Operators' keys, which also pay for gas.
    pub operators: Vec<PrivateKeySigner>,
}

impl Fair {
    /// A chain with the contracts, and lanes with offers and money.
    pub async fn open(size: Size) -> Result<(Self, Vec<Lane>)> {
        Self::open_with(size, &[Clause::DebugOff]).await
    }

    /// The same, where offers ask for these clauses.
    pub async fn open_with(size: Size, clauses: &[Clause]) -> Result<(Self, Vec<Lane>)> {
        let accounts = (2 + size.operators + 2 * size.lanes).to_string();
        let node = Node::devnet(&["--silent", "--accounts", &accounts]).await?;
        let signer = |index: usize| -> Result<PrivateKeySigner> {
            let index = u32::try_from(index)?;
            Ok(MnemonicBuilder::from_phrase(MNEMONIC)
                .index(index)?
                .build()?)
        };
        let url = node.url();
        let governor = connect(&url, Some(signer(0)?)).await?;
        let operators: Vec<_> = (2..2 + size.operators).map(signer).collect::<Result<_>>()?;
        let dir = tempfile::Builder::new()
            .prefix("vouch-fair-")
            .tempdir()
            .context("making a directory")?;
        let setup = Setup {
            deployer: signer(0)?.address(),
            owner: signer(0)?.address(),
            delay: 0,
            bond_delay: 3_600,
            operators: operators.iter().map(PrivateKeySigner::address).collect(),
            quorum: size.quorum,
            fee: U256::from(10),
            token_name: "Test Dollar".into(),
            token_symbol: "TUSD".into(),
        };
        let files = Files {
            wasm: paths::wasm_dir()?,
            cache: Some(paths::target()?.join("programs")),
            deployment: dir.path().join("31337.json"),
        };
        let deployment = deploy(&governor, &setup, &files, |_| ())
            .await
            .context("deploying")?;
        let market = Market::open(&deployment, governor).await?;
        std::fs::create_dir(dir.path().join("bundles")).context("making a directory")?;

        let asked = clauses.iter().fold(Clauses::NONE, |all, c| all.with(*c));
        let policy = Policy {
            any: Clauses::POLICY.without(asked).0,
            revocationMaxAge: match asked.contains(Clause::Revocation) {
                true => u32::MAX,
                false => 0,
            },
            ..Default::default()
        };
        let owner = signer(1)?;
        let dataset = offer(&market, owner.address(), 1, DATASET_PRICE, &policy);
        let seller = market.with(connect(&url, Some(owner.clone())).await?);
        send(seller.offers().publish(dataset.clone(), String::new())).await?;
        let fair = Self {
            node,
            dir,
            market,
            owner: owner.address(),
            operators,
        };
        let mut lanes = Vec::with_capacity(size.lanes);
        for index in 0..size.lanes {
            let first = 2 + size.operators + 2 * index;
            let (buyer, provider) = (signer(first)?, signer(first + 1)?);
            let compute = offer(&fair.market, provider.address(), 4, COMPUTE_RATE, &policy);
            for account in [buyer.address(), provider.address()] {
                fair.market.mint(account, U256::from(MINTED)).await?;
            }
            let keys = (buyer.clone(), provider.clone());
            let buyer = fair.market.with(connect(&url, Some(buyer)).await?);
            let provider = fair.market.with(connect(&url, Some(provider)).await?);
            let token = fair.market.addresses.token;
            for actor in [&buyer, &provider] {
                actor.approve(token, U256::MAX).await?;
            }
            send(provider.offers().publish(compute.clone(), String::new())).await?;
            let legs = vec![
                leg(dataset.clone(), policy.clone()),
                leg(compute, policy.clone()),
            ];
            lanes.push(Lane::new(
                index,
                (buyer, keys.0),
                (provider, keys.1),
                legs,
                fair.bundles(),
            ));
        }
        Ok((fair, lanes))
    }

    /// Where providers leave bundles.
    pub fn bundles(&self) -> PathBuf {
        self.dir.path().join("bundles")
    }

    /// The deployment's file.
    pub fn deployment(&self) -> PathBuf {
        self.dir.path().join("31337.json")
    }

    /// The test's files.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn offer(market: &Market, owner: Address, kind: u8, price: u64, policy: &Policy) -> Offer {
    Offer {
        owner,
        kind,
        digest: match kind {
            4 => B256::ZERO,
            _ => B256::repeat_byte(kind),
        },
        metadata: B256::ZERO,
        token: market.addresses.token,
        price: U256::from(price),
        policy: vouch_abi::id::policy_id(policy),
        volume: 1_000_000,
        openUntil: u64::MAX,
        shared: false,
        lineage: B256::ZERO,
        salt: B256::ZERO,
    }
}
