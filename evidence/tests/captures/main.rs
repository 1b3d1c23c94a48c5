//! Real captures, by name, with what must become of each. They are third-party data and not part of
//! this repository: `$VOUCH_EVIDENCE`, or `../shared/evidence` beside it, says where they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, missing_docs, reason = "tests")]

mod azure;
mod folder;
mod mutation;
mod nvidia;
mod ocsp;
mod paths_second_opinion;
mod rim;
mod second_opinion;
mod sev_second_opinion;
mod sev_snp;
mod table;
mod tdx;
mod tdx_collateral;
mod tdx_second_opinion;
