//! A token that misbehaves on demand: what `tests/solidity/Trouble.sol` is to the chain, over the
//! development token.

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolCall;
use stylus_test::AccountAccess;
use token::Token;
use vouch_abi::IToken;
use vouch_abi::call::{self, Answer, Revert};

use super::host::Frame;
use super::machine::Outcome;
use crate::step::Mode;

/// Has what tokens keep of transfers.
const COLLECTOR: Address = Address::repeat_byte(0xfe);

/// How a token behaves.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) mode: Mode,
    /// Whom it calls in a transfer, and with what.
    pub(super) enters: (Address, Vec<u8>),
    /// What came of such calls, whatever became of their transfers.
    pub(super) entered: Vec<Outcome>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            mode: Mode::Honest,
            enters: Default::default(),
            entered: Vec::new(),
        }
    }
}

/// What the token answers, where `honest` is what an honest one does.
pub(super) fn answer(frame: &Frame, data: &[u8], honest: impl FnOnce(&Frame) -> Answer) -> Answer {
    let Some((receiver, value)) = transfer(data) else {
        return honest(frame);
    };
    let token = frame.vm.contract_address();
    let trouble = frame.machine.trouble(token);
    let mode = trouble.borrow().mode;
    match mode {
        Mode::Refuses => return call::returns::<IToken::transferCall>(false),
        Mode::Reverts => return Err(Revert(b"as asked".to_vec())),
        // What is left of the gas is the caller's, and there is nothing to say.
        Mode::Burns => return Err(Revert(Vec::new())),
        Mode::Reenters => {
            let (target, data) = trouble.borrow().enters.clone();
            let outcome = frame.machine.call(token, target, &data, false);
            trouble.borrow_mut().entered.push(outcome);
        }
        Mode::Honest | Mode::TakesFee | Mode::Silent => {}
    }
    let answer = honest(frame)?;
    match mode {
        Mode::TakesFee if !value.is_zero() => {
            let fee = IToken::transferCall {
                to: COLLECTOR,
                value: value / U256::from(100) + U256::from(1),
            };
            Token::from(&frame.sent_by(receiver)).answer(&fee.abi_encode())
        }
        Mode::Silent => Ok(Vec::new()),
        _ => Ok(answer),
    }
}

/// Who gets how much, if the call is a transfer.
fn transfer(data: &[u8]) -> Option<(Address, U256)> {
    if let Ok(call) = IToken::transferCall::abi_decode(data) {
        return Some((call.to, call.value));
    }
    let call = IToken::transferFromCall::abi_decode(data).ok()?;
    Some((call.to, call.value))
}
