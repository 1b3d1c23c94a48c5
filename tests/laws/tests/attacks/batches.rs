//! Batches of verdicts: one signed root, and proofs where they do not belong.

use alloy::primitives::{B256, Bytes};
use vouch_abi::{IAttestation, IEscrow, Terms, Verdict, merkle};
use vouch_client::batch::Batch;
use vouch_client::verdict::{self, Signed};
use vouch_laws::market::{GOVERNOR, Market};
use vouch_protocol::Phase;

use super::{BOTH, accepted, balanced, refused};

/// Orders that wait for their start, and a batch of their verdicts.
struct Waiting {
    market: Market,
    orders: Vec<(Terms, Verdict)>,
    batch: Batch,
}

fn waiting(count: u64) -> Waiting {
    let mut market = Market::new();
    let orders: Vec<_> = (0..count)
        .map(|n| {
            let (order, terms) = accepted(&mut market, n);
            let verdict = market.verdict(order, &terms, Phase::Start, n as u8);
            (terms, verdict)
        })
        .collect();
    let domain = verdict::domain(market.lab.chain_id(), market.attestation);
    let digests = orders.iter().map(|(_, v)| verdict::digest(v, &domain));
    let batch = Batch::new(digests).expect("verdicts");
    Waiting {
        market,
        orders,
        batch,
    }
}

impl Waiting {
    fn sign(&self, signers: &[usize], chain_id: u64) -> Vec<Signed> {
        let domain = verdict::domain(chain_id, self.market.attestation);
        let digest = self.batch.digest(&domain);
        let sign = |n: &usize| Signed::new(digest, &self.market.keys[*n]).expect("signed");
        signers.iter().map(sign).collect()
    }

    /// What comes with verdict `index`, signed here by some operators.
    fn signatures(&self, index: usize, signers: &[usize]) -> Bytes {
        let signed = self.sign(signers, self.market.lab.chain_id());
        self.batch.signatures(index, signed).expect("a verdict")
    }

    fn submit(
        &mut self,
        index: usize,
        signatures: Bytes,
    ) -> Result<vouch_laws::lab::Done, vouch_laws::lab::Reverted> {
        let (terms, verdict) = self.orders[index].clone();
        self.market.submit(&terms, &verdict, signatures)
    }
}

#[test]
fn one_signed_root_starts_many_orders_and_names_its_signers_for_each() {
    let mut waiting = waiting(5);
    let addresses = BOTH.map(|n| waiting.market.keys[n].address());
    for index in [3, 0, 4, 1, 2] {
        // Only the first one brings signatures; the rest is proof.
        let signers = if index == 3 { &BOTH[..] } else { &[] };
        let signatures = waiting.signatures(index, signers);
        let done = waiting.submit(index, signatures).expect("started");
        let root: Option<IAttestation::BatchAdmitted> = done.event();
        assert_eq!(root.is_some(), index == 3);
        let admitted: IAttestation::VerdictAdmitted = done.event().expect("admitted");
        assert_eq!(admitted.signers, addresses);
    }
    // Whoever did not know that the root was admitted loses nothing.
    let again = waiting.signatures(1, &BOTH);
    refused::<IEscrow::WrongPhase>(waiting.submit(1, again), "twice");
    balanced(&mut waiting.market);
}

#[test]
fn an_inner_node_is_no_verdict_and_a_verdict_no_root() {
    let mut waiting = waiting(4);
    let signatures = waiting.signatures(0, &BOTH);
    waiting.submit(0, signatures).expect("admitted");
    let proof = waiting.signatures(1, &[]);
    let cut = |from: usize, depth: u8| Bytes::from([&proof[from..64], &[128 + depth]].concat());
    for (what, signatures) in [
        ("a proof without its leaf's sibling", cut(32, 1)),
        (
            "a proof without its top",
            [&proof[..32], &[129]].concat().into(),
        ),
        ("no proof at all", cut(64, 0)),
        ("the proof of another", waiting.signatures(2, &[])),
    ] {
        refused::<IAttestation::QuorumNotReached>(waiting.submit(1, signatures), what);
    }
    refused::<IAttestation::ProofTruncated>(
        waiting.submit(1, [&proof[..64], &[131]].concat().into()),
        "a depth that is not there",
    );
    // The question that takes any digest: an inner node of the admitted tree is no verdict of it.
    let siblings: Vec<B256> = proof[..64].chunks(32).map(B256::from_slice).collect();
    let domain = verdict::domain(waiting.market.lab.chain_id(), waiting.market.attestation);
    let leaf = merkle::leaf(verdict::digest(&waiting.orders[1].1, &domain));
    let inner = merkle::node(leaf, siblings[0]);
    assert_eq!(merkle::node(inner, siblings[1]), waiting.batch.root());
    for digest in [inner, leaf, waiting.batch.root()] {
        for signatures in [cut(32, 1), cut(64, 0)] {
            let call = IAttestation::signersOfCall { digest, signatures };
            let attestation = waiting.market.attestation;
            refused::<IAttestation::QuorumNotReached>(
                waiting.market.lab.tell(GOVERNOR, attestation, &call),
                "an inner node",
            );
        }
    }
    waiting.submit(1, proof).expect("the whole proof");
}

#[test]
fn a_root_needs_the_same_quorum_as_a_verdict() {
    let mut waiting = waiting(2);
    let one = waiting.signatures(0, &[0]);
    refused::<IAttestation::QuorumNotReached>(waiting.submit(0, one), "one operator");
    let stranger = waiting.signatures(0, &[0, 4]);
    refused::<IAttestation::NotOperator>(waiting.submit(0, stranger), "with a stranger");
    let elsewhere = waiting.batch.signatures(0, waiting.sign(&BOTH, 1));
    refused::<IAttestation::NotOperator>(
        waiting.submit(0, elsewhere.expect("a verdict")),
        "signed for another chain",
    );
    // Signatures of a verdict are none of a root, and the other way round.
    let of_verdict = waiting.market.sign(&waiting.orders[0].1, &BOTH);
    let proof = waiting.signatures(0, &[]);
    let mixed = [&proof[..32], &of_verdict, &[129]].concat();
    refused::<IAttestation::NotOperator>(waiting.submit(0, mixed.into()), "of a verdict");
    let of_root = waiting.signatures(0, &BOTH);
    let bare = Bytes::copy_from_slice(&of_root[32..of_root.len() - 1]);
    refused::<IAttestation::NotOperator>(waiting.submit(0, bare), "of a root");
}

#[test]
fn a_remembered_root_ends_with_the_operators_who_signed_it() {
    let mut waiting = waiting(3);
    let signatures = waiting.signatures(0, &BOTH);
    waiting.submit(0, signatures).expect("admitted");
    let rotate = IAttestation::setOperatorsCall {
        added: vec![waiting.market.keys[3].address()],
        removed: vec![waiting.market.keys[0].address()],
        quorum: 2,
    };
    let attestation = waiting.market.attestation;
    waiting
        .market
        .must(GOVERNOR, attestation, &rotate)
        .expect("rotated");
    let proof = waiting.signatures(1, &[]);
    refused::<IAttestation::QuorumNotReached>(waiting.submit(1, proof), "by proof alone");
    let old = waiting.signatures(1, &BOTH);
    refused::<IAttestation::NotOperator>(waiting.submit(1, old), "by the old quorum");
    let new = waiting.signatures(1, &[1, 3]);
    let done = waiting.submit(1, new).expect("the new quorum");
    let admitted: IAttestation::VerdictAdmitted = done.event().expect("admitted");
    let mut expected = [1, 3].map(|n: usize| waiting.market.keys[n].address());
    expected.sort_unstable();
    assert_eq!(admitted.signers, expected);
    let proof = waiting.signatures(2, &[]);
    let done = waiting.submit(2, proof).expect("remembered anew");
    let admitted: IAttestation::VerdictAdmitted = done.event().expect("admitted");
    assert_eq!(admitted.signers, expected);
}
