//! Positional parameters, read one by one, with errors that name the parameter.

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes, U256},
    rpc::types::{BlockOverrides, Filter, TransactionRequest, state::StateOverride},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RpcError;
use crate::chain::CallOverrides;

/// Longest excerpt of a wrong value in an error message, in characters.
const EXCERPT: usize = 100;

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<Value>);

type Read<T> = Result<T, RpcError>;

impl Params {
    /// The parameters in `value`: an array, or nothing.
    ///
    /// # Errors
    /// It is something else; named parameters do not exist in Ethereum.
    pub(crate) fn new(value: Option<Value>) -> Read<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Array(values)) => Ok(Self(values)),
            Some(other) => Err(RpcError::invalid_params(format!(
                "params: expected an array of positional parameters, got {}",
                excerpt(&other)
            ))),
        }
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.0.len()
    }

    /// The parameter as it came; `None` if absent or null.
    pub(crate) fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        index: usize,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Read<Option<T>> {
        let Some(value) = self.get(index) else {
            return Ok(None);
        };
        parse(value).map(Some).map_err(|reason| {
            RpcError::invalid_params(format!(
                "invalid `{name}` (parameter {index}): expected {expected}, got {}: {reason}",
                excerpt(value)
            ))
        })
    }

    fn missing(&self, index: usize, name: &str, expected: &str) -> RpcError {
        RpcError::invalid_params(format!(
            "missing `{name}` (parameter {index}): expected {expected}, got {} parameters",
            self.len()
        ))
    }

    fn required<T>(
        &self,
        index: usize,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Read<T> {
        self.read(index, name, expected, parse)?
            .ok_or_else(|| self.missing(index, name, expected))
    }

    /// A 20-byte address.
    pub(crate) fn address(&self, index: usize, name: &str) -> Read<Address> {
        self.required(index, name, ADDRESS, from_json)
    }

    /// A 32-byte hash.
    pub(crate) fn hash(&self, index: usize, name: &str) -> Read<B256> {
        self.required(index, name, "a 32-byte hash in hex", from_json)
    }

    /// A 32-byte word; shorter hex is padded on the left.
    pub(crate) fn word(&self, index: usize, name: &str) -> Read<B256> {
        self.required(index, name, "a word of up to 32 bytes in hex", |value| {
            from_json::<B256>(value).or_else(|_| quantity(value).map(B256::from))
        })
    }

    /// Bytes in hex.
    pub(crate) fn bytes(&self, index: usize, name: &str) -> Read<Bytes> {
        self.required(index, name, "bytes in hex", from_json)
    }

    /// A number of up to 256 bits.
    pub(crate) fn quantity(&self, index: usize, name: &str) -> Read<U256> {
        self.required(index, name, QUANTITY, quantity)
    }

    /// A number of up to 64 bits.
    pub(crate) fn number(&self, index: usize, name: &str) -> Read<u64> {
        self.required(index, name, QUANTITY, number)
    }

    /// A number of up to 64 bits, if given.
    pub(crate) fn maybe_number(&self, index: usize, name: &str) -> Read<Option<u64>> {
        self.read(index, name, QUANTITY, number)
    }

    /// True or false.
    pub(crate) fn boolean(&self, index: usize, name: &str) -> Read<bool> {
        self.required(index, name, "true or false", from_json)
    }

    /// True or false; false if absent.
    pub(crate) fn flag(&self, index: usize, name: &str) -> Read<bool> {
        Ok(self
            .read(index, name, "true or false", from_json)?
            .unwrap_or_default())
    }

    /// A text.
    pub(crate) fn text(&self, index: usize, name: &str) -> Read<String> {
        self.required(index, name, "a string", from_json)
    }

    /// A block by number, tag or hash; the newest if absent.
    pub(crate) fn block(&self, index: usize) -> Read<BlockId> {
        Ok(self
            .read(index, "block", BLOCK, from_json)?
            .unwrap_or_default())
    }

    /// A block by number or tag.
    pub(crate) fn tag(&self, index: usize) -> Read<BlockNumberOrTag> {
        self.required(
            index,
            "block",
            "a block number in hex, or a tag such as \"latest\"",
            from_json,
        )
    }

    /// A transaction or call.
    pub(crate) fn request(&self, index: usize) -> Read<TransactionRequest> {
        self.required(index, "transaction", "a transaction object", from_json)
    }

    /// State and block overrides at `index` and the place after it.
    pub(crate) fn overrides(&self, index: usize) -> Read<CallOverrides> {
        let state: Option<StateOverride> = self.read(
            index,
            "stateOverrides",
            "an object of accounts with balance, nonce, code, state or stateDiff",
            from_json,
        )?;
        let block: Option<BlockOverrides> = self.read(
            index + 1,
            "blockOverrides",
            "an object of block fields",
            from_json,
        )?;
        Ok(CallOverrides {
            state,
            block: block.map(Box::new),
        })
    }

    /// A log filter.
    pub(crate) fn filter(&self, index: usize) -> Read<Filter> {
        self.required(
            index,
            "filter",
            "an object with fromBlock and toBlock or blockHash, address, topics",
            from_json,
        )
    }

    /// Anything with a JSON form, if given.
    pub(crate) fn maybe<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
        expected: &str,
    ) -> Read<Option<T>> {
        self.read(index, name, expected, from_json)
    }

    /// Anything with a JSON form.
    pub(crate) fn object<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
        expected: &str,
    ) -> Read<T> {
        self.required(index, name, expected, from_json)
    }
}

const ADDRESS: &str = "a 20-byte address in hex";
const QUANTITY: &str = "a number, as hex with 0x, as decimal text, or plain";
const BLOCK: &str = "a block number in hex, a tag such as \"latest\", or an EIP-1898 object";

fn from_json<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

/// A number in any of the ways clients write one.
pub(crate) fn quantity(value: &Value) -> Result<U256, String> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .map(U256::from)
            .ok_or_else(|| "not a whole number of 64 bits".into()),
        Value::String(text) => text.parse::<U256>().map_err(|error| error.to_string()),
        _ => Err("neither number nor text".into()),
    }
}

fn number(value: &Value) -> Result<u64, String> {
    quantity(value)?
        .try_into()
        .map_err(|_| "more than 64 bits".into())
}

fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= EXCERPT {
        return text;
    }
    text.chars().take(EXCERPT).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        Params::new(Some(value)).unwrap()
    }

    #[test]
    fn errors_name_the_parameter_and_what_was_expected() {
        let error = params(json!(["x"])).address(0, "account").unwrap_err();
        assert_eq!(error.code, -32602);
        assert!(error.message.contains("`account`"), "{}", error.message);
        assert!(
            error.message.contains("20-byte address"),
            "{}",
            error.message
        );
        let error = params(json!([])).hash(0, "hash").unwrap_err();
        assert!(
            error.message.starts_with("missing `hash`"),
            "{}",
            error.message
        );
    }

    #[test]
    fn numbers_come_in_three_ways_and_no_other() {
        for value in [json!("0x10"), json!("16"), json!(16)] {
            assert_eq!(params(json!([value])).number(0, "n").unwrap(), 16);
        }
        for value in [
            json!(-1),
            json!(1.5),
            json!("zz"),
            json!(true),
            json!("0x10000000000000000"),
        ] {
            assert!(params(json!([value])).number(0, "n").is_err(), "{value}");
        }
    }

    #[test]
    fn named_parameters_are_refused() {
        assert!(Params::new(Some(json!({"a": 1}))).is_err());
        assert_eq!(Params::new(Some(Value::Null)).unwrap().len(), 0);
    }

    #[test]
    fn long_values_are_cut() {
        let error = params(json!(["0x".to_owned() + &"f".repeat(5000)]))
            .address(0, "a")
            .unwrap_err();
        assert!(error.message.len() < 400, "{}", error.message.len());
    }
}
