//! What a bundle's collateral says of its devices.
//!
//! Collateral never makes a session authentic, and the lack of it never makes it a lie: it answers
//! the clauses that ask for it, and the refusal is kept for those clauses.

use std::format;
use std::vec::Vec;

use crate::bundle::{Bundle, DeviceEvidence};
use crate::check::{Observe, Rule, skip};
use crate::nvidia;
use crate::nvidia::rim::{self, AuthenticManifest};
use crate::rejection::Rejection;
use crate::revocation::ocsp::{self, Hold, Response};
use crate::session::GpuClaims;
use crate::time::Time;
use crate::verifier::Verifier;
use vouch_protocol::Reason;

/// The first certificate of a device's chain that is asked about: NVIDIA's responder does not know
/// leaf certificates.
const DEVICE_FROM: usize = 1;

static MANIFESTS: Rule = Rule {
    field: "collateral.manifests",
    reason: Reason::ManifestMissing,
    source: "NVIDIA attestation SDK, measurement comparison",
};
static REVOCATION: Rule = Rule {
    field: "collateral.ocsp",
    reason: Reason::RevocationMissing,
    source: "NVIDIA attestation SDK, OCSP checks",
};

/// The manifests of a bundle.
pub(super) struct Manifests {
    valid: Vec<AuthenticManifest>,
    /// Why one of them does not count.
    refused: Option<Rejection>,
}

/// Verifies the manifests of the bundle.
pub(super) fn manifests<O: Observe>(
    bundle: &Bundle,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Manifests {
    let mut found = Manifests {
        valid: Vec::new(),
        refused: None,
    };
    for (index, xml) in bundle.collateral.manifests.iter().enumerate() {
        let scope = || format!("collateral.manifests[{index}]");
        observer.enter(scope);
        let manifest = rim::verify_observed(xml, verifier, observer);
        observer.leave();
        match manifest {
            Ok(manifest) => found.valid.push(manifest),
            Err(rejection) => {
                found.refused.get_or_insert(rejection.within(&scope()));
            }
        }
    }
    found
}

/// Compares a GPU's measurements with the manifests.
pub(super) fn compare<O: Observe>(
    claims: nvidia::Claims,
    manifests: &Manifests,
    observer: &mut O,
) -> GpuClaims {
    let compared = if manifests.valid.is_empty() {
        skip(
            observer,
            &MANIFESTS,
            "manifests of driver and VBIOS",
            "none that counts",
        );
        rim::check_measurements(&claims, &[], &mut ())
    } else {
        rim::check_measurements(&claims, &manifests.valid, observer)
    };
    let manifests =
        compared
            .map(|_| ())
            .map_err(|rejection| match (&manifests.refused, rejection.reason) {
                // The manifest that is missing may be the one that was refused: say that instead.
                (Some(refused), Reason::ManifestMissing) => refused.clone(),
                _ => rejection,
            });
    GpuClaims { claims, manifests }
}

/// Asks the bundle's answers about every GPU, switch and signer of a manifest. Gives when the
/// oldest answer was made; `None` where there is nobody to ask about.
pub(super) fn revocation<O: Observe>(
    bundle: &Bundle,
    manifests: &Manifests,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<Option<Time>, Rejection> {
    if bundle.collateral.ocsp.is_empty() {
        skip(observer, &REVOCATION, "an answer for every chain", "none");
    }
    let responses = ocsp::parse_all(&bundle.collateral.ocsp)?;
    let mut oldest = None;
    for (list, devices) in [("gpus", &bundle.gpus), ("switches", &bundle.switches)] {
        for (index, DeviceEvidence { chain, .. }) in devices.iter().enumerate() {
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let scope = || format!("{list}[{index}]");
            let made = ask(
                &chain,
                DEVICE_FROM,
                &responses,
                verifier.time,
                &scope,
                observer,
            )?;
            oldest = earlier(oldest, made);
        }
    }
    for (index, manifest) in manifests.valid.iter().enumerate() {
        let chain: Vec<&[u8]> = manifest.device().chain.iter().map(Vec::as_slice).collect();
        let scope = || format!("collateral.manifests[{index}]");
        let made = ask(&chain, 0, &responses, verifier.time, &scope, observer)?;
        oldest = earlier(oldest, made);
    }
    Ok(oldest)
}

/// The earlier of two times, of which the first may be missing.
pub(super) fn earlier(oldest: Option<Time>, made: Time) -> Option<Time> {
    Some(oldest.map_or(made, |oldest| oldest.min(made)))
}

fn ask<O: Observe>(
    chain: &[&[u8]],
    from: usize,
    responses: &[Response<'_>],
    time: Time,
    scope: &dyn Fn() -> std::string::String,
    observer: &mut O,
) -> Result<Time, Rejection> {
    observer.enter(scope);
    let made = ocsp::check_chain(chain, from, responses, Hold::Refuse, time, observer);
    observer.leave();
    made.map_err(|rejection| rejection.within(&scope()))
}
