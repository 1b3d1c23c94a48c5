//! Balances and allowances, as far as they can be decided without storage.

use alloc::string::String;

use alloy_primitives::{Address, B256, U256};
use vouch_abi::{IToken, call::Revert};

/// Half the order of secp256k1: of the two `s` that verify, only the smaller is taken.
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// The balance after `needed` has left it.
///
/// # Errors
/// `InsufficientBalance`.
pub fn debit(account: Address, balance: U256, needed: U256) -> Result<U256, Revert> {
    balance.checked_sub(needed).ok_or_else(|| {
        IToken::InsufficientBalance {
            account,
            balance,
            needed,
        }
        .into()
    })
}

/// The allowance after `needed` was spent; the largest one is never used up.
///
/// # Errors
/// `InsufficientAllowance`.
pub fn spend(spender: Address, allowance: U256, needed: U256) -> Result<U256, Revert> {
    if allowance == U256::MAX {
        return Ok(allowance);
    }
    allowance.checked_sub(needed).ok_or_else(|| {
        IToken::InsufficientAllowance {
            spender,
            allowance,
            needed,
        }
        .into()
    })
}

/// The supply after minting. No balance can overflow, because none is larger than the supply.
///
/// # Errors
/// `SupplyOverflow`.
pub fn mint(supply: U256, minted: U256) -> Result<U256, Revert> {
    supply
        .checked_add(minted)
        .ok_or_else(|| IToken::SupplyOverflow { supply, minted }.into())
}

/// Whether a permit's signature has the one shape that is taken: anything else could be a second
/// signature made from the first.
pub fn is_canonical(v: u8, s: U256) -> bool {
    matches!(v, 27 | 28) && s <= HALF_ORDER
}

/// A name in one word: its length, then its letters.
///
/// # Errors
/// `InvalidName` for an empty one, or one of more than 31 bytes.
pub fn pack(name: &str) -> Result<B256, Revert> {
    let found = U256::from(name.len());
    if name.is_empty() || name.len() > 31 {
        return Err(IToken::InvalidName {
            expected: U256::from(31),
            found,
        }
        .into());
    }
    let mut word = B256::ZERO;
    let bytes = found
        .to_be_bytes::<32>()
        .into_iter()
        .skip(31)
        .chain(name.bytes());
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    Ok(word)
}

/// Reads what [`pack`] wrote.
pub fn unpack(word: &B256) -> String {
    let bytes = word
        .iter()
        .skip(1)
        .take(usize::from(word[0]))
        .copied()
        .collect();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: Address = Address::repeat_byte(1);

    fn number() -> impl Strategy<Value = U256> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(U256::from_be_bytes),
            any::<u8>().prop_map(U256::from),
            Just(U256::MAX),
        ]
    }

    proptest! {
        #[test]
        fn debit_errors_when_the_balance_is_too_small(balance in number(), needed in number()) {
            let expected = if needed <= balance {
                Ok(balance - needed)
            } else {
                Err(IToken::InsufficientBalance { account: ACCOUNT, balance, needed }.into())
            };
            prop_assert_eq!(debit(ACCOUNT, balance, needed), expected);
        }

        #[test]
        fn spend_errors_when_the_allowance_is_too_small(allowance in number(), needed in number()) {
            let expected = if allowance == U256::MAX {
                Ok(U256::MAX)
            } else if needed <= allowance {
                Ok(allowance - needed)
            } else {
                Err(IToken::InsufficientAllowance { spender: ACCOUNT, allowance, needed }.into())
            };
            prop_assert_eq!(spend(ACCOUNT, allowance, needed), expected);
        }

        #[test]
        fn mint_errors_when_the_supply_would_overflow(supply in number(), minted in number()) {
            let expected = match supply.overflowing_add(minted) {
                (sum, false) => Ok(sum),
                _ => Err(IToken::SupplyOverflow { supply, minted }.into()),
            };
            prop_assert_eq!(mint(supply, minted), expected);
        }
    }

    #[test]
    fn names_of_one_to_31_bytes_are_kept() {
        for name in ["V", "Vouch Dollar", "exactly thirty-one bytes long!!", "é"] {
            assert_eq!(unpack(&pack(name).unwrap()), name.to_string());
        }
        for name in ["", "this name is thirty-two bytes.!!"] {
            let found = U256::from(name.len());
            let expected = IToken::InvalidName {
                expected: U256::from(31),
                found,
            };
            assert_eq!(pack(name), Err(expected.into()));
        }
    }

    #[test]
    fn malleable_signatures_are_refused() {
        assert!(is_canonical(27, HALF_ORDER) && is_canonical(28, U256::ZERO));
        assert!(!is_canonical(27, HALF_ORDER + U256::from(1)));
        for v in [0, 1, 26, 29, 255] {
            assert!(!is_canonical(v, U256::ZERO), "v {v}");
        }
    }
}
