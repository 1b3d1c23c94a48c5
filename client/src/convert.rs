//! Between the interface's structs and the protocol's types.

use alloy::primitives::U256;
use vouch_protocol::clause::LegClauses;
use vouch_protocol::{Counters, DatasetMeasure};

/// Counters as a verdict carries them.
pub const fn counters_to_abi(counters: &Counters) -> vouch_abi::Counters {
    vouch_abi::Counters {
        outputBytes: counters.output_bytes,
        outputRows: counters.output_rows,
    }
}

/// Counters of a verdict.
pub const fn counters_from_abi(counters: &vouch_abi::Counters) -> Counters {
    Counters {
        output_bytes: counters.outputBytes,
        output_rows: counters.outputRows,
    }
}

/// A dataset's measure as a verdict carries it.
pub const fn measure_to_abi(measure: &DatasetMeasure) -> vouch_abi::DatasetMeasure {
    vouch_abi::DatasetMeasure {
        records: measure.records,
        size: measure.bytes,
        schema: measure.schema,
        quality: measure.quality,
    }
}

/// A dataset's measure of a verdict.
pub const fn measure_from_abi(measure: &vouch_abi::DatasetMeasure) -> DatasetMeasure {
    DatasetMeasure {
        records: measure.records,
        bytes: measure.size,
        schema: measure.schema,
        quality: measure.quality,
    }
}

/// The clause word of a verdict.
pub fn clauses_to_abi(clauses: LegClauses) -> U256 {
    U256::from_be_bytes(clauses.to_be_bytes())
}

/// The clauses in a verdict's word.
pub fn clauses_from_abi(word: U256) -> LegClauses {
    LegClauses::from_be_bytes(word.to_be_bytes())
}
