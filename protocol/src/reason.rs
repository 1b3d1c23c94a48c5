//! The reasons of a verdict: one table of stable numbers, used on chain, in the API, in logs and as
//! the metric label. The hundreds are the class. Numbers are never reused.

use core::fmt;

/// What a reason means for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Authentic; legs are paid by clause.
    Accepted = 0,
    /// A signature, chain, nonce or digest is wrong: refund, and the provider's bond is at stake.
    Forged = 1,
    /// Authentic, but not what the policies allow: refund.
    Policy = 2,
    /// The vendor's collateral has expired: no verdict, tried again until the deadline.
    Stale = 3,
    /// The vendor's collateral is not at hand: no verdict, tried again until the deadline.
    Missing = 4,
    /// This verifier does not know the format: no verdict.
    Unsupported = 5,
}

impl Class {
    /// The class of a reason number, known or not.
    pub const fn of(reason: u16) -> Option<Self> {
        match reason {
            0 => Some(Self::Accepted),
            100..=199 => Some(Self::Forged),
            200..=299 => Some(Self::Policy),
            300..=399 => Some(Self::Stale),
            400..=499 => Some(Self::Missing),
            500..=599 => Some(Self::Unsupported),
            _ => None,
        }
    }

    /// Whether a verdict of this class goes on chain. The others leave the order to its deadline.
    pub const fn is_conclusive(self) -> bool {
        matches!(self, Self::Accepted | Self::Forged | Self::Policy)
    }

    /// The class's name in messages and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Forged => "forged",
            Self::Policy => "policy",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a verdict is what it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Reason { $($(#[doc = $doc])* $variant = $code,)* }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason with this number.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The reason's stable name in messages, JSON and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the reason means, in a sentence or two.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// Authentic evidence; the clause bits say what holds.
    Accepted = 0, "accepted";

    /// The bytes are not what their format asks for.
    Malformed = 100, "malformed";
    /// The bundle's bytes do not hash to the digest on chain.
    EvidenceDigestMismatch = 101, "evidence_digest_mismatch";
    /// A GPU or switch report's signature does not verify under its leaf certificate.
    GpuSignatureInvalid = 110, "gpu_signature_invalid";
    /// A GPU or switch certificate chain is broken: length, names, usages or a signature.
    GpuChainInvalid = 111, "gpu_chain_invalid";
    /// A GPU or switch chain does not end in a trusted root.
    GpuRootUntrusted = 112, "gpu_root_untrusted";
    /// A report answers another nonce than this session's.
    GpuNonceMismatch = 113, "gpu_nonce_mismatch";
    /// The firmware identity in the certificate is not the one in the report.
    GpuFirmwareMismatch = 114, "gpu_firmware_mismatch";
    /// The chain, the report and the claimed kind do not name the same device family.
    GpuFamilyMismatch = 115, "gpu_family_mismatch";
    /// The same device reported twice.
    GpuDuplicate = 116, "gpu_duplicate";
    /// The GPUs and switches do not describe the same topology.
    GpuTopologyMismatch = 117, "gpu_topology_mismatch";
    /// The CPU report's or quote's signature does not verify under its key.
    CpuSignatureInvalid = 120, "cpu_signature_invalid";
    /// The CPU certificate chain is broken: names, usages or a signature.
    CpuChainInvalid = 121, "cpu_chain_invalid";
    /// The CPU chain does not end in a trusted root.
    CpuRootUntrusted = 122, "cpu_root_untrusted";
    /// The CPU report's data binds other reports or another session.
    CpuReportDataMismatch = 123, "cpu_report_data_mismatch";
    /// The CPU certificate was issued for another TCB than the reported one.
    CpuTcbMismatch = 124, "cpu_tcb_mismatch";
    /// The CPU certificate was issued for another chip.
    CpuChipMismatch = 125, "cpu_chip_mismatch";
    /// The quoting enclave is not the vendor's, or does not bind the attestation key.
    CpuQuotingEnclaveInvalid = 126, "cpu_quoting_enclave_invalid";
    /// The TPM quote does not bind the hardware report.
    CpuTpmBindingInvalid = 127, "cpu_tpm_binding_invalid";
    /// The statement answers another challenge than the order's.
    ChallengeMismatch = 130, "challenge_mismatch";
    /// The statement names other inputs than the order's assets.
    InputsDigestMismatch = 131, "inputs_digest_mismatch";
    /// The statement names other outputs than the provider delivered.
    OutputsDigestMismatch = 132, "outputs_digest_mismatch";
    /// The finish evidence comes from another session or other devices than the start evidence.
    SessionMismatch = 133, "session_mismatch";
    /// A vendor's manifest or revocation answer carries a wrong signature.
    CollateralForged = 140, "collateral_forged";
    /// A certificate of a device, firmware or manifest signer has been revoked by its vendor.
    Revoked = 150, "revoked";

    /// The CPU TEE or a GPU can be debugged.
    DebugEnabled = 200, "debug_enabled";
    /// The CPU's TEE kind is not one that is asked for.
    CpuKindRefused = 201, "cpu_kind_refused";
    /// The CPU's TCB is below what is asked for.
    CpuTcbTooLow = 202, "cpu_tcb_too_low";
    /// The report was asked for at another privilege level than allowed.
    CpuPrivilegeRefused = 203, "cpu_privilege_refused";
    /// A GPU's architecture is not one that is asked for.
    GpuArchitectureRefused = 204, "gpu_architecture_refused";
    /// Fewer GPUs than asked for.
    GpuTooFew = 205, "gpu_too_few";
    /// A GPU is not in a confidential-computing mode that is asked for.
    GpuModeRefused = 206, "gpu_mode_refused";
    /// A measurement differs from the vendor's reference manifest.
    MeasurementMismatch = 207, "measurement_mismatch";
    /// The attested workload is not one that is allowed.
    WorkloadRefused = 208, "workload_refused";
    /// The evidence is older than allowed.
    EvidenceTooOld = 209, "evidence_too_old";
    /// A use limit of the policy is exceeded: time, bytes, rows or export.
    UsageExceeded = 210, "usage_exceeded";
    /// The dataset does not measure what the buyer asked for.
    RequirementsUnmet = 211, "requirements_unmet";
    /// No leg's clauses hold, for several reasons.
    NoLegHolds = 212, "no_leg_holds";
    /// Revocation answers are older than the policy allows.
    RevocationTooOld = 213, "revocation_too_old";
    /// The platform's vendor asks for a configuration or update that the policy does not waive.
    PlatformStatusRefused = 214, "platform_status_refused";
    /// The CPU's TEE can be looked into or moved in a way that the policy does not waive.
    CpuAttributesRefused = 215, "cpu_attributes_refused";

    /// A certificate is not yet or no longer valid at the time of verification.
    CertificateExpired = 300, "certificate_expired";
    /// A revocation answer, TCB info or identity is past its next update.
    CollateralExpired = 301, "collateral_expired";

    /// No manifest for this driver, firmware or chip is at hand.
    ManifestMissing = 400, "manifest_missing";
    /// No revocation answer is at hand.
    RevocationMissing = 401, "revocation_missing";
    /// A certificate of the chain is not at hand.
    CertificateMissing = 402, "certificate_missing";
    /// TCB info or a quoting-enclave identity is not at hand.
    TcbInfoMissing = 403, "tcb_info_missing";
    /// The bundle is not at any source.
    EvidenceMissing = 404, "evidence_missing";

    /// A report version this verifier does not know.
    VersionUnsupported = 500, "version_unsupported";
    /// A device or product this verifier does not know.
    DeviceUnsupported = 501, "device_unsupported";
    /// A signature algorithm this verifier does not know.
    AlgorithmUnsupported = 502, "algorithm_unsupported";
}

impl Reason {
    /// The stable number.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// What the reason means for the order.
    pub const fn class(self) -> Class {
        match Class::of(self.code()) {
            Some(class) => class,
            // Unreachable by the test below; `Unsupported` moves no money.
            None => Class::Unsupported,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ascending_classed_and_found_again() {
        for pair in Reason::ALL.windows(2) {
            assert!(
                pair[0].code() < pair[1].code(),
                "{} before {}",
                pair[0],
                pair[1]
            );
        }
        for reason in Reason::ALL {
            assert!(Class::of(reason.code()).is_some(), "{reason} has a class");
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(!reason.meaning().is_empty());
        }
        assert_eq!(Reason::from_code(99), None);
        assert_eq!(Class::of(99), None);
    }

    #[test]
    fn only_accepted_forged_and_policy_reach_the_chain() {
        assert!(Reason::Accepted.class().is_conclusive());
        assert!(Reason::GpuNonceMismatch.class().is_conclusive());
        assert!(Reason::DebugEnabled.class().is_conclusive());
        for reason in [
            Reason::CertificateExpired,
            Reason::ManifestMissing,
            Reason::VersionUnsupported,
        ] {
            assert!(!reason.class().is_conclusive());
        }
    }
}
