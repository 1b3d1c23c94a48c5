//! The accounts a fresh chain starts with.

use revm::{
    primitives::{Address, HashMap, U256},
    state::AccountInfo,
};

/// One account of the first block: address, balance, nonce and code, storage.
pub type GenesisAccount = (Address, AccountInfo, HashMap<U256, U256>);

/// The system accounts of a fresh chain: precompiles, their state, and the two deployers that
/// `cargo stylus deploy` expects. Funded user accounts are the node's business.
pub fn genesis_accounts() -> impl Iterator<Item = GenesisAccount> {
    Vec::new().into_iter()
}
