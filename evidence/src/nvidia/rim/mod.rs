//! NVIDIA's reference integrity manifests (RIM): what a driver or VBIOS must measure.

mod compare;
mod manifest;
mod signature;
mod xml;

pub use compare::{Matched, check_measurements, driver_id, vbios_id};
pub use manifest::{Golden, MAX_ALTERNATIVES, Manifest};
pub use signature::{AuthenticManifest, Signer, read, verify, verify_observed};
pub use xml::MAX_MANIFEST_LEN;

/// The canonical form of a whole document, for fuzzing.
pub(crate) fn canonical(xml: &[u8]) -> Result<Vec<u8>, crate::Rejection> {
    xml::Element::parse(xml).map(|root| root.canonical(&xml::Scope::new(), None))
}
