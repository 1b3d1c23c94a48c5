//! The life of an order: which call may move it from which state to which.
//!
//! ```text
//!           place            accept         start verdict       finish verdict      window over
//! (none) ──────────▶ Placed ────────▶ Accepted ────────▶ Running ────────▶ Finished ────────▶ Settled
//!                      │ accept deadline │ start deadline   │ finish deadline
//!                      └─────────────────┴──────────────────┴──▶ Refunded (also by a rejection)
//! ```
//!
//! While its challenge window is open a finished order can be [disputed](crate::dispute).
//!
//! Up to and including its deadline a state can be left forwards only, afterwards by refund only.

use alloy_primitives::{Address, B256, U256};
use vouch_abi::{
    IEscrow, Terms, Verdict,
    call::Revert,
    terms::{invalid, is_compute},
};
use vouch_protocol::{
    Class, Phase,
    clause::{Clauses, LegClauses},
};

/// Where an order stands. The numbers are those of `OrderRecord.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// There is no such order.
    #[default]
    None = 0,
    /// Paid for by the buyer.
    Placed = 1,
    /// Taken by the provider, whose bond is locked.
    Accepted = 2,
    /// A start verdict has released the keys.
    Running = 3,
    /// A finish verdict stands; its challenge window is open or was not used yet.
    Finished = 4,
    /// Paid. Terminal.
    Settled = 5,
    /// Given back. Terminal.
    Refunded = 6,
    /// Finished, and its payment frozen by a dispute.
    Disputed = 7,
}

impl State {
    const fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Placed,
            2 => Self::Accepted,
            3 => Self::Running,
            4 => Self::Finished,
            5 => Self::Settled,
            6 => Self::Refunded,
            7 => Self::Disputed,
            _ => Self::None,
        }
    }
}

/// What is kept of an order beside the commitment, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where the order stands.
    pub state: State,
    /// Block in which it came there.
    pub since_block: u64,
    /// When the start verdict was observed.
    pub started_at: u64,
    /// When the finish verdict arrived.
    pub finished_at: u64,
    /// When the last heartbeat that counts was observed; zero without one.
    pub beat_at: u64,
    /// Seconds of compute that were paid for after the order was placed.
    pub topped_up: u32,
    /// Refunded: volume and uses were given back.
    pub restored: bool,
    /// Settled: the receipt's id, whose first byte is zero. Then nothing else is kept.
    pub receipt: B256,
}

/// What an admissible verdict does to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The order starts to run.
    Start,
    /// The legs whose clauses hold have earned their pay.
    Finish,
    /// The compute leg is attested for longer, where its clauses hold.
    Beat,
    /// The order is refunded; `forged` decides about the bond.
    Reject {
        /// The evidence was not authentic.
        forged: bool,
    },
}

impl Record {
    /// A new order.
    pub const fn placed(block: u64) -> Self {
        Self {
            state: State::Placed,
            since_block: block,
            started_at: 0,
            finished_at: 0,
            beat_at: 0,
            topped_up: 0,
            restored: false,
            receipt: B256::ZERO,
        }
    }

    /// The provider takes the order.
    ///
    /// # Errors
    /// `WrongState`, `NotProvider`, `DeadlinePassed`.
    pub fn accept(
        &self,
        order: &B256,
        terms: &Terms,
        caller: &Address,
        now: u64,
        block: u64,
    ) -> Result<Self, Revert> {
        self.expect(order, State::Placed)?;
        only_provider(terms, caller)?;
        before(terms.deadlines.accept, now)?;
        Ok(Self {
            state: State::Accepted,
            since_block: block,
            ..*self
        })
    }

    /// Whether the provider may announce evidence of this phase now.
    ///
    /// # Errors
    /// `WrongPhase`, `WrongState`, `NotProvider`, `DeadlinePassed`.
    pub fn announce(
        &self,
        order: &B256,
        terms: &Terms,
        phase: u8,
        caller: &Address,
        now: u64,
    ) -> Result<(), Revert> {
        self.expect_phase(order, phase)?;
        only_provider(terms, caller)?;
        before(self.deadline(terms), now)
    }

    /// Locks money for `duration` more seconds of compute.
    ///
    /// # Errors
    /// `WrongState`, `DeadlinePassed`, `InvalidOrder` where all seconds together do not fit.
    pub fn top_up(
        &self,
        order: &B256,
        terms: &Terms,
        duration: u32,
        now: u64,
    ) -> Result<Self, Revert> {
        if !matches!(self.state, State::Placed | State::Accepted | State::Running) {
            return Err(self.wrong(order, State::Running));
        }
        before(self.deadline(terms), now)?;
        let topped_up = self.topped_up.checked_add(duration);
        let topped_up = topped_up.filter(|_| duration != 0);
        Ok(Self {
            topped_up: topped_up.ok_or_else(|| invalid("duration"))?,
            ..*self
        })
    }

    /// What a verdict would do, if a quorum signed it.
    ///
    /// # Errors
    /// `WrongPhase`, `WrongState`, `VerdictMismatch`, `Inconclusive`, `ObservedInFuture`,
    /// `ObservedBeforeStart`, `BeatNotLater`, `DeadlinePassed`.
    pub fn judge(
        &self,
        order: &B256,
        terms: &Terms,
        verdict: &Verdict,
        now: u64,
    ) -> Result<Effect, Revert> {
        let phase = self.expect_phase(order, verdict.phase)?;
        if verdict.order != *order {
            return Err(IEscrow::VerdictMismatch {
                expected: *order,
                found: verdict.order,
            }
            .into());
        }
        let class = Class::of(verdict.reason)
            .filter(|class| class.is_conclusive())
            .ok_or(IEscrow::Inconclusive {
                reason: verdict.reason,
            })?;
        let observed_at = verdict.observedAt;
        if observed_at > now {
            return Err(IEscrow::ObservedInFuture {
                observedAt: observed_at,
                time: now,
            }
            .into());
        }
        if observed_at < self.started_at {
            let started_at = self.started_at;
            return Err(IEscrow::ObservedBeforeStart {
                observedAt: observed_at,
                startedAt: started_at,
            }
            .into());
        }
        if phase == Phase::Heartbeat && observed_at <= self.beat_at {
            let beat_at = self.beat_at;
            return Err(IEscrow::BeatNotLater {
                observedAt: observed_at,
                beatAt: beat_at,
            }
            .into());
        }
        before(self.deadline(terms), now)?;
        Ok(match (class, phase) {
            (Class::Accepted, Phase::Start) => Effect::Start,
            (Class::Accepted, Phase::Finish) => Effect::Finish,
            (Class::Accepted, Phase::Heartbeat) => Effect::Beat,
            (class, _) => Effect::Reject {
                forged: class == Class::Forged,
            },
        })
    }

    /// An accepted start verdict.
    #[must_use]
    pub const fn start(self, observed_at: u64, block: u64) -> Self {
        Self {
            state: State::Running,
            since_block: block,
            started_at: observed_at,
            ..self
        }
    }

    /// An accepted heartbeat: counts where it shows that the clauses of compute held, as far as a heartbeat is
    /// judged by them.
    #[must_use]
    pub fn beat(self, terms: &Terms, verdict: &Verdict) -> Self {
        if !compute_holds(terms, verdict) {
            return self;
        }
        Self {
            beat_at: verdict.observedAt,
            ..self
        }
    }

    /// Seconds of compute that heartbeats attest.
    pub const fn attested(&self) -> u64 {
        self.beat_at.saturating_sub(self.started_at)
    }

    /// An accepted finish verdict that waits for its challenge window.
    #[must_use]
    pub const fn finish(self, now: u64, block: u64) -> Self {
        Self {
            state: State::Finished,
            since_block: block,
            finished_at: now,
            ..self
        }
    }

    /// The order was paid; `receipt` is the id of what proves it.
    pub fn settled(receipt: B256) -> Self {
        Self {
            state: State::Settled,
            receipt,
            ..Self::default()
        }
    }

    /// The order was given back.
    #[must_use]
    pub const fn refunded(self, block: u64) -> Self {
        Self {
            state: State::Refunded,
            since_block: block,
            ..self
        }
    }

    /// The uses that a refunded order took are given back, once.
    ///
    /// # Errors
    /// `WrongState`, `AlreadyRestored`.
    pub fn restore(self, order: &B256) -> Result<Self, Revert> {
        self.expect(order, State::Refunded)?;
        if self.restored {
            return Err(IEscrow::AlreadyRestored { order: *order }.into());
        }
        Ok(Self {
            restored: true,
            ..self
        })
    }

    /// When the challenge window of a finished order closes.
    pub const fn window_closes(&self, terms: &Terms) -> u64 {
        self.finished_at.saturating_add(terms.challengeWindow)
    }

    /// Whether a finished order may be settled now.
    ///
    /// # Errors
    /// `WrongState`, `WindowOpen`.
    pub fn settle(&self, order: &B256, terms: &Terms, now: u64) -> Result<(), Revert> {
        self.expect(order, State::Finished)?;
        let closes = self.window_closes(terms);
        if now < closes {
            return Err(IEscrow::WindowOpen { closes, time: now }.into());
        }
        Ok(())
    }

    /// Whether the order may be refunded now because a deadline has passed.
    ///
    /// # Errors
    /// `WrongState` (expected: the last state that a deadline ends), `DeadlineNotPassed`.
    pub fn expire(&self, order: &B256, terms: &Terms, now: u64) -> Result<(), Revert> {
        if !matches!(self.state, State::Placed | State::Accepted | State::Running) {
            return Err(self.wrong(order, State::Running));
        }
        let deadline = self.deadline(terms);
        if now <= deadline {
            return Err(IEscrow::DeadlineNotPassed {
                deadline,
                time: now,
            }
            .into());
        }
        Ok(())
    }

    /// Whether the provider's bond is locked.
    pub fn bonded(&self) -> bool {
        self.state >= State::Accepted
    }

    /// The phase whose evidence the order waits for; heartbeats may come before it.
    pub const fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Accepted => Some(Phase::Start),
            State::Running => Some(Phase::Finish),
            _ => None,
        }
    }

    /// The deadline of a state that has one. The others are never asked.
    const fn deadline(&self, terms: &Terms) -> u64 {
        match self.state {
            State::Placed => terms.deadlines.accept,
            State::Accepted => terms.deadlines.start,
            State::Running => terms.deadlines.finish,
            _ => terms.deadlines.settle,
        }
    }

    pub(crate) fn expect(&self, order: &B256, expected: State) -> Result<(), Revert> {
        if self.state == expected {
            Ok(())
        } else {
            Err(self.wrong(order, expected))
        }
    }

    fn expect_phase(&self, order: &B256, found: u8) -> Result<Phase, Revert> {
        match (self.phase(), Phase::from_u8(found)) {
            (Some(expected), Some(phase)) if expected == phase => Ok(phase),
            (Some(Phase::Finish), Some(Phase::Heartbeat)) => Ok(Phase::Heartbeat),
            (Some(expected), _) => Err(IEscrow::WrongPhase {
                expected: expected as u8,
                found,
            }
            .into()),
            (None, Some(Phase::Finish | Phase::Heartbeat)) => {
                Err(self.wrong(order, State::Running))
            }
            (None, _) => Err(self.wrong(order, State::Accepted)),
        }
    }

    fn wrong(&self, order: &B256, expected: State) -> Revert {
        IEscrow::WrongState {
            order: *order,
            expected: expected as u8,
            found: self.state as u8,
        }
        .into()
    }

    /// In the word's four quarters: `state (1 byte) || since_block (7)`, `topped_up (4) || restored (4)`, and in the
    /// other two `zero (1) || started_at (5) || finished_at (5) || beat_at (5)`: five bytes of seconds reach beyond the
    /// year 30000. Settled: `state (1) || receipt (31)`.
    pub fn pack(&self) -> B256 {
        if self.state == State::Settled {
            let mut word = self.receipt;
            word.0[0] = self.state as u8;
            return word;
        }
        let times = u128::from(self.started_at) << 80
            | u128::from(self.finished_at) << 40
            | u128::from(self.beat_at);
        let [low, high] = [times as u64, (times >> 64) as u64];
        let rest = u64::from(self.topped_up) << 32 | u64::from(self.restored);
        let first = (self.state as u64) << 56 | self.since_block;
        U256::from_limbs([low, high, rest, first]).into()
    }

    /// Reads what [`Self::pack`] wrote.
    pub fn unpack(word: &B256) -> Self {
        const SECONDS: u64 = (1 << 40) - 1;
        let state = State::from_u8(word.0[0]);
        if state == State::Settled {
            let mut receipt = *word;
            receipt.0[0] = 0;
            return Self::settled(receipt);
        }
        let [low, high, rest, first] = *U256::from_be_bytes(word.0).as_limbs();
        let times = u128::from(high) << 64 | u128::from(low);
        let seconds = |shift: u32| (times >> shift) as u64 & SECONDS;
        Self {
            state,
            since_block: first << 8 >> 8,
            started_at: seconds(80),
            finished_at: seconds(40),
            beat_at: seconds(0),
            topped_up: (rest >> 32) as u32,
            restored: rest as u32 != 0,
            receipt: B256::ZERO,
        }
    }
}

/// Whether a verdict shows the clauses of the order's compute leg that are judged while it runs.
fn compute_holds(terms: &Terms, verdict: &Verdict) -> bool {
    let held = LegClauses::from_be_bytes(verdict.clauses.to_be_bytes());
    let mut legs = terms.legs.iter().enumerate();
    legs.any(|(index, leg)| {
        let due = Clauses(leg.clauses).intersection(Clauses::AT_START);
        is_compute(leg) && held.leg(index).covers(due)
    })
}

fn only_provider(terms: &Terms, caller: &Address) -> Result<(), Revert> {
    if *caller == terms.provider {
        return Ok(());
    }
    Err(IEscrow::NotProvider {
        caller: *caller,
        provider: terms.provider,
    }
    .into())
}

/// The last second of a deadline still counts.
pub(crate) fn before(deadline: u64, now: u64) -> Result<(), Revert> {
    if now <= deadline {
        return Ok(());
    }
    Err(IEscrow::DeadlinePassed {
        deadline,
        time: now,
    }
    .into())
}
