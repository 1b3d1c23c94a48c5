//! The session statement and what binds hardware evidence to it (protocol, Bindings 2 to 6).

use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::B256;
use sha2::{Digest, Sha256, Sha512};

use crate::clause::MAX_LEGS;

/// First bytes of every encoded statement; the version changes with the encoding.
pub const DOMAIN: &[u8] = b"vouch/statement/v1";
const GPU_DOMAIN: &[u8] = b"vouch/gpu/v1";
const CPU_DOMAIN: &[u8] = b"vouch/cpu/v1";
const DATASET_LEN: usize = 8 + 8 + 32 + 4;
const FIXED_LEN: usize = DOMAIN.len() + 5 * 32 + 2 * 8 + 1;

/// What the trusted machine counted while it worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that left the session.
    pub output_bytes: u64,
    /// Rows that left the session.
    pub output_rows: u64,
}

/// What the trusted machine measured of one dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetMeasure {
    /// Records read.
    pub records: u64,
    /// Bytes read, decrypted.
    pub bytes: u64,
    /// SHA-256 of the dataset's schema.
    pub schema: B256,
    /// Share of well-formed records, in millionths.
    pub quality: u32,
}

/// What a session says of itself, and the hardware vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The order's challenge for this phase and attempt.
    pub challenge: B256,
    /// Ed25519 public key made for this order inside the TEE.
    pub signing_key: B256,
    /// X25519 public key made for this order inside the TEE: owners seal content keys to it.
    pub encryption_key: B256,
    /// [`inputs_digest`] over the assets the session was given.
    pub inputs: B256,
    /// SHA-256 of the sealed outputs; zero at the start.
    pub outputs: B256,
    /// What left the session.
    pub counters: Counters,
    /// One measure for each dataset leg, in the order of the legs; empty at the start.
    pub datasets: Vec<DatasetMeasure>,
}

/// Why bytes are not a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// The bytes do not begin with [`DOMAIN`].
    Domain,
    /// The length is not the one the number of datasets asks for.
    Length {
        /// Bytes the encoding has.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// More datasets than an order has legs.
    Datasets {
        /// Datasets claimed.
        found: usize,
    },
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain => write!(
                f,
                "statement: expected it to begin with \"vouch/statement/v1\""
            ),
            Self::Length { expected, found } => {
                write!(f, "statement: expected {expected} bytes, found {found}")
            }
            Self::Datasets { found } => {
                write!(
                    f,
                    "statement: expected at most {MAX_LEGS} datasets, found {found}"
                )
            }
        }
    }
}

impl core::error::Error for StatementError {}

impl Statement {
    /// The canonical encoding: `DOMAIN || challenge || signing key || encryption key || inputs ||
    /// outputs || output bytes || output rows || number of datasets (u8)`, then for each dataset
    /// `records || bytes || schema || quality`. Integers are big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            self.datasets
                .len()
                .saturating_mul(DATASET_LEN)
                .saturating_add(FIXED_LEN),
        );
        out.extend_from_slice(DOMAIN);
        for field in [
            self.challenge,
            self.signing_key,
            self.encryption_key,
            self.inputs,
            self.outputs,
        ] {
            out.extend_from_slice(field.as_slice());
        }
        out.extend_from_slice(&self.counters.output_bytes.to_be_bytes());
        out.extend_from_slice(&self.counters.output_rows.to_be_bytes());
        out.push(u8::try_from(self.datasets.len()).unwrap_or(u8::MAX));
        for dataset in &self.datasets {
            out.extend_from_slice(&dataset.records.to_be_bytes());
            out.extend_from_slice(&dataset.bytes.to_be_bytes());
            out.extend_from_slice(dataset.schema.as_slice());
            out.extend_from_slice(&dataset.quality.to_be_bytes());
        }
        out
    }

    /// Reads exactly one canonical encoding: nothing may follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut rest = Reader(bytes.strip_prefix(DOMAIN).ok_or(StatementError::Domain)?);
        let short = StatementError::Length {
            expected: FIXED_LEN,
            found: bytes.len(),
        };
        let mut fixed = || -> Option<(Self, usize)> {
            let statement = Self {
                challenge: rest.word()?,
                signing_key: rest.word()?,
                encryption_key: rest.word()?,
                inputs: rest.word()?,
                outputs: rest.word()?,
                counters: Counters {
                    output_bytes: rest.u64()?,
                    output_rows: rest.u64()?,
                },
                datasets: Vec::new(),
            };
            Some((statement, usize::from(*rest.take::<1>()?.first()?)))
        };
        let (mut statement, count) = fixed().ok_or(short)?;
        if count > MAX_LEGS {
            return Err(StatementError::Datasets { found: count });
        }
        let expected = count.saturating_mul(DATASET_LEN).saturating_add(FIXED_LEN);
        let length = StatementError::Length {
            expected,
            found: bytes.len(),
        };
        if bytes.len() != expected {
            return Err(length);
        }
        for _ in 0..count {
            let mut dataset = || {
                Some(DatasetMeasure {
                    records: rest.u64()?,
                    bytes: rest.u64()?,
                    schema: rest.word()?,
                    quality: rest.u32()?,
                })
            };
            statement.datasets.push(dataset().ok_or(length)?);
        }
        Ok(statement)
    }

    /// SHA-512 of the canonical encoding.
    pub fn transcript(&self) -> Transcript {
        Transcript(Sha512::digest(self.encode()).into())
    }
}

/// SHA-512 of a statement: all that hardware evidence needs to know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript(pub [u8; 64]);

impl Transcript {
    /// The SPDM nonce of every GPU and switch report of the session.
    pub fn gpu_nonce(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(GPU_DOMAIN);
        hash.update(self.0);
        hash.finalize().into()
    }

    /// The CPU quote's 64 bytes of report data: the CPU vouches for exactly these reports, in this
    /// order, and for this session.
    pub fn report_data<'a>(&self, reports: impl IntoIterator<Item = &'a [u8]>) -> [u8; 64] {
        let mut hash = Sha512::new();
        hash.update(CPU_DOMAIN);
        hash.update(self.0);
        for report in reports {
            hash.update(Sha256::digest(report));
        }
        hash.finalize().into()
    }
}

/// The digest of what a session was given: SHA-256 over the asset digests of the dataset and model
/// legs, in the order of the legs.
pub fn inputs_digest<'a>(assets: impl IntoIterator<Item = &'a B256>) -> B256 {
    let mut hash = Sha256::new();
    for asset in assets {
        hash.update(asset);
    }
    B256::new(hash.finalize().into())
}

/// The asset digest of a workload: SHA-256 of its launch measurement (48 bytes on SEV-SNP and TDX).
pub fn workload_digest(measurement: &[u8; 48]) -> B256 {
    B256::new(Sha256::digest(measurement).into())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(head)
    }

    fn word(&mut self) -> Option<B256> {
        self.take::<32>().map(|b| B256::new(*b))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take::<8>().map(|b| u64::from_be_bytes(*b))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take::<4>().map(|b| u32::from_be_bytes(*b))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn statement() -> Statement {
        Statement {
            challenge: B256::with_last_byte(1),
            signing_key: B256::with_last_byte(2),
            encryption_key: B256::with_last_byte(3),
            inputs: B256::with_last_byte(4),
            outputs: B256::with_last_byte(5),
            counters: Counters {
                output_bytes: 6,
                output_rows: 7,
            },
            datasets: vec![DatasetMeasure {
                records: 8,
                bytes: 9,
                schema: B256::with_last_byte(10),
                quality: 11,
            }],
        }
    }

    #[test]
    fn encoding_round_trips() {
        let encoded = statement().encode();
        assert_eq!(Statement::decode(&encoded), Ok(statement()));
        assert_eq!(encoded.len(), FIXED_LEN + DATASET_LEN);
    }

    #[test]
    fn truncated_and_extended_bytes_are_refused() {
        let encoded = statement().encode();
        for length in 0..encoded.len() {
            assert!(
                Statement::decode(&encoded[..length]).is_err(),
                "{length} bytes"
            );
        }
        let mut longer = encoded.clone();
        longer.push(0);
        assert_eq!(
            Statement::decode(&longer),
            Err(StatementError::Length {
                expected: encoded.len(),
                found: encoded.len() + 1
            })
        );
    }

    #[test]
    fn more_datasets_than_legs_are_refused() {
        let mut encoded = statement().encode();
        encoded[FIXED_LEN - 1] = 9;
        assert_eq!(
            Statement::decode(&encoded),
            Err(StatementError::Datasets { found: 9 })
        );
    }

    #[test]
    fn every_byte_reaches_the_bindings() {
        let encoded = statement().encode();
        let transcript = statement().transcript();
        for i in DOMAIN.len()..encoded.len() {
            let mut other = encoded.clone();
            other[i] ^= 1;
            let Ok(other) = Statement::decode(&other) else {
                continue;
            };
            assert_ne!(
                other.transcript().gpu_nonce(),
                transcript.gpu_nonce(),
                "byte {i}"
            );
            assert_ne!(
                other.transcript().report_data([]),
                transcript.report_data([]),
                "byte {i}"
            );
        }
    }

    #[test]
    fn report_data_depends_on_the_reports_and_their_order() {
        let transcript = statement().transcript();
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        let both = transcript.report_data([a, b]);
        assert_ne!(both, transcript.report_data([b, a]));
        assert_ne!(both, transcript.report_data([a]));
        assert_ne!(both, transcript.report_data([b"ab".as_slice()]));
    }
}
