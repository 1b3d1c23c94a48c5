//! Collateral that a bundle does not bring, fetched once a verdict waits for it.
//!
//! Nothing is fetched for evidence that is refused, or that needs no more. What was fetched is kept in
//! the evidence store, under its digest: with the bundle it gives the same verdict to everybody. What
//! cannot be fetched leaves the verdict open, and is tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use vouch_collateral::{Addresses, Config, ConfigError, Error, Fetcher, Wanted};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::Supplement;
use vouch_evidence::{Anchors, Time, Verifier};
use vouch_protocol::Reason;

use crate::bundles::{self, BundleError, Bundles};
use crate::time::now_ms;

/// `[collateral]`: without it, nothing is fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where answers are kept; by default `collateral` next to the database.
    pub cache_dir: Option<PathBuf>,
    /// The services; an empty address is never asked. Commercial use of NVIDIA's needs a licence from
    /// NVIDIA.
    pub addresses: Addresses,
    /// A file with the `Authorization` header for NVIDIA's services, for licensees.
    pub nvidia_authorization: Option<PathBuf>,
    /// Only the cache answers.
    pub offline: bool,
    /// How long a service may take for one answer.
    pub timeout_ms: u64,
    /// How long a verdict waits for a service that is down or busy before it is tried again later.
    pub patience_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            addresses: Addresses::default(),
            nvidia_authorization: None,
            offline: false,
            timeout_ms: 10_000,
            patience_ms: 30_000,
        }
    }
}

impl Settings {
    /// Makes relative paths paths from `dir`.
    pub fn anchor(&mut self, dir: &Path) {
        let paths = [&mut self.cache_dir, &mut self.nvidia_authorization];
        for path in paths.into_iter().flatten() {
            *path = dir.join(&*path);
        }
    }

    fn fetcher(&self, beside: &Path) -> Result<Fetcher, ConfigError> {
        let cache = self.cache_dir.clone();
        let cache = cache.unwrap_or_else(|| beside.with_file_name("collateral"));
        Fetcher::new(&Config {
            addresses: self.addresses.clone(),
            nvidia_authorization: self.nvidia_authorization.clone(),
            offline: self.offline,
            timeout: Duration::from_millis(self.timeout_ms),
            patience: Duration::from_millis(self.patience_ms),
            ..Config::new(cache)
        })
    }
}

/// Gets collateral for bundles, where it may.
#[derive(Clone, Debug)]
pub struct Supplier {
    fetcher: Option<Fetcher>,
    bundles: Bundles,
    anchors: Arc<Anchors>,
}

/// What was got for a bundle.
#[derive(Clone, Debug)]
pub struct Supplied {
    /// For the verifier.
    pub supplement: Supplement,
    /// Where it is kept and what could not be had, for people.
    pub note: String,
}

impl Supplier {
    /// A supplier; without settings, one that never helps. Answers are kept beside `database` unless the
    /// settings say where.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(
        settings: Option<&Settings>,
        database: &Path,
        bundles: Bundles,
        anchors: Arc<Anchors>,
    ) -> Result<Self, ConfigError> {
        let fetcher = settings.map(|settings| settings.fetcher(database));
        Ok(Self {
            fetcher: fetcher.transpose()?,
            bundles,
            anchors,
        })
    }

    /// Whether more collateral may settle what is open for this reason.
    pub const fn can_help(&self, reason: Reason) -> bool {
        self.fetcher.is_some()
            && matches!(
                reason,
                Reason::ManifestMissing
                    | Reason::RevocationMissing
                    | Reason::TcbInfoMissing
                    | Reason::CollateralExpired
            )
    }

    /// Gets what the bundle's devices need, and keeps it.
    ///
    /// # Errors
    /// [`BundleError`] where it cannot be kept. What cannot be had is no error: it is named in the
    /// note.
    pub async fn supply(&self, bundle: &[u8], observed_at: u64) -> Result<Supplied, BundleError> {
        // A development chain's clock may be ahead of this one.
        let at = Time::from_unix(now_ms() / 1000).max(Time::from_unix(observed_at));
        let mut supplement = Supplement {
            at,
            ..Supplement::default()
        };
        let (Some(fetcher), Ok(bundle)) = (&self.fetcher, Bundle::from_json(bundle)) else {
            return Ok(Supplied {
                supplement,
                note: "no collateral fetched".into(),
            });
        };
        let verifier = Verifier::new(&self.anchors, at);
        let wanted = Wanted::of_bundle(&bundle, &verifier);
        let gathered = fetcher.gather(wanted, at, &verifier).await;
        supplement.collateral = gathered.collateral;
        supplement.tdx = gathered.tdx.map(|tdx| tdx.to_json().into_bytes());
        let json = supplement.to_json();
        let digest = bundles::digest(&json);
        self.bundles.put(digest, json).await?;
        let mut note = format!("with collateral {digest}");
        if !gathered.failures.is_empty() {
            let failures: Vec<String> = gathered.failures.iter().map(Error::to_string).collect();
            note.push_str(&format!(", not had: {}", failures.join("; ")));
        }
        Ok(Supplied { supplement, note })
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::{StatusCode, Uri};
    use vouch_evidence::Rejection;
    use vouch_evidence::session::{self, Expected, SessionClaims};
    use vouch_simulator::{Machine, Options, Period, Session, amd_crl, roots};

    use super::*;

    const INPUTS: [u8; 32] = [3; 32];
    /// Long after the answers were made.
    const ALWAYS: Period<'_> = Period {
        from: "20260101000000Z",
        until: "20991231000000Z",
    };

    struct Rig {
        dir: tempfile::TempDir,
        bundle: Vec<u8>,
        anchors: Arc<Anchors>,
        settings: Settings,
    }

    impl Rig {
        /// A session's bundle without collateral, and services that give what `period` says.
        async fn new(period: Option<Period<'static>>) -> Self {
            let machine = Machine::new(b"oracle collateral");
            let start = Session::from_secret([5; 32]).start([1; 32].into(), INPUTS.into());
            let bundle = machine.bundle(&start, &Options::default()).to_json();
            let answers = period.map(|period| (machine.ocsp(period), amd_crl(period)));
            let respond = move |uri: Uri, body: Bytes| {
                let answers = answers.clone();
                async move { respond(answers.as_ref(), &uri, &body) }
            };
            let app = Router::new().fallback(respond);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, app).await });
            let roots = roots();
            let anchors = Anchors::vendor()
                .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
                .unwrap();
            Self {
                dir: tempfile::tempdir().unwrap(),
                bundle,
                anchors: Arc::new(anchors),
                settings: Settings {
                    addresses: Addresses {
                        nvidia_rim: base.clone(),
                        nvidia_ocsp: base.clone(),
                        amd_kds: base.clone(),
                        intel_pcs: base.clone(),
                        intel_root: base,
                    },
                    patience_ms: 100,
                    ..Settings::default()
                },
            }
        }

        fn bundles(&self) -> Bundles {
            Bundles::open(self.dir.path().join("evidence"), 1 << 22).unwrap()
        }

        fn supplier(&self, settings: Option<&Settings>) -> Supplier {
            let database = self.dir.path().join("db");
            Supplier::new(
                settings,
                &database,
                self.bundles(),
                Arc::clone(&self.anchors),
            )
            .unwrap()
        }

        async fn supply(&self) -> Supplied {
            let supplier = self.supplier(Some(&self.settings));
            supplier.supply(&self.bundle, 0).await.unwrap()
        }

        fn verify(&self, supplement: Option<&Supplement>) -> Result<SessionClaims, Rejection> {
            let observed_at = Time::from_unix(1_795_305_600);
            let expected = Expected::Start {
                evidence: Bundle::digest(&self.bundle),
                challenge: [1; 32].into(),
                challenged_at: observed_at,
                inputs: INPUTS.into(),
            };
            let verifier = Verifier::new(&self.anchors, observed_at);
            session::verify_with(&self.bundle, &expected, supplement, &verifier, &mut ())
        }
    }

    fn respond(
        answers: Option<&(Vec<Vec<u8>>, Vec<u8>)>,
        uri: &Uri,
        body: &[u8],
    ) -> (StatusCode, Vec<u8>) {
        let Some((ocsp, crl)) = answers else {
            return (StatusCode::INTERNAL_SERVER_ERROR, Vec::new());
        };
        if uri.path() == "/vcek/v1/Genoa/crl" {
            return (StatusCode::OK, crl.clone());
        }
        // The id of the certificate that is asked about ends the request, and is in its answer.
        let id = body
            .windows(2)
            .position(|w| w == [0x04, 0x30])
            .map(|at| &body[at..]);
        let known = id.and_then(|id| {
            ocsp.iter()
                .find(|answer| answer.windows(id.len()).any(|w| w == id))
        });
        match known {
            Some(answer) => (StatusCode::OK, answer.clone()),
            None => (StatusCode::NOT_FOUND, Vec::new()),
        }
    }

    #[tokio::test]
    async fn what_was_fetched_settles_what_was_open_and_can_be_used_again() {
        let rig = Rig::new(Some(ALWAYS)).await;
        let open = rig.verify(None).unwrap().revocation.unwrap_err();
        assert_eq!(open.reason, Reason::RevocationMissing);
        assert!(rig.supplier(Some(&rig.settings)).can_help(open.reason));

        let supplied = rig.supply().await;
        let claims = rig.verify(Some(&supplied.supplement)).unwrap();
        claims.revocation.unwrap();
        // The manifest of a simulated GPU is nobody's to have.
        assert!(
            supplied
                .note
                .contains("not had: manifest NV_GPU_DRIVER_GH100_")
        );

        // A challenger finds it by the digest in the note.
        let digest = supplied.note.split(&[' ', ','][..]).nth(2).unwrap();
        let kept = rig
            .bundles()
            .get(digest.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(Supplement::from_json(&kept).unwrap(), supplied.supplement);
    }

    #[tokio::test]
    async fn answers_made_after_the_evidence_count_and_stale_ones_do_not() {
        let later = Period {
            from: "20261122120000Z",
            until: "20991231000000Z",
        };
        let rig = Rig::new(Some(later)).await;
        let supplied = rig.supply().await;
        assert!(
            rig.verify(Some(&supplied.supplement))
                .unwrap()
                .revocation
                .is_ok()
        );
        // The same answers where they were got before they were made.
        let early = Supplement {
            at: Time::from_unix(0),
            ..supplied.supplement
        };
        let stale = rig.verify(Some(&early)).unwrap().revocation.unwrap_err();
        assert_eq!(stale.reason, Reason::CollateralExpired);
    }

    #[tokio::test]
    async fn services_that_are_down_leave_the_verdict_open() {
        let rig = Rig::new(None).await;
        let supplied = rig.supply().await;
        let open = rig
            .verify(Some(&supplied.supplement))
            .unwrap()
            .revocation
            .unwrap_err();
        assert!(!open.reason.class().is_conclusive());
        assert!(
            supplied.note.contains("OCSP answer about"),
            "{}",
            supplied.note
        );
        assert!(
            supplied.note.contains("revocation list of Genoa"),
            "{}",
            supplied.note
        );
    }

    #[tokio::test]
    async fn nothing_is_fetched_unless_it_is_configured_and_can_help() {
        let rig = Rig::new(Some(ALWAYS)).await;
        assert!(!rig.supplier(None).can_help(Reason::ManifestMissing));
        let supplier = rig.supplier(Some(&rig.settings));
        for reason in Reason::ALL {
            let collateral =
                reason.class().name() == "missing" || *reason == Reason::CollateralExpired;
            let elsewhere = matches!(reason, Reason::EvidenceMissing | Reason::CertificateMissing);
            assert_eq!(
                supplier.can_help(*reason),
                collateral && !elsewhere,
                "{reason}"
            );
        }
        let supplied = supplier.supply(b"no bundle", 0).await.unwrap();
        assert_eq!(supplied.supplement.collateral, Default::default());
    }
}
