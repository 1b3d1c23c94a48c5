//! Reads what a contract says when it refuses a call.

use std::fmt;
use std::sync::LazyLock;

use alloy::dyn_abi::{DynSolValue, ErrorExt};
use alloy::hex;
use alloy::json_abi::{Error as ErrorAbi, JsonAbi};
use alloy::primitives::Bytes;
use alloy::sol_types::SolError;
use vouch_abi::{IAttestation, IBonds, IContract, IEscrow, IGovernance, IOffers, IToken, IUsage};
use vouch_protocol::{Clause, Reason};

use crate::order::State;

/// A refusal: the error's name, and each parameter by name in readable form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revert {
    /// The error's name in the interface; empty where no interface knows its selector.
    pub name: String,
    /// Parameters in the order of the interface.
    pub params: Vec<(String, String)>,
    /// The bytes as they came.
    pub data: Bytes,
}

static ERRORS: LazyLock<Vec<ErrorAbi>> = LazyLock::new(|| {
    interfaces()
        .into_iter()
        .flat_map(|(_, abi)| abi.errors.into_values().flatten())
        .collect()
});

/// The JSON ABI of each interface, by the name of its contract; `contract` is what all share.
pub fn interfaces() -> [(&'static str, JsonAbi); 8] {
    [
        ("contract", IContract::abi::contract()),
        ("governance", IGovernance::abi::contract()),
        ("bonds", IBonds::abi::contract()),
        ("offers", IOffers::abi::contract()),
        ("usage", IUsage::abi::contract()),
        ("attestation", IAttestation::abi::contract()),
        ("escrow", IEscrow::abi::contract()),
        ("token", IToken::abi::contract()),
    ]
}

impl Revert {
    /// Reads revert data. Bytes that no interface knows stay hex; nothing here fails.
    pub fn decode(data: &[u8]) -> Self {
        if let Ok(revert) = alloy::sol_types::Revert::abi_decode(data) {
            return Self::known("Error", vec![("message".into(), revert.reason)], data);
        }
        if let Ok(panic) = alloy::sol_types::Panic::abi_decode(data) {
            return Self::known("Panic", vec![("code".into(), panic.code.to_string())], data);
        }
        let selector = data.get(..4).unwrap_or_default();
        for error in ERRORS.iter().filter(|error| error.selector() == selector) {
            let Ok(decoded) = error.decode_error(data) else {
                continue;
            };
            let params = error
                .inputs
                .iter()
                .zip(decoded.body)
                .map(|(param, value)| {
                    (
                        param.name.clone(),
                        readable(&error.name, &param.name, &value),
                    )
                })
                .collect();
            return Self::known(&error.name, params, data);
        }
        Self::known("", Vec::new(), data)
    }

    fn known(name: &str, params: Vec<(String, String)>, data: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            params,
            data: data.to_vec().into(),
        }
    }

    /// Whether the refusal is the interface's error `name`.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// A parameter's readable form.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return match self.data.is_empty() {
                true => f.write_str("revert without data"),
                false => write!(f, "unknown error {}", self.data),
            };
        }
        f.write_str(&self.name)?;
        let mut separator = ": ";
        for (name, value) in &self.params {
            write!(f, "{separator}{name} {value}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// A time on chain as UTC; far or impossible times stay numbers.
pub fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .filter(|s| *s > 0)
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| seconds.to_string(), |t| t.to_string())
}

fn readable(error: &str, param: &str, value: &DynSolValue) -> String {
    match value {
        DynSolValue::Uint(n, bits) => {
            let small = u64::try_from(*n).ok();
            match (error, param, bits, small) {
                ("WrongState", "expected" | "found", 8, Some(n)) => {
                    State::from_u8(n as u8).map_or_else(|| n.to_string(), |s| s.to_string())
                }
                (_, "clause", 8, Some(n)) => Clause::ALL
                    .get(n as usize)
                    .map_or_else(|| n.to_string(), |clause| clause.to_string()),
                (_, "reason", 16, Some(n)) => {
                    Reason::from_code(n as u16).map_or_else(|| n.to_string(), |r| r.to_string())
                }
                // Every 64-bit parameter of the interfaces is a time but the limits on uses and on delays.
                (_, "limit", ..) | ("DelayOutOfRange", ..) => n.to_string(),
                (_, _, 64, Some(n)) => time(n),
                _ => n.to_string(),
            }
        }
        DynSolValue::Address(address) => address.to_checksum(None),
        DynSolValue::FixedBytes(word, size) => hex::encode_prefixed(&word[..*size]),
        DynSolValue::String(text) => format!("{text:?}"),
        DynSolValue::Bool(b) => b.to_string(),
        DynSolValue::Bytes(inner) if ["BatchFailed", "CallFailed"].contains(&error) => {
            Revert::decode(inner).to_string()
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use alloy::sol_types::SolError;

    use super::*;

    #[test]
    fn times_states_and_strings_read_well() {
        let data = IEscrow::DeadlinePassed {
            deadline: 1_767_225_600,
            time: 1_767_225_601,
        };
        assert_eq!(
            Revert::decode(&data.abi_encode()).to_string(),
            "DeadlinePassed: deadline 2026-01-01T00:00:00Z, time 2026-01-01T00:00:01Z"
        );
        let data = IEscrow::WrongState {
            order: B256::ZERO,
            expected: 2,
            found: 6,
        };
        let revert = Revert::decode(&data.abi_encode());
        assert_eq!(revert.param("expected"), Some("accepted"));
        assert_eq!(revert.param("found"), Some("refunded"));
        let data = IEscrow::InvalidOrder {
            field: "legs".into(),
        };
        assert_eq!(
            Revert::decode(&data.abi_encode()).to_string(),
            "InvalidOrder: field \"legs\""
        );
        let data = IUsage::InvalidClause { clause: 6 };
        assert_eq!(
            Revert::decode(&data.abi_encode()).to_string(),
            "InvalidClause: clause rim_match"
        );
        let data = IUsage::UsesExhausted {
            policy: B256::ZERO,
            limit: 5,
        };
        assert_eq!(Revert::decode(&data.abi_encode()).param("limit"), Some("5"));
    }

    #[test]
    fn every_interface_is_known() {
        let token = IToken::InsufficientBalance {
            account: Address::ZERO,
            balance: Default::default(),
            needed: Default::default(),
        };
        assert_eq!(
            Revert::decode(&token.abi_encode()).name,
            "InsufficientBalance"
        );
        let busy = IAttestation::DeviceBusy {
            device: B256::ZERO,
            order: Default::default(),
            until: 1,
        };
        assert_eq!(Revert::decode(&busy.abi_encode()).name, "DeviceBusy");
        let delay = IGovernance::DelayOutOfRange {
            delay: 5,
            least: 86_400,
            most: 2_592_000,
        };
        let delay = Revert::decode(&delay.abi_encode());
        assert_eq!(delay.param("least"), Some("86400"), "seconds, no time");
        let paused = IGovernance::CallFailed {
            target: Address::ZERO,
            reason: IEscrow::Paused {}.abi_encode().into(),
        };
        let paused = Revert::decode(&paused.abi_encode());
        assert_eq!(paused.param("reason"), Some("Paused"));
        let offer = IOffers::VolumeExhausted { offer: B256::ZERO };
        assert_eq!(Revert::decode(&offer.abi_encode()).name, "VolumeExhausted");
    }

    #[test]
    fn solidity_strings_are_read() {
        let data = alloy::sol_types::Revert::from("no").abi_encode();
        assert_eq!(Revert::decode(&data).to_string(), "Error: message no");
    }

    #[test]
    fn unknown_short_and_truncated_data_stay_hex() {
        assert_eq!(Revert::decode(&[]).to_string(), "revert without data");
        assert_eq!(Revert::decode(&[1, 2]).to_string(), "unknown error 0x0102");
        let whole = IEscrow::DeadlinePassed {
            deadline: 1,
            time: 2,
        }
        .abi_encode();
        for length in 0..whole.len() {
            assert_eq!(Revert::decode(&whole[..length]).name, "", "{length} bytes");
        }
    }
}
