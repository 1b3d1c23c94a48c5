//! How a command reaches the chain, and in whose name.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, U256, utils};
use alloy::providers::{DynProvider, Provider};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, anyhow};
use vouch_client::{Deployment, Market, connect, is_development};

use crate::output::Failure;

/// Where the market is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Chain")]
pub struct ChainArgs {
    /// JSON-RPC endpoint: http://, https://, ws:// or wss:// [default: port 8545 of this machine].
    #[arg(long, env = "VOUCH_RPC", value_name = "URL")]
    pub rpc: Option<String>,
    /// Deployment file, as `vouch deploy` writes it [default: deployments/<chain id>.json].
    #[arg(long, env = "VOUCH_DEPLOYMENT", value_name = "FILE")]
    pub deployment: Option<PathBuf>,
}

/// In whose name.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Account")]
pub struct SignerArgs {
    /// Private key, hex. Only on development chains (ids 31337 and 412346).
    #[arg(long, env = "VOUCH_KEY", hide_env_values = true, value_name = "HEX")]
    pub key: Option<String>,
    /// Encrypted keystore file (Web3 Secret Storage, version 3).
    #[arg(
        long,
        env = "VOUCH_KEYSTORE",
        value_name = "FILE",
        conflicts_with = "key"
    )]
    pub keystore: Option<PathBuf>,
    /// File whose first line is the keystore's password.
    #[arg(
        long,
        env = "VOUCH_PASSWORD_FILE",
        value_name = "FILE",
        requires = "keystore"
    )]
    pub password_file: Option<PathBuf>,
}

/// Where a development chain is.
const LOCAL: &str = "http://127.0.0.1:8545";

impl ChainArgs {
    fn endpoint(&self) -> &str {
        self.rpc.as_deref().unwrap_or(LOCAL)
    }

    /// The market, to read from.
    pub async fn market(&self) -> Result<Market, Failure> {
        let provider = connect(self.endpoint(), None)
            .await
            .map_err(unreachable(self.endpoint()))?;
        self.open(provider).await
    }

    /// The market, to write to, and the account that does.
    pub async fn market_as(&self, signer: &SignerArgs) -> Result<(Market, Address), Failure> {
        let (provider, account) = self.provider_as(signer).await?;
        Ok((self.open(provider).await?, account))
    }

    /// The endpoint with the account's signatures.
    pub async fn provider_as(
        &self,
        signer: &SignerArgs,
    ) -> Result<(DynProvider, Address), Failure> {
        let provider = connect(self.endpoint(), None)
            .await
            .map_err(unreachable(self.endpoint()))?;
        let chain_id = provider.get_chain_id().await?;
        let signer = signer.signer(chain_id)?;
        let account = signer.address();
        Ok((connect(self.endpoint(), Some(signer)).await?, account))
    }

    /// The deployment file for a chain.
    pub fn deployment_file(&self, chain_id: u64) -> PathBuf {
        let default = || Deployment::path(Path::new("deployments"), chain_id);
        self.deployment.clone().unwrap_or_else(default)
    }

    async fn open(&self, provider: DynProvider) -> Result<Market, Failure> {
        let path = self.deployment_file(provider.get_chain_id().await?);
        if !path.exists() {
            return Err(Failure::usage(format!(
                "no deployment at {}: run `vouch deploy`, or name the file with --deployment",
                path.display()
            )));
        }
        Ok(Market::open(&Deployment::load(&path)?, provider).await?)
    }
}

fn unreachable(url: &str) -> impl FnOnce(vouch_client::Error) -> Failure {
    let url = url.to_owned();
    move |error| {
        Failure::Failed(anyhow!(error).context(format!(
            "no chain at {url}: start one with `vouch-devnet`, or name another with --rpc"
        )))
    }
}

impl SignerArgs {
    /// The account's signer for a chain.
    pub fn signer(&self, chain_id: u64) -> Result<PrivateKeySigner, Failure> {
        match (&self.key, &self.keystore) {
            (Some(key), _) => {
                if !is_development(chain_id) {
                    return Err(Failure::usage(format!(
                        "--key: chain id {chain_id} is no development chain (31337, 412346); use --keystore"
                    )));
                }
                parse_key(key)
            }
            (None, Some(path)) => self.unlock(path),
            (None, None) => Err(Failure::usage(
                "no account: give --keystore FILE, or on a development chain --key HEX (VOUCH_KEY)",
            )),
        }
    }

    fn unlock(&self, path: &Path) -> Result<PrivateKeySigner, Failure> {
        let file = self.password_file.as_deref().ok_or_else(|| {
            Failure::usage("--keystore: give its password with --password-file FILE")
        })?;
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading --password-file {}", file.display()))
            .map_err(Failure::Usage)?;
        let password = text.lines().next().unwrap_or_default();
        PrivateKeySigner::decrypt_keystore(path, password)
            .with_context(|| {
                format!(
                    "--keystore {}: wrong password, or no keystore",
                    path.display()
                )
            })
            .map_err(Failure::Usage)
    }
}

fn parse_key(text: &str) -> Result<PrivateKeySigner, Failure> {
    // The text may be a secret: it is not repeated.
    text.trim()
        .parse()
        .map_err(|_| Failure::usage("--key: expected a secp256k1 private key of 64 hex digits"))
}

/// A token, for amounts that people read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it is.
    pub address: Address,
    /// Its symbol.
    pub symbol: String,
    /// Digits after the point.
    pub decimals: u8,
}

impl Token {
    /// Asks the chain.
    pub async fn of(market: &Market, address: Address) -> Result<Self, Failure> {
        let token = market.erc20(address);
        let symbol = token
            .symbol()
            .call()
            .await
            .map_err(vouch_client::Error::from)?;
        let decimals = token
            .decimals()
            .call()
            .await
            .map_err(vouch_client::Error::from)?;
        Ok(Self {
            address,
            symbol,
            decimals,
        })
    }

    /// `12.5 USD`.
    pub fn show(&self, amount: U256) -> String {
        format!("{} {}", self.number(amount), self.symbol)
    }

    /// `12.5`: no more digits than needed.
    pub fn number(&self, amount: U256) -> String {
        let text =
            utils::format_units(amount, self.decimals).unwrap_or_else(|_| amount.to_string());
        match text.split_once('.') {
            Some((whole, fraction)) => {
                let fraction = fraction.trim_end_matches('0');
                if fraction.is_empty() {
                    whole.to_owned()
                } else {
                    format!("{whole}.{fraction}")
                }
            }
            None => text,
        }
    }

    /// Reads `12.5`.
    pub fn parse(&self, flag: &str, text: &str) -> Result<U256, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "{flag} {text:?}: expected an amount of {} with at most {} digits after the point, such as 12.5",
                self.symbol, self.decimals
            ))
        };
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(wrong());
        }
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        if fraction.len() > usize::from(self.decimals) {
            return Err(wrong());
        }
        utils::parse_units(text, self.decimals)
            .map(Into::into)
            .map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn args(key: Option<&str>) -> SignerArgs {
        SignerArgs {
            key: key.map(str::to_owned),
            keystore: None,
            password_file: None,
        }
    }

    #[test]
    fn plain_keys_are_for_development_chains() {
        assert!(args(Some(KEY)).signer(31337).is_ok());
        assert!(args(Some(KEY)).signer(412_346).is_ok());
        for chain_id in [1, 42161, 421_614] {
            let error = args(Some(KEY)).signer(chain_id).unwrap_err().to_string();
            assert!(error.contains("--keystore"), "{error}");
        }
    }

    #[test]
    fn a_wrong_key_is_refused_and_not_repeated() {
        let error = args(Some("0x5ec4e7"))
            .signer(31337)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("64 hex digits") && !error.contains("5ec4e7"),
            "{error}"
        );
        assert!(
            args(None)
                .signer(31337)
                .unwrap_err()
                .to_string()
                .contains("--keystore")
        );
    }

    #[test]
    fn amounts_are_read_and_written_with_a_point() {
        let token = Token {
            address: Address::ZERO,
            symbol: "T".into(),
            decimals: 6,
        };
        for (text, units) in [
            ("0", 0u64),
            ("1", 1_000_000),
            ("12.5", 12_500_000),
            ("0.000001", 1),
        ] {
            assert_eq!(token.parse("--price", text).unwrap(), U256::from(units));
            assert_eq!(token.number(U256::from(units)), text);
        }
        for text in ["", "-1", "1.0000001", "x", "1e6", ".5", "0x10"] {
            assert!(token.parse("--price", text).is_err(), "{text}");
        }
    }
}
