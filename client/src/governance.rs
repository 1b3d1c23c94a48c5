//! Changes of the market: announced, awaited, made.

use std::fmt;

use alloy::dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier};
use alloy::json_abi::Function;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, TransactionReceipt};
use alloy::sol_types::SolEvent;
use vouch_abi::IGovernance;

use crate::revert::interfaces;
use crate::{Error, Market, send};

/// A change that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id, a hash of target and data.
    pub id: B256,
    /// The contract that will be called.
    pub target: Address,
    /// With what.
    pub data: Bytes,
    /// First second in which anybody can make the call, Unix time.
    pub from: u64,
    /// Last one.
    pub until: u64,
    /// What has become of it.
    pub fate: Fate,
}

/// What has become of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Waits, for its time or for somebody.
    Scheduled,
    /// The owner took it back.
    Cancelled,
    /// It was made.
    Executed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "scheduled",
            Self::Cancelled => "cancelled",
            Self::Executed => "executed",
        })
    }
}

impl Market {
    /// Every change ever announced, in order.
    ///
    /// # Errors
    /// [`Error::Rpc`], [`Error::Decode`].
    pub async fn operations(&self) -> Result<Vec<Operation>, Error> {
        let filter = Filter::new()
            .address(self.addresses.governance)
            .event_signature(vec![
                IGovernance::OperationScheduled::SIGNATURE_HASH,
                IGovernance::OperationCancelled::SIGNATURE_HASH,
                IGovernance::OperationExecuted::SIGNATURE_HASH,
            ])
            .from_block(self.first_block);
        let mut operations = Vec::new();
        for log in self.provider.get_logs(&filter).await? {
            if let Ok(event) = IGovernance::OperationScheduled::decode_log(&log.inner) {
                let IGovernance::OperationScheduled {
                    operation,
                    target,
                    data,
                    from,
                    until,
                } = event.data;
                operations.push(Operation {
                    id: operation,
                    target,
                    data,
                    from,
                    until,
                    fate: Fate::Scheduled,
                });
                continue;
            }
            let fate = match log.topic0() {
                Some(&IGovernance::OperationExecuted::SIGNATURE_HASH) => Fate::Executed,
                _ => Fate::Cancelled,
            };
            let id = log.topics().get(1).copied().unwrap_or_default();
            // The same call may have been announced before.
            let last = operations.iter_mut().rev().find(|op| op.id == id);
            last.ok_or_else(|| Error::Decode {
                what: "the governor's events",
                detail: format!("operation {id} ended and was never scheduled"),
            })?
            .fate = fate;
        }
        Ok(operations)
    }

    /// Announces a call of a contract that this market's governor governs.
    ///
    /// # Errors
    /// [`Error::Reverted`], [`Error::Rpc`], [`Error::Failed`].
    pub async fn schedule(
        &self,
        target: Address,
        data: Bytes,
    ) -> Result<(Operation, TransactionReceipt), Error> {
        let receipt = send(self.governance().schedule(target, data)).await?;
        let event = receipt
            .decoded_log::<IGovernance::OperationScheduled>()
            .ok_or(Error::EventMissing {
                tx: receipt.transaction_hash,
                event: "OperationScheduled",
            })?
            .data;
        let operation = Operation {
            id: event.operation,
            target: event.target,
            data: event.data,
            from: event.from,
            until: event.until,
            fate: Fate::Scheduled,
        };
        Ok((operation, receipt))
    }
}

/// The calldata of a contract's function, its arguments as text: `setFee`, `["100"]`; lists in brackets.
///
/// # Errors
/// What was expected, where there is no such function or the arguments are not its.
pub fn encode(contract: &str, function: &str, arguments: &[String]) -> Result<Bytes, String> {
    let functions = functions(contract).ok_or_else(|| {
        let known: Vec<&str> = interfaces()
            .into_iter()
            .skip(1)
            .map(|(name, _)| name)
            .collect();
        format!("{contract}: expected one of {}", known.join(", "))
    })?;
    let Some(function) = functions.iter().find(|f| f.name == function) else {
        let mut known: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
        known.sort_unstable();
        let known = known.join(", ");
        return Err(format!(
            "{contract} has no function {function} that changes anything; it has {known}"
        ));
    };
    let expected = function.signature();
    if function.inputs.len() != arguments.len() {
        let found = arguments.len();
        return Err(format!(
            "{expected}: expected {} arguments, found {found}",
            function.inputs.len()
        ));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for (input, text) in function.inputs.iter().zip(arguments) {
        let kind: DynSolType = input.resolve().map_err(|e| e.to_string())?;
        let value = kind
            .coerce_str(text)
            .map_err(|_| format!("{expected}: {} {text:?}: expected {kind}", input.name))?;
        values.push(value);
    }
    let data = function
        .abi_encode_input(&values)
        .map_err(|e| e.to_string())?;
    Ok(data.into())
}

/// A call as a person reads it: `setFee(fee: 100)`; calldata of no known function stays hex.
pub fn describe(data: &[u8]) -> String {
    let selector = data.get(..4).unwrap_or_default();
    let known = interfaces()
        .into_iter()
        .flat_map(|(_, abi)| abi.functions.into_values().flatten())
        .find(|function| function.selector() == selector);
    let values = known.as_ref().and_then(|function| {
        let rest = data.get(4..)?;
        function.abi_decode_input(rest).ok()
    });
    match (known, values) {
        (Some(function), Some(values)) => {
            let arguments = function.inputs.iter().zip(&values);
            let arguments: Vec<String> = arguments
                .map(|(input, value)| format!("{}: {}", input.name, show(value)))
                .collect();
            format!("{}({})", function.name, arguments.join(", "))
        }
        _ => alloy::hex::encode_prefixed(data),
    }
}

fn show(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Address(address) => address.to_checksum(None),
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::FixedBytes(word, size) => alloy::hex::encode_prefixed(&word[..*size]),
        DynSolValue::Bytes(bytes) => alloy::hex::encode_prefixed(bytes),
        DynSolValue::String(text) => format!("{text:?}"),
        DynSolValue::Array(values) => {
            let values: Vec<String> = values.iter().map(show).collect();
            format!("[{}]", values.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// The functions of a contract that change anything.
fn functions(contract: &str) -> Option<Vec<Function>> {
    use alloy::json_abi::StateMutability::{Pure, View};
    let (_, abi) = interfaces()
        .into_iter()
        .skip(1)
        .find(|(name, _)| *name == contract)?;
    let all = abi.functions.into_values().flatten();
    Some(
        all.filter(|f| ![Pure, View].contains(&f.state_mutability))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolCall;
    use vouch_abi::{IAttestation, IEscrow, IOffers};

    use super::*;

    fn texts(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn calls_are_written_and_read_as_text() {
        let call = IAttestation::setFeeCall {
            fee: alloy::primitives::U256::from(100),
        };
        let data = encode("attestation", "setFee", &texts(&["100"])).unwrap();
        assert_eq!(data, call.abi_encode());
        assert_eq!(describe(&data), "setFee(fee: 100)");
        let call = IEscrow::setPausedCall { paused: false };
        assert_eq!(describe(&call.abi_encode()), "setPaused(paused: false)");
        let call = IOffers::raiseNonceCall {
            nonce: alloy::primitives::U256::MAX,
        };
        let text = call.nonce.to_string();
        let data = encode("offers", "raiseNonce", &[text]).unwrap();
        assert_eq!(data, call.abi_encode());
        let call = IGovernance::scheduleCall {
            target: Address::repeat_byte(1),
            data: vec![1, 2].into(),
        };
        let text = texts(&[&call.target.to_string(), "0x0102"]);
        let data = encode("governance", "schedule", &text).unwrap();
        assert_eq!(data, call.abi_encode());
        let expected = format!("schedule(target: {}, data: 0x0102)", call.target);
        assert_eq!(describe(&data), expected);
    }

    #[test]
    fn what_is_no_call_of_the_contract_is_refused() {
        for (contract, function, arguments, expected) in [
            (
                "bank",
                "setFee",
                &["1"][..],
                "expected one of governance, bonds",
            ),
            ("attestation", "setFees", &["1"], "has no function setFees"),
            ("attestation", "fee", &[], "has no function fee"),
            (
                "attestation",
                "setFee",
                &[],
                "setFee(uint256): expected 1 arguments, found 0",
            ),
            ("attestation", "setFee", &["-1"], "\"-1\": expected uint256"),
            ("escrow", "setPaused", &["perhaps"], "expected bool"),
            ("contract", "setFee", &[], "expected one of"),
        ] {
            let error = encode(contract, function, &texts(arguments)).unwrap_err();
            assert!(
                error.contains(expected),
                "expected {expected:?} in {error:?}"
            );
        }
    }

    #[test]
    fn hostile_calldata_stays_hex() {
        let whole = IAttestation::setFeeCall::default().abi_encode();
        for length in 0..whole.len() {
            let text = describe(&whole[..length]);
            assert!(text.starts_with("0x"), "{length} bytes: {text}");
        }
    }
}
