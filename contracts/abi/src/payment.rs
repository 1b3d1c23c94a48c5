//! Other people's ways to pay by signature.

interfaces! {
    /// Transfers by authorisation (ERC-3009). Not ours.
    interface IAuthorized {
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool used);
    }

    /// Transfers by signature, as far as the escrow uses them (Permit2). Not ours.
    interface IPermit2 {
        struct TokenPermissions {
            address token;
            uint256 amount;
        }
        struct PermitTransferFrom {
            TokenPermissions permitted;
            uint256 nonce;
            uint256 deadline;
        }
        struct SignatureTransferDetails {
            address to;
            uint256 requestedAmount;
        }

        function permitTransferFrom(PermitTransferFrom permit, SignatureTransferDetails transferDetails, address owner, bytes signature) external;
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }
}
