//! What can be asked for: of whom, under which path, and how large an answer may be.

use std::fmt;

use sha2::{Digest, Sha256};
use vouch_evidence::sev_snp::{Endorsement, Generation, Report, Tcb};
use vouch_evidence::{Rejection, x509};
use vouch_protocol::Reason;

use crate::ocsp;

/// A vendor's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// NVIDIA's reference integrity manifests.
    NvidiaRim,
    /// NVIDIA's OCSP responder.
    NvidiaOcsp,
    /// AMD's key distribution service.
    AmdKds,
    /// Intel's provisioning certification service.
    IntelPcs,
    /// Intel's root.
    IntelRoot,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [
        Self::NvidiaRim,
        Self::NvidiaOcsp,
        Self::AmdKds,
        Self::IntelPcs,
        Self::IntelRoot,
    ];

    /// The key of its address in configurations.
    pub const fn key(self) -> &'static str {
        match self {
            Self::NvidiaRim => "nvidia_rim",
            Self::NvidiaOcsp => "nvidia_ocsp",
            Self::AmdKds => "amd_kds",
            Self::IntelPcs => "intel_pcs",
            Self::IntelRoot => "intel_root",
        }
    }

    /// Whether the vendor asks for a licence for commercial use.
    pub const fn needs_licence(self) -> bool {
        matches!(self, Self::NvidiaRim | Self::NvidiaOcsp)
    }
}

/// The authority that issued a platform's certification key (PCK): each has a list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PckIssuer {
    /// Intel SGX PCK Platform CA: servers that can have several processors.
    Platform,
    /// Intel SGX PCK Processor CA.
    Processor,
}

impl PckIssuer {
    /// From the common name of a PCK certificate's issuer.
    pub fn from_common_name(name: &str) -> Option<Self> {
        match name {
            "Intel SGX PCK Platform CA" => Some(Self::Platform),
            "Intel SGX PCK Processor CA" => Some(Self::Processor),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

/// One piece of collateral.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// NVIDIA's reference manifest with this id. The answer is XML.
    Manifest(String),
    /// Whether NVIDIA revoked a certificate. Both DER. The answer is an OCSP response, DER.
    Ocsp {
        /// The certificate that is asked about.
        certificate: Vec<u8>,
        /// Its issuer's.
        issuer: Vec<u8>,
    },
    /// The endorsement key of a chip at a TCB. The answer is a certificate, DER.
    Vcek {
        /// The processor's generation.
        generation: Generation,
        /// 64 bytes, or 8 on Turin.
        chip_id: Vec<u8>,
        /// The TCB that the report names.
        tcb: [u8; 8],
    },
    /// The endorsement key of a cloud provider at a TCB, which AMD gives to that provider only; a
    /// mirror may give it to everybody. The answer is a certificate, DER.
    Vlek {
        /// The processors' generation.
        generation: Generation,
        /// The TCB that the report names.
        tcb: [u8; 8],
    },
    /// AMD's signing key and root. The answer is two certificates, DER, one after the other.
    AmdChain {
        /// The processors' generation.
        generation: Generation,
        /// The kind of key that they endorse.
        endorsement: Endorsement,
    },
    /// AMD's revocation list. The answer is DER.
    AmdCrl {
        /// The processors' generation.
        generation: Generation,
        /// The kind of key that it is about.
        endorsement: Endorsement,
    },
    /// The revocation list of a PCK issuer. The answer is DER, with the issuer's chain.
    PckCrl(PckIssuer),
    /// The revocation list of Intel's root. The answer is DER.
    RootCrl,
    /// Intel's levels for TDX platforms of this FMSPC. The answer is JSON, with the signer's chain.
    TcbInfo([u8; 6]),
    /// Identity and levels of the TDX quoting enclave. The answer is JSON, with the signer's chain.
    QeIdentity,
}

/// An HTTP request, relative to the service's address.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) service: Service,
    pub(crate) path: String,
    /// What is sent, for a POST.
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    /// The endorsement key that signed a report, by its chip and TCB: one request where the report
    /// names its processor, else one for each generation that it may be of.
    pub fn vcek(report: &Report<'_>) -> Vec<Self> {
        let tcb = report.reported_tcb.0;
        // Version 2 is older than Turin.
        let generations = match &report.generation {
            Some(generation) => std::slice::from_ref(generation),
            None => &[Generation::Milan, Generation::Genoa],
        };
        let one = |generation: &Generation| {
            let generation = *generation;
            match (report.endorsement, generation) {
                (Endorsement::Vlek, _) => Self::Vlek { generation, tcb },
                (Endorsement::Vcek, Generation::Turin) => Self::Vcek {
                    generation,
                    chip_id: report.chip_id.iter().take(8).copied().collect(),
                    tcb,
                },
                (Endorsement::Vcek, _) => Self::Vcek {
                    generation,
                    chip_id: report.chip_id.to_vec(),
                    tcb,
                },
            }
        };
        generations.iter().map(one).collect()
    }

    /// Who answers.
    pub const fn service(&self) -> Service {
        match self {
            Self::Manifest(_) => Service::NvidiaRim,
            Self::Ocsp { .. } => Service::NvidiaOcsp,
            Self::Vcek { .. } | Self::Vlek { .. } | Self::AmdChain { .. } | Self::AmdCrl { .. } => {
                Service::AmdKds
            }
            Self::PckCrl(_) | Self::TcbInfo(_) | Self::QeIdentity => Service::IntelPcs,
            Self::RootCrl => Service::IntelRoot,
        }
    }

    /// What the lack of it means for evidence that needs it.
    pub const fn missing(&self) -> Reason {
        match self {
            Self::Manifest(_) => Reason::ManifestMissing,
            Self::Ocsp { .. } | Self::AmdCrl { .. } | Self::PckCrl(_) | Self::RootCrl => {
                Reason::RevocationMissing
            }
            Self::Vcek { .. } | Self::Vlek { .. } | Self::AmdChain { .. } => {
                Reason::CertificateMissing
            }
            Self::TcbInfo(_) | Self::QeIdentity => Reason::TcbInfoMissing,
        }
    }

    /// Whether the answer itself says until when it counts. A manifest does not.
    pub(crate) const fn says_until(&self) -> bool {
        !matches!(self, Self::Manifest(_))
    }

    /// Most bytes of an answer.
    pub(crate) const fn limit(&self) -> usize {
        match self {
            // A manifest in base64, in JSON.
            Self::Manifest(_) => 3 * vouch_evidence::nvidia::rim::MAX_MANIFEST_LEN / 2,
            Self::Ocsp { .. } => vouch_evidence::revocation::ocsp::MAX_RESPONSE_LEN,
            Self::Vcek { .. } | Self::Vlek { .. } => x509::MAX_CERTIFICATE_LEN,
            // Two certificates as PEM.
            Self::AmdChain { .. } => 3 * x509::MAX_CERTIFICATE_LEN,
            Self::AmdCrl { .. } | Self::PckCrl(_) | Self::RootCrl => {
                vouch_evidence::revocation::MAX_CRL_LEN
            }
            Self::TcbInfo(_) | Self::QeIdentity => 1024 * 1024,
        }
    }

    /// The HTTP request.
    pub(crate) fn ask(&self) -> Result<Ask, Rejection> {
        let mut body = None;
        let path = match self {
            Self::Manifest(id) => format!("v1/rim/{}", segment(id)),
            Self::Ocsp {
                certificate,
                issuer,
            } => {
                body = Some(ocsp::request(certificate, issuer)?);
                String::new()
            }
            Self::Vcek {
                generation,
                chip_id,
                tcb,
            } => format!(
                "vcek/v1/{generation}/{}?{}",
                hex::encode(chip_id),
                levels(*generation, *tcb)
            ),
            Self::Vlek { generation, tcb } => {
                format!("vlek/v1/{generation}/cert?{}", levels(*generation, *tcb))
            }
            Self::AmdChain {
                generation,
                endorsement,
            } => format!("{}/v1/{generation}/cert_chain", key(*endorsement)),
            Self::AmdCrl {
                generation,
                endorsement,
            } => format!("{}/v1/{generation}/crl", key(*endorsement)),
            Self::PckCrl(issuer) => format!(
                "sgx/certification/v4/pckcrl?ca={}&encoding=der",
                issuer.name()
            ),
            Self::RootCrl => "IntelSGXRootCA.der".to_owned(),
            Self::TcbInfo(fmspc) => {
                format!("tdx/certification/v4/tcb?fmspc={}", hex::encode(fmspc))
            }
            Self::QeIdentity => "tdx/certification/v4/qe/identity".to_owned(),
        };
        Ok(Ask {
            service: self.service(),
            path,
            body,
        })
    }
}

impl Ask {
    /// What names the question, whatever the service's address: paths are the vendors' own.
    pub(crate) fn key(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        format!(
            "{}/{}#{}",
            self.service.key(),
            self.path,
            hex::encode(Sha256::digest(body))
        )
    }
}

/// For people, and for the names of files.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(id) => write!(f, "manifest {id}"),
            Self::Ocsp { certificate, .. } => {
                let parsed = x509::Certificate::parse(certificate);
                let name = parsed.as_ref().ok().and_then(|c| c.common_name());
                write!(f, "OCSP answer about {:?}", name.unwrap_or("a certificate"))
            }
            Self::Vcek {
                generation,
                chip_id,
                tcb,
            } => {
                let chip = hex::encode(chip_id.get(..8).unwrap_or(chip_id));
                write!(f, "VCEK of {generation} chip {chip}… at TCB {}", Tcb(*tcb))
            }
            Self::Vlek { generation, tcb } => {
                write!(f, "VLEK of {generation} at TCB {}", Tcb(*tcb))
            }
            Self::AmdChain {
                generation,
                endorsement,
            } => write!(f, "{endorsement} chain of {generation}"),
            Self::AmdCrl {
                generation,
                endorsement,
            } => write!(f, "{endorsement} revocation list of {generation}"),
            Self::PckCrl(issuer) => write!(f, "PCK revocation list, {} CA", issuer.name()),
            Self::RootCrl => f.write_str("revocation list of Intel's root"),
            Self::TcbInfo(fmspc) => write!(f, "TCB info of FMSPC {}", hex::encode(fmspc)),
            Self::QeIdentity => f.write_str("identity of the TDX quoting enclave"),
        }
    }
}

const fn key(endorsement: Endorsement) -> &'static str {
    match endorsement {
        Endorsement::Vcek => "vcek",
        Endorsement::Vlek => "vlek",
    }
}

/// The levels that name a key, in AMD's order; reserved components are left out.
fn levels(generation: Generation, tcb: [u8; 8]) -> String {
    let named = Tcb(tcb).components(generation);
    let shown = named
        .iter()
        .filter(|(arc, ..)| matches!(arc, 1 | 2 | 3 | 8 | 9))
        .map(|(_, name, level)| format!("{name}={level:02}"));
    shown.collect::<Vec<_>>().join("&")
}

/// An id as one segment of a path: reports name their own versions, so it may hold anything.
fn segment(id: &str) -> String {
    // "." and ".." would walk up the path, and no encoding hides them.
    if id.is_empty() || id.bytes().all(|byte| byte == b'.') {
        return "%2E".into();
    }
    percent_encoding::utf8_percent_encode(id, SEGMENT).to_string()
}

const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

#[cfg(test)]
mod tests {
    use super::*;

    fn path(request: &Request) -> String {
        request.ask().unwrap().path
    }

    #[test]
    fn paths_are_the_vendors() {
        let tcb = [4, 0, 0, 0, 0, 0, 22, 213];
        let chip_id = vec![0xab; 64];
        let vcek = |generation, chip_id| Request::Vcek {
            generation,
            chip_id,
            tcb,
        };
        assert_eq!(
            path(&vcek(Generation::Milan, chip_id.clone())),
            format!(
                "vcek/v1/Milan/{}?blSPL=04&teeSPL=00&snpSPL=22&ucodeSPL=213",
                "ab".repeat(64)
            )
        );
        assert_eq!(
            path(&vcek(Generation::Turin, vec![1; 8])),
            "vcek/v1/Turin/0101010101010101?fmcSPL=04&blSPL=00&teeSPL=00&snpSPL=00&ucodeSPL=213"
        );
        assert_eq!(
            path(&Request::PckCrl(PckIssuer::Platform)),
            "sgx/certification/v4/pckcrl?ca=platform&encoding=der"
        );
        assert_eq!(
            path(&Request::TcbInfo([0xb0, 0xc0, 0x6f, 0, 0, 0])),
            "tdx/certification/v4/tcb?fmspc=b0c06f000000"
        );
        let crl = Request::AmdCrl {
            generation: Generation::Genoa,
            endorsement: Endorsement::Vlek,
        };
        assert_eq!(path(&crl), "vlek/v1/Genoa/crl");
    }

    #[test]
    fn ids_stay_one_segment() {
        for (id, expected) in [
            (
                "NV_GPU_DRIVER_GH100_550.90.07",
                "NV_GPU_DRIVER_GH100_550.90.07",
            ),
            ("../../x?y#z", "..%2F..%2Fx%3Fy%23z"),
            ("..", "%2E"),
            ("", "%2E"),
            ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
        ] {
            assert_eq!(segment(id), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_asked_about() {
        let request = Request::Ocsp {
            certificate: vec![1, 2, 3],
            issuer: vec![],
        };
        assert!(request.ask().is_err());
        assert_eq!(request.to_string(), "OCSP answer about \"a certificate\"");
    }
}
