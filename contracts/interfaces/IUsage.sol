// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Under which constraints assets may be used, and how often they were.
interface IUsage {
    event PolicyPublished(bytes32 indexed policy, address indexed publisher, Policy terms);
    event EscrowBound(address escrow);

    error NotGovernor(address caller);
    error NotEscrow(address caller, address escrow);
    error EscrowAlreadyBound(address escrow);
    /// As many sets of clauses as ids are expected.
    error LengthsDiffer(uint256 expected, uint256 found);
    /// The clause is both required and "any", or neither: its fields contradict its bit. Also:
    /// its fields are out of range, or the bit belongs to no clause of a policy.
    error InvalidClause(uint8 clause);
    error PolicyMismatch(bytes32 expected, bytes32 found);
    error BuyerRefused(bytes32 policy, address buyer);
    error ProviderRefused(bytes32 policy, address provider);
    error PurposeRefused(bytes32 policy, uint8 purpose, uint8 allowed);
    error WorkloadRefused(bytes32 policy, bytes32 workload);
    error DurationRefused(bytes32 policy, uint32 requested, uint32 allowed);
    error OutsideWindow(bytes32 policy, uint64 time, uint64 notBefore, uint64 notAfter);
    error UsesExhausted(bytes32 policy, uint64 limit);
    error BuyerUsesExhausted(bytes32 policy, address buyer, uint64 limit);

    /// What an order does with an asset, as far as the chain can judge it.
    struct Use {
        address buyer;
        address provider;
        uint8 purpose;
        uint32 maxDuration;
        // Digest of the order's workload leg; zero where it has none.
        bytes32 workload;
    }

    /// Makes a policy known under its id, by event. Publishing twice is allowed and changes
    /// nothing; orders bring the policy, so one that was never published works as well.
    function publish(Policy calldata policy) external returns (bytes32 id);
    /// Checks the on-chain clauses of each leg's policy against one use, and reserves the use where
    /// the policy counts uses, `count` times. Each policy must hash to what its leg's offer names. For
    /// the escrow.
    function reserve(Use calldata use, OrderRequest calldata request, uint64 count) external;
    /// Gives back a reservation of a refunded leg. For the escrow.
    function release(bytes32[] calldata ids, uint32[] calldata clauses, address buyer) external;
    /// Required clauses of a policy; reverts with `InvalidClause` where it contradicts itself.
    function requiredClauses(Policy calldata policy) external view returns (uint32 clauses);
    function uses(bytes32 policy) external view returns (uint64 total);
    function usesBy(bytes32 policy, address buyer) external view returns (uint64 total);
    function idOf(Policy calldata policy) external view returns (bytes32 id);
    function bindEscrow(address escrow) external;
    function governor() external view returns (address account);
    function escrow() external view returns (address account);
}
