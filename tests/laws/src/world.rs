//! What steps are played against: the contracts on a chain or on test machines, or their rules alone.

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::{SolCall, SolInterface};
use anyhow::Result;
use vouch_abi::IEscrow::IEscrowCalls;
use vouch_abi::{IAttestation, IEscrow, IOffers, IUsage, OrderRequest, Terms, Verdict};
use vouch_client::calls::batch;

use crate::disputes::RESOLVERS;
use crate::lab::Reverted;
use crate::market::{BUYERS, GOVERNOR, ITrouble, Market, QUORUM, STRANGER, policy};
use crate::shares::protocol_fee;
use crate::step::Mode;

/// Several calls as one.
pub(crate) fn joint(calls: &[IEscrowCalls], packed: bool) -> Bytes {
    let calls: Vec<Bytes> = calls.iter().map(|call| call.abi_encode().into()).collect();
    match packed {
        true => batch(&calls),
        false => IEscrow::multicallCall { calls }.abi_encode().into(),
    }
}

/// A market that steps are played against.
pub trait World {
    /// Everything deployed, everyone endowed, nothing ordered.
    fn fresh() -> Self;
    /// Seconds of Unix time.
    fn now(&self) -> u64;
    /// Time passes.
    fn pass(&mut self, seconds: u64);
    /// The id of the chain.
    fn chain_id(&self) -> u64;
    /// The contracts that signatures may be for: the right one, and another.
    fn domains(&self) -> (Address, Address);
    /// Addresses of those who can sign, ascending: operators first.
    fn signers(&self) -> Vec<Address>;
    /// Signatures of some of them, as the contract takes them.
    fn sign(&self, verdict: &Verdict, by: &[usize], chain_id: u64, contract: Address) -> Bytes;
    /// A request for dataset, model and compute, paid in token `token`.
    fn request(&self, token: usize, window: u64, salt: u64) -> OrderRequest;
    /// Places an order; gives its id and terms.
    ///
    /// # Errors
    /// The revert's data.
    fn place(&mut self, buyer: Address, request: OrderRequest) -> Result<(B256, Terms), Reverted>;
    /// Anything else that the escrow is told. A refusal changes nothing.
    ///
    /// # Errors
    /// The revert's data.
    fn tell(&mut self, from: Address, call: IEscrowCalls) -> Result<(), Reverted>;
    /// Several such calls in one batch: all of them or none.
    ///
    /// # Errors
    /// The revert's data.
    fn together(
        &mut self,
        from: Address,
        calls: Vec<IEscrowCalls>,
        packed: bool,
    ) -> Result<(), Reverted>;
    /// The governor exchanges one operator for another.
    ///
    /// # Errors
    /// The revert's data.
    fn rotate(&mut self, out: Address, into: Address) -> Result<(), Reverted>;
    /// A token behaves like this from now on; `call` is what it does when it reenters.
    ///
    /// # Errors
    /// It could not be told.
    fn misbehave(&mut self, token: usize, mode: Mode, call: Option<IEscrowCalls>) -> Result<()>;
    /// A stranger calls what is not for strangers.
    ///
    /// # Errors
    /// The revert's data.
    fn intrude(&mut self, call: usize, terms: Option<Terms>) -> Result<(), Reverted>;
    /// Units of a token that an account holds; of the escrow where none is named.
    fn balance(&self, token: usize, account: Option<Address>) -> u128;
    /// What the escrow owes of a token.
    ///
    /// # Errors
    /// It did not answer.
    fn owed(&mut self, token: usize) -> Result<u128>;
    /// What the escrow owes an account of a token.
    ///
    /// # Errors
    /// It did not answer.
    fn credit(&mut self, token: usize, account: Address) -> Result<u128>;
    /// The number of an order's state.
    ///
    /// # Errors
    /// It did not answer.
    fn state(&mut self, order: B256) -> Result<u8>;
    /// Uses left of a token's dataset offer.
    ///
    /// # Errors
    /// It did not answer.
    fn volume(&mut self, token: usize) -> Result<u64>;
    /// Uses counted for the dataset's policy.
    ///
    /// # Errors
    /// It did not answer.
    fn uses(&mut self) -> Result<u64>;
    /// Whether a token got in while it was called.
    ///
    /// # Errors
    /// It did not answer.
    fn reentered(&mut self, token: usize) -> Result<bool>;
}

impl World for Market {
    fn fresh() -> Self {
        let mut market = Self::new();
        let resolver = RESOLVERS[1];
        let call = IEscrow::setResolverCall { resolver };
        let escrow = market.escrow;
        if let Err(data) = market.lab.tell(GOVERNOR, escrow, &call) {
            panic!("no resolver: {data}");
        }
        let fee = protocol_fee();
        let offers = market.offers;
        if let Err(data) = market
            .lab
            .tell(GOVERNOR, offers, &IOffers::setProtocolFeeCall { fee })
        {
            panic!("no fee: {data}");
        }
        market
    }

    fn now(&self) -> u64 {
        self.lab.now()
    }

    fn pass(&mut self, seconds: u64) {
        self.lab.pass(seconds);
    }

    fn chain_id(&self) -> u64 {
        self.lab.chain_id()
    }

    fn domains(&self) -> (Address, Address) {
        (self.attestation, self.escrow)
    }

    fn signers(&self) -> Vec<Address> {
        self.keys.iter().map(|key| key.address()).collect()
    }

    fn sign(&self, verdict: &Verdict, by: &[usize], chain_id: u64, contract: Address) -> Bytes {
        self.sign_for(verdict, by, chain_id, contract)
    }

    fn request(&self, token: usize, window: u64, salt: u64) -> OrderRequest {
        self.request(token, window, salt)
    }

    fn place(&mut self, buyer: Address, request: OrderRequest) -> Result<(B256, Terms), Reverted> {
        self.place(buyer, request)
    }

    fn tell(&mut self, from: Address, call: IEscrowCalls) -> Result<(), Reverted> {
        let done = self.lab.send(from, self.escrow, call.abi_encode());
        done.map(|_| ())
    }

    fn together(
        &mut self,
        from: Address,
        calls: Vec<IEscrowCalls>,
        packed: bool,
    ) -> Result<(), Reverted> {
        let done = self.lab.send(from, self.escrow, joint(&calls, packed));
        done.map(|_| ())
    }

    fn rotate(&mut self, out: Address, into: Address) -> Result<(), Reverted> {
        let call = IAttestation::setOperatorsCall {
            added: vec![into],
            removed: vec![out],
            quorum: QUORUM as u16,
        };
        let done = self.lab.tell(GOVERNOR, self.attestation, &call);
        done.map(|_| ())
    }

    fn misbehave(&mut self, token: usize, mode: Mode, call: Option<IEscrowCalls>) -> Result<()> {
        let data = call.map(|call| call.abi_encode()).unwrap_or_default();
        self.misbehave(token, mode as u8, self.escrow, data.into())
    }

    fn intrude(&mut self, call: usize, terms: Option<Terms>) -> Result<(), Reverted> {
        let (to, data) = intrusion(self, (self.offers, self.usage), call, terms);
        self.lab.send(STRANGER, to, data).map(|_| ())
    }

    fn balance(&self, token: usize, account: Option<Address>) -> u128 {
        self.balance(token, account.unwrap_or(self.escrow))
    }

    fn owed(&mut self, token: usize) -> Result<u128> {
        self.owed(token)
    }

    fn credit(&mut self, token: usize, account: Address) -> Result<u128> {
        self.credit(token, account)
    }

    fn state(&mut self, order: B256) -> Result<u8> {
        self.state(order)
    }

    fn volume(&mut self, token: usize) -> Result<u64> {
        let offer = vouch_abi::id::offer_id(&self.legs[token][0].offer);
        let call = IOffers::availableCall { offer };
        Ok(self.lab.ask(self.offers, &call)?.volume)
    }

    fn uses(&mut self) -> Result<u64> {
        let call = IUsage::usesCall {
            policy: vouch_abi::id::policy_id(&policy()),
        };
        self.lab.ask(self.usage, &call)
    }

    fn reentered(&mut self, token: usize) -> Result<bool> {
        self.lab
            .ask(self.tokens[token], &ITrouble::reenteredCall {})
    }
}

/// A call that is not for strangers, and whom it is for.
pub(crate) fn intrusion(
    world: &impl World,
    (offers, usage): (Address, Address),
    call: usize,
    terms: Option<Terms>,
) -> (Address, Vec<u8>) {
    let request = world.request(0, 0, 0);
    let offer = vouch_abi::id::offer_id(&request.legs[0].offer);
    let (attestation, escrow) = world.domains();
    let id = vouch_abi::id::policy_id(&policy());
    match call {
        0 => {
            let call = IOffers::sellCall {
                buyer: BUYERS[0],
                request,
                count: 1,
            };
            (offers, call.abi_encode())
        }
        1 => (
            offers,
            IOffers::restoreCall {
                offers: vec![offer],
            }
            .abi_encode(),
        ),
        2 => {
            let call = IUsage::releaseCall {
                ids: vec![id],
                clauses: vec![u32::MAX],
                buyer: BUYERS[0],
            };
            (usage, call.abi_encode())
        }
        3 => {
            let verdict = Verdict::default();
            let call = IAttestation::admitCall {
                signatures: world.sign(&verdict, &[0, 1, 2], world.chain_id(), attestation),
                verdict,
                busyUntil: u64::MAX,
            };
            (attestation, call.abi_encode())
        }
        4 => {
            let call = IAttestation::setOperatorsCall {
                added: vec![STRANGER],
                removed: vec![],
                quorum: 1,
            };
            (attestation, call.abi_encode())
        }
        5 => (escrow, IEscrow::setPausedCall { paused: true }.abi_encode()),
        6 => (offers, IOffers::cancelCall { offer }.abi_encode()),
        _ => {
            let call = IEscrow::submitEvidenceCall {
                terms: terms.unwrap_or_default(),
                phase: 1,
                attempt: 0,
                evidence: B256::ZERO,
                outputs: B256::ZERO,
                uri: String::new(),
            };
            (escrow, call.abi_encode())
        }
    }
}
