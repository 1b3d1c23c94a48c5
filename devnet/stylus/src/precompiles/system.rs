//! Facts about chain, blocks, accounts and prices.

use revm::{
    Database,
    context::{Block, Cfg, ContextTr, JournalTr, Transaction},
    primitives::{Address, U256, address},
};

use super::{
    Answer, Call, Fault, Method,
    abi::{
        ArbGasInfo::{self, ArbGasInfoCalls},
        ArbInfo::{self, ArbInfoCalls},
        ArbSys::{self, ArbSysCalls},
    },
    returns,
};
use crate::params::{L1_PRICE, peek};

/// Nitro counts versions of `ArbOS` from here.
const ARBOS_VERSION_BASE: u64 = 55;
/// What is added to the address of a contract of the parent chain when it calls.
const ALIAS: Address = address!("0x1111000000000000000000000000000000001111");

fn alias(sender: Address) -> Address {
    let sum = U256::from_be_bytes(sender.into_word().0)
        .wrapping_add(U256::from_be_bytes(ALIAS.into_word().0));
    Address::from_word(sum.into())
}

pub(super) fn arb_sys<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<ArbSysCalls>()?;
    call.begin(Method::View)?;
    match method {
        ArbSysCalls::arbBlockNumber(_) => {
            let number = U256::from(call.ctx.chain.arb_block_number);
            returns::<ArbSys::arbBlockNumberCall>(&number)
        }
        ArbSysCalls::arbBlockHash(args) => {
            let current = call.ctx.chain.arb_block_number;
            let requested = args.number;
            let number = u64::try_from(requested)
                .ok()
                .filter(|number| *number < current && current - number <= 256);
            let Some(number) = number else {
                let current = U256::from(current);
                return Err(Fault::custom(ArbSys::InvalidBlockNumber {
                    requested,
                    current,
                }));
            };
            let hash = call.journal().db_mut().block_hash(number);
            let hash = call.db(hash)?;
            returns::<ArbSys::arbBlockHashCall>(&hash)
        }
        ArbSysCalls::arbChainID(_) => {
            let id = U256::from(call.ctx.cfg.chain_id());
            returns::<ArbSys::arbChainIDCall>(&id)
        }
        ArbSysCalls::arbOSVersion(_) => {
            let version = U256::from(ARBOS_VERSION_BASE + call.ctx.chain.arbos_version);
            returns::<ArbSys::arbOSVersionCall>(&version)
        }
        ArbSysCalls::getStorageGasAvailable(_) => {
            returns::<ArbSys::getStorageGasAvailableCall>(&U256::ZERO)
        }
        ArbSysCalls::isTopLevelCall(_) => {
            // The precompile's own frame is open too, and an EOA's call to a contract that asks
            // counts as one of the top level.
            let top = call.journal().depth() <= 2;
            returns::<ArbSys::isTopLevelCallCall>(&top)
        }
        ArbSysCalls::mapL1SenderContractAddressToL2Alias(args) => {
            let aliased = alias(args.sender);
            returns::<ArbSys::mapL1SenderContractAddressToL2AliasCall>(&aliased)
        }
        ArbSysCalls::wasMyCallersAddressAliased(_) => {
            // Nothing here comes from a parent chain.
            returns::<ArbSys::wasMyCallersAddressAliasedCall>(&false)
        }
        ArbSysCalls::myCallersAddressWithoutAliasing(_) => {
            let origin = call.ctx.tx().caller();
            returns::<ArbSys::myCallersAddressWithoutAliasingCall>(&origin)
        }
    }
}

pub(super) fn arb_info<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<ArbInfoCalls>()?;
    call.begin(Method::View)?;
    match method {
        ArbInfoCalls::getBalance(args) => {
            let balance = call
                .journal()
                .load_account(args.account)
                .map(|a| a.info.balance);
            let balance = call.db(balance)?;
            returns::<ArbInfo::getBalanceCall>(&balance)
        }
        ArbInfoCalls::getCode(args) => {
            let code = call.journal().code(args.account);
            let code = call.db(code)?.data;
            call.burn(3 * (code.len() as u64).div_ceil(32))?;
            returns::<ArbInfo::getCodeCall>(&code)
        }
    }
}

pub(super) fn arb_gas_info<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<ArbGasInfoCalls>()?;
    call.begin(Method::View)?;
    let base = U256::from(call.ctx.block.basefee());
    let l1 = peek(call.journal(), L1_PRICE);
    let l1 = call.db(l1)?;
    let zero = U256::ZERO;
    // There is no parent chain to post data to, so only execution costs anything.
    match method {
        ArbGasInfoCalls::getMinimumGasPrice(_) => {
            returns::<ArbGasInfo::getMinimumGasPriceCall>(&base)
        }
        ArbGasInfoCalls::getL1BaseFeeEstimate(_) | ArbGasInfoCalls::getL1GasPriceEstimate(_) => {
            returns::<ArbGasInfo::getL1BaseFeeEstimateCall>(&l1)
        }
        ArbGasInfoCalls::getCurrentTxL1GasFees(_) => {
            returns::<ArbGasInfo::getCurrentTxL1GasFeesCall>(&zero)
        }
        ArbGasInfoCalls::getPricesInWei(_) => {
            let storage = base.saturating_mul(U256::from(20_000));
            let prices = (zero, zero, storage, base, zero, base);
            returns::<ArbGasInfo::getPricesInWeiCall>(&prices.into())
        }
        ArbGasInfoCalls::getPricesInArbGas(_) => {
            let prices = (zero, zero, U256::from(20_000));
            returns::<ArbGasInfo::getPricesInArbGasCall>(&prices.into())
        }
        ArbGasInfoCalls::getGasAccountingParams(_) => {
            let limit = U256::from(call.ctx.block.gas_limit());
            let params = (U256::from(7_000_000), limit, limit);
            returns::<ArbGasInfo::getGasAccountingParamsCall>(&params.into())
        }
    }
}
