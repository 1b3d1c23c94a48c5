// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Who may say what the hardware showed, and what they said.
interface IAttestation {
    event OperatorsChanged(address[] added, address[] removed, uint16 quorum);
    event FeeChanged(uint256 fee);
    event EscrowBound(address escrow);
    event VerdictAdmitted(bytes32 indexed order, uint8 indexed phase, bytes32 indexed digest, uint16 reason, address[] signers);
    /// A quorum signed the root of many verdicts: as long as operators and quorum stay the same,
    /// each of them needs a proof only.
    event BatchAdmitted(bytes32 indexed root, address[] signers);

    error NotGovernor(address caller);
    error NotEscrow(address caller, address escrow);
    error EscrowAlreadyBound(address escrow);
    /// There are at most 64.
    error TooManyOperators(uint256 limit);
    /// Signatures of a batch whose proof is not there: bytes expected and found.
    error ProofTruncated(uint256 expected, uint256 found);
    error InvalidQuorum(uint16 quorum, uint16 operators);
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

    /// Checks that a quorum signed the verdict. `signatures` is `r || s || v` of each operator, in
    /// ascending order of their addresses; or, for a verdict of a batch, `proof || signatures ||
    /// (128 + depth)`: the `depth` siblings on its way to the root, signatures of the root (none
    /// where it was admitted before), one byte. On an accepted start verdict it also takes the
    /// devices for the order until `busyUntil`; on any other it gives back those that serve the
    /// order. `busyUntil` zero leaves devices alone. For the escrow.
    function admit(Verdict calldata verdict, bytes calldata signatures, uint64 busyUntil) external returns (bytes32 digest, address[] memory signers);
    /// EIP-712 digest that operators sign.
    function digestOf(Verdict calldata verdict) external view returns (bytes32 digest);
    /// Signers of a digest, or of a batch it is in; reverts unless they are a quorum.
    function signersOf(bytes32 digest, bytes calldata signatures) external view returns (address[] memory signers);
    function setOperators(address[] calldata added, address[] calldata removed, uint16 quorum) external;
    /// Removes an operator at once: it contradicted itself, or has too little at stake. The quorum stays
    /// what it is, so where too few are left no verdict is admitted until the governor has added others;
    /// orders are refunded at their deadlines. For contract `bonds`. Emits `OperatorsChanged`; false for
    /// who is none; error `NotBonds`.
    function expel(address operator) external returns (bool removed);
    /// Where operators have their bonds; zero: they need none.
    function bonds() external view returns (address account);
    function setFee(uint256 fee) external;
    function isOperator(address account) external view returns (bool active);
    function operatorCount() external view returns (uint16 count);
    function quorum() external view returns (uint16 count);
    /// Smallest oracle fee of an order, in units of its token.
    function fee() external view returns (uint256 amount);
    /// The first 24 bytes of the id of the order a device serves, and until when; zero where the
    /// device is free.
    function holderOf(bytes32 device) external view returns (bytes24 order, uint64 until);
    function bindEscrow(address escrow) external;
    function governor() external view returns (address account);
    function escrow() external view returns (address account);
}
