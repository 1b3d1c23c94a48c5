// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Under which constraints assets may be used, and how often they were.
interface IUsage {
    /// Fixes the governor. Error `ZeroAddress`.

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
    /// All orders together would let more leave than the policy allows; `reserved` is what is spoken for.
    error OutputExhausted(bytes32 policy, uint8 clause, uint64 limit, uint64 reserved);
    error RoyaltyTooHigh(uint32 limit, uint32 found);

    /// What an order does with an asset, as far as the chain can judge it.
    struct Use {
        address buyer;
        address provider;
        uint8 purpose;
        uint32 maxDuration;
        // Digest of the order's workload leg; zero where it has none.
        bytes32 workload;
        // Owner of that leg's offer; zero where there is none.
        address publisher;
    }

    /// Makes a policy known under its id, by event. Publishing twice is allowed and changes nothing; orders bring
    /// the policy, so one that was never published works as well. For anyone. Emits `PolicyPublished`; errors
    /// `InvalidClause`, `RoyaltyTooHigh`.
    function publish(Policy calldata policy) external returns (bytes32 id);
    /// Checks the on-chain clauses of each leg's policy against one use, and reserves the use where the policy
    /// counts uses, and what may leave its session where the policy limits that of all, `count` times. Each
    /// policy must hash to what its leg's offer names. For the escrow. Errors `NotEscrow`, `PolicyMismatch`,
    /// `InvalidClause`, `RoyaltyTooHigh`, `BuyerRefused`, `ProviderRefused`, `PurposeRefused`, `OutsideWindow`,
    /// `DurationRefused`, `WorkloadRefused`, `UsesExhausted`, `BuyerUsesExhausted`, `OutputExhausted`.
    function reserve(Use calldata use, OrderRequest calldata request, uint64 count) external;
    /// Gives back one use of each policy whose bits in `clauses` say that it counts uses: in total, of `buyer`,
    /// or both. For the escrow. Errors `NotEscrow`, `LengthsDiffer`.
    function release(bytes32[] calldata ids, uint32[] calldata clauses, address buyer) external;
    /// The clauses a policy requires, a bit each. Errors `InvalidClause` where it contradicts itself,
    /// `RoyaltyTooHigh`.
    function requiredClauses(Policy calldata policy) external view returns (uint32 clauses);
    /// Gives back of a policy's output what an order had reserved and did not need, in bytes and rows. For the
    /// escrow. Error `NotEscrow`.
    function releaseOutput(bytes32 policy, uint64 outputBytes, uint64 outputRows) external;
    /// What has left all sessions, or is reserved by orders that may let it leave, in bytes and rows. Only what the
    /// policy limits is counted.
    function outputOf(bytes32 policy) external view returns (uint64 outputBytes, uint64 outputRows);
    /// Uses counted for a policy, less what was given back. Only policies with `maxUses` are counted.
    function uses(bytes32 policy) external view returns (uint64 total);
    /// Uses of one buyer, less what was given back. Only policies with `maxUsesPerBuyer` are counted.
    function usesBy(bytes32 policy, address buyer) external view returns (uint64 total);
    /// `keccak256(abi.encode(policy))`; a policy that contradicts itself has an id too.
    function idOf(Policy calldata policy) external view returns (bytes32 id);
    /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
    /// `EscrowAlreadyBound`.
    function bindEscrow(address escrow) external;
    /// Who may bind the contract.
    function governor() external view returns (address account);
    /// Who may reserve and release; zero until the contract is bound.
    function escrow() external view returns (address account);
}
