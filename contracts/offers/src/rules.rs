//! What an offer must be, and how its uses are counted.

use alloc::{string::ToString, vec::Vec};

use alloy_primitives::{Address, B256};
use vouch_abi::{
    IOffers, IUsage, Offer, Policy, Royalty, Terms,
    call::Revert,
    id,
    terms::{are_payable, is_asset},
};

/// Kinds of offers: 1 dataset, 2 model, 3 workload, 4 compute.
const KINDS: core::ops::RangeInclusive<u8> = 1..=4;
const COMPUTE: u8 = 4;
/// Kinds of what can be made from others' assets.
const ASSETS: core::ops::RangeInclusive<u8> = 1..=2;
/// A description's address is published, not its text.
const MAX_URI: usize = 2048;
/// The largest volume and time a [`Listing`] holds.
const MAX: u64 = (1 << 47) - 1;
/// Bit of the time's six bytes that says how the offer came.
const SIGNED: u64 = 1 << 47;

/// Refuses offers that no order could use.
///
/// # Errors
/// `InvalidOffer` with the name of the field.
pub fn check(offer: &Offer, uri: &str, now: u64) -> Result<(), Revert> {
    let compute = offer.kind == COMPUTE;
    let refused = [
        ("kind", !KINDS.contains(&offer.kind)),
        ("digest", offer.digest.is_zero() != compute),
        ("token", offer.token.is_zero()),
        ("volume", offer.volume == 0),
        ("openUntil", offer.openUntil <= now),
        ("shared", offer.shared && !compute),
        (
            "lineage",
            !offer.lineage.is_zero() && !ASSETS.contains(&offer.kind),
        ),
        ("uri", uri.len() > MAX_URI),
    ];
    match refused.iter().find(|(_, refused)| *refused) {
        Some((field, _)) => Err(invalid(field)),
        None => Ok(()),
    }
}

/// The royalties that an offer of what an order has made owes: what the policies of the order's datasets and models
/// ask for. `policies` are those, in the order of their legs.
///
/// # Errors
/// `PolicyMismatch`; `InvalidOffer` where policies are missing or left over.
pub fn royalties(terms: &Terms, policies: &[Policy]) -> Result<Vec<Royalty>, Revert> {
    let mut royalties = Vec::new();
    let mut policies = policies.iter();
    for leg in terms.legs.iter().filter(|leg| is_asset(leg)) {
        let policy = policies.next().ok_or_else(|| invalid("policies"))?;
        let found = id::policy_id(policy);
        if found != leg.policy {
            let expected = leg.policy;
            return Err(IUsage::PolicyMismatch { expected, found }.into());
        }
        if policy.royalty != 0 {
            royalties.push(Royalty {
                payee: leg.payee,
                digest: leg.digest,
                rate: policy.royalty,
            });
        }
    }
    if policies.next().is_some() {
        return Err(invalid("policies"));
    }
    if !are_payable(&royalties) {
        return Err(invalid("lineage"));
    }
    Ok(royalties)
}

/// `InvalidOffer` with the name of the field.
pub fn invalid(field: &str) -> Revert {
    IOffers::InvalidOffer {
        field: field.to_string(),
    }
    .into()
}

/// What the contract keeps of an offer, in one word. Volumes and times above 2^47 - 1 count as that
/// much: more than anyone sells, and four million years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Zero where the offer is not published.
    pub owner: Address,
    /// Uses left.
    pub volume: u64,
    /// Zero where the offer is cancelled.
    pub open_until: u64,
    /// The offer came with an order and its owner's signature; it was not published.
    pub signed: bool,
}

impl Listing {
    /// The listing of a new offer.
    pub fn new(offer: &Offer) -> Self {
        Self {
            owner: offer.owner,
            volume: offer.volume.min(MAX),
            open_until: offer.openUntil.min(MAX),
            signed: false,
        }
    }

    /// The listing of an offer that came with its owner's signature.
    pub fn signed(offer: &Offer) -> Self {
        Self {
            signed: true,
            ..Self::new(offer)
        }
    }

    /// Whether orders may take a use now.
    pub const fn is_open(&self, now: u64) -> bool {
        self.volume > 0 && now <= self.open_until
    }

    /// Takes some uses.
    ///
    /// # Errors
    /// `NotPublished`, `OfferClosed`, `VolumeExhausted`.
    pub fn take(&mut self, offer: B256, now: u64, count: u64) -> Result<(), Revert> {
        self.existing(offer)?;
        if now > self.open_until {
            let open_until = self.open_until;
            return Err(IOffers::OfferClosed {
                offer,
                openUntil: open_until,
                time: now,
            }
            .into());
        }
        self.volume = self
            .volume
            .checked_sub(count)
            .ok_or(IOffers::VolumeExhausted { offer })?;
        Ok(())
    }

    /// Gives back one use, also of a cancelled or closed offer.
    ///
    /// # Errors
    /// `NotPublished`.
    pub fn give_back(&mut self, offer: B256) -> Result<(), Revert> {
        self.existing(offer)?;
        self.volume = self.volume.saturating_add(1).min(MAX);
        Ok(())
    }

    /// Ends the offer for good.
    ///
    /// # Errors
    /// `NotPublished`, `NotOwner`.
    pub fn cancel(&mut self, offer: B256, caller: Address) -> Result<(), Revert> {
        self.existing(offer)?;
        if caller != self.owner {
            return Err(IOffers::NotOwner {
                caller,
                owner: self.owner,
            }
            .into());
        }
        self.open_until = 0;
        Ok(())
    }

    fn existing(&self, offer: B256) -> Result<(), Revert> {
        if self.owner.is_zero() {
            return Err(IOffers::NotPublished { offer }.into());
        }
        Ok(())
    }

    /// `owner (20 bytes) || signed (1 bit) || openUntil (47 bits) || volume (6 bytes)`
    pub fn pack(&self) -> B256 {
        let mut word = B256::ZERO;
        let signed = if self.signed { SIGNED } else { 0 };
        let parts: [&[u8]; 3] = [
            self.owner.as_slice(),
            &(self.open_until.min(MAX) | signed).to_be_bytes()[2..],
            &self.volume.min(MAX).to_be_bytes()[2..],
        ];
        let bytes = parts.into_iter().flatten();
        word.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        word
    }

    /// Reads what [`Self::pack`] wrote.
    pub fn unpack(word: B256) -> Self {
        let number = |from, to| {
            word[from..to]
                .iter()
                .fold(0, |n: u64, b| n << 8 | u64::from(*b))
        };
        Self {
            owner: Address::from_slice(&word[..20]),
            open_until: number(20, 26) & MAX,
            signed: number(20, 26) & SIGNED != 0,
            volume: number(26, 32),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000;
    const ID: B256 = B256::repeat_byte(9);
    const OWNER: Address = Address::repeat_byte(1);

    fn offer() -> Offer {
        Offer {
            owner: OWNER,
            kind: 1,
            digest: B256::repeat_byte(2),
            token: Address::repeat_byte(3),
            volume: 2,
            openUntil: 2_000,
            ..Default::default()
        }
    }

    fn invalid(field: &str) -> Result<(), Revert> {
        Err(IOffers::InvalidOffer {
            field: field.into(),
        }
        .into())
    }

    #[test]
    fn invalid_offers_are_refused_by_field() {
        assert_eq!(check(&offer(), "", NOW), Ok(()));
        let compute = Offer {
            kind: 4,
            digest: B256::ZERO,
            shared: true,
            ..offer()
        };
        assert_eq!(check(&compute, "", NOW), Ok(()));
        for (field, offer) in [
            ("kind", Offer { kind: 0, ..offer() }),
            ("kind", Offer { kind: 5, ..offer() }),
            (
                "digest",
                Offer {
                    digest: B256::ZERO,
                    ..offer()
                },
            ),
            ("digest", Offer { kind: 4, ..offer() }),
            (
                "token",
                Offer {
                    token: Address::ZERO,
                    ..offer()
                },
            ),
            (
                "volume",
                Offer {
                    volume: 0,
                    ..offer()
                },
            ),
            (
                "openUntil",
                Offer {
                    openUntil: NOW,
                    ..offer()
                },
            ),
            (
                "shared",
                Offer {
                    shared: true,
                    ..offer()
                },
            ),
        ] {
            assert_eq!(check(&offer, "", NOW), invalid(field));
        }
        assert_eq!(check(&offer(), &"x".repeat(MAX_URI), NOW), Ok(()));
        assert_eq!(
            check(&offer(), &"x".repeat(MAX_URI + 1), NOW),
            invalid("uri")
        );
    }

    #[test]
    fn take_errors_when_not_published() {
        let expected: Revert = IOffers::NotPublished { offer: ID }.into();
        assert_eq!(Listing::default().take(ID, NOW, 1), Err(expected.clone()));
        assert_eq!(Listing::default().give_back(ID), Err(expected.clone()));
        assert_eq!(Listing::default().cancel(ID, OWNER), Err(expected));
    }

    #[test]
    fn take_errors_when_closed_or_cancelled() {
        let mut listing = Listing::new(&offer());
        assert_eq!(listing.take(ID, 2_000, 1), Ok(()), "the last second");
        let closed = |open_until, time| {
            Err(IOffers::OfferClosed {
                offer: ID,
                openUntil: open_until,
                time,
            }
            .into())
        };
        assert_eq!(listing.take(ID, 2_001, 1), closed(2_000, 2_001));
        listing.cancel(ID, OWNER).unwrap();
        assert_eq!(listing.take(ID, NOW, 1), closed(0, NOW));
    }

    #[test]
    fn cancel_errors_when_not_owner() {
        let mut listing = Listing::new(&offer());
        let caller = Address::repeat_byte(8);
        let expected = IOffers::NotOwner {
            caller,
            owner: OWNER,
        };
        assert_eq!(listing.cancel(ID, caller), Err(expected.into()));
        assert!(listing.is_open(NOW));
    }

    #[test]
    fn take_errors_when_volume_is_exhausted() {
        let mut listing = Listing::new(&offer());
        assert_eq!(listing.take(ID, NOW, 1), Ok(()));
        assert_eq!(listing.take(ID, NOW, 1), Ok(()));
        assert_eq!(
            listing.take(ID, NOW, 1),
            Err(IOffers::VolumeExhausted { offer: ID }.into())
        );
        assert_eq!(listing.give_back(ID), Ok(()));
        assert_eq!(listing.take(ID, NOW, 1), Ok(()));
    }

    proptest! {
        #[test]
        fn packing_round_trips(owner: [u8; 20], volume in 0..=MAX, open_until in 0..=MAX, signed: bool) {
            let listing = Listing { owner: owner.into(), volume, open_until, signed };
            prop_assert_eq!(Listing::unpack(listing.pack()), listing);
        }

        #[test]
        fn larger_numbers_saturate(volume in MAX.., open_until in MAX..) {
            let listing = Listing::new(&Offer { volume, openUntil: open_until, ..offer() });
            prop_assert_eq!(listing, Listing { owner: OWNER, volume: MAX, open_until: MAX, signed: false });
        }

        #[test]
        fn volume_never_exceeds_what_was_offered(
            volume in 1..20_u64,
            steps in prop::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut listing = Listing::new(&Offer { volume, ..offer() });
            let mut taken = vec![];
            for take in steps {
                if take && listing.take(ID, NOW, 1).is_ok() {
                    taken.push(());
                } else if !take && taken.pop().is_some() {
                    listing.give_back(ID).unwrap();
                }
                prop_assert_eq!(listing.volume + taken.len() as u64, volume);
            }
        }
    }
}
