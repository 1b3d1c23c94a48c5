//! Where the contracts of a chain are: `deployments/<chainId>.json`, written by deploying, checked
//! against the chain on use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, TxHash, keccak256};
use alloy::providers::Provider;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::revert::interfaces;

/// One of the market's contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// Who may change the others, and how long that takes.
    Governance,
    /// The test token.
    Token,
    /// What operators have at stake.
    Bonds,
    /// What is for sale.
    Offers,
    /// Under which constraints.
    Usage,
    /// Who may say what the hardware showed.
    Attestation,
    /// The escrow's second program.
    Annex,
    /// Its third.
    Desk,
    /// Who has paid and who may be paid.
    Escrow,
}

impl Contract {
    /// Every contract, in the order in which they are deployed.
    pub const ALL: [Self; 9] = [
        Self::Governance,
        Self::Token,
        Self::Bonds,
        Self::Offers,
        Self::Usage,
        Self::Attestation,
        Self::Annex,
        Self::Desk,
        Self::Escrow,
    ];

    /// The contract's name: of its crate, its wasm file and its entry in a deployment.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Bonds => "bonds",
            Self::Offers => "offers",
            Self::Usage => "usage",
            Self::Attestation => "attestation",
            Self::Annex => "annex",
            Self::Desk => "desk",
            Self::Escrow => "escrow",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One deployed contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Where it is.
    pub address: Address,
    /// The transaction that deployed it.
    pub tx: TxHash,
    /// That transaction's block: no event of the contract is older.
    pub block: u64,
    /// keccak-256 of the code on chain.
    pub code_hash: B256,
    /// SHA-256 of the wasm file it was made from.
    pub wasm_sha256: B256,
}

/// The contracts of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// The chain.
    pub chain_id: u64,
    /// Deployed contracts; some may be missing while a deployment is under way.
    pub contracts: BTreeMap<Contract, Entry>,
    /// Seconds from announcing a change of the market until it can be made.
    #[serde(default)]
    pub governance_delay: u64,
    /// SHA-256 of the interfaces' JSON ABI.
    pub abi_sha256: B256,
    /// What built it: tool name to version.
    pub tools: BTreeMap<String, String>,
}

impl Deployment {
    /// A deployment of nothing yet.
    pub fn new(chain_id: u64) -> Self {
        let tools = [
            ("vouch", env!("CARGO_PKG_VERSION")),
            ("stylus-sdk", "0.10.10"),
            ("rust", rust_version()),
        ];
        Self {
            chain_id,
            contracts: BTreeMap::new(),
            governance_delay: 0,
            abi_sha256: abi_sha256(),
            tools: tools.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        }
    }

    /// The file of a chain's deployment in `dir`.
    pub fn path(dir: &Path, chain_id: u64) -> PathBuf {
        dir.join(format!("{chain_id}.json"))
    }

    /// Reads a deployment.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read, [`Error::DeploymentMalformed`] where it is not one.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| Error::DeploymentMalformed {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes the deployment, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let file = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(file)?;
        }
        let mut text =
            serde_json::to_string_pretty(self).map_err(|e| file(std::io::Error::other(e)))?;
        text.push('\n');
        let draft = path.with_extension("json.tmp");
        std::fs::write(&draft, text).map_err(file)?;
        std::fs::rename(&draft, path).map_err(file)
    }

    /// A contract's entry.
    ///
    /// # Errors
    /// [`Error::ContractMissing`].
    pub fn get(&self, contract: Contract) -> Result<&Entry, Error> {
        self.contracts.get(&contract).ok_or(Error::ContractMissing {
            chain_id: self.chain_id,
            contract,
        })
    }

    /// The oldest block an event of these contracts can be in.
    pub fn first_block(&self) -> u64 {
        self.contracts
            .values()
            .map(|entry| entry.block)
            .min()
            .unwrap_or(0)
    }

    /// Checks that the endpoint serves this chain and every contract is there, with its code.
    ///
    /// # Errors
    /// [`Error::ChainMismatch`], [`Error::ContractMissing`], [`Error::CodeMismatch`].
    pub async fn verify(&self, provider: &impl Provider) -> Result<(), Error> {
        let found = provider.get_chain_id().await?;
        if found != self.chain_id {
            return Err(Error::ChainMismatch {
                expected: self.chain_id,
                found,
            });
        }
        for contract in Contract::ALL {
            self.get(contract)?.verify(contract, provider).await?;
        }
        Ok(())
    }
}

impl Entry {
    /// Checks that the chain has this contract's code at its address.
    ///
    /// # Errors
    /// [`Error::CodeMismatch`].
    pub async fn verify(&self, contract: Contract, provider: &impl Provider) -> Result<(), Error> {
        let found = keccak256(provider.get_code_at(self.address).await?);
        if found != self.code_hash {
            let Self {
                address,
                code_hash: expected,
                ..
            } = *self;
            return Err(Error::CodeMismatch {
                contract,
                address,
                expected,
                found,
            });
        }
        Ok(())
    }
}

/// The compiler that the contracts are built with, as the repository pins it.
fn rust_version() -> &'static str {
    include_str!("../../rust-toolchain.toml")
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap_or_default()
        .trim_matches('"')
}

/// SHA-256 of the JSON ABI of all interfaces.
pub fn abi_sha256() -> B256 {
    let abi: BTreeMap<_, _> = interfaces().into();
    let text = serde_json::to_vec(&abi).unwrap_or_default();
    B256::new(Sha256::digest(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Deployment {
        let mut deployment = Deployment::new(31337);
        deployment.contracts.insert(
            Contract::Escrow,
            Entry {
                address: Address::with_last_byte(1),
                tx: TxHash::ZERO,
                block: 7,
                code_hash: B256::with_last_byte(2),
                wasm_sha256: B256::with_last_byte(3),
            },
        );
        deployment
    }

    #[test]
    fn a_deployment_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = Deployment::path(&dir.path().join("deployments"), 31337);
        assert!(path.ends_with("deployments/31337.json"));
        deployment().save(&path).unwrap();
        assert_eq!(Deployment::load(&path).unwrap(), deployment());
        assert_eq!(deployment().first_block(), 7);
    }

    #[test]
    fn files_that_are_no_deployment_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.json");
        let missing = Deployment::load(&path).unwrap_err();
        assert!(missing.to_string().contains("1.json"), "{missing}");
        for text in [
            "",
            "{}",
            "[]",
            r#"{"chainId":1,"contracts":{"bank":{}},"abiSha256":"0x","tools":{}}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Deployment::load(&path).unwrap_err();
            assert!(
                matches!(error, Error::DeploymentMalformed { .. }),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_deployment_names_the_tools_it_was_built_with() {
        let tools = deployment().tools;
        assert_eq!(tools["vouch"], env!("CARGO_PKG_VERSION"));
        assert!(tools["rust"].starts_with("1."), "{tools:?}");
    }

    #[test]
    fn a_missing_contract_is_named() {
        let error = deployment().get(Contract::Token).unwrap_err();
        assert!(error.to_string().contains("token"), "{error}");
    }
}
