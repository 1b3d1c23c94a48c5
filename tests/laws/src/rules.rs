//! The contracts' own rules without a machine: no calls, no gas, no encoding between contracts, and
//! signatures that only look like some. A step takes microseconds, so that a million can be played.
//!
//! What the contracts keep is kept here as they keep it, packed into words; what they decide is
//! decided by their functions. What is left out is what joins them, which [`Market`] plays.
//!
//! [`Market`]: crate::market::Market

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use alloy::primitives::{Address, B256, Bytes, U256};
use anyhow::Result;
use attestation::rules::Holder;
use escrow::flows::Flows;
use escrow::money::{self, Split};
use escrow::rules::{Effect, Record, State};
use offers::rules::Listing;
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_abi::call::Revert;
use vouch_abi::wire::{Request, RequestedLeg};
use vouch_abi::{Dispute, IUsage, LegRequest, OrderRequest, Receipt, Terms, Verdict, id, terms};
use vouch_client::verdict::SIGNATURE_LEN;
use vouch_protocol::statement::inputs_digest;

use crate::disputes::RESOLVERS;
use crate::lab::{GENESIS, Reverted};
use crate::market::{
    BUYERS, MAX_USES, MAX_USES_PER_BUYER, MINTED, OPERATORS, PROVIDER, QUORUM, request, wares,
};
use crate::shares::protocol_fee;
use crate::step::Mode;
use crate::world::World;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const ATTESTATION: Address = Address::repeat_byte(0xc2);
const ESCROW: Address = Address::repeat_byte(0xc3);
const TOKENS: [Address; 2] = [Address::repeat_byte(0xc0), Address::repeat_byte(0xc1)];
const KEYS: usize = 5;

/// The market as its rules alone.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) now: u64,
    pub(crate) block: u64,
    paused: bool,
    pub(crate) resolver: Address,
    modes: [Mode; 2],
    operators: BTreeSet<Address>,
    /// As the contracts keep them: orders, verdicts that may be disputed, offers, devices.
    orders: BTreeMap<B256, B256>,
    pub(crate) disputable: BTreeMap<B256, B256>,
    pub(crate) disputes: BTreeMap<B256, Dispute>,
    listings: BTreeMap<B256, B256>,
    devices: BTreeMap<B256, B256>,
    uses: u64,
    uses_by: BTreeMap<Address, u64>,
    balances: BTreeMap<(Address, Address), U256>,
    credits: BTreeMap<(Address, Address), U256>,
    owed: BTreeMap<Address, U256>,
}

fn key(number: usize) -> Address {
    Address::with_last_byte(number as u8 + 1)
}

/// The offers, by token.
fn legs(token: usize) -> &'static [LegRequest] {
    static LEGS: OnceLock<[Vec<LegRequest>; 2]> = OnceLock::new();
    &LEGS.get_or_init(|| TOKENS.map(wares))[token]
}

fn number(token: Address) -> usize {
    usize::from(token != TOKENS[0])
}

/// The dataset's offer, by token.
fn dataset(token: usize) -> B256 {
    static IDS: OnceLock<[B256; 2]> = OnceLock::new();
    IDS.get_or_init(|| [0, 1].map(|token| id::offer_id(&legs(token)[0].offer)))[token]
}

/// What stands for `r` in a signature: its digest and its signer. Of another digest it gives an
/// address that is nobody's, as with real ones.
fn mark(digest: B256, signer: Address) -> B256 {
    digest ^ signer.into_word()
}

fn recover(input: &[u8; 128]) -> Address {
    let (digest, r) = (&input[..32], &input[64..96]);
    Address::from_word(B256::from_slice(r) ^ B256::from_slice(digest))
}

/// A refusal without a contract to name it.
pub(crate) fn refusal(what: &str) -> Revert {
    Revert(what.as_bytes().to_vec())
}

impl Rules {
    fn deploy() -> Self {
        let listings = (0..2)
            .flat_map(legs)
            .map(|leg| (id::offer_id(&leg.offer), Listing::new(&leg.offer).pack()));
        let payers = [PROVIDER, BUYERS[0], BUYERS[1]];
        let endowed = payers
            .into_iter()
            .flat_map(|payer| TOKENS.map(|token| (token, payer)));
        Self {
            now: GENESIS,
            block: 1,
            paused: false,
            resolver: RESOLVERS[1],
            modes: [Mode::Honest; 2],
            operators: (0..OPERATORS).map(key).collect(),
            orders: BTreeMap::new(),
            disputable: BTreeMap::new(),
            disputes: BTreeMap::new(),
            listings: listings.collect(),
            devices: BTreeMap::new(),
            uses: 0,
            uses_by: BTreeMap::new(),
            balances: endowed
                .map(|holding| (holding, U256::from(MINTED)))
                .collect(),
            credits: BTreeMap::new(),
            owed: BTreeMap::new(),
        }
    }

    pub(crate) fn record(&self, order: B256) -> Record {
        Record::unpack(&self.orders.get(&order).copied().unwrap_or_default())
    }

    /// An order by its terms, as they are with what was paid for later.
    pub(crate) fn ordered(&self, mut terms: Terms) -> (B256, Terms, Record) {
        let order = id::order_id(CHAIN_ID, ESCROW, &terms);
        let record = self.record(order);
        let fitted = terms::extend(&mut terms, record.topped_up);
        assert!(fitted.is_some(), "it fitted when it was paid for");
        (order, terms, record)
    }

    pub(crate) fn keep(&mut self, order: B256, record: &Record) {
        self.orders.insert(order, record.pack());
    }

    fn order_placed(
        &mut self,
        buyer: Address,
        asked: OrderRequest,
    ) -> Result<(B256, Terms), Revert> {
        if self.paused {
            return Err(IEscrow::Paused {}.into());
        }
        let wanted = Request {
            legs: asked
                .legs
                .iter()
                .map(|leg| RequestedLeg {
                    offer: leg.offer.clone(),
                    any: leg.policy.any,
                    signature: leg.signature.clone(),
                    royalties: leg.royalties.clone(),
                })
                .collect(),
            requirements: asked.requirements,
            resultKey: asked.resultKey,
            purpose: asked.purpose,
            maxDuration: asked.maxDuration,
            deadlines: asked.deadlines,
            challengeWindow: asked.challengeWindow,
            bond: asked.bond,
            oracleFee: asked.oracleFee,
            maxProtocolFee: asked.maxProtocolFee,
            marketplaceFee: asked.marketplaceFee,
            salt: asked.salt,
        };
        let terms = terms::derive(&wanted, buyer, protocol_fee(), self.now)?;
        for leg in terms.legs.iter().filter(|leg| terms::uses_offer(leg)) {
            let mut listing = self.listing(leg.offer);
            listing.take(leg.offer, self.now, 1)?;
            self.listings.insert(leg.offer, listing.pack());
        }
        let order = id::order_id(CHAIN_ID, ESCROW, &terms);
        if self.orders.contains_key(&order) {
            return Err(refusal("placed before"));
        }
        self.keep(order, &Record::placed(self.block));
        self.reserve(&terms, &asked.legs)?;
        self.pull(terms.token, buyer, money::locked(&terms))?;
        Ok((order, terms))
    }

    fn reserve(&mut self, terms: &Terms, legs: &[LegRequest]) -> Result<(), Revert> {
        let (workload, publisher) = terms::workload(terms);
        let wanted = IUsage::Use {
            buyer: terms.buyer,
            provider: terms.provider,
            purpose: terms.purpose,
            maxDuration: terms.maxDuration,
            workload,
            publisher,
        };
        for leg in legs {
            let (policy, proof) = (&leg.policy, &leg.workloadProof);
            let required = usage::rules::required(policy)?;
            let id = id::policy_id(policy);
            usage::rules::check(policy, id, required, proof, &wanted, self.now)?;
            if policy.maxUses != 0 {
                let by = self.uses_by.entry(terms.buyer).or_default();
                let count = |used, limit| usage::rules::count(used, limit, 1);
                self.uses = count(self.uses, MAX_USES).ok_or_else(|| refusal("uses"))?;
                *by = count(*by, MAX_USES_PER_BUYER).ok_or_else(|| refusal("uses of a buyer"))?;
            }
        }
        Ok(())
    }

    fn listing(&self, offer: B256) -> Listing {
        Listing::unpack(self.listings.get(&offer).copied().unwrap_or_default())
    }

    fn answer(
        &mut self,
        from: Address,
        call: IEscrowCalls,
        flows: &mut Flows,
    ) -> Result<(), Revert> {
        let order = |terms: &Terms| id::order_id(CHAIN_ID, ESCROW, terms);
        match call {
            IEscrowCalls::topUp(IEscrow::topUpCall { terms, duration }) => {
                let (order, mut terms, record) = self.ordered(terms);
                let longer = record.top_up(&order, &terms, duration, self.now)?;
                let before = money::locked(&terms);
                terms::extend(&mut terms, longer.topped_up)
                    .and_then(|()| terms::checked_total(&terms))
                    .ok_or_else(|| refusal("total"))?;
                self.keep(order, &longer);
                flows.take(terms.token, money::locked(&terms) - before);
                Ok(())
            }
            IEscrowCalls::accept(IEscrow::acceptCall { terms }) => {
                let order = order(&terms);
                let record = self.record(order);
                let accepted = record.accept(&order, &terms, &from, self.now, self.block)?;
                self.keep(order, &accepted);
                flows.take(terms.token, terms.bond);
                Ok(())
            }
            IEscrowCalls::submitVerdict(call) => self.submit(&call, flows),
            IEscrowCalls::settle(IEscrow::settleCall { terms, verdict }) => {
                let (order, terms, record) = self.ordered(terms);
                record.settle(&order, &terms, self.now)?;
                let digest = self.finished_by(order, &verdict)?;
                self.settle(order, &terms, &verdict, digest, flows);
                Ok(())
            }
            IEscrowCalls::refund(IEscrow::refundCall { terms }) => {
                let (order, terms, record) = self.ordered(terms);
                if record.state == State::Disputed {
                    return self.give_up_dispute(order, &terms, flows);
                }
                record.expire(&order, &terms, self.now)?;
                let split = Split::expired(&terms, record.bonded(), record.attested());
                self.keep(order, &record.refunded(self.block));
                split.pay(&terms, flows);
                Ok(())
            }
            IEscrowCalls::restore(IEscrow::restoreCall { terms }) => {
                let order = order(&terms);
                let restored = self.record(order).restore(&order)?;
                self.keep(order, &restored);
                for leg in terms.legs.iter().filter(|leg| terms::uses_offer(leg)) {
                    let mut listing = self.listing(leg.offer);
                    listing.give_back(leg.offer)?;
                    self.listings.insert(leg.offer, listing.pack());
                }
                self.uses = self.uses.saturating_sub(1);
                let by = self.uses_by.entry(terms.buyer).or_default();
                *by = by.saturating_sub(1);
                Ok(())
            }
            IEscrowCalls::withdraw(IEscrow::withdrawCall { token }) => {
                let credit = self.credits.remove(&(token, from)).unwrap_or_default();
                if credit.is_zero() || !self.push(token, from, credit) {
                    return Err(refusal("nothing to withdraw, or the token refuses"));
                }
                *self.owed.entry(token).or_default() -= credit;
                Ok(())
            }
            IEscrowCalls::dispute(call) => self.open_dispute(from, &call, flows),
            IEscrowCalls::resolve(call) => self.resolve_dispute(from, &call, flows),
            IEscrowCalls::setResolver(IEscrow::setResolverCall { resolver }) => {
                self.resolver = resolver;
                Ok(())
            }
            IEscrowCalls::setPaused(IEscrow::setPausedCall { paused }) => {
                self.paused = paused;
                Ok(())
            }
            _ => Err(refusal("no step calls this")),
        }
    }

    fn submit(
        &mut self,
        call: &IEscrow::submitVerdictCall,
        flows: &mut Flows,
    ) -> Result<(), Revert> {
        let verdict = &call.verdict;
        let (order, terms, record) = self.ordered(call.terms.clone());
        let terms = &terms;
        let effect = record.judge(&order, terms, verdict, self.now)?;
        let assets: Vec<B256> = terms::inputs(terms)
            .chunks(32)
            .map(B256::from_slice)
            .collect();
        if !matches!(effect, Effect::Reject { .. }) && verdict.inputs != inputs_digest(&assets) {
            return Err(refusal("other inputs"));
        }
        let digest = id::verdict_digest(CHAIN_ID, ATTESTATION, verdict);
        let signers = attestation::rules::signers(
            digest,
            &call.signatures,
            QUORUM as u16,
            recover,
            |signer| self.operators.contains(&signer).into(),
        )?;
        for device in verdict.devices.iter().filter(|_| effect != Effect::Beat) {
            let slot = self.devices.entry(*device).or_default();
            let holder = Holder::unpack(*slot);
            if attestation::rules::starts(verdict) {
                let until = terms.deadlines.finish;
                *slot = holder.take(*device, order, until, self.now)?.pack();
            } else if let Some(free) = holder.give_back(order) {
                *slot = free.pack();
            }
        }
        match effect {
            Effect::Start => self.keep(order, &record.start(verdict.observedAt, self.block)),
            Effect::Beat => self.keep(order, &record.beat(terms, verdict)),
            Effect::Finish => {
                self.reward(terms, &signers);
                self.keep(order, &record.finish(self.now, self.block));
                if terms.challengeWindow == 0 {
                    self.settle(order, terms, verdict, digest, flows);
                } else {
                    self.disputable.insert(order, digest);
                }
            }
            Effect::Reject { forged } => {
                self.reward(terms, &signers);
                self.keep(order, &record.refunded(self.block));
                let split = Split::rejected(terms, forged);
                split.pay(terms, flows);
            }
        }
        Ok(())
    }

    pub(crate) fn settle(
        &mut self,
        order: B256,
        terms: &Terms,
        verdict: &Verdict,
        digest: B256,
        flows: &mut Flows,
    ) {
        let started_at = self.record(order).started_at;
        let split = Split::earned(terms, verdict.clauses, started_at, verdict.observedAt);
        let receipt = Receipt {
            order,
            buyer: terms.buyer,
            paid: split.paid.clone(),
            verdict: digest,
            settledAt: self.now,
            ..Default::default()
        };
        self.keep(order, &Record::settled(id::receipt_id(&receipt)));
        split.pay(terms, flows);
    }

    fn reward(&mut self, terms: &Terms, signers: &[Address]) {
        let count = signers.len() as u16;
        for (share, signer) in money::shares(terms.oracleFee, count).zip(signers) {
            *self.credits.entry((terms.token, *signer)).or_default() += share;
        }
    }

    /// Takes an amount from an account, its credit first.
    fn pull(&mut self, token: Address, from: Address, amount: U256) -> Result<(), Revert> {
        let credit = self.credits.entry((token, from)).or_default();
        let spent = amount.min(*credit);
        *credit -= spent;
        let amount = amount - spent;
        if amount.is_zero() {
            return Ok(());
        }
        let honest = matches!(
            self.modes[number(token)],
            Mode::Honest | Mode::Silent | Mode::Reenters
        );
        let held = self.balances.entry((token, from)).or_default();
        let left = held.checked_sub(amount).filter(|_| honest);
        *held = left.ok_or_else(|| refusal("the token refuses"))?;
        *self.balances.entry((token, ESCROW)).or_default() += amount;
        *self.owed.entry(token).or_default() += amount;
        Ok(())
    }

    /// Moves the tokens, once everything else is done.
    fn execute(&mut self, from: Address, flows: Flows) -> Result<(), Revert> {
        for flow in flows.inward {
            self.pull(flow.token, from, flow.amount)?;
        }
        for flow in flows.outward {
            if self.push(flow.token, flow.account, flow.amount) {
                *self.owed.entry(flow.token).or_default() -= flow.amount;
            } else {
                let credit = self.credits.entry((flow.token, flow.account));
                *credit.or_default() += flow.amount;
            }
        }
        Ok(())
    }

    fn is_the_annexs(&self, call: &IEscrowCalls) -> bool {
        match call {
            IEscrowCalls::settle(_) => true,
            IEscrowCalls::refund(IEscrow::refundCall { terms }) => {
                let order = id::order_id(CHAIN_ID, ESCROW, terms);
                self.record(order).state == State::Disputed
            }
            _ => false,
        }
    }

    fn answer_alone(&mut self, from: Address, call: IEscrowCalls) -> Result<(), Revert> {
        let mut flows = Flows::default();
        self.answer(from, call, &mut flows)?;
        self.execute(from, flows)
    }

    /// A transfer out of the escrow, where the token makes it.
    fn push(&mut self, token: Address, to: Address, amount: U256) -> bool {
        let fee = match self.modes[number(token)] {
            Mode::Honest | Mode::Silent | Mode::Reenters => U256::ZERO,
            Mode::TakesFee => amount / U256::from(100) + U256::from(1),
            Mode::Reverts | Mode::Refuses | Mode::Burns => return false,
        };
        *self.balances.entry((token, ESCROW)).or_default() -= amount;
        *self.balances.entry((token, to)).or_default() += amount - fee;
        true
    }

    /// A refusal leaves nothing behind.
    fn whole<T>(
        &mut self,
        attempt: impl FnOnce(&mut Self) -> Result<T, Revert>,
    ) -> Result<T, Reverted> {
        self.block += 1;
        let before = self.clone();
        attempt(self).map_err(|Revert(data)| {
            *self = before;
            data.into()
        })
    }
}

impl World for Rules {
    fn fresh() -> Self {
        static FIRST: OnceLock<Rules> = OnceLock::new();
        FIRST.get_or_init(Self::deploy).clone()
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
    }

    fn chain_id(&self) -> u64 {
        CHAIN_ID
    }

    fn domains(&self) -> (Address, Address) {
        (ATTESTATION, ESCROW)
    }

    fn signers(&self) -> Vec<Address> {
        (0..KEYS).map(key).collect()
    }

    fn sign(&self, verdict: &Verdict, by: &[usize], chain_id: u64, contract: Address) -> Bytes {
        let digest = id::verdict_digest(chain_id, contract, verdict);
        let mut signatures = Vec::with_capacity(by.len() * SIGNATURE_LEN);
        for signer in by {
            signatures.extend(mark(digest, key(*signer)));
            signatures.extend(B256::with_last_byte(1));
            signatures.push(27);
        }
        signatures.into()
    }

    fn request(&self, token: usize, window: u64, salt: u64) -> OrderRequest {
        request(legs(token), self.now, window, salt)
    }

    fn place(&mut self, buyer: Address, request: OrderRequest) -> Result<(B256, Terms), Reverted> {
        self.whole(|rules| rules.order_placed(buyer, request))
    }

    fn tell(&mut self, from: Address, call: IEscrowCalls) -> Result<(), Reverted> {
        self.whole(|rules| rules.answer_alone(from, call))
    }

    fn together(
        &mut self,
        from: Address,
        calls: Vec<IEscrowCalls>,
        _: bool,
    ) -> Result<(), Reverted> {
        self.whole(|rules| {
            let mut flows = Flows::default();
            for call in calls {
                if rules.is_the_annexs(&call) {
                    // It moves its tokens itself, after those of the calls before.
                    rules.execute(from, std::mem::take(&mut flows))?;
                    rules.answer_alone(from, call)?;
                } else {
                    rules.answer(from, call, &mut flows)?;
                }
            }
            rules.execute(from, flows)
        })
    }

    fn rotate(&mut self, out: Address, into: Address) -> Result<(), Reverted> {
        self.whole(|rules| {
            let removed = rules.operators.remove(&out);
            let added = rules.operators.insert(into);
            if !(removed && added) {
                return Err(refusal("no operator, or one already"));
            }
            attestation::rules::check_quorum(QUORUM as u16, rules.operators.len() as u16)
        })
    }

    fn misbehave(&mut self, token: usize, mode: Mode, _: Option<IEscrowCalls>) -> Result<()> {
        self.modes[token] = mode;
        Ok(())
    }

    /// Of what is not for strangers the rules decide one thing: who announces evidence.
    fn intrude(&mut self, _: usize, terms: Option<Terms>) -> Result<(), Reverted> {
        let terms = terms.unwrap_or_default();
        let order = id::order_id(CHAIN_ID, ESCROW, &terms);
        let stranger = crate::market::STRANGER;
        self.record(order)
            .announce(&order, &terms, 1, &stranger, self.now)
            .map_err(|Revert(data)| data.into())
    }

    fn balance(&self, token: usize, account: Option<Address>) -> u128 {
        let holding = (TOKENS[token], account.unwrap_or(ESCROW));
        let held = self.balances.get(&holding).copied();
        held.unwrap_or_default().saturating_to()
    }

    fn owed(&mut self, token: usize) -> Result<u128> {
        let owed = self.owed.get(&TOKENS[token]).copied();
        Ok(owed.unwrap_or_default().saturating_to())
    }

    fn credit(&mut self, token: usize, account: Address) -> Result<u128> {
        let credit = self.credits.get(&(TOKENS[token], account)).copied();
        Ok(credit.unwrap_or_default().saturating_to())
    }

    fn state(&mut self, order: B256) -> Result<u8> {
        Ok(self.record(order).state as u8)
    }

    fn volume(&mut self, token: usize) -> Result<u64> {
        Ok(self.listing(dataset(token)).volume)
    }

    fn uses(&mut self) -> Result<u64> {
        Ok(self.uses)
    }

    /// Nobody is called here.
    fn reentered(&mut self, _: usize) -> Result<bool> {
        Ok(false)
    }
}
