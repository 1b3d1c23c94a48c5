//! X.509 certificates, for chains whose length and order are known beforehand.
//!
//! There is no path building: a chain is what its vendor says it is, in that order, and every link
//! is checked. Source of the rules: RFC 5280.

mod certificate;
#[cfg(feature = "std")]
mod cross_check;
mod link;
mod name;

pub(crate) use certificate::SHA384;
pub use certificate::{
    BasicConstraints, Certificate, Extension, KeyUsage, PublicKey, SignatureAlgorithm,
};
#[cfg(feature = "std")]
pub(crate) use certificate::{parse_time, signature_algorithm, verify_with};
pub(crate) use link::{Authority, ChainReasons, check_authority, check_link, check_validity};
pub(crate) use name::common_name;

/// Bytes of the largest certificate that is looked at.
pub const MAX_CERTIFICATE_LEN: usize = 16 * 1024;
/// Extensions of one certificate that are looked at.
pub const MAX_EXTENSIONS: usize = 32;
