//! The ways in which simulated evidence can lie, each with the one reason it is refused for.

use std::{fmt, str::FromStr};

use vouch_protocol::{Phase, Reason};

macro_rules! tampers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $phase:ident, $reason:ident;)*) => {
        /// One lie.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Tamper { $($(#[$doc])* $variant,)* }

        impl Tamper {
            /// Every lie.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The lie's name on command lines.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The phase of an order in which the lie can first be told.
            pub const fn phase(self) -> Phase {
                match self { $(Self::$variant => Phase::$phase,)* }
            }

            /// Why a verdict refuses it.
            pub const fn reason(self) -> Reason {
                match self { $(Self::$variant => Reason::$reason,)* }
            }
        }
    };
}

tampers! {
    /// A bit of the first GPU report's signature is flipped.
    GpuSignature = "gpu-signature", Start, GpuSignatureInvalid;
    /// The first GPU answers, validly, a nonce that nobody asked for.
    GpuNonce = "gpu-nonce", Start, GpuNonceMismatch;
    /// A bit of the signature on the first GPU's boot-ROM certificate is flipped.
    GpuChain = "gpu-chain", Start, GpuChainInvalid;
    /// A bit of the CPU report's signature is flipped.
    CpuSignature = "cpu-signature", Start, CpuSignatureInvalid;
    /// The CPU report validly binds something else than the GPU reports and the session.
    CpuReportData = "cpu-report-data", Start, CpuReportDataMismatch;
    /// The guest was launched so that its host can debug it.
    CpuDebug = "cpu-debug", Start, DebugEnabled;
    /// The first GPU's chain ends in a root with the right names and the wrong key.
    WrongRoot = "wrong-root", Start, GpuRootUntrusted;
    /// The hardware vouches for other outputs than the provider delivered.
    OutputsDigest = "outputs-digest", Finish, OutputsDigestMismatch;
    /// The first GPU's report is valid, and another session's.
    SwappedGpu = "swapped-gpu", Start, GpuNonceMismatch;
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no [`Tamper`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTamper(String);

impl fmt::Display for UnknownTamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown kind {:?}: expected one of", self.0)?;
        for (i, kind) in Tamper::ALL.iter().enumerate() {
            write!(f, "{} {kind}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownTamper {}

impl FromStr for Tamper {
    type Err = UnknownTamper;

    fn from_str(name: &str) -> Result<Self, UnknownTamper> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownTamper(name.to_owned()))
    }
}
