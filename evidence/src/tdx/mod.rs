//! Intel TDX quotes (DCAP, versions 4 and 5) with Intel's collateral.
//!
//! **Decides** whether a quote was made by Intel's quoting enclave on a platform that Intel
//! certified, and how Intel rates that platform, its TDX module and its quoting enclave.
//!
//! **Trusts** the Intel root among the anchors, at the given time.
//!
//! **Leaves alone** which ratings and attributes are good enough: they are claims.

mod pck;
mod quote;
mod report;

pub use pck::{Pck, SgxType};
pub use quote::{Certification, HEADER_LEN, MAX_QUOTE_LEN, QE_REPORT_LEN, QeReport, Quote};
pub use report::{Attributes, Kind, REPORT_DATA_AT, Td15, TdReport};
