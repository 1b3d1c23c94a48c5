//! NVIDIA's reference integrity manifests (RIM): what a driver or VBIOS must measure.

mod compare;
mod manifest;
mod signature;
mod xml;

pub use compare::{Matched, check_measurements, driver_id, vbios_id};
pub use manifest::{Golden, MAX_ALTERNATIVES, Manifest};
pub use signature::{AuthenticManifest, Signer, verify, verify_observed};
pub use xml::MAX_MANIFEST_LEN;
