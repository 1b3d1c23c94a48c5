//! Trust anchors: the vendors' roots, built in and pinned by their exact bytes, and a simulator's
//! roots where the caller adds them. Where the files come from: `roots/README.md`.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use vouch_protocol::Reason;

use crate::check::hex;
use crate::rejection::Rejection;
use crate::sev_snp::{Endorsement, Generation};
use crate::x509::{self, Certificate, ChainReasons};

static RULES: ChainReasons = ChainReasons::new(Reason::CpuChainInvalid);

/// `NVIDIA Device Identity CA`.
pub const NVIDIA_DEVICE_IDENTITY_CA: &[u8] =
    include_bytes!("../roots/nvidia-device-identity-ca.der");
/// `NVIDIA CoRIM signing Root CA`.
pub const NVIDIA_CORIM_SIGNING_ROOT_CA: &[u8] =
    include_bytes!("../roots/nvidia-corim-signing-root-ca.der");
/// `Intel SGX Root CA`.
pub const INTEL_SGX_ROOT_CA: &[u8] = include_bytes!("../roots/intel-sgx-root-ca.der");

/// A root, by its exact encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    der: Cow<'static, [u8]>,
    simulated: bool,
}

impl Anchor {
    const fn vendor(der: &'static [u8]) -> Self {
        Self {
            der: Cow::Borrowed(der),
            simulated: false,
        }
    }

    /// The root's encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the root is a simulator's, not a vendor's.
    pub const fn is_simulated(&self) -> bool {
        self.simulated
    }
}

/// An AMD root with one of the signing keys under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdAnchor {
    pub(crate) root: Anchor,
    /// ASK for VCEKs, ASVK for VLEKs.
    pub(crate) signer: Cow<'static, [u8]>,
    pub(crate) endorsement: Endorsement,
    /// The only generation the root is for; a simulator's root is for all.
    pub(crate) generation: Option<Generation>,
}

/// What is trusted.
#[derive(Clone, Debug)]
pub struct Anchors {
    pub(crate) nvidia_device: Vec<Anchor>,
    pub(crate) nvidia_rim: Vec<Anchor>,
    pub(crate) amd: Vec<AmdAnchor>,
    pub(crate) intel: Vec<Anchor>,
}

macro_rules! amd {
    ($generation:ident, $name:literal) => {
        [
            (
                Endorsement::Vcek,
                &include_bytes!(concat!("../roots/amd-ask-", $name, ".der"))[..],
            ),
            (
                Endorsement::Vlek,
                &include_bytes!(concat!("../roots/amd-asvk-", $name, ".der"))[..],
            ),
        ]
        .map(|(endorsement, signer)| AmdAnchor {
            root: Anchor::vendor(include_bytes!(concat!("../roots/amd-ark-", $name, ".der"))),
            signer: Cow::Borrowed(signer),
            endorsement,
            generation: Some(Generation::$generation),
        })
    };
}

impl Anchors {
    /// The vendors' production roots, and nothing else.
    pub fn vendor() -> Self {
        Self {
            nvidia_device: vec![Anchor::vendor(NVIDIA_DEVICE_IDENTITY_CA)],
            nvidia_rim: vec![Anchor::vendor(NVIDIA_CORIM_SIGNING_ROOT_CA)],
            amd: [
                amd!(Milan, "milan"),
                amd!(Genoa, "genoa"),
                amd!(Turin, "turin"),
            ]
            .concat(),
            intel: vec![Anchor::vendor(INTEL_SGX_ROOT_CA)],
        }
    }

    /// Trusts a simulator's roots as well. What they vouch for is marked `simulated` in the claims.
    ///
    /// # Errors
    /// `malformed` or `cpu_chain_invalid` where a certificate is none, is a vendor's own root, or
    /// the ARK did not issue the ASK.
    pub fn with_simulated(
        mut self,
        nvidia_root_der: &[u8],
        amd_ark_der: &[u8],
        amd_ask_der: &[u8],
    ) -> Result<Self, Rejection> {
        let nvidia =
            Certificate::parse(nvidia_root_der).map_err(|r| r.within("simulated.nvidia_root"))?;
        let ark = Certificate::parse(amd_ark_der).map_err(|r| r.within("simulated.amd_ark"))?;
        let ask = Certificate::parse(amd_ask_der).map_err(|r| r.within("simulated.amd_ask"))?;
        x509::check_authority(&nvidia, &RULES, &mut ())
            .map_err(|r| r.within("simulated.nvidia_root"))?;
        x509::check_authority(&ark, &RULES, &mut ()).map_err(|r| r.within("simulated.amd_ark"))?;
        x509::check_link(&ask, ark.authority(), &RULES, &mut ())
            .map_err(|r| r.within("simulated.amd_ask"))?;
        for der in [nvidia_root_der, amd_ark_der] {
            if self.roots().any(|anchor| anchor.der() == der) {
                return Err(Rejection::malformed(
                    "simulated",
                    "a root that is not trusted yet",
                    hex(der.get(..16).unwrap_or(der)),
                ));
            }
        }
        let simulated = |der: &[u8]| Anchor {
            der: Cow::Owned(der.to_vec()),
            simulated: true,
        };
        self.nvidia_device.push(simulated(nvidia_root_der));
        self.amd.push(AmdAnchor {
            root: simulated(amd_ark_der),
            signer: Cow::Owned(amd_ask_der.to_vec()),
            endorsement: Endorsement::Vcek,
            generation: None,
        });
        Ok(self)
    }

    /// Trusts a simulator's Intel root as well. What it vouches for is marked `simulated`.
    ///
    /// # Errors
    /// `malformed` or `cpu_chain_invalid` where the certificate is none, may not issue others, or is
    /// trusted already.
    pub fn with_simulated_intel(mut self, root_der: &[u8]) -> Result<Self, Rejection> {
        const FIELD: &str = "simulated.intel_root";
        let root = Certificate::parse(root_der).map_err(|r| r.within(FIELD))?;
        x509::check_authority(&root, &RULES, &mut ()).map_err(|r| r.within(FIELD))?;
        x509::check_link(&root, root.authority(), &RULES, &mut ()).map_err(|r| r.within(FIELD))?;
        if self.roots().any(|anchor| anchor.der() == root_der) {
            return Err(Rejection::malformed(
                FIELD,
                "a root that is not trusted yet",
                hex(root_der.get(..16).unwrap_or(root_der)),
            ));
        }
        self.intel.push(Anchor {
            der: Cow::Owned(root_der.to_vec()),
            simulated: true,
        });
        Ok(self)
    }

    /// Every root.
    pub fn roots(&self) -> impl Iterator<Item = &Anchor> {
        self.nvidia_device
            .iter()
            .chain(&self.nvidia_rim)
            .chain(self.amd.iter().map(|anchor| &anchor.root))
            .chain(&self.intel)
    }

    /// Whether any root is a simulator's.
    pub fn trusts_simulator(&self) -> bool {
        self.roots().any(Anchor::is_simulated)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::digest::sha256;

    /// `(file, SHA-256)` as the table of `roots/README.md` has them.
    fn published() -> Vec<(&'static str, &'static str)> {
        let cells = |line: &'static str| {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
            let file = cells.nth(1)?;
            file.ends_with(".der").then_some((file, cells.nth(1)?))
        };
        include_str!("../roots/README.md")
            .lines()
            .filter_map(cells)
            .collect()
    }

    #[test]
    fn roots_are_the_published_ones() {
        let published = published();
        let find = |der: &[u8]| {
            published
                .iter()
                .find(|(_, digest)| *digest == hex(&sha256(der)))
                .map(|(file, _)| *file)
        };
        let anchors = Anchors::vendor();
        assert_eq!(
            find(anchors.nvidia_device[0].der()),
            Some("nvidia-device-identity-ca.der")
        );
        assert_eq!(
            find(anchors.nvidia_rim[0].der()),
            Some("nvidia-corim-signing-root-ca.der")
        );
        assert_eq!(find(anchors.intel[0].der()), Some("intel-sgx-root-ca.der"));
        for anchor in &anchors.amd {
            let product = anchor.generation.unwrap().name().to_lowercase();
            let signer = if anchor.endorsement == Endorsement::Vcek {
                "ask"
            } else {
                "asvk"
            };
            assert_eq!(
                find(anchor.root.der()),
                Some(format!("amd-ark-{product}.der").as_str())
            );
            assert_eq!(
                find(&anchor.signer),
                Some(format!("amd-{signer}-{product}.der").as_str())
            );
        }
        assert_eq!((anchors.amd.len(), published.len()), (6, 12));
        assert!(!anchors.trusts_simulator());
    }

    #[test]
    fn each_root_issued_itself_and_its_signers() {
        for anchor in Anchors::vendor().amd {
            let root = Certificate::parse(anchor.root.der()).unwrap();
            let signer = Certificate::parse(&anchor.signer).unwrap();
            for certificate in [&root, &signer] {
                x509::check_authority(certificate, &RULES, &mut ()).unwrap();
                x509::check_link(certificate, root.authority(), &RULES, &mut ()).unwrap();
            }
        }
    }

    #[test]
    fn a_vendor_root_cannot_be_called_simulated() {
        let anchor = &Anchors::vendor().amd[0];
        let added = Anchors::vendor().with_simulated(
            NVIDIA_CORIM_SIGNING_ROOT_CA,
            anchor.root.der(),
            &anchor.signer,
        );
        assert!(added.is_err());
    }

    #[test]
    fn a_signer_of_another_root_is_refused() {
        let [milan, _, genoa, ..] = &Anchors::vendor().amd[..] else {
            panic!()
        };
        let added = Anchors::vendor().with_simulated(
            NVIDIA_DEVICE_IDENTITY_CA,
            milan.root.der(),
            &genoa.signer,
        );
        assert_eq!(added.unwrap_err().reason, Reason::CpuChainInvalid);
    }
}
