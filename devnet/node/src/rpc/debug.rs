//! Traces.

use alloy::{
    primitives::{B256, b256, keccak256},
    rpc::types::{
        BlockOverrides,
        state::StateOverride,
        trace::geth::{CallConfig, PreStateConfig},
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, RpcError, params::Params};
use crate::{
    chain::{At, CallOverrides, Chain, Tracer},
    trace::StepOptions,
};

/// Keccak-256 of the JavaScript tracer that `cargo stylus` 0.10.10 sends. It does what
/// `stylusTracer` does, so no JavaScript is needed to answer it.
const CARGO_STYLUS_TRACER: B256 =
    b256!("04ebc2594a7ec02150584e6793a43abbbe46838fbcbd83731c470b1fc438e1bc");

/// Runs a method of this group.
pub(super) fn call(chain: &mut Chain, method: &str, params: &Params) -> Option<Answer> {
    Some(match method {
        "debug_traceTransaction" => trace_transaction(chain, params),
        "debug_traceCall" => trace_call(chain, params),
        "debug_traceBlockByNumber" => trace_block(chain, params, |params| params.block(0)),
        "debug_traceBlockByHash" => {
            trace_block(chain, params, |params| Ok(params.hash(0, "hash")?.into()))
        }
        _ => return None,
    })
}

/// The last parameter of a trace.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    tracer: Option<String>,
    tracer_config: Option<Value>,
    enable_memory: bool,
    disable_memory: bool,
    disable_stack: bool,
    disable_storage: bool,
    enable_return_data: bool,
    limit: u64,
    state_overrides: Option<StateOverride>,
    block_overrides: Option<BlockOverrides>,
}

impl Options {
    fn read(params: &Params, index: usize) -> Result<Self, RpcError> {
        Ok(params
            .maybe(index, "options", "an object of tracing options")?
            .unwrap_or_default())
    }

    fn config<T: serde::de::DeserializeOwned + Default>(&self) -> Result<T, RpcError> {
        let Some(config) = &self.tracer_config else {
            return Ok(T::default());
        };
        T::deserialize(config)
            .map_err(|error| RpcError::invalid_params(format!("invalid `tracerConfig`: {error}")))
    }

    fn tracer(&self) -> Result<Tracer, RpcError> {
        let Some(name) = &self.tracer else {
            return Ok(Tracer::Steps(StepOptions {
                memory: self.enable_memory && !self.disable_memory,
                stack: !self.disable_stack,
                storage: !self.disable_storage,
                return_data: self.enable_return_data,
                limit: self.limit,
            }));
        };
        Ok(match name.as_str() {
            "callTracer" => {
                let config: CallConfig = self.config()?;
                Tracer::Calls {
                    only_top: config.only_top_call.unwrap_or_default(),
                    with_logs: config.with_log.unwrap_or_default(),
                }
            }
            "prestateTracer" => {
                let config: PreStateConfig = self.config()?;
                Tracer::Prestate {
                    diff: config.diff_mode.unwrap_or_default(),
                }
            }
            "4byteTracer" => Tracer::Selectors,
            "noopTracer" => Tracer::Nothing,
            "stylusTracer" => Tracer::Hostios,
            script if keccak256(script.trim()) == CARGO_STYLUS_TRACER => Tracer::Hostios,
            other => {
                let shown: String = other.chars().take(60).collect();
                return Err(RpcError::invalid_params(format!(
                    "invalid `tracer`: expected callTracer, prestateTracer, 4byteTracer, \
                     noopTracer or stylusTracer (tracers in JavaScript are not supported), \
                     got \"{shown}\""
                )));
            }
        })
    }
}

fn trace_transaction(chain: &mut Chain, params: &Params) -> Answer {
    let hash = params.hash(0, "hash")?;
    let tracer = Options::read(params, 1)?.tracer()?;
    Ok(chain.trace_transaction(&hash, tracer)?)
}

fn trace_call(chain: &mut Chain, params: &Params) -> Answer {
    let request = params.request(0)?;
    let at = chain.resolve(params.block(1)?)?;
    let mut options = Options::read(params, 2)?;
    let overrides = CallOverrides {
        state: options.state_overrides.take(),
        block: options.block_overrides.take().map(Box::new),
    };
    let tracer = options.tracer()?;
    Ok(chain.trace_call(&request, at, &overrides, tracer)?)
}

fn trace_block(
    chain: &mut Chain,
    params: &Params,
    named: impl Fn(&Params) -> Result<alloy::eips::BlockId, RpcError>,
) -> Answer {
    let tracer = Options::read(params, 1)?.tracer()?;
    match chain.resolve(named(params)?)? {
        At::Block(number) => Ok(chain.trace_block(number, tracer)?),
        At::Pending => Err(RpcError::invalid_params(
            "the pending block cannot be traced",
        )),
    }
}
