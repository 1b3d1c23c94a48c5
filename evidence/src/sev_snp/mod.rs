//! AMD SEV-SNP attestation reports, versions 2 to 5, of Milan, Genoa and Turin.
//!
//! [`Report::parse`] reads the bytes, [`verify`] makes an [`AuthenticReport`] of them, whose
//! [`claims`](AuthenticReport::claims) say what the machine said.

mod chain;
mod claims;
mod generation;
mod report;
#[cfg(feature = "std")]
mod revocation;
mod verify;

#[cfg(feature = "std")]
pub(crate) use chain::VerifiedKey;
pub use chain::{Chain, Endorsement, EndorsementKey};
pub use claims::Claims;
pub use generation::{Generation, Tcb};
pub use report::{GuestPolicy, REPORT_DATA_AT, REPORT_LEN, Report, SIGNED_LEN};
#[cfg(feature = "std")]
pub use revocation::check_revocation;
pub use verify::{AuthenticReport, check_report_data, verify, verify_observed};
