// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Operators' bonds: what an operator loses who signs two verdicts about the same evidence.
interface IBonds {
    event Bonded(address indexed operator, address indexed payer, uint256 amount);
    /// Can be withdrawn at `until`, in Unix seconds; until then it can be lost.
    event Unbonding(address indexed operator, uint256 amount, uint64 until);
    event Withdrawn(address indexed operator, uint256 amount);
    event MinimumChanged(uint256 minimum);
    event EscrowBound(address escrow);
    /// The operator signed two verdicts about the same evidence: all of its bond is lost. `reward` is
    /// owed to the reporter, the rest to nobody.
    event Slashed(address indexed operator, address indexed reporter, uint256 amount, uint256 reward, bytes32 first, bytes32 second);

    error NotGovernor(address caller);
    error EscrowAlreadyBound(address escrow);
    error Reentered();
    error ZeroAmount();
    /// On development chains (ids 31337 and 412346) the smallest delay is zero.
    error DelayOutOfRange(uint64 delay, uint64 least, uint64 most);
    error BondTooLow(address operator, uint256 bond, uint256 needed);
    /// The bond is not below the minimum.
    error Sufficient(address operator, uint256 bond, uint256 minimum);
    error StillBonded(uint64 until, uint64 time);
    error NothingToWithdraw(address account);
    /// The token did not move what it was asked to: it keeps a fee, or refused.
    error TokenRefused(address token, uint256 expected, uint256 received);
    /// The first (0) or second (1) statement is not signed.
    error InvalidSignature(uint256 index);
    error TwoSigners(address first, address second);
    /// The statements are about different jobs, or say the same.
    error NoContradiction();
    error AlreadySlashed(address operator);
    error NothingToSlash(address operator);

    /// Adds to an operator's bond, from the caller, who has approved this contract. For anyone. Emits
    /// `Bonded`; errors `ZeroAmount`, `TokenRefused`.
    function bond(address operator, uint256 amount) external;
    /// Starts to take the caller's bond out. All that is under way waits anew from now. Below the
    /// minimum the caller is no operator any more, at once. Emits `Unbonding`; errors `ZeroAmount`,
    /// `BondTooLow`.
    function unbond(uint256 amount) external;
    /// Pays the caller what it has taken out, and rewards. Emits `Withdrawn`; errors `StillBonded`,
    /// `NothingToWithdraw`, `TokenRefused`.
    function withdraw() external returns (uint256 amount);
    /// Proves that somebody signed two statements about the same job. Its bond is lost, also what it is
    /// taking out, and it is no operator any more. A tenth is the caller's; the rest stays here for good,
    /// because whoever could get it would gain by provoking it. Emits `Slashed`; errors
    /// `NoContradiction`, `InvalidSignature`, `TwoSigners`, `AlreadySlashed`, `NothingToSlash`.
    function slash(VerdictShare calldata first, bytes calldata firstSignature, VerdictShare calldata second, bytes calldata secondSignature) external;
    /// Removes an operator whose bond is below the minimum. For anyone. Error `Sufficient`.
    function evict(address operator) external;
    /// Least bond with which an operator counts. For the governor. Emits `MinimumChanged`.
    function setMinimum(uint256 minimum) external;
    function minimum() external view returns (uint256 amount);
    /// Whether the bond, without what is being taken out, is at least the minimum.
    function isBonded(address operator) external view returns (bool sufficient);
    /// The bond, what is being taken out of it, and from when that can be withdrawn.
    function bondOf(address operator) external view returns (uint256 bonded, uint256 leaving, uint64 until);
    /// What slashings have earned an account and it has not withdrawn.
    function rewardOf(address account) external view returns (uint256 amount);
    function token() external view returns (address);
    /// Seconds from `unbond` to `withdraw`.
    function delay() external view returns (uint64 secs);
    /// Binds to an escrow's attestation contract. For the governor, once. Emits `EscrowBound`.
    function bindEscrow(address escrow) external;
    function governor() external view returns (address account);
    function escrow() external view returns (address account);
}
