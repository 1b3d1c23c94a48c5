//! The market as its contracts' own types, each on a machine of `stylus-test`.
//!
//! `TestVM` answers a call with what was mocked for it. Here it keeps a contract's storage, block and chain, and
//! a host before it answers calls by running the contract that is called, on its own `TestVM`:
//! reverts undo what was written, precompiles compute, annex and desk run on the escrow's storage. No
//! WebAssembly, gas or EVM: a step is cheaper than on the chain's virtual machine, and more is joined
//! than in the rules alone. The governor is contract `governance`, the tokens are the development token.

#[allow(unsafe_code, reason = "the SDK hands over calldata by pointers")]
mod host;
mod machine;
mod trouble;

use std::sync::OnceLock;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolEvent, SolInterface};
use anyhow::Result;
use stylus_test::state::VMState;
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_abi::call::{CONSTRUCTOR, construct};
use vouch_abi::{
    IAttestation, IBonds, IGovernance, IOffers, IToken, IUsage, LegRequest, OrderRequest, Terms,
    Verdict,
};

use crate::disputes::RESOLVERS;
use crate::lab::{GENESIS, Reverted};
use crate::market::{
    BOND_DELAY, BUYERS, GOVERNOR, MINTED, OPERATORS, PROVIDER, QUORUM, STRANGER, keys, policy,
    request, signatures, wares,
};
use crate::shares::protocol_fee;
use crate::step::Mode;
use crate::world::{World, intrusion, joint};
pub use machine::{Code, Log, Machine, Outcome};

const CHAIN_ID: u64 = 31_337;

/// Where the tokens stand.
pub const TOKENS: [Address; 2] = [Address::repeat_byte(0xc0), Address::repeat_byte(0xc1)];
/// Where contract `attestation` stands.
pub const ATTESTATION: Address = Address::repeat_byte(0xc2);
/// Where the escrow stands.
pub const ESCROW: Address = Address::repeat_byte(0xc3);
/// Where contract `offers` stands.
pub const OFFERS: Address = Address::repeat_byte(0xc4);
/// Where contract `usage` stands.
pub const USAGE: Address = Address::repeat_byte(0xc5);
/// Where contract `governance` stands.
pub const GOVERNANCE: Address = Address::repeat_byte(0xc6);
/// Where contract `bonds` stands.
pub const BONDS: Address = Address::repeat_byte(0xc9);
/// Where the escrow's second program stands.
pub const ANNEX: Address = Address::repeat_byte(0xca);
/// Where the escrow's third program stands.
pub const DESK: Address = Address::repeat_byte(0xcb);

const CONTRACTS: [(Code, Address); 10] = [
    (Code::Governance, GOVERNANCE),
    (Code::Bonds, BONDS),
    (Code::Offers, OFFERS),
    (Code::Usage, USAGE),
    (Code::Attestation, ATTESTATION),
    (Code::Escrow, ESCROW),
    (Code::Annex, ANNEX),
    (Code::Desk, DESK),
    (Code::Token, TOKENS[0]),
    (Code::Token, TOKENS[1]),
];

/// The market on test machines.
#[derive(Debug)]
pub struct Machines {
    /// The contracts.
    pub machine: Machine,
    /// Those who can sign: operators first, in ascending order of their addresses.
    pub keys: Vec<PrivateKeySigner>,
    legs: [Vec<LegRequest>; 2],
}

impl Machines {
    fn deploy() -> Self {
        let machines = Self {
            machine: Machine::new(CONTRACTS.map(|(code, at)| (code, blank(at)))),
            keys: keys(),
            legs: TOKENS.map(wares),
        };
        machines.construct();
        for contract in [OFFERS, USAGE, ATTESTATION, BONDS] {
            let bind = IGovernance::bindCall {
                target: contract,
                escrow: ESCROW,
            };
            machines.must(GOVERNOR, GOVERNANCE, &bind);
        }
        for (token, payer) in TOKENS
            .into_iter()
            .flat_map(|token| [PROVIDER, BUYERS[0], BUYERS[1]].map(|payer| (token, payer)))
        {
            let value = U256::from(MINTED);
            machines.must(payer, token, &IToken::mintCall { to: payer, value });
            let approve = IToken::approveCall {
                spender: ESCROW,
                value: U256::MAX,
            };
            machines.must(payer, token, &approve);
        }
        for leg in machines.legs.concat() {
            let (owner, uri) = (leg.offer.owner, "ipfs://x".into());
            let offer = leg.offer;
            machines.must(owner, OFFERS, &IOffers::publishCall { offer, uri });
        }
        let resolver = RESOLVERS[1];
        machines
            .govern(ESCROW, &IEscrow::setResolverCall { resolver }.abi_encode())
            .unwrap_or_else(|data| panic!("no resolver: {data}"));
        let fee = IOffers::setProtocolFeeCall {
            fee: protocol_fee(),
        };
        machines
            .govern(OFFERS, &fee.abi_encode())
            .unwrap_or_else(|data| panic!("no fee: {data}"));
        machines
    }

    fn construct(&self) {
        let governor = GOVERNANCE;
        let operators = self.keys.iter().take(OPERATORS);
        let operators = operators.map(PrivateKeySigner::address).collect();
        let token = IToken::constructorCall {
            name: "Test Dollar".into(),
            symbol: "TUSD".into(),
        };
        let constructions = [
            (TOKENS[0], construct(&token)),
            (TOKENS[1], construct(&token)),
            (
                GOVERNANCE,
                construct(&IGovernance::constructorCall {
                    owner: GOVERNOR,
                    delay: 0,
                }),
            ),
            (
                BONDS,
                construct(&IBonds::constructorCall {
                    governor,
                    token: TOKENS[0],
                    delay: BOND_DELAY,
                }),
            ),
            (OFFERS, construct(&IOffers::constructorCall { governor })),
            (USAGE, construct(&IUsage::constructorCall { governor })),
            (
                ATTESTATION,
                construct(&IAttestation::constructorCall {
                    governor,
                    operators,
                    quorum: QUORUM as u16,
                    fee: U256::from(10),
                    bonds: BONDS,
                }),
            ),
            (ANNEX, CONSTRUCTOR.to_vec()),
            (DESK, CONSTRUCTOR.to_vec()),
            (
                ESCROW,
                construct(&IEscrow::constructorCall {
                    governor,
                    offers: OFFERS,
                    usage: USAGE,
                    attestation: ATTESTATION,
                    annex: ANNEX,
                    desk: DESK,
                }),
            ),
        ];
        for (at, data) in constructions {
            let made = self.machine.send(GOVERNOR, at, &data);
            made.unwrap_or_else(|data| panic!("constructing {at} reverted with {data}"));
        }
    }

    /// A call that must succeed.
    ///
    /// # Panics
    /// It reverted.
    pub fn must(&self, from: Address, to: Address, call: &impl SolCall) {
        let done = self.machine.send(from, to, &call.abi_encode());
        done.unwrap_or_else(|data| panic!("{from} calls {to}, which reverts with {data}"));
    }

    /// A token behaves like this from now on; where it reenters, it makes this call.
    pub fn behave(&self, token: usize, mode: Mode, enters: (Address, Vec<u8>)) {
        let mut trouble = self.machine.trouble(TOKENS[token]).borrow_mut();
        (trouble.mode, trouble.enters) = (mode, enters);
    }

    /// What came of the calls that a token made in its transfers.
    pub fn entered(&self, token: usize) -> Vec<Outcome> {
        self.machine.trouble(TOKENS[token]).borrow().entered.clone()
    }

    /// The market's owner announces a call and makes it; what its target refuses it takes back.
    ///
    /// # Errors
    /// The revert's data.
    pub fn govern(&self, target: Address, data: &[u8]) -> Result<(), Reverted> {
        let send = |call: Vec<u8>| self.machine.send(GOVERNOR, GOVERNANCE, &call).map(|_| ());
        let data = Bytes::copy_from_slice(data);
        let call = IGovernance::executeCall { target, data };
        let (target, data) = (call.target, call.data.clone());
        send(IGovernance::scheduleCall { target, data }.abi_encode())?;
        let (target, data) = (call.target, call.data.clone());
        let made = send(call.abi_encode());
        if made.is_err() {
            let question = IGovernance::operationOfCall { target, data };
            let operation = self.machine.ask(GOVERNANCE, &question);
            let operation = operation.unwrap_or_else(|error| panic!("no operation: {error}"));
            send(IGovernance::cancelCall { operation }.abi_encode())?;
        }
        made
    }
}

/// A machine for a contract that is not constructed yet.
fn blank(at: Address) -> VMState {
    VMState {
        contract_address: at,
        chain_id: CHAIN_ID,
        block_timestamp: GENESIS,
        // Who asks for code asks whether there is some.
        code_storage: CONTRACTS.map(|(_, at)| (at, vec![0xef])).into(),
        ..VMState::default()
    }
}

impl World for Machines {
    fn fresh() -> Self {
        static FIRST: OnceLock<Vec<(Code, VMState)>> = OnceLock::new();
        let states = FIRST.get_or_init(|| Self::deploy().machine.states());
        Self {
            machine: Machine::new(states.clone()),
            keys: keys(),
            legs: TOKENS.map(wares),
        }
    }

    fn now(&self) -> u64 {
        self.machine.now()
    }

    fn pass(&mut self, seconds: u64) {
        self.machine.pass(seconds);
    }

    fn chain_id(&self) -> u64 {
        CHAIN_ID
    }

    fn domains(&self) -> (Address, Address) {
        (ATTESTATION, ESCROW)
    }

    fn signers(&self) -> Vec<Address> {
        self.keys.iter().map(PrivateKeySigner::address).collect()
    }

    fn sign(&self, verdict: &Verdict, by: &[usize], chain_id: u64, contract: Address) -> Bytes {
        signatures(&self.keys, verdict, by, chain_id, contract)
    }

    fn request(&self, token: usize, window: u64, salt: u64) -> OrderRequest {
        request(&self.legs[token], self.now(), window, salt)
    }

    fn place(&mut self, buyer: Address, request: OrderRequest) -> Result<(B256, Terms), Reverted> {
        let call = IEscrow::placeCall { request }.abi_encode();
        let logs = self.machine.send(buyer, ESCROW, &call)?;
        let placed = logs
            .into_iter()
            .find_map(|(topics, data)| IEscrow::OrderPlaced::decode_raw_log(topics, &data).ok());
        let placed = placed.unwrap_or_else(|| panic!("an order was placed without its event"));
        Ok((placed.order, placed.terms))
    }

    fn tell(&mut self, from: Address, call: IEscrowCalls) -> Result<(), Reverted> {
        let data = call.abi_encode();
        if from == GOVERNOR {
            return self.govern(ESCROW, &data);
        }
        self.machine.send(from, ESCROW, &data).map(|_| ())
    }

    fn together(
        &mut self,
        from: Address,
        calls: Vec<IEscrowCalls>,
        packed: bool,
    ) -> Result<(), Reverted> {
        let data = joint(&calls, packed);
        self.machine.send(from, ESCROW, &data).map(|_| ())
    }

    fn rotate(&mut self, out: Address, into: Address) -> Result<(), Reverted> {
        let call = IAttestation::setOperatorsCall {
            added: vec![into],
            removed: vec![out],
            quorum: QUORUM as u16,
        };
        self.govern(ATTESTATION, &call.abi_encode())
    }

    fn misbehave(&mut self, token: usize, mode: Mode, call: Option<IEscrowCalls>) -> Result<()> {
        let data = call.map(|call| call.abi_encode()).unwrap_or_default();
        self.behave(token, mode, (ESCROW, data));
        Ok(())
    }

    fn intrude(&mut self, call: usize, terms: Option<Terms>) -> Result<(), Reverted> {
        let (to, data) = intrusion(self, (OFFERS, USAGE), call, terms);
        self.machine.send(STRANGER, to, &data).map(|_| ())
    }

    fn balance(&self, token: usize, account: Option<Address>) -> u128 {
        let account = account.unwrap_or(ESCROW);
        let held = self
            .machine
            .ask(TOKENS[token], &IToken::balanceOfCall { account });
        held.unwrap_or_default().saturating_to()
    }

    fn owed(&mut self, token: usize) -> Result<u128> {
        let token = TOKENS[token];
        let owed = self.machine.ask(ESCROW, &IEscrow::owedCall { token })?;
        Ok(owed.saturating_to())
    }

    fn credit(&mut self, token: usize, account: Address) -> Result<u128> {
        let token = TOKENS[token];
        let question = IEscrow::creditOfCall { account, token };
        Ok(self.machine.ask(ESCROW, &question)?.saturating_to())
    }

    fn state(&mut self, order: B256) -> Result<u8> {
        let record = self.machine.ask(ESCROW, &IEscrow::orderOfCall { order })?;
        Ok(record.state)
    }

    fn volume(&mut self, token: usize) -> Result<u64> {
        let offer = vouch_abi::id::offer_id(&self.legs[token][0].offer);
        let left = self
            .machine
            .ask(OFFERS, &IOffers::availableCall { offer })?;
        Ok(left.volume)
    }

    fn uses(&mut self) -> Result<u64> {
        let policy = vouch_abi::id::policy_id(&policy());
        self.machine.ask(USAGE, &IUsage::usesCall { policy })
    }

    fn reentered(&mut self, token: usize) -> Result<bool> {
        Ok(self.entered(token).iter().any(Outcome::is_ok))
    }
}
