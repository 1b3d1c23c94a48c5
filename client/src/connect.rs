//! Providers: one constructor for HTTP and WebSocket endpoints.

use std::time::Duration;

use alloy::network::EthereumWallet;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::signers::local::PrivateKeySigner;
use vouch_abi::DEVELOPMENT;

use crate::Error;

/// How often a receipt is asked for on a development chain.
const DEVELOPMENT_POLL: Duration = Duration::from_millis(50);

/// Whether the chain id is that of a development chain: the only ones where well-known keys, simulated
/// vendor roots and keys from the environment are accepted.
pub const fn is_development(chain_id: u64) -> bool {
    chain_id == DEVELOPMENT[0] || chain_id == DEVELOPMENT[1]
}

/// Connects to an endpoint, over HTTP or WebSocket by its scheme. With a signer, transactions are
/// signed and sent from its address.
///
/// # Errors
/// [`Error::Endpoint`] for an address with another scheme, [`Error::Rpc`] where it does not answer.
pub async fn connect(url: &str, signer: Option<PrivateKeySigner>) -> Result<DynProvider, Error> {
    if !["http://", "https://", "ws://", "wss://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        let detail = "unknown scheme".to_owned();
        return Err(Error::Endpoint {
            url: url.to_owned(),
            detail,
        });
    }
    let provider = match signer {
        // Nonces are read anew for each transaction: a cached one would be used up by a transaction
        // whose gas estimate fails, and all that follow would wait for it.
        Some(signer) => ProviderBuilder::default()
            .fetch_chain_id()
            .with_gas_estimation()
            .with_simple_nonce_management()
            .wallet(EthereumWallet::from(signer))
            .connect(url)
            .await
            .map(|p| p.erased()),
        None => ProviderBuilder::new()
            .connect(url)
            .await
            .map(|p| p.erased()),
    };
    let provider = provider.map_err(|e| match e {
        alloy::transports::RpcError::LocalUsageError(detail) => Error::Endpoint {
            url: url.to_owned(),
            detail: detail.to_string(),
        },
        other => other.into(),
    })?;
    if is_development(provider.get_chain_id().await?) {
        provider.client().set_poll_interval(DEVELOPMENT_POLL);
    }
    Ok(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unknown_schemes_are_refused() {
        for url in ["", "localhost:8545", "ftp://localhost", "http:/localhost"] {
            let error = connect(url, None).await.unwrap_err();
            assert!(matches!(error, Error::Endpoint { .. }), "{url}: {error}");
        }
    }
}
