//! What should come of every step: a ledger in plain numbers, written from the protocol's text and
//! sharing no code with the contracts.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use vouch_protocol::Phase;

use crate::disputes::{Disputed, RESOLVERS};
use crate::market::{
    BOND, BUYERS, DATASET_OWNER, DATASET_PRICE, FEE, MAX_DURATION, MAX_USES, MAX_USES_PER_BUYER,
    MINTED, MODEL_OWNER, MODEL_PRICE, OPERATORS, PACE, PROVIDER, QUORUM, RATE, VOLUME,
};
use crate::step::{Finding, Mode, Twist};

/// Where an order stands; the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the protocol's names")]
pub enum State {
    Placed = 1,
    Accepted = 2,
    Running = 3,
    Finished = 4,
    Settled = 5,
    Refunded = 6,
    Disputed = 7,
}

/// An order, as far as money is concerned.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id on chain.
    pub id: B256,
    /// Who pays.
    pub buyer: usize,
    /// In which token.
    pub token: usize,
    /// Seconds for disputes.
    pub window: u64,
    /// Millionths for the marketplace.
    pub marketplace: u32,
    /// When it was placed: deadlines follow in steps of [`PACE`].
    pub placed_at: u64,
    /// Where it stands.
    pub state: State,
    started_at: u64,
    finished_at: u64,
    /// Until when heartbeats attest compute.
    beat_at: u64,
    /// Seconds of compute that were paid for later.
    pub topped_up: u64,
    /// The finish verdict: when it was observed, and whether the dataset's condition holds.
    finding: (u64, bool),
    device: u8,
    /// Refunded: its volume and uses are for sale again.
    restored: bool,
    /// Who disputed it, and who decides.
    pub dispute: Option<Disputed>,
}

impl Order {
    fn deadline(&self) -> u64 {
        let steps = match self.state {
            State::Placed => 1,
            State::Accepted => 2,
            _ => 3,
        };
        self.placed_at + steps * PACE
    }

    /// The moment at which what may be done with the order changes.
    pub fn boundary(&self) -> u64 {
        match self.state {
            State::Finished => self.finished_at + self.window,
            State::Disputed => self.dispute.map_or(0, |dispute| dispute.until),
            _ => self.deadline(),
        }
    }

    /// Seconds of compute that are paid for.
    pub(crate) fn longest(&self) -> u128 {
        u128::from(MAX_DURATION) + u128::from(self.topped_up)
    }

    /// Whether money can no longer move.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Settled | State::Refunded)
    }

    /// Whether a deadline ends it at `now`.
    pub fn expires(&self, now: u64) -> bool {
        match self.state {
            State::Placed | State::Accepted | State::Running => now > self.deadline(),
            State::Disputed => now > self.boundary(),
            _ => false,
        }
    }
}

/// A verdict as the model sees it.
#[derive(Clone, Copy, Debug)]
pub struct Submission {
    /// Which order, by its place.
    pub order: usize,
    /// The phase it is about.
    pub phase: Phase,
    /// What it says.
    pub finding: Finding,
    /// When the evidence was observed.
    pub observed_at: u64,
    /// Who signed, one bit for each key.
    pub signers: u8,
    /// On which device.
    pub device: u8,
    /// What is wrong with it.
    pub twist: Twist,
}

/// The market in plain numbers.
#[derive(Clone, Debug)]
pub struct Model {
    /// Seconds of Unix time.
    pub now: u64,
    /// No new orders.
    pub paused: bool,
    /// Who decides disputes that are opened.
    pub resolver: Address,
    /// How each token behaves.
    pub modes: [Mode; 2],
    /// Everything ever ordered.
    pub orders: Vec<Order>,
    /// Numbers of the keys that are operators'.
    pub operators: BTreeSet<usize>,
    /// Addresses of the keys, ascending.
    pub signers: Vec<Address>,
    /// Held by each account, of each token.
    pub balances: BTreeMap<(usize, Address), u128>,
    /// Owed by the escrow to each account, of each token.
    pub credits: BTreeMap<(usize, Address), u128>,
    /// Owed by the escrow altogether, of each token.
    pub owed: [u128; 2],
    /// Uses left of each token's offers.
    pub volume: [u64; 2],
    /// Uses counted for the dataset's policy, in total and by buyer.
    pub uses: (u64, [u64; 2]),
    /// Order and last second, by device.
    devices: BTreeMap<u8, (usize, u64)>,
    /// What goes out at the end of the transaction: one transfer to each receiver.
    due: Vec<(usize, Address, u128)>,
}

impl Model {
    /// A fresh market.
    pub fn new(now: u64, signers: Vec<Address>) -> Self {
        let payers = [PROVIDER, BUYERS[0], BUYERS[1]];
        let balances = payers
            .into_iter()
            .flat_map(|payer| [((0, payer), MINTED), ((1, payer), MINTED)])
            .collect();
        Self {
            now,
            paused: false,
            resolver: RESOLVERS[1],
            modes: [Mode::Honest; 2],
            orders: Vec::new(),
            operators: (0..OPERATORS).collect(),
            signers,
            balances,
            credits: BTreeMap::new(),
            owed: [0; 2],
            volume: [VOLUME; 2],
            uses: (0, [0; 2]),
            devices: BTreeMap::new(),
            due: Vec::new(),
        }
    }

    /// Whether a token lets itself be taken in.
    fn takes_in(&self, token: usize) -> bool {
        matches!(
            self.modes[token],
            Mode::Honest | Mode::Silent | Mode::Reenters
        )
    }

    /// What is left to give of an amount once credit has been spent on it.
    fn rest(&self, token: usize, from: Address, amount: u128) -> u128 {
        let credit = self.credits.get(&(token, from)).copied();
        amount.saturating_sub(credit.unwrap_or_default())
    }

    /// Whether an account can give an amount: out of its credit, and what that does not cover out of its
    /// balance.
    pub(crate) fn can_give(&self, token: usize, from: Address, amount: u128) -> bool {
        let held = self.balances.get(&(token, from)).copied();
        let rest = self.rest(token, from, amount);
        rest == 0 || self.takes_in(token) && held.unwrap_or_default() >= rest
    }

    pub(crate) fn pull(&mut self, token: usize, from: Address, amount: u128) {
        let rest = self.rest(token, from, amount);
        if let Some(credit) = self.credits.get_mut(&(token, from)) {
            *credit -= amount - rest;
        }
        if rest > 0 {
            *self.balances.entry((token, from)).or_default() -= rest;
            self.owed[token] += rest;
        }
    }

    pub(crate) fn pay(&mut self, token: usize, to: Address, amount: u128) {
        let same = |due: &&mut (usize, Address, u128)| (due.0, due.1) == (token, to);
        match self.due.iter_mut().find(same) {
            Some(due) => due.2 += amount,
            None => self.due.push((token, to, amount)),
        }
    }

    /// The transaction ends: pays what is due, or credits it where the token does not pay.
    pub fn end_transaction(&mut self) {
        for (token, to, amount) in std::mem::take(&mut self.due) {
            if amount == 0 {
                continue;
            }
            self.owed[token] -= amount;
            if !self.push(token, to, amount) {
                self.owed[token] += amount;
                *self.credits.entry((token, to)).or_default() += amount;
            }
        }
    }

    fn push(&mut self, token: usize, to: Address, amount: u128) -> bool {
        let arrives = match self.modes[token] {
            Mode::Honest | Mode::Silent | Mode::Reenters => amount,
            Mode::TakesFee => amount - amount / 100 - 1,
            Mode::Reverts | Mode::Refuses | Mode::Burns => return false,
        };
        *self.balances.entry((token, to)).or_default() += arrives;
        true
    }

    /// An order that is not placed yet.
    pub fn order(&self, buyer: usize, token: usize, window: u64, marketplace: u32) -> Order {
        Order {
            id: B256::ZERO,
            buyer,
            token,
            window,
            marketplace,
            placed_at: self.now,
            state: State::Placed,
            started_at: 0,
            finished_at: 0,
            beat_at: 0,
            topped_up: 0,
            finding: (0, false),
            device: 0,
            restored: false,
            dispute: None,
        }
    }

    /// Whether an order may be placed; `again`: with terms that were placed before.
    pub fn may_place(&self, order: &Order, again: bool) -> bool {
        !self.paused
            && !again
            && self.volume[order.token] > 0
            && self.uses.0 < MAX_USES
            && self.uses.1[order.buyer] < MAX_USES_PER_BUYER
            && self.can_give(order.token, BUYERS[order.buyer], order.locked())
    }

    /// An order was placed.
    pub fn place(&mut self, id: B256, order: Order) {
        self.pull(order.token, BUYERS[order.buyer], order.locked());
        self.volume[order.token] -= 1;
        self.uses.0 += 1;
        self.uses.1[order.buyer] += 1;
        self.orders.push(Order { id, ..order });
    }

    /// Whether the provider may accept.
    pub fn may_accept(&self, order: usize, by_stranger: bool) -> bool {
        let order = &self.orders[order];
        !by_stranger
            && order.state == State::Placed
            && self.now <= order.deadline()
            && self.can_give(order.token, PROVIDER, BOND)
    }

    /// The provider accepted.
    pub fn accept(&mut self, order: usize) {
        self.orders[order].state = State::Accepted;
        self.pull(self.orders[order].token, PROVIDER, BOND);
    }

    /// What somebody would lock for more compute; none where the order does not take it.
    pub fn top_up_price(&self, place: usize, duration: u32) -> Option<u128> {
        let order = &self.orders[place];
        let waits = order.state <= State::Running && self.now <= order.deadline();
        let topped_up = order.topped_up + u64::from(duration);
        let fits = duration > 0 && topped_up <= u32::MAX.into();
        let longer = Order {
            topped_up,
            ..order.clone()
        };
        (waits && fits).then(|| longer.price() - order.price())
    }

    /// Somebody locked it.
    pub fn top_up(&mut self, place: usize, by: Address, duration: u32, price: u128) {
        self.pull(self.orders[place].token, by, price);
        self.orders[place].topped_up += u64::from(duration);
    }

    /// Whether a verdict counts.
    pub fn may_submit(&self, given: &Submission) -> bool {
        let order = &self.orders[given.order];
        let phase = match given.phase {
            Phase::Start => State::Accepted,
            Phase::Finish | Phase::Heartbeat => State::Running,
        };
        let signed = (0..self.signers.len()).filter(|key| given.signers >> key & 1 == 1);
        let signed: Vec<usize> = signed.collect();
        let accepted = matches!(given.finding, Finding::Accepted { .. });
        let intact = match given.twist {
            Twist::None => true,
            // A rejection says nothing of inputs.
            Twist::OtherInputs => !accepted,
            _ => false,
        };
        let busy = self
            .devices
            .get(&given.device)
            .is_some_and(|&(holder, until)| holder != given.order && self.now <= until);
        intact
            && order.state == phase
            && self.now <= order.deadline()
            && given.observed_at <= self.now
            && given.observed_at >= order.started_at
            && given.finding != Finding::Inconclusive
            && signed.len() >= QUORUM
            && signed.iter().all(|key| self.operators.contains(key))
            && (given.phase != Phase::Start || !accepted || !busy)
            && (given.phase != Phase::Heartbeat || given.observed_at > order.beat_at)
    }

    /// A verdict counted.
    pub fn submit(&mut self, given: &Submission) {
        let place = given.order;
        if let Finding::Accepted { dataset } = given.finding {
            let order = &mut self.orders[place];
            match given.phase {
                Phase::Finish => {
                    order.state = State::Finished;
                    order.finished_at = self.now;
                    order.finding = (given.observed_at, dataset);
                }
                Phase::Heartbeat => {
                    order.beat_at = given.observed_at;
                    return;
                }
                Phase::Start => {
                    order.state = State::Running;
                    order.started_at = given.observed_at;
                    order.device = given.device;
                    let until = order.placed_at + 3 * PACE;
                    self.devices.insert(given.device, (place, until));
                    return;
                }
            }
        }
        // Any other verdict gives back the devices that it names and the order holds.
        if self
            .devices
            .get(&given.device)
            .is_some_and(|(holder, _)| *holder == place)
        {
            self.devices.remove(&given.device);
        }
        self.reward(self.orders[place].token, given.signers);
        match given.finding {
            Finding::Accepted { .. } if self.orders[place].window == 0 => self.settle(place),
            Finding::Accepted { .. } => {}
            finding => self.give_back(place, finding == Finding::Forged, false),
        }
    }

    /// Signers share the fee; what does not divide is the first's.
    fn reward(&mut self, token: usize, signers: u8) {
        let signed: Vec<Address> = (0..self.signers.len())
            .filter(|key| signers >> key & 1 == 1)
            .map(|key| self.signers[key])
            .collect();
        let count = signed.len() as u128;
        for (place, signer) in signed.into_iter().enumerate() {
            let rest = if place == 0 { FEE % count } else { 0 };
            *self.credits.entry((token, signer)).or_default() += FEE / count + rest;
        }
    }

    /// Whether a finished order may be settled.
    pub fn may_settle(&self, order: usize) -> bool {
        let order = &self.orders[order];
        order.state == State::Finished && self.now >= order.finished_at + order.window
    }

    /// Everybody gets what the verdict says.
    pub fn settle(&mut self, place: usize) {
        let order = self.orders[place].clone();
        self.orders[place].state = State::Settled;
        let (observed_at, dataset) = order.finding;
        let seconds = u128::from(observed_at - order.started_at).min(order.longest());
        let dataset = if dataset { DATASET_PRICE } else { 0 };
        let compute = RATE * seconds;
        let paid = dataset + MODEL_PRICE + compute;
        let shares = order.shares(paid);
        let rest = order.price() - paid - order.share(paid);
        let token = order.token;
        self.pay(token, DATASET_OWNER, dataset);
        self.pay(token, MODEL_OWNER, MODEL_PRICE);
        self.pay(token, PROVIDER, compute + BOND);
        for (who, share) in shares {
            self.pay(token, who, share);
        }
        self.pay(token, BUYERS[order.buyer], rest);
    }

    /// Whether a deadline ends the order now.
    pub fn may_refund(&self, order: usize) -> bool {
        self.orders[order].expires(self.now)
    }

    /// A deadline ended the order.
    pub fn refund(&mut self, place: usize) {
        match self.orders[place].state {
            State::Disputed => self.give_up(place),
            _ => self.expire(place),
        }
    }

    /// What heartbeats attested is paid, the rest given back.
    fn expire(&mut self, place: usize) {
        let order = self.orders[place].clone();
        let seconds = order.beat_at.saturating_sub(order.started_at);
        let compute = RATE * u128::from(seconds).min(order.longest());
        self.give_back(place, false, true);
        self.pay(order.token, PROVIDER, compute);
        for (who, share) in order.shares(compute) {
            self.pay(order.token, who, share);
        }
        let buyer = BUYERS[order.buyer];
        let due = self.due.iter_mut();
        let mut to_buyer = due.filter(|due| (due.0, due.1) == (order.token, buyer));
        if let Some(due) = to_buyer.next() {
            due.2 -= compute + order.share(compute);
        }
    }

    fn give_back(&mut self, place: usize, forged: bool, fee: bool) {
        let order = self.orders[place].clone();
        self.orders[place].state = State::Refunded;
        let bond = if order.state >= State::Accepted {
            BOND
        } else {
            0
        };
        let (to_buyer, to_provider) = if forged { (bond, 0) } else { (0, bond) };
        let fee = if fee { FEE } else { 0 };
        self.pay(order.token, PROVIDER, to_provider);
        self.pay(
            order.token,
            BUYERS[order.buyer],
            order.price() + fee + to_buyer,
        );
    }

    /// Whether a refunded order's volume and uses may be given back.
    pub fn may_restore(&self, order: usize) -> bool {
        let order = &self.orders[order];
        order.state == State::Refunded && !order.restored
    }

    /// A refunded order's volume and uses were given back.
    pub fn restore(&mut self, place: usize) {
        self.orders[place].restored = true;
        let (token, buyer) = (self.orders[place].token, self.orders[place].buyer);
        self.volume[token] += 1;
        self.uses.0 -= 1;
        self.uses.1[buyer] -= 1;
    }

    /// What an account may withdraw, if the token lets it.
    pub fn may_withdraw(&self, token: usize, account: Address) -> Option<u128> {
        let credit = self
            .credits
            .get(&(token, account))
            .copied()
            .unwrap_or_default();
        let pays = !matches!(
            self.modes[token],
            Mode::Reverts | Mode::Refuses | Mode::Burns
        );
        (credit > 0 && pays).then_some(credit)
    }

    /// An account withdrew all it is owed.
    pub fn withdraw(&mut self, token: usize, account: Address) {
        let credit = self.credits.remove(&(token, account)).unwrap_or_default();
        self.owed[token] -= credit;
        self.push(token, account, credit);
    }

    /// Whether the governor may exchange one operator for another.
    pub fn may_rotate(&self, out: usize, into: usize) -> bool {
        // Removals come before additions.
        self.operators.contains(&out) && (out == into || !self.operators.contains(&into))
    }

    /// The governor exchanged one operator for another.
    pub fn rotate(&mut self, out: usize, into: usize) {
        self.operators.remove(&out);
        self.operators.insert(into);
    }
}
