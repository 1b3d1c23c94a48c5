//! Credits by authorisation: what an account has signed for this contract becomes its credit,
//! whoever brings the signature. What the account gives afterwards comes out of that credit first, so
//! that a batch of a deposit and an order needs no approval.

use alloc::{vec, vec::Vec};

use alloy_primitives::{Address, B256, U256, address};
use stylus_sdk::prelude::*;
use vouch_abi::{
    IAuthorized, IEscrow, IPermit2,
    call::{self, Answer, SolCall},
    codec::{Codec, Reader},
};

use crate::{Escrow, token::refused};

/// Where Permit2 stands on every chain.
const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

/// Calldata of ERC-3009's `receiveWithAuthorization`: the arguments of `depositWithAuthorization`, with
/// the receiver instead of the token. Copied, because to decode and to encode them is most of a kilobyte.
fn receive(arguments: &[u8], to: &B256) -> Option<Vec<u8>> {
    let (from, rest) = (arguments.get(32..64)?, arguments.get(64..288)?);
    let selector = IAuthorized::receiveWithAuthorizationCall::SELECTOR;
    Some([&selector[..], from, to.as_slice(), rest].concat())
}

/// Calldata of Permit2's `permitTransferFrom`, from the arguments of `depositWithPermit2` with the signature
/// right behind them.
fn transfer(arguments: &[u8], to: &B256) -> Option<Vec<u8>> {
    let (token, owner) = (arguments.get(..32)?, arguments.get(32..64)?);
    let (value, permit) = (arguments.get(64..96)?, arguments.get(64..160)?);
    let (offset, signature) = (arguments.get(160..192)?, arguments.get(192..)?);
    if offset != B256::with_last_byte(192).as_slice() {
        return None;
    }
    let offset = U256::from(256_u16).to_be_bytes::<32>();
    let selector = IPermit2::permitTransferFromCall::SELECTOR;
    let parts: [&[u8]; 8] = [
        &selector,
        token,
        permit,
        to.as_slice(),
        value,
        owner,
        &offset,
        signature,
    ];
    Some(parts.concat())
}

impl Escrow {
    /// Credits an account once a token, or Permit2, has brought what the account signed. That is measured,
    /// because whatever stands there may answer and bring less or nothing.
    ///
    /// Whoever sees an authorisation may bring it first. So a call that brings nothing does no harm where the
    /// credit suffices already.
    pub(crate) fn deposit(&mut self, selector: [u8; 4], arguments: &[u8]) -> Answer {
        self.enter()?;
        let malformed = || call::malformed(selector);
        let mut head = Reader::new(arguments);
        let said = (
            Address::read(&mut head),
            Address::read(&mut head),
            U256::read(&mut head),
        );
        let (token, account, value) = head.value(said).ok_or_else(malformed)?;
        let own = self.vm().contract_address().into_word();
        let (to, calldata) = if selector == IEscrow::depositWithPermit2Call::SELECTOR {
            (PERMIT2, transfer(arguments, &own))
        } else {
            (token, receive(arguments, &own))
        };
        let calldata = calldata.ok_or_else(malformed)?;
        let before = self.held(token);
        let accepted = self.accepts(to, &calldata);
        let received = self.held(token).saturating_sub(before);
        match accepted {
            Ok(true) if received >= value => {}
            _ if received.is_zero() && self.credit(account, token) >= value => return Ok(vec![]),
            Ok(_) => return Err(refused(token, value, received)),
            Err(revert) => return Err(revert),
        }
        self.owe(token, &value)?;
        self.give_credit(token, account, value);
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;

    const OWN: Address = Address::repeat_byte(0xec);

    #[test]
    fn authorisations_are_copied_as_they_would_be_encoded() {
        let deposit = IEscrow::depositWithAuthorizationCall {
            token: Address::repeat_byte(1),
            from: Address::repeat_byte(2),
            value: U256::from(3),
            validAfter: U256::from(4),
            validBefore: U256::from(5),
            nonce: B256::repeat_byte(6),
            v: 27,
            r: B256::repeat_byte(8),
            s: B256::repeat_byte(9),
        };
        let expected = IAuthorized::receiveWithAuthorizationCall {
            from: deposit.from,
            to: OWN,
            value: deposit.value,
            validAfter: deposit.validAfter,
            validBefore: deposit.validBefore,
            nonce: deposit.nonce,
            v: deposit.v,
            r: deposit.r,
            s: deposit.s,
        };
        let arguments = &deposit.abi_encode()[4..];
        let copied = receive(arguments, &OWN.into_word());
        assert_eq!(copied, Some(expected.abi_encode()));
        for length in 0..arguments.len() {
            assert_eq!(receive(&arguments[..length], &OWN.into_word()), None);
        }
    }

    #[test]
    fn permits_are_copied_as_they_would_be_encoded() {
        for length in [0, 1, 64, 65, 96] {
            let deposit = IEscrow::depositWithPermit2Call {
                token: Address::repeat_byte(1),
                owner: Address::repeat_byte(2),
                value: U256::from(3),
                nonce: U256::from(4),
                deadline: U256::from(5),
                signature: Bytes::from(vec![6; length]),
            };
            let expected = IPermit2::permitTransferFromCall {
                permit: IPermit2::PermitTransferFrom {
                    permitted: IPermit2::TokenPermissions {
                        token: deposit.token,
                        amount: deposit.value,
                    },
                    nonce: deposit.nonce,
                    deadline: deposit.deadline,
                },
                transferDetails: IPermit2::SignatureTransferDetails {
                    to: OWN,
                    requestedAmount: deposit.value,
                },
                owner: deposit.owner,
                signature: deposit.signature.clone(),
            };
            let mut arguments = deposit.abi_encode().split_off(4);
            let copied = transfer(&arguments, &OWN.into_word());
            assert_eq!(copied, Some(expected.abi_encode()), "{length}");
            for length in 0..192 {
                assert_eq!(transfer(&arguments[..length], &OWN.into_word()), None);
            }
            arguments[191] = 0xe0;
            assert_eq!(transfer(&arguments, &OWN.into_word()), None, "elsewhere");
        }
    }
}
