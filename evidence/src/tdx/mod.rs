//! Intel TDX quotes (DCAP, versions 4 and 5) with Intel's collateral.
//!
//! **Decides** whether a quote was made by Intel's quoting enclave on a platform that Intel
//! certified, and how Intel rates that platform, its TDX module and its quoting enclave.
//!
//! **Trusts** the Intel root among the anchors, at the given time.
//!
//! **Leaves alone** which ratings and attributes are good enough: they are claims.
//!
//! [`Quote::parse`] reads the bytes, [`verify`] makes an [`AuthenticQuote`] of them, whose
//! [`claims`](AuthenticQuote::claims) say what the domain said and how Intel rates its platform.
//! Collateral goes the same way: [`Collateral::from_json`], then [`verify_collateral`], whose
//! [`AuthenticCollateral`] serves any number of quotes. Reading quotes needs no std; the rest does.

#[cfg(feature = "std")]
mod authentic;
#[cfg(feature = "std")]
mod chain;
#[cfg(feature = "std")]
mod claims;
#[cfg(feature = "std")]
mod collateral;
#[cfg(feature = "std")]
mod pck;
mod quote;
mod report;
#[cfg(feature = "std")]
mod status;
#[cfg(feature = "std")]
mod tcb;
#[cfg(feature = "std")]
mod tcb_info;
#[cfg(feature = "std")]
mod verify;

#[cfg(feature = "std")]
pub use authentic::{AuthenticCollateral, verify_collateral};
#[cfg(feature = "std")]
pub(crate) use chain::VerifiedPck;
#[cfg(feature = "std")]
pub use claims::{Claims, Concern};
#[cfg(feature = "std")]
pub use collateral::{Collateral, Signed};
#[cfg(feature = "std")]
pub use pck::{Pck, SgxType};
pub use quote::{Certification, HEADER_LEN, MAX_QUOTE_LEN, QE_REPORT_LEN, QeReport, Quote};
pub use report::{Attributes, Kind, REPORT_DATA_AT, Td15, TdReport};
#[cfg(feature = "std")]
pub use status::{Rating, TcbStatus};
#[cfg(feature = "std")]
pub use tcb::Appraisal;
#[cfg(feature = "std")]
pub(crate) use tcb_info::{QeIdentity, TcbInfo};
#[cfg(feature = "std")]
pub use verify::{AuthenticQuote, Platform, check_report_data, verify, verify_observed};
