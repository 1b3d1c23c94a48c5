//! Columns with typed keys and values: keys are bytes that sort as meant, values are JSON. A column is
//! a column family of `RocksDB` or a table of `PostgreSQL`.

use alloy::primitives::{Address, B256};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::model::{
    BlockJob, Checkpoint, Equivocation, EventKey, EvidenceMeta, Fact, Job, JobId, MetaValue,
    OutboxEntry, Share, ShareKey, StoredVerdict,
};

/// One column.
pub(super) trait Column {
    /// Its name in the database.
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
        /// Every column.
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
    /// Jobs by the digests of their verdicts.
    Digests = "digests": B256 => JobId;
    /// Transactions to be sent, by job.
    Outbox = "outbox": JobId => OutboxEntry;
    /// Jobs that are not over, so that nobody has to look through those that are.
    Open = "open": JobId => ();
    /// Jobs in the order of the chain.
    Announced = "announced": BlockJob => ();
    /// Operators' signatures of a job's verdict, one for each operator.
    Shares = "shares": ShareKey => Share;
    /// Operators who signed two verdicts about the same evidence.
    Equivocations = "equivocations": ShareKey => Equivocation;
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

impl Key for ShareKey {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.job.to_bytes(), self.signer.as_slice()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (job, signer) = bytes.split_at_checked(bytes.len().checked_sub(20)?)?;
        Some(Self {
            job: JobId::from_bytes(job)?,
            signer: Address::try_from(signer).ok()?,
        })
    }
}

impl Key for BlockJob {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.block.to_be_bytes()[..], &self.job.to_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (block, job) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            block: u64::from_be_bytes(*block),
            job: JobId::from_bytes(job)?,
        })
    }
}

/// Which way rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Reverse,
}

/// Which rows are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    /// What keys begin with.
    pub(super) prefix: &'a [u8],
    /// The key after which to begin, in reading order.
    pub(super) after: Option<&'a [u8]>,
    /// Which way.
    pub(super) direction: Direction,
    /// How many at most.
    pub(super) limit: usize,
}

impl Span<'_> {
    /// Everything, ascending.
    const ALL: Self = Self {
        prefix: &[],
        after: None,
        direction: Direction::Forward,
        limit: usize::MAX,
    };
}

/// A key and its value, as bytes.
pub(super) type RawRow = (Vec<u8>, Vec<u8>);

/// Rows as a backend keeps them, inside one transaction.
pub(super) trait Rows {
    /// A row's value.
    fn get(&mut self, column: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Rows in the order of their keys.
    fn scan(&mut self, column: &'static str, span: Span<'_>) -> Result<Vec<RawRow>, StoreError>;
    /// Every key, ascending, without the values.
    fn keys(&mut self, column: &'static str) -> Result<Vec<Vec<u8>>, StoreError>;
    /// Writes a row.
    fn put(&mut self, column: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes a row.
    fn delete(&mut self, column: &'static str, key: &[u8]) -> Result<(), StoreError>;
}

/// A transaction that knows the columns' types. What it writes is seen once it is over, by itself too.
pub(super) struct Tx<'a>(pub(super) &'a mut dyn Rows);

/// A row, or why it cannot be read.
pub(super) type Row<C> = (<C as Column>::Key, <C as Column>::Value);

impl Tx<'_> {
    pub(super) fn get<C: Column>(&mut self, key: &C::Key) -> Result<Option<C::Value>, StoreError> {
        let bytes = self.0.get(C::NAME, &key.to_bytes())?;
        bytes.map(|bytes| decode::<C>(&bytes)).transpose()
    }

    /// Every row whose key begins with `prefix`, ascending. For prefixes that few rows share.
    pub(super) fn all<C: Column>(&mut self, prefix: &[u8]) -> Result<Vec<Row<C>>, StoreError> {
        self.some::<C>(Span {
            prefix,
            ..Span::ALL
        })
    }

    /// The keys of a column, ascending. For columns with few rows.
    pub(super) fn keys<C: Column>(&mut self) -> Result<Vec<C::Key>, StoreError> {
        let keys = self.0.keys(C::NAME)?.into_iter();
        keys.map(|key| C::Key::from_bytes(&key).ok_or(StoreError::Key { column: C::NAME }))
            .collect()
    }

    /// The rows of a span.
    pub(super) fn some<C: Column>(&mut self, span: Span<'_>) -> Result<Vec<Row<C>>, StoreError> {
        let rows = self.0.scan(C::NAME, span)?.into_iter();
        rows.map(|(key, value)| {
            let key = C::Key::from_bytes(&key).ok_or(StoreError::Key { column: C::NAME })?;
            Ok((key, decode::<C>(&value)?))
        })
        .collect()
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
        self.0.put(C::NAME, &key.to_bytes(), &bytes)
    }

    pub(super) fn delete<C: Column>(&mut self, key: &C::Key) -> Result<(), StoreError> {
        self.0.delete(C::NAME, &key.to_bytes())
    }
}

fn decode<C: Column>(bytes: &[u8]) -> Result<C::Value, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Decode {
        column: C::NAME,
        source,
    })
}
