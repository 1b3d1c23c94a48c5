//! Prices, policies and proofs exchanged under a buyer.

use alloy::primitives::{B256, U256};
use vouch_abi::merkle;
use vouch_abi::{IEscrow, IOffers, IUsage, LegRequest, Offer, Policy};
use vouch_laws::market::{BUYERS, DATASET_OWNER, Market, STRANGER};
use vouch_protocol::{Clause, Clauses};

use super::{balanced, refused};

#[test]
fn a_price_cannot_change_under_an_order() {
    let mut market = Market::new();
    let request = market.request(0, 0, 1);
    // The owner sees the order coming, publishes a dearer offer and cancels the old one.
    let dearer = Offer {
        price: U256::from(900_000),
        ..request.legs[0].offer.clone()
    };
    let publish = IOffers::publishCall {
        offer: dearer,
        uri: String::new(),
    };
    let (offers, offer) = (
        market.offers,
        vouch_abi::id::offer_id(&request.legs[0].offer),
    );
    let _ = market.lab.tell(DATASET_OWNER, offers, &publish);
    let cancel = IOffers::cancelCall { offer };
    market
        .must(DATASET_OWNER, offers, &cancel)
        .expect("cancelled");
    let before = market.balance(0, BUYERS[0]);
    refused::<IOffers::OfferClosed>(market.place(BUYERS[0], request.clone()), "the old offer");
    let mut cheaper = request;
    cheaper.legs[0].offer.price = U256::from(1);
    refused::<IOffers::NotPublished>(market.place(BUYERS[0], cheaper), "a price of one's own");
    assert_eq!(market.balance(0, BUYERS[0]), before);
}

#[test]
fn a_policy_cannot_change_under_an_offer() {
    let mut market = Market::new();
    let mut request = market.request(0, 0, 1);
    request.legs[0].policy = Policy {
        any: Clauses::POLICY.0,
        ..Default::default()
    };
    refused::<IUsage::PolicyMismatch>(market.place(BUYERS[0], request.clone()), "no conditions");
    request.legs[0].offer.policy = vouch_abi::id::policy_id(&request.legs[0].policy);
    refused::<IOffers::NotPublished>(market.place(BUYERS[0], request), "another offer");
    balanced(&mut market);
}

#[test]
fn an_offer_of_somebody_else_is_not_published_or_cancelled() {
    let mut market = Market::new();
    let offer = Offer {
        salt: B256::repeat_byte(1),
        ..market.legs[0][0].offer.clone()
    };
    let publish = IOffers::publishCall {
        offer,
        uri: String::new(),
    };
    refused::<IOffers::NotOwner>(
        market.lab.tell(STRANGER, market.offers, &publish),
        "publishing",
    );
    let cancel = IOffers::cancelCall {
        offer: vouch_abi::id::offer_id(&market.legs[0][0].offer),
    };
    refused::<IOffers::NotOwner>(
        market.lab.tell(STRANGER, market.offers, &cancel),
        "cancelling",
    );
}

/// An order cannot be placed twice, nor in somebody else's name.
#[test]
fn an_order_is_its_buyers_and_placed_once() {
    let mut market = Market::new();
    let request = market.request(0, 0, 1);
    let (first, _) = market.place(BUYERS[0], request.clone()).expect("an order");
    refused::<IEscrow::WrongState>(market.place(BUYERS[0], request.clone()), "again");
    let (second, _) = market
        .place(BUYERS[1], request)
        .expect("another buyer's own");
    assert_ne!(first, second);
    balanced(&mut market);
}

/// A node of the tree of allowed workloads is not a workload.
#[test]
fn an_inner_node_of_the_tree_is_no_workload() {
    let market = Market::new();
    let leaves: Vec<B256> = (1..=4).map(B256::repeat_byte).collect();
    let hashes: Vec<B256> = leaves.iter().map(|leaf| merkle::leaf(*leaf)).collect();
    let inner = [
        merkle::node(hashes[0], hashes[1]),
        merkle::node(hashes[2], hashes[3]),
    ];
    let root = merkle::node(inner[0], inner[1]);
    let policy = Policy {
        any: Clauses::POLICY
            .without(Clauses::NONE.with(Clause::Workload))
            .0,
        workloadRoot: root,
        ..Default::default()
    };
    for (what, workload, proof) in [
        ("an inner node", inner[0], vec![inner[1]]),
        ("the hash of a leaf", hashes[0], vec![hashes[1], inner[1]]),
        ("the root", root, vec![]),
        ("nothing", B256::ZERO, vec![]),
        (
            "a leaf with another's proof",
            leaves[0],
            vec![hashes[3], inner[1]],
        ),
        ("a leaf with a short proof", leaves[0], vec![inner[1]]),
        (
            "another workload",
            B256::repeat_byte(9),
            vec![hashes[1], inner[1]],
        ),
    ] {
        let mut fork = market.clone();
        let result = order_with(&mut fork, &policy, workload, proof);
        refused::<IUsage::WorkloadRefused>(result, what);
        balanced(&mut fork);
    }
    let proof = vec![hashes[1], inner[1]];
    order_with(&mut market.clone(), &policy, leaves[0], proof).expect("a leaf with its proof");
}

/// Places an order for the dataset under `policy` with a workload of this digest.
fn order_with(
    market: &mut Market,
    policy: &Policy,
    workload: B256,
    proof: Vec<B256>,
) -> Result<(B256, vouch_abi::Terms), vouch_laws::lab::Reverted> {
    let mut request = market.request(0, 0, 1);
    let offers = market.offers;
    let mut publish = |offer: &Offer| {
        let call = IOffers::publishCall {
            offer: offer.clone(),
            uri: "ipfs://x".into(),
        };
        market.lab.tell(offer.owner, offers, &call)
    };
    let dataset = Offer {
        policy: vouch_abi::id::policy_id(policy),
        ..request.legs[0].offer.clone()
    };
    publish(&dataset)?;
    request.legs[0] = LegRequest {
        offer: dataset,
        policy: policy.clone(),
        workloadProof: proof,
        ..request.legs[0].clone()
    };
    let any = request.legs[1].clone();
    let program = Offer {
        kind: 3,
        digest: workload,
        ..any.offer.clone()
    };
    if workload.is_zero() {
        request.legs.remove(1);
    } else {
        publish(&program)?;
        request.legs[1] = LegRequest {
            offer: program,
            ..any
        };
    }
    market.place(BUYERS[0], request)
}
