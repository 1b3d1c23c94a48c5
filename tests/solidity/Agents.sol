// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// As much of ERC-8183 and ERC-8004 as their adapters meet: who may call what, and what is kept.
contract Jobs {
    struct Job {
        address evaluator;
        uint8 status;
        bytes32 reason;
    }

    uint8 public constant SUBMITTED = 2;
    uint8 public constant COMPLETED = 3;
    uint8 public constant REJECTED = 4;
    mapping(uint256 id => Job) public jobs;

    error NotEvaluator(address caller, address evaluator);
    error WrongStatus(uint256 jobId, uint8 status);

    function submitted(uint256 jobId, address evaluator) external {
        jobs[jobId] = Job(evaluator, SUBMITTED, 0);
    }

    function complete(uint256 jobId, bytes32 reason, bytes calldata) external {
        end(jobId, COMPLETED, reason);
    }

    function reject(uint256 jobId, bytes32 reason, bytes calldata) external {
        end(jobId, REJECTED, reason);
    }

    function end(uint256 jobId, uint8 status, bytes32 reason) private {
        Job storage job = jobs[jobId];
        if (msg.sender != job.evaluator) revert NotEvaluator(msg.sender, job.evaluator);
        if (job.status != SUBMITTED) revert WrongStatus(jobId, job.status);
        job.status = status;
        job.reason = reason;
    }
}

contract Registry {
    struct Validation {
        address validator;
        uint256 agentId;
        uint8 response;
        bytes32 responseHash;
        string tag;
        uint256 lastUpdate;
    }

    mapping(uint256 agentId => address) public ownerOf;
    mapping(bytes32 requestHash => Validation) private validations;

    error NotAgent(uint256 agentId, address caller);
    error NotValidator(address caller, address validator);
    error OutOfRange(uint8 response);

    function register(uint256 agentId) external {
        ownerOf[agentId] = msg.sender;
    }

    function getIdentityRegistry() external view returns (address) {
        return address(this);
    }

    function validationRequest(address validator, uint256 agentId, string calldata, bytes32 hash) external {
        if (ownerOf[agentId] != msg.sender) revert NotAgent(agentId, msg.sender);
        validations[hash] = Validation(validator, agentId, 0, 0, "", block.timestamp);
    }

    function validationResponse(
        bytes32 hash,
        uint8 response,
        string calldata,
        bytes32 responseHash,
        string calldata tag
    ) external {
        Validation storage kept = validations[hash];
        if (msg.sender != kept.validator) revert NotValidator(msg.sender, kept.validator);
        if (response > 100) revert OutOfRange(response);
        kept.response = response;
        kept.responseHash = responseHash;
        kept.tag = tag;
        kept.lastUpdate = block.timestamp;
    }

    function getValidationStatus(bytes32 hash)
        external
        view
        returns (address, uint256, uint8, bytes32, string memory, uint256)
    {
        Validation storage kept = validations[hash];
        return (
            kept.validator, kept.agentId, kept.response, kept.responseHash, kept.tag, kept.lastUpdate
        );
    }
}
