//! Signatures where they do not belong.

use alloy::primitives::{Address, B256, Bytes};
use vouch_abi::{IAttestation, IEscrow, Verdict};
use vouch_client::verdict::SIGNATURE_LEN;
use vouch_laws::market::{BUYERS, GOVERNOR, Market, PROVIDER, STRANGER};
use vouch_laws::twist::other_s;
use vouch_protocol::Phase;

use super::{BOTH, accepted, balanced, refused, running, submit, tell};

#[test]
fn a_signature_of_another_chain_is_worth_nothing() {
    let mut market = Market::new();
    // The same market on another chain: same addresses, same request.
    let mut fork = market.clone();
    fork.lab.set_chain_id(42_161);
    let (order, terms) = accepted(&mut market, 1);
    let (other, _) = accepted(&mut fork, 1);
    assert_ne!(order, other, "an order's id names its chain");
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    let signatures = market.sign(&verdict, &BOTH);
    refused::<IEscrow::VerdictMismatch>(
        fork.submit(&terms, &verdict, signatures.clone()),
        "as it is",
    );
    let renamed = Verdict {
        order: other,
        ..verdict
    };
    refused::<IAttestation::NotOperator>(fork.submit(&terms, &renamed, signatures), "renamed");
}

#[test]
fn a_signature_for_another_contract_is_worth_nothing() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    for contract in [market.escrow, market.offers, Address::ZERO] {
        let signed = market.sign_for(&verdict, &BOTH, market.lab.chain_id(), contract);
        refused::<IAttestation::NotOperator>(market.submit(&terms, &verdict, signed), "signed");
    }
}

#[test]
fn a_verdict_of_another_order_phase_or_attempt_is_worth_nothing() {
    let mut market = Market::new();
    let (first, first_terms) = running(&mut market, 1);
    let (second, second_terms) = accepted(&mut market, 2);
    let start = market.verdict(second, &second_terms, Phase::Start, 3);
    let signatures = market.sign(&start, &BOTH);
    refused::<IEscrow::WrongPhase>(
        market.submit(&first_terms, &start, signatures.clone()),
        "a start verdict of another order",
    );
    let changes: [(&str, Verdict); 4] = [
        (
            "order",
            Verdict {
                order: first,
                phase: 2,
                ..start.clone()
            },
        ),
        (
            "attempt",
            Verdict {
                attempt: 1,
                ..start.clone()
            },
        ),
        (
            "clauses",
            Verdict {
                clauses: alloy::primitives::U256::MAX,
                ..start.clone()
            },
        ),
        (
            "device",
            Verdict {
                devices: vec![B256::repeat_byte(9)],
                ..start.clone()
            },
        ),
    ];
    for (what, verdict) in changes {
        let terms = if verdict.order == first {
            &first_terms
        } else {
            &second_terms
        };
        refused::<IAttestation::NotOperator>(
            market.submit(terms, &verdict, signatures.clone()),
            what,
        );
    }
    // What it was signed for it does, once.
    market
        .submit(&second_terms, &start, signatures.clone())
        .expect("its own order");
    refused::<IEscrow::WrongPhase>(market.submit(&second_terms, &start, signatures), "again");
}

#[test]
fn a_paid_order_is_not_paid_again() {
    let mut market = Market::new();
    let (order, terms) = running(&mut market, 1);
    let finish = market.verdict(order, &terms, Phase::Finish, 2);
    submit(&mut market, &terms, &finish).expect("paid");
    let before = market.clone();
    refused::<IEscrow::WrongState>(submit(&mut market, &terms, &finish), "the same verdict");
    let later = Verdict {
        attempt: 1,
        ..finish.clone()
    };
    refused::<IEscrow::WrongState>(submit(&mut market, &terms, &later), "another verdict");
    let settle = IEscrow::settleCall {
        terms: terms.clone(),
        verdict: finish,
    };
    refused::<IEscrow::WrongState>(tell(&mut market, BUYERS[0], &settle), "settling");
    market.lab.pass(1_000_000);
    let refund = IEscrow::refundCall { terms };
    refused::<IEscrow::WrongState>(tell(&mut market, BUYERS[0], &refund), "a refund on top");
    for account in [PROVIDER, BUYERS[0], market.escrow] {
        assert_eq!(market.balance(0, account), before.balance(0, account));
    }
}

#[test]
fn the_other_form_of_a_signature_is_refused() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    let signed = market.sign(&verdict, &BOTH);
    let (first, second) = signed.split_at(SIGNATURE_LEN);
    let mut low_v = first.to_vec();
    low_v[64] -= 27;
    let forms: [(&str, Vec<u8>); 5] = [
        ("the other s", [&other_s(first), second].concat()),
        ("both other s", [other_s(first), other_s(second)].concat()),
        ("v of 0 or 1", [&low_v, second].concat()),
        ("64 bytes", [&first[..64], second].concat()),
        ("bytes behind", [&signed[..], &[0]].concat()),
    ];
    for (what, signatures) in forms {
        refused::<IAttestation::InvalidSignature>(
            market.submit(&terms, &verdict, signatures.into()),
            what,
        );
    }
    market.submit(&terms, &verdict, signed).expect("as signed");
}

#[test]
fn one_operator_is_not_two() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    let one = market.sign(&verdict, &[0]);
    let twice: Bytes = [&one[..], &one[..]].concat().into();
    refused::<IAttestation::SignersNotAscending>(market.submit(&terms, &verdict, twice), "twice");
    let disguised: Bytes = [&one[..], &other_s(&one)].concat().into();
    refused::<IAttestation::InvalidSignature>(
        market.submit(&terms, &verdict, disguised),
        "once in each form",
    );
    refused::<IAttestation::QuorumNotReached>(market.submit(&terms, &verdict, one), "once");
    let stranger = market.sign(&verdict, &[0, 4]);
    refused::<IAttestation::NotOperator>(
        market.submit(&terms, &verdict, stranger),
        "with a stranger",
    );
}

#[test]
fn a_removed_operator_no_longer_counts() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    let signatures = market.sign(&verdict, &BOTH);
    let rotate = IAttestation::setOperatorsCall {
        added: vec![market.keys[3].address()],
        removed: vec![market.keys[0].address()],
        quorum: 2,
    };
    market
        .must(GOVERNOR, market.attestation, &rotate)
        .expect("rotated");
    refused::<IAttestation::NotOperator>(
        market.submit(&terms, &verdict, signatures),
        "signed before the removal",
    );
    let signatures = market.sign(&verdict, &[1, 3]);
    market
        .submit(&terms, &verdict, signatures)
        .expect("the new quorum");
    let empty = IAttestation::setOperatorsCall {
        added: vec![],
        removed: market.keys[1..4].iter().map(|key| key.address()).collect(),
        quorum: 0,
    };
    refused::<IAttestation::InvalidQuorum>(
        market.lab.tell(GOVERNOR, market.attestation, &empty),
        "a quorum of nobody",
    );
    balanced(&mut market);
}

#[test]
fn a_quorum_is_what_its_signers_weigh_and_not_how_many_they_are() {
    let mut market = Market::new();
    let (order, terms) = accepted(&mut market, 1);
    let start = market.verdict(order, &terms, Phase::Start, 1);
    let (attestation, heavy) = (market.attestation, market.keys[0].address());
    let weigh = |operator, weight, quorum| IAttestation::setWeightsCall {
        weights: vec![IAttestation::Weight { operator, weight }],
        quorum,
    };
    for (what, call) in [
        ("a stranger", weigh(STRANGER, 2, 2)),
        ("no weight", weigh(heavy, 0, 2)),
        ("a quorum out of reach", weigh(heavy, 3, 6)),
        ("a quorum of nothing", weigh(heavy, 3, 0)),
    ] {
        let found = market.lab.tell(GOVERNOR, attestation, &call);
        assert!(found.is_err(), "{what}");
    }
    let found = market.lab.tell(STRANGER, attestation, &weigh(heavy, 3, 3));
    refused::<IAttestation::NotGovernor>(found, "by a stranger");
    market
        .must(GOVERNOR, attestation, &weigh(heavy, 3, 3))
        .expect("weighed");
    let many = market.sign(&start, &[1, 2]);
    let few = market.submit(&terms, &start, many);
    refused::<IAttestation::QuorumNotReached>(few, "two that weigh two");
    let one = market.sign(&start, &[0]);
    market
        .submit(&terms, &start, one)
        .expect("one that weighs three");
    // Who is removed takes its weight along.
    let remove = IAttestation::setOperatorsCall {
        added: vec![],
        removed: vec![heavy],
        quorum: 3,
    };
    let found = market.lab.tell(GOVERNOR, attestation, &remove);
    refused::<IAttestation::InvalidQuorum>(found, "a quorum out of reach");
    balanced(&mut market);
}
