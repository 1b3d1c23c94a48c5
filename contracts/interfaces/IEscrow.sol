// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

import "./Types.sol";

/// Holds the money: who has paid, who may be paid.
///
/// A function that takes tokens takes the caller's credit first (`CreditSpent`), then what the caller has approved; it
/// refuses with the token's own error, or `TokenRefused` where less arrives than was asked for, or `InvalidOrder("total")`
/// where what is owed of the token would not fit a word. A function that pays tokens credits those whom the token does not
/// pay (`Credited`), and refuses with `GasTooLow` where a payment would not have its gas. All that change anything but the
/// governor's settings refuse with `Reentered` while one of them runs.
interface IEscrow {
    /// Fixes whom the escrow works with: all but the governor must be contracts. Errors `ZeroAddress`,
    /// `UnexpectedAnswer`.

    event OrderPlaced(bytes32 indexed order, address indexed buyer, address indexed provider, Terms terms);
    event OrderAccepted(bytes32 indexed order, address indexed provider);
    event EvidenceSubmitted(bytes32 indexed order, uint8 indexed phase, uint8 attempt, bytes32 evidence, bytes32 outputs, string uri);
    event OrderStarted(bytes32 indexed order, bytes32 indexed verdict, bytes32 sessionKey, bytes32[] devices);
    /// A heartbeat: compute is attested until `attestedUntil`, which is what it was before where the compute
    /// leg's clauses did not hold.
    event OrderBeat(bytes32 indexed order, bytes32 indexed verdict, uint8 attempt, uint64 attestedUntil);
    event OrderFinished(bytes32 indexed order, bytes32 indexed verdict, uint64 windowCloses);
    /// What a leg earned. Its payee gets one transfer for all that an order owes it, or a credit.
    event LegPaid(bytes32 indexed order, uint8 leg, address indexed payee, uint256 amount);
    event OrderSettled(bytes32 indexed order, Receipt receipt);
    /// `reason` is the verdict's, or zero where a deadline passed. `refund` went to the buyer,
    /// `bondToBuyer` on top of it; the rest of the bond went to the provider.
    event OrderRefunded(bytes32 indexed order, uint16 reason, uint256 refund, uint256 bondToBuyer);
    /// A bond of `bond` units froze the order's payment. The challenger says that the finish verdict
    /// should have had `reason`; `evidence` is the digest of what shows it, zero where it is the order's own
    /// evidence. `resolver` decides until `deadline`, afterwards anyone refunds.
    event OrderDisputed(bytes32 indexed order, address indexed challenger, address resolver, bytes32 evidence, uint16 reason, uint256 bond, uint64 deadline);
    /// The reason that the finish verdict should have had: zero where it stands and the order is settled.
    /// Otherwise the challenger got its bond back and `reward` units of the provider's.
    event DisputeResolved(bytes32 indexed order, address indexed challenger, uint16 reason, uint256 reward);
    /// Who decides disputes that are opened from now on; zero: no order can be disputed.
    event ResolverSet(address resolver);
    /// The order's volume and uses are for sale again.
    event UsesRestored(bytes32 indexed order);
    /// The oracle fee went to the operators who signed, as credits in equal shares; what does not
    /// divide went to the first.
    event FeeShared(bytes32 indexed order, address indexed token, uint256 amount, address[] operators);
    /// A transfer that failed became a credit, or a deposit did.
    event Credited(address indexed account, address indexed token, uint256 amount);
    event Withdrawn(address indexed account, address indexed token, uint256 amount);
    /// Credit paid for what its account gave in the same transaction.
    event CreditSpent(address indexed account, address indexed token, uint256 amount);
    event PausedSet(bool paused);
    /// `payer` locked `amount` more, shares included, for `duration` more seconds of compute.
    event OrderToppedUp(bytes32 indexed order, address indexed payer, uint32 duration, uint256 amount);
    /// What an ended order reserved of its policies' output and did not need is free again.
    event OutputReleased(bytes32 indexed order);

    error NotGovernor(address caller);
    error Paused();
    error Reentered();
    /// A call of a batch, counted from zero, failed with `reason`; nothing was done.
    error BatchFailed(uint256 index, bytes reason);
    error AlreadyRestored(bytes32 order);
    error AlreadyReleased(bytes32 order);
    /// The order is not settled by this receipt, or refunded.
    error ReceiptMismatch(bytes32 expected, bytes32 found);
    error WrongState(bytes32 order, uint8 expected, uint8 found);
    error NotProvider(address caller, address provider);
    error InvalidOrder(string field);
    error InvalidLeg(uint8 leg, string field);
    error MixedTokens(uint8 leg, address expected, address found);
    error DeadlinesNotAscending(uint64 earlier, uint64 later);
    error DeadlinePassed(uint64 deadline, uint64 time);
    error DeadlineNotPassed(uint64 deadline, uint64 time);
    error WindowOpen(uint64 closes, uint64 time);
    /// The challenge window has closed: the order can be settled, not disputed.
    error WindowClosed(uint64 closes, uint64 time);
    /// Nobody decides disputes: to open one would take the payees' pay by waiting.
    error NoResolver();
    error NotResolver(address caller, address resolver);
    /// A dispute says what the verdict should have been: a rejection.
    error NoRejection(uint16 reason);
    error FeeTooLow(uint256 expected, uint256 found);
    error VerdictMismatch(bytes32 expected, bytes32 found);
    error WrongPhase(uint8 expected, uint8 found);
    error Inconclusive(uint16 reason);
    error InputsMismatch(bytes32 expected, bytes32 found);
    error ObservedInFuture(uint64 observedAt, uint64 time);
    /// The compute is attested until then already: heartbeats only move forwards.
    error BeatNotLater(uint64 observedAt, uint64 beatAt);
    /// A finish verdict or heartbeat was observed before the start verdict.
    error ObservedBeforeStart(uint64 observedAt, uint64 startedAt);
    error TokenRefused(address token, uint256 expected, uint256 received);
    error NothingToWithdraw(address account, address token);
    /// Each transfer needs its share of gas, or a caller could turn payments into credits.
    error GasTooLow(uint64 expected, uint64 found);

    /// Places an order: derives its legs, takes one use of every offer and policy, and locks prices and oracle
    /// fee, in units of the order's token, from the caller, the buyer. Takes tokens. Emits `OrderPlaced`; errors
    /// `Paused`, `FeeTooLow`, `WrongState` where the same order was placed before, `UnexpectedAnswer`, and what
    /// `IOffers.sell` and `IUsage.reserve` refuse.
    function place(OrderRequest calldata request) external returns (bytes32 order);
    /// Places an order for each salt, alike in everything else; the request's own salt is not used. Events and
    /// errors as of `place`, an `OrderPlaced` for each; `InvalidOrder("salts")` without any.
    function placeMany(OrderRequest calldata request, bytes32[] calldata salts) external returns (bytes32[] memory orders);
    /// Uses the caller's EIP-2612 permit for its token, in a batch before the call that takes the token. A permit
    /// that fails, because somebody has used it before, does no harm where the allowance suffices. Emits nothing,
    /// and refuses with nothing but `Reentered`.
    function permit(address token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// Takes `value` from `from` by an ERC-3009 authorisation to this contract, as a credit of `from`, whoever
    /// calls. In a batch before the call that takes the token, no approval is needed. An authorisation that
    /// fails, because somebody has brought it before, does no harm where the credit suffices. A token that brings
    /// less than `value` is refused. `value` in units of `token`. Emits `Credited`, unless the credit was there
    /// already; errors `TokenRefused`, the token's own, `InvalidOrder("total")`.
    function depositWithAuthorization(address token, address from, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
    /// The same by a Permit2 signature transfer to this contract, of which `owner` permits all that it signed.
    /// The signature stands right behind the other arguments, as encoders put it: otherwise `MalformedCalldata`.
    /// Events and errors as of `depositWithAuthorization`, with Permit2's errors in place of the token's.
    function depositWithPermit2(address token, address owner, uint256 value, uint256 nonce, uint256 deadline, bytes calldata signature) external;
    /// The provider takes the order and locks its bond, `terms.bond` units of the order's token, until the accept
    /// deadline. Takes tokens. Emits `OrderAccepted`; errors `WrongState`, `NotProvider`, `DeadlinePassed`.
    function accept(Terms calldata terms) external;
    /// The provider names the evidence bundle of a phase: 1 start, 2 finish, 3 a heartbeat. `outputs` is on
    /// finishing the SHA-256 of the sealed outputs it delivered, and for a heartbeat the number of the block
    /// whose hash its challenge is made of. `uri` says where the bundle can be had. Emits `EvidenceSubmitted`;
    /// errors `WrongPhase`, `WrongState`, `NotProvider`, `DeadlinePassed`, `InvalidOrder("uri")`.
    function submitEvidence(Terms calldata terms, uint8 phase, uint8 attempt, bytes32 evidence, bytes32 outputs, string calldata uri) external;
    /// Anyone brings a verdict signed by a quorum. An accepted start verdict starts the order, an accepted finish
    /// verdict pays it (or opens the challenge window), a rejected verdict refunds it. An accepted heartbeat
    /// whose compute clauses hold attests the compute until it was observed: paid if the order then ends at its
    /// finish deadline. Pays tokens. Emits `OrderStarted`; or `OrderBeat`; or `FeeShared` and then
    /// `OrderFinished`, or `LegPaid` for each leg that earned something and `OrderSettled`, or `OrderRefunded`.
    /// Errors `WrongPhase`, `WrongState`, `VerdictMismatch` where it is of another order, `Inconclusive`,
    /// `ObservedInFuture`, `ObservedBeforeStart`, `BeatNotLater`, `DeadlinePassed`, `InputsMismatch`,
    /// `UnexpectedAnswer`, and what `IAttestation.admit` refuses.
    function submitVerdict(Terms calldata terms, Verdict calldata verdict, bytes calldata signatures) external;
    /// Anyone pays for `duration` more seconds of compute, before the order has finished: its rate, and the
    /// shares of that. Neither deadlines nor what policies allow move. What is not earned goes back to the
    /// buyer. Takes tokens. Emits `OrderToppedUp`; errors `WrongState`, `DeadlinePassed`, `InvalidOrder`.
    function topUp(Terms calldata terms, uint32 duration) external;
    /// Anyone settles a finished order once its challenge window has closed; `verdict` is the one that finished
    /// it. Pays tokens. Emits `LegPaid` for each leg that earned something, `OrderSettled`; errors `WrongState`,
    /// `WindowOpen`, `VerdictMismatch`.
    function settle(Terms calldata terms, Verdict calldata verdict) external;
    /// Anyone disputes a finished order before its challenge window closes: its payment waits for the resolver.
    /// Takes `disputeBondOf(terms)` of the order's token from the caller. `reason` is the rejection that the
    /// finish verdict should have been. An order is disputed once at most. Takes tokens. Emits `OrderDisputed`;
    /// errors `WrongState`, `WindowClosed`, `NoRejection`, `NoResolver`.
    function dispute(Terms calldata terms, bytes32 evidence, uint16 reason) external;
    /// The dispute's resolver says which reason the finish verdict should have had. Zero: the order is settled,
    /// and the legs' payees share the challenger's bond equally. A rejection: the order is refunded, and the
    /// challenger gets its bond back; for a forged one (1xx) it also gets half of the provider's bond, and the
    /// buyer the other half. Until the dispute's deadline. Pays tokens. Emits `DisputeResolved`, then the events
    /// of `settle`, or `OrderRefunded`; errors `WrongState`, `DeadlinePassed`, `Inconclusive`, `NotResolver`,
    /// `VerdictMismatch`.
    function resolve(Terms calldata terms, Verdict calldata verdict, uint16 reason) external;
    /// What to dispute an order costs if the verdict stands, in units of its token: the provider's bond, or an
    /// eighth of the prices where that is more.
    function disputeBondOf(Terms calldata terms) external view returns (uint256 amount);
    /// The dispute of an order; all zero where there was none.
    function disputeOf(bytes32 order) external view returns (Dispute memory dispute);
    /// The governor names who decides disputes from now on; zero: nobody, and no order can be disputed. Disputes
    /// that are open keep theirs. Emits `ResolverSet`; error `NotGovernor`.
    function setResolver(address resolver) external;
    /// Who decides disputes that are opened now; zero where none can be.
    function resolver() external view returns (address account);
    /// Anyone refunds an order whose current deadline has passed: accept, start or finish, or that of its
    /// dispute. A finished order is settled instead. What heartbeats attested of the compute leg is paid, the
    /// rest goes back to the buyer. Of a dispute that nobody decided everybody gets back what is theirs, the
    /// challenger its bond. Pays tokens. Emits `OrderRefunded`, and `LegPaid` for what heartbeats attested;
    /// errors `WrongState`, `DeadlineNotPassed`.
    function refund(Terms calldata terms) external;
    /// Anyone gives the volume and the uses that a refunded order took back to its offers and policies, once.
    /// Apart from the refund, so that no other contract can stand in its way. Emits `UsesRestored`; errors
    /// `WrongState`, `AlreadyRestored`.
    function restore(Terms calldata terms) external;
    /// Anyone gives back to the policies, once, what an ended order has reserved of their output for all
    /// sessions and did not need. `policies` are those of the legs with clause 21 or 22, in their order. Of a
    /// settled order `receipt` and `verdict` are its own, and say what left the session; of a refunded one
    /// they are not read. Emits `OutputReleased`; errors `WrongState`, `AlreadyReleased`, `ReceiptMismatch`,
    /// `VerdictMismatch`, `IUsage.PolicyMismatch`.
    function releaseOutput(Terms calldata terms, Policy[] calldata policies, Receipt calldata receipt, Verdict calldata verdict) external;
    /// Answers several calls of this contract's own functions, all or none. Tokens move once, at the end: from
    /// the caller what the calls take together, to each receiver what they give it together. (What is about no
    /// order, or seldom done with one, moves its own at once.) Emits what the calls emit; error `BatchFailed`
    /// with the place and the reason of a call that fails, and what tokens refuse at the end as it is.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);
    /// `multicall` with its calldata's `abi.encode(calls)` packed by `FastLZ`, level 1 (`flzCompress` of Solady's
    /// `LibZip`): orders of a batch are much alike. `MalformedCalldata` where that does not unpack.
    function multicallPacked(bytes calldata packed) external returns (bytes[] memory results);
    /// Pays the caller its credit: what earlier transfers could not deliver, deposits, operators' fees. Credit
    /// also pays, before an approved balance does, for what its account gives: an order's price, a bond. Gives
    /// the units of `token` that were paid: all of it. Emits `Withdrawn`; errors `NothingToWithdraw`,
    /// `TokenRefused`, `GasTooLow`.
    function withdraw(address token) external returns (uint256 amount);
    /// What an account can withdraw, in units of `token`.
    function creditOf(address account, address token) external view returns (uint256 amount);
    /// Escrowed for open orders and credits, in units of `token`. Never more than the balance.
    function owed(address token) external view returns (uint256 amount);
    /// What is kept of an order; state 0 for one that was never placed.
    function orderOf(bytes32 order) external view returns (OrderRecord memory record);
    /// The id of an order with these terms on this chain, whether it was placed or not.
    function idOf(Terms calldata terms) external view returns (bytes32 order);
    /// The challenge of the phase whose evidence the order waits for, 1 start or 2 finish, while the chain still
    /// knows the block's hash (256 blocks). Errors `WrongPhase`, and afterwards that of the chain's system
    /// contract.
    function challengeOf(bytes32 order, uint8 phase, uint8 attempt) external view returns (bytes32 challenge);
    /// Stops new orders, or lets them go on; everything else goes on all the time. For the governor. Emits
    /// `PausedSet`; error `NotGovernor`.
    function setPaused(bool paused) external;
    /// Whether new orders are stopped.
    function paused() external view returns (bool);
    /// Where offers are sold; fixed.
    function offers() external view returns (address);
    /// Where policies are checked and uses counted; fixed.
    function usage() external view returns (address);
    /// Where verdicts are admitted; fixed.
    function attestation() external view returns (address);
    /// The second program of the escrow, which it runs on its own storage; fixed.
    function annex() external view returns (address);
    /// The third program, run likewise; fixed.
    function desk() external view returns (address);
    /// Who may pause and name the resolver; fixed.
    function governor() external view returns (address account);
}
