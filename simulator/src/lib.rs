//! An Anvil for TEEs: evidence with the shapes of the real hardware, under roots of its own.
//!
//! **Decides** nothing. It makes GPU attestation reports and SEV-SNP reports, with their certificate
//! chains, for a session statement; and, on request, evidence that lies in one of the ways of
//! [`Tamper`].
//!
//! **Trusts** nobody, and nobody should trust it: every key here is public, embedded or derived from
//! constants and seeds. Only a verifier that was told to trust [`roots`] accepts what it makes, and
//! operators are told so on development chains alone.
//!
//! **Leaves alone** verification (crate `vouch-evidence`), which has no special path for it.
//!
//! ```
//! use vouch_protocol::Phase;
//! use vouch_simulator::{Machine, Options, Session};
//!
//! let machine = Machine::new(b"my provider");
//! let session = Session::generate();
//! let challenge = vouch_protocol::challenge(
//!     31337, Default::default(), Default::default(), Phase::Start, 0, Default::default(),
//! );
//! let bundle = machine.bundle(&session.start(challenge, Default::default()), &Options::default());
//! assert_eq!(bundle.gpus[0].chain.len(), 5);
//! ```

#![forbid(unsafe_code)]

mod der;
mod gpu;
mod keys;
mod machine;
mod revocation;
mod session;
mod snp;
mod tamper;
mod x509;

pub use gpu::Gpu;
pub use machine::{
    CpuEvidence, Evidence, GpuEvidence, Hardware, Machine, Options, default_measurement,
    guest_measurement,
};
pub use revocation::{Period, amd_crl};
pub use session::{Session, Work};
pub use snp::{Cpu, Product};
pub use tamper::{Tamper, UnknownTamper};

/// The simulated vendors' roots, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// In the place of NVIDIA's device identity CA.
    pub nvidia: Vec<u8>,
    /// In the place of AMD's root key, for every generation.
    pub amd_ark: &'static [u8],
    /// In the place of AMD's signing key.
    pub amd_ask: &'static [u8],
}

/// The roots that a verifier must be given to accept simulated evidence. Always the same bytes.
pub fn roots() -> Roots {
    Roots {
        nvidia: gpu::Vendor::simulated().root(),
        amd_ark: snp::ARK,
        amd_ask: snp::ASK,
    }
}
