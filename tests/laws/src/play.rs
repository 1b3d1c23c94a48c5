//! Plays steps against the contracts and the model, and compares after each.

use alloy::primitives::{Address, B256, U256};
use anyhow::{Context, Result, bail, ensure};
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_abi::{OrderRequest, Terms, Verdict};
use vouch_protocol::{Clause, Phase, Reason};

use crate::lab::Reverted;
use crate::market::{
    BUYERS, DATASET_OWNER, GOVERNOR, MAX_USES, MODEL_OWNER, PROVIDER, STRANGER, VOLUME, verdict,
};
use crate::model::{Model, State, Submission};
use crate::shares::{self, MARKETPLACE, TREASURY};
use crate::step::{About, Finding, Joint, Mode, Step, Twist};
use crate::twist::spoil;
use crate::world::World;

/// After this many steps everything is compared, not only what the step touched.
const AUDIT: usize = 8;
/// Longer than any deadline of an order placed before.
const LONG: u64 = 1_000_000;

/// How often what happened, for judging whether a run meant anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps tried.
    pub steps: u64,
    /// Steps that changed something.
    pub effective: u64,
    /// Orders placed.
    pub placed: u64,
    /// Orders that were paid.
    pub settled: u64,
    /// Orders that were refunded.
    pub refunded: u64,
    /// Orders that were disputed.
    pub disputed: u64,
    /// Submissions of verdicts that were refused.
    pub refused_verdicts: u64,
}

impl Tally {
    /// Adds another run's.
    pub const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.effective += other.effective;
        self.placed += other.placed;
        self.settled += other.settled;
        self.refunded += other.refunded;
        self.disputed += other.disputed;
        self.refused_verdicts += other.refused_verdicts;
    }
}

/// The contracts, the model, and what has to be remembered to go on.
#[derive(Debug)]
pub struct Play<W> {
    pub(crate) world: W,
    pub(crate) model: Model,
    pub(crate) terms: Vec<Terms>,
    pub(crate) requests: Vec<(usize, OrderRequest)>,
    pub(crate) submissions: Vec<(Submission, IEscrow::submitVerdictCall)>,
    /// The verdict that finished each order.
    pub(crate) finished: Vec<Option<Verdict>>,
    pub(crate) tally: Tally,
}

/// Plays a whole sequence and then brings everything to its end.
///
/// # Errors
/// A law is broken; the error says which, after which step.
pub fn play<W: World>(steps: &[Step]) -> Result<Tally> {
    let mut play = Play::<W>::new();
    for (number, step) in (1..).zip(steps) {
        let before = play.tally.effective;
        play.step(step)
            .and_then(|()| play.compare(play.tally.effective > before, number % AUDIT == 0))
            .with_context(|| format!("after step {number}, {step:?}"))?;
    }
    play.end().context("at the end")
}

impl<W: World> Play<W> {
    fn new() -> Self {
        let world = W::fresh();
        Self {
            model: Model::new(world.now(), world.signers()),
            world,
            terms: Vec::new(),
            requests: Vec::new(),
            submissions: Vec::new(),
            finished: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The number of an order that exists.
    pub(crate) fn order(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.terms.len())
    }

    /// Everyone who may hold tokens or credits.
    fn accounts(&self) -> Vec<Address> {
        let fixed = [
            DATASET_OWNER,
            MODEL_OWNER,
            PROVIDER,
            BUYERS[0],
            BUYERS[1],
            TREASURY,
            MARKETPLACE,
        ];
        let signers = self.model.signers.iter().copied();
        fixed.into_iter().chain(signers).collect()
    }

    /// The contracts' answer must be the model's.
    pub(crate) fn agree<T>(&mut self, expected: bool, found: &Result<T, Reverted>) -> Result<bool> {
        match (expected, found) {
            (true, Err(data)) => bail!("expected to succeed, but it reverted with {data}"),
            (false, Ok(_)) => bail!("expected a refusal, but it succeeded"),
            _ => {}
        }
        self.tally.effective += u64::from(expected);
        Ok(expected)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        self.tally.steps += 1;
        match *step {
            Step::Pass { seconds } => self.pass(seconds),
            Step::Reach { order, after } => {
                if let Some(order) = self.order(order) {
                    let order = &self.model.orders[order];
                    let until = order.boundary().saturating_add_signed(after);
                    self.pass(until.saturating_sub(self.model.now));
                }
            }
            Step::Place {
                buyer,
                token,
                window,
                marketplace,
                again,
            } => self.place((buyer, token), window, marketplace, again)?,
            Step::Accept { order, by_stranger } => {
                let Some(order) = self.order(order) else {
                    return Ok(());
                };
                let terms = self.terms[order].clone();
                let from = if by_stranger { STRANGER } else { PROVIDER };
                let expected = self.model.may_accept(order, by_stranger);
                let found = self
                    .world
                    .tell(from, IEscrowCalls::accept(IEscrow::acceptCall { terms }));
                if self.agree(expected, &found)? {
                    self.model.accept(order);
                }
            }
            Step::Verdict {
                order,
                about,
                finding,
                age,
                signers,
                device,
                twist,
            } => {
                let Some(order) = self.order(order) else {
                    return Ok(());
                };
                let now = self.model.now;
                let phase = match about {
                    About::Next if self.model.orders[order].state < State::Running => Phase::Start,
                    About::Start => Phase::Start,
                    About::Next | About::Finish => Phase::Finish,
                    About::Beat => Phase::Heartbeat,
                };
                let given = Submission {
                    order,
                    phase,
                    finding,
                    observed_at: now.saturating_add_signed(-age),
                    signers,
                    device,
                    twist,
                };
                let call = self.submission(&given);
                self.submit(given, call)?;
            }
            Step::TopUp {
                order,
                by,
                duration,
            } => {
                if let Some(order) = self.order(order) {
                    let by = [BUYERS[0], BUYERS[1], STRANGER][by];
                    self.top_up(order, by, duration)?;
                }
            }
            Step::Replay { submission } => {
                let Some(at) = submission.checked_rem(self.submissions.len()) else {
                    return Ok(());
                };
                let (given, call) = self.submissions[at].clone();
                self.submit(given, call)?;
            }
            Step::Settle { order } => {
                let Some(order) = self.order(order) else {
                    return Ok(());
                };
                self.settle(order)?;
            }
            Step::Refund { order } => {
                let Some(order) = self.order(order) else {
                    return Ok(());
                };
                let terms = self.terms[order].clone();
                let expected = self.model.may_refund(order);
                let found = self.world.tell(
                    STRANGER,
                    IEscrowCalls::refund(IEscrow::refundCall { terms }),
                );
                if self.agree(expected, &found)? {
                    self.model.refund(order);
                }
            }
            Step::Restore { order } => {
                let Some(order) = self.order(order) else {
                    return Ok(());
                };
                let terms = self.terms[order].clone();
                let expected = self.model.may_restore(order);
                let found = self.world.tell(
                    STRANGER,
                    IEscrowCalls::restore(IEscrow::restoreCall { terms }),
                );
                if self.agree(expected, &found)? {
                    self.model.restore(order);
                }
            }
            Step::Together {
                what,
                orders: [first, second],
                packed,
            } => {
                let (Some(first), Some(second)) = (self.order(first), self.order(second)) else {
                    return Ok(());
                };
                self.together(what, [first, second], packed)?;
            }
            Step::Withdraw { account, token } => {
                let account = self.accounts()[account];
                self.withdraw(account, token)?;
            }
            Step::Misbehave { token, mode, order } => self.misbehave(token, mode, order)?,
            Step::Rotate { out, into } => self.rotate(out, into)?,
            Step::Pause { paused } => {
                let found = self.world.tell(
                    GOVERNOR,
                    IEscrowCalls::setPaused(IEscrow::setPausedCall { paused }),
                );
                self.agree(true, &found)?;
                self.model.paused = paused;
            }
            Step::Intrude { call, order } => self.intrude(call, order)?,
            Step::Dispute(step) => self.disputes(step)?,
        }
        self.model.end_transaction();
        Ok(())
    }

    fn pass(&mut self, seconds: u64) {
        self.world.pass(seconds);
        self.model.now += seconds;
        self.tally.effective += 1;
    }

    fn place(
        &mut self,
        (buyer, token): (usize, usize),
        window: u64,
        marketplace: u32,
        again: bool,
    ) -> Result<()> {
        let last = self.requests.last().filter(|_| again).cloned();
        let again = last.is_some();
        let salt = self.requests.len() as u64;
        let (buyer, request) = last.unwrap_or_else(|| {
            let mut request = self.world.request(token, window, salt);
            shares::agree(&mut request, marketplace);
            (buyer, request)
        });
        let order = self.model.order(buyer, token, window, marketplace);
        let expected = self.model.may_place(&order, again);
        let found = self.world.place(BUYERS[buyer], request.clone());
        if self.agree(expected, &found)?
            && let Ok((id, terms)) = found
        {
            self.model.place(id, order);
            self.terms.push(terms);
            self.requests.push((buyer, request));
            self.finished.push(None);
            self.tally.placed += 1;
        }
        Ok(())
    }

    fn submit(&mut self, given: Submission, call: IEscrow::submitVerdictCall) -> Result<()> {
        let expected = self.model.may_submit(&given);
        let found = self
            .world
            .tell(STRANGER, IEscrowCalls::submitVerdict(call.clone()));
        if self.agree(expected, &found)? {
            if given.phase == Phase::Finish && matches!(given.finding, Finding::Accepted { .. }) {
                self.finished[given.order] = Some(call.verdict.clone());
            }
            self.model.submit(&given);
        } else {
            self.tally.refused_verdicts += 1;
        }
        self.submissions.push((given, call));
        Ok(())
    }

    /// The call of a submission, with what is wrong with it.
    fn submission(&self, given: &Submission) -> IEscrow::submitVerdictCall {
        let mut terms = self.terms[given.order].clone();
        let phase = given.phase;
        let id = self.model.orders[given.order].id;
        let mut verdict = verdict(self.world.now(), id, &terms, phase, given.device);
        verdict.observedAt = given.observed_at;
        verdict.reason = match given.finding {
            Finding::Accepted { .. } => Reason::Accepted,
            Finding::Policy => Reason::DebugEnabled,
            Finding::Forged => Reason::GpuSignatureInvalid,
            Finding::Inconclusive => Reason::CollateralExpired,
        }
        .code();
        if given.finding == (Finding::Accepted { dataset: false }) {
            verdict.clauses &= !U256::from(Clause::DebugOff.bit().0);
        }
        let signers: Vec<usize> = (0..self.model.signers.len())
            .filter(|key| given.signers >> key & 1 == 1)
            .collect();
        match given.twist {
            Twist::OtherInputs => verdict.inputs = B256::repeat_byte(1),
            Twist::OtherTerms => terms.bond += U256::from(1),
            _ => {}
        }
        let (chain, (attestation, other)) = (self.world.chain_id(), self.world.domains());
        let sign = |verdict: &Verdict| self.world.sign(verdict, &signers, chain, attestation);
        let signatures = match given.twist {
            Twist::OtherChain => self.world.sign(&verdict, &signers, chain + 1, attestation),
            Twist::OtherContract => self.world.sign(&verdict, &signers, chain, other),
            Twist::OtherOrder => sign(&Verdict {
                order: B256::repeat_byte(0x0d),
                ..verdict.clone()
            }),
            Twist::Tampered => {
                let signed = sign(&verdict);
                verdict.sessionKey = B256::repeat_byte(0x66);
                signed
            }
            twist => spoil(twist, &sign(&verdict)),
        };
        IEscrow::submitVerdictCall {
            terms,
            verdict,
            signatures,
        }
    }

    fn top_up(&mut self, order: usize, by: Address, duration: u32) -> Result<()> {
        let token = self.model.orders[order].token;
        let price = self.model.top_up_price(order, duration);
        let price = price.filter(|price| self.model.can_give(token, by, *price));
        let terms = self.terms[order].clone();
        let call = IEscrow::topUpCall { terms, duration };
        let found = self.world.tell(by, IEscrowCalls::topUp(call));
        if self.agree(price.is_some(), &found)?
            && let Some(price) = price
        {
            self.model.top_up(order, by, duration, price);
        }
        Ok(())
    }

    fn settle(&mut self, order: usize) -> Result<()> {
        let terms = self.terms[order].clone();
        let expected = self.model.may_settle(order);
        let verdict = self.finished[order].clone().unwrap_or_default();
        let found = self.world.tell(
            STRANGER,
            IEscrowCalls::settle(IEscrow::settleCall { terms, verdict }),
        );
        if self.agree(expected, &found)? {
            self.model.settle(order);
        }
        Ok(())
    }

    /// All or nothing, and no order otherwise than alone.
    fn together(&mut self, what: Joint, orders: [usize; 2], packed: bool) -> Result<()> {
        let mut after = self.model.clone();
        let mut expected = true;
        let mut calls = Vec::with_capacity(2);
        for order in orders {
            let terms = self.terms[order].clone();
            let (may, call) = match what {
                Joint::Accept => (
                    after.may_accept(order, false),
                    IEscrowCalls::accept(IEscrow::acceptCall { terms }),
                ),
                Joint::Settle => {
                    let verdict = self.finished[order].clone().unwrap_or_default();
                    let call = IEscrow::settleCall { terms, verdict };
                    (after.may_settle(order), IEscrowCalls::settle(call))
                }
                Joint::Refund => (
                    after.may_refund(order),
                    IEscrowCalls::refund(IEscrow::refundCall { terms }),
                ),
            };
            calls.push(call);
            expected &= may;
            if expected {
                match what {
                    Joint::Accept => after.accept(order),
                    Joint::Settle => {
                        after.settle(order);
                        // The annex pays what it settles by itself.
                        after.end_transaction();
                    }
                    Joint::Refund => after.refund(order),
                }
            }
        }
        let found = self.world.together(PROVIDER, calls, packed);
        if self.agree(expected, &found)? {
            after.end_transaction();
            self.model = after;
        }
        Ok(())
    }

    fn withdraw(&mut self, account: Address, token: usize) -> Result<()> {
        let expected = self.model.may_withdraw(token, account);
        let token_address = self.world.request(token, 0, 0).legs[0].offer.token;
        let call = IEscrow::withdrawCall {
            token: token_address,
        };
        let found = self.world.tell(account, IEscrowCalls::withdraw(call));
        if self.agree(expected.is_some(), &found)? {
            self.model.withdraw(token, account);
        }
        Ok(())
    }

    fn misbehave(&mut self, token: usize, mode: Mode, order: usize) -> Result<()> {
        let call = self.order(order).map(|order| {
            let terms = self.terms[order].clone();
            IEscrowCalls::refund(IEscrow::refundCall { terms })
        });
        self.world.misbehave(token, mode, call)?;
        self.model.modes[token] = mode;
        Ok(())
    }

    fn rotate(&mut self, out: usize, into: usize) -> Result<()> {
        let expected = self.model.may_rotate(out, into);
        let signers = &self.model.signers;
        let found = self.world.rotate(signers[out], signers[into]);
        if self.agree(expected, &found)? {
            self.model.rotate(out, into);
        }
        Ok(())
    }

    /// What is not for strangers is refused to them.
    fn intrude(&mut self, call: usize, order: usize) -> Result<()> {
        let terms = self.order(order).map(|order| self.terms[order].clone());
        let found = self.world.intrude(call, terms);
        self.agree(false, &found)?;
        Ok(())
    }

    /// The laws. Where nothing has changed the escrow need not be asked what it owes.
    fn compare(&mut self, changed: bool, everything: bool) -> Result<()> {
        for token in 0..2 {
            let held = self.world.balance(token, None);
            let owed = match changed {
                true => self.world.owed(token)?,
                false => self.model.owed[token],
            };
            ensure!(held == owed, "token {token}: holds {held}, owes {owed}");
            let expected = self.model.owed[token];
            ensure!(
                owed == expected,
                "token {token}: expected to owe {expected}, owes {owed}"
            );
            for account in self.accounts() {
                let expected = self.model.balances.get(&(token, account)).copied();
                let (expected, found) = (
                    expected.unwrap_or_default(),
                    self.world.balance(token, Some(account)),
                );
                ensure!(
                    found == expected,
                    "token {token}: {account} expected {expected}, holds {found}"
                );
            }
        }
        if everything {
            self.audit()?;
        }
        Ok(())
    }

    /// What costs a call for each account and order.
    fn audit(&mut self) -> Result<()> {
        for place in 0..self.terms.len() {
            let order = &self.model.orders[place];
            let (id, expected) = (order.id, order.state as u8);
            let found = self.world.state(id)?;
            ensure!(
                found == expected,
                "order {place}: expected state {expected}, found {found}"
            );
        }
        for token in 0..2 {
            for account in self.accounts() {
                let expected = self.model.credits.get(&(token, account)).copied();
                let (expected, found) = (
                    expected.unwrap_or_default(),
                    self.world.credit(token, account)?,
                );
                ensure!(
                    found == expected,
                    "token {token}: {account} expected to be owed {expected}, is owed {found}"
                );
            }
            let reentered = self.world.reentered(token)?;
            ensure!(!reentered, "token {token} got in while it was called");
            let left = self.world.volume(token)?;
            let expected = self.model.volume[token];
            ensure!(
                left == expected && expected <= VOLUME,
                "token {token}: expected {expected} uses for sale, found {left}"
            );
        }
        let (uses, expected) = (self.world.uses()?, self.model.uses.0);
        ensure!(
            uses == expected && uses <= MAX_USES,
            "expected {expected} uses of at most {MAX_USES}, found {uses}"
        );
        Ok(())
    }

    /// Whatever happened: once the deadlines have passed, anybody ends every order, everybody gets
    /// all they are owed, and nothing is left over.
    fn end(mut self) -> Result<Tally> {
        self.pass(LONG);
        for place in 0..self.terms.len() {
            if self.model.orders[place].is_over() {
                continue;
            }
            let finished = self.model.orders[place].state == State::Finished;
            self.step(&if finished {
                Step::Settle { order: place }
            } else {
                Step::Refund { order: place }
            })?;
            ensure!(
                self.model.orders[place].is_over(),
                "nobody can end order {place}"
            );
            self.compare(true, false)?;
        }
        for place in 0..self.terms.len() {
            self.step(&Step::Restore { order: place })?;
        }
        for token in 0..2 {
            self.misbehave(token, Mode::Honest, 0)?;
            for account in self.accounts() {
                self.withdraw(account, token)?;
            }
            let left = self.model.owed[token];
            ensure!(left == 0, "token {token}: still owes {left}");
        }
        self.compare(true, true)?;
        for order in &self.model.orders {
            match order.state {
                State::Settled => self.tally.settled += 1,
                _ => self.tally.refunded += 1,
            }
        }
        Ok(self.tally)
    }
}
