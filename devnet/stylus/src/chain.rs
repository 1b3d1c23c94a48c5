//! State of one transaction that belongs to no account and survives reverts.

use revm::primitives::{Address, B256, HashMap};

use crate::{engine::Vm, env::Env, trace::Recorder};

/// The programs run most recently in a block, newest last.
///
/// A program in this list starts at its cached price (`ArbOS` 60 and later).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentPrograms(Vec<B256>);

impl RecentPrograms {
    /// Notes that `codehash` runs, keeping at most `capacity` programs. Returns whether it was
    /// in the list already.
    pub(crate) fn touch(&mut self, codehash: B256, capacity: usize) -> bool {
        let known = self.0.iter().position(|hash| *hash == codehash);
        if let Some(at) = known {
            self.0.remove(at);
        }
        if capacity > 0 {
            if self.0.len() >= capacity {
                self.0.drain(..=self.0.len() - capacity);
            }
            self.0.push(codehash);
        }
        known.is_some()
    }
}

/// What a running transaction carries beside the journal.
#[derive(Debug)]
pub struct Chain {
    pub(crate) vm: Vm,
    pub(crate) arbos_version: u64,
    pub(crate) arb_block_number: u64,
    pub(crate) debug: bool,
    /// Programs run so far in this block.
    pub(crate) recent: RecentPrograms,
    /// Open frames by acting address; delegated frames are not counted.
    pub(crate) open_frames: HashMap<Address, u32>,
    /// Pages of guest memory in use by the open frames.
    pub(crate) open_pages: u16,
    /// Most pages ever in use at once in this transaction.
    pub(crate) ever_pages: u16,
    pub(crate) recorder: Option<Recorder>,
}

impl Chain {
    pub(crate) fn new(vm: Vm, env: &Env, record: bool) -> Self {
        let number = env.block.number.saturating_to::<u64>();
        Self {
            vm,
            arbos_version: env.arbos_version,
            arb_block_number: env.arb_block_number.unwrap_or(number),
            debug: env.debug,
            recent: env.recent.clone(),
            open_frames: HashMap::default(),
            open_pages: 0,
            ever_pages: 0,
            recorder: record.then(Recorder::default),
        }
    }

    /// Counts `pages` more pages of guest memory as open.
    pub(crate) fn take_pages(&mut self, pages: u16) {
        self.open_pages = self.open_pages.saturating_add(pages);
        self.ever_pages = self.ever_pages.max(self.open_pages);
    }

    /// Opens a frame acting as `address`.
    pub(crate) fn enter(&mut self, address: Address) {
        *self.open_frames.entry(address).or_default() += 1;
    }

    /// Closes a frame acting as `address`.
    pub(crate) fn leave(&mut self, address: Address) {
        if let Some(count) = self.open_frames.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.open_frames.remove(&address);
            }
        }
    }

    /// Whether `address` has a frame open below the current one.
    pub(crate) fn is_reentrant(&self, address: &Address) -> bool {
        self.open_frames
            .get(address)
            .is_some_and(|count| *count > 1)
    }
}
