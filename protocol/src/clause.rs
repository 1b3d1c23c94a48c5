//! The clauses of a usage policy: one bit for each field of `Policy`.
//!
//! A policy names in its `any` bitset the clauses it does not care about; every other clause is a
//! requirement. There is no third state, so nothing is skipped because it is absent.

use core::fmt;

/// Clauses an order can carry for one leg.
pub const CLAUSES_PER_LEG: usize = 32;
/// Legs an order can have: eight windows of 32 clauses fill a verdict's 256-bit word.
pub const MAX_LEGS: usize = 8;

macro_rules! clauses {
    ($($(#[$doc:meta])* $variant:ident = $bit:literal, $name:literal;)*) => {
        /// One field of a usage policy. The discriminant is the clause's bit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Clause { $($(#[$doc])* $variant = $bit,)* }

        impl Clause {
            /// Every clause, in the order of the bits.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The clause's name in policies, messages and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

clauses! {
    /// The CPU's TEE kind is one of `cpuKinds`.
    CpuKind = 0, "cpu_kind";
    /// The CPU's TCB is at least `minSnpTcb` component by component (SEV-SNP), or its status is one of `tdxStatuses`, which waive its concerns (TDX).
    CpuTcb = 1, "cpu_tcb";
    /// Neither the CPU TEE nor any GPU can be debugged.
    DebugOff = 2, "debug_off";
    /// Every GPU's architecture is one of `gpuArchitectures`.
    GpuArchitecture = 3, "gpu_architecture";
    /// At least `minGpus` distinct GPUs reported.
    GpuCount = 4, "gpu_count";
    /// Every GPU's confidential-computing mode is one of `gpuModes`.
    GpuMode = 5, "gpu_mode";
    /// Every GPU's measurements equal its vendor's reference manifests.
    RimMatch = 6, "rim_match";
    /// Revocation answers for every chain are at most `revocationMaxAge` seconds old.
    Revocation = 7, "revocation";
    /// The evidence is at most `evidenceMaxAge` seconds older than the operators' observation.
    EvidenceAge = 8, "evidence_age";
    /// The attested workload is one the policy allows.
    Workload = 9, "workload";
    /// The buyer is one the policy allows. Checked on chain.
    Buyers = 10, "buyers";
    /// The provider is one the policy allows. Checked on chain.
    Providers = 11, "providers";
    /// The order's purpose is one the policy allows. Checked on chain.
    Purposes = 12, "purposes";
    /// Fewer than `maxUses` uses so far. Checked on chain.
    MaxUses = 13, "max_uses";
    /// Fewer than `maxUsesPerBuyer` uses by this buyer so far. Checked on chain.
    MaxUsesPerBuyer = 14, "max_uses_per_buyer";
    /// The order is placed between `notBefore` and `notAfter`. Checked on chain.
    Window = 15, "window";
    /// The session ran for at most `maxDuration` seconds.
    MaxDuration = 16, "max_duration";
    /// At most `outputBytes` bytes left the session.
    OutputBytes = 17, "output_bytes";
    /// At most `outputRows` rows left the session.
    OutputRows = 18, "output_rows";
    /// Nothing but API answers left the session: outputs are not exported.
    Export = 19, "export";
    /// The dataset measures what the buyer asked for. Not a policy field: it comes from the order,
    /// stands in the required clauses of dataset legs, and only there.
    Requirements = 20, "requirements";
    /// All uses together may let at most `total.outputBytes` bytes leave. Checked on chain.
    TotalOutputBytes = 21, "total_output_bytes";
    /// All uses together may let at most `total.outputRows` rows leave. Checked on chain.
    TotalOutputRows = 22, "total_output_rows";
}

impl Clause {
    /// The clause's bit as a set of one.
    pub const fn bit(self) -> Clauses {
        Clauses(1 << self as u32)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of clauses of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Clauses(pub u32);

impl Clauses {
    /// No clause.
    pub const NONE: Self = Self(0);
    /// Every clause a policy may require: all but [`Clause::Requirements`].
    pub const POLICY: Self = Self(((1 << 23) - 1) & !Clause::Requirements.bit().0);
    /// The clauses that limit what leaves all sessions together.
    pub const TOTALS: Self =
        Self(Clause::TotalOutputBytes.bit().0 | Clause::TotalOutputRows.bit().0);
    /// The clauses that `usage` enforces by itself, before money is locked.
    pub const ON_CHAIN: Self = Self(
        Clause::Buyers.bit().0
            | Clause::Providers.bit().0
            | Clause::Purposes.bit().0
            | Clause::MaxUses.bit().0
            | Clause::MaxUsesPerBuyer.bit().0
            | Clause::Window.bit().0
            | Self::TOTALS.0,
    );
    /// The clauses only a verdict can show to hold.
    pub const ATTESTED: Self =
        Self((Self::POLICY.0 | Clause::Requirements.bit().0) & !Self::ON_CHAIN.0);
    /// The attested clauses that a start verdict can already judge.
    pub const AT_START: Self = Self(
        Self::ATTESTED.0
            & !(Clause::MaxDuration.bit().0
                | Clause::OutputBytes.bit().0
                | Clause::OutputRows.bit().0
                | Clause::Export.bit().0
                | Clause::Requirements.bit().0),
    );

    /// The set with `clause` added.
    #[must_use]
    pub const fn with(self, clause: Clause) -> Self {
        Self(self.0 | clause.bit().0)
    }

    /// Whether `clause` is in the set.
    pub const fn contains(self, clause: Clause) -> bool {
        self.0 & clause.bit().0 != 0
    }

    /// Whether every clause of `required` is in the set.
    pub const fn covers(self, required: Self) -> bool {
        required.0 & !self.0 == 0
    }

    /// The clauses of `self` that are also in `other`.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The clauses of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The clauses in the set, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Clause> {
        Clause::ALL
            .iter()
            .copied()
            .filter(move |c| self.contains(*c))
    }
}

impl fmt::Display for Clauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for clause in self.iter() {
            write!(f, "{separator}{clause}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What a verdict says of all legs at once: leg `i`'s clauses are bits `32 i .. 32 i + 32` of a
/// 256-bit word, least significant first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegClauses(pub [u32; MAX_LEGS]);

impl LegClauses {
    /// The word as 32 big-endian bytes, as the contracts hold it.
    pub fn to_be_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(4).zip(self.0.iter().rev()) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        out
    }

    /// The clauses in a word of 32 big-endian bytes.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        let mut out = [0; MAX_LEGS];
        for (chunk, word) in bytes.chunks_exact(4).zip(out.iter_mut().rev()) {
            if let Ok(chunk) = chunk.try_into() {
                *word = u32::from_be_bytes(chunk);
            }
        }
        Self(out)
    }

    /// The clauses that hold for leg `index`; none past the last leg.
    pub fn leg(self, index: usize) -> Clauses {
        Clauses(self.0.get(index).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_dense_and_names_distinct() {
        for (i, clause) in Clause::ALL.iter().enumerate() {
            assert_eq!(*clause as usize, i);
            assert!(
                Clause::ALL[..i]
                    .iter()
                    .all(|other| other.name() != clause.name())
            );
        }
        assert!(!Clauses::POLICY.contains(Clause::Requirements));
        assert_eq!(
            Clauses::POLICY.with(Clause::Requirements).iter().count(),
            Clause::ALL.len()
        );
    }

    #[test]
    fn on_chain_and_attested_clauses_partition_the_table() {
        assert!(Clauses::ON_CHAIN.intersection(Clauses::ATTESTED).is_empty());
        let all = Clauses(Clauses::ON_CHAIN.0 | Clauses::ATTESTED.0);
        assert_eq!(all, Clauses::POLICY.with(Clause::Requirements));
    }

    #[test]
    fn a_leg_sees_its_own_window_of_the_word_only() {
        let word = LegClauses([1, 2, 3, 4, 5, 6, 7, u32::MAX]);
        assert_eq!(LegClauses::from_be_bytes(word.to_be_bytes()), word);
        assert_eq!(word.to_be_bytes()[31], 1, "leg 0 is least significant");
        assert_eq!(word.leg(7), Clauses(u32::MAX));
        assert_eq!(word.leg(8), Clauses::NONE);
    }

    #[test]
    fn a_missing_clause_is_not_covered() {
        let required = Clauses::NONE.with(Clause::RimMatch).with(Clause::DebugOff);
        assert!(!Clauses::NONE.with(Clause::DebugOff).covers(required));
        assert!(Clauses::POLICY.covers(required));
    }
}
