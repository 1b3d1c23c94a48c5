//! Attacks by way of batches.

use alloy::primitives::{B256, Bytes, U256};
use alloy::sol_types::{SolCall, SolError};
use vouch_abi::{IEscrow, IOffers, call};
use vouch_client::calls::batch;
use vouch_laws::market::{BOND, BUYERS, LOCKED, MINTED, Market, PROVIDER, STRANGER, VOLUME};
use vouch_laws::step::Mode;
use vouch_protocol::Phase;

use super::{accepted, balanced, placed, refused, running, tell};

fn accept(terms: &vouch_abi::Terms) -> Bytes {
    let terms = terms.clone();
    IEscrow::acceptCall { terms }.abi_encode().into()
}

/// The index and the reason of the call that a batch failed on.
fn failure(data: &[u8]) -> (u64, Bytes) {
    let failed = IEscrow::BatchFailed::abi_decode(data).expect("a failed batch");
    (failed.index.to(), failed.reason)
}

#[test]
fn one_call_that_fails_undoes_the_whole_batch() {
    let mut market = Market::new();
    let (first, terms) = placed(&mut market, 1);
    let (_, other) = accepted(&mut market, 2);
    let calls = [accept(&terms), accept(&other)];
    let escrow = market.escrow;
    let found = market.lab.send(PROVIDER, escrow, batch(&calls));
    let (index, reason) = failure(&found.expect_err("the second is not open"));
    assert_eq!(
        (index, &reason[..4]),
        (1, &IEscrow::WrongState::SELECTOR[..])
    );
    assert_eq!(market.state(first).expect("a state"), 1, "still placed");
    balanced(&mut market);
}

#[test]
fn one_verdict_does_not_count_twice_in_a_batch() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let verdict = market.verdict(order, &terms, Phase::Finish, 1);
    let signatures = market.sign(&verdict, &[0, 1]);
    let submit: Bytes = IEscrow::submitVerdictCall {
        terms,
        verdict,
        signatures,
    }
    .abi_encode()
    .into();
    let escrow = market.escrow;
    let twice = market
        .lab
        .send(STRANGER, escrow, batch(&[submit.clone(), submit.clone()]));
    assert_eq!(failure(&twice.expect_err("once only")).0, 1);
    market
        .lab
        .send(STRANGER, escrow, batch(&[submit]))
        .expect("once");
    balanced(&mut market);
}

#[test]
fn a_batch_in_a_batch_is_no_function() {
    let mut market = Market::new();
    let escrow = market.escrow;
    let inner = IEscrow::multicallCall { calls: vec![] }.abi_encode().into();
    for inner in [inner, batch(&[])] {
        let found = market.lab.send(STRANGER, escrow, batch(&[inner]));
        let (_, reason) = failure(&found.expect_err("refused"));
        assert_eq!(reason[..4], vouch_abi::IContract::UnknownFunction::SELECTOR);
    }
}

#[test]
fn a_batch_cannot_be_entered_from_a_token_nor_enter_itself() {
    let mut market = Market::new();
    let (_, terms) = placed(&mut market, 1);
    let (_, other) = accepted(&mut market, 2);
    let data = batch(&[IEscrow::refundCall { terms: other }.abi_encode().into()]);
    let escrow = market.escrow;
    market
        .misbehave(0, Mode::Reenters as u8, escrow, data)
        .expect("a mode");
    market.lab.pass(10);
    market
        .lab
        .send(PROVIDER, escrow, batch(&[accept(&terms)]))
        .expect("accepted");
    let token = market.tokens[0];
    let entered = market
        .lab
        .ask(token, &vouch_laws::market::ITrouble::reenteredCall {})
        .expect("an answer");
    assert!(!entered);
    balanced(&mut market);
}

#[test]
fn many_orders_take_as_many_uses_and_as_much_money() {
    let mut market = Market::new();
    let request = market.request(0, 0, 0);
    let salts = |count: u8| (1..=count).map(B256::repeat_byte).collect::<Vec<_>>();
    let many = |request: &vouch_abi::OrderRequest, salts| IEscrow::placeManyCall {
        request: request.clone(),
        salts,
    };
    let escrow = market.escrow;
    let repeated = vec![B256::repeat_byte(1); 2];
    refused::<IEscrow::WrongState>(
        market
            .lab
            .tell(BUYERS[0], escrow, &many(&request, repeated)),
        "the same order twice",
    );
    refused::<IEscrow::InvalidOrder>(
        market.lab.tell(BUYERS[0], escrow, &many(&request, vec![])),
        "no order",
    );
    let most = u8::try_from(VOLUME + 1).expect("a few");
    refused::<IOffers::VolumeExhausted>(
        market
            .lab
            .tell(BUYERS[0], escrow, &many(&request, salts(most))),
        "more than are for sale",
    );
    refused::<vouch_abi::IUsage::BuyerUsesExhausted>(
        market
            .lab
            .tell(BUYERS[0], escrow, &many(&request, salts(9))),
        "more than one buyer may",
    );
    tell(&mut market, BUYERS[0], &many(&request, salts(3))).expect("placed");
    assert_eq!(market.balance(0, BUYERS[0]), MINTED - 3 * LOCKED);
    let offer = vouch_abi::id::offer_id(&request.legs[0].offer);
    let offers = market.offers;
    let left = market
        .lab
        .ask(offers, &IOffers::availableCall { offer })
        .expect("an answer");
    assert_eq!(left.volume, VOLUME - 3);
    balanced(&mut market);
}

/// A receiver that is refused by its token is credited for all orders; the others are paid.
#[test]
fn a_batch_pays_each_receiver_once_or_credits_it() {
    for mode in [Mode::Honest, Mode::Refuses] {
        let mut market = Market::new();
        let calls: Vec<Bytes> = (1..4)
            .map(|salt| {
                let (_, terms) = accepted(&mut market, salt);
                IEscrow::refundCall { terms }.abi_encode().into()
            })
            .collect();
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
        market.lab.pass(2_001);
        let escrow = market.escrow;
        market
            .lab
            .send(STRANGER, escrow, batch(&calls))
            .expect("refunded");
        for (account, locked) in [(BUYERS[0], 3 * LOCKED), (PROVIDER, 3 * BOND)] {
            let credit = market.credit(0, account).expect("an answer");
            let expected = if mode == Mode::Honest { 0 } else { locked };
            assert_eq!(credit, expected);
            assert_eq!(market.balance(0, account) + credit, MINTED);
        }
        balanced(&mut market);
    }
}

/// What nobody may call by itself, nobody may call in a batch either.
#[test]
fn a_batch_does_not_construct_the_escrow_anew() {
    let mut market = Market::new();
    let escrow = market.escrow;
    let again = call::construct(&IEscrow::constructorCall {
        governor: STRANGER,
        offers: escrow,
        usage: escrow,
        attestation: escrow,
        annex: escrow,
        desk: escrow,
    });
    let governor = |market: &mut Market| {
        let asked = market.lab.ask(escrow, &IEscrow::governorCall {});
        asked.expect("an answer")
    };
    let before = governor(&mut market);
    let calls = vec![again.clone().into()];
    let batch = IEscrow::multicallCall { calls };
    // The annex, like every program, answers a constructor; nothing comes of it.
    market.lab.tell(STRANGER, escrow, &batch).expect("done");
    assert_eq!(governor(&mut market), before);
    let offers = market.lab.ask(escrow, &IEscrow::offersCall {});
    assert_eq!(offers.expect("an answer"), market.offers);
}

/// Who calls annex or desk themselves finds neither orders nor money there.
#[test]
fn annex_and_desk_alone_are_empty_houses() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let escrow = market.escrow;
    let annex = market
        .lab
        .ask(escrow, &IEscrow::annexCall {})
        .expect("an answer");
    let desk = market
        .lab
        .ask(escrow, &IEscrow::deskCall {})
        .expect("an answer");
    let record = market
        .lab
        .ask(desk, &IEscrow::orderOfCall { order })
        .expect("an answer");
    assert_eq!(record.state, 0);
    let token = market.tokens[0];
    let owed = market
        .lab
        .ask(desk, &IEscrow::owedCall { token })
        .expect("an answer");
    assert_eq!(owed, U256::ZERO);
    for account in [STRANGER, PROVIDER, BUYERS[0]] {
        let withdraw = IEscrow::withdrawCall { token };
        refused::<IEscrow::NothingToWithdraw>(
            market.lab.tell(account, desk, &withdraw),
            "withdraw",
        );
        let pause = IEscrow::setPausedCall { paused: true };
        refused::<IEscrow::NotGovernor>(market.lab.tell(account, desk, &pause), "pause");
        let restore = IEscrow::restoreCall {
            terms: terms.clone(),
        };
        refused::<IEscrow::WrongState>(market.lab.tell(account, annex, &restore), "restore");
    }
    balanced(&mut market);
}
