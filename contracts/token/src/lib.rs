//! ERC-20 with EIP-2612 permits and open minting, for development chains. Six decimals, like the
//! tokens people pay with.
//!
//! **Decides** balances and allowances. **Trusts** nobody. **Leaves alone** everything that makes
//! money worth something: anybody can mint.
//!
//! Dispatched by `vouch_abi::dispatch!`; contract `offers` says why.

#![cfg_attr(not(any(test, feature = "export-abi")), no_std)]

extern crate alloc;

pub mod rules;

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U256, address, keccak256};
use stylus_sdk::{
    ArbResult,
    call::RawCall,
    host::VM,
    prelude::*,
    storage::{StorageB256, StorageMap, StorageU256},
};
use vouch_abi::{
    IContract, IToken,
    call::{self, Answer, Revert},
    codec, dispatch, id,
    wire::Event,
};

/// The precompile that recovers the signer of a digest.
const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
const DECIMALS: u8 = 6;

/// The contract's storage.
#[storage]
pub struct Token {
    /// Length and letters in one word each; the length of the name is never zero.
    name: StorageB256,
    symbol: StorageB256,
    supply: StorageU256,
    balances: StorageMap<Address, StorageU256>,
    allowances: StorageMap<Address, StorageMap<Address, StorageU256>>,
    nonces: StorageMap<Address, StorageU256>,
}

mod entrypoint {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "the macro decides")]

    use super::*;

    #[entrypoint]
    fn main(calldata: Vec<u8>, host: VM) -> ArbResult {
        // The root of the contract's storage, made once.
        let mut contract = unsafe { Token::new(U256::ZERO, 0, host) };
        contract.answer(&calldata).map_err(|revert| revert.0)
    }
}

impl Token {
    /// Answers one call.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        if let Some(arguments) = call::construction::<IToken::constructorCall>(calldata)? {
            return self.construct(arguments);
        }
        dispatch!(calldata, {
            call: IToken::transferCall => self.transfer(call.to, call.value),
            call: IToken::transferFromCall => self.transfer_from(call.from, call.to, call.value),
            call: IToken::balanceOfCall => {
                call::returns::<IToken::balanceOfCall>(self.balances.get(call.account))
            },
            call: IToken::approveCall => self.approve(call.spender, call.value),
            call: IToken::allowanceCall => call::returns::<IToken::allowanceCall>(
                self.allowances.getter(call.owner).get(call.spender),
            ),
            call: IToken::permitCall => self.permit(&call),
            call: IToken::noncesCall => {
                call::returns::<IToken::noncesCall>(self.nonces.get(call.owner))
            },
            call: IToken::DOMAIN_SEPARATORCall => {
                call::returns::<IToken::DOMAIN_SEPARATORCall>(self.domain_separator())
            },
            call: IToken::mintCall => self.mint(call.to, call.value),
            call: IToken::totalSupplyCall => {
                call::returns::<IToken::totalSupplyCall>(self.supply.get())
            },
            call: IToken::nameCall => call::returns::<IToken::nameCall>(rules::unpack(&self.name.get())),
            call: IToken::symbolCall => {
                call::returns::<IToken::symbolCall>(rules::unpack(&self.symbol.get()))
            },
            call: IToken::decimalsCall => call::returns::<IToken::decimalsCall>(DECIMALS),
        })
    }

    fn construct(&mut self, arguments: IToken::constructorCall) -> Answer {
        if !self.name.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        self.name.set(rules::pack(&arguments.name)?);
        self.symbol.set(rules::pack(&arguments.symbol)?);
        Ok(vec![])
    }

    fn transfer(&mut self, to: Address, value: U256) -> Answer {
        let from = self.vm().msg_sender();
        self.move_value(from, to, value)?;
        call::returns::<IToken::transferCall>(true)
    }

    fn transfer_from(&mut self, from: Address, to: Address, value: U256) -> Answer {
        let spender = self.vm().msg_sender();
        let mut of_owner = self.allowances.setter(from);
        let mut allowance = of_owner.setter(spender);
        let before = allowance.get();
        let after = rules::spend(spender, before, value)?;
        if after != before {
            allowance.set(after);
        }
        self.move_value(from, to, value)?;
        call::returns::<IToken::transferFromCall>(true)
    }

    fn move_value(&mut self, from: Address, to: Address, value: U256) -> Result<(), Revert> {
        if to.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let rest = rules::debit(from, self.balances.get(from), value)?;
        self.balances.insert(from, rest);
        // No overflow: all balances together are the supply.
        let sum = self.balances.get(to).saturating_add(value);
        self.balances.insert(to, sum);
        self.log(&IToken::Transfer { from, to, value });
        Ok(())
    }

    fn approve(&mut self, spender: Address, value: U256) -> Answer {
        let owner = self.vm().msg_sender();
        self.allow(owner, spender, value);
        call::returns::<IToken::approveCall>(true)
    }

    fn allow(&mut self, owner: Address, spender: Address, value: U256) {
        self.allowances.setter(owner).insert(spender, value);
        self.log(&IToken::Approval {
            owner,
            spender,
            value,
        });
    }

    fn permit(&mut self, call: &IToken::permitCall) -> Answer {
        let &IToken::permitCall {
            owner,
            spender,
            value,
            deadline,
            v,
            r,
            s,
        } = call;
        let time = U256::from(self.vm().block_timestamp());
        if deadline < time {
            return Err(IToken::PermitExpired { deadline, time }.into());
        }
        let nonce = self.nonces.get(owner);
        let permit = id::permit_hash(owner, spender, value, nonce, deadline);
        let digest = id::typed_data_digest(self.domain_separator(), permit);
        let signer = if rules::is_canonical(v, s.into()) {
            self.recover([digest, B256::with_last_byte(v), r, s])
        } else {
            Address::ZERO
        };
        if signer.is_zero() || signer != owner {
            return Err(IToken::InvalidSigner { signer, owner }.into());
        }
        // Out of reach: one more per permit.
        self.nonces.insert(owner, nonce.saturating_add(U256::ONE));
        self.allow(owner, spender, value);
        Ok(vec![])
    }

    fn recover(&self, words: [B256; 4]) -> Address {
        let input = words.concat();
        // A static call of a precompile: nothing of this contract's storage is touched meanwhile.
        let output = unsafe { RawCall::new_static(self.vm()).call(ECRECOVER, &input) };
        output
            .ok()
            .and_then(|output| codec::decode(&output))
            .unwrap_or_default()
    }

    fn domain_separator(&self) -> B256 {
        let name = keccak256(rules::unpack(&self.name.get()));
        id::domain_separator(name, self.vm().chain_id(), self.vm().contract_address())
    }

    fn mint(&mut self, to: Address, value: U256) -> Answer {
        if to.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        let supply = rules::mint(self.supply.get(), value)?;
        self.supply.set(supply);
        // No overflow: all balances together are the supply.
        let sum = self.balances.get(to).saturating_add(value);
        self.balances.insert(to, sum);
        self.log(&IToken::Transfer {
            from: Address::ZERO,
            to,
            value,
        });
        Ok(vec![])
    }

    fn log(&self, event: &impl Event) {
        let (bytes, topics) = event.log();
        self.vm().emit_log(&bytes, topics);
    }
}
