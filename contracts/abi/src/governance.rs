//! The interface of the market's governor.

interfaces! {
    /// Governs the other contracts: whoever owns it changes them only after a delay in which everybody
    /// can see the change coming. Nothing it can do moves escrowed money or holds up a refund.
    interface IGovernance {
        /// Fixes the first owner and the delay, in seconds. Emits `OwnerChanged`; errors `ZeroAddress`,
        /// `DelayOutOfRange`.
        constructor(address owner, uint64 delay);

        event OwnerProposed(address indexed owner, address indexed proposed);
        event OwnerChanged(address indexed previous, address indexed owner);
        /// Anyone may make the call from `from` to `until`, in Unix seconds.
        event OperationScheduled(bytes32 indexed operation, address indexed target, bytes data, uint64 from, uint64 until);
        event OperationCancelled(bytes32 indexed operation);
        event OperationExecuted(bytes32 indexed operation, address indexed target, bytes result);
        /// The owner stopped new orders of an escrow.
        event EscrowPaused(address indexed escrow);

        error NotOwner(address caller, address owner);
        error NotProposed(address caller, address proposed);
        /// On development chains (ids 31337 and 412346) the smallest delay is zero.
        error DelayOutOfRange(uint64 delay, uint64 least, uint64 most);
        error NoContract(address target);
        error AlreadyScheduled(bytes32 operation, uint64 from);
        /// Also what was executed or cancelled, and a call with other bytes.
        error NotScheduled(bytes32 operation);
        error TooEarly(bytes32 operation, uint64 from, uint64 time);
        error TooLate(bytes32 operation, uint64 until, uint64 time);
        /// The called contract refused, with `reason`; what is scheduled stays so.
        error CallFailed(address target, bytes reason);

        /// Announces a call. For the owner. Emits `OperationScheduled`; errors `NotOwner`, `NoContract`,
        /// `AlreadyScheduled`. What has become too late may be scheduled anew.
        function schedule(address target, bytes data) external returns (bytes32 operation);
        /// Takes a scheduled call back. For the owner. Emits `OperationCancelled`; errors `NotOwner`,
        /// `NotScheduled`.
        function cancel(bytes32 operation) external;
        /// Makes a scheduled call, once, in its time. For anyone. Emits `OperationExecuted`; errors
        /// `NotScheduled`, `TooEarly`, `TooLate`, `CallFailed`.
        function execute(address target, bytes data) external returns (bytes result);
        /// Stops new orders of an escrow at once; that they go on is to be scheduled like anything else.
        /// For the owner. Emits `EscrowPaused`; errors `NotOwner`, `CallFailed`.
        function pause(address escrow) external;
        /// Binds a contract to its escrow at once, which a contract lets happen a single time. For the owner. Errors
        /// `NotOwner`, `CallFailed`. The contract emits `EscrowBound`.
        function bind(address target, address escrow) external;
        /// Names who may become owner; the owner stays until that account accepts. For the owner. Emits
        /// `OwnerProposed`; errors `NotOwner`, `ZeroAddress`.
        function proposeOwner(address account) external;
        /// Makes the proposed account, which must call this, the owner. Emits `OwnerChanged`; error
        /// `NotProposed`.
        function acceptOwnership() external;
        /// Who may announce calls.
        function owner() external view returns (address account);
        /// Who may become owner by `acceptOwnership`; zero where nobody may.
        function proposedOwner() external view returns (address account);
        /// Seconds from scheduling until a call can be made.
        function delay() external view returns (uint64 secs);
        /// When a call can be made, in Unix seconds; both zero where it is not scheduled.
        function scheduled(bytes32 operation) external view returns (uint64 from, uint64 until);
        /// `keccak256(abi.encode(target, data))`
        function operationOf(address target, bytes data) external view returns (bytes32 operation);
    }
}
