//! What can go wrong in the chain, in the words other nodes use, so that clients that match on
//! them keep working.

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::{Panic, Revert, SolError};

/// A request the chain refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call reverted.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// The call ended exceptionally.
    #[error("EVM error {0}")]
    Halted(String),
    /// No gas limit allowed makes the transaction succeed.
    #[error("Out of gas: gas required exceeds allowance: {allowance}")]
    OutOfGas {
        /// The largest gas limit tried.
        allowance: u64,
    },
    /// The sender used this nonce already.
    #[error("nonce too low")]
    NonceTooLow,
    /// The nonce cannot be counted any further.
    #[error("nonce max value reached")]
    NonceMax,
    /// The sender's balance does not cover value and gas.
    #[error("Insufficient funds for gas * price + value")]
    InsufficientFunds,
    /// The fee offered is below the base fee.
    #[error("max fee per gas less than block base fee")]
    FeeBelowBaseFee,
    /// The tip exceeds the fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// The gas limit does not cover the fixed costs.
    #[error("intrinsic gas too low")]
    IntrinsicGas,
    /// The gas limit of a call does not cover the fixed costs.
    #[error("intrinsic gas too high -- CallGasCostMoreThanGasLimit")]
    CallIntrinsicGas,
    /// The gas limit exceeds that of a block.
    #[error("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit")]
    GasAboveBlock,
    /// The init code is longer than EIP-3860 allows.
    #[error("max initcode size exceeded")]
    InitCodeTooLong,
    /// A transaction with this sender and nonce offers as much.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The transaction is in the pool or in a block.
    #[error("transaction already imported")]
    AlreadyImported,
    /// The transaction is for another chain.
    #[error("invalid chain id for signer: expected {expected}, got {got}")]
    WrongChain {
        /// This chain.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// A request to sign names another chain.
    #[error(
        "transaction-provided chain ID ({got}) does not match the signer's chain ID ({expected})"
    )]
    SignerChain {
        /// This chain.
        expected: u64,
        /// The request's.
        got: u64,
    },
    /// The EVM refuses the transaction.
    #[error("{0}")]
    InvalidTransaction(String),
    /// No bytes where a transaction was expected.
    #[error("Empty transaction data")]
    EmptyTransaction,
    /// Bytes that are no transaction.
    #[error("Failed to decode transaction")]
    UndecodableTransaction,
    /// The signature recovers to no address.
    #[error("could not recover the sender: the transaction's signature is invalid")]
    BadSignature,
    /// Blob transactions do not exist here.
    #[error("blob transactions (EIP-4844) are not supported by this chain")]
    BlobTransaction,
    /// Fields of the request that exclude each other, or that are missing.
    #[error("cannot build a transaction: {0}")]
    Unbuildable(String),
    /// The node does not hold the key and does not impersonate the account.
    #[error("No Signer available")]
    NoSigner(Address),
    /// A block number beyond the newest block.
    #[error("BlockOutOfRangeError: block height is {height} but requested was {requested}")]
    BlockOutOfRange {
        /// The newest block.
        height: u64,
        /// The one asked for.
        requested: u64,
    },
    /// A block hash that is not in the chain.
    #[error("Resource not found")]
    UnknownBlockHash(B256),
    /// A block hash in a log filter that is not in the chain.
    #[error("unknown block")]
    UnknownFilterBlock(B256),
    /// A filter that was never installed, was removed, or was not used for too long.
    #[error("filter not found")]
    UnknownFilter,
    /// No transaction with this hash is in a block.
    #[error("transaction {0} not found")]
    UnknownTransaction(B256),
    /// A timestamp before that of the newest block.
    #[error("Timestamp error: {timestamp} is lower than previous block's timestamp")]
    TimestampTooLow {
        /// The timestamp asked for.
        timestamp: u64,
    },
    /// A request that makes no sense, or that this node does not offer.
    #[error("{0}")]
    Refused(String),
    /// A fault of the node itself.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// The JSON-RPC error code.
    pub fn code(&self) -> i64 {
        match self {
            Self::Reverted(_) => 3,
            Self::Halted(_) | Self::Internal(_) => -32603,
            Self::OutOfGas { .. }
            | Self::NonceTooLow
            | Self::NonceMax
            | Self::InsufficientFunds
            | Self::FeeBelowBaseFee
            | Self::TipAboveFee
            | Self::InitCodeTooLong
            | Self::Underpriced
            | Self::AlreadyImported
            | Self::WrongChain { .. }
            | Self::InvalidTransaction(_)
            | Self::BadSignature
            | Self::BlobTransaction => -32003,
            Self::IntrinsicGas
            | Self::CallIntrinsicGas
            | Self::GasAboveBlock
            | Self::UnknownFilterBlock(_)
            | Self::UnknownFilter
            | Self::UnknownTransaction(_) => -32000,
            Self::UnknownBlockHash(_) => -32001,
            Self::EmptyTransaction
            | Self::UndecodableTransaction
            | Self::Unbuildable(_)
            | Self::SignerChain { .. }
            | Self::NoSigner(_)
            | Self::BlockOutOfRange { .. }
            | Self::TimestampTooLow { .. }
            | Self::Refused(_) => -32602,
        }
    }

    /// What goes into the error's `data`.
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Reverted(data) => Some(data),
            _ => None,
        }
    }
}

/// "execution reverted", with the reason where the data tells one.
pub fn revert_message(data: &[u8]) -> String {
    match revert_reason(data) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".into(),
    }
}

/// The reason in revert data: the string of `Error(string)`, the meaning of a panic code, text,
/// or else the bytes.
fn revert_reason(data: &[u8]) -> Option<String> {
    if data.is_empty() {
        return None;
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return Some(revert.reason);
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return Some(panic.to_string());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        return Some(text.to_owned());
    }
    Some(match data.split_first_chunk::<4>() {
        Some((selector, rest)) => {
            format!(
                "custom error 0x{}: {}",
                hex::encode(selector),
                hex::encode(rest)
            )
        }
        None => format!("custom error bytes 0x{}", hex::encode(data)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_reason_of_a_revert() {
        let error = Revert::from("no".to_owned()).abi_encode();
        assert_eq!(revert_message(&error), "execution reverted: no");
        let panic = Panic::from(0x11).abi_encode();
        assert_eq!(
            revert_message(&panic),
            "execution reverted: panic: arithmetic underflow or overflow (0x11)"
        );
        assert_eq!(revert_message(&[]), "execution reverted");
        assert_eq!(
            revert_message(&[0xff, 0xee]),
            "execution reverted: custom error bytes 0xffee"
        );
        assert_eq!(
            revert_message(&[0xff, 0xee, 0xdd, 0xcc, 0x80]),
            "execution reverted: custom error 0xffeeddcc: 80"
        );
    }
}
