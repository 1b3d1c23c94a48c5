//! Operators who contradict themselves, and what is no contradiction.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::sol_types::SolStruct;
use vouch_abi::{IAttestation, IBonds, VerdictShare};
use vouch_client::batch::Batch;
use vouch_client::verdict::{Signed, digest, domain};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{BOND_DELAY, GOVERNOR, ITrouble, Market, STRANGER};
use vouch_laws::step::Mode;
use vouch_laws::twist::other_s;
use vouch_protocol::Phase;

use super::{BOTH, accepted, refused, submit};

/// What the first operator has at stake.
const STAKE: u64 = 1_000;

fn share(verdict: u8) -> VerdictShare {
    VerdictShare {
        verdict: B256::repeat_byte(verdict),
        order: B256::repeat_byte(0x0d),
        phase: 1,
        attempt: 0,
        evidence: B256::repeat_byte(0xee),
        outputs: B256::ZERO,
        announcedIn: B256::repeat_byte(0xbb),
    }
}

/// A statement, signed by one of the keys in the domain of a contract.
fn signed_for(market: &Market, key: usize, share: &VerdictShare, contract: Address) -> Bytes {
    let domain = domain(market.lab.chain_id(), contract);
    let hash = share.eip712_signing_hash(&domain);
    let signature = market.keys[key].sign_hash_sync(&hash);
    signature.expect("a signature").as_bytes().to_vec().into()
}

fn proof(market: &Market, key: usize, second: VerdictShare) -> IBonds::slashCall {
    let first = share(1);
    IBonds::slashCall {
        firstSignature: signed_for(market, key, &first, market.attestation),
        secondSignature: signed_for(market, key, &second, market.attestation),
        first,
        second,
    }
}

fn tell(
    market: &mut Market,
    from: Address,
    call: &impl alloy::sol_types::SolCall,
) -> Result<Done, Reverted> {
    let bonds = market.bonds;
    market.lab.tell(from, bonds, call)
}

/// A market whose first operator has [`STAKE`] at stake, of the least bond there is.
fn bonded() -> (Market, Address) {
    let mut market = Market::new();
    let operator = market.keys[0].address();
    fund(&mut market, operator);
    bond(&mut market, operator, STAKE).expect("bonded");
    (market, operator)
}

fn fund(market: &mut Market, account: Address) {
    let (token, value) = (market.tokens[0], U256::from(10 * STAKE));
    let mint = ITrouble::mintCall { to: account, value };
    market.must(account, token, &mint).expect("minted");
    let approve = ITrouble::approveCall {
        spender: market.bonds,
        value,
    };
    market.must(account, token, &approve).expect("approved");
}

fn bond(market: &mut Market, operator: Address, amount: u64) -> Result<Done, Reverted> {
    let amount = U256::from(amount);
    tell(market, operator, &IBonds::bondCall { operator, amount })
}

fn is_operator(market: &mut Market, account: Address) -> bool {
    let attestation = market.attestation;
    let call = IAttestation::isOperatorCall { account };
    market.lab.ask(attestation, &call).expect("an answer")
}

fn stake(market: &mut Market, operator: Address) -> (u64, u64) {
    let bonds = market.bonds;
    let call = IBonds::bondOfCall { operator };
    let found = market.lab.ask(bonds, &call).expect("an answer");
    (found.bonded.to(), found.leaving.to())
}

#[test]
fn two_verdicts_about_one_evidence_cost_the_bond_and_the_place() {
    let (mut market, operator) = bonded();
    let (order, terms) = accepted(&mut market, 1);
    let unbond = IBonds::unbondCall {
        amount: U256::from(STAKE / 4),
    };
    tell(&mut market, operator, &unbond).expect("begun");
    let proof = proof(&market, 0, share(2));
    let done = tell(&mut market, STRANGER, &proof).expect("slashed");
    let event: IBonds::Slashed = done.event().expect("an event");
    assert_eq!(event.amount, U256::from(STAKE), "what was leaving too");
    assert_eq!(event.reward, U256::from(STAKE / 10));
    assert_eq!(stake(&mut market, operator), (0, 0));
    assert!(!is_operator(&mut market, operator));
    let verdict = market.verdict(order, &terms, Phase::Start, 1);
    refused::<IAttestation::NotOperator>(submit(&mut market, &terms, &verdict), "its signature");
    let rest = market.sign(&verdict, &[1, 2]);
    market.submit(&terms, &verdict, rest).expect("the others");

    // A tenth for who found it, the rest for nobody.
    tell(&mut market, STRANGER, &IBonds::withdrawCall {}).expect("the reward");
    assert_eq!(market.balance(0, STRANGER), u128::from(STAKE / 10));
    let left = market.balance(0, market.bonds);
    assert_eq!(left, u128::from(STAKE - STAKE / 10));
    market.lab.pass(BOND_DELAY);
    for account in [operator, STRANGER, GOVERNOR] {
        let again = tell(&mut market, account, &IBonds::withdrawCall {});
        refused::<IBonds::NothingToWithdraw>(again, "more");
    }
}

#[test]
fn a_quorum_remembered_for_a_batch_ends_with_its_signer() {
    let (mut market, _) = bonded();
    let (order, terms) = accepted(&mut market, 1);
    let (other, other_terms) = accepted(&mut market, 2);
    let verdicts = [
        market.verdict(order, &terms, Phase::Start, 1),
        market.verdict(other, &other_terms, Phase::Start, 2),
    ];
    let domain = domain(market.lab.chain_id(), market.attestation);
    let digests = verdicts.iter().map(|verdict| digest(verdict, &domain));
    let batch = Batch::new(digests).expect("a batch");
    let root = batch.digest(&domain);
    let signed = BOTH.map(|key| Signed::new(root, &market.keys[key]).expect("signed"));
    let first = batch.signatures(0, signed.to_vec()).expect("signatures");
    let second = batch.signatures(1, vec![]).expect("a proof");
    market
        .submit(&terms, &verdicts[0], first)
        .expect("the first");
    let proof = proof(&market, 0, share(2));
    tell(&mut market, STRANGER, &proof).expect("slashed");
    let late = market.submit(&other_terms, &verdicts[1], second);
    refused::<IAttestation::QuorumNotReached>(late, "the root is worth nothing any more");
}

#[test]
fn what_is_no_contradiction_costs_nothing() {
    let (mut market, operator) = bonded();
    let word = B256::repeat_byte(7);
    let seconds = [
        ("the same again", share(1)),
        (
            "another block",
            VerdictShare {
                announcedIn: word,
                ..share(2)
            },
        ),
        (
            "another attempt",
            VerdictShare {
                attempt: 1,
                ..share(2)
            },
        ),
        (
            "other evidence",
            VerdictShare {
                evidence: word,
                ..share(2)
            },
        ),
        (
            "another order",
            VerdictShare {
                order: word,
                ..share(2)
            },
        ),
    ];
    for (what, second) in seconds {
        let proof = proof(&market, 0, second);
        refused::<IBonds::NoContradiction>(tell(&mut market, STRANGER, &proof), what);
    }
    assert_eq!(stake(&mut market, operator), (STAKE, 0));
    assert!(is_operator(&mut market, operator));
}

#[test]
fn a_proof_is_not_made_of_others_signatures() {
    let (mut market, _) = bonded();
    let good = proof(&market, 0, share(2));
    let mut two = good.clone();
    two.secondSignature = signed_for(&market, 1, &two.second, market.attestation);
    refused::<IBonds::TwoSigners>(tell(&mut market, STRANGER, &two), "two operators");
    let mut elsewhere = good.clone();
    elsewhere.secondSignature = signed_for(&market, 0, &elsewhere.second, market.escrow);
    let refusal = tell(&mut market, STRANGER, &elsewhere);
    refused::<IBonds::TwoSigners>(refusal, "for another contract");
    let mut forms = good.clone();
    forms.secondSignature = other_s(&forms.secondSignature).into();
    let refusal = tell(&mut market, STRANGER, &forms);
    refused::<IBonds::InvalidSignature>(refusal, "the other s");
    let mut fork = market.clone();
    fork.lab.set_chain_id(42_161);
    assert!(
        tell(&mut fork, STRANGER, &good).is_err(),
        "of another chain"
    );
    let stranger = proof(&market, 4, share(2));
    let refusal = tell(&mut market, STRANGER, &stranger);
    refused::<IBonds::NothingToSlash>(refusal, "who is no operator and has nothing");
}

#[test]
fn one_contradiction_is_punished_once() {
    let (mut market, operator) = bonded();
    let first = proof(&market, 0, share(2));
    tell(&mut market, STRANGER, &first).expect("slashed");
    bond(&mut market, operator, STAKE).expect("bonded anew");
    let add = IAttestation::setOperatorsCall {
        added: vec![operator],
        removed: vec![],
        quorum: 2,
    };
    let attestation = market.attestation;
    market.must(GOVERNOR, attestation, &add).expect("back");
    let swapped = IBonds::slashCall {
        first: first.second.clone(),
        firstSignature: first.secondSignature.clone(),
        second: first.first.clone(),
        secondSignature: first.firstSignature.clone(),
    };
    let third = proof(&market, 0, share(3));
    for (what, proof) in [
        ("again", first),
        ("the other way round", swapped),
        ("a third verdict", third),
    ] {
        refused::<IBonds::AlreadySlashed>(tell(&mut market, STRANGER, &proof), what);
    }
    assert!(is_operator(&mut market, operator));
    assert_eq!(stake(&mut market, operator), (STAKE, 0));
}

#[test]
fn a_bond_cannot_be_saved_by_taking_it_out() {
    let (mut market, operator) = bonded();
    let minimum = IBonds::setMinimumCall {
        minimum: U256::from(STAKE),
    };
    tell(&mut market, GOVERNOR, &minimum).expect("a minimum");
    let unbond = IBonds::unbondCall {
        amount: U256::from(1),
    };
    tell(&mut market, operator, &unbond).expect("begun");
    assert!(!is_operator(&mut market, operator), "at once");
    market.lab.pass(BOND_DELAY - 1);
    let early = tell(&mut market, operator, &IBonds::withdrawCall {});
    refused::<IBonds::StillBonded>(early, "a second early");
    let mut honest = market.clone();
    let proof = proof(&market, 0, share(2));
    tell(&mut market, STRANGER, &proof).expect("slashed in its last second");
    honest.lab.pass(1);
    tell(&mut honest, operator, &IBonds::withdrawCall {}).expect("paid");
    assert_eq!(stake(&mut honest, operator), (STAKE - 1, 0));
}

#[test]
fn who_has_too_little_at_stake_does_not_count() {
    let (mut market, operator) = bonded();
    let minimum = IBonds::setMinimumCall {
        minimum: U256::from(STAKE),
    };
    tell(&mut market, GOVERNOR, &minimum).expect("a minimum");
    let evict = |operator| IBonds::evictCall { operator };
    let refusal = tell(&mut market, STRANGER, &evict(operator));
    refused::<IBonds::Sufficient>(refusal, "who has enough");
    let poor = market.keys[1].address();
    tell(&mut market, STRANGER, &evict(poor)).expect("evicted");
    assert!(!is_operator(&mut market, poor));
    let add = IAttestation::setOperatorsCall {
        added: vec![poor],
        removed: vec![],
        quorum: 2,
    };
    let attestation = market.attestation;
    let refusal = market.lab.tell(GOVERNOR, attestation, &add);
    refused::<IAttestation::NotBonded>(refusal, "added with nothing at stake");
    fund(&mut market, poor);
    bond(&mut market, poor, STAKE).expect("bonded");
    market.must(GOVERNOR, attestation, &add).expect("added");
    let expel = IAttestation::expelCall { operator };
    for account in [GOVERNOR, STRANGER, poor] {
        let refusal = market.lab.tell(account, attestation, &expel);
        refused::<IAttestation::NotBonds>(refusal, "expelled by somebody");
    }
}

#[test]
fn a_token_that_misbehaves_bonds_and_takes_nothing() {
    let (mut market, operator) = bonded();
    for mode in [Mode::TakesFee, Mode::Refuses, Mode::Reverts] {
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
        refused::<IBonds::TokenRefused>(bond(&mut market, operator, 10), "bonding");
    }
    let reenter = IBonds::bondCall {
        operator: STRANGER,
        amount: U256::from(10),
    };
    let (bonds, token) = (market.bonds, market.tokens[0]);
    let data = alloy::sol_types::SolCall::abi_encode(&reenter);
    market
        .misbehave(0, Mode::Reenters as u8, bonds, data.into())
        .expect("a mode");
    bond(&mut market, operator, 10).expect("bonded all the same");
    let entered = market.lab.ask(token, &ITrouble::reenteredCall {});
    assert!(!entered.expect("an answer"), "from inside a transfer");
    assert_eq!(stake(&mut market, operator), (STAKE + 10, 0));
    let held = market.balance(0, bonds);
    assert_eq!(
        held,
        u128::from(STAKE + 10),
        "all that is at stake is there"
    );

    // A payment that fails takes nothing from who was to be paid.
    let unbond = IBonds::unbondCall {
        amount: U256::from(STAKE),
    };
    tell(&mut market, operator, &unbond).expect("begun");
    market.lab.pass(BOND_DELAY);
    let set = |mode: Mode, market: &mut Market| {
        market
            .misbehave(0, mode as u8, STRANGER, Bytes::new())
            .expect("a mode");
    };
    for mode in [Mode::Refuses, Mode::Reverts] {
        set(mode, &mut market);
        let refusal = tell(&mut market, operator, &IBonds::withdrawCall {});
        refused::<IBonds::TokenRefused>(refusal, "withdrawing");
    }
    set(Mode::Silent, &mut market);
    tell(&mut market, operator, &IBonds::withdrawCall {}).expect("paid");
    assert_eq!(market.balance(0, bonds), 10);
}
