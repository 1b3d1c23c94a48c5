//! What anybody may try. A step names things by number, so that every step can be tried in every
//! state and any part of a sequence is a sequence: failures shrink to a short script.

use proptest::prelude::*;

use vouch_abi::terms::MAX_MARKETPLACE_FEE;

use crate::disputes::{self, DisputeStep};

/// How a token behaves; the numbers are those of `Trouble.sol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "documented in the token")]
pub enum Mode {
    Honest = 0,
    Reverts = 1,
    Refuses = 2,
    Burns = 3,
    TakesFee = 4,
    Silent = 5,
    Reenters = 6,
}

/// What is wrong with a submission of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// Signed for another chain.
    OtherChain,
    /// Signed for another contract.
    OtherContract,
    /// Signed for another order.
    OtherOrder,
    /// Changed after it was signed.
    Tampered,
    /// The first signature comes twice.
    Duplicate,
    /// The signatures come in descending order.
    Descending,
    /// The first signature has the other `s`.
    HighS,
    /// It names other inputs than the order's.
    OtherInputs,
    /// It comes with other terms than the order's.
    OtherTerms,
}

/// The phase a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum About {
    /// The one that its order waits for.
    Next,
    Start,
    Finish,
    Beat,
}

/// What is done with two orders at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Joint {
    Accept,
    Settle,
    Refund,
}

/// What the verdict says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Everything holds, or everything but the dataset's condition.
    Accepted {
        /// Whether the dataset's condition holds.
        dataset: bool,
    },
    /// Authentic, and not allowed.
    Policy,
    /// Not authentic.
    Forged,
    /// Undecided; no such verdict may count.
    Inconclusive,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    Pass {
        seconds: u64,
    },
    /// Time passes up to the deadline of an order, or the end of its window, or to a second before
    /// or after: where it ends matters most.
    Reach {
        order: usize,
        after: i64,
    },
    Place {
        buyer: usize,
        token: usize,
        window: u64,
        marketplace: u32,
        again: bool,
    },
    Accept {
        order: usize,
        by_stranger: bool,
    },
    Verdict {
        order: usize,
        about: About,
        finding: Finding,
        /// Seconds since it was observed; negative: it is observed in the future.
        age: i64,
        /// One bit for each key.
        signers: u8,
        device: u8,
        twist: Twist,
    },
    /// Somebody pays for more compute: a buyer, not always the order's own, or a stranger without a token.
    TopUp {
        order: usize,
        by: usize,
        duration: u32,
    },
    /// An earlier submission, byte by byte.
    Replay {
        submission: usize,
    },
    Settle {
        order: usize,
    },
    Refund {
        order: usize,
    },
    Restore {
        order: usize,
    },
    /// Two orders in one batch; the provider calls.
    Together {
        what: Joint,
        orders: [usize; 2],
        packed: bool,
    },
    Withdraw {
        account: usize,
        token: usize,
    },
    Misbehave {
        token: usize,
        mode: Mode,
        order: usize,
    },
    /// The governor exchanges one operator for another.
    Rotate {
        out: usize,
        into: usize,
    },
    Pause {
        paused: bool,
    },
    /// A stranger calls what is not for strangers.
    Intrude {
        call: usize,
        order: usize,
    },
    Dispute(DisputeStep),
}

/// Anything that may happen, likely steps more often.
pub fn any_step() -> impl Strategy<Value = Step> {
    let order = 0..8_usize;
    prop_oneof![
        3 => pass(),
        1 => (order.clone(), -1..=1_i64).prop_map(|(order, after)| Step::Reach { order, after }),
        4 => (
            0..2_usize,
            0..2_usize,
            prop_oneof![1 => Just(0), 1 => 1..3_000_u64],
            prop_oneof![1 => Just(0), 2 => 0..=MAX_MARKETPLACE_FEE],
            prop::bool::weighted(0.1),
        )
            .prop_map(|(buyer, token, window, marketplace, again)| Step::Place {
                buyer, token, window, marketplace, again,
            }),
        8 => (order.clone(), prop::bool::weighted(0.1))
            .prop_map(|(order, by_stranger)| Step::Accept { order, by_stranger }),
        20 => verdict(),
        3 => (0..64_usize).prop_map(|submission| Step::Replay { submission }),
        3 => (order.clone(), 0..3_usize, prop_oneof![9 => 0..900_u32, 1 => Just(u32::MAX)])
            .prop_map(|(order, by, duration)| Step::TopUp { order, by, duration }),
        3 => order.clone().prop_map(|order| Step::Settle { order }),
        3 => order.clone().prop_map(|order| Step::Refund { order }),
        2 => order.clone().prop_map(|order| Step::Restore { order }),
        4 => together(),
        2 => (0..9_usize, 0..2_usize).prop_map(|(account, token)| Step::Withdraw { account, token }),
        2 => (0..2_usize, mode(), order.clone())
            .prop_map(|(token, mode, order)| Step::Misbehave { token, mode, order }),
        1 => (0..5_usize, 0..5_usize).prop_map(|(out, into)| Step::Rotate { out, into }),
        1 => prop::bool::weighted(0.2).prop_map(|paused| Step::Pause { paused }),
        1 => (0..8_usize, order).prop_map(|(call, order)| Step::Intrude { call, order }),
        6 => disputes::any().prop_map(Step::Dispute),
    ]
}

fn pass() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![12 => 0..60_u64, 3 => 60..700_u64, 1 => 700..2_500_u64];
    seconds.prop_map(|seconds| Step::Pass { seconds })
}

fn together() -> impl Strategy<Value = Step> {
    let what = prop::sample::select(vec![
        Joint::Accept,
        Joint::Accept,
        Joint::Settle,
        Joint::Refund,
    ]);
    (what, [0..8_usize, 0..8_usize], any::<bool>()).prop_map(|(what, orders, packed)| {
        Step::Together {
            what,
            orders,
            packed,
        }
    })
}

pub(crate) fn mode() -> impl Strategy<Value = Mode> {
    use Mode::*;
    prop_oneof![
        6 => Just(Honest),
        6 => prop::sample::select(vec![Reverts, Refuses, Burns, TakesFee, Silent, Reenters]),
    ]
}

fn verdict() -> impl Strategy<Value = Step> {
    use Finding::*;
    let finding = prop_oneof![
        12 => any::<bool>().prop_map(|dataset| Accepted { dataset }),
        1 => Just(Policy),
        1 => Just(Forged),
        1 => Just(Inconclusive),
    ];
    let twists = vec![
        Twist::OtherChain,
        Twist::OtherContract,
        Twist::OtherOrder,
        Twist::Tampered,
        Twist::Duplicate,
        Twist::Descending,
        Twist::HighS,
        Twist::OtherInputs,
        Twist::OtherTerms,
    ];
    let twist = prop_oneof![7 => Just(Twist::None), 1 => prop::sample::select(twists)];
    let signers = prop_oneof![
        8 => prop::sample::select(vec![0b011_u8, 0b101, 0b110, 0b111]),
        1 => 0..32_u8,
    ];
    let about = prop_oneof![
        6 => Just(About::Next),
        2 => Just(About::Beat),
        1 => Just(About::Start),
        1 => Just(About::Finish),
    ];
    let age = prop_oneof![4 => Just(0), 2 => 0..300_i64, 1 => -50..0_i64];
    (0..8_usize, about, finding, age, signers, 0..4_u8, twist).prop_map(
        |(order, about, finding, age, signers, device, twist)| Step::Verdict {
            order,
            about,
            finding,
            age,
            signers,
            device,
            twist,
        },
    )
}
