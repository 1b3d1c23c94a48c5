//! Which programs are kept cached.

use revm::{Database, primitives::B256};

use super::{
    Answer, Call, Fault, Method,
    abi::ArbWasmCache::{self, ArbWasmCacheCalls as Calls},
    returns,
};
use crate::params::{CACHE_MANAGERS, CHAIN_OWNERS};

pub(super) fn arb_wasm_cache<DB: Database>(call: &mut Call<'_, DB>) -> Answer {
    let method = call.decode::<Calls>()?;
    call.begin(match method {
        Calls::cacheProgram(_) | Calls::evictCodehash(_) => Method::Write,
        _ => Method::View,
    })?;
    match method {
        Calls::isCacheManager(args) => {
            let known = CACHE_MANAGERS.contains(call.journal(), args.manager);
            let known = call.db(known)?;
            returns::<ArbWasmCache::isCacheManagerCall>(&known)
        }
        Calls::allCacheManagers(_) => {
            let all = CACHE_MANAGERS.all(call.journal());
            let all = call.db(all)?;
            returns::<ArbWasmCache::allCacheManagersCall>(&all)
        }
        Calls::cacheProgram(args) => {
            let codehash = call.codehash(args.program)?;
            set_cached(call, codehash, true)
        }
        Calls::evictCodehash(args) => set_cached(call, args.codehash, false),
        Calls::codehashIsCached(args) => {
            let cached = call.program(args.codehash)?.cached;
            returns::<ArbWasmCache::codehashIsCachedCall>(&cached)
        }
    }
}

fn set_cached<DB: Database>(call: &mut Call<'_, DB>, codehash: B256, cached: bool) -> Answer {
    let caller = call.caller;
    let manager = CACHE_MANAGERS.contains(call.journal(), caller);
    let owner = CHAIN_OWNERS.contains(call.journal(), caller);
    if !call.db(manager)? && !call.db(owner)? {
        return Err(Fault::Refused);
    }
    let mut program = call.program(codehash)?;
    if cached {
        let params = call.params()?;
        program.check(&params, call.now())?;
    }
    if program.cached != cached {
        program.cached = cached;
        let saved = program.save(call.journal(), codehash);
        call.db(saved)?;
        call.log(&ArbWasmCache::UpdateProgramCache {
            manager: caller,
            codehash,
            cached,
        });
    }
    Ok(Vec::new())
}
