//! Who plays in the demo: accounts of the development chain.

use alloy::primitives::Address;
use alloy::signers::local::coins_bip39::English;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use anyhow::{Context, Result};
use vouch_client::{Market, connect};

/// The mnemonic of every development chain.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Accounts before the operators'.
const FIRST_OPERATOR: u32 = 6;

/// One account and the market as it sees it.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) signer: PrivateKeySigner,
}

impl Actor {
    fn new(name: impl Into<String>, index: u32) -> Result<Self> {
        let signer = MnemonicBuilder::<English>::default()
            .phrase(MNEMONIC)
            .index(index)
            .and_then(|builder| builder.build())
            .context("deriving the development accounts")?;
        Ok(Self {
            name: name.into(),
            signer,
        })
    }

    pub(super) fn address(&self) -> Address {
        self.signer.address()
    }

    /// The private key, hex: public knowledge on development chains.
    pub(super) fn key(&self) -> String {
        hex::encode(self.signer.to_bytes())
    }

    /// The market in this account's name.
    pub(super) async fn market(&self, market: &Market, url: &str) -> Result<Market> {
        Ok(market.with(connect(url, Some(self.signer.clone())).await?))
    }
}

/// Everybody.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) governor: Actor,
    pub(super) dataset: Actor,
    pub(super) model: Actor,
    pub(super) workload: Actor,
    pub(super) provider: Actor,
    pub(super) buyer: Actor,
    /// In ascending order of their addresses, as verdicts have them.
    pub(super) operators: Vec<Actor>,
}

impl Cast {
    pub(super) fn new(operators: usize) -> Result<Self> {
        let name = |i: usize| match operators {
            1 => "operator".to_owned(),
            _ => format!("operator {}", i + 1),
        };
        let mut keys = (0..operators)
            .map(|i| Actor::new("", FIRST_OPERATOR + i as u32))
            .collect::<Result<Vec<_>>>()?;
        keys.sort_by_key(Actor::address);
        for (i, actor) in keys.iter_mut().enumerate() {
            actor.name = name(i);
        }
        Ok(Self {
            governor: Actor::new("governor", 0)?,
            dataset: Actor::new("dataset owner", 1)?,
            model: Actor::new("model owner", 2)?,
            workload: Actor::new("workload publisher", 3)?,
            provider: Actor::new("GPU provider", 4)?,
            buyer: Actor::new("buyer", 5)?,
            operators: keys,
        })
    }

    /// Accounts that the chain has to have.
    pub(super) fn accounts(&self) -> usize {
        FIRST_OPERATOR as usize + self.operators.len()
    }

    /// Those whose balances the demo accounts for, in the order of the table.
    pub(super) fn paid(&self) -> impl Iterator<Item = &Actor> {
        [
            &self.dataset,
            &self.model,
            &self.workload,
            &self.provider,
            &self.buyer,
        ]
        .into_iter()
        .chain(&self.operators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_an_account_of_their_own() {
        let cast = Cast::new(3).unwrap();
        let mut all: Vec<Address> = cast.paid().map(Actor::address).collect();
        all.push(cast.governor.address());
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), cast.accounts());
        assert_eq!(
            cast.governor.address().to_string(),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
        assert!(cast.operators.is_sorted_by_key(Actor::address));
    }
}
