//! Money by signature: what an account signs instead of approving the escrow beforehand, so that placing an order is
//! one transaction. The escrow takes it in the same batch.

use alloy::primitives::{Address, B256, Bytes, U256, address};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{SolCall, SolStruct};
use vouch_abi::id::{permit_hash, typed_data_digest};
use vouch_abi::{IEscrow, IPermit2};

use crate::{Error, Market};

/// Where Permit2 stands on every chain.
pub const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

sol! {
    /// What ERC-3009 has signed.
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// Of which token Permit2 may take how much.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// What Permit2 has signed.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
    }
}

/// What is signed. Which of them a token takes is the token's business; Permit2 takes every token that its owner has
/// once approved it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A permit (EIP-2612).
    Permit,
    /// An authorisation to receive (ERC-3009).
    Authorization,
    /// A signature transfer of Permit2.
    Permit2,
}

impl Market {
    /// Calldata by which the escrow may take `value` of a token from the signer until `deadline` (Unix seconds). Goes
    /// into one batch with what takes the money, before it. The domain is the one that token or Permit2 itself names.
    ///
    /// # Errors
    /// [`Error::Rpc`] also where the token knows no such signature.
    pub async fn authorize(
        &self,
        way: Way,
        token: Address,
        value: U256,
        deadline: u64,
        signer: &PrivateKeySigner,
    ) -> Result<Bytes, Error> {
        let (owner, escrow) = (signer.address(), self.addresses.escrow);
        let until = U256::from(deadline);
        let erc20 = self.erc20(token);
        let sign = |separator: B256, hash: B256| {
            let signature = signer.sign_hash_sync(&typed_data_digest(separator, hash));
            signature.map_err(Error::Sign)
        };
        Ok(match way {
            Way::Permit => {
                let nonce = erc20.nonces(owner).call().await?;
                let separator = erc20.DOMAIN_SEPARATOR().call().await?;
                let hash = permit_hash(owner, escrow, value, nonce, until);
                let signature = sign(separator, hash)?;
                let call = IEscrow::permitCall {
                    token,
                    value,
                    deadline: until,
                    v: 27 + u8::from(signature.v()),
                    r: signature.r().into(),
                    s: signature.s().into(),
                };
                call.abi_encode().into()
            }
            Way::Authorization => {
                let separator = erc20.DOMAIN_SEPARATOR().call().await?;
                let said = ReceiveWithAuthorization {
                    from: owner,
                    to: escrow,
                    value,
                    validAfter: U256::ZERO,
                    validBefore: until,
                    nonce: B256::random(),
                };
                let signature = sign(separator, said.eip712_hash_struct())?;
                let call = IEscrow::depositWithAuthorizationCall {
                    token,
                    from: owner,
                    value,
                    validAfter: said.validAfter,
                    validBefore: said.validBefore,
                    nonce: said.nonce,
                    v: 27 + u8::from(signature.v()),
                    r: signature.r().into(),
                    s: signature.s().into(),
                };
                call.abi_encode().into()
            }
            Way::Permit2 => {
                let permit2 = IPermit2::new(PERMIT2, self.provider.clone());
                let separator = permit2.DOMAIN_SEPARATOR().call().await?;
                let said = PermitTransferFrom {
                    permitted: TokenPermissions {
                        token,
                        amount: value,
                    },
                    spender: escrow,
                    nonce: B256::random().into(),
                    deadline: until,
                };
                let signature = sign(separator, said.eip712_hash_struct())?;
                let call = IEscrow::depositWithPermit2Call {
                    token,
                    owner,
                    value,
                    nonce: said.nonce,
                    deadline: until,
                    signature: signature.as_bytes().into(),
                };
                call.abi_encode().into()
            }
        })
    }
}
