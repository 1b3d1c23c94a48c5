//! What a policy must be, and which uses it allows.

use alloy_primitives::{B256, U256};
use vouch_abi::{
    IUsage::{self, Use},
    Policy,
    call::Revert,
    merkle,
    terms::MAX_ROYALTIES,
};
use vouch_protocol::clause::{Clause, Clauses};

/// CPU kinds, GPU architectures, GPU modes and purposes that have a bit.
const CPU_KINDS: u8 = 0b11;
const GPU_ARCHITECTURES: u8 = 0b11;
const GPU_MODES: u8 = 0b111;
const PURPOSES: u8 = 0b1111;

/// How the fields of a clause stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fields {
    /// Zero or empty: right for "any" only.
    Unset,
    /// Right for a requirement only.
    Set,
    /// Right for neither.
    Invalid,
    /// The clause is its bit and has no fields.
    None,
}

impl Fields {
    const fn set(set: bool) -> Self {
        if set { Self::Set } else { Self::Unset }
    }

    const fn bits(bits: u8, known: u8) -> Self {
        if bits & !known != 0 {
            Self::Invalid
        } else {
            Self::set(bits != 0)
        }
    }

    /// A limit of all sessions together: reserved by what each may let leave, so that has to be said.
    const fn total(total: u64, each: u64) -> Self {
        if total != 0 && (each == 0 || each > total) {
            Self::Invalid
        } else {
            Self::set(total != 0)
        }
    }
}

fn fields(policy: &Policy, clause: Clause) -> Fields {
    match clause {
        Clause::CpuKind => Fields::bits(policy.cpuKinds, CPU_KINDS),
        Clause::CpuTcb => Fields::set(!policy.minSnpTcb.is_zero() || policy.tdxStatuses != 0),
        Clause::GpuArchitecture => Fields::bits(policy.gpuArchitectures, GPU_ARCHITECTURES),
        Clause::GpuCount => Fields::set(policy.minGpus != 0),
        Clause::GpuMode => Fields::bits(policy.gpuModes, GPU_MODES),
        Clause::Revocation => Fields::set(policy.revocationMaxAge != 0),
        Clause::EvidenceAge => Fields::set(policy.evidenceMaxAge != 0),
        Clause::Workload => {
            let ways = [
                policy.workloads.is_empty(),
                policy.workloadRoot.is_zero(),
                policy.publisher.is_zero(),
            ];
            match ways.iter().filter(|unset| !**unset).count() {
                0 => Fields::Unset,
                1 => Fields::Set,
                _ => Fields::Invalid,
            }
        }
        Clause::Buyers => Fields::set(!policy.buyers.is_empty()),
        Clause::Providers => Fields::set(!policy.providers.is_empty()),
        Clause::Purposes => Fields::bits(policy.purposes, PURPOSES),
        Clause::MaxUses => Fields::set(policy.maxUses != 0),
        Clause::MaxUsesPerBuyer => Fields::set(policy.maxUsesPerBuyer != 0),
        Clause::Window => match (policy.notBefore, policy.notAfter) {
            (0, 0) => Fields::Unset,
            (from, to) if from < to => Fields::Set,
            _ => Fields::Invalid,
        },
        Clause::MaxDuration => Fields::set(policy.maxDuration != 0),
        Clause::OutputBytes => Fields::set(policy.outputBytes != 0),
        Clause::OutputRows => Fields::set(policy.outputRows != 0),
        Clause::TotalOutputBytes => Fields::total(policy.total.outputBytes, policy.outputBytes),
        Clause::TotalOutputRows => Fields::total(policy.total.outputRows, policy.outputRows),
        Clause::DebugOff | Clause::RimMatch | Clause::Export => Fields::None,
        // Comes from the order, not from a policy.
        Clause::Requirements => Fields::Unset,
    }
}

/// The clauses a policy requires. Every clause is either required or waived by its bit of `any`.
///
/// # Errors
/// `InvalidClause` with the first clause whose fields contradict its bit, or with the first bit
/// that belongs to no clause of a policy; `RoyaltyTooHigh`.
pub fn required(policy: &Policy) -> Result<Clauses, Revert> {
    let unknown = policy.any & !Clauses::POLICY.0;
    if unknown != 0 {
        let clause = u8::try_from(unknown.trailing_zeros()).unwrap_or(u8::MAX);
        return Err(IUsage::InvalidClause { clause }.into());
    }
    let any = Clauses(policy.any);
    for clause in Clauses::POLICY.iter() {
        let expected = if any.contains(clause) {
            Fields::Unset
        } else {
            Fields::Set
        };
        let found = fields(policy, clause);
        if found != expected && found != Fields::None {
            return Err(IUsage::InvalidClause {
                clause: clause as u8,
            }
            .into());
        }
    }
    let (limit, found) = (MAX_ROYALTIES, policy.royalty);
    if found > limit {
        return Err(IUsage::RoyaltyTooHigh { limit, found }.into());
    }
    Ok(Clauses::POLICY.without(any))
}

/// Checks the clauses that need no counter: the chain's own, and those attested ones that the order
/// already contradicts.
///
/// # Errors
/// `BuyerRefused`, `ProviderRefused`, `PurposeRefused`, `OutsideWindow`, `DurationRefused`,
/// `WorkloadRefused`.
pub fn check(
    policy: &Policy,
    id: B256,
    required: Clauses,
    proof: &[B256],
    wanted: &Use,
    now: u64,
) -> Result<(), Revert> {
    let refuses = |clause, refused| required.contains(clause) && refused;
    if refuses(Clause::Buyers, !policy.buyers.contains(&wanted.buyer)) {
        return Err(IUsage::BuyerRefused {
            policy: id,
            buyer: wanted.buyer,
        }
        .into());
    }
    if refuses(
        Clause::Providers,
        !policy.providers.contains(&wanted.provider),
    ) {
        return Err(IUsage::ProviderRefused {
            policy: id,
            provider: wanted.provider,
        }
        .into());
    }
    if refuses(Clause::Purposes, policy.purposes & wanted.purpose == 0) {
        return Err(IUsage::PurposeRefused {
            policy: id,
            purpose: wanted.purpose,
            allowed: policy.purposes,
        }
        .into());
    }
    if refuses(
        Clause::Window,
        !(policy.notBefore..=policy.notAfter).contains(&now),
    ) {
        return Err(IUsage::OutsideWindow {
            policy: id,
            time: now,
            notBefore: policy.notBefore,
            notAfter: policy.notAfter,
        }
        .into());
    }
    if refuses(Clause::MaxDuration, wanted.maxDuration > policy.maxDuration) {
        return Err(IUsage::DurationRefused {
            policy: id,
            requested: wanted.maxDuration,
            allowed: policy.maxDuration,
        }
        .into());
    }
    if refuses(Clause::Workload, !allows_workload(policy, wanted, proof)) {
        return Err(IUsage::WorkloadRefused {
            policy: id,
            workload: wanted.workload,
        }
        .into());
    }
    Ok(())
}

/// Whether the policy lists the workload, its tree contains it, or its publisher offers it. An order without a
/// workload leg has workload zero, which no policy allows.
fn allows_workload(policy: &Policy, wanted: &Use, proof: &[B256]) -> bool {
    let workload = wanted.workload;
    if workload.is_zero() {
        return false;
    }
    if !policy.publisher.is_zero() {
        return policy.publisher == wanted.publisher;
    }
    if policy.workloadRoot.is_zero() {
        return policy.workloads.contains(&workload);
    }
    merkle::root(workload, proof.iter().copied()) == policy.workloadRoot
}

/// The count after `more` uses, where the limit allows them.
pub fn count(used: u64, limit: u64, more: u64) -> Option<u64> {
    used.checked_add(more).filter(|used| *used <= limit)
}

/// What has left all sessions under a policy, or is reserved by orders that may let it leave; in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Counted where the policy limits them.
    pub bytes: u64,
    /// As well.
    pub rows: u64,
}

impl Output {
    /// Reserves what `sessions` more may let leave.
    ///
    /// # Errors
    /// `OutputExhausted`.
    pub fn reserve(
        self,
        policy: &Policy,
        id: B256,
        required: Clauses,
        sessions: u64,
    ) -> Result<Self, Revert> {
        let reserve = |clause, reserved: u64, each: u64, limit| {
            if !required.contains(clause) {
                return Ok(reserved);
            }
            let more = each.checked_mul(sessions);
            more.and_then(|more| count(reserved, limit, more))
                .ok_or(IUsage::OutputExhausted {
                    policy: id,
                    clause: clause as u8,
                    limit,
                    reserved,
                })
        };
        let bytes = (policy.outputBytes, policy.total.outputBytes);
        let rows = (policy.outputRows, policy.total.outputRows);
        Ok(Self {
            bytes: reserve(Clause::TotalOutputBytes, self.bytes, bytes.0, bytes.1)?,
            rows: reserve(Clause::TotalOutputRows, self.rows, rows.0, rows.1)?,
        })
    }

    /// What is left of it after some was given back.
    #[must_use]
    pub const fn release(self, bytes: u64, rows: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(bytes),
            rows: self.rows.saturating_sub(rows),
        }
    }

    /// `bytes || rows`, the last 16 bytes of the word.
    pub fn pack(self) -> B256 {
        U256::from(u128::from(self.bytes) << 64 | u128::from(self.rows)).into()
    }

    /// Reads what [`Self::pack`] wrote.
    pub fn unpack(word: B256) -> Self {
        let [rows, bytes, ..] = *U256::from_be_bytes(word.0).as_limbs();
        Self { bytes, rows }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use alloy_primitives::{Address, FixedBytes};
    use proptest::prelude::*;
    use vouch_abi::Counters;

    use super::*;

    const ID: B256 = B256::repeat_byte(7);
    const NOW: u64 = 1_000;

    fn anything() -> Policy {
        Policy {
            any: Clauses::POLICY.0,
            ..Default::default()
        }
    }

    /// A policy that requires every clause.
    fn strict() -> Policy {
        Policy {
            any: 0,
            cpuKinds: 1,
            minSnpTcb: FixedBytes([0, 0, 0, 0, 0, 0, 0, 1]),
            tdxStatuses: 0,
            gpuArchitectures: 1,
            minGpus: 1,
            gpuModes: 1,
            revocationMaxAge: 1,
            evidenceMaxAge: 1,
            workloads: vec![B256::repeat_byte(3)],
            workloadRoot: B256::ZERO,
            buyers: vec![Address::repeat_byte(1)],
            providers: vec![Address::repeat_byte(2)],
            purposes: 0b0100,
            maxUses: 1,
            maxUsesPerBuyer: 1,
            notBefore: NOW - 1,
            notAfter: NOW + 1,
            maxDuration: 60,
            outputBytes: 1,
            outputRows: 1,
            total: Counters {
                outputBytes: 1,
                outputRows: 1,
            },
            ..Policy::default()
        }
    }

    fn allowed() -> Use {
        Use {
            buyer: Address::repeat_byte(1),
            provider: Address::repeat_byte(2),
            purpose: 0b0100,
            maxDuration: 60,
            workload: B256::repeat_byte(3),
            publisher: Address::repeat_byte(4),
        }
    }

    /// The strict policy with one clause's fields cleared.
    fn cleared(clause: Clause) -> Policy {
        let mut p = strict();
        match clause {
            Clause::CpuKind => p.cpuKinds = 0,
            Clause::CpuTcb => p.minSnpTcb = FixedBytes::ZERO,
            Clause::GpuArchitecture => p.gpuArchitectures = 0,
            Clause::GpuCount => p.minGpus = 0,
            Clause::GpuMode => p.gpuModes = 0,
            Clause::Revocation => p.revocationMaxAge = 0,
            Clause::EvidenceAge => p.evidenceMaxAge = 0,
            Clause::Workload => p.workloads = vec![],
            Clause::Buyers => p.buyers = vec![],
            Clause::Providers => p.providers = vec![],
            Clause::Purposes => p.purposes = 0,
            Clause::MaxUses => p.maxUses = 0,
            Clause::MaxUsesPerBuyer => p.maxUsesPerBuyer = 0,
            Clause::Window => (p.notBefore, p.notAfter) = (0, 0),
            Clause::MaxDuration => p.maxDuration = 0,
            Clause::OutputBytes => p.outputBytes = 0,
            Clause::OutputRows => p.outputRows = 0,
            Clause::TotalOutputBytes => p.total.outputBytes = 0,
            Clause::TotalOutputRows => p.total.outputRows = 0,
            Clause::DebugOff | Clause::RimMatch | Clause::Export | Clause::Requirements => {}
        }
        p
    }

    fn invalid(clause: u8) -> Result<Clauses, Revert> {
        Err(IUsage::InvalidClause { clause }.into())
    }

    fn has_fields(clause: Clause) -> bool {
        !matches!(clause, Clause::DebugOff | Clause::RimMatch | Clause::Export)
    }

    #[test]
    fn every_clause_can_be_required_or_waived() {
        assert_eq!(required(&strict()), Ok(Clauses::POLICY));
        assert_eq!(required(&anything()), Ok(Clauses::NONE));
        for clause in Clauses::POLICY.iter() {
            // What may leave all sessions cannot be limited where it is not for one.
            let total = match clause {
                Clause::OutputBytes => Clause::TotalOutputBytes,
                Clause::OutputRows => Clause::TotalOutputRows,
                other => other,
            };
            let mut waived = cleared(clause);
            if total == Clause::TotalOutputBytes {
                waived.total.outputBytes = 0;
            }
            if total == Clause::TotalOutputRows {
                waived.total.outputRows = 0;
            }
            let any = clause.bit().with(total);
            waived.any = any.0;
            let expected = Clauses::POLICY.without(any);
            assert_eq!(required(&waived), Ok(expected), "{clause}");
        }
    }

    #[test]
    fn required_errors_when_a_clause_is_neither_required_nor_waived() {
        for clause in Clauses::POLICY.iter().filter(|c| has_fields(*c)) {
            assert_eq!(
                required(&cleared(clause)),
                invalid(clause as u8),
                "{clause}"
            );
        }
    }

    #[test]
    fn required_errors_when_a_clause_is_both_required_and_waived() {
        for clause in Clauses::POLICY.iter().filter(|c| has_fields(*c)) {
            let both = Policy {
                any: clause.bit().0,
                ..strict()
            };
            assert_eq!(required(&both), invalid(clause as u8), "{clause}");
        }
    }

    #[test]
    fn required_errors_when_fields_are_out_of_range() {
        for (clause, policy) in [
            (
                Clause::CpuKind,
                Policy {
                    cpuKinds: 4,
                    ..strict()
                },
            ),
            (
                Clause::GpuArchitecture,
                Policy {
                    gpuArchitectures: 4,
                    ..strict()
                },
            ),
            (
                Clause::GpuMode,
                Policy {
                    gpuModes: 8,
                    ..strict()
                },
            ),
            (
                Clause::Purposes,
                Policy {
                    purposes: 16,
                    ..strict()
                },
            ),
            (
                Clause::Workload,
                Policy {
                    workloadRoot: B256::repeat_byte(1),
                    ..strict()
                },
            ),
            (
                Clause::Workload,
                Policy {
                    publisher: Address::repeat_byte(4),
                    ..strict()
                },
            ),
            (
                Clause::TotalOutputBytes,
                Policy {
                    outputBytes: 2,
                    ..strict()
                },
            ),
            (
                Clause::TotalOutputRows,
                Policy {
                    any: Clause::OutputRows.bit().0,
                    outputRows: 0,
                    total: Counters {
                        outputBytes: 1,
                        outputRows: u64::MAX,
                    },
                    ..strict()
                },
            ),
            (
                Clause::Window,
                Policy {
                    notBefore: 5,
                    notAfter: 5,
                    ..strict()
                },
            ),
            (
                Clause::Window,
                Policy {
                    notBefore: 5,
                    notAfter: 0,
                    ..strict()
                },
            ),
        ] {
            assert_eq!(required(&policy), invalid(clause as u8), "{clause}");
        }
    }

    #[test]
    fn required_errors_when_a_bit_is_no_clause_of_a_policy() {
        for bit in [20].into_iter().chain(23..32) {
            let policy = Policy {
                any: Clauses::POLICY.0 | 1 << bit,
                ..Default::default()
            };
            assert_eq!(required(&policy), invalid(bit));
        }
    }

    #[test]
    fn required_errors_when_the_royalty_is_above_half() {
        let with = |royalty| Policy {
            royalty,
            ..strict()
        };
        assert_eq!(required(&with(500_000)), Ok(Clauses::POLICY));
        for found in [500_001, u32::MAX] {
            let limit = 500_000;
            let expected = IUsage::RoyaltyTooHigh { limit, found };
            assert_eq!(required(&with(found)), Err(expected.into()));
        }
    }

    #[test]
    fn a_publisher_s_workloads_are_allowed_and_nobody_else_s() {
        let policy = Policy {
            workloads: vec![],
            publisher: allowed().publisher,
            ..strict()
        };
        assert_eq!(required(&policy), Ok(Clauses::POLICY));
        let refused = |wanted: &Use| check(&policy, ID, Clauses::POLICY, &[], wanted, NOW).err();
        assert_eq!(refused(&allowed()), None);
        let workload = B256::repeat_byte(9);
        let any = Use {
            workload,
            ..allowed()
        };
        assert_eq!(refused(&any), None, "whatever it offers");
        let other = Use {
            publisher: Address::repeat_byte(5),
            ..allowed()
        };
        let none = Use {
            workload: B256::ZERO,
            publisher: Address::ZERO,
            ..allowed()
        };
        for wanted in [other, none] {
            let expected = IUsage::WorkloadRefused {
                policy: ID,
                workload: wanted.workload,
            };
            assert_eq!(refused(&wanted), Some(expected.into()));
        }
    }

    #[test]
    fn the_use_a_policy_asks_for_is_allowed() {
        assert_eq!(
            check(&strict(), ID, Clauses::POLICY, &[], &allowed(), NOW),
            Ok(())
        );
        assert_eq!(
            check(&anything(), ID, Clauses::NONE, &[], &Use::default(), NOW),
            Ok(())
        );
    }

    #[test]
    fn check_errors_when_a_required_clause_refuses_and_only_then() {
        let other = Address::repeat_byte(9);
        let zero = B256::ZERO;
        let cases: [(Clause, Use, u64, Revert); 9] = [
            (
                Clause::Buyers,
                Use {
                    buyer: other,
                    ..allowed()
                },
                NOW,
                IUsage::BuyerRefused {
                    policy: ID,
                    buyer: other,
                }
                .into(),
            ),
            (
                Clause::Providers,
                Use {
                    provider: other,
                    ..allowed()
                },
                NOW,
                IUsage::ProviderRefused {
                    policy: ID,
                    provider: other,
                }
                .into(),
            ),
            (
                Clause::Purposes,
                Use {
                    purpose: 0b1000,
                    ..allowed()
                },
                NOW,
                IUsage::PurposeRefused {
                    policy: ID,
                    purpose: 0b1000,
                    allowed: 0b0100,
                }
                .into(),
            ),
            (
                Clause::MaxDuration,
                Use {
                    maxDuration: 61,
                    ..allowed()
                },
                NOW,
                IUsage::DurationRefused {
                    policy: ID,
                    requested: 61,
                    allowed: 60,
                }
                .into(),
            ),
            (
                Clause::Workload,
                Use {
                    workload: ID,
                    ..allowed()
                },
                NOW,
                IUsage::WorkloadRefused {
                    policy: ID,
                    workload: ID,
                }
                .into(),
            ),
            (
                Clause::Workload,
                Use {
                    workload: zero,
                    ..allowed()
                },
                NOW,
                IUsage::WorkloadRefused {
                    policy: ID,
                    workload: zero,
                }
                .into(),
            ),
            (Clause::Window, allowed(), NOW - 2, outside(NOW - 2)),
            (Clause::Window, allowed(), NOW + 2, outside(NOW + 2)),
            (Clause::Window, allowed(), u64::MAX, outside(u64::MAX)),
        ];
        for (clause, wanted, now, expected) in cases {
            let result = check(&strict(), ID, Clauses::POLICY, &[], &wanted, now);
            assert_eq!(result, Err(expected), "{clause}");
            let waived = Clauses::POLICY.without(clause.bit());
            assert_eq!(
                check(&strict(), ID, waived, &[], &wanted, now),
                Ok(()),
                "{clause} waived"
            );
        }
    }

    fn outside(time: u64) -> Revert {
        IUsage::OutsideWindow {
            policy: ID,
            time,
            notBefore: NOW - 1,
            notAfter: NOW + 1,
        }
        .into()
    }

    /// Root of a tree over the leaves, and the proof of leaf `index`.
    fn tree(leaves: &[B256], mut index: usize) -> (B256, Vec<B256>) {
        let mut row: Vec<B256> = leaves.iter().map(|leaf| merkle::leaf(*leaf)).collect();
        let mut proof = vec![];
        while row.len() > 1 {
            if let Some(sibling) = row.get(index ^ 1) {
                proof.push(*sibling);
            }
            row = row
                .chunks(2)
                .map(|pair| match pair {
                    [a, b] => merkle::node(*a, *b),
                    _ => pair[0],
                })
                .collect();
            index /= 2;
        }
        (row[0], proof)
    }

    proptest! {
        #[test]
        fn workloads_of_the_tree_are_allowed_and_others_are_not(
            count in 1..9_usize,
            index in 0..9_usize,
        ) {
            let index = index % count;
            let leaves: Vec<B256> = (1..=count).map(|i| B256::with_last_byte(i as u8)).collect();
            let (root, proof) = tree(&leaves, index);
            let policy = Policy { workloads: vec![], workloadRoot: root, ..strict() };
            let wanted = |workload| Use { workload, ..Use::default() };
            prop_assert!(allows_workload(&policy, &wanted(leaves[index]), &proof));
            prop_assert!(!allows_workload(&policy, &wanted(B256::with_last_byte(99)), &proof));
            // An inner node, or the root itself, is not a workload.
            prop_assert!(!allows_workload(&policy, &wanted(root), &[]));
            if let Some(shorter) = proof.get(1..) {
                let inner = merkle::node(merkle::leaf(leaves[index]), proof[0]);
                prop_assert!(!allows_workload(&policy, &wanted(inner), shorter));
            }
        }

        #[test]
        fn output_never_passes_its_limit_and_comes_back(
            reserved in 0..50_u64, each in 1..20_u64, limit in 0..60_u64, sessions in 0..5_u64, used: u64,
        ) {
            let policy = Policy {
                outputBytes: each,
                total: Counters { outputBytes: limit, outputRows: 0 },
                ..Policy::default()
            };
            let required = Clause::TotalOutputBytes.bit();
            let before = Output { bytes: reserved, rows: 3 };
            match before.reserve(&policy, ID, required, sessions) {
                Ok(after) => {
                    prop_assert!(after.bytes <= limit && after.rows == 3);
                    let used = used % (each + 1);
                    let back = each.saturating_sub(used) * sessions;
                    prop_assert_eq!(after.release(back, 0).bytes, reserved + used * sessions);
                }
                Err(_) => prop_assert!(reserved + each * sessions > limit),
            }
        }

        #[test]
        fn output_round_trips(bytes: u64, rows: u64) {
            let output = Output { bytes, rows };
            prop_assert_eq!(Output::unpack(output.pack()), output);
        }

        #[test]
        fn counters_never_pass_their_limit(used: u64, limit: u64, more: u64) {
            match count(used, limit, more) {
                Some(now) => prop_assert!(now == used + more && now <= limit),
                None => prop_assert!(used > limit || more > limit - used),
            }
        }
    }
}
