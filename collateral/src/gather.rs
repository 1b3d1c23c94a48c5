//! What a device's evidence needs, and all of it at once.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use vouch_evidence::bundle::{Bundle, Collateral, CpuEvidence, DeviceEvidence};
use vouch_evidence::nvidia::{self, rim};
use vouch_evidence::sev_snp::{self, Endorsement, Generation};
use vouch_evidence::tdx::{self, Certification, Pck, Quote, Signed};
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Time, Verifier, decode};

use crate::error::Error;
use crate::fetcher::{Document, Fetcher};
use crate::request::{PckIssuer, Request};

/// The first certificate of a device's chain that NVIDIA's responder knows: not the leaf.
const DEVICE_FROM: usize = 1;
/// Most pieces that are asked for at once: eight GPUs and four switches with everything need fewer.
const MAX_WANTED: usize = 256;

/// Pieces of collateral, each once.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    requests: Vec<Request>,
    seen: HashSet<Request>,
    /// Manifests that are at hand already: their signers are asked about too.
    manifests: Vec<Vec<u8>>,
}

/// What could be had, and what could not.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Manifests, OCSP responses, AMD's revocation lists.
    pub collateral: Collateral,
    /// Intel's collateral; `None` where none was wanted or none of it could be had.
    pub tdx: Option<tdx::Collateral>,
    /// What could not be had.
    pub failures: Vec<Error>,
    /// What was had, with the time until which it says that it counts.
    pub had: Vec<(String, Time)>,
}

impl Wanted {
    /// One more piece.
    pub fn add(&mut self, request: Request) {
        if self.requests.len() < MAX_WANTED && self.seen.insert(request.clone()) {
            self.requests.push(request);
        }
    }

    /// The manifests of a GPU or switch.
    pub fn manifests_of(&mut self, claims: &nvidia::Claims) {
        let ids = [rim::driver_id(claims), rim::vbios_id(claims)];
        ids.into_iter()
            .flatten()
            .for_each(|id| self.add(Request::Manifest(id)));
    }

    /// Answers about a GPU's or switch's chain, leaf first.
    pub fn revocation_of(&mut self, chain: &[Vec<u8>]) {
        self.answers(chain, DEVICE_FROM);
    }

    /// Answers about the signer of a manifest that is at hand.
    pub fn signer_of(&mut self, manifest: &[u8]) {
        self.manifests.push(manifest.to_vec());
    }

    fn answers(&mut self, chain: &[Vec<u8>], from: usize) {
        for pair in chain.windows(2).skip(from) {
            if let [certificate, issuer] = pair {
                self.add(Request::Ocsp {
                    certificate: certificate.clone(),
                    issuer: issuer.clone(),
                });
            }
        }
    }

    /// AMD's revocation list for an endorsement key.
    pub fn amd_crl(&mut self, generation: Generation, endorsement: Endorsement) {
        self.add(Request::AmdCrl {
            generation,
            endorsement,
        });
    }

    /// Intel's collateral for the platform of a quote that carries its chain; without one, nobody can
    /// be asked.
    pub fn tdx(&mut self, quote: &Quote<'_>) {
        let Certification::Chain(pem) = quote.certification else {
            return;
        };
        let end = pem
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let Ok(chain) = decode::certificates(&pem[..end]) else {
            return;
        };
        let Some(Ok(leaf)) = chain.first().map(|der| Certificate::parse(der)) else {
            return;
        };
        let issuer = leaf
            .issuer_common_name()
            .and_then(PckIssuer::from_common_name);
        if let (Some(issuer), Ok(pck)) = (issuer, Pck::read(&leaf)) {
            self.add(Request::PckCrl(issuer));
            self.add(Request::RootCrl);
            self.add(Request::TcbInfo(pck.fmspc));
            self.add(Request::QeIdentity);
        }
    }

    /// What a bundle's devices need, those that are genuine: the vendors are not asked about others.
    pub fn of_bundle(bundle: &Bundle, verifier: &Verifier<'_>) -> Self {
        let mut wanted = Self::default();
        for DeviceEvidence { report, chain } in bundle.gpus.iter().chain(&bundle.switches) {
            let slices: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let verified = nvidia::Report::parse(report).and_then(|report| {
                nvidia::verify_observed(&report, &slices, verifier, &mut ())
                    .map(|authentic| authentic.claims())
            });
            let Ok(claims) = verified else { continue };
            // Only GPUs are judged by their manifests.
            if matches!(claims.kind, nvidia::Kind::Gpu(_)) {
                wanted.manifests_of(&claims);
            }
            wanted.revocation_of(chain);
        }
        for manifest in &bundle.collateral.manifests {
            wanted.signer_of(manifest);
        }
        match &bundle.cpu {
            CpuEvidence::SevSnp { report, vek, chain } => {
                let chain = chain.as_ref().map(|chain| sev_snp::Chain {
                    signer: &chain.signer,
                    root: &chain.root,
                });
                let verified = sev_snp::Report::parse(report).and_then(|report| {
                    sev_snp::verify_observed(&report, vek, chain.as_ref(), verifier, &mut ())
                        .map(|authentic| authentic.claims())
                });
                if let Ok(claims) = verified {
                    wanted.amd_crl(claims.generation, claims.endorsement);
                }
            }
            CpuEvidence::Tdx { quote, .. } => {
                if let Ok(quote) = Quote::parse(quote) {
                    wanted.tdx(&quote);
                }
            }
            _ => {}
        }
        wanted
    }
}

impl Fetcher {
    /// Gets everything that is wanted and counts at `at`, and then the answers about the signers of
    /// the manifests that came. `verifier` says who those signers are.
    pub async fn gather(&self, mut wanted: Wanted, at: Time, verifier: &Verifier<'_>) -> Gathered {
        let mut gathered = Gathered::default();
        let manifests = std::mem::take(&mut wanted.manifests);
        self.fill(&wanted.requests, at, &mut gathered).await;
        let mut signers = Wanted {
            seen: wanted.seen,
            ..Wanted::default()
        };
        // A manifest that does not verify has no signer to ask about; the verifier will say so.
        for xml in manifests.iter().chain(&gathered.collateral.manifests) {
            if let Ok(manifest) = rim::verify_observed(xml, verifier, &mut ()) {
                signers.answers(&manifest.device().chain, 0);
            }
        }
        self.fill(&signers.requests, at, &mut gathered).await;
        gathered
    }

    async fn fill(&self, requests: &[Request], at: Time, gathered: &mut Gathered) {
        let answers = join_all(requests.iter().map(|request| self.get(request, at))).await;
        for (request, answer) in requests.iter().zip(answers) {
            match answer {
                Ok(document) => {
                    gathered.had.push((request.to_string(), document.until));
                    gathered.put(request, &document);
                }
                Err(error) => gathered.failures.push(error),
            }
        }
    }
}

impl Gathered {
    fn put(&mut self, request: &Request, document: &Arc<Document>) {
        let bytes = || document.bytes.clone();
        match request {
            Request::Manifest(_) => self.collateral.manifests.push(bytes()),
            Request::Ocsp { .. } => self.collateral.ocsp.push(bytes()),
            Request::AmdCrl { .. } => self.collateral.crls.push(bytes()),
            Request::PckCrl(_) => {
                let tdx = self.tdx.get_or_insert_default();
                tdx.pck_crl = Some(bytes());
                tdx.pck_crl_chain = document.chain.clone();
            }
            Request::RootCrl => self.tdx.get_or_insert_default().root_crl = Some(bytes()),
            Request::TcbInfo(_) => {
                let signed =
                    Signed::from_response(&document.bytes, "tcbInfo", document.chain.clone());
                self.tdx.get_or_insert_default().tcb_info = signed.ok();
            }
            Request::QeIdentity => {
                let signed = Signed::from_response(
                    &document.bytes,
                    "enclaveIdentity",
                    document.chain.clone(),
                );
                self.tdx.get_or_insert_default().qe_identity = signed.ok();
            }
            // Parts of chains, which are asked for one by one.
            Request::Vcek { .. } | Request::Vlek { .. } | Request::AmdChain { .. } => {}
        }
    }
}
