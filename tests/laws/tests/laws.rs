//! The laws under random sequences of steps. The same each time, so that a test fails for a change and not by
//! chance: `scripts/laws --steps N` plays others, and more of them.

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use vouch_laws::disputes::{DisputeStep, Opinion};
use vouch_laws::market::Market;
use vouch_laws::play::{Tally, play};
use vouch_laws::random;
use vouch_laws::rules::Rules;
use vouch_laws::stakes;
use vouch_laws::step::{About, Finding, Step, Twist, any_step};
use vouch_laws::testvm::Machines;
use vouch_laws::world::World;

/// Sequences of one test on the contracts, of up to [`LENGTH`] steps.
const SEQUENCES: u32 = 30;
/// Sequences of one test on `TestVM`s.
const TESTVM_SEQUENCES: u32 = 60;
/// Sequences on the rules alone: some twenty-seven thousand steps.
const RULES_SEQUENCES: u32 = 300;
const LENGTH: usize = 120;

/// Plays random sequences. Several tests do the same with other seeds, so that they share the processors.
fn sequences<W: World>(count: u32, seed: u8) -> Tally {
    let total = any_of(count, seed, any_step(), play::<W>);
    // A run in which nothing happens would prove nothing.
    assert!(total.settled > 5 && total.refunded > 5, "{total:?}");
    assert!(total.refused_verdicts > 50, "{total:?}");
    assert!(total.effective * 5 > total.steps, "{total:?}");
    total
}

/// The same of any kind of steps.
fn any_of<S: Clone + Debug>(
    count: u32,
    seed: u8,
    any: impl Strategy<Value = S>,
    play: fn(&[S]) -> anyhow::Result<Tally>,
) -> Tally {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let runner = TestRunner::new_with_rng(random::config(count), rng);
    let played = random::sequences(runner, any, LENGTH / 2..=LENGTH, play, |_| ());
    played.unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn laws_hold_in_random_sequences_1() {
    sequences::<Market>(SEQUENCES, 1);
}

#[test]
fn laws_hold_in_random_sequences_2() {
    sequences::<Market>(SEQUENCES, 2);
}

#[test]
fn laws_hold_in_random_sequences_3() {
    sequences::<Market>(SEQUENCES, 3);
}

#[test]
fn laws_hold_in_random_sequences_on_testvm_1() {
    sequences::<Machines>(TESTVM_SEQUENCES, 4);
}

#[test]
fn laws_hold_in_random_sequences_on_testvm_2() {
    sequences::<Machines>(TESTVM_SEQUENCES, 5);
}

#[test]
fn laws_hold_in_random_sequences_on_the_rules() {
    let total = sequences::<Rules>(RULES_SEQUENCES, 6);
    assert!(total.disputed > 3, "{total:?}");
}

#[test]
fn laws_hold_in_random_sequences_of_bonds() {
    let total = any_of(TESTVM_SEQUENCES, 7, stakes::any_step(), stakes::play);
    // About a third of them, give or take: the steps are random.
    assert!(total.effective * 5 > total.steps, "{total:?}");
}

/// The harness notices what it should: an order that is paid is no order that is refunded.
#[test]
fn one_deal_is_counted_as_it_went() {
    one_deal::<Market>();
    one_deal::<Machines>();
    one_deal::<Rules>();
}

/// The steps of an order from its price to its finish verdict.
fn deal(window: u64) -> Vec<Step> {
    let verdict = |about| Step::Verdict {
        order: 0,
        about,
        finding: Finding::Accepted { dataset: true },
        age: 0,
        signers: 0b11,
        device: 1,
        twist: Twist::None,
    };
    vec![
        Step::Place {
            buyer: 0,
            token: 0,
            window,
            marketplace: 25_000,
            again: false,
        },
        Step::Accept {
            order: 0,
            by_stranger: false,
        },
        verdict(About::Start),
        Step::Pass { seconds: 10 },
        verdict(About::Next),
    ]
}

fn one_deal<W: World>() {
    let mut deal = deal(0);
    deal.push(Step::Replay { submission: 1 });
    let tally = play::<W>(&deal).unwrap();
    assert_eq!((tally.placed, tally.settled, tally.refunded), (1, 1, 0));
    assert_eq!(tally.refused_verdicts, 1, "the replay");
    let tally = play::<W>(&deal[..3]).unwrap();
    assert_eq!((tally.placed, tally.settled, tally.refunded), (1, 0, 1));
}

/// Whatever becomes of a dispute, and even if nothing does, everybody gets what the model says.
#[test]
fn disputes_are_counted_as_they_went() {
    disputes::<Market>();
    disputes::<Machines>();
    disputes::<Rules>();
}

fn disputes<W: World>() {
    let open = Step::Dispute(DisputeStep::Open {
        order: 0,
        by: 1,
        opinion: Opinion::Forged,
    });
    let resolve = |opinion| {
        Step::Dispute(DisputeStep::Resolve {
            order: 0,
            opinion,
            by_other: false,
            other_verdict: false,
        })
    };
    for (then, settled) in [
        (vec![], 0),
        (vec![resolve(Opinion::Undecided)], 0),
        (vec![resolve(Opinion::Right)], 1),
        (vec![resolve(Opinion::Policy)], 0),
        (vec![resolve(Opinion::Forged), resolve(Opinion::Right)], 0),
    ] {
        let mut steps = deal(100);
        steps.push(open);
        steps.extend(&then);
        let tally = play::<W>(&steps).unwrap();
        let ends = (tally.disputed, tally.settled, tally.refunded);
        assert_eq!(ends, (1, settled, 1 - settled), "{then:?}");
    }
}
