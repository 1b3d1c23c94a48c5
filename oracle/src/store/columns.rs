//! Column families with typed keys and values: keys are bytes that sort as meant, values are JSON.

use alloy::primitives::B256;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::model::{
    Checkpoint, EventKey, EvidenceMeta, Fact, Job, JobId, MetaValue, OutboxEntry, StoredVerdict,
};

/// One column family.
pub(super) trait Column {
    /// Its name on disk.
    const NAME: &'static str;
    /// What rows are found by.
    type Key: Key;
    /// What a row holds.
    type Value: Serialize + DeserializeOwned;
}

/// A key that becomes bytes and back.
pub(super) trait Key: Sized {
    /// Bytes that sort as the keys do.
    fn to_bytes(&self) -> Vec<u8>;
    /// The key of these bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident = $name:literal: $key:ty => $value:ty;)*) => {
        $(
            $(#[$doc])*
            pub(super) struct $column;
            impl Column for $column {
                const NAME: &'static str = $name;
                type Key = $key;
                type Value = $value;
            }
        )*
        /// Every column family.
        pub(super) const NAMES: &[&str] = &[$($name),*];
    };
}

columns! {
    /// Identity of the market, cursor.
    Meta = "meta": String => MetaValue;
    /// Hashes of blocks that were taken in, and what came from them.
    Blocks = "blocks": u64 => Checkpoint;
    /// Events of the escrow, by order.
    Events = "events": EventKey => Fact;
    /// Jobs.
    Jobs = "jobs": JobId => Job;
    /// What is known of evidence bundles; their bytes are in the evidence store.
    Evidence = "evidence": B256 => EvidenceMeta;
    /// Verdicts and their signatures, by job.
    Verdicts = "verdicts": JobId => StoredVerdict;
    /// Transactions to be sent, by job.
    Outbox = "outbox": JobId => OutboxEntry;
}

impl Key for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl Key for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for B256 {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_slice().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::try_from(bytes).ok()
    }
}

impl Key for EventKey {
    fn to_bytes(&self) -> Vec<u8> {
        [
            self.order.as_slice(),
            &self.block.to_be_bytes(),
            &self.index.to_be_bytes(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (order, rest) = bytes.split_first_chunk::<32>()?;
        let (block, index) = rest.split_first_chunk::<8>()?;
        Some(Self {
            order: B256::new(*order),
            block: u64::from_be_bytes(*block),
            index: u64::from_be_bytes(index.try_into().ok()?),
        })
    }
}

impl Key for JobId {
    fn to_bytes(&self) -> Vec<u8> {
        [
            self.order.as_slice(),
            &[self.phase.into(), self.attempt],
            self.evidence.as_slice(),
            self.outputs.as_slice(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (order, rest) = bytes.split_first_chunk::<32>()?;
        let (head, rest) = rest.split_first_chunk::<2>()?;
        let (evidence, outputs) = rest.split_first_chunk::<32>()?;
        Some(Self {
            order: B256::new(*order),
            phase: head[0].try_into().ok()?,
            attempt: head[1],
            evidence: B256::new(*evidence),
            outputs: outputs.try_into().ok()?,
        })
    }
}

/// A batch that knows the columns' types.
pub(super) struct Batch<'a> {
    db: &'a DB,
    inner: WriteBatch,
}

impl<'a> Batch<'a> {
    pub(super) fn new(db: &'a DB) -> Self {
        Self {
            db,
            inner: WriteBatch::default(),
        }
    }

    pub(super) fn put<C: Column>(
        &mut self,
        key: &C::Key,
        value: &C::Value,
    ) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|source| StoreError::Encode {
            column: C::NAME,
            source,
        })?;
        self.inner
            .put_cf(family::<C>(self.db)?, key.to_bytes(), bytes);
        Ok(())
    }

    pub(super) fn delete<C: Column>(&mut self, key: &C::Key) -> Result<(), StoreError> {
        self.inner.delete_cf(family::<C>(self.db)?, key.to_bytes());
        Ok(())
    }

    /// Writes everything or nothing, and only returns once the disk has it.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(self.inner, &options)?)
    }
}

/// A row.
pub(super) fn get<C: Column>(db: &DB, key: &C::Key) -> Result<Option<C::Value>, StoreError> {
    let Some(bytes) = db.get_pinned_cf(family::<C>(db)?, key.to_bytes())? else {
        return Ok(None);
    };
    decode::<C>(&bytes).map(Some)
}

/// A row, or why it cannot be read.
type Row<C> = Result<(<C as Column>::Key, <C as Column>::Value), StoreError>;

/// Rows whose keys begin with `prefix`, ascending or descending.
pub(super) fn scan<'a, C: Column>(
    db: &'a DB,
    prefix: &'a [u8],
    direction: Direction,
) -> Result<impl Iterator<Item = Row<C>> + 'a, StoreError>
where
    C::Key: 'a,
    C::Value: 'a,
{
    let mut options = ReadOptions::default();
    options.set_iterate_range(rocksdb::PrefixRange(prefix));
    let mode = match direction {
        Direction::Forward => IteratorMode::Start,
        Direction::Reverse => IteratorMode::End,
    };
    let rows = db.iterator_cf_opt(family::<C>(db)?, options, mode);
    Ok(rows.map(|row| {
        let (key, value) = row?;
        let key = C::Key::from_bytes(&key).ok_or(StoreError::Key { column: C::NAME })?;
        Ok((key, decode::<C>(&value)?))
    }))
}

fn decode<C: Column>(bytes: &[u8]) -> Result<C::Value, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Decode {
        column: C::NAME,
        source,
    })
}

fn family<C: Column>(db: &DB) -> Result<&ColumnFamily, StoreError> {
    db.cf_handle(C::NAME)
        .ok_or(StoreError::ColumnMissing { column: C::NAME })
}
