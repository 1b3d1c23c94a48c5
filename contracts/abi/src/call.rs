//! Calldata, as contracts read and write it. No types of a contract SDK: tests and clients can use
//! the same functions.

use alloc::vec::Vec;

use alloy_sol_types::{SolCall, SolConstructor, SolError, SolType};

use crate::IContract;

/// Selector by which deployers call a Stylus contract's constructor: that of
/// `stylus_constructor()`, whatever its parameters.
pub const CONSTRUCTOR: [u8; 4] = [0x55, 0x85, 0x25, 0x8d];

/// What a contract answers: return data, or the encoded error it reverts with.
pub type Answer = Result<Vec<u8>, Vec<u8>>;

/// Splits calldata into selector and arguments; short calldata has the selector zero-padded.
pub fn split(calldata: &[u8]) -> ([u8; 4], &[u8]) {
    match calldata.split_first_chunk::<4>() {
        Some((selector, arguments)) => (*selector, arguments),
        None => {
            let mut selector = [0; 4];
            selector
                .iter_mut()
                .zip(calldata)
                .for_each(|(to, from)| *to = *from);
            (selector, &[])
        }
    }
}

/// Decodes the arguments of a call.
///
/// # Errors
/// `MalformedCalldata`, encoded.
pub fn arguments<C: SolCall>(arguments: &[u8]) -> Result<C, Vec<u8>> {
    C::abi_decode_raw(arguments).map_err(|_| malformed(C::SELECTOR))
}

/// Decodes the arguments of a constructor.
///
/// # Errors
/// `MalformedCalldata`, encoded.
pub fn constructor_arguments<'a, C: SolConstructor>(
    arguments: &'a [u8],
) -> Result<<C::Parameters<'a> as SolType>::RustType, Vec<u8>> {
    C::Parameters::abi_decode_params(arguments).map_err(|_| malformed(CONSTRUCTOR))
}

/// Calldata that constructs a contract.
pub fn construct<C: SolConstructor>(constructor: &C) -> Vec<u8> {
    let mut calldata = CONSTRUCTOR.to_vec();
    calldata.extend(constructor.abi_encode());
    calldata
}

/// Encodes what a call returns.
pub fn returns<C: SolCall>(value: &C::Return) -> Answer {
    Ok(C::abi_encode_returns(value))
}

/// Encodes an error to revert with.
pub fn fail<T>(error: impl SolError) -> Result<T, Vec<u8>> {
    Err(error.abi_encode())
}

/// The answer to a selector that no function has.
pub fn unknown(selector: [u8; 4]) -> Answer {
    fail(IContract::UnknownFunction {
        selector: selector.into(),
    })
}

fn malformed(selector: [u8; 4]) -> Vec<u8> {
    IContract::MalformedCalldata {
        selector: selector.into(),
    }
    .abi_encode()
}
