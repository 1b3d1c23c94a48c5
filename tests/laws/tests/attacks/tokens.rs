//! Tokens that attack.

use alloy::primitives::{B256, Bytes, Signature, U256, keccak256};
use alloy::sol_types::SolCall;
use vouch_abi::{IEscrow, IOffers, IToken};
use vouch_laws::market::{
    BOND, BUYERS, DATASET_OWNER, DATASET_PRICE, ITrouble, LOCKED, MINTED, Market, PROVIDER,
    STRANGER,
};
use vouch_laws::step::Mode;
use vouch_protocol::Phase;

use super::{accepted, balanced, placed, refused, running, submit, tell};

/// Every function of the escrow that changes anything, tried from inside a transfer.
fn ways_in(market: &mut Market) -> Vec<(&'static str, Vec<u8>)> {
    let (order, terms) = placed(market, 90);
    let verdict = market.verdict(order, &terms, Phase::Start, 9);
    let request = market.request(1, 0, 91);
    let signatures = market.sign(&verdict, &[0, 1]);
    vec![
        ("place", IEscrow::placeCall { request }.abi_encode()),
        (
            "accept",
            IEscrow::acceptCall {
                terms: terms.clone(),
            }
            .abi_encode(),
        ),
        (
            "refund",
            IEscrow::refundCall {
                terms: terms.clone(),
            }
            .abi_encode(),
        ),
        (
            "settle",
            IEscrow::settleCall {
                terms: terms.clone(),
                verdict: verdict.clone(),
            }
            .abi_encode(),
        ),
        (
            "withdraw",
            IEscrow::withdrawCall {
                token: market.tokens[0],
            }
            .abi_encode(),
        ),
        (
            "submitVerdict",
            IEscrow::submitVerdictCall {
                terms,
                verdict,
                signatures,
            }
            .abi_encode(),
        ),
    ]
}

#[test]
fn reentrancy_through_a_token_gets_nowhere() {
    let mut fresh = Market::new();
    let ways = ways_in(&mut fresh);
    for (what, data) in ways {
        let mut market = fresh.clone();
        let escrow = market.escrow;
        let (order, terms) = running(&mut market, 1);
        market
            .misbehave(0, Mode::Reenters as u8, escrow, data.into())
            .expect("a mode");
        // Taking in, paying, and paying out credits.
        accepted(&mut market, 2);
        let finish = market.verdict(order, &terms, Phase::Finish, 2);
        submit(&mut market, &terms, &finish).expect("paid all the same");
        let token = market.tokens[0];
        for signer in 0..2 {
            // What it does on the way may take more gas than a payment gets.
            let signer = market.keys[signer].address();
            let _ = tell(&mut market, signer, &IEscrow::withdrawCall { token });
        }
        let entered = market
            .lab
            .ask(token, &ITrouble::reenteredCall {})
            .expect("an answer");
        assert!(!entered, "{what} from inside a transfer");
        balanced(&mut market);
    }
}

#[test]
fn a_token_that_takes_a_fee_or_answers_false_is_not_taken_in() {
    for mode in [Mode::TakesFee, Mode::Refuses, Mode::Reverts, Mode::Burns] {
        let mut market = Market::new();
        let (_, terms) = placed(&mut market, 1);
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
        let request = market.request(0, 0, 2);
        let place = market.place(BUYERS[0], request);
        let accept = tell(&mut market, PROVIDER, &IEscrow::acceptCall { terms });
        if mode == Mode::Reverts {
            // The token's own error says more.
            assert!(place.is_err() && accept.is_err());
        } else {
            refused::<IEscrow::TokenRefused>(place, "placing");
            refused::<IEscrow::TokenRefused>(accept, "accepting");
        }
        assert_eq!(market.balance(0, BUYERS[0]), MINTED - LOCKED, "{mode:?}");
        balanced(&mut market);
    }
}

#[test]
fn a_token_that_takes_a_fee_later_takes_it_from_the_receiver_only() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    market
        .misbehave(0, Mode::TakesFee as u8, STRANGER, Bytes::new())
        .expect("a mode");
    let finish = market.verdict(order, &terms, Phase::Finish, 2);
    submit(&mut market, &terms, &finish).expect("paid");
    let fee = DATASET_PRICE / 100 + 1;
    assert_eq!(market.balance(0, DATASET_OWNER), DATASET_PRICE - fee);
    balanced(&mut market);
}

#[test]
fn a_token_cannot_hold_up_a_refund() {
    for mode in [Mode::Reverts, Mode::Refuses, Mode::Burns, Mode::TakesFee] {
        let mut market = Market::new();
        let (_, terms) = accepted(&mut market, 1);
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
        market.lab.pass(2_001);
        tell(&mut market, STRANGER, &IEscrow::refundCall { terms }).expect("refunded");
        balanced(&mut market);
        market
            .misbehave(0, Mode::Honest as u8, STRANGER, Bytes::new())
            .expect("a mode");
        if mode != Mode::TakesFee {
            let token = market.tokens[0];
            for (account, owed) in [(BUYERS[0], LOCKED), (PROVIDER, BOND)] {
                assert_eq!(
                    market.credit(0, account).expect("an answer"),
                    owed,
                    "{mode:?}"
                );
                tell(&mut market, account, &IEscrow::withdrawCall { token }).expect("withdrawn");
                assert_eq!(market.balance(0, account), MINTED, "{mode:?}");
            }
        }
    }
}

/// Whoever calls decides how much gas there is: too little must fail, not turn payments into credits.
#[test]
fn a_refund_cannot_be_starved_into_credits() {
    let mut market = Market::new();
    let (_, terms) = accepted(&mut market, 1);
    market.lab.pass(2_001);
    let data = IEscrow::refundCall { terms }.abi_encode();
    let escrow = market.escrow;
    let mut succeeded = 0;
    for gas in (60_000..700_000).step_by(20_000) {
        let mut fork = market.clone();
        if fork
            .lab
            .send_with(STRANGER, escrow, data.clone(), U256::ZERO, gas)
            .is_ok()
        {
            succeeded += 1;
            assert_eq!(fork.balance(0, BUYERS[0]), MINTED, "with {gas} gas");
            assert_eq!(fork.balance(0, PROVIDER), MINTED, "with {gas} gas");
        }
        balanced(&mut fork);
    }
    assert!(succeeded > 3, "only {succeeded} amounts of gas were enough");
}

/// Nobody pays for what others have open.
#[test]
fn costs_do_not_grow_with_open_orders() {
    let mut market = Market::new();
    let (_, terms) = placed(&mut market, 0);
    let refund = |market: &mut Market| {
        let mut fork = market.clone();
        fork.lab.pass(1_001);
        let refund = IEscrow::refundCall {
            terms: terms.clone(),
        };
        tell(&mut fork, STRANGER, &refund).expect("refunded").gas
    };
    placed(&mut market, 1);
    let few = refund(&mut market);
    for salt in 2..5 {
        placed(&mut market, salt);
    }
    assert_eq!(refund(&mut market), few);
}

#[test]
fn a_permit_that_somebody_else_brings_first_stops_nobody() {
    let mut market = Market::new();
    let token = market.test_token().expect("a token");
    let key = market.keys[0].clone();
    let owner = key.address();
    let (value, deadline) = (U256::from(5), U256::from(market.lab.now() + 10));
    let hash = vouch_abi::id::permit_hash(owner, market.escrow, value, U256::ZERO, deadline);
    let separator = market
        .lab
        .ask(token, &IToken::DOMAIN_SEPARATORCall {})
        .expect("an answer");
    let digest = keccak256([&[0x19, 0x01], separator.as_slice(), hash.as_slice()].concat());
    let signature: Signature =
        alloy::signers::SignerSync::sign_hash_sync(&key, &digest).expect("signed");
    let permit = IToken::permitCall {
        owner,
        spender: market.escrow,
        value,
        deadline,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    market
        .must(STRANGER, token, &permit)
        .expect("brought by somebody else");
    refused::<IToken::InvalidSigner>(market.lab.tell(owner, token, &permit), "again");
    let spender = market.escrow;
    let allowed = market
        .lab
        .ask(token, &IToken::allowanceCall { owner, spender })
        .expect("an answer");
    assert_eq!(allowed, value, "the allowance is there all the same");
}

/// Two maps with two keys each, asked with the keys exchanged.
#[test]
fn storage_of_one_thing_is_not_storage_of_another() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let finish = market.verdict(order, &terms, Phase::Finish, 2);
    submit(&mut market, &terms, &finish).expect("paid");
    let signer = market.keys[0].address();
    let token = market.tokens[0];
    assert_ne!(market.credit(0, signer).expect("an answer"), 0);
    let swapped = IEscrow::creditOfCall {
        account: token,
        token: signer,
    };
    let escrow = market.escrow;
    assert_eq!(
        market.lab.ask(escrow, &swapped).expect("an answer"),
        U256::ZERO
    );
    // Ids that are another map's keys name nothing.
    for id in [
        token.into_word(),
        signer.into_word(),
        B256::ZERO,
        terms.legs[0].offer,
    ] {
        assert_eq!(market.state(id).expect("an answer"), 0, "{id}");
    }
    for offer in [order, B256::ZERO, terms.legs[0].policy] {
        let left = market
            .lab
            .ask(market.offers, &IOffers::availableCall { offer })
            .expect("an answer");
        assert_eq!((left.volume, left.open), (0, false), "{offer}");
    }
    let owed = IEscrow::owedCall { token: signer };
    assert_eq!(
        market.lab.ask(escrow, &owed).expect("an answer"),
        U256::ZERO
    );
}
