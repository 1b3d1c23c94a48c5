//! Owners that are contracts (ERC-1271) and misbehave when they are asked whether they signed.

use alloy::primitives::{Address, Bytes, U256};
use alloy::sol;
use alloy::sol_types::SolCall;
use vouch_abi::{IEscrow, IOffers, LegRequest, OrderRequest};
use vouch_laws::market::{BUYERS, LOCKED, MINTED, Market, STRANGER, creation_code, request};

use super::{balanced, refused};

sol! {
    /// `tests/solidity/Owner.sol`.
    interface IOwner {
        function set(uint8 mode, address target, bytes data) external;
        function run(address to, bytes with) external;
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Mode {
    Signs,
    Refuses,
    Reverts,
    Burns,
    Silent,
    Floods,
    Wider,
    Reenters,
}

/// A market in which the dataset is a contract's, offered by its signature only.
struct Owned {
    market: Market,
    owner: Address,
    legs: Vec<LegRequest>,
}

impl Owned {
    fn new() -> Self {
        let mut market = Market::new();
        let code = creation_code("Owner.sol", "Owner").expect("compiled");
        let owner = market.lab.create(STRANGER, code).expect("an owner");
        let mut legs = market.legs[0].clone();
        legs[0].offer.owner = owner;
        // Signed offers are told apart by their nonce.
        legs[0].offer.salt = U256::from(7).into();
        legs[0].signature = vec![1, 2, 3].into();
        Self {
            market,
            owner,
            legs,
        }
    }

    fn set(&mut self, mode: Mode, target: Address, data: impl Into<Bytes>) {
        let call = IOwner::setCall {
            mode: mode as u8,
            target,
            data: data.into(),
        };
        let owner = self.owner;
        self.market.must(STRANGER, owner, &call).expect("a mode");
    }

    fn request(&self, salt: u64) -> OrderRequest {
        request(&self.legs, self.market.lab.now(), 0, salt)
    }

    fn place(&mut self, salt: u64) -> Result<(), vouch_laws::lab::Reverted> {
        let request = self.request(salt);
        self.market.place(BUYERS[0], request).map(|_| ())
    }

    /// The order was refused, nothing has moved, and the market goes on without this owner.
    fn harmless(&mut self, what: &str) {
        assert_eq!(self.market.balance(0, BUYERS[0]), MINTED, "{what}");
        balanced(&mut self.market);
        let mut market = self.market.clone();
        let request = market.request(0, 0, 99);
        let other = market.place(BUYERS[0], request);
        assert!(other.is_ok(), "{what}: others' offers");
    }
}

#[test]
fn an_owner_that_reverts_lies_or_says_nothing_has_not_signed() {
    let mut owned = Owned::new();
    for mode in [Mode::Refuses, Mode::Reverts, Mode::Silent, Mode::Wider] {
        owned.set(mode, STRANGER, Bytes::new());
        refused::<IOffers::InvalidSignature>(owned.place(1), &format!("{mode:?}"));
        owned.harmless(&format!("{mode:?}"));
    }
}

#[test]
fn an_owner_that_burns_all_gas_stops_its_own_offers_only() {
    let mut owned = Owned::new();
    owned.set(Mode::Burns, STRANGER, Bytes::new());
    assert!(owned.place(1).is_err(), "out of gas, or no signature");
    owned.harmless("burns");
}

#[test]
fn an_owner_that_answers_too_much_is_not_listened_to_for_longer() {
    let mut owned = Owned::new();
    let cost = |owned: &mut Owned, mode, salt| {
        owned.set(mode, STRANGER, Bytes::new());
        let call = IEscrow::placeCall {
            request: owned.request(salt),
        };
        let (escrow, market) = (owned.market.escrow, &mut owned.market);
        market
            .lab
            .tell(BUYERS[0], escrow, &call)
            .expect("placed")
            .gas
    };
    let mut other = Owned::new();
    let (short, long) = (
        cost(&mut owned, Mode::Signs, 1),
        cost(&mut other, Mode::Floods, 1),
    );
    // Making the answer costs its maker's gas, which the buyer pays; carrying it costs nothing more.
    assert!(long < short + 20_000, "{long} against {short}");
}

#[test]
fn an_owner_changes_nothing_while_it_is_asked() {
    let owned = Owned::new();
    let (escrow, offers, owner) = (owned.market.escrow, owned.market.offers, owned.owner);
    let offer = owned.legs[0].offer.clone();
    let ways: [(&str, Address, Vec<u8>); 5] = [
        (
            "places another order",
            escrow,
            IEscrow::placeCall {
                request: owned.market.request(0, 0, 50),
            }
            .abi_encode(),
        ),
        (
            "revokes the offer",
            offers,
            IOffers::revokeCall { offer }.abi_encode(),
        ),
        (
            "voids its signatures",
            offers,
            IOffers::raiseNonceCall { nonce: U256::MAX }.abi_encode(),
        ),
        (
            "withdraws",
            escrow,
            IEscrow::withdrawCall {
                token: owned.market.tokens[0],
            }
            .abi_encode(),
        ),
        (
            "changes itself",
            owner,
            IOwner::setCall {
                mode: Mode::Refuses as u8,
                target: STRANGER,
                data: Bytes::new(),
            }
            .abi_encode(),
        ),
    ];
    for (salt, (what, target, data)) in ways.into_iter().enumerate() {
        let mut owned = Owned::new();
        owned.set(Mode::Reenters, target, data);
        let placed = owned.place(salt as u64);
        assert!(placed.is_ok(), "{what}: the call it made succeeded");
        assert_eq!(owned.market.balance(0, BUYERS[0]), MINTED - LOCKED);
        balanced(&mut owned.market);
    }
}

#[test]
fn an_owner_that_changes_its_mind_has_to_revoke() {
    let mut owned = Owned::new();
    owned.place(1).expect("signed");
    owned.set(Mode::Refuses, STRANGER, Bytes::new());
    // What was taken up once is as good as published.
    owned.place(2).expect("the offer stands");
    let (owner, offers) = (owned.owner, owned.market.offers);
    let revoke = IOffers::revokeCall {
        offer: owned.legs[0].offer.clone(),
    };
    let call = IOwner::runCall {
        to: offers,
        with: revoke.abi_encode().into(),
    };
    owned.market.must(STRANGER, owner, &call).expect("revoked");
    refused::<IOffers::OfferClosed>(owned.place(3), "revoked");
    owned.set(Mode::Signs, STRANGER, Bytes::new());
    refused::<IOffers::OfferClosed>(owned.place(4), "for good");
    balanced(&mut owned.market);
}
