// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "./Receipts.sol";

/// The part of ERC-8183 (agentic commerce, draft) that its evaluator calls.
interface IAgenticCommerce {
    function complete(uint256 jobId, bytes32 reason, bytes calldata optParams) external;
    function reject(uint256 jobId, bytes32 reason, bytes calldata optParams) external;
}

/// An ERC-8183 evaluator that judges by hardware: a job is complete once an order of this market that
/// was placed for it is settled and used what the job is about. Whoever creates a job chooses an
/// evaluator with the requirements it wants; they cannot change.
///
/// An order belongs to one job: its salt is `saltOf(jobs, jobId)`. Only orders of `buyer` count where
/// one is named. Without, anybody's do, and then failures say nothing about the job's provider:
/// such a job is never rejected here and ends by its own expiry.
contract JobEvaluator is Receipts {
    /// Whose orders count; zero: anybody's.
    address public immutable buyer;
    /// Launch measurement the work must have; zero: any.
    bytes32 public immutable measurement;
    /// Asset digests the order must have paid for.
    bytes32[] public assets;

    error OtherJob(bytes32 expected, bytes32 found);
    error OtherBuyer(address expected, address found);
    error OtherMeasurement(bytes32 expected, bytes32 found);
    error AssetNotPaid(bytes32 asset);
    error CannotReject();

    constructor(IEscrow escrow_, address buyer_, bytes32 measurement_, bytes32[] memory assets_)
        Receipts(escrow_)
    {
        buyer = buyer_;
        measurement = measurement_;
        assets = assets_;
    }

    /// The salt of an order that is placed for a job.
    function saltOf(IAgenticCommerce jobs, uint256 jobId) public pure returns (bytes32) {
        return keccak256(abi.encode(jobs, jobId));
    }

    /// Completes a job whose order is settled. The reason given is the digest of the quorum's verdict,
    /// the parameters the SHA-256 of the sealed outputs. Anybody may call.
    function complete(
        IAgenticCommerce jobs,
        uint256 jobId,
        Terms calldata terms,
        Receipt calldata receipt
    ) external {
        requireSettled(receipt);
        requireTerms(receipt, terms);
        requireJob(jobs, jobId, terms);
        if (measurement != 0 && receipt.measurement != measurement) {
            revert OtherMeasurement(measurement, receipt.measurement);
        }
        for (uint256 i = 0; i < assets.length; i++) requirePaid(receipt, assets[i]);
        jobs.complete(jobId, receipt.verdict, abi.encode(receipt.outputs));
    }

    /// Rejects a job whose order was refunded; needs a named buyer. The reason given is the order.
    function reject(IAgenticCommerce jobs, uint256 jobId, Terms calldata terms) external {
        if (buyer == address(0)) revert CannotReject();
        bytes32 order = requireRefunded(terms);
        requireJob(jobs, jobId, terms);
        jobs.reject(jobId, order, "");
    }

    function requireJob(IAgenticCommerce jobs, uint256 jobId, Terms calldata terms) private view {
        bytes32 salt = saltOf(jobs, jobId);
        if (terms.salt != salt) revert OtherJob(salt, terms.salt);
        if (buyer != address(0) && terms.buyer != buyer) revert OtherBuyer(buyer, terms.buyer);
    }

    function requirePaid(Receipt calldata receipt, bytes32 asset) private pure {
        for (uint256 i = 0; i < receipt.assets.length; i++) {
            if (receipt.assets[i] == asset && receipt.paid[i] > 0) return;
        }
        revert AssetNotPaid(asset);
    }
}
