//! The embedded store: `RocksDB`. One process; a transaction is a write batch, and one is prepared at a
//! time. The log keeps their order, also between column families: before one is flushed, `RocksDB` syncs
//! the log of all.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options, PrefixRange, ReadOptions,
    WriteBatch,
};

use super::columns::{Direction, NAMES, RawRow, Rows, Span, Tx};
use super::{Backend, StoreError, Work};

/// Rows in column families.
#[derive(Debug)]
pub(super) struct Rocks {
    db: DB,
    /// Held while a change is prepared and written.
    writer: Mutex<()>,
    /// Changes written so far.
    written: AtomicU64,
    /// How many of them the disk has. Held while the log is synced: who waits for it is mostly served by
    /// then.
    synced: Mutex<u64>,
}

impl Rocks {
    /// Opens the database, making it where there is none. One process at a time has it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_keep_log_file_num(4);
        let families = NAMES
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(*name, Options::default()));
        Ok(Self::of(DB::open_cf_descriptors(&options, path, families)?))
    }

    /// Opens the database to look at, also while a daemon has it open.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let options = Options::default();
        Ok(Self::of(DB::open_cf_for_read_only(
            &options, path, NAMES, false,
        )?))
    }

    fn of(db: DB) -> Self {
        Self {
            db,
            writer: Mutex::default(),
            written: AtomicU64::default(),
            synced: Mutex::default(),
        }
    }
}

impl Backend for Rocks {
    fn read(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut rows = Batch {
            db: &self.db,
            inner: WriteBatch::default(),
        };
        work(&mut Tx(&mut rows))
    }

    fn write(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let _writer = lock(&self.writer);
        let mut rows = Batch {
            db: &self.db,
            inner: WriteBatch::default(),
        };
        work(&mut Tx(&mut rows))?;
        if rows.inner.is_empty() {
            return Ok(());
        }
        // The system has it on return, the disk later.
        self.db.write(rows.inner)?;
        self.written.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let wanted = self.written.load(Ordering::Acquire);
        let mut synced = lock(&self.synced);
        if *synced < wanted {
            let written = self.written.load(Ordering::Acquire);
            self.db.flush_wal(true)?;
            *synced = written;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing, and a number that is written last: a panic elsewhere cannot have left either half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Batch<'a> {
    db: &'a DB,
    inner: WriteBatch,
}

impl Rows for Batch<'_> {
    fn get(&mut self, column: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get_cf(family(self.db, column)?, key)?)
    }

    fn scan(&mut self, column: &'static str, span: Span<'_>) -> Result<Vec<RawRow>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(span.prefix));
        let towards = match span.direction {
            Direction::Forward => rocksdb::Direction::Forward,
            Direction::Reverse => rocksdb::Direction::Reverse,
        };
        let mode = match (span.after, span.direction) {
            (Some(key), _) => IteratorMode::From(key, towards),
            (None, Direction::Forward) => IteratorMode::Start,
            (None, Direction::Reverse) => IteratorMode::End,
        };
        let rows = self
            .db
            .iterator_cf_opt(family(self.db, column)?, options, mode);
        let mut found = Vec::new();
        for row in rows {
            let (key, value) = row?;
            if span.after == Some(&*key) {
                continue;
            }
            found.push((key.into_vec(), value.into_vec()));
            if found.len() >= span.limit {
                break;
            }
        }
        Ok(found)
    }

    fn put(&mut self, column: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.inner.put_cf(family(self.db, column)?, key, value);
        Ok(())
    }

    fn delete(&mut self, column: &'static str, key: &[u8]) -> Result<(), StoreError> {
        self.inner.delete_cf(family(self.db, column)?, key);
        Ok(())
    }
}

fn family<'a>(db: &'a DB, column: &'static str) -> Result<&'a ColumnFamily, StoreError> {
    db.cf_handle(column)
        .ok_or(StoreError::ColumnMissing { column })
}
