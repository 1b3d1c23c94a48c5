//! Moving the bonds' token, which may misbehave: what does not move exactly as asked is refused.

use alloy_primitives::{Address, B256, U256};
use stylus_sdk::prelude::*;
use vouch_abi::{
    IBonds, IContract, IToken,
    call::{self, Revert},
    codec,
};

use crate::Bonds;

impl Bonds {
    /// Takes `value` units from an account.
    pub(crate) fn pull(&self, from: Address, value: U256) -> Result<(), Revert> {
        let to = self.vm().contract_address();
        let transfer = call::encode(&IToken::transferFromCall { from, to, value });
        let before = self.held()?;
        let accepted = self.moves(&transfer);
        let received = self.held()?.saturating_sub(before);
        self.check(value, if accepted { received } else { U256::ZERO })
    }

    /// Pays `value` units to an account.
    pub(crate) fn push(&self, to: Address, value: U256) -> Result<(), Revert> {
        let transfer = call::encode(&IToken::transferCall { to, value });
        let accepted = self.moves(&transfer);
        self.check(value, if accepted { value } else { U256::ZERO })
    }

    /// Whether the token says that it did what it was asked: by `true`, or by not reverting, as older ones do.
    fn moves(&self, transfer: &[u8]) -> bool {
        let token = self.token.get();
        match self.call(token, transfer) {
            Ok(answer) if answer.is_empty() => self.vm().code_size(token) > 0,
            Ok(answer) => answer.first_chunk() == Some(&B256::with_last_byte(1).0),
            Err(_) => false,
        }
    }

    fn held(&self) -> Result<U256, Revert> {
        let (account, token) = (self.vm().contract_address(), self.token.get());
        let answer = self.call(token, &call::encode(&IToken::balanceOfCall { account }))?;
        codec::decode(&answer).ok_or_else(|| IContract::UnexpectedAnswer { from: token }.into())
    }

    fn check(&self, expected: U256, received: U256) -> Result<(), Revert> {
        if expected == received {
            return Ok(());
        }
        Err(IBonds::TokenRefused {
            token: self.token.get(),
            expected,
            received,
        }
        .into())
    }
}
