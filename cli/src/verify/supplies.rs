//! Collateral for a verification: from files, and where asked for from the vendors' services.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use vouch_collateral::{Addresses, Config, Error, Fetcher, Found, Gathered, Request, Wanted};
use vouch_evidence::session::Supplement;
use vouch_evidence::{Anchors, Time, Verifier};

use super::outcome::Outcome;
use crate::output::Failure;
use crate::when;

/// Where collateral comes from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Collateral")]
pub(super) struct Sources {
    /// Collateral, whatever it is: a file, or a folder of files. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(super) collateral: Vec<PathBuf>,
    /// Fetch what is not given from the vendors' services. Commercial use of NVIDIA's needs a licence
    /// from NVIDIA.
    #[arg(long)]
    fetch: bool,
    /// As --fetch, but nothing is asked of any service: only what is kept from before is used.
    #[arg(long)]
    offline: bool,
    /// Where fetched collateral is kept [default: `vouch/collateral` in the user's cache].
    #[arg(long, value_name = "DIR", env = "VOUCH_COLLATERAL_CACHE")]
    cache: Option<PathBuf>,
    /// Address of NVIDIA's manifests, or of a mirror; empty: never ask. Commercial use of NVIDIA's
    /// service needs a licence from NVIDIA.
    #[arg(long, value_name = "URL", env = "VOUCH_NVIDIA_RIM_URL")]
    nvidia_rim_url: Option<String>,
    /// Address of NVIDIA's OCSP responder. Commercial use needs a licence from NVIDIA.
    #[arg(long, value_name = "URL", env = "VOUCH_NVIDIA_OCSP_URL")]
    nvidia_ocsp_url: Option<String>,
    /// A file with the Authorization header for NVIDIA's services, for licensees.
    #[arg(long, value_name = "FILE", env = "VOUCH_NVIDIA_AUTHORIZATION")]
    nvidia_authorization: Option<PathBuf>,
    /// Address of AMD's key distribution service.
    #[arg(long, value_name = "URL", env = "VOUCH_AMD_KDS_URL")]
    amd_kds_url: Option<String>,
    /// Address of Intel's provisioning certification service.
    #[arg(long, value_name = "URL", env = "VOUCH_INTEL_PCS_URL")]
    intel_pcs_url: Option<String>,
    /// Address of the revocation list of Intel's root.
    #[arg(long, value_name = "URL", env = "VOUCH_INTEL_ROOT_URL")]
    intel_root_url: Option<String>,
    /// How long to wait for a service that is down or busy.
    #[arg(long, value_name = "DURATION", value_parser = when::duration, default_value = "30s")]
    patience: u64,
}

/// What a flag's files must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `--rim`
    Manifest,
    /// `--ocsp`
    Ocsp,
    /// `--crl`
    Crl,
}

/// Collateral at hand, and the means to get more.
#[derive(Debug)]
pub(super) struct Supplies {
    /// From files.
    pub(super) found: Found,
    fetcher: Option<Fetcher>,
}

impl Sources {
    /// Reads the files, and makes the fetcher ready where one is asked for.
    pub(super) fn open(&self, named: &[(Kind, &[PathBuf])]) -> Result<Supplies, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::Usage(anyhow!("{error}"));
        let mut found = Found::default();
        for path in &self.collateral {
            let add = found.add(path);
            add.map_err(|error| usage(&format!("--collateral {error}")))?;
        }
        for (kind, paths) in named {
            for path in *paths {
                let before = kind.count(&found);
                let add = found.add(path);
                add.map_err(|error| usage(&format!("{} {error}", kind.flag())))?;
                if kind.count(&found) == before {
                    let (flag, what) = (kind.flag(), kind.name());
                    let path = path.display();
                    return Err(Failure::usage(format!(
                        "{flag} {path}: expected {what}, found other collateral; --collateral takes any"
                    )));
                }
            }
        }
        let fetcher = match self.fetch || self.offline {
            true => Some(Fetcher::new(&self.config()?).map_err(|error| usage(&error))?),
            false => None,
        };
        Ok(Supplies { found, fetcher })
    }

    fn config(&self) -> Result<Config, Failure> {
        let cache = match &self.cache {
            Some(dir) => dir.clone(),
            None => cache_dir()?,
        };
        let or = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
        let vendor = Addresses::default();
        Ok(Config {
            addresses: Addresses {
                nvidia_rim: or(&self.nvidia_rim_url, vendor.nvidia_rim),
                nvidia_ocsp: or(&self.nvidia_ocsp_url, vendor.nvidia_ocsp),
                amd_kds: or(&self.amd_kds_url, vendor.amd_kds),
                intel_pcs: or(&self.intel_pcs_url, vendor.intel_pcs),
                intel_root: or(&self.intel_root_url, vendor.intel_root),
            },
            nvidia_authorization: self.nvidia_authorization.clone(),
            offline: self.offline,
            patience: Duration::from_secs(self.patience),
            ..Config::new(cache)
        })
    }
}

impl Supplies {
    /// Whether collateral that is not given may be got.
    pub(super) const fn fetches(&self) -> bool {
        self.fetcher.is_some()
    }

    /// Gets what is wanted, and says in `outcome` what was had and what was not.
    pub(super) async fn gather(
        &self,
        wanted: Wanted,
        anchors: &Anchors,
        at: Time,
        outcome: &mut Outcome,
    ) -> Gathered {
        let Some(fetcher) = &self.fetcher else {
            return Gathered::default();
        };
        let verifier = Verifier::new(anchors, at);
        let gathered = fetcher.gather(wanted, at, &verifier).await;
        for (what, until) in &gathered.had {
            outcome.fetched(what, *until);
        }
        for error in &gathered.failures {
            outcome.not_had(error);
        }
        gathered
    }

    /// The first of several requests that has an answer: one document in different places.
    pub(super) async fn first(
        &self,
        requests: &[Request],
        at: Time,
        outcome: &mut Outcome,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(fetcher) = &self.fetcher else {
            return Ok(None);
        };
        let mut last = None;
        for request in requests {
            match fetcher.get(request, at).await {
                Ok(document) => {
                    outcome.fetched(&request.to_string(), document.until);
                    return Ok(Some(document.bytes.clone()));
                }
                Err(error) => {
                    outcome.not_had(&error);
                    last = Some(error);
                }
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// Everything at hand for a bundle, given and gathered.
    pub(super) fn supplement(&self, gathered: Gathered, at: Time) -> Supplement {
        let mut collateral = self.found.collateral.clone();
        collateral.manifests.extend(gathered.collateral.manifests);
        collateral.ocsp.extend(gathered.collateral.ocsp);
        collateral.crls.extend(gathered.collateral.crls);
        let fetched = gathered.tdx.map(|tdx| tdx.to_json().into_bytes());
        Supplement {
            collateral,
            tdx: self.found.tdx.clone().or(fetched),
            at,
        }
    }
}

impl Kind {
    const fn flag(self) -> &'static str {
        match self {
            Self::Manifest => "--rim",
            Self::Ocsp => "--ocsp",
            Self::Crl => "--crl",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "a reference manifest (RIM, XML)",
            Self::Ocsp => "an OCSP response",
            Self::Crl => "a revocation list",
        }
    }

    const fn count(self, found: &Found) -> usize {
        match self {
            Self::Manifest => found.collateral.manifests.len(),
            Self::Ocsp => found.collateral.ocsp.len(),
            Self::Crl => found.collateral.crls.len(),
        }
    }
}

/// Source: XDG Base Directory Specification.
fn cache_dir() -> Result<PathBuf, Failure> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = given("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(given("HOME")?).join(".cache")));
    let dir = base.map(|base| base.join("vouch").join("collateral"));
    dir.ok_or_else(|| Failure::usage("--cache: missing, and there is no HOME to have one in"))
}
