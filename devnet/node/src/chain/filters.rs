//! Filters that clients install and poll.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{B256, U256},
    rpc::types::{Filter, FilterBlockOption, Log},
};

use super::{At, Chain, Error};

/// Filters not polled for this long are dropped.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// Most filters at a time; the one idle longest makes room.
const CAPACITY: usize = 4096;

/// What a filter watches.
#[derive(Clone, Debug)]
pub enum Watch {
    /// Hashes of new blocks.
    Blocks,
    /// Logs.
    Logs(Box<Filter>),
    /// Hashes of incoming transactions.
    Pending,
}

#[derive(Debug)]
struct Installed {
    watch: Watch,
    /// First block not yet reported.
    next_block: u64,
    /// Transactions not yet reported.
    pending: Vec<B256>,
    /// Logs from before the filter was installed, for the first poll.
    earlier: Vec<Log>,
    polled: Instant,
}

/// What happened since the last poll.
#[derive(Clone, Debug)]
pub enum Changes {
    /// Hashes of blocks or transactions.
    Hashes(Vec<B256>),
    /// Logs.
    Logs(Vec<Log>),
}

/// The installed filters.
#[derive(Debug, Default)]
pub struct Filters {
    installed: HashMap<U256, Installed>,
    last_id: u64,
}

impl Filters {
    fn install(&mut self, watch: Watch, next_block: u64, earlier: Vec<Log>) -> U256 {
        self.installed
            .retain(|_, filter| filter.polled.elapsed() < IDLE);
        if self.installed.len() >= CAPACITY
            && let Some(oldest) = self
                .installed
                .iter()
                .min_by_key(|(_, filter)| filter.polled)
                .map(|(id, _)| *id)
        {
            self.installed.remove(&oldest);
        }
        self.last_id += 1;
        let id = U256::from(self.last_id);
        let filter = Installed {
            watch,
            next_block,
            pending: Vec::new(),
            earlier,
            polled: Instant::now(),
        };
        self.installed.insert(id, filter);
        id
    }

    /// Removes a filter; whether there was one.
    pub fn uninstall(&mut self, id: &U256) -> bool {
        self.installed.remove(id).is_some()
    }

    /// Notes an incoming transaction.
    pub(super) fn note_pending(&mut self, hash: B256) {
        for filter in self.installed.values_mut() {
            if matches!(filter.watch, Watch::Pending) {
                filter.pending.push(hash);
            }
        }
    }
}

impl Chain {
    /// Installs a filter and returns its id. A log filter that says where to begin reports the
    /// logs there are already when it is first polled.
    ///
    /// # Errors
    /// A log filter begins after the newest block.
    pub fn install_filter(&mut self, watch: Watch) -> Result<U256, Error> {
        let earlier = match &watch {
            Watch::Logs(filter) if names_beginning(filter) => self.logs(filter)?,
            Watch::Logs(_) | Watch::Blocks | Watch::Pending => Vec::new(),
        };
        let next = self.head().number() + 1;
        Ok(self.filters.install(watch, next, earlier))
    }

    /// What happened since the filter was last polled.
    ///
    /// # Errors
    /// There is no such filter.
    pub fn filter_changes(&mut self, id: &U256) -> Result<Changes, Error> {
        let head = self.head().number();
        let filter = self
            .filters
            .installed
            .get_mut(id)
            .ok_or(Error::UnknownFilter)?;
        filter.polled = Instant::now();
        // After blocks were taken back, their successors are news.
        let first = filter.next_block.min(head + 1);
        filter.next_block = head + 1;
        let watch = filter.watch.clone();
        let pending = std::mem::take(&mut filter.pending);
        let earlier = std::mem::take(&mut filter.earlier);
        let new_blocks = (first..=head).filter_map(|number| self.block(number));
        Ok(match watch {
            Watch::Pending => Changes::Hashes(pending),
            Watch::Blocks => Changes::Hashes(new_blocks.map(|block| block.hash).collect()),
            Watch::Logs(filter) => {
                let new = new_blocks
                    .flat_map(|block| block.logs())
                    .filter(|log| wants(&filter, log) && in_range(&filter, log));
                Changes::Logs(earlier.into_iter().chain(new).collect())
            }
        })
    }

    /// All logs a log filter matches.
    ///
    /// # Errors
    /// There is no such log filter, or it names an unknown block.
    pub fn filter_logs(&mut self, id: &U256) -> Result<Vec<Log>, Error> {
        let filter = self
            .filters
            .installed
            .get_mut(id)
            .ok_or(Error::UnknownFilter)?;
        filter.polled = Instant::now();
        match filter.watch.clone() {
            Watch::Logs(filter) => self.logs(&filter),
            Watch::Blocks | Watch::Pending => Ok(Vec::new()),
        }
    }

    /// The logs a filter matches.
    ///
    /// # Errors
    /// The filter starts after the newest block or names an unknown block.
    pub fn logs(&mut self, filter: &Filter) -> Result<Vec<Log>, Error> {
        let head = self.head().number();
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let block = self
                    .block_by_hash(&hash)
                    .ok_or(Error::UnknownFilterBlock(hash))?;
                (block.number(), block.number())
            }
            FilterBlockOption::Range {
                from_block,
                to_block,
            } => {
                let number = |tag: Option<_>| match tag.map(|tag| self.number_of(tag)) {
                    None => head,
                    Some(At::Block(number)) => number,
                    Some(At::Pending) => head + 1,
                };
                (number(from_block), number(to_block))
            }
        };
        if from > head + 1 || (from > head && !self.names_pending(filter)) {
            return Err(Error::BlockOutOfRange {
                height: head,
                requested: from,
            });
        }
        let mut logs: Vec<Log> = (from..=to.min(head))
            .filter_map(|number| self.block(number))
            .filter(|block| filter.matches_bloom(block.header.logs_bloom))
            .flat_map(|block| block.logs())
            .filter(|log| wants(filter, log))
            .collect();
        if to > head && self.names_pending(filter) {
            logs.extend(self.pending_block().logs().filter(|log| wants(filter, log)));
        }
        Ok(logs)
    }

    fn names_pending(&self, filter: &Filter) -> bool {
        let FilterBlockOption::Range {
            from_block,
            to_block,
        } = filter.block_option
        else {
            return false;
        };
        [from_block, to_block]
            .into_iter()
            .flatten()
            .any(|tag| tag.is_pending())
    }
}

fn names_beginning(filter: &Filter) -> bool {
    matches!(
        filter.block_option,
        FilterBlockOption::Range {
            from_block: Some(_),
            ..
        }
    )
}

/// Whether address and topics match.
pub fn wants(filter: &Filter, log: &Log) -> bool {
    filter.matches(&log.inner)
}

fn in_range(filter: &Filter, log: &Log) -> bool {
    let number = log.block_number.unwrap_or_default();
    filter.get_from_block().is_none_or(|from| number >= from)
        && filter.get_to_block().is_none_or(|to| number <= to)
        && filter
            .get_block_hash()
            .is_none_or(|hash| log.block_hash == Some(hash))
}
