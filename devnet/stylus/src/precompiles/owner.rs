//! Chain owners and the settings they may change.

use revm::{
    Database,
    primitives::{Address, U256},
};

use super::{
    Answer, Call, Fault, Method,
    abi::{
        ArbDebug::ArbDebugCalls,
        ArbOwner::{self, ArbOwnerCalls as Calls},
        ArbOwnerPublic::{self, ArbOwnerPublicCalls as Public},
    },
    returns,
};
use crate::params::{
    CACHE_MANAGERS, CHAIN_OWNERS, L1_PRICE, Members, Packer, Params, SCHEDULED_UPGRADE, Unpacker,
    peek, put,
};

impl<DB: Database> Call<'_, DB> {
    fn is_member(&mut self, members: Members, account: Address) -> Result<bool, Fault> {
        let known = members.contains(self.journal(), account);
        self.db(known)
    }

    fn owners(&mut self) -> Result<Vec<Address>, Fault> {
        let owners = CHAIN_OWNERS.all(self.journal());
        self.db(owners)
    }

    /// Adds to or removes from a set; removing who is not in it is refused.
    fn change(&mut self, members: Members, account: Address, add: bool) -> Answer {
        let changed = if add {
            members.add(self.journal(), account)
        } else {
            members.remove(self.journal(), account)
        };
        if !self.db(changed)? && !add {
            return Err(Fault::Refused);
        }
        Ok(Vec::new())
    }

    fn set(&mut self, slot: U256, value: U256) -> Answer {
        let stored = put(self.journal(), slot, value);
        self.db(stored)?;
        Ok(Vec::new())
    }

    fn update(&mut self, change: impl FnOnce(&mut Params)) -> Answer {
        let mut params = self.params()?;
        change(&mut params);
        let saved = params.save(self.journal());
        self.db(saved)?;
        Ok(Vec::new())
    }
}

pub(super) fn arb_owner_public<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<Public>()?;
    call.begin(Method::View)?;
    match method {
        Public::isChainOwner(args) => {
            let known = call.is_member(CHAIN_OWNERS, args.account)?;
            returns::<ArbOwnerPublic::isChainOwnerCall>(&known)
        }
        Public::getAllChainOwners(_) => {
            let owners = call.owners()?;
            returns::<ArbOwnerPublic::getAllChainOwnersCall>(&owners)
        }
        Public::getNetworkFeeAccount(_) | Public::getInfraFeeAccount(_) => {
            let account = call.network_fee_account()?;
            returns::<ArbOwnerPublic::getNetworkFeeAccountCall>(&account)
        }
        Public::getScheduledUpgrade(_) => {
            let word = peek(call.journal(), SCHEDULED_UPGRADE);
            let (version, timestamp) = match Unpacker::new(call.db(word)?) {
                Some(mut reader) => (reader.field(64), reader.field(64)),
                None => (0, 0),
            };
            returns::<ArbOwnerPublic::getScheduledUpgradeCall>(
                &ArbOwnerPublic::getScheduledUpgradeReturn { version, timestamp },
            )
        }
        Public::getMaxStylusContractFragments(_) => {
            if call.ctx.chain.arbos_version < crate::code::FRAGMENTS_SINCE {
                return Err(Fault::Refused);
            }
            let count = call.params()?.max_fragments.into();
            returns::<ArbOwnerPublic::getMaxStylusContractFragmentsCall>(&count)
        }
    }
}

pub(super) fn arb_owner<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<Calls>()?;
    let caller = call.caller;
    if !call.is_member(CHAIN_OWNERS, caller)? {
        return Err(Fault::Refused);
    }
    call.begin(match method {
        Calls::isChainOwner(_) | Calls::getAllChainOwners(_) | Calls::getNetworkFeeAccount(_) => {
            Method::View
        }
        _ => Method::Write,
    })?;
    match method {
        Calls::addChainOwner(args) => call.change(CHAIN_OWNERS, args.account, true),
        Calls::removeChainOwner(args) => call.change(CHAIN_OWNERS, args.account, false),
        Calls::isChainOwner(args) => {
            let known = call.is_member(CHAIN_OWNERS, args.account)?;
            returns::<ArbOwner::isChainOwnerCall>(&known)
        }
        Calls::getAllChainOwners(_) => {
            let owners = call.owners()?;
            returns::<ArbOwner::getAllChainOwnersCall>(&owners)
        }
        Calls::getNetworkFeeAccount(_) => {
            let account = call.network_fee_account()?;
            returns::<ArbOwner::getNetworkFeeAccountCall>(&account)
        }
        Calls::setInkPrice(args) => {
            // The price has 24 bits and a price of zero would make ink free.
            if args.price == 0 || args.price > 0xff_ffff {
                return Err(Fault::Refused);
            }
            call.update(|p| p.ink_price = args.price)
        }
        Calls::setWasmMaxStackDepth(args) => {
            call.update(|p| p.max_stack_depth = args.depth.min(MAX_STACK_DEPTH))
        }
        Calls::setWasmFreePages(args) => call.update(|p| p.free_pages = args.pages),
        Calls::setWasmPageGas(args) => call.update(|p| p.page_gas = args.gas),
        Calls::setWasmPageLimit(args) => call.update(|p| p.page_limit = args.limit),
        Calls::setWasmMinInitGas(args) => call.update(|p| {
            p.min_init_gas = args.gas.div_ceil(128);
            p.min_cached_init_gas = args.cached.div_ceil(32).min(255) as u8;
        }),
        Calls::setWasmInitCostScalar(args) => {
            call.update(|p| p.init_cost_scalar = args.percent.div_ceil(2).min(255) as u8)
        }
        Calls::setWasmExpiryDays(args) => call.update(|p| p.expiry_days = args.numDays),
        Calls::setWasmKeepaliveDays(args) => call.update(|p| p.keepalive_days = args.numDays),
        Calls::setWasmBlockCacheSize(args) => call.update(|p| p.block_cache_size = args.count),
        Calls::setWasmMaxSize(args) => {
            call.update(|p| p.max_wasm_size = args.size.min(MAX_WASM_SIZE))
        }
        Calls::addWasmCacheManager(args) => call.change(CACHE_MANAGERS, args.manager, true),
        Calls::removeWasmCacheManager(args) => call.change(CACHE_MANAGERS, args.manager, false),
        Calls::setL1PricePerUnit(args) => call.set(L1_PRICE, args.price),
        Calls::scheduleArbOSUpgrade(args) => {
            // Recorded for whoever asks; which version runs is the node's decision.
            let word = Packer::present()
                .field(64, args.version)
                .field(64, args.timestamp)
                .word();
            call.set(SCHEDULED_UPGRADE, word)
        }
    }
}

/// A greater depth would not fit the native stack of a program.
const MAX_STACK_DEPTH: u32 = 22_000;
/// A larger module could keep the compiler busy for too long.
const MAX_WASM_SIZE: u32 = 131_072;

pub(super) fn arb_debug<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let ArbDebugCalls::becomeChainOwner(_) = call.decode::<ArbDebugCalls>()?;
    call.begin(Method::Write)?;
    let caller = call.caller;
    call.change(CHAIN_OWNERS, caller, true)
}
