//! Who the operators are, as the attestation contract says, asked now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use vouch_client::{Error, Market};

/// How long an answer of the contract is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// Most addresses that are asked for in that time: signatures by strangers must not become a flood of
/// questions to the endpoint.
const MAX_ASKED: usize = 256;

/// Operators and quorum.
#[derive(Debug, Default)]
pub struct Operators {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What each account's signature weighs; zero for who is no operator.
    accounts: HashMap<Address, (Instant, u16)>,
    quorum: Option<(Instant, u16)>,
}

impl Operators {
    /// What the signatures of a verdict must weigh together.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn quorum(&self, market: &Market) -> Result<u16, Error> {
        if let Some((at, quorum)) = self.known().quorum
            && at.elapsed() < BELIEVED
        {
            return Ok(quorum);
        }
        let quorum = market.attestation().quorum().call().await?;
        self.known().quorum = Some((Instant::now(), quorum));
        Ok(quorum)
    }

    /// What signatures must weigh together, as the contract said when it was asked last.
    pub fn last_quorum(&self) -> Option<u16> {
        self.known().quorum.map(|(_, quorum)| quorum)
    }

    /// Whether an account is an operator; nothing where too many were asked for lately.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn is_operator(
        &self,
        market: &Market,
        account: Address,
    ) -> Result<Option<bool>, Error> {
        let weight = self.weight(market, account).await?;
        Ok(weight.map(|weight| weight > 0))
    }

    /// What an account's signature weighs, zero where it is no operator; nothing where too many were asked for
    /// lately.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn weight(&self, market: &Market, account: Address) -> Result<Option<u16>, Error> {
        {
            let mut known = self.known();
            if let Some((at, weight)) = known.accounts.get(&account)
                && at.elapsed() < BELIEVED
            {
                return Ok(Some(*weight));
            }
            // Strangers cannot crowd out those who were operators a moment ago.
            known
                .accounts
                .retain(|_, (at, weight)| *weight > 0 || at.elapsed() < BELIEVED);
            let strangers = known.accounts.values().filter(|(_, weight)| *weight == 0);
            if strangers.count() >= MAX_ASKED && !known.accounts.contains_key(&account) {
                return Ok(None);
            }
        }
        let weight = market.attestation().weightOf(account).call().await?;
        let mut known = self.known();
        known.accounts.insert(account, (Instant::now(), weight));
        Ok(Some(weight))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Answers of the contract: none is half an answer.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
