//! The JSON-RPC methods.
//!
//! Methods run one after another on the chain's thread, so each sees the chain between two
//! changes, never within one.

mod control;
mod debug;
mod error;
mod json;
mod mempool;
mod params;
mod read;
mod send;
mod server;
mod socket;

use serde_json::Value;

use crate::chain::Chain;
use error::RpcError;
use params::Params;

pub(crate) use server::serve;

type Answer = Result<Value, RpcError>;

/// What `web3_clientVersion` says. Tools look for the first part to learn that they may use the
/// methods of Anvil.
pub const CLIENT_VERSION: &str = concat!("anvil/v1.7.1/vouch-devnet/", env!("CARGO_PKG_VERSION"));

/// Runs one method.
pub(crate) fn dispatch(chain: &mut Chain, method: &str, params: &Params) -> Answer {
    let groups = [
        read::call,
        send::call,
        control::call,
        mempool::call,
        debug::call,
    ];
    for group in groups {
        if let Some(answer) = group(chain, method, params) {
            return answer;
        }
    }
    Err(RpcError::method_not_found())
}
