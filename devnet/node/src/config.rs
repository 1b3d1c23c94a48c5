//! What a node is started with.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use alloy::primitives::{Address, U256};

/// The mnemonic every Ethereum development node uses. Its keys are public.
pub const DEFAULT_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The base fee, in wei, if none is asked for: that of a fresh Arbitrum development chain.
pub const DEFAULT_BASE_FEE: u64 = 100_000_000;

/// The gas limit of a block if none is asked for. Ample, so that activations of large programs
/// and long demonstrations fit in one block.
pub const DEFAULT_GAS_LIMIT: u64 = 1_000_000_000;

/// How the base fee of a block follows from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFee {
    /// Always this many wei. Clients that offer exactly `eth_gasPrice`, as `cargo stylus` does,
    /// need it.
    Constant(u64),
    /// This many wei in the first block, then by the rule of EIP-1559.
    Adjusting(u64),
}

impl BaseFee {
    /// The base fee of the first block, in wei.
    pub fn initial(self) -> u64 {
        match self {
            Self::Constant(wei) | Self::Adjusting(wei) => wei,
        }
    }
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// One for each transaction, as it comes.
    Auto,
    /// One per interval.
    Interval(Duration),
    /// Only on request.
    Manual,
}

/// What a node is started with. The default is a chain with id 31337 on a free port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Chain id.
    pub chain_id: u64,
    /// How many accounts to derive from the mnemonic.
    pub accounts: u32,
    /// Where the accounts' keys come from.
    pub mnemonic: String,
    /// Derivation path without the account's index.
    pub derivation_path: String,
    /// Wei given to each account.
    pub balance: U256,
    /// When blocks are made.
    pub mining: Mining,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Most gas one `eth_call`, estimate or trace may use.
    pub call_gas_limit: u64,
    /// Base fee of blocks.
    pub base_fee: BaseFee,
    /// Timestamp of the first block; the present if absent.
    pub timestamp: Option<u64>,
    /// Who receives the tips.
    pub coinbase: Address,
    /// Whether transactions may be sent for any account without its key.
    pub auto_impersonate: bool,
    /// State to load at the start, as `anvil_dumpState` writes it.
    pub load_state: Option<PathBuf>,
    /// Where to write the state at the end.
    pub dump_state: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            chain_id: 31337,
            accounts: 10,
            mnemonic: DEFAULT_MNEMONIC.into(),
            derivation_path: "m/44'/60'/0'/0/".into(),
            balance: U256::from(10_000) * U256::from(10).pow(U256::from(18)),
            mining: Mining::Auto,
            gas_limit: DEFAULT_GAS_LIMIT,
            call_gas_limit: 100_000_000,
            base_fee: BaseFee::Constant(DEFAULT_BASE_FEE),
            timestamp: None,
            coinbase: Address::ZERO,
            auto_impersonate: false,
            load_state: None,
            dump_state: None,
        }
    }
}
