//! Royalties of what an order has made: dodged, invented, redirected.

use alloy::primitives::{Address, B256, U256};
use vouch_abi::id::{lineage, policy_id};
use vouch_abi::{
    IEscrow, IOffers, IUsage, LegRequest, Offer, OrderRequest, Policy, Royalty, Terms,
};
use vouch_client::order::royalties;
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{BUYERS, DATASET_OWNER, MINTED, Market, PACE, PROVIDER, STRANGER};
use vouch_protocol::Phase;

use super::{balanced, refused, submit, tell};

const TRAIN: u8 = 1;
const INFER: u8 = 4;
/// What the dataset's policy asks for.
const RATE: u32 = 100_000;
const PRICE: u128 = 999;

/// A market whose dataset asks for a tenth of what is made from it, and an order that uses it.
struct Studio {
    market: Market,
    request: OrderRequest,
    policies: Vec<Policy>,
}

impl Studio {
    fn new() -> Self {
        let mut market = Market::new();
        let mut request = market.request(0, 0, 1);
        request.purpose = TRAIN;
        let dataset = Policy {
            royalty: RATE,
            ..request.legs[1].policy.clone()
        };
        let offer = Offer {
            policy: policy_id(&dataset),
            ..request.legs[0].offer.clone()
        };
        publish(&mut market, &offer).expect("published");
        request.legs[0] = LegRequest {
            offer,
            policy: dataset,
            ..request.legs[0].clone()
        };
        let policies = request.legs[..2].iter().map(|leg| leg.policy.clone());
        Self {
            policies: policies.collect(),
            market,
            request,
        }
    }

    /// The first buyer's order.
    fn ordered(&mut self, purpose: u8) -> (B256, Terms) {
        self.request.purpose = purpose;
        self.request.salt.0[0] += 1;
        let request = self.request.clone();
        self.market.place(BUYERS[0], request).expect("an order")
    }

    /// The same, paid.
    fn made(&mut self, purpose: u8) -> Terms {
        let (order, terms) = self.ordered(purpose);
        run(&mut self.market, order, &terms);
        terms
    }

    /// The buyer's offer of what was made, with what the parents ask for.
    fn offer(&self, terms: &Terms) -> (Offer, Vec<Royalty>) {
        let owed = royalties(terms, &[&self.policies[..], &[Policy::default()]].concat());
        let offer = Offer {
            owner: BUYERS[0],
            digest: B256::repeat_byte(0x33),
            price: U256::from(PRICE),
            lineage: lineage(&owed),
            ..self.request.legs[1].offer.clone()
        };
        (offer, owed)
    }

    fn derive(&mut self, from: Address, offer: &Offer, terms: &Terms) -> Result<Done, Reverted> {
        let policies = self.policies.clone();
        self.derive_under(from, offer, terms, policies)
    }

    fn derive_under(
        &mut self,
        from: Address,
        offer: &Offer,
        terms: &Terms,
        policies: Vec<Policy>,
    ) -> Result<Done, Reverted> {
        let call = IOffers::publishDerivedCall {
            offer: offer.clone(),
            uri: String::new(),
            terms: terms.clone(),
            policies,
        };
        let offers = self.market.offers;
        self.market.lab.tell(from, offers, &call)
    }

    /// An order of the second buyer over what the first has made.
    fn resale(&self, offer: Offer, royalties: Vec<Royalty>) -> OrderRequest {
        let mut request = self.request.clone();
        request.purpose = INFER;
        request.legs.remove(0);
        request.legs[0] = LegRequest {
            offer,
            royalties,
            ..request.legs[0].clone()
        };
        request
    }
}

fn publish(market: &mut Market, offer: &Offer) -> Result<Done, Reverted> {
    let call = IOffers::publishCall {
        offer: offer.clone(),
        uri: String::new(),
    };
    let offers = market.offers;
    market.lab.tell(offer.owner, offers, &call)
}

fn run(market: &mut Market, order: B256, terms: &Terms) {
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    tell(market, PROVIDER, &accept).expect("accepted");
    for phase in [Phase::Start, Phase::Finish] {
        let verdict = market.verdict(order, terms, phase, 1);
        submit(market, terms, &verdict).expect("a verdict");
    }
}

#[test]
fn what_an_order_made_pays_its_parents_out_of_its_price() {
    let mut studio = Studio::new();
    let terms = studio.made(TRAIN);
    let (offer, owed) = studio.offer(&terms);
    let done = studio.derive(BUYERS[0], &offer, &terms).expect("published");
    let event = done.event::<IOffers::OfferDerived>().expect("an event");
    assert_eq!(event.royalties, owed);
    assert_eq!(owed.len(), 1, "the model's policy asks for nothing");
    let before = [DATASET_OWNER, BUYERS[0]].map(|who| studio.market.balance(0, who));
    let request = studio.resale(offer, owed);
    let (order, terms) = studio.market.place(BUYERS[1], request).expect("an order");
    run(&mut studio.market, order, &terms);
    let after = [DATASET_OWNER, BUYERS[0]].map(|who| studio.market.balance(0, who));
    // A tenth, rounded down; the seller keeps the rest.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [99, 900]);
    balanced(&mut studio.market);
}

#[test]
fn a_lineage_is_neither_dodged_nor_redirected() {
    let mut studio = Studio::new();
    let terms = studio.made(TRAIN);
    let (offer, mut owed) = studio.offer(&terms);
    let with = |lineage| Offer {
        lineage,
        ..offer.clone()
    };
    owed[0].payee = BUYERS[0];
    for other in [with(B256::ZERO), with(lineage(&owed))] {
        let found = studio.derive(BUYERS[0], &other, &terms);
        refused::<IOffers::LineageMismatch>(found, "other royalties");
    }
    let [data, model] = [0, 1].map(|index| studio.policies[index].clone());
    let cheaper = Policy {
        royalty: 1,
        ..data.clone()
    };
    for (what, policies) in [
        ("swapped", vec![model.clone(), data.clone()]),
        ("cheaper", vec![cheaper, model.clone()]),
    ] {
        let found = studio.derive_under(BUYERS[0], &offer, &terms, policies);
        refused::<IUsage::PolicyMismatch>(found, what);
    }
    for (what, policies) in [
        ("missing", vec![data.clone()]),
        ("left over", vec![data, model.clone(), model]),
    ] {
        let found = studio.derive_under(BUYERS[0], &offer, &terms, policies);
        refused::<IOffers::InvalidOffer>(found, what);
    }
    // At the sale: none, or others.
    studio.derive(BUYERS[0], &offer, &terms).expect("published");
    for brought in [vec![], owed] {
        let request = studio.resale(offer.clone(), brought);
        refused::<IEscrow::InvalidLeg>(studio.market.place(BUYERS[1], request), "at the sale");
    }
}

#[test]
fn nobody_else_and_no_other_order_has_made_it() {
    let mut studio = Studio::new();
    let terms = studio.made(TRAIN);
    let (offer, _) = studio.offer(&terms);
    let theirs = Offer {
        owner: STRANGER,
        ..offer.clone()
    };
    refused::<IOffers::NotOwner>(studio.derive(STRANGER, &theirs, &terms), "a stranger");
    refused::<IOffers::NotOwner>(studio.derive(STRANGER, &offer, &terms), "in its name");
    let (_, open) = studio.ordered(TRAIN);
    refused::<IOffers::NotSettled>(studio.derive(BUYERS[0], &offer, &open), "not paid");
    let mut invented = terms.clone();
    invented.legs[0].policy = invented.legs[1].policy;
    refused::<IOffers::NotSettled>(studio.derive(BUYERS[0], &offer, &invented), "no order");
    let asked = studio.made(INFER);
    refused::<IOffers::InvalidOffer>(studio.derive(BUYERS[0], &offer, &asked), "nothing made");
    let compute = Offer {
        kind: 4,
        digest: B256::ZERO,
        ..offer.clone()
    };
    refused::<IOffers::InvalidOffer>(studio.derive(BUYERS[0], &compute, &terms), "a machine");
    studio.derive(BUYERS[0], &offer, &terms).expect("published");
    refused::<IOffers::AlreadyPublished>(studio.derive(BUYERS[0], &offer, &terms), "twice");
}

#[test]
fn a_refunded_resale_gives_back_its_own_uses_and_pays_no_parent() {
    let mut studio = Studio::new();
    let terms = studio.made(TRAIN);
    let (offer, owed) = studio.offer(&terms);
    studio.derive(BUYERS[0], &offer, &terms).expect("published");
    let market_offers = studio.market.offers;
    let left = |market: &mut Market, offer: &Offer| {
        let offer = vouch_abi::id::offer_id(offer);
        let call = IOffers::availableCall { offer };
        market
            .lab
            .ask(market_offers, &call)
            .expect("an answer")
            .volume
    };
    let dataset = studio.request.legs[0].offer.clone();
    let parent = left(&mut studio.market, &dataset);
    let request = studio.resale(offer.clone(), owed);
    let (_, terms) = studio.market.place(BUYERS[1], request).expect("an order");
    let before = studio.market.balance(0, DATASET_OWNER);
    studio.market.lab.pass(3 * PACE);
    let refund = IEscrow::refundCall {
        terms: terms.clone(),
    };
    tell(&mut studio.market, STRANGER, &refund).expect("refunded");
    tell(
        &mut studio.market,
        STRANGER,
        &IEscrow::restoreCall { terms },
    )
    .expect("restored");
    assert_eq!(studio.market.balance(0, BUYERS[1]), MINTED);
    assert_eq!(studio.market.balance(0, DATASET_OWNER), before);
    assert_eq!(left(&mut studio.market, &offer), offer.volume);
    assert_eq!(left(&mut studio.market, &dataset), parent);
    balanced(&mut studio.market);
}
