//! Operators' bonds under random steps, on test machines: contract `bonds`, the operators of contract `attestation`, and a token
//! that misbehaves, against a model of their own.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use anyhow::{Context, Result, bail, ensure};
use proptest::prelude::*;
use vouch_abi::{IAttestation, IBonds, IToken, VerdictShare, id};
use vouch_client::verdict::Signed;

use crate::market::{BOND_DELAY, BUYERS, MINTED, OPERATORS, PROVIDER, STRANGER};
use crate::play::Tally;
use crate::step::{Mode, mode};
use crate::testvm::{ATTESTATION, BONDS, Machines, Outcome, TOKENS};
use crate::world::World;

/// They put up bonds, for any operator.
const PAYERS: [Address; 3] = [PROVIDER, BUYERS[0], BUYERS[1]];
/// A reporter's part of what is lost.
const PART: u128 = 10;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum StakeStep {
    Pass {
        seconds: u64,
    },
    Bond {
        payer: usize,
        operator: usize,
        amount: u128,
    },
    Unbond {
        operator: usize,
        amount: u128,
    },
    /// By a key, or by a stranger.
    Withdraw {
        by: usize,
    },
    Slash {
        by: usize,
        operator: usize,
        job: u8,
        proof: Proof,
    },
    Evict {
        operator: usize,
    },
    Minimum {
        minimum: u128,
    },
    /// The governor exchanges one operator for another, or adds one.
    Appoint {
        out: Option<usize>,
        into: usize,
        quorum: u16,
    },
    Misbehave {
        mode: Mode,
    },
}

/// What is shown of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Proof {
    TwoVerdicts,
    /// Twice the same.
    OneVerdict,
    TwoJobs,
    TwoSigners,
}

/// Anything that may happen, likely steps more often.
pub fn any_step() -> impl Strategy<Value = StakeStep> {
    use StakeStep::*;
    let operator = 0..5_usize;
    let amount = prop_oneof![8 => 1..2_000_u128, 1 => Just(0), 1 => Just(MINTED)];
    let seconds = prop_oneof![4 => 0..BOND_DELAY / 2, 1 => Just(BOND_DELAY)];
    let minimum = prop_oneof![2 => Just(0), 3 => 1..1_500_u128];
    let proof = prop_oneof![
        6 => Just(Proof::TwoVerdicts),
        1 => prop::sample::select(vec![Proof::OneVerdict, Proof::TwoJobs, Proof::TwoSigners]),
    ];
    prop_oneof![
        3 => seconds.prop_map(|seconds| Pass { seconds }),
        8 => (0..3_usize, operator.clone(), amount.clone())
            .prop_map(|(payer, operator, amount)| Bond { payer, operator, amount }),
        6 => (operator.clone(), amount).prop_map(|(operator, amount)| Unbond { operator, amount }),
        5 => (0..6_usize).prop_map(|by| Withdraw { by }),
        3 => (0..6_usize, operator.clone(), 0..3_u8, proof)
            .prop_map(|(by, operator, job, proof)| Slash { by, operator, job, proof }),
        2 => operator.clone().prop_map(|operator| Evict { operator }),
        1 => minimum.prop_map(|minimum| Minimum { minimum }),
        4 => (prop::option::of(operator.clone()), operator, 0..4_u16)
            .prop_map(|(out, into, quorum)| Appoint { out, into, quorum }),
        1 => mode().prop_map(|mode| Misbehave { mode }),
    ]
}

/// What an operator has at stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stake {
    bonded: u128,
    leaving: u128,
    until: u64,
}

/// The bonds in plain numbers; accounts by their address.
#[derive(Debug)]
struct Model {
    now: u64,
    mode: Mode,
    minimum: u128,
    operators: BTreeSet<Address>,
    stakes: BTreeMap<Address, Stake>,
    rewards: BTreeMap<Address, u128>,
    balances: BTreeMap<Address, u128>,
    punished: BTreeSet<(Address, u8)>,
    /// What nobody gets any more.
    lost: u128,
}

impl Model {
    fn stake(&self, operator: Address) -> Stake {
        self.stakes.get(&operator).copied().unwrap_or_default()
    }

    fn is_bonded(&self, operator: Address) -> bool {
        self.stake(operator).bonded >= self.minimum
    }

    fn held(&self) -> u128 {
        let stakes = self.stakes.values();
        let at_stake: u128 = stakes.map(|stake| stake.bonded + stake.leaving).sum();
        at_stake + self.rewards.values().sum::<u128>() + self.lost
    }

    fn bond(&mut self, payer: Address, operator: Address, amount: u128) -> bool {
        let exact = matches!(self.mode, Mode::Honest | Mode::Silent | Mode::Reenters);
        let held = self.balances.entry(payer).or_default();
        let may = amount > 0 && exact && *held >= amount;
        if may {
            *held -= amount;
            self.stakes.entry(operator).or_default().bonded += amount;
        }
        may
    }

    fn unbond(&mut self, operator: Address, amount: u128) -> bool {
        let stake = self.stakes.entry(operator).or_default();
        let may = amount > 0 && stake.bonded >= amount;
        if may {
            stake.bonded -= amount;
            stake.leaving += amount;
            stake.until = self.now + BOND_DELAY;
            if !self.is_bonded(operator) {
                self.operators.remove(&operator);
            }
        }
        may
    }

    fn withdraw(&mut self, by: Address) -> bool {
        let stake = self.stake(by);
        let due = stake.leaving > 0 && self.now >= stake.until;
        let reward = self.rewards.get(&by).copied().unwrap_or_default();
        let amount = reward + if due { stake.leaving } else { 0 };
        let fee = match self.mode {
            Mode::Honest | Mode::Silent | Mode::Reenters => 0,
            Mode::TakesFee => amount / 100 + 1,
            Mode::Reverts | Mode::Refuses | Mode::Burns => return false,
        };
        if amount == 0 {
            return false;
        }
        self.rewards.remove(&by);
        if due {
            let stake = self.stakes.entry(by).or_default();
            (stake.leaving, stake.until) = (0, 0);
        }
        *self.balances.entry(by).or_default() += amount - fee;
        true
    }

    fn slash(&mut self, by: Address, operator: Address, job: u8, proof: Proof) -> bool {
        let stake = self.stake(operator);
        let at_stake = stake.bonded + stake.leaving;
        let may = proof == Proof::TwoVerdicts
            && !self.punished.contains(&(operator, job))
            && (at_stake > 0 || self.operators.contains(&operator));
        if may {
            self.punished.insert((operator, job));
            self.operators.remove(&operator);
            self.stakes.remove(&operator);
            *self.rewards.entry(by).or_default() += at_stake / PART;
            self.lost += at_stake - at_stake / PART;
        }
        may
    }

    fn evict(&mut self, operator: Address) -> bool {
        let may = !self.is_bonded(operator);
        if may {
            self.operators.remove(&operator);
        }
        may
    }

    fn appoint(&mut self, out: Option<Address>, into: Address, quorum: u16) -> bool {
        let mut operators = self.operators.clone();
        let may = out.is_none_or(|out| operators.remove(&out))
            && self.is_bonded(into)
            && operators.insert(into)
            && (1..=operators.len()).contains(&quorum.into());
        if may {
            self.operators = operators;
        }
        may
    }
}

/// The contracts and the model.
#[derive(Debug)]
struct Play {
    machines: Machines,
    keys: Vec<Address>,
    model: Model,
    tally: Tally,
}

/// Plays a whole sequence, and then everybody takes out what is theirs.
///
/// # Errors
/// A law is broken; the error says which, after which step.
pub fn play(steps: &[StakeStep]) -> Result<Tally> {
    let mut play = Play::new();
    for (number, step) in (1..).zip(steps) {
        play.step(*step)
            .and_then(|()| play.compare())
            .with_context(|| format!("after step {number}, {step:?}"))?;
    }
    play.end().context("at the end")
}

impl Play {
    fn new() -> Self {
        let machines = Machines::fresh();
        for payer in PAYERS {
            let approve = IToken::approveCall {
                spender: BONDS,
                value: U256::MAX,
            };
            machines.must(payer, TOKENS[0], &approve);
        }
        let keys = machines.signers();
        let model = Model {
            now: machines.now(),
            mode: Mode::Honest,
            minimum: 0,
            operators: keys.iter().take(OPERATORS).copied().collect(),
            stakes: BTreeMap::new(),
            rewards: BTreeMap::new(),
            balances: PAYERS.map(|payer| (payer, MINTED)).into(),
            punished: BTreeSet::new(),
            lost: 0,
        };
        Self {
            machines,
            keys,
            model,
            tally: Tally::default(),
        }
    }

    /// The contracts' answer must be the model's.
    fn agree<T>(&mut self, expected: bool, found: Result<T, Bytes>) -> Result<()> {
        match found {
            Err(data) if expected => bail!("expected to succeed, but it reverted with {data}"),
            Ok(_) if !expected => bail!("expected a refusal, but it succeeded"),
            _ => {}
        }
        self.tally.effective += u64::from(expected);
        Ok(())
    }

    fn tell(&mut self, expected: bool, from: Address, call: &impl SolCall) -> Result<()> {
        let found = self.machines.machine.send(from, BONDS, &call.abi_encode());
        self.agree(expected, found)
    }

    fn step(&mut self, step: StakeStep) -> Result<()> {
        self.tally.steps += 1;
        match step {
            StakeStep::Pass { seconds } => {
                self.machines.pass(seconds);
                self.model.now += seconds;
                Ok(())
            }
            StakeStep::Bond {
                payer,
                operator,
                amount,
            } => {
                let (payer, operator) = (PAYERS[payer], self.keys[operator]);
                let expected = self.model.bond(payer, operator, amount);
                let amount = U256::from(amount);
                self.tell(expected, payer, &IBonds::bondCall { operator, amount })
            }
            StakeStep::Unbond { operator, amount } => {
                let operator = self.keys[operator];
                let expected = self.model.unbond(operator, amount);
                let amount = U256::from(amount);
                self.tell(expected, operator, &IBonds::unbondCall { amount })
            }
            StakeStep::Withdraw { by } => {
                let by = self.anybody(by);
                let expected = self.model.withdraw(by);
                self.tell(expected, by, &IBonds::withdrawCall {})
            }
            StakeStep::Slash {
                by,
                operator,
                job,
                proof,
            } => {
                let (by, call) = (self.anybody(by), self.proof(operator, job, proof));
                let expected = self.model.slash(by, self.keys[operator], job, proof);
                self.tell(expected, by, &call)
            }
            StakeStep::Evict { operator } => {
                let operator = self.keys[operator];
                let expected = self.model.evict(operator);
                self.tell(expected, STRANGER, &IBonds::evictCall { operator })
            }
            StakeStep::Minimum { minimum } => {
                self.model.minimum = minimum;
                let minimum = U256::from(minimum);
                let call = IBonds::setMinimumCall { minimum }.abi_encode();
                let found = self.machines.govern(BONDS, &call);
                self.agree(true, found)
            }
            StakeStep::Appoint { out, into, quorum } => {
                let (out, into) = (out.map(|out| self.keys[out]), self.keys[into]);
                let expected = self.model.appoint(out, into, quorum);
                let call = IAttestation::setOperatorsCall {
                    added: vec![into],
                    removed: out.into_iter().collect(),
                    quorum,
                };
                let found = self.machines.govern(ATTESTATION, &call.abi_encode());
                self.agree(expected, found)
            }
            StakeStep::Misbehave { mode } => {
                self.model.mode = mode;
                let call = IBonds::withdrawCall {}.abi_encode();
                self.machines.behave(0, mode, (BONDS, call));
                Ok(())
            }
        }
    }

    fn anybody(&self, number: usize) -> Address {
        self.keys.get(number).copied().unwrap_or(STRANGER)
    }

    fn proof(&self, operator: usize, job: u8, proof: Proof) -> IBonds::slashCall {
        let first = VerdictShare {
            verdict: B256::with_last_byte(1),
            order: B256::with_last_byte(job),
            ..Default::default()
        };
        let mut second = VerdictShare {
            verdict: B256::with_last_byte(2),
            ..first.clone()
        };
        let mut signer = operator;
        match proof {
            Proof::TwoVerdicts => {}
            Proof::OneVerdict => second = first.clone(),
            Proof::TwoJobs => second.attempt = 1,
            Proof::TwoSigners => signer = (operator + 1) % self.keys.len(),
        }
        let sign = |share: &VerdictShare, key: usize| -> Bytes {
            let digest = id::share_digest(self.machines.chain_id(), ATTESTATION, share);
            let signed = Signed::new(digest, &self.machines.keys[key]);
            let signed = signed.unwrap_or_else(|error| panic!("signing: {error}"));
            signed.signature.as_bytes().to_vec().into()
        };
        IBonds::slashCall {
            firstSignature: sign(&first, operator),
            secondSignature: sign(&second, signer),
            first,
            second,
        }
    }

    /// The laws: what is held is what is at stake, owed, or lost; and everybody has what they should.
    fn compare(&self) -> Result<()> {
        let ask = &self.machines.machine;
        let (held, expected) = (self.machines.balance(0, Some(BONDS)), self.model.held());
        ensure!(held == expected, "holds {held}, owes and keeps {expected}");
        for &operator in &self.keys {
            let found = ask.ask(BONDS, &IBonds::bondOfCall { operator })?;
            let found = Stake {
                bonded: found.bonded.saturating_to(),
                leaving: found.leaving.saturating_to(),
                until: found.until,
            };
            let expected = self.model.stake(operator);
            ensure!(
                found == expected,
                "{operator}: expected {expected:?}, found {found:?}"
            );
            let account = operator;
            let active = ask.ask(ATTESTATION, &IAttestation::isOperatorCall { account })?;
            let expected = self.model.operators.contains(&operator);
            ensure!(
                active == expected,
                "{operator}: expected operator: {expected}"
            );
        }
        let count = ask.ask(ATTESTATION, &IAttestation::operatorCountCall {})?;
        ensure!(
            usize::from(count) == self.model.operators.len(),
            "{count} operators"
        );
        for account in self.keys.iter().copied().chain(PAYERS).chain([STRANGER]) {
            let reward = ask.ask(BONDS, &IBonds::rewardOfCall { account })?;
            let expected = self
                .model
                .rewards
                .get(&account)
                .copied()
                .unwrap_or_default();
            ensure!(
                reward == U256::from(expected),
                "{account}: reward {reward}, expected {expected}"
            );
            let found = self.machines.balance(0, Some(account));
            let expected = self
                .model
                .balances
                .get(&account)
                .copied()
                .unwrap_or_default();
            ensure!(
                found == expected,
                "{account} holds {found}, expected {expected}"
            );
        }
        let entered = self.machines.entered(0).iter().any(Outcome::is_ok);
        ensure!(!entered, "the token got in while it was called");
        Ok(())
    }

    /// Whatever happened: everybody gets out what is theirs, and what was lost stays for good.
    fn end(mut self) -> Result<Tally> {
        self.step(StakeStep::Misbehave { mode: Mode::Honest })?;
        for operator in 0..self.keys.len() {
            let amount = self.model.stake(self.keys[operator]).bonded;
            self.step(StakeStep::Unbond { operator, amount })?;
        }
        self.step(StakeStep::Pass {
            seconds: BOND_DELAY,
        })?;
        for by in 0..=self.keys.len() {
            self.step(StakeStep::Withdraw { by })?;
        }
        self.compare()?;
        let (held, lost) = (self.machines.balance(0, Some(BONDS)), self.model.lost);
        ensure!(held == lost, "{held} are left of {lost} that were lost");
        Ok(self.tally)
    }
}
