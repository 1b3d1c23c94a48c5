//! What can go wrong between this program and the chain.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, TxHash};
use alloy::transports::{RpcError, TransportError};

use crate::deployment::Contract;
use crate::order::State;
use crate::revert::Revert;

/// A failed step, with what it concerned and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint's address cannot be used.
    #[error("endpoint {url:?}: expected http://, https://, ws:// or wss://: {detail}")]
    Endpoint {
        /// The address given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The endpoint did not answer, or not with what was asked for.
    #[error("rpc: {0}")]
    Rpc(#[source] TransportError),
    /// A contract refused the call.
    #[error("refused by the contract: {0}")]
    Reverted(Revert),
    /// A call's answer could not be read.
    #[error("contract call: {0}")]
    Call(#[source] Box<alloy::contract::Error>),
    /// A transaction was sent but its receipt could not be had.
    #[error("transaction not confirmed: {0}")]
    Pending(#[source] Box<alloy::providers::PendingTransactionError>),
    /// A transaction was mined and failed.
    #[error("transaction {tx} failed in block {block}: {reason}")]
    Failed {
        /// The transaction.
        tx: TxHash,
        /// Its block.
        block: u64,
        /// Why, as far as a replay could tell.
        reason: String,
    },
    /// A receipt lacks the event that the call must leave.
    #[error("transaction {tx}: expected event {event} in its receipt")]
    EventMissing {
        /// The transaction.
        tx: TxHash,
        /// The event's name.
        event: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file's JSON is not a deployment.
    #[error("{}: not a deployment: {source}", path.display())]
    DeploymentMalformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The deployment belongs to another chain.
    #[error("deployment is for chain id {expected}, the endpoint serves chain id {found}")]
    ChainMismatch {
        /// Of the deployment.
        expected: u64,
        /// Of the endpoint.
        found: u64,
    },
    /// The deployment does not have the contract.
    #[error(
        "deployment for chain id {chain_id}: contract {contract} is missing; run `vouch deploy`"
    )]
    ContractMissing {
        /// The chain.
        chain_id: u64,
        /// The contract.
        contract: Contract,
    },
    /// The chain has other code, or none, where the contract should be.
    #[error(
        "contract {contract} at {address}: expected code hash {expected}, the chain has {found}; was the chain restarted? run `vouch deploy`"
    )]
    CodeMismatch {
        /// The contract.
        contract: Contract,
        /// Its address.
        address: Address,
        /// Of the deployment.
        expected: B256,
        /// keccak-256 of the chain's code.
        found: B256,
    },
    /// The contracts at hand point at another market.
    #[error("{contract} is bound to escrow {found}, expected {expected}")]
    BoundElsewhere {
        /// The bound contract.
        contract: Contract,
        /// This deployment's escrow.
        expected: Address,
        /// The escrow it is bound to.
        found: Address,
    },
    /// What was deployed before was built from other sources, or with other tools.
    #[error(
        "deployment for chain id {chain_id}: {what} is {found}, this program has {expected}; versions are not mixed: name another file with --deployment for a market of its own, or deploy all anew with --fresh"
    )]
    MixedVersions {
        /// The chain.
        chain_id: u64,
        /// What differs.
        what: String,
        /// Of this program.
        expected: String,
        /// Of the deployment.
        found: String,
    },
    /// A contract on chain is set up otherwise than the deployment needs it.
    #[error("{contract} at {address}: expected {what} {expected}, found {found}")]
    SetUpOtherwise {
        /// The contract.
        contract: Contract,
        /// Its address.
        address: Address,
        /// Which of its values.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A program cannot become a contract.
    #[error("program {name}: {detail}")]
    Program {
        /// Which.
        name: String,
        /// Why not.
        detail: String,
    },
    /// The chain knows no such order.
    #[error("order {order}: not found at escrow {escrow} since block {from_block}")]
    OrderNotFound {
        /// The order's id.
        order: B256,
        /// The escrow asked.
        escrow: Address,
        /// First block searched.
        from_block: u64,
    },
    /// The order is in another state than the step needs.
    #[error("order {order}: expected state {expected}, found {found}")]
    WrongState {
        /// The order's id.
        order: B256,
        /// Needed.
        expected: State,
        /// Found.
        found: State,
    },
    /// The endpoint does not have the block.
    #[error("block {0}: the endpoint does not have it")]
    BlockMissing(u64),
    /// Bytes from the chain are not what the interface promises.
    #[error("{what}: {detail}")]
    Decode {
        /// The thing.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A key could not sign.
    #[error("signing: {0}")]
    Sign(#[source] alloy::signers::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing it.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Rpc(RpcError::Transport(_) | RpcError::ErrorResp(_))
                | Self::Pending(_)
                | Self::BlockMissing(_)
        )
    }

    /// The revert, where a contract refused the call.
    pub const fn revert(&self) -> Option<&Revert> {
        match self {
            Self::Reverted(revert) => Some(revert),
            _ => None,
        }
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        match error
            .as_error_resp()
            .and_then(|payload| payload.as_revert_data())
        {
            Some(data) => Self::Reverted(Revert::decode(&data)),
            None => Self::Rpc(error),
        }
    }
}

impl From<alloy::contract::Error> for Error {
    fn from(error: alloy::contract::Error) -> Self {
        match error {
            alloy::contract::Error::TransportError(error) => error.into(),
            alloy::contract::Error::PendingTransactionError(error) => error.into(),
            other => Self::Call(Box::new(other)),
        }
    }
}

impl From<alloy::providers::PendingTransactionError> for Error {
    fn from(error: alloy::providers::PendingTransactionError) -> Self {
        Self::Pending(Box::new(error))
    }
}

/// An error with its causes, for people. A cause that the text before repeats already is left out: libraries
/// differ in whether an error's text includes its cause's.
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn a_cause_is_told_once() {
        let shown = |texts: &[&'static str]| {
            let mut made: Option<Box<Layer>> = None;
            for text in texts.iter().rev() {
                made = Some(Box::new(Layer { text, source: made }));
            }
            super::told(&*made.unwrap())
        };
        for (texts, expected) in [
            (&["opening", "file", "denied"][..], "opening: file: denied"),
            (&["file: denied", "denied"], "file: denied"),
            (
                &["rpc: sending", "sending", "sending", "refused"],
                "rpc: sending: refused",
            ),
            (&["alone"], "alone"),
        ] {
            assert_eq!(shown(texts), expected);
        }
    }
}
