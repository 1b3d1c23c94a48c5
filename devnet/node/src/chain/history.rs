//! Every account at every version.
//!
//! A version is a number that grows by one with each committed change: one transaction, or one
//! request such as `anvil_setBalance`. Old values stay, so a call may read any past block, and
//! going back is forgetting the writes made since.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use alloy::primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::{
    bytecode::Bytecode,
    database_interface::DatabaseRef,
    state::{AccountInfo, EvmState},
};

/// Identifies one state of the world. Later states have larger versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Wei held.
    pub balance: U256,
    /// Transactions sent or contracts created.
    pub nonce: u64,
    /// Keccak-256 of the code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            balance: U256::ZERO,
            nonce: 0,
            code_hash: KECCAK256_EMPTY,
        }
    }
}

impl Account {
    /// Empty in the sense of EIP-161: such an account does not exist in the state trie.
    pub fn is_empty(&self) -> bool {
        self.balance.is_zero() && self.nonce == 0 && self.code_hash == KECCAK256_EMPTY
    }
}

#[derive(Clone, Copy, Debug)]
enum Written {
    Account(Address),
    Slot(Address, U256),
}

/// What the state root must take into account again.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether anything changed.
    pub(super) any: bool,
    /// Accounts whose storage changed.
    pub(super) storage: HashSet<Address>,
}

/// All values ever written, with the version that wrote them.
#[derive(Debug, Default)]
pub struct History {
    version: Version,
    accounts: HashMap<Address, Vec<(Version, Account)>>,
    storage: HashMap<Address, HashMap<U256, Vec<(Version, U256)>>>,
    codes: HashMap<B256, Bytecode>,
    writes: Vec<(Version, Written)>,
    /// What changed since [`Self::take_changes`] was last called.
    changes: Changes,
}

impl History {
    /// The newest version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Starts a version; the writes that follow belong to it.
    pub fn begin(&mut self) -> Version {
        self.version.0 += 1;
        self.version
    }

    /// The newest value of an account.
    pub fn account(&self, address: &Address) -> Account {
        self.account_at(address, self.version)
    }

    /// An account at `version`; one never written is the empty account.
    pub fn account_at(&self, address: &Address, version: Version) -> Account {
        self.accounts
            .get(address)
            .and_then(|writes| value_at(writes, version))
            .unwrap_or_default()
    }

    /// A storage slot at `version`; one never written is zero.
    pub fn slot_at(&self, address: &Address, key: &U256, version: Version) -> U256 {
        self.storage
            .get(address)
            .and_then(|slots| slots.get(key))
            .and_then(|writes| value_at(writes, version))
            .unwrap_or_default()
    }

    /// The code with this hash; unknown hashes are empty code.
    pub fn code(&self, hash: &B256) -> Bytecode {
        self.codes.get(hash).cloned().unwrap_or_default()
    }

    /// The code of an account at `version`, as deployed.
    pub fn code_at(&self, address: &Address, version: Version) -> Bytes {
        self.code(&self.account_at(address, version).code_hash)
            .original_bytes()
    }

    /// Writes an account in the current version.
    pub fn write_account(&mut self, address: Address, account: Account) {
        if self.account(&address) == account {
            return;
        }
        let writes = self.accounts.entry(address).or_default();
        write(writes, self.version, account);
        self.changes.any = true;
        self.writes.push((self.version, Written::Account(address)));
    }

    /// Writes a storage slot in the current version.
    pub fn write_slot(&mut self, address: Address, key: U256, value: U256) {
        if self.slot_at(&address, &key, self.version) == value {
            return;
        }
        let writes = self
            .storage
            .entry(address)
            .or_default()
            .entry(key)
            .or_default();
        write(writes, self.version, value);
        self.changes.any = true;
        self.writes
            .push((self.version, Written::Slot(address, key)));
        self.changes.storage.insert(address);
    }

    /// Remembers code and returns its hash.
    pub fn add_code(&mut self, code: Bytes) -> B256 {
        if code.is_empty() {
            return KECCAK256_EMPTY;
        }
        // A malformed EIP-7702 designator is kept as the bytes it is.
        let bytecode =
            Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code));
        let hash = bytecode.hash_slow();
        self.codes.insert(hash, bytecode);
        hash
    }

    /// Sets every non-zero slot of an account to zero.
    pub fn clear_storage(&mut self, address: Address) {
        let keys: Vec<U256> = self
            .storage_at(&address, self.version)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.write_slot(address, key, U256::ZERO);
        }
    }

    /// Applies what a transaction did, as a new version.
    pub fn commit(&mut self, state: EvmState) {
        self.begin();
        for (address, account) in state {
            if !account.is_touched() {
                continue;
            }
            if account.is_selfdestructed() {
                self.clear_storage(address);
                self.write_account(address, Account::default());
                continue;
            }
            if account.is_created() {
                self.clear_storage(address);
            }
            if let Some(code) = &account.info.code
                && !code.is_empty()
            {
                self.codes
                    .entry(account.info.code_hash)
                    .or_insert_with(|| code.clone());
            }
            let written = Account {
                balance: account.info.balance,
                nonce: account.info.nonce,
                code_hash: match account.info.code_hash {
                    B256::ZERO => KECCAK256_EMPTY,
                    hash => hash,
                },
            };
            self.write_account(address, written);
            for (key, slot) in account.changed_storage_slots() {
                self.write_slot(address, *key, slot.present_value());
            }
        }
    }

    /// Forgets every write after `version`.
    pub fn truncate(&mut self, version: Version) {
        while let Some((at, written)) = self.writes.last().copied() {
            if at <= version {
                break;
            }
            self.writes.pop();
            self.changes.any = true;
            match written {
                Written::Account(address) => {
                    if let Some(writes) = self.accounts.get_mut(&address) {
                        writes.retain(|(at, _)| *at <= version);
                    }
                }
                Written::Slot(address, key) => {
                    if let Some(writes) = self
                        .storage
                        .get_mut(&address)
                        .and_then(|slots| slots.get_mut(&key))
                    {
                        writes.retain(|(at, _)| *at <= version);
                    }
                    self.changes.storage.insert(address);
                }
            }
        }
        self.version = self.version.min(version);
    }

    /// Accounts that exist at `version`, in no particular order.
    pub fn accounts_at(&self, version: Version) -> impl Iterator<Item = (Address, Account)> {
        self.accounts.iter().filter_map(move |(address, writes)| {
            value_at(writes, version)
                .filter(|account| !account.is_empty())
                .map(|account| (*address, account))
        })
    }

    /// Non-zero slots of an account at `version`, in no particular order.
    pub fn storage_at(&self, address: &Address, version: Version) -> Vec<(U256, U256)> {
        let Some(slots) = self.storage.get(address) else {
            return Vec::new();
        };
        slots
            .iter()
            .filter_map(|(key, writes)| value_at(writes, version).map(|value| (*key, value)))
            .filter(|(_, value)| !value.is_zero())
            .collect()
    }

    /// What changed since the last call.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }
}

fn value_at<T: Copy>(writes: &[(Version, T)], version: Version) -> Option<T> {
    writes
        .iter()
        .rev()
        .find(|(at, _)| *at <= version)
        .map(|(_, value)| *value)
}

fn write<T>(writes: &mut Vec<(Version, T)>, version: Version, value: T) {
    match writes.last_mut() {
        Some((at, last)) if *at == version => *last = value,
        _ => writes.push((version, value)),
    }
}

/// The state at one version, as the EVM reads it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Where the values come from.
    pub history: &'a History,
    /// The version to read.
    pub version: Version,
    /// Hashes of the blocks that exist, by number.
    pub block_hashes: &'a [B256],
}

impl DatabaseRef for View<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        let account = self.history.account_at(&address, self.version);
        if account.is_empty() {
            return Ok(None);
        }
        Ok(Some(AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: Some(self.history.code(&account.code_hash)),
            account_id: None,
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.history.code(&hash))
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, Infallible> {
        Ok(self.history.slot_at(&address, &key, self.version))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let hash = usize::try_from(number)
            .ok()
            .and_then(|number| self.block_hashes.get(number));
        Ok(hash.copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Address = Address::repeat_byte(1);

    fn with_balance(balance: u64) -> Account {
        Account {
            balance: U256::from(balance),
            ..Account::default()
        }
    }

    #[test]
    fn reads_each_version_as_it_was() {
        let mut history = History::default();
        let first = history.begin();
        history.write_account(ALICE, with_balance(1));
        let second = history.begin();
        history.write_account(ALICE, with_balance(2));
        history.write_slot(ALICE, U256::from(7), U256::from(8));

        assert_eq!(history.account_at(&ALICE, first), with_balance(1));
        assert_eq!(history.account_at(&ALICE, second), with_balance(2));
        assert_eq!(history.slot_at(&ALICE, &U256::from(7), first), U256::ZERO);
        assert_eq!(
            history.slot_at(&ALICE, &U256::from(7), second),
            U256::from(8)
        );
    }

    #[test]
    fn truncate_forgets_later_writes_and_only_those() {
        let mut history = History::default();
        let first = history.begin();
        history.write_account(ALICE, with_balance(1));
        history.write_slot(ALICE, U256::ZERO, U256::from(5));
        history.begin();
        history.write_account(ALICE, with_balance(2));
        history.write_slot(ALICE, U256::ZERO, U256::ZERO);
        history.truncate(first);

        assert_eq!(history.version(), first);
        assert_eq!(history.account(&ALICE), with_balance(1));
        assert_eq!(
            history.storage_at(&ALICE, first),
            vec![(U256::ZERO, U256::from(5))]
        );
    }

    #[test]
    fn two_writes_in_one_version_leave_the_second() {
        let mut history = History::default();
        history.begin();
        history.write_account(ALICE, with_balance(1));
        history.write_account(ALICE, with_balance(2));
        assert_eq!(history.account(&ALICE), with_balance(2));
        history.truncate(Version(0));
        assert_eq!(history.account(&ALICE), Account::default());
    }

    #[test]
    fn cleared_storage_has_no_slots() {
        let mut history = History::default();
        history.begin();
        history.write_slot(ALICE, U256::from(1), U256::from(2));
        history.write_slot(ALICE, U256::from(3), U256::from(4));
        let before = history.version();
        history.begin();
        history.clear_storage(ALICE);
        assert!(history.storage_at(&ALICE, history.version()).is_empty());
        assert_eq!(history.storage_at(&ALICE, before).len(), 2);
    }

    #[test]
    fn malformed_delegation_code_is_kept_as_bytes() {
        let mut history = History::default();
        let code = Bytes::from_static(&[0xef, 0x01, 0x00, 0x01]);
        let hash = history.add_code(code.clone());
        assert_eq!(history.code(&hash).original_bytes(), code);
    }
}
