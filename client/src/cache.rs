//! Keeps programs in the chain's cache, where starting them costs a fraction.
//!
//! A chain sells places by auction through a cache manager. Which manager is asked, and how, is what
//! `cargo stylus cache` does: the last of those that the chain names.

use alloy::primitives::{Address, U256, address, aliases::U192};
use alloy::providers::DynProvider;
use alloy::sol;

use crate::deployment::{Contract, Deployment};
use crate::{Error, send};

/// The precompile that knows what is cached.
pub const ARB_WASM_CACHE: Address = address!("0x0000000000000000000000000000000000000072");

sol! {
    #[sol(rpc)]
    interface IArbWasmCache {
        function allCacheManagers() external view returns (address[] managers);
        function codehashIsCached(bytes32 codehash) external view returns (bool);
    }

    #[sol(rpc)]
    interface ICacheManager {
        function getMinBid(address program) external view returns (uint192 min);
        function placeBid(address program) external payable;
    }
}

/// What became of a contract's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bid {
    /// It is cached, and was before.
    Kept,
    /// It is cached now, for a bid of this many wei.
    Placed(U256),
    /// A bid of this many wei would cache it: more than was allowed.
    TooDear(U256),
    /// The chain has no cache manager.
    NoManager,
}

/// Has the chain cache every program of a deployment for at most `most` wei each.
///
/// # Errors
/// [`Error::ContractMissing`], [`Error::Rpc`], [`Error::Reverted`], [`Error::Failed`].
pub async fn bid(
    provider: &DynProvider,
    deployment: &Deployment,
    most: U256,
    mut report: impl FnMut(Contract, Bid),
) -> Result<(), Error> {
    let cache = IArbWasmCache::new(ARB_WASM_CACHE, provider.clone());
    let manager = cache.allCacheManagers().call().await?.pop();
    for contract in Contract::ALL {
        let entry = deployment.get(contract)?;
        let bid = if cache.codehashIsCached(entry.code_hash).call().await? {
            Bid::Kept
        } else if let Some(manager) = manager {
            place(provider, manager, entry.address, most).await?
        } else {
            Bid::NoManager
        };
        report(contract, bid);
    }
    Ok(())
}

async fn place(
    provider: &DynProvider,
    manager: Address,
    program: Address,
    most: U256,
) -> Result<Bid, Error> {
    let manager = ICacheManager::new(manager, provider.clone());
    let min: U192 = manager.getMinBid(program).call().await?;
    let min = U256::from(min);
    if min > most {
        return Ok(Bid::TooDear(min));
    }
    send(manager.placeBid(program).value(min)).await?;
    Ok(Bid::Placed(min))
}
