//! Signatures brought where they were not made for: one thing differs, everything else is right.

use alloy::primitives::{Address, Bytes};
use alloy::signers::SignerSync;
use vouch_abi::{IAttestation, IEscrow, IOffers, LegRequest, Offer, Verdict, id};
use vouch_client::batch::Batch;
use vouch_client::verdict::{self, Signed};
use vouch_laws::market::{BUYERS, Market, STRANGER};
use vouch_protocol::Phase;

use super::{BOTH, balanced, refused, running, tell};

#[test]
fn a_verdict_of_one_phase_is_none_of_another() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    market.lab.pass(10);
    for (said, meant) in [
        (Phase::Heartbeat, Phase::Finish),
        (Phase::Finish, Phase::Heartbeat),
        (Phase::Start, Phase::Finish),
        (Phase::Start, Phase::Heartbeat),
    ] {
        let said = market.verdict(order, &terms, said, 2);
        let signatures = market.sign(&said, &BOTH);
        let meant = Verdict {
            phase: meant as u8,
            ..said
        };
        refused::<IAttestation::NotOperator>(
            market.submit(&terms, &meant, signatures),
            &format!("phase {}", meant.phase),
        );
    }
    balanced(&mut market);
}

/// A root's signatures are not a verdict's, nor the other way round, nor another root's, chain's or contract's.
#[test]
fn a_signed_root_is_no_signed_verdict() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let finish = market.verdict(order, &terms, Phase::Finish, 2);
    let (chain_id, attestation) = (market.lab.chain_id(), market.attestation);
    let domain = verdict::domain(chain_id, attestation);
    let batch = Batch::new([verdict::digest(&finish, &domain)]).expect("a verdict");
    let signed = |digest| {
        let sign = |key: usize| Signed::new(digest, &market.keys[key]).expect("signed");
        BOTH.map(sign).to_vec()
    };
    let of_batch = |signed| batch.signatures(0, signed).expect("the verdict");
    let root = signed(batch.digest(&domain));
    let other = Batch::new([order]).expect("something").digest(&domain);
    let elsewhere = |chain_id, contract: Address| {
        of_batch(signed(batch.digest(&verdict::domain(chain_id, contract))))
    };
    let cases: [(&str, Bytes); 5] = [
        ("as a verdict's", verdict::concatenate(root.clone())),
        (
            "a verdict's as the root's",
            of_batch(signed(verdict::digest(&finish, &domain))),
        ),
        ("another root's", of_batch(signed(other))),
        ("another chain's", elsewhere(chain_id + 1, attestation)),
        ("another contract's", elsewhere(chain_id, market.escrow)),
    ];
    let right = of_batch(root);
    for (what, signatures) in cases {
        let found = market.submit(&terms, &finish, signatures);
        refused::<IAttestation::NotOperator>(found, what);
    }
    market.submit(&terms, &finish, right).expect("paid");
    balanced(&mut market);
}

#[test]
fn an_owners_signature_is_for_one_offer_on_one_chain_of_one_contract() {
    let mut market = Market::new();
    let key = market.keys[3].clone();
    let legs: Vec<LegRequest> = market.legs[0].clone();
    let offer = Offer {
        owner: key.address(),
        ..legs[0].offer.clone()
    };
    let dearer = Offer {
        price: offer.price + offer.price,
        ..offer.clone()
    };
    let (chain_id, offers) = (market.lab.chain_id(), market.offers);
    let sign = |chain_id, contract, offer: &Offer| -> Bytes {
        let digest = id::offer_digest(chain_id, contract, offer);
        let signature = key.sign_hash_sync(&digest).expect("signed");
        signature.as_bytes().to_vec().into()
    };
    let request = |market: &Market, signature, offer: &Offer| {
        let mut request = market.request(0, 0, 1);
        (request.legs[0].offer, request.legs[0].signature) = (offer.clone(), signature);
        request
    };
    for (what, signature, offer) in [
        ("another chain", sign(chain_id + 1, offers, &offer), &offer),
        (
            "another contract",
            sign(chain_id, market.escrow, &offer),
            &offer,
        ),
        ("another price", sign(chain_id, offers, &offer), &dearer),
    ] {
        let request = request(&market, signature, offer);
        refused::<IOffers::InvalidSignature>(market.place(BUYERS[0], request), what);
    }
    let right = request(&market, sign(chain_id, offers, &offer), &offer);
    market.place(BUYERS[0], right).expect("signed");
    balanced(&mut market);
}

/// The verdict that finished one order settles no other, and a disputed order only its own.
#[test]
fn a_finish_verdict_settles_the_order_it_finished() {
    let mut market = Market::new();
    let mut finished = [1, 2].map(|salt| {
        let request = market.request(0, 100, salt);
        let (order, terms) = market.place(BUYERS[0], request).expect("an order");
        let accept = IEscrow::acceptCall {
            terms: terms.clone(),
        };
        tell(&mut market, vouch_laws::market::PROVIDER, &accept).expect("accepted");
        for phase in [Phase::Start, Phase::Finish] {
            let verdict = market.verdict(order, &terms, phase, salt as u8);
            super::submit(&mut market, &terms, &verdict).expect("signed");
        }
        let verdict = market.verdict(order, &terms, Phase::Finish, salt as u8);
        IEscrow::settleCall { terms, verdict }
    });
    market.lab.pass(100);
    let [first, second] = &mut finished;
    std::mem::swap(&mut first.verdict, &mut second.verdict);
    for settle in &finished {
        let found = tell(&mut market, STRANGER, settle);
        refused::<IEscrow::VerdictMismatch>(found, "the other's verdict");
    }
    balanced(&mut market);
}
