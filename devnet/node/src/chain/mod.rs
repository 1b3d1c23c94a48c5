//! The chain: state, blocks, waiting transactions and the clock, with everything a test may ask
//! of them.

pub mod block;
mod call;
mod control;
mod dump;
mod error;
mod events;
mod filters;
pub mod history;
mod mine;
mod pool;
mod proof;
mod request;
mod root;
mod submit;
mod time;
mod trace;
mod tx;

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes, U256},
};
use revm::context::BlockEnv;
use tokio::sync::{broadcast, watch};

pub use call::CallOverrides;
pub use control::Replacement;
pub use dump::{DumpedAccount, DumpedState};
pub use error::{Error, revert_message};
pub use events::{BlockEvent, Event};
pub use filters::{Changes, Watch, wants};
pub use proof::AccountProof;
pub use request::no_signature;
pub use time::now;
pub use trace::Tracer;
pub use tx::SentTx;

use crate::{
    accounts::Accounts,
    config::{BaseFee, Config, Mining},
    execute::{Db, Machine},
};
use block::{Block, MinedTx};
use control::Snapshot;
use filters::Filters;
use history::{Account, History, Version, View};
use pool::Pool;
use root::Roots;
use time::Clock;

/// Which state a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After the block with this number.
    Block(u64),
    /// As if a block were made now of what waits.
    Pending,
}

/// A chain and the node's dealings with it.
#[derive(Debug)]
pub struct Chain {
    /// Chain id.
    pub chain_id: u64,
    /// Gas limit of new blocks.
    pub gas_limit: u64,
    /// Most gas of one call.
    pub call_gas_limit: u64,
    /// Receiver of tips.
    pub coinbase: Address,
    /// Accounts with keys.
    pub accounts: Accounts,
    /// Accounts that may be sent from without a key.
    pub impersonated: HashSet<Address>,
    /// Whether any account may be.
    pub auto_impersonate: bool,
    /// Identifies this run of the node.
    pub instance: B256,
    mining: watch::Sender<Mining>,
    machine: Machine,
    base_fee: BaseFee,
    next_base_fee: Option<u64>,
    next_prevrandao: Option<B256>,
    clock: Clock,
    history: History,
    roots: Roots,
    genesis: Version,
    blocks: Vec<Block>,
    hashes: Vec<B256>,
    by_hash: HashMap<B256, u64>,
    txs: HashMap<B256, (u64, usize)>,
    pool: Pool,
    snapshots: BTreeMap<u64, Snapshot>,
    next_snapshot: u64,
    filters: Filters,
    events: broadcast::Sender<Event>,
}

impl Chain {
    /// A chain of one block, with its accounts funded.
    pub fn new(
        config: &Config,
        accounts: Accounts,
        events: broadcast::Sender<Event>,
        mining: watch::Sender<Mining>,
    ) -> Self {
        let timestamp = config.timestamp.unwrap_or_else(now);
        let mut chain = Self {
            chain_id: config.chain_id,
            gas_limit: config.gas_limit,
            call_gas_limit: config.call_gas_limit,
            coinbase: config.coinbase,
            mining,
            impersonated: HashSet::new(),
            auto_impersonate: config.auto_impersonate,
            instance: instance_id(),
            machine: Machine::default(),
            base_fee: config.base_fee,
            next_base_fee: None,
            next_prevrandao: None,
            clock: Clock::starting_at(timestamp),
            history: History::default(),
            roots: Roots::default(),
            genesis: Version::default(),
            blocks: Vec::new(),
            hashes: Vec::new(),
            by_hash: HashMap::new(),
            txs: HashMap::new(),
            pool: Pool::default(),
            snapshots: BTreeMap::new(),
            next_snapshot: 0,
            filters: Filters::default(),
            accounts,
            events,
        };
        chain.write_genesis(config.balance);
        chain.push_genesis(timestamp);
        chain
    }

    fn write_genesis(&mut self, balance: U256) {
        self.history.begin();
        for (address, info, storage) in vouch_stylus::genesis_accounts() {
            let code = info
                .code
                .as_ref()
                .map(|code| code.original_bytes())
                .unwrap_or_default();
            let code_hash = self.history.add_code(code);
            let account = Account {
                balance: info.balance,
                nonce: info.nonce,
                code_hash,
            };
            self.history.write_account(address, account);
            for (key, value) in storage {
                self.history.write_slot(address, key, value);
            }
        }
        let funded: Vec<Address> = self.accounts.addresses().collect();
        for address in funded {
            self.history.write_account(
                address,
                Account {
                    balance,
                    ..Account::default()
                },
            );
        }
        self.genesis = self.history.version();
    }

    /// The newest block.
    pub fn head(&self) -> &Block {
        self.blocks.last().expect("a chain has its first block")
    }

    /// The block with this number.
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    /// The block with this hash.
    pub fn block_by_hash(&self, hash: &B256) -> Option<&Block> {
        self.block(*self.by_hash.get(hash)?)
    }

    /// A transaction in a block: the block, its index in it, and itself.
    pub fn mined(&self, hash: &B256) -> Option<(&Block, usize, &MinedTx)> {
        let (number, index) = *self.txs.get(hash)?;
        let block = self.block(number)?;
        Some((block, index, block.txs.get(index)?))
    }

    /// The waiting transactions.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Installed log, block and transaction filters.
    pub fn filters(&mut self) -> &mut Filters {
        &mut self.filters
    }

    /// When blocks are made.
    pub fn mining(&self) -> Mining {
        *self.mining.borrow()
    }

    /// Clients that want to hear of new blocks and transactions.
    pub fn events(&self) -> &broadcast::Sender<Event> {
        &self.events
    }

    /// The number a tag stands for. Safe lags by one epoch and finalized by two, as elsewhere.
    pub fn number_of(&self, tag: BlockNumberOrTag) -> At {
        let head = self.head().number();
        At::Block(match tag {
            BlockNumberOrTag::Latest => head,
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Safe => head.saturating_sub(32),
            BlockNumberOrTag::Finalized => head.saturating_sub(64),
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Pending => return At::Pending,
        })
    }

    /// Finds the block a request names.
    ///
    /// # Errors
    /// There is no such block.
    pub fn resolve(&self, id: BlockId) -> Result<At, Error> {
        match id {
            BlockId::Hash(hash) => {
                let number = self.by_hash.get(&hash.block_hash).copied();
                number
                    .map(At::Block)
                    .ok_or(Error::UnknownBlockHash(hash.block_hash))
            }
            BlockId::Number(tag) => match self.number_of(tag) {
                At::Block(requested) if requested > self.head().number() => {
                    Err(Error::BlockOutOfRange {
                        height: self.head().number(),
                        requested,
                    })
                }
                at => Ok(at),
            },
        }
    }

    /// Runs `question` on the state and block environment `at`.
    pub fn at<R>(&mut self, at: At, question: impl FnOnce(&Self, Version, BlockEnv) -> R) -> R {
        match at {
            At::Block(number) => {
                let block = self.block(number).unwrap_or_else(|| self.head());
                let (version, env) = (self.version_after(block), block.env());
                question(self, version, env)
            }
            At::Pending => self
                .with_pending(|chain, block| question(chain, chain.history.version(), block.env())),
        }
    }

    /// The state after a block; for the newest block, with what was changed since by request.
    fn version_after(&self, block: &Block) -> Version {
        if block.number() == self.head().number() {
            self.history.version()
        } else {
            block.end
        }
    }

    /// A database over one version.
    fn db(&self, version: Version) -> Db<'_> {
        Db::new(View {
            history: &self.history,
            version,
            block_hashes: &self.hashes,
        })
    }

    /// An account.
    pub fn account(&mut self, address: Address, at: At) -> Account {
        self.at(at, |chain, version, _| {
            chain.history.account_at(&address, version)
        })
    }

    /// An account's code.
    pub fn code(&mut self, address: Address, at: At) -> Bytes {
        self.at(at, |chain, version, _| {
            chain.history.code_at(&address, version)
        })
    }

    /// A storage slot.
    pub fn slot(&mut self, address: Address, key: U256, at: At) -> U256 {
        self.at(at, |chain, version, _| {
            chain.history.slot_at(&address, &key, version)
        })
    }

    /// The root of an account's storage.
    pub fn storage_root(&mut self, address: Address, at: At) -> B256 {
        self.at(at, |chain, version, _| {
            root::storage_root_at(&chain.history, &address, version)
        })
    }

    /// The newest nonce of an account.
    pub fn nonce(&self, address: &Address) -> u64 {
        self.history.account(address).nonce
    }

    /// The nonce an account's next transaction needs, counting what waits.
    pub fn pending_nonce(&self, address: &Address) -> u64 {
        self.pool.next_nonce(address, self.nonce(address))
    }

    /// The base fee of the next block, in wei.
    pub fn next_base_fee(&self) -> u64 {
        if let Some(wei) = self.next_base_fee {
            return wei;
        }
        match self.base_fee {
            BaseFee::Constant(wei) => wei,
            BaseFee::Adjusting(wei) => self
                .head()
                .header
                .next_block_base_fee(alloy::eips::eip1559::BaseFeeParams::ethereum())
                .unwrap_or(wei),
        }
    }
}

/// A number that differs between runs.
fn instance_id() -> B256 {
    let seed = format!("{:?} {}", std::time::SystemTime::now(), std::process::id());
    alloy::primitives::keccak256(seed)
}
