//! The parts of Arbitrum's precompile interfaces that this crate answers.
#![allow(missing_docs, unreachable_pub)]

use alloy_sol_types::sol;

sol! {
    interface ArbSys {
        function arbBlockNumber() external view returns (uint256);
        function arbBlockHash(uint256 number) external view returns (bytes32);
        function arbChainID() external view returns (uint256);
        function arbOSVersion() external view returns (uint256);
        function getStorageGasAvailable() external view returns (uint256);
        function isTopLevelCall() external view returns (bool);
        function mapL1SenderContractAddressToL2Alias(address sender, address unused)
            external pure returns (address);
        function wasMyCallersAddressAliased() external view returns (bool);
        function myCallersAddressWithoutAliasing() external view returns (address);

        error InvalidBlockNumber(uint256 requested, uint256 current);
    }

    interface ArbInfo {
        function getBalance(address account) external view returns (uint256);
        function getCode(address account) external view returns (bytes memory);
    }

    interface ArbGasInfo {
        function getMinimumGasPrice() external view returns (uint256);
        function getL1BaseFeeEstimate() external view returns (uint256);
        function getL1GasPriceEstimate() external view returns (uint256);
        function getCurrentTxL1GasFees() external view returns (uint256);
        function getPricesInWei()
            external view returns (uint256, uint256, uint256, uint256, uint256, uint256);
        function getPricesInArbGas() external view returns (uint256, uint256, uint256);
        function getGasAccountingParams() external view returns (uint256, uint256, uint256);
    }

    interface ArbOwnerPublic {
        function isChainOwner(address account) external view returns (bool);
        function getAllChainOwners() external view returns (address[] memory);
        function getNetworkFeeAccount() external view returns (address);
        function getInfraFeeAccount() external view returns (address);
        function getScheduledUpgrade() external view returns (uint64 version, uint64 timestamp);
        function getMaxStylusContractFragments() external view returns (uint16);
    }

    interface ArbOwner {
        function addChainOwner(address account) external;
        function removeChainOwner(address account) external;
        function isChainOwner(address account) external view returns (bool);
        function getAllChainOwners() external view returns (address[] memory);
        function getNetworkFeeAccount() external view returns (address);
        function setInkPrice(uint32 price) external;
        function setWasmMaxStackDepth(uint32 depth) external;
        function setWasmFreePages(uint16 pages) external;
        function setWasmPageGas(uint16 gas) external;
        function setWasmPageLimit(uint16 limit) external;
        function setWasmMinInitGas(uint8 gas, uint16 cached) external;
        function setWasmInitCostScalar(uint64 percent) external;
        function setWasmExpiryDays(uint16 numDays) external;
        function setWasmKeepaliveDays(uint16 numDays) external;
        function setWasmBlockCacheSize(uint16 count) external;
        function setWasmMaxSize(uint32 size) external;
        function addWasmCacheManager(address manager) external;
        function removeWasmCacheManager(address manager) external;
        function setL1PricePerUnit(uint256 price) external;
        function scheduleArbOSUpgrade(uint64 version, uint64 timestamp) external;
    }

    interface ArbDebug {
        function becomeChainOwner() external;
    }

    interface ArbWasmCache {
        function isCacheManager(address manager) external view returns (bool);
        function allCacheManagers() external view returns (address[] memory);
        function cacheProgram(address program) external;
        function evictCodehash(bytes32 codehash) external;
        function codehashIsCached(bytes32 codehash) external view returns (bool);

        event UpdateProgramCache(address indexed manager, bytes32 indexed codehash, bool cached);
    }

    interface ArbWasm {
        function activateProgram(address program)
            external payable returns (uint16 version, uint256 dataFee);
        function codehashKeepalive(bytes32 codehash) external payable;
        function stylusVersion() external view returns (uint16);
        function codehashVersion(bytes32 codehash) external view returns (uint16);
        function codehashAsmSize(bytes32 codehash) external view returns (uint32);
        function programVersion(address program) external view returns (uint16);
        function programInitGas(address program) external view returns (uint64, uint64);
        function programMemoryFootprint(address program) external view returns (uint16);
        function programTimeLeft(address program) external view returns (uint64);
        function inkPrice() external view returns (uint32);
        function maxStackDepth() external view returns (uint32);
        function freePages() external view returns (uint16);
        function pageGas() external view returns (uint16);
        function pageRamp() external view returns (uint64);
        function pageLimit() external view returns (uint16);
        function minInitGas() external view returns (uint64, uint64);
        function initCostScalar() external view returns (uint64);
        function expiryDays() external view returns (uint16);
        function keepaliveDays() external view returns (uint16);
        function blockCacheSize() external view returns (uint16);
        function activationGas() external view returns (uint64);

        event ProgramActivated(
            bytes32 indexed codehash,
            bytes32 moduleHash,
            address program,
            uint256 dataFee,
            uint16 version
        );
        event ProgramLifetimeExtended(bytes32 indexed codehash, uint256 dataFee);

        error ProgramNotWasm();
        error ProgramNotActivated();
        error ProgramNeedsUpgrade(uint16 version, uint16 stylusVersion);
        error ProgramExpired(uint64 ageInSeconds);
        error ProgramUpToDate();
        error ProgramKeepaliveTooSoon(uint64 ageInSeconds);
        error ProgramInsufficientValue(uint256 have, uint256 want);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::{SolCall, SolError};

    /// The selectors clients are known to send and expect.
    #[test]
    fn selectors_are_the_published_ones() {
        let pairs = [
            (ArbWasm::activateProgramCall::SELECTOR, 0x58c7_80c2u32),
            (ArbWasm::codehashVersionCall::SELECTOR, 0xd70c_0ca7),
            (ArbWasm::stylusVersionCall::SELECTOR, 0xa996_e0c2),
            (ArbWasm::activationGasCall::SELECTOR, 0x2278_c278),
            (ArbWasm::codehashKeepaliveCall::SELECTOR, 0xc689_bad5),
            (ArbWasm::inkPriceCall::SELECTOR, 0xd1c1_7abc),
            (ArbWasm::programVersionCall::SELECTOR, 0xcc8f_4e88),
            (ArbWasm::programInitGasCall::SELECTOR, 0x62b6_88aa),
            (ArbWasm::programMemoryFootprintCall::SELECTOR, 0xaef3_6be3),
            (ArbWasm::programTimeLeftCall::SELECTOR, 0xc775_a62a),
            (ArbWasm::codehashAsmSizeCall::SELECTOR, 0x4089_267f),
            (ArbWasm::ProgramNotActivated::SELECTOR, 0x6f80_9c4e),
            (ArbWasm::ProgramNeedsUpgrade::SELECTOR, 0x637d_968f),
            (ArbWasm::ProgramExpired::SELECTOR, 0xc9b1_2e52),
            (ArbWasmCache::allCacheManagersCall::SELECTOR, 0x0ec1_d773),
            (ArbWasmCache::codehashIsCachedCall::SELECTOR, 0xa72f_179b),
            (ArbWasmCache::cacheProgramCall::SELECTOR, 0xe73a_c9f2),
            (ArbWasmCache::evictCodehashCall::SELECTOR, 0xce97_2013),
            (
                ArbOwnerPublic::getMaxStylusContractFragmentsCall::SELECTOR,
                0xe5a7_f893,
            ),
            (ArbDebug::becomeChainOwnerCall::SELECTOR, 0x0e5b_bc11),
        ];
        for (at, (selector, expected)) in pairs.into_iter().enumerate() {
            assert_eq!(u32::from_be_bytes(selector), expected, "number {at}");
        }
    }
}
