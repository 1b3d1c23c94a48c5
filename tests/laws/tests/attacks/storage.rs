//! Slots of the escrow's storage, which three programs work on: each call changes those of what it is about, and
//! no other.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_abi::{Terms, Verdict};
use vouch_laws::market::{BUYERS, GOVERNOR, PROVIDER, STRANGER, verdict};
use vouch_laws::shares;
use vouch_laws::testvm::{
    ANNEX, ATTESTATION, DESK, ESCROW, GOVERNANCE, Machines, OFFERS, TOKENS, USAGE,
};
use vouch_laws::world::World;
use vouch_protocol::{Phase, Reason};

type Slots = BTreeSet<U256>;

/// The escrow's slots that a call changes.
fn changed<T>(machines: &mut Machines, call: impl FnOnce(&mut Machines) -> T) -> (Slots, T) {
    let storage = |machines: &Machines| machines.machine.vm(ESCROW).snapshot().storage;
    let before = storage(machines);
    let given = call(machines);
    let after = storage(machines).into_iter();
    let slots = after
        .filter(|(slot, word)| before.get(slot).copied().unwrap_or_default() != *word)
        .map(|(slot, _)| slot);
    (slots.collect(), given)
}

fn told(machines: &mut Machines, from: Address, call: IEscrowCalls) -> Slots {
    let done = |machines: &mut Machines| machines.tell(from, call).expect("done");
    changed(machines, done).0
}

fn placed(machines: &mut Machines, token: usize, salt: u64) -> (Slots, (B256, Terms)) {
    changed(machines, |machines| {
        let mut request = machines.request(token, 100, salt);
        shares::agree(&mut request, 0);
        machines.place(BUYERS[0], request).expect("placed")
    })
}

fn submitted(
    machines: &mut Machines,
    (order, terms): &(B256, Terms),
    phase: Phase,
) -> (Slots, Verdict) {
    let verdict = verdict(machines.now(), *order, terms, phase, 1);
    let call = IEscrow::submitVerdictCall {
        terms: terms.clone(),
        signatures: machines.sign(&verdict, &[0, 1], machines.chain_id(), ATTESTATION),
        verdict: verdict.clone(),
    };
    let slots = told(machines, STRANGER, IEscrowCalls::submitVerdict(call));
    (slots, verdict)
}

#[test]
fn a_call_changes_the_slots_of_what_it_is_about_and_no_other() {
    let mut machines = Machines::fresh();
    let fixed: Slots = machines
        .machine
        .vm(ESCROW)
        .snapshot()
        .storage
        .into_keys()
        .collect();
    let only = |slots: &Slots| {
        assert_eq!(slots.len(), 1);
        *slots.first().expect("one")
    };

    // Two orders in one token have what is owed of it in common, and with one in another token nothing.
    let (first, order) = placed(&mut machines, 0, 1);
    let (second, other) = placed(&mut machines, 0, 2);
    let (elsewhere, _) = placed(&mut machines, 1, 3);
    let owed = only(&(&first & &second));
    let record = only(&(&first - &second));
    let others = only(&(&second - &first));
    assert_eq!(elsewhere.len(), 2);
    assert!(elsewhere.is_disjoint(&first) && elsewhere.is_disjoint(&second));

    // The escrow's program: accept, verdicts.
    let terms = order.1.clone();
    let accept = |terms: &Terms| IEscrow::acceptCall {
        terms: terms.clone(),
    };
    let slots = told(
        &mut machines,
        PROVIDER,
        IEscrowCalls::accept(accept(&terms)),
    );
    assert_eq!(slots, Slots::from([record, owed]));
    let slots = told(
        &mut machines,
        PROVIDER,
        IEscrowCalls::accept(accept(&other.1)),
    );
    assert_eq!(slots, Slots::from([others, owed]));
    let (slots, _) = submitted(&mut machines, &order, Phase::Start);
    assert_eq!(slots, Slots::from([record]));
    let (finish, verdict) = submitted(&mut machines, &order, Phase::Finish);
    // The verdict that can be disputed, and the fee of two signers.
    assert_eq!(finish.len(), 4);
    assert!(finish.contains(&record) && !finish.contains(&owed));

    // The annex: a dispute and what becomes of it. The desk: credits and settings.
    let dispute = IEscrow::disputeCall {
        terms: terms.clone(),
        evidence: B256::ZERO,
        reason: Reason::DebugEnabled.code(),
    };
    let disputed = told(&mut machines, BUYERS[1], IEscrowCalls::dispute(dispute));
    assert_eq!(
        disputed.len(),
        4,
        "record, owed, and two words of the dispute"
    );
    assert!(disputed.contains(&record) && disputed.contains(&owed));
    let resolver = machines
        .machine
        .ask(ESCROW, &IEscrow::disputeOfCall { order: order.0 })
        .expect("an answer")
        .resolver;
    let resolve = IEscrow::resolveCall {
        terms: terms.clone(),
        verdict,
        reason: Reason::DebugEnabled.code(),
    };
    let slots = told(&mut machines, resolver, IEscrowCalls::resolve(resolve));
    assert_eq!(slots, Slots::from([record, owed]));
    let restore = IEscrow::restoreCall { terms };
    let slots = told(&mut machines, STRANGER, IEscrowCalls::restore(restore));
    assert_eq!(slots, Slots::from([record]));
    let credits: Slots = &finish - &disputed;
    let mut withdrawn = Slots::new();
    for signer in 0..2 {
        let (signer, token) = (machines.keys[signer].address(), TOKENS[0]);
        let withdraw = IEscrow::withdrawCall { token };
        let slots = told(&mut machines, signer, IEscrowCalls::withdraw(withdraw));
        assert!(slots.contains(&owed) && slots.len() == 2);
        withdrawn.extend(&slots - &Slots::from([owed]));
    }
    assert!(withdrawn.is_subset(&credits) && withdrawn.len() == 2);
    let pause = IEscrow::setPausedCall { paused: true };
    let paused = only(&told(
        &mut machines,
        GOVERNOR,
        IEscrowCalls::setPaused(pause),
    ));
    let resolver = Address::repeat_byte(0xd2);
    let appoint = IEscrow::setResolverCall { resolver };
    let appointed = only(&told(
        &mut machines,
        GOVERNOR,
        IEscrowCalls::setResolver(appoint),
    ));
    assert_ne!(paused, appointed);

    // What the constructor fixed stands elsewhere, and is what it was. Programs keep nothing of their own.
    for of_orders in [first, second, elsewhere, finish, disputed] {
        assert!(of_orders.is_disjoint(&fixed));
    }
    assert!(fixed.contains(&paused) && fixed.contains(&appointed));
    let parts = [
        machines.machine.ask(ESCROW, &IEscrow::offersCall {}),
        machines.machine.ask(ESCROW, &IEscrow::usageCall {}),
        machines.machine.ask(ESCROW, &IEscrow::attestationCall {}),
        machines.machine.ask(ESCROW, &IEscrow::annexCall {}),
        machines.machine.ask(ESCROW, &IEscrow::deskCall {}),
        machines.machine.ask(ESCROW, &IEscrow::governorCall {}),
    ];
    let parts = parts.map(|part| part.expect("an answer"));
    assert_eq!(parts, [OFFERS, USAGE, ATTESTATION, ANNEX, DESK, GOVERNANCE]);
    for program in [ANNEX, DESK] {
        assert!(machines.machine.vm(program).snapshot().storage.is_empty());
    }
}
