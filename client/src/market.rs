//! A deployed market, as one account sees it.

use alloy::contract::{CallBuilder, CallDecoder};
use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::{Filter, TransactionReceipt, TransactionRequest};
use alloy::sol_types::{Eip712Domain, SolEvent};
use vouch_abi::IAttestation;
use vouch_abi::IAttestation::IAttestationInstance;
use vouch_abi::IBonds::IBondsInstance;
use vouch_abi::IEscrow::IEscrowInstance;
use vouch_abi::IGovernance::IGovernanceInstance;
use vouch_abi::IOffers::IOffersInstance;
use vouch_abi::IToken::ITokenInstance;
use vouch_abi::IUsage::IUsageInstance;

use crate::deployment::{Contract, Deployment};
use crate::{Error, verdict};

/// Where the contracts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who may change the others.
    pub governance: Address,
    /// What operators have at stake.
    pub bonds: Address,
    /// What is for sale.
    pub offers: Address,
    /// Under which constraints.
    pub usage: Address,
    /// Who may say what the hardware showed.
    pub attestation: Address,
    /// Who has paid and who may be paid.
    pub escrow: Address,
    /// The test token.
    pub token: Address,
}

/// A market: its contracts, reached through one provider. Cheap to clone; another account's view is
/// the same market [`with`](Self::with) that account's provider.
#[derive(Clone, Debug)]
pub struct Market {
    /// How the chain is reached; signs where it has a wallet.
    pub provider: DynProvider,
    /// The chain.
    pub chain_id: u64,
    /// The contracts.
    pub addresses: Addresses,
    /// No event of the market is older than this block.
    pub first_block: u64,
}

impl Market {
    /// The market of a deployment, once the chain has confirmed its contracts.
    ///
    /// # Errors
    /// Those of [`Deployment::verify`].
    pub async fn open(deployment: &Deployment, provider: DynProvider) -> Result<Self, Error> {
        deployment.verify(&provider).await?;
        let address = |contract| deployment.get(contract).map(|entry| entry.address);
        Ok(Self {
            chain_id: deployment.chain_id,
            addresses: Addresses {
                governance: address(Contract::Governance)?,
                bonds: address(Contract::Bonds)?,
                offers: address(Contract::Offers)?,
                usage: address(Contract::Usage)?,
                attestation: address(Contract::Attestation)?,
                escrow: address(Contract::Escrow)?,
                token: address(Contract::Token)?,
            },
            first_block: deployment.first_block(),
            provider,
        })
    }

    /// The same market through another provider.
    #[must_use]
    pub fn with(&self, provider: DynProvider) -> Self {
        Self {
            provider,
            ..self.clone()
        }
    }

    /// The governance contract.
    pub fn governance(&self) -> IGovernanceInstance<DynProvider> {
        IGovernanceInstance::new(self.addresses.governance, self.provider.clone())
    }

    /// The bonds contract.
    pub fn bonds(&self) -> IBondsInstance<DynProvider> {
        IBondsInstance::new(self.addresses.bonds, self.provider.clone())
    }

    /// Who the operators are, in the order in which they came.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn operators(&self) -> Result<Vec<Address>, Error> {
        let filter = Filter::new()
            .address(self.addresses.attestation)
            .event_signature(IAttestation::OperatorsChanged::SIGNATURE_HASH)
            .from_block(self.first_block);
        let mut operators = Vec::new();
        for log in self.provider.get_logs(&filter).await? {
            let event = IAttestation::OperatorsChanged::decode_log(&log.inner);
            let event = event.map_err(|error| Error::Decode {
                what: "event OperatorsChanged",
                detail: error.to_string(),
            })?;
            operators.retain(|operator| !event.removed.contains(operator));
            operators.extend_from_slice(&event.added);
        }
        Ok(operators)
    }

    /// The offers contract.
    pub fn offers(&self) -> IOffersInstance<DynProvider> {
        IOffersInstance::new(self.addresses.offers, self.provider.clone())
    }

    /// The usage contract.
    pub fn usage(&self) -> IUsageInstance<DynProvider> {
        IUsageInstance::new(self.addresses.usage, self.provider.clone())
    }

    /// The attestation contract.
    pub fn attestation(&self) -> IAttestationInstance<DynProvider> {
        IAttestationInstance::new(self.addresses.attestation, self.provider.clone())
    }

    /// The escrow contract.
    pub fn escrow(&self) -> IEscrowInstance<DynProvider> {
        IEscrowInstance::new(self.addresses.escrow, self.provider.clone())
    }

    /// The test token.
    pub fn token(&self) -> ITokenInstance<DynProvider> {
        self.erc20(self.addresses.token)
    }

    /// Any other token.
    pub fn erc20(&self, address: Address) -> ITokenInstance<DynProvider> {
        ITokenInstance::new(address, self.provider.clone())
    }

    /// The EIP-712 domain of verdicts.
    pub fn domain(&self) -> Eip712Domain {
        verdict::domain(self.chain_id, self.addresses.attestation)
    }

    /// Units of `token` that `account` has.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Reverted`].
    pub async fn balance(&self, token: Address, account: Address) -> Result<U256, Error> {
        Ok(self.erc20(token).balanceOf(account).call().await?)
    }

    /// Lets the escrow take up to `amount` units of `token` from this account.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Reverted`], [`Error::Failed`].
    pub async fn approve(&self, token: Address, amount: U256) -> Result<TransactionReceipt, Error> {
        send(self.erc20(token).approve(self.addresses.escrow, amount)).await
    }

    /// Makes test tokens for `account`.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Reverted`], [`Error::Failed`].
    pub async fn mint(&self, account: Address, amount: U256) -> Result<TransactionReceipt, Error> {
        send(self.token().mint(account, amount)).await
    }

    /// Time of the newest block, in Unix seconds.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::BlockMissing`].
    pub async fn now(&self) -> Result<u64, Error> {
        let block = self
            .provider
            .get_block(alloy::eips::BlockId::latest())
            .await?;
        Ok(block.ok_or(Error::BlockMissing(u64::MAX))?.header.timestamp)
    }
}

/// Sends a call and waits for its receipt; a failed transaction is an error with its reason.
///
/// # Errors
/// [`Error::Reverted`] where the call would fail, [`Error::Failed`] where it failed once mined,
/// [`Error::Rpc`], [`Error::Pending`].
pub async fn send<P: Provider, D: CallDecoder>(
    call: CallBuilder<P, D>,
) -> Result<TransactionReceipt, Error> {
    let receipt = call.send().await?.get_receipt().await?;
    if receipt.status() {
        return Ok(receipt);
    }
    let reason = call
        .call_raw()
        .await
        .map_err(Error::from)
        .err()
        .map(|e| e.to_string());
    Err(failed(&receipt, reason))
}

/// Why a mined transaction failed, found by running it again on the state before its block.
pub async fn replay(
    provider: &impl Provider,
    receipt: &TransactionReceipt,
    to: Address,
    input: Bytes,
) -> Error {
    let block = receipt.block_number.unwrap_or_default().saturating_sub(1);
    let request = TransactionRequest::default()
        .from(receipt.from)
        .to(to)
        .input(input.into());
    let reason = provider
        .call(request)
        .block(block.into())
        .await
        .map_err(Error::from)
        .err();
    failed(receipt, reason.map(|e| e.to_string()))
}

fn failed(receipt: &TransactionReceipt, reason: Option<String>) -> Error {
    Error::Failed {
        tx: receipt.transaction_hash,
        block: receipt.block_number.unwrap_or_default(),
        reason: reason.unwrap_or_else(|| "succeeds when run again: out of gas, or a race".into()),
    }
}
