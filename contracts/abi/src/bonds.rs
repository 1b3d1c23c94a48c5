//! The interface of the operators' bonds.

interfaces! {
    /// What an operator says about a job beside the verdict itself: which verdict it signed for which
    /// evidence, announced in which block. Signed as EIP-712 typed data in the domain of `Verdict`. Two of one
    /// signer that differ in the verdict alone are a proof against it: no honest operator makes them.
    struct VerdictShare {
        /// EIP-712 digest of the verdict.
        bytes32 verdict;
        bytes32 order;
        uint8 phase;
        uint8 attempt;
        bytes32 evidence;
        bytes32 outputs;
        /// Hash of the block in which the evidence was announced.
        bytes32 announcedIn;
    }

    /// Operators' bonds: what an operator loses who signs two verdicts about the same evidence.
    interface IBonds {
        /// Fixes governor, token and `delay`, in seconds. Errors `ZeroAddress`, `DelayOutOfRange`.
        constructor(address governor, address token, uint64 delay);

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

        /// Adds `amount` units of the token to an operator's bond, from the caller, who has approved this contract.
        /// For anyone. Emits `Bonded`; errors `ZeroAddress`, `ZeroAmount`, `TokenRefused`, `UnexpectedAnswer`,
        /// `Reentered`.
        function bond(address operator, uint256 amount) external;
        /// Starts to take `amount` units of the caller's bond out. All that is under way waits anew from now. Below
        /// the minimum the caller is no operator any more, at once. Emits `Unbonding`, and contract `attestation`
        /// emits `OperatorsChanged`; errors `ZeroAmount`, `BondTooLow`, `Reentered`.
        function unbond(uint256 amount) external;
        /// Pays the caller what it has taken out, once its time has come, and rewards, in units of the token; gives
        /// how much. Emits `Withdrawn`; errors `StillBonded` where nothing else is there, `NothingToWithdraw`,
        /// `TokenRefused`, `Reentered`.
        function withdraw() external returns (uint256 amount);
        /// Proves that somebody signed two statements about the same job. Its bond is lost, also what it is taking
        /// out, and it is no operator any more. A tenth is the caller's; the rest stays here for good, because
        /// whoever could get it would gain by provoking it. Emits `Slashed`; errors `NoContradiction`,
        /// `InvalidSignature`, `TwoSigners`, `AlreadySlashed`, `NothingToSlash`. Also `Reentered`; contract
        /// `attestation` emits `OperatorsChanged`.
        function slash(VerdictShare first, bytes firstSignature, VerdictShare second, bytes secondSignature) external;
        /// Removes an operator whose bond is below the minimum. For anyone. Contract `attestation` emits
        /// `OperatorsChanged`, where it was one; errors `Sufficient`, `Reentered`.
        function evict(address operator) external;
        /// Sets the least bond with which an operator counts, in units of the token; who has less goes by `evict`.
        /// For the governor. Emits `MinimumChanged`; error `NotGovernor`.
        function setMinimum(uint256 minimum) external;
        /// The least bond with which an operator counts, in units of the token.
        function minimum() external view returns (uint256 amount);
        /// Whether the bond, without what is being taken out, is at least the minimum.
        function isBonded(address operator) external view returns (bool sufficient);
        /// The bond and what is being taken out of it, in units of the token, and from which second that can be
        /// withdrawn.
        function bondOf(address operator) external view returns (uint256 bonded, uint256 leaving, uint64 until);
        /// What slashings have earned an account and it has not withdrawn, in units of the token.
        function rewardOf(address account) external view returns (uint256 amount);
        /// In which bonds are held; fixed.
        function token() external view returns (address);
        /// Seconds from `unbond` to `withdraw`.
        function delay() external view returns (uint64 secs);
        /// Binds to an escrow's attestation contract. For the governor, once. Emits `EscrowBound`; errors
        /// `NotGovernor`, `ZeroAddress`, `EscrowAlreadyBound`, `UnexpectedAnswer`.
        function bindEscrow(address escrow) external;
        /// Who may set the minimum and bind the contract.
        function governor() external view returns (address account);
        /// Whose attestation contract it serves; zero until the contract is bound.
        function escrow() external view returns (address account);
    }
}
