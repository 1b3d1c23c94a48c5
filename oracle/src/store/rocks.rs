//! The embedded store: `RocksDB`. One process; a transaction is a write batch, and one is prepared at a
//! time. The log keeps their order, also between column families: before one is flushed, `RocksDB` syncs
//! the log of all.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use alloy::primitives::B256;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options,
    PrefixRange, ReadOptions, WriteBatch,
};

use super::columns::{Direction, NAMES, RawRow, Rows, Span, Tx};
use super::{Backend, StoreError, Work};

/// What was written and is in no file yet, of all columns together.
const WRITES_BYTES: usize = 32 << 20;
/// The log from which that is restored.
const LOG_BYTES: u64 = 128 << 20;
/// What was read, of all columns together.
const CACHE_BYTES: usize = 32 << 20;
/// Files open at a time.
const OPEN_FILES: i32 = 256;

/// Rows in column families.
#[derive(Debug)]
pub(super) struct Rocks {
    path: PathBuf,
    /// None after a failed write, where it could not be opened again yet.
    db: RwLock<Option<DB>>,
    /// A write failed: the database takes no other until it is opened again.
    broken: AtomicBool,
    /// Held while a change is prepared and written.
    writer: Mutex<()>,
}

impl Rocks {
    /// Opens the database, making it where there is none. One process at a time has it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::of(path, open(path)?))
    }

    /// Opens the database to look at, also while a daemon has it open.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let db = DB::open_cf_for_read_only(&Options::default(), path, NAMES, false)?;
        Ok(Self::of(path, db))
    }

    fn of(path: &Path, db: DB) -> Self {
        Self {
            path: path.to_owned(),
            db: RwLock::new(Some(db)),
            broken: AtomicBool::default(),
            writer: Mutex::default(),
        }
    }

    /// Opens the database again where a write had failed. A full disk is the usual cause: once there is
    /// room, work goes on. What the failed write left of itself is all of it or nothing.
    fn mended(&self) -> Result<(), StoreError> {
        if !self.broken.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have done it meanwhile.
        if self.broken.load(Ordering::Acquire) {
            // Closed first: one handle at a time.
            *db = None;
            *db = Some(open(&self.path)?);
            self.broken.store(false, Ordering::Release);
            tracing::info!("the database is open again");
        }
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&DB) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let read = || self.db.read().unwrap_or_else(PoisonError::into_inner);
        if read().is_none() {
            self.mended()?;
        }
        let db = read();
        work(db.as_ref().ok_or(StoreError::Closed)?)
    }

    /// What a write came to. One that failed leaves the database to be opened again.
    fn noticed(&self, result: Result<(), rocksdb::Error>) -> Result<(), StoreError> {
        result.map_err(|error| {
            self.broken.store(true, Ordering::Release);
            error.into()
        })
    }
}

fn open(path: &Path) -> Result<DB, rocksdb::Error> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_keep_log_file_num(4);
    // Each column would fill buffers of its own, and keep every file's index: memory would grow with the
    // jobs of years.
    options.set_db_write_buffer_size(WRITES_BYTES);
    options.set_max_total_wal_size(LOG_BYTES);
    options.set_max_open_files(OPEN_FILES);
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let families = NAMES.iter().map(|name| {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_cache_index_and_filter_blocks(true);
        // Most rows that are asked for and not there are asked for once, by new jobs.
        table.set_bloom_filter(10.0, false);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        ColumnFamilyDescriptor::new(*name, options)
    });
    DB::open_cf_descriptors(&options, path, families)
}

impl Backend for Rocks {
    fn read(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.with(|db| {
            let mut rows = Batch {
                db,
                inner: WriteBatch::default(),
            };
            work(&mut Tx(&mut rows))
        })
    }

    fn write(&self, _about: B256, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.lead(work)
    }

    fn lead(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        // There is nothing that a panic elsewhere could have left half changed.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.mended()?;
        self.with(|db| {
            let mut rows = Batch {
                db,
                inner: WriteBatch::default(),
            };
            work(&mut Tx(&mut rows))?;
            if rows.inner.is_empty() {
                return Ok(());
            }
            // The system has it on return, the disk later.
            self.noticed(db.write(rows.inner))
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.mended()?;
        self.with(|db| self.noticed(db.flush_wal(true)))
    }
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

    fn keys(&mut self, column: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut rows = self.db.raw_iterator_cf(family(self.db, column)?);
        let mut keys = Vec::new();
        rows.seek_to_first();
        while let Some(key) = rows.key() {
            keys.push(key.to_vec());
            rows.next();
        }
        rows.status()?;
        Ok(keys)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn put(rocks: &Rocks, key: &[u8]) -> Result<(), StoreError> {
        rocks.lead(&mut |tx| tx.0.put(NAMES[0], key, b"value"))
    }

    fn has(rocks: &Rocks, key: &[u8]) -> Result<bool, StoreError> {
        let mut found = false;
        rocks.read(&mut |tx| {
            found = tx.0.get(NAMES[0], key)?.is_some();
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn after_a_failed_write_the_database_is_opened_again_once_that_is_possible() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("db"), dir.path().join("aside"));
        let rocks = Rocks::open(&path).unwrap();
        put(&rocks, b"before").unwrap();
        rocks.broken.store(true, Ordering::Release);
        assert!(has(&rocks, b"before").unwrap(), "what is there can be read");

        std::fs::rename(&path, &aside).unwrap();
        std::fs::write(&path, "no database").unwrap();
        assert!(put(&rocks, b"lost").is_err());
        assert!(has(&rocks, b"before").is_err());
        assert!(rocks.sync().is_err(), "nothing is promised meanwhile");

        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        assert!(has(&rocks, b"before").unwrap());
        put(&rocks, b"after").unwrap();
        rocks.sync().unwrap();
        assert!(has(&rocks, b"after").unwrap());
        assert!(!has(&rocks, b"lost").unwrap());
    }
}
