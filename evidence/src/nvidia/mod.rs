//! NVIDIA GPU and NVSwitch attestation reports: SPDM 1.1 measurements signed by the device.
//!
//! [`Report::parse`] reads the bytes, [`verify`] makes an [`AuthenticReport`] of them, whose
//! [`claims`](AuthenticReport::claims) say what the device said.

mod chain;
mod claims;
#[cfg(feature = "std")]
pub mod eat;
mod firmware;
mod opaque;
mod report;
#[cfg(feature = "std")]
pub mod rim;
mod topology;
mod verify;

#[cfg(feature = "std")]
pub(crate) use chain::Issuer;
pub use chain::{Architecture, CHAIN_LEN, DeviceIdentity, Kind};
pub use claims::{Claims, FirmwareBinding, Mode};
pub use opaque::{Opaque, Status};
pub use report::{MAX_MEASUREMENTS, MAX_REPORT_LEN, Measurement, NONCE_AT, Report};
pub use topology::{PPCIE_GPUS, PPCIE_SWITCHES, check_topology};
pub use verify::{AuthenticReport, check_nonce, verify, verify_observed};
