//! What a bundle's collateral says of its devices.
//!
//! Collateral never makes a session authentic, and the lack of it never makes it a lie: it answers
//! the clauses that ask for it, and the refusal is kept for those clauses.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::supplement::Supplement;
use crate::bundle::{Bundle, Collateral, DeviceEvidence};
use crate::check::{Observe, Rule, skip};
use crate::nvidia;
use crate::nvidia::rim::{self, AuthenticManifest};
use crate::rejection::Rejection;
use crate::revocation::ocsp::{self, Hold, Response};
use crate::session::GpuClaims;
use crate::time::Time;
use crate::verifier::Verifier;
use vouch_protocol::Reason;
use vouch_protocol::reason::Class;

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

/// Documents of one origin, and the time at which they are judged.
pub(super) struct Source<'a> {
    pub(super) name: &'static str,
    pub(super) documents: &'a Collateral,
    pub(super) verifier: Verifier<'a>,
}

/// What there is, the bundle's own first.
pub(super) fn sources<'a>(
    bundle: &'a Bundle,
    supplement: Option<&'a Supplement>,
    verifier: &Verifier<'a>,
) -> Vec<Source<'a>> {
    let own = Source {
        name: "collateral",
        documents: &bundle.collateral,
        verifier: *verifier,
    };
    let more = supplement.map(|supplement| Source {
        name: "supplement",
        documents: &supplement.collateral,
        verifier: later(verifier, supplement),
    });
    [own].into_iter().chain(more).collect()
}

/// A verifier at the time at which a supplement was got.
pub(super) fn later<'a>(verifier: &Verifier<'a>, supplement: &Supplement) -> Verifier<'a> {
    Verifier {
        time: verifier.time.max(supplement.at),
        ..*verifier
    }
}

/// The manifests of all sources.
pub(super) struct Manifests {
    valid: Vec<AuthenticManifest>,
    /// The path of each.
    paths: Vec<String>,
    /// Why one of them does not count.
    refused: Option<Rejection>,
}

/// Verifies the manifests of all sources.
pub(super) fn manifests<O: Observe>(sources: &[Source<'_>], observer: &mut O) -> Manifests {
    let mut found = Manifests {
        valid: Vec::new(),
        paths: Vec::new(),
        refused: None,
    };
    for source in sources {
        for (index, xml) in source.documents.manifests.iter().enumerate() {
            let scope = || format!("{}.manifests[{index}]", source.name);
            observer.enter(scope);
            let manifest = rim::verify_observed(xml, &source.verifier, observer);
            observer.leave();
            match manifest {
                Ok(manifest) => {
                    found.valid.push(manifest);
                    found.paths.push(scope());
                }
                Err(rejection) => {
                    found.refused.get_or_insert(rejection.within(&scope()));
                }
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

/// Asks the sources' answers about every GPU, switch and signer of a manifest. Gives when the oldest
/// answer was made; `None` where there is nobody to ask about.
pub(super) fn revocation<O: Observe>(
    bundle: &Bundle,
    sources: &[Source<'_>],
    manifests: &Manifests,
    observer: &mut O,
) -> Result<Option<Time>, Rejection> {
    if sources
        .iter()
        .all(|source| source.documents.ocsp.is_empty())
    {
        skip(observer, &REVOCATION, "an answer for every chain", "none");
    }
    let answers = sources
        .iter()
        .map(|source| {
            Ok((
                ocsp::parse_all(&source.documents.ocsp)?,
                source.verifier.time,
            ))
        })
        .collect::<Result<Vec<_>, Rejection>>()?;
    let mut oldest = None;
    for (list, devices) in [("gpus", &bundle.gpus), ("switches", &bundle.switches)] {
        for (index, DeviceEvidence { chain, .. }) in devices.iter().enumerate() {
            let scope = || format!("{list}[{index}]");
            let made = ask(chain, DEVICE_FROM, &answers, &scope, observer)?;
            oldest = earlier(oldest, made);
        }
    }
    for (manifest, path) in manifests.valid.iter().zip(&manifests.paths) {
        let scope = || path.clone();
        let made = ask(&manifest.device().chain, 0, &answers, &scope, observer)?;
        oldest = earlier(oldest, made);
    }
    Ok(oldest)
}

/// The earlier of two times, of which the first may be missing.
pub(super) fn earlier(oldest: Option<Time>, made: Time) -> Option<Time> {
    Some(oldest.map_or(made, |oldest| oldest.min(made)))
}

/// The first source that settles the question answers it.
fn ask<O: Observe>(
    chain: &[Vec<u8>],
    from: usize,
    answers: &[(Vec<Response<'_>>, Time)],
    scope: &dyn Fn() -> String,
    observer: &mut O,
) -> Result<Time, Rejection> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    observer.enter(scope);
    let made = settle(answers.iter(), |(responses, time)| {
        ocsp::check_chain(&chain, from, responses, Hold::Refuse, *time, observer)
    });
    observer.leave();
    made.map_err(|rejection| rejection.within(&scope()))
}

/// Asks one source after the other until one is conclusive, whichever way. Where none is, something
/// stale says more than something missing.
pub(super) fn settle<S, T>(
    sources: impl Iterator<Item = S>,
    mut ask: impl FnMut(S) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let mut open: Option<Rejection> = None;
    for source in sources {
        match ask(source) {
            Err(rejection) if !rejection.class().is_conclusive() => {
                let stale = rejection.class() == Class::Stale;
                open = Some(open.filter(|_| !stale).unwrap_or(rejection));
            }
            settled => return settled,
        }
    }
    Err(open.unwrap_or_else(|| {
        Rejection::new(Reason::RevocationMissing, "collateral", "a source", "none")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(reason: Reason) -> Result<T, Rejection> {
        Err(Rejection::new(reason, "x", "a", "b"))
    }

    #[test]
    fn the_first_conclusive_source_settles_and_stale_says_more_than_missing() {
        let (missing, stale) = (Reason::RevocationMissing, Reason::CollateralExpired);
        let forged = Reason::CollateralForged;
        type Said = Result<u8, Reason>;
        let rows: [(&[Said], Said); 7] = [
            (&[], Err(missing)),
            (&[Ok(1), Ok(2)], Ok(1)),
            (&[Err(missing), Ok(2)], Ok(2)),
            (&[Err(stale), Ok(2)], Ok(2)),
            (&[Err(Reason::Revoked), Ok(2)], Err(Reason::Revoked)),
            (&[Err(missing), Err(forged)], Err(forged)),
            (&[Err(stale), Err(missing)], Err(stale)),
        ];
        for (sources, expected) in rows {
            let found = settle(sources.iter(), |source| source.or_else(refused));
            assert_eq!(found.map_err(|r| r.reason), expected, "{sources:?}");
        }
        let found = settle([missing, stale].iter(), |reason| refused::<()>(*reason));
        assert_eq!(found.unwrap_err().reason, stale);
    }
}
