//! Who has signed, and which order a device serves.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, FixedBytes, U256};
use vouch_abi::{
    IAttestation, Verdict,
    call::Revert,
    merkle,
    signature::{LENGTH, recovery_input},
};
use vouch_protocol::Class;

/// Most operators there may be: a remembered quorum is a bit for each.
pub const MAX_OPERATORS: u16 = 64;
/// Added to the depth of a batch in the last byte of its signatures. Those of a single verdict end
/// in 27 or 28.
pub const BATCH: u8 = 128;

const START: u8 = 1;
const ACCEPTED: u16 = 0;

/// What operators have signed: a verdict, or the root of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed<'a> {
    /// 65 bytes of each operator.
    Verdict(&'a [u8]),
    /// The same of a root, and the siblings that lead to it.
    Batch {
        /// 32 bytes for each level.
        siblings: &'a [u8],
        /// Empty where the root was admitted before.
        signatures: &'a [u8],
    },
}

impl<'a> Signed<'a> {
    /// Reads what came with a verdict: `signatures`, or `siblings || signatures || (128 + depth)`.
    ///
    /// # Errors
    /// `ProofTruncated`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Revert> {
        let Some((&last @ BATCH.., rest)) = bytes.split_last() else {
            return Ok(Self::Verdict(bytes));
        };
        let expected = 32 * usize::from(last - BATCH);
        let Some((siblings, signatures)) = rest.split_at_checked(expected) else {
            return Err(IAttestation::ProofTruncated {
                expected: U256::from(expected),
                found: U256::from(rest.len()),
            }
            .into());
        };
        Ok(Self::Batch {
            siblings,
            signatures,
        })
    }
}

/// The root of the tree in which the siblings lead upwards from a verdict's digest.
pub fn root(digest: B256, siblings: &[u8]) -> B256 {
    let siblings = siblings.chunks_exact(32).map(B256::from_slice);
    merkle::root(digest, siblings)
}

/// The quorum that signed a root, in one word, for as long as the operators stay the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Counts the changes of operators and quorum.
    pub epoch: u64,
    /// The signers: a bit for each, by its place among the operators.
    pub signers: u64,
}

impl Admitted {
    /// `epoch (8 bytes, from the 17th) || signers (8)`
    pub fn pack(self) -> B256 {
        let word = u128::from(self.epoch) << 64 | u128::from(self.signers);
        U256::from(word).into()
    }

    /// Reads what [`Self::pack`] wrote.
    pub fn unpack(word: B256) -> Self {
        let [signers, epoch, ..] = *U256::from_be_bytes(word.0).as_limbs();
        Self { epoch, signers }
    }

    /// The places of the signers, where they are still a quorum.
    pub fn places(self, epoch: u64) -> Option<impl Iterator<Item = u8>> {
        let known = self.signers != 0 && self.epoch == epoch;
        known.then(|| (0..64).filter(move |place| self.signers >> place & 1 == 1))
    }
}

/// The signers of a digest: operators only, each once, in ascending order, who weigh at least `quorum`
/// together. `recover` is the precompile, zero where it finds no signer; `weight_of` is zero for who is no operator.
///
/// # Errors
/// `InvalidSignature`, `SignersNotAscending`, `NotOperator`, `QuorumNotReached`.
pub fn signers(
    digest: B256,
    signatures: &[u8],
    quorum: u16,
    recover: impl Fn(&[u8; 128]) -> Address,
    weight_of: impl Fn(Address) -> u16,
) -> Result<Vec<Address>, Revert> {
    let mut signers = Vec::new();
    let mut found = 0_u16;
    let mut previous = Address::ZERO;
    for (index, signature) in signatures.chunks(LENGTH).enumerate() {
        let signer = recovery_input(digest, signature).map(|input| recover(&input));
        let next = signer.filter(|signer| !signer.is_zero()).ok_or_else(|| {
            IAttestation::InvalidSignature {
                index: U256::from(index),
            }
        })?;
        if next <= previous {
            return Err(IAttestation::SignersNotAscending { previous, next }.into());
        }
        let weight = weight_of(next);
        if weight == 0 {
            return Err(IAttestation::NotOperator { signer: next }.into());
        }
        // All weights together fit.
        found = found.saturating_add(weight);
        signers.push(next);
        previous = next;
    }
    if found < quorum {
        return Err(IAttestation::QuorumNotReached {
            expected: quorum,
            found,
        }
        .into());
    }
    Ok(signers)
}

/// Refuses quorums that anybody or nobody could reach.
///
/// # Errors
/// `InvalidQuorum`.
pub fn check_quorum(quorum: u16, weight: u16) -> Result<(), Revert> {
    if quorum == 0 || quorum > weight {
        return Err(IAttestation::InvalidQuorum { quorum, weight }.into());
    }
    Ok(())
}

/// An operator's place among them, from 1, and what its signature weighs; zeros for everybody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// From 1.
    pub place: u8,
    /// At least 1.
    pub weight: u16,
}

impl Seat {
    /// `weight (2 bytes) || place (1)`
    pub fn pack(self) -> u32 {
        u32::from(self.weight) << 8 | u32::from(self.place)
    }

    /// Reads what [`Self::pack`] wrote.
    pub const fn unpack(number: u32) -> Self {
        let [_, high, low, place] = number.to_be_bytes();
        let weight = u16::from_be_bytes([high, low]);
        Self { place, weight }
    }
}

/// The weight of all operators after one of them weighs another.
///
/// # Errors
/// `InvalidWeight`.
pub fn reweigh(total: u16, operator: Address, from: u16, to: u16) -> Result<u16, Revert> {
    let rest = total.saturating_sub(from);
    rest.checked_add(to).filter(|_| to != 0).ok_or_else(|| {
        IAttestation::InvalidWeight {
            operator,
            weight: to,
        }
        .into()
    })
}

/// Refuses to abstain from what can be decided.
///
/// # Errors
/// `Conclusive`, also for numbers that are no reason.
pub fn check_abstention(reason: u16) -> Result<(), Revert> {
    match Class::of(reason) {
        Some(class) if !class.is_conclusive() => Ok(()),
        _ => Err(IAttestation::Conclusive { reason }.into()),
    }
}

/// Whether the verdict starts an order, and so takes its devices.
pub const fn starts(verdict: &Verdict) -> bool {
    verdict.phase == START && verdict.reason == ACCEPTED
}

/// The order a device serves, in one word: the first 24 bytes of the order's id, and until when. A
/// device given back keeps the order with time zero, so that its slot is not paid for anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// First 24 bytes of the order's id.
    pub order: FixedBytes<24>,
    /// The last second in which the device is the order's.
    pub until: u64,
}

impl Holder {
    /// Whether the order's hold has not ended.
    pub const fn holds(&self, now: u64) -> bool {
        now <= self.until
    }

    /// The device in the hands of `order`, where it is free or already is.
    ///
    /// # Errors
    /// `DeviceBusy`.
    pub fn take(self, device: B256, order: B256, until: u64, now: u64) -> Result<Self, Revert> {
        let order = prefix(order);
        if self.holds(now) && self.order != order {
            let (order, until) = (self.order, self.until);
            return Err(IAttestation::DeviceBusy {
                device,
                order,
                until,
            }
            .into());
        }
        Ok(Self { order, until })
    }

    /// The device given back, where it is in the hands of `order`.
    pub fn give_back(self, order: B256) -> Option<Self> {
        (self.until != 0 && self.order == prefix(order)).then_some(Self { until: 0, ..self })
    }

    /// `order (24 bytes) || until (8)`
    pub fn pack(self) -> B256 {
        self.order
            .concat_const::<8, 32>(FixedBytes(self.until.to_be_bytes()))
    }

    /// Reads what [`Self::pack`] wrote.
    pub fn unpack(word: B256) -> Self {
        let (order, until) = word.split_at(24);
        Self {
            order: FixedBytes::from_slice(order),
            until: until
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }
}

fn prefix(order: B256) -> FixedBytes<24> {
    Holder::unpack(order).order
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use alloy_primitives::U256;
    use vouch_abi::signature::HALF_ORDER;

    use super::*;

    const DIGEST: B256 = B256::repeat_byte(0xd1);
    const NOW: u64 = 1_000;

    /// A signature of the operator with this number: `r` carries it, and [`recover`] finds it.
    fn signature(operator: u8) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[31] = operator;
        bytes[63] = 1;
        bytes[64] = 27;
        bytes
    }

    fn recover(input: &[u8; 128]) -> Address {
        assert_eq!(input[..32], DIGEST.0, "digest first");
        assert_eq!(input[63], 27, "then v");
        assert_eq!(input[127], 1, "s last");
        Address::with_last_byte(input[95])
    }

    /// Three operators: 1, 2 and 3.
    fn sign(numbers: &[u8], quorum: u16) -> Result<Vec<Address>, Revert> {
        let signatures: Vec<u8> = numbers.iter().flat_map(|n| signature(*n)).collect();
        verify(&signatures, quorum)
    }

    fn verify(signatures: &[u8], quorum: u16) -> Result<Vec<Address>, Revert> {
        let weight_of = |signer| (1..=3).any(|n| signer == Address::with_last_byte(n)).into();
        signers(DIGEST, signatures, quorum, recover, weight_of)
    }

    fn invalid(index: usize) -> Result<Vec<Address>, Revert> {
        Err(IAttestation::InvalidSignature {
            index: U256::from(index),
        }
        .into())
    }

    #[test]
    fn a_quorum_of_operators_is_accepted() {
        let addresses = |n: &[u8]| Ok(n.iter().map(|n| Address::with_last_byte(*n)).collect());
        assert_eq!(sign(&[1, 3], 2), addresses(&[1, 3]));
        assert_eq!(sign(&[1, 2, 3], 2), addresses(&[1, 2, 3]));
    }

    #[test]
    fn signers_errors_when_quorum_is_not_reached() {
        let missing =
            |expected, found| Err(IAttestation::QuorumNotReached { expected, found }.into());
        assert_eq!(sign(&[], 1), missing(1, 0));
        assert_eq!(sign(&[1, 2], 3), missing(3, 2));
    }

    #[test]
    fn signers_errors_when_not_ascending_or_repeated() {
        let address = Address::with_last_byte;
        for (numbers, previous, next) in [([1, 1], 1, 1), ([2, 1], 2, 1)] {
            let expected = IAttestation::SignersNotAscending {
                previous: address(previous),
                next: address(next),
            };
            assert_eq!(sign(&numbers, 2), Err(expected.into()));
        }
    }

    #[test]
    fn signers_errors_when_a_signer_is_no_operator() {
        let expected = IAttestation::NotOperator {
            signer: Address::with_last_byte(4),
        };
        assert_eq!(
            sign(&[1, 2, 4], 2),
            Err(expected.into()),
            "a quorum does not cover for it"
        );
    }

    #[test]
    fn signers_errors_when_a_signature_is_malformed() {
        let mut signatures = [signature(1), signature(2)].concat();
        for length in LENGTH + 1..2 * LENGTH {
            assert_eq!(
                verify(&signatures[..length], 1),
                invalid(1),
                "{length} bytes"
            );
        }
        for v in [0, 1, 26, 29, 255] {
            signatures[2 * LENGTH - 1] = v;
            assert_eq!(verify(&signatures, 1), invalid(1), "v {v}");
        }
        assert_eq!(sign(&[0], 1), invalid(0), "the precompile finds no signer");
    }

    #[test]
    fn signers_errors_when_s_is_in_the_upper_half() {
        let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        let half = order.parse::<U256>().unwrap() / U256::from(2);
        assert_eq!(HALF_ORDER, half);
        let with_s = |s: U256| {
            let mut bytes = signature(1);
            bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            signers(DIGEST, &bytes, 1, |_| Address::with_last_byte(1), |_| 1)
        };
        assert!(with_s(half).is_ok());
        assert_eq!(with_s(half + U256::from(1)), invalid(0));
        assert_eq!(with_s(U256::MAX), invalid(0));
    }

    #[test]
    fn batches_are_told_from_signatures() {
        let own = signature(1);
        assert_eq!(Signed::read(&own), Ok(Signed::Verdict(&own)));
        assert_eq!(Signed::read(&[]), Ok(Signed::Verdict(&[])));
        for depth in 0..=3 {
            let siblings = vec![7; 32 * depth];
            let tail = [BATCH + depth as u8];
            for signatures in [&[][..], &own] {
                let bytes = [&siblings, signatures, &tail].concat();
                let expected = Signed::Batch {
                    siblings: &siblings,
                    signatures,
                };
                assert_eq!(Signed::read(&bytes), Ok(expected));
            }
        }
    }

    #[test]
    fn read_errors_when_the_proof_is_truncated() {
        let bytes = [&[0; 63][..], &[BATCH + 2]].concat();
        let expected = IAttestation::ProofTruncated {
            expected: U256::from(64),
            found: U256::from(63),
        };
        assert_eq!(Signed::read(&bytes), Err(expected.into()));
    }

    #[test]
    fn a_remembered_quorum_ends_with_its_epoch() {
        let admitted = Admitted {
            epoch: 3,
            signers: 1 << 63 | 0b101,
        };
        let places: Vec<u8> = admitted.places(3).unwrap().collect();
        assert_eq!(places, [0, 2, 63]);
        for epoch in [0, 2, 4] {
            assert!(admitted.places(epoch).is_none());
        }
        let never = Admitted::unpack(B256::ZERO);
        assert!(never.places(0).is_none(), "what was never admitted");
    }

    #[test]
    fn quorums_nobody_or_anybody_could_reach_are_refused() {
        assert_eq!(check_quorum(1, 1), Ok(()));
        assert_eq!(check_quorum(3, 3), Ok(()));
        for (quorum, weight) in [(0, 3), (4, 3), (1, 0), (0, 0)] {
            let expected = IAttestation::InvalidQuorum { quorum, weight };
            assert_eq!(check_quorum(quorum, weight), Err(expected.into()));
        }
    }

    #[test]
    fn signatures_count_what_their_operators_weigh() {
        let weighing = |weights: [u16; 3], numbers: &[u8], quorum| {
            let signatures: Vec<u8> = numbers.iter().flat_map(|n| signature(*n)).collect();
            let weight_of = |signer: Address| {
                let place = usize::from(signer.0[19]).checked_sub(1);
                place
                    .and_then(|place| weights.get(place))
                    .copied()
                    .unwrap_or(0)
            };
            signers(DIGEST, &signatures, quorum, recover, weight_of).map(|signers| signers.len())
        };
        let missing =
            |expected, found| Err(IAttestation::QuorumNotReached { expected, found }.into());
        assert_eq!(
            weighing([5, 1, 1], &[1], 4),
            Ok(1),
            "one that weighs enough"
        );
        assert_eq!(weighing([5, 1, 1], &[2, 3], 4), missing(4, 2));
        assert_eq!(
            weighing([u16::MAX; 3], &[1, 2, 3], u16::MAX),
            Ok(3),
            "sums do not wrap"
        );
        let expected = IAttestation::NotOperator {
            signer: Address::with_last_byte(2),
        };
        assert_eq!(
            weighing([5, 0, 1], &[1, 2], 4),
            Err(expected.into()),
            "none of weight 0"
        );
    }

    #[test]
    fn weights_are_at_least_one_and_fit_together() {
        let operator = Address::with_last_byte(1);
        let refused = |weight| Err(IAttestation::InvalidWeight { operator, weight }.into());
        assert_eq!(reweigh(10, operator, 1, 4), Ok(13));
        assert_eq!(reweigh(10, operator, 4, 1), Ok(7));
        assert_eq!(reweigh(10, operator, 1, 0), refused(0));
        assert_eq!(reweigh(1, operator, 1, u16::MAX), Ok(u16::MAX));
        assert_eq!(reweigh(2, operator, 1, u16::MAX), refused(u16::MAX));
    }

    #[test]
    fn only_what_is_not_conclusive_can_be_abstained_from() {
        for reason in [300, 404, 502] {
            assert_eq!(check_abstention(reason), Ok(()));
        }
        for reason in [0, 100, 113, 200, 212, 600, u16::MAX] {
            let expected = IAttestation::Conclusive { reason };
            assert_eq!(check_abstention(reason), Err(expected.into()));
        }
    }

    #[test]
    fn take_errors_when_the_device_is_busy() {
        let (device, one, other) = (DIGEST, B256::repeat_byte(1), B256::repeat_byte(2));
        let held = Holder::default().take(device, one, NOW + 9, NOW).unwrap();
        let busy = IAttestation::DeviceBusy {
            device,
            order: held.order,
            until: NOW + 9,
        };
        assert_eq!(
            held.take(device, other, NOW + 99, NOW + 9),
            Err(busy.into())
        );
        assert!(
            held.take(device, other, NOW + 99, NOW + 10).is_ok(),
            "the hold has ended"
        );
        assert!(
            held.take(device, one, NOW + 99, NOW).is_ok(),
            "its own order"
        );
    }

    #[test]
    fn only_the_holding_order_gives_a_device_back() {
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let held = Holder::default().take(DIGEST, one, NOW, NOW).unwrap();
        assert_eq!(held.give_back(other), None);
        let free = held.give_back(one).unwrap();
        assert!(!free.holds(1));
        assert_eq!(free.give_back(one), None);
        assert!(free.take(DIGEST, other, NOW, NOW).is_ok());
    }

    #[test]
    fn only_an_accepted_start_takes_devices() {
        let verdict = |phase, reason| Verdict {
            phase,
            reason,
            ..Default::default()
        };
        assert!(starts(&verdict(1, 0)));
        assert!(!starts(&verdict(1, 113)));
        assert!(!starts(&verdict(2, 0)));
    }

    proptest! {
        #[test]
        fn packing_round_trips(order: [u8; 24], until: u64) {
            let holder = Holder { order: order.into(), until };
            prop_assert_eq!(Holder::unpack(holder.pack()), holder);
        }

        #[test]
        fn seats_round_trip(place: u8, weight: u16) {
            let seat = Seat { place, weight };
            prop_assert_eq!(Seat::unpack(seat.pack()), seat);
        }

        #[test]
        fn admitted_quorums_round_trip(epoch: u64, signers: u64) {
            let admitted = Admitted { epoch, signers };
            prop_assert_eq!(Admitted::unpack(admitted.pack()), admitted);
        }

        #[test]
        fn hostile_signatures_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Signed::Batch { siblings, .. }) = Signed::read(&bytes) {
                let _ = root(DIGEST, siblings);
            }
            let _ = signers(DIGEST, &bytes, 1, |_| Address::ZERO, |_| 1);
        }
    }
}
