//! The accounts a fresh chain starts with.

use revm::{
    primitives::{Address, HashMap, U256, address, hex},
    state::{AccountInfo, Bytecode},
};

use crate::{
    params::{CACHE_MANAGERS, CHAIN_OWNERS, STATE_ACCOUNT},
    precompiles,
};

/// One account of the first block: address, balance, nonce and code, storage.
pub type GenesisAccount = (Address, AccountInfo, HashMap<U256, U256>);

/// The deterministic deployer every tool expects: takes a salt and init code as calldata.
pub const CREATE2_FACTORY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// Deploys, activates and constructs a program in one transaction, for `cargo stylus deploy`.
pub const STYLUS_DEPLOYER: Address = address!("0xcEcba2F1DC234f70Dd89F2041029807F8D03A990");

/// Sells places in the program cache, for `cargo stylus cache`: where Arbitrum's local chains have
/// theirs.
pub const CACHE_MANAGER: Address = address!("0x2F8Bd4EaB69764c105aDd7dE7CB0402557a44E6f");

/// Bytes of native code the program cache may hold.
const CACHE_SIZE: u64 = 32 << 20;

/// The development account of Nitro's local chains, which is the chain owner. Its key is public.
pub const DEV_ACCOUNT: Address = address!("0x3f1Eae7D46d88F08fc2F8ed27FCb2AB183EB2d0E");

/// Copies calldata after the first word, creates it with that word as salt, returns the address.
const CREATE2_FACTORY_CODE: &str = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
    ffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

/// Runtime of the contract whose deployment by the factory gives [`STYLUS_DEPLOYER`]. The bytes
/// are those that `stylus-tools` 0.10.10 (MIT or Apache-2.0) deploys to its test chains.
const STYLUS_DEPLOYER_CODE: &str = include_str!("../assets/stylus_deployer.hex");

/// Runtime of `assets/CacheManager.sol`. A test of the whole system compiles the source and compares.
const CACHE_MANAGER_CODE: &str = include_str!("../assets/cache_manager.hex");

/// What precompiles hold, so that checks for code succeed: an invalid instruction.
const PRECOMPILE_CODE: [u8; 1] = [0xfe];

/// The system accounts of a fresh chain: precompiles, their state, the two deployers that
/// `cargo stylus deploy` expects, and the cache manager of `cargo stylus cache`. Funded user accounts are the node's business.
pub fn genesis_accounts() -> impl Iterator<Item = GenesisAccount> {
    let decode = |text: &str| {
        let digits: String = text.split_whitespace().collect();
        hex::decode(digits).unwrap_or_default()
    };
    let mut accounts: Vec<GenesisAccount> = precompiles::ADDRESSES
        .into_iter()
        .map(|address| (address, PRECOMPILE_CODE.to_vec()))
        .chain([
            (CREATE2_FACTORY, decode(CREATE2_FACTORY_CODE)),
            (STYLUS_DEPLOYER, decode(STYLUS_DEPLOYER_CODE)),
            (CACHE_MANAGER, decode(CACHE_MANAGER_CODE)),
        ])
        .map(|(address, code)| {
            let code = Bytecode::new_raw(code.into());
            let info = AccountInfo {
                nonce: 1,
                ..AccountInfo::from_bytecode(code)
            };
            let mut storage = HashMap::default();
            if address == CACHE_MANAGER {
                // Its constructor's work: the size of the cache, first in the first slot.
                storage.insert(U256::ZERO, U256::from(CACHE_SIZE));
            }
            (address, info, storage)
        })
        .collect();
    let state = AccountInfo {
        nonce: 1,
        ..AccountInfo::default()
    };
    let owner = CHAIN_OWNERS.slots_for(DEV_ACCOUNT, 0);
    let manager = CACHE_MANAGERS.slots_for(CACHE_MANAGER, 0);
    let storage = owner.into_iter().chain(manager).collect();
    accounts.push((STATE_ACCOUNT, state, storage));
    accounts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::primitives::keccak256;

    #[test]
    fn deployers_have_their_code() {
        let accounts: HashMap<_, _> = genesis_accounts()
            .map(|(address, info, _)| (address, info))
            .collect();
        let code = |address| accounts[&address].code.as_ref().unwrap().original_bytes();
        // As on every public chain.
        assert_eq!(
            keccak256(code(CREATE2_FACTORY)),
            "0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989"
                .parse::<revm::primitives::B256>()
                .unwrap()
        );
        assert_eq!(code(STYLUS_DEPLOYER).len(), 0x8dd);
        for address in precompiles::ADDRESSES {
            assert_eq!(code(address).as_ref(), PRECOMPILE_CODE);
        }
    }
}
