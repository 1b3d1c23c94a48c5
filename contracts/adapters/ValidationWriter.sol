// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "./Receipts.sol";

/// The parts of ERC-8004 (trustless agents, draft) that a validator uses.
interface IValidationRegistry {
    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external;
    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress,
            uint256 agentId,
            uint8 response,
            bytes32 responseHash,
            string memory tag,
            uint256 lastUpdate
        );
    function getIdentityRegistry() external view returns (address);
}

interface IAgents {
    function ownerOf(uint256 agentId) external view returns (address);
}

/// Answers validation requests of ERC-8004 from what this market's escrow knows. An agent that sells
/// compute asks for the validation of one of its orders: the request's hash is the order's id. The
/// answer is the share of legs that were paid, in percent, since a leg is paid only where a quorum
/// saw all its conditions hold; 0 where the order was refunded. Anybody may bring the answer.
contract ValidationWriter is Receipts {
    string public constant TAG = "vouch";

    IValidationRegistry public immutable registry;

    error NotAsked(bytes32 requestHash, address validator);
    error NotTheAgents(uint256 agentId, address owner, address provider);

    constructor(IEscrow escrow_, IValidationRegistry registry_) Receipts(escrow_) {
        registry = registry_;
    }

    /// Writes the answer about a settled order; its hash is the digest of the quorum's verdict.
    function writeSettled(Terms calldata terms, Receipt calldata receipt, string calldata uri) external {
        requireSettled(receipt);
        requireTerms(receipt, terms);
        requireAgent(receipt.order, terms);
        uint256 paid = 0;
        for (uint256 i = 0; i < receipt.paid.length; i++) if (receipt.paid[i] > 0) paid++;
        uint8 share = uint8(paid * 100 / receipt.paid.length);
        registry.validationResponse(receipt.order, share, uri, receipt.verdict, TAG);
    }

    /// Writes that an order was refunded.
    function writeRefunded(Terms calldata terms, string calldata uri) external {
        bytes32 order = requireRefunded(terms);
        requireAgent(order, terms);
        registry.validationResponse(order, 0, uri, order, TAG);
    }

    function requireAgent(bytes32 order, Terms calldata terms) private view {
        (address validator, uint256 agentId,,,,) = registry.getValidationStatus(order);
        if (validator != address(this)) revert NotAsked(order, validator);
        address owner = IAgents(registry.getIdentityRegistry()).ownerOf(agentId);
        if (owner != terms.provider) revert NotTheAgents(agentId, owner, terms.provider);
    }
}
