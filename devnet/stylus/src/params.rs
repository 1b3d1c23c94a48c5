//! Parameters the chain owner may change, and where they are kept.

use revm::{
    Database,
    context::{Journal, JournalTr},
    context_interface::journaled_state::account::JournaledAccountTr,
    primitives::{Address, B256, U256, address, keccak256},
};

/// The account whose storage holds parameters, activated programs, chain owners and cache
/// managers. Nobody can call or own it.
pub const STATE_ACCOUNT: Address = address!("0xA4B05FffffFffFFFFfFFfffFfffFFfffFfFfFFFf");

const PARAMS: U256 = U256::ZERO;
const DATA_DEMAND: U256 = U256::from_limbs([1, 0, 0, 0]);
/// Price a chain owner set for data of the parent chain, in wei.
pub(crate) const L1_PRICE: U256 = U256::from_limbs([2, 0, 0, 0]);
/// Version and time of the upgrade a chain owner announced.
pub(crate) const SCHEDULED_UPGRADE: U256 = U256::from_limbs([3, 0, 0, 0]);

/// Reads a slot of the state account as this transaction sees it, without marking anything warm.
///
/// # Errors
/// The database failed.
pub(crate) fn peek<DB: Database>(journal: &mut Journal<DB>, slot: U256) -> Result<U256, DB::Error> {
    let (db, state) = journal.db_and_state_mut();
    let known = state
        .get(&STATE_ACCOUNT)
        .and_then(|account| account.storage.get(&slot));
    match known {
        Some(slot) => Ok(slot.present_value),
        None => db.storage(STATE_ACCOUNT, slot),
    }
}

/// Writes a slot of the state account through the journal, so that a revert undoes it.
///
/// # Errors
/// The database failed.
pub(crate) fn put<DB: Database>(
    journal: &mut Journal<DB>,
    slot: U256,
    value: U256,
) -> Result<(), DB::Error> {
    // An account with neither nonce, balance nor code would be dropped as empty.
    let mut account = journal.load_account_mut(STATE_ACCOUNT)?;
    if account.data.nonce() == 0 {
        account.data.bump_nonce();
    }
    journal.sstore(STATE_ACCOUNT, slot, value)?;
    journal.touch_account(STATE_ACCOUNT);
    Ok(())
}

/// The slot of `key` in the table named `table`.
pub(crate) fn slot(table: &str, key: &[u8]) -> U256 {
    let table = keccak256(table);
    U256::from_be_bytes(keccak256([table.as_slice(), key].concat()).0)
}

/// Parameters of the Stylus machine. Fields are as narrow as the precompiles' ABI makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Version programs must have been activated with.
    pub version: u16,
    /// Ink for one gas (24 bits).
    pub ink_price: u32,
    /// Words of stack a program may use.
    pub max_stack_depth: u32,
    /// Pages a transaction may use without charge.
    pub free_pages: u16,
    /// Gas for each page in use beyond those.
    pub page_gas: u16,
    /// Most pages a program may begin with.
    pub page_limit: u16,
    /// Least gas to load a program, in units of 128.
    pub min_init_gas: u8,
    /// Least gas to start a cached program, in units of 32.
    pub min_cached_init_gas: u8,
    /// Scale of the load cost, in units of 2 percent.
    pub init_cost_scalar: u8,
    /// Scale of the start cost of cached programs, in units of 2 percent.
    pub cached_cost_scalar: u8,
    /// Days after which an activation expires.
    pub expiry_days: u16,
    /// Days an activation must be old before it can be renewed.
    pub keepalive_days: u16,
    /// How many recently run programs of a block start at the cached price.
    pub block_cache_size: u16,
    /// Most bytes of a decompressed module.
    pub max_wasm_size: u32,
    /// Most fragments of a large program.
    pub max_fragments: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            version: 2,
            ink_price: crate::pricing::INK_PER_GAS,
            max_stack_depth: 22_000,
            free_pages: 2,
            page_gas: 1000,
            page_limit: crate::pricing::MAX_PAGES,
            min_init_gas: 69,
            min_cached_init_gas: 11,
            init_cost_scalar: 50,
            cached_cost_scalar: 50,
            expiry_days: 365,
            keepalive_days: 31,
            block_cache_size: 32,
            max_wasm_size: 131_072,
            max_fragments: 2,
        }
    }
}

/// Writes unsigned fields into a word, most significant first.
#[derive(Default)]
pub(crate) struct Packer {
    word: U256,
    bits: usize,
}

impl Packer {
    /// A word that differs from an absent one.
    pub(crate) fn present() -> Self {
        Self::default().field(8, true)
    }

    pub(crate) fn field(mut self, bits: usize, value: impl Into<u64>) -> Self {
        self.word |= U256::from(value.into()) << (256 - self.bits - bits);
        self.bits += bits;
        self
    }

    pub(crate) const fn word(self) -> U256 {
        self.word
    }
}

/// Reads what [`Packer`] wrote.
pub(crate) struct Unpacker {
    word: U256,
}

impl Unpacker {
    /// The fields of a word, or `None` if it is absent.
    pub(crate) fn new(word: U256) -> Option<Self> {
        if word.is_zero() {
            return None;
        }
        let mut reader = Self { word };
        reader.field(8);
        Some(reader)
    }

    pub(crate) fn field(&mut self, bits: usize) -> u64 {
        let value: U256 = self.word >> (256 - bits);
        self.word <<= bits;
        value.saturating_to()
    }
}

impl Params {
    /// The parameters in force.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn load<DB: Database>(journal: &mut Journal<DB>) -> Result<Self, DB::Error> {
        let Some(mut reader) = Unpacker::new(peek(journal, PARAMS)?) else {
            return Ok(Self::default());
        };
        // Fields come back at the width they were written with, so no cast can lose bits.
        Ok(Self {
            version: reader.field(16) as u16,
            ink_price: reader.field(24) as u32,
            max_stack_depth: reader.field(32) as u32,
            free_pages: reader.field(16) as u16,
            page_gas: reader.field(16) as u16,
            page_limit: reader.field(16) as u16,
            min_init_gas: reader.field(8) as u8,
            min_cached_init_gas: reader.field(8) as u8,
            init_cost_scalar: reader.field(8) as u8,
            cached_cost_scalar: reader.field(8) as u8,
            expiry_days: reader.field(16) as u16,
            keepalive_days: reader.field(16) as u16,
            block_cache_size: reader.field(16) as u16,
            max_wasm_size: reader.field(32) as u32,
            max_fragments: reader.field(8) as u8,
        })
    }

    /// Puts the parameters in force.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn save<DB: Database>(&self, journal: &mut Journal<DB>) -> Result<(), DB::Error> {
        let word = Packer::present()
            .field(16, self.version)
            .field(24, self.ink_price)
            .field(32, self.max_stack_depth)
            .field(16, self.free_pages)
            .field(16, self.page_gas)
            .field(16, self.page_limit)
            .field(8, self.min_init_gas)
            .field(8, self.min_cached_init_gas)
            .field(8, self.init_cost_scalar)
            .field(8, self.cached_cost_scalar)
            .field(16, self.expiry_days)
            .field(16, self.keepalive_days)
            .field(16, self.block_cache_size)
            .field(32, self.max_wasm_size)
            .field(8, self.max_fragments)
            .word();
        put(journal, PARAMS, word)
    }
}

/// Takes `asm` bytes into demand at time `now` (seconds) and returns their fee in wei.
///
/// # Errors
/// The database failed.
pub(crate) fn charge_data<DB: Database>(
    journal: &mut Journal<DB>,
    asm: u32,
    now: u64,
) -> Result<U256, DB::Error> {
    let (demand, since) = match Unpacker::new(peek(journal, DATA_DEMAND)?) {
        Some(mut reader) => (reader.field(32) as u32, reader.field(64)),
        None => (0, now),
    };
    let demand = crate::pricing::decayed_demand(demand, now.saturating_sub(since));
    let demand = demand.saturating_add(asm);
    put(
        journal,
        DATA_DEMAND,
        Packer::present().field(32, demand).field(64, now).word(),
    )?;
    Ok(crate::pricing::data_fee(asm, demand))
}

/// A set of addresses in the state account that can be listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members(&'static str);

/// Who may call `ArbOwner`.
pub(crate) const CHAIN_OWNERS: Members = Members("chain owners");
/// Who may cache and evict programs.
pub(crate) const CACHE_MANAGERS: Members = Members("cache managers");

impl Members {
    fn length(self) -> U256 {
        slot(self.0, b"length")
    }

    fn item(self, index: u64) -> U256 {
        slot(self.0, &index.to_be_bytes())
    }

    /// Holds one more than the member's index, so that zero means absent.
    fn position(self, member: Address) -> U256 {
        slot(self.0, member.as_slice())
    }

    pub(crate) fn contains<DB: Database>(
        self,
        journal: &mut Journal<DB>,
        member: Address,
    ) -> Result<bool, DB::Error> {
        Ok(!peek(journal, self.position(member))?.is_zero())
    }

    pub(crate) fn all<DB: Database>(
        self,
        journal: &mut Journal<DB>,
    ) -> Result<Vec<Address>, DB::Error> {
        let length: u64 = peek(journal, self.length())?.saturating_to();
        (0..length)
            .map(|index| {
                let word = peek(journal, self.item(index))?;
                Ok(Address::from_word(B256::from(word)))
            })
            .collect()
    }

    /// Adds `member`; returns whether it was absent.
    pub(crate) fn add<DB: Database>(
        self,
        journal: &mut Journal<DB>,
        member: Address,
    ) -> Result<bool, DB::Error> {
        if self.contains(journal, member)? {
            return Ok(false);
        }
        for (slot, value) in self.slots_for(member, peek(journal, self.length())?.saturating_to()) {
            put(journal, slot, value)?;
        }
        Ok(true)
    }

    /// What has to be stored to add `member` as number `index`.
    pub(crate) fn slots_for(self, member: Address, index: u64) -> [(U256, U256); 3] {
        [
            (self.item(index), U256::from_be_bytes(member.into_word().0)),
            (self.position(member), U256::from(index + 1)),
            (self.length(), U256::from(index + 1)),
        ]
    }

    /// Removes `member`, moving the last one into its place; returns whether it was present.
    pub(crate) fn remove<DB: Database>(
        self,
        journal: &mut Journal<DB>,
        member: Address,
    ) -> Result<bool, DB::Error> {
        let position: u64 = peek(journal, self.position(member))?.saturating_to();
        let Some(index) = position.checked_sub(1) else {
            return Ok(false);
        };
        let length: u64 = peek(journal, self.length())?.saturating_to();
        let last = length.saturating_sub(1);
        let moved = peek(journal, self.item(last))?;
        put(journal, self.item(index), moved)?;
        put(
            journal,
            self.position(Address::from_word(moved.into())),
            U256::from(index + 1),
        )?;
        put(journal, self.item(last), U256::ZERO)?;
        put(journal, self.position(member), U256::ZERO)?;
        put(journal, self.length(), U256::from(last))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::database::InMemoryDB;

    #[test]
    fn parameters_survive_storage() {
        let mut journal = Journal::<InMemoryDB>::new(InMemoryDB::default());
        assert_eq!(Params::load(&mut journal), Ok(Params::default()));
        let changed = Params {
            ink_price: 0xff_ffff,
            max_stack_depth: u32::MAX,
            max_fragments: 255,
            free_pages: 0,
            ..Params::default()
        };
        changed.save(&mut journal).unwrap();
        assert_eq!(Params::load(&mut journal), Ok(changed));
    }

    #[test]
    fn a_reverted_change_never_happened() {
        let mut journal = Journal::<InMemoryDB>::new(InMemoryDB::default());
        let checkpoint = journal.checkpoint();
        Params {
            ink_price: 1,
            ..Params::default()
        }
        .save(&mut journal)
        .unwrap();
        journal.checkpoint_revert(checkpoint);
        assert_eq!(Params::load(&mut journal), Ok(Params::default()));
    }

    #[test]
    fn members_can_be_added_listed_and_removed() {
        let mut journal = Journal::<InMemoryDB>::new(InMemoryDB::default());
        let [a, b, c] = [1, 2, 3].map(Address::repeat_byte);
        for member in [a, b, c] {
            assert_eq!(CHAIN_OWNERS.add(&mut journal, member), Ok(true));
        }
        assert_eq!(CHAIN_OWNERS.add(&mut journal, b), Ok(false));
        assert_eq!(CHAIN_OWNERS.remove(&mut journal, a), Ok(true));
        assert_eq!(CHAIN_OWNERS.remove(&mut journal, a), Ok(false));
        assert_eq!(CHAIN_OWNERS.all(&mut journal), Ok(vec![c, b]));
        assert_eq!(CHAIN_OWNERS.remove(&mut journal, b), Ok(true));
        assert_eq!(CHAIN_OWNERS.all(&mut journal), Ok(vec![c]));
        assert_eq!(CHAIN_OWNERS.contains(&mut journal, b), Ok(false));
        assert_eq!(CACHE_MANAGERS.all(&mut journal), Ok(vec![]));
    }
}
