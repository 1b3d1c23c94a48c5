//! Calldata, return data and reverts, as contracts read and write them. No types of a contract SDK:
//! tests and clients can use the same functions.

use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::hex;
use alloy_sol_types::{SolConstructor, SolError};

use crate::{
    IContract,
    codec::{self, Codec, Fields},
};

/// Selector by which deployers call a Stylus contract's constructor: that of
/// `stylus_constructor()`, whatever its parameters.
pub const CONSTRUCTOR: [u8; 4] = [0x55, 0x85, 0x25, 0x8d];

/// Why a call changes nothing: an error of the interfaces, encoded. Any of them converts with `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct Revert(pub Vec<u8>);

impl<E: SolError + Fields> From<E> for Revert {
    fn from(error: E) -> Self {
        Self(codec::select(E::SELECTOR, &error))
    }
}

impl fmt::Debug for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revert({})", hex::encode(&self.0))
    }
}

/// What a contract answers: return data, or why it reverts.
pub type Answer = Result<Vec<u8>, Revert>;

/// Answers calldata by the function it calls: `dispatch!(calldata, { call: Call => answer, .. })`.
/// Calldata of no listed function is answered with `UnknownFunction`, arguments that do not decode
/// with `MalformedCalldata`.
#[macro_export]
macro_rules! dispatch {
    ($calldata:expr, { $($call:ident: $type:ty => $answer:expr,)* }) => {{
        let (selector, arguments) = $crate::call::split($calldata);
        match selector {
            $(<$type as $crate::call::SolCall>::SELECTOR => {
                #[allow(unused_variables, reason = "some calls have no arguments")]
                let $call: $type = $crate::call::arguments(selector, arguments)?;
                $answer
            })*
            _ => Err($crate::call::unknown(selector)),
        }
    }};
}

pub use alloy_sol_types::{SolCall, SolEvent};

/// The arguments of a call.
///
/// # Errors
/// `MalformedCalldata`.
pub fn arguments<T: Fields>(selector: [u8; 4], arguments: &[u8]) -> Result<T, Revert> {
    codec::read(arguments).ok_or_else(|| malformed(selector))
}

/// The constructor's arguments, where the calldata calls the constructor.
///
/// # Errors
/// `MalformedCalldata`.
pub fn construction<T: Fields>(calldata: &[u8]) -> Result<Option<T>, Revert> {
    match split(calldata) {
        (CONSTRUCTOR, bytes) => arguments(CONSTRUCTOR, bytes).map(Some),
        _ => Ok(None),
    }
}

/// Calldata that constructs a contract.
pub fn construct<C: SolConstructor>(constructor: &C) -> Vec<u8> {
    let mut calldata = CONSTRUCTOR.to_vec();
    calldata.extend(constructor.abi_encode());
    calldata
}

/// Calldata of a call.
pub fn encode<C: SolCall + Fields>(call: &C) -> Vec<u8> {
    codec::select(C::SELECTOR, call)
}

/// Answers with one value.
///
/// # Errors
/// None: the type is that of an [`Answer`].
pub fn returns<C: SolCall<Return: Codec>>(value: C::Return) -> Answer {
    Ok(codec::encode(&value))
}

/// Answers with several values.
///
/// # Errors
/// None: the type is that of an [`Answer`].
pub fn returns_all<C: SolCall<Return: Fields>>(values: C::Return) -> Answer {
    let mut bytes = Vec::new();
    codec::append(&values, &mut bytes);
    Ok(bytes)
}

/// What calldata of no known function is answered with.
pub fn unknown(selector: [u8; 4]) -> Revert {
    IContract::UnknownFunction {
        selector: selector.into(),
    }
    .into()
}

/// Selector and arguments; the selector of short calldata is padded with zeros.
pub fn split(calldata: &[u8]) -> ([u8; 4], &[u8]) {
    if let Some((selector, arguments)) = calldata.split_first_chunk::<4>() {
        return (*selector, arguments);
    }
    let mut selector = [0; 4];
    selector
        .iter_mut()
        .zip(calldata)
        .for_each(|(to, from)| *to = *from);
    (selector, &[])
}

/// What arguments that do not decode are answered with.
pub fn malformed(selector: [u8; 4]) -> Revert {
    IContract::MalformedCalldata {
        selector: selector.into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::IOffers;

    fn answer(calldata: &[u8]) -> Answer {
        dispatch!(calldata, {
            call: IOffers::cancelCall => returns::<IOffers::idOfCall>(call.offer),
            call: IOffers::bindEscrowCall => returns::<IOffers::escrowCall>(call.escrow),
        })
    }

    #[test]
    fn calls_reach_their_function() {
        let escrow = Address::repeat_byte(7);
        let calldata = IOffers::bindEscrowCall { escrow }.abi_encode();
        assert_eq!(answer(&calldata), Ok(escrow.into_word().to_vec()));
    }

    #[test]
    fn unknown_and_short_selectors_are_named() {
        for (calldata, selector) in [
            (&[1, 2, 3, 4, 5][..], [1, 2, 3, 4]),
            (&[1, 2], [1, 2, 0, 0]),
            (&[], [0; 4]),
            (&CONSTRUCTOR, CONSTRUCTOR),
        ] {
            let expected = IContract::UnknownFunction {
                selector: selector.into(),
            };
            assert_eq!(answer(calldata), Err(expected.into()));
        }
    }

    #[test]
    fn truncated_arguments_are_malformed() {
        let whole = IOffers::bindEscrowCall {
            escrow: Address::repeat_byte(7),
        }
        .abi_encode();
        for length in 4..whole.len() {
            let selector = IOffers::bindEscrowCall::SELECTOR.into();
            let expected = IContract::MalformedCalldata { selector };
            assert_eq!(answer(&whole[..length]), Err(expected.into()));
        }
    }

    #[test]
    fn construction_round_trips_and_is_told_from_calls() {
        type Construct = IOffers::constructorCall;
        let governor = |calldata: &[u8]| {
            Ok(construction::<Construct>(calldata)?.map(|arguments| arguments.governor))
        };
        let expected = Address::repeat_byte(3);
        assert_eq!(
            governor(&construct(&Construct { governor: expected })),
            Ok(Some(expected))
        );
        assert_eq!(governor(&[1, 2, 3, 4]), Ok(None));
        let malformed = IContract::MalformedCalldata {
            selector: CONSTRUCTOR.into(),
        };
        assert_eq!(governor(&CONSTRUCTOR), Err(Revert::from(malformed)));
    }
}
