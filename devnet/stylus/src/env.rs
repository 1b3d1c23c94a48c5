//! What the caller tells the machine about the chain and about one execution.

use revm::{
    context::{BlockEnv, CfgEnv},
    primitives::hardfork::SpecId,
};

use crate::chain::RecentPrograms;

/// The chain and block a transaction runs in.
#[derive(Clone, Debug)]
pub struct Env {
    /// Chain id, checked against signed transactions and returned by `CHAINID`.
    pub chain_id: u64,
    /// Block fields the EVM sees. `number` is what the `NUMBER` opcode and `block_number` return:
    /// on Arbitrum that is the L1 block.
    pub block: BlockEnv,
    /// What `ArbSys.arbBlockNumber` returns; `None` means the same as `block.number`.
    pub arb_block_number: Option<u64>,
    /// Version of `ArbOS`. Versions from 50 are supported; 60 adds fragmented programs and the
    /// block-local discount for recently run programs.
    pub arbos_version: u64,
    /// Whether this is a debug chain: `ArbDebug` and the `console` and `debug` imports exist.
    pub debug: bool,
    /// Programs already run in this block. Feed [`crate::Outcome::recent`] of the previous
    /// transaction of the block; start each block with the default.
    pub recent: RecentPrograms,
}

impl Env {
    /// An environment at `block` on chain `chain_id`: `ArbOS` 60, debug precompiles on.
    pub fn new(chain_id: u64, block: BlockEnv) -> Self {
        Self {
            chain_id,
            block,
            arb_block_number: None,
            arbos_version: 60,
            debug: true,
            recent: RecentPrograms::default(),
        }
    }
}

/// How strictly a transaction is checked before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// A transaction for a block: nonce, balance, base fee, sender without code, block gas limit.
    #[default]
    Block,
    /// As [`Self::Block`], but the sender may have code: a node that impersonates a contract.
    Impersonated,
    /// `eth_call`, estimates, traces of calls: none of those, and no fee is charged.
    Call,
}

/// How to run one transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Checks made before execution.
    pub checks: Checks,
    /// Whether to record every host call of every Stylus program, see [`crate::Outcome::steps`].
    pub record_hostios: bool,
}

/// The hard fork of Ethereum whose EVM rules apply.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;

/// revm's configuration for `env` under `checks`.
pub(crate) fn config(env: &Env, checks: Checks) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(SPEC).with_chain_id(env.chain_id);
    // Stylus code begins with 0xEF; `evm` rejects every other such code itself.
    cfg.disable_eip3541 = true;
    // Arbitrum has neither the calldata floor of EIP-7623 nor the gas cap of EIP-7825, which
    // would turn away the activation of a large program.
    cfg.disable_eip7623 = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    cfg.disable_priority_fee_check = false;
    cfg.disable_eip3607 = checks == Checks::Impersonated;
    if checks == Checks::Call {
        cfg.tx_chain_id_check = false;
        cfg.disable_nonce_check = true;
        cfg.disable_balance_check = true;
        cfg.disable_block_gas_limit = true;
        cfg.disable_eip3607 = true;
        cfg.disable_base_fee = true;
        cfg.disable_fee_charge = true;
        cfg.disable_priority_fee_check = true;
    }
    cfg
}
