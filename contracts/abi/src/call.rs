//! Calldata, return data and reverts, as contracts read and write them. No types of a contract SDK:
//! tests and clients can use the same functions.

use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::hex;
use alloy_sol_types::{SolCall, SolConstructor, SolError, SolInterface, SolType};

use crate::IContract;

/// Selector by which deployers call a Stylus contract's constructor: that of
/// `stylus_constructor()`, whatever its parameters.
pub const CONSTRUCTOR: [u8; 4] = [0x55, 0x85, 0x25, 0x8d];

/// Why a call changes nothing: an error of the interfaces, encoded. Any of them converts with `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct Revert(pub Vec<u8>);

impl<E: SolError> From<E> for Revert {
    fn from(error: E) -> Self {
        Self(error.abi_encode())
    }
}

impl fmt::Debug for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revert({})", hex::encode(&self.0))
    }
}

/// What a contract answers: return data, or why it reverts.
pub type Answer = Result<Vec<u8>, Revert>;

/// Decodes a call of one of the interface's functions. Calls are a generated enum, so a contract
/// that matches on them answers every function of its interface, or does not compile.
///
/// # Errors
/// `UnknownFunction`, `MalformedCalldata`.
pub fn decode<C: SolInterface>(calldata: &[u8]) -> Result<C, Revert> {
    let (selector, arguments) = split(calldata);
    if !C::valid_selector(selector) {
        return Err(IContract::UnknownFunction { selector: selector.into() }.into());
    }
    C::abi_decode_raw(selector, arguments).map_err(|_| malformed(selector))
}

/// The constructor's arguments, where the calldata is a call of the constructor.
///
/// # Errors
/// `MalformedCalldata`.
#[allow(clippy::type_complexity, reason = "the arguments are a tuple that only the caller knows")]
pub fn construction<'a, C: SolConstructor>(
    calldata: &'a [u8],
) -> Result<Option<<C::Parameters<'a> as SolType>::RustType>, Revert> {
    match split(calldata) {
        (CONSTRUCTOR, arguments) => C::Parameters::abi_decode_params(arguments)
            .map(Some)
            .map_err(|_| malformed(CONSTRUCTOR)),
        _ => Ok(None),
    }
}

/// Calldata that constructs a contract.
pub fn construct<C: SolConstructor>(constructor: &C) -> Vec<u8> {
    let mut calldata = CONSTRUCTOR.to_vec();
    calldata.extend(constructor.abi_encode());
    calldata
}

/// Encodes what a call returns.
///
/// # Errors
/// None: the type is that of an [`Answer`].
pub fn returns<C: SolCall>(value: C::Return) -> Answer {
    Ok(C::abi_encode_returns(&value))
}

/// Selector and arguments; the selector of short calldata is padded with zeros.
fn split(calldata: &[u8]) -> ([u8; 4], &[u8]) {
    if let Some((selector, arguments)) = calldata.split_first_chunk::<4>() {
        return (*selector, arguments);
    }
    let mut selector = [0; 4];
    selector.iter_mut().zip(calldata).for_each(|(to, from)| *to = *from);
    (selector, &[])
}

fn malformed(selector: [u8; 4]) -> Revert {
    IContract::MalformedCalldata { selector: selector.into() }.into()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::IOffers::{self, IOffersCalls};

    #[test]
    fn unknown_and_short_selectors_are_named() {
        for (calldata, selector) in [
            (&[1, 2, 3, 4, 5][..], [1, 2, 3, 4]),
            (&[1, 2], [1, 2, 0, 0]),
            (&[], [0; 4]),
            (&CONSTRUCTOR, CONSTRUCTOR),
        ] {
            let expected = IContract::UnknownFunction { selector: selector.into() };
            assert_eq!(decode::<IOffersCalls>(calldata), Err(expected.into()));
        }
    }

    #[test]
    fn truncated_arguments_are_malformed() {
        let whole = IOffers::bindEscrowCall { escrow: Address::repeat_byte(7) }.abi_encode();
        assert!(decode::<IOffersCalls>(&whole).is_ok());
        for length in 4..whole.len() {
            let selector = IOffers::bindEscrowCall::SELECTOR.into();
            let expected = IContract::MalformedCalldata { selector };
            assert_eq!(decode::<IOffersCalls>(&whole[..length]), Err(expected.into()));
        }
    }

    #[test]
    fn construction_round_trips_and_is_told_from_calls() {
        type Construct = IOffers::constructorCall;
        let governor = Address::repeat_byte(3);
        let calldata = construct(&Construct { governor });
        assert_eq!(construction::<Construct>(&calldata), Ok(Some((governor,))));
        assert_eq!(construction::<Construct>(&[1, 2, 3, 4]), Ok(None));
        let expected = IContract::MalformedCalldata { selector: CONSTRUCTOR.into() };
        assert_eq!(construction::<Construct>(&CONSTRUCTOR), Err(expected.into()));
    }
}
