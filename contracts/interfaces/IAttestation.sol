// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Who may say what the hardware showed, and what they said.
interface IAttestation {
    /// Fixes the governor and contract `bonds` (zero: operators need no bond), and sets the first operators,
    /// whose bonds are not asked for yet. `fee` as in `setFee`. Emits `OperatorsChanged`, `FeeChanged`; errors
    /// `ZeroAddress`, `TooManyOperators`, `AlreadyOperator`, `InvalidQuorum`.

    event OperatorsChanged(address[] added, address[] removed, uint16 quorum);
    event FeeChanged(uint256 fee);
    event EscrowBound(address escrow);
    event VerdictAdmitted(bytes32 indexed order, uint8 indexed phase, bytes32 indexed digest, uint16 reason, address[] signers);
    /// A quorum signed the root of many verdicts: as long as operators and quorum stay the same,
    /// each of them needs a proof only.
    event BatchAdmitted(bytes32 indexed root, address[] signers);
    event WeightsSet(Weight[] weights, uint16 quorum);
    /// An operator cannot decide about evidence, for a reason that is not conclusive.
    event Abstained(bytes32 indexed order, address indexed operator, uint8 phase, uint8 attempt, uint16 reason);

    error NotGovernor(address caller);
    error NotEscrow(address caller, address escrow);
    error EscrowAlreadyBound(address escrow);
    /// There are at most 64.
    error TooManyOperators(uint256 limit);
    /// Signatures of a batch whose proof is not there: bytes expected and found.
    error ProofTruncated(uint256 expected, uint256 found);
    /// The quorum is zero, or more than the weight of all operators.
    error InvalidQuorum(uint16 quorum, uint16 weight);
    /// A weight of zero, or the weights of all operators do not fit 16 bits.
    error InvalidWeight(address operator, uint16 weight);
    /// An accepted or rejected verdict is signed, not abstained from.
    error Conclusive(uint16 reason);
    error NotOperator(address signer);
    error AlreadyOperator(address account);
    /// Signatures come in ascending order of their signers, each once.
    error SignersNotAscending(address previous, address next);
    /// Not 65 bytes, `v` neither 27 nor 28, `s` in the upper half, or no signer to recover.
    error InvalidSignature(uint256 index);
    error QuorumNotReached(uint16 expected, uint16 found);
    error DeviceBusy(bytes32 device, bytes24 order, uint64 until);
    /// The bond is below the minimum of contract `bonds`.
    error NotBonded(address account);
    error NotBonds(address caller, address bonds);

    /// What an operator's signature counts.
    struct Weight {
        address operator;
        uint16 weight;
    }

    /// Checks that a quorum signed the verdict. `signatures` is `r || s || v` of each operator, in ascending
    /// order of their addresses; or, for a verdict of a batch, `proof || signatures || (128 + depth)`: the
    /// `depth` siblings on its way to the root, signatures of the root (none where it was admitted before), one
    /// byte. On an accepted start verdict it also takes the devices for the order until `busyUntil`; on any other
    /// it gives back those that serve the order. `busyUntil` zero leaves devices alone. For the escrow. For the
    /// escrow. Emits `VerdictAdmitted`, and `BatchAdmitted` where it was the first of its batch; errors
    /// `NotEscrow`, `ProofTruncated`, `InvalidSignature`, `SignersNotAscending`, `NotOperator`,
    /// `QuorumNotReached`, `DeviceBusy`.
    function admit(Verdict calldata verdict, bytes calldata signatures, uint64 busyUntil) external returns (bytes32 digest, address[] memory signers);
    /// EIP-712 digest that operators sign: of this chain and this contract.
    function digestOf(Verdict calldata verdict) external view returns (bytes32 digest);
    /// Signers of a digest, or of a batch it is in, in ascending order. Reverts unless they are a quorum: errors
    /// `ProofTruncated`, `InvalidSignature`, `SignersNotAscending`, `NotOperator`, `QuorumNotReached`.
    function signersOf(bytes32 digest, bytes calldata signatures) external view returns (address[] memory signers);
    /// Removes operators, then adds others, whose signatures weigh 1, and sets what signatures must weigh
    /// together. Those of who was removed, and batches admitted before, count no more. For the governor. Emits
    /// `OperatorsChanged`; errors `NotGovernor`, `NotOperator`, `ZeroAddress`, `TooManyOperators`, `NotBonded`,
    /// `AlreadyOperator`, `InvalidWeight`, `InvalidQuorum`, and `UnexpectedAnswer` of contract `bonds`.
    function setOperators(address[] calldata added, address[] calldata removed, uint16 quorum) external;
    /// Sets what operators' signatures weigh, and what they must weigh together. For the governor. Emits
    /// `WeightsSet`; errors `NotGovernor`, `NotOperator`, `InvalidWeight`, `InvalidQuorum`.
    function setWeights(Weight[] calldata weights, uint16 quorum) external;
    /// An operator says on chain that it cannot decide: an event, nothing else. Emits `Abstained`; errors
    /// `NotOperator`, `Conclusive`.
    function abstain(bytes32 order, uint8 phase, uint8 attempt, uint16 reason) external;
    /// What an account's signature weighs: zero where it is no operator.
    function weightOf(address account) external view returns (uint16 weight);
    /// What the signatures of all operators weigh together.
    function totalWeight() external view returns (uint16 weight);
    /// Removes an operator at once: it contradicted itself, or has too little at stake. The quorum stays
    /// what it is, so where too few are left no verdict is admitted until the governor has added others;
    /// orders are refunded at their deadlines. For contract `bonds`. Emits `OperatorsChanged`; false for
    /// who is none; error `NotBonds`.
    function expel(address operator) external returns (bool removed);
    /// Where operators have their bonds; zero: they need none.
    function bonds() external view returns (address account);
    /// Sets the smallest oracle fee of orders placed from now on, in units of whatever token an order is paid in.
    /// For the governor. Emits `FeeChanged`; error `NotGovernor`.
    function setFee(uint256 fee) external;
    /// Whether an account's signatures count.
    function isOperator(address account) external view returns (bool active);
    /// How many operators there are, at most 64.
    function operatorCount() external view returns (uint16 count);
    /// What the signatures of a verdict must weigh together.
    function quorum() external view returns (uint16 weight);
    /// Smallest oracle fee of an order, in units of its token.
    function fee() external view returns (uint256 amount);
    /// The first 24 bytes of the id of the order a device serves, and the last second of it; zero where the
    /// device is free.
    function holderOf(bytes32 device) external view returns (bytes24 order, uint64 until);
    /// Binds to the escrow. For the governor, once. Emits `EscrowBound`; errors `NotGovernor`, `ZeroAddress`,
    /// `EscrowAlreadyBound`.
    function bindEscrow(address escrow) external;
    /// Who may change operators, quorum and fee.
    function governor() external view returns (address account);
    /// Who may have verdicts admitted; zero until the contract is bound.
    function escrow() external view returns (address account);
}
