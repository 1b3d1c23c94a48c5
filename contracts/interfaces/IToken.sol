// SPDX-License-Identifier: MIT OR Apache-2.0
// Written from contracts/abi: UPDATE_ABI=1 cargo test -p vouch-abi
pragma solidity ^0.8.20;

/// ERC-20 with EIP-2612 permits, as far as the market and its tests use it.
interface IToken {
    /// A token without supply. Error `InvalidName`.

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    error PermitExpired(uint256 deadline, uint256 time);
    error InvalidSigner(address signer, address owner);
    /// Names and symbols have 1 to 31 bytes.
    error InvalidName(uint256 expected, uint256 found);
    error SupplyOverflow(uint256 supply, uint256 minted);

    /// At most 31 bytes.
    function name() external view returns (string memory);
    /// At most 31 bytes.
    function symbol() external view returns (string memory);
    /// Six: a whole token is 1,000,000 units.
    function decimals() external view returns (uint8);
    /// Units there are.
    function totalSupply() external view returns (uint256);
    /// Units that an account holds.
    function balanceOf(address account) external view returns (uint256);
    /// Units that `spender` may still take from `owner`; the largest number is never used up.
    function allowance(address owner, address spender) external view returns (uint256);
    /// Moves `value` units from the caller. Emits `Transfer`; errors `InsufficientBalance`, `ZeroAddress`.
    function transfer(address to, uint256 value) external returns (bool);
    /// Moves `value` units that the caller was allowed. Emits `Transfer`; errors `InsufficientAllowance`,
    /// `InsufficientBalance`, `ZeroAddress`.
    function transferFrom(address from, address to, uint256 value) external returns (bool);
    /// Lets `spender` take `value` units from the caller, in place of what it was allowed before. Emits
    /// `Approval`.
    function approve(address spender, uint256 value) external returns (bool);
    /// The same by `owner`'s signature (EIP-2612), once, until the last second of `deadline`. For anyone. Emits
    /// `Approval`; errors `PermitExpired`, `InvalidSigner`.
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// How many permits of an owner were used: the number that the next one signs.
    function nonces(address owner) external view returns (uint256);
    /// EIP-712 domain of permits: the token's name, version "1", this chain, this contract.
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    /// Makes `value` units. For anyone: this token is for development chains. Emits `Transfer` from the zero
    /// address; errors `ZeroAddress`, `SupplyOverflow`.
    function mint(address to, uint256 value) external;
}
