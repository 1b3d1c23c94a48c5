//! Who shares in an order without selling anything: the protocol, by a rate that the governor has set,
//! and a marketplace, by one that the buyer agreed to.

use alloy::primitives::Address;
use vouch_abi::{Fee, OrderRequest};

use crate::market::{DATASET_PRICE, FEE, MODEL_PRICE, RATE};
use crate::model::Order;

/// Gets the protocol's share.
pub const TREASURY: Address = Address::repeat_byte(0xc7);
/// Brings the buyers.
pub const MARKETPLACE: Address = Address::repeat_byte(0xc8);
/// The protocol's share, in millionths.
pub const PROTOCOL_RATE: u32 = 10_000;

/// The protocol's fee.
pub fn protocol_fee() -> Fee {
    Fee {
        recipient: TREASURY,
        rate: PROTOCOL_RATE,
    }
}

/// The buyer agrees to the protocol's fee, and to so many millionths for the marketplace.
pub fn agree(request: &mut OrderRequest, marketplace: u32) {
    request.maxProtocolFee = PROTOCOL_RATE;
    if marketplace > 0 {
        request.marketplaceFee = Fee {
            recipient: MARKETPLACE,
            rate: marketplace,
        };
    }
}

impl Order {
    /// Who shares, and what they get, where the sellers earn `earned`.
    pub(crate) fn shares(&self, earned: u128) -> [(Address, u128); 2] {
        let part = |rate: u32| earned * u128::from(rate) / 1_000_000;
        [
            (TREASURY, part(PROTOCOL_RATE)),
            (MARKETPLACE, part(self.marketplace)),
        ]
    }

    /// Together.
    pub(crate) fn share(&self, earned: u128) -> u128 {
        self.shares(earned).iter().map(|(_, share)| share).sum()
    }

    /// Prices and shares, at most.
    pub(crate) fn price(&self) -> u128 {
        let prices = DATASET_PRICE + MODEL_PRICE + RATE * self.longest();
        prices + self.share(prices)
    }

    /// What the buyer locked.
    pub(crate) fn locked(&self) -> u128 {
        self.price() + FEE
    }

    /// A challenger's stake: an eighth, which is more than the provider's bond.
    pub(crate) fn stake(&self) -> u128 {
        self.price() / 8
    }
}
