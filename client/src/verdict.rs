//! Verdicts as operators sign them: EIP-712 typed data in the domain of the attestation contract.

use alloy::consensus::crypto::secp256k1::recover_signer;
use alloy::primitives::{Address, B256, Bytes, Signature};
use alloy::signers::SignerSync;
use alloy::sol_types::{Eip712Domain, SolStruct};
use vouch_abi::Verdict;
use vouch_abi::signature::recovery_input;

use crate::Error;

/// Bytes of one signature: r, s, v.
pub const SIGNATURE_LEN: usize = 65;

/// The domain of verdicts.
pub const fn domain(chain_id: u64, attestation: Address) -> Eip712Domain {
    vouch_abi::id::verdict_domain(chain_id, attestation)
}

/// What operators sign: the EIP-712 digest of a verdict.
pub fn digest(verdict: &Verdict, domain: &Eip712Domain) -> B256 {
    verdict.eip712_signing_hash(domain)
}

/// One operator's signature of a verdict digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who signed.
    pub signer: Address,
    /// The signature.
    pub signature: Signature,
}

impl Signed {
    /// Signs a digest.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn new(
        digest: B256,
        signer: &(impl SignerSync + alloy::signers::Signer),
    ) -> Result<Self, Error> {
        let signature = signer.sign_hash_sync(&digest).map_err(Error::Sign)?;
        Ok(Self {
            signer: signer.address(),
            signature,
        })
    }

    /// Reads a signature of `digest` and finds its signer. It must be as contracts take it: who may write the same
    /// signature in another way could have others send what is refused.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are no signature of it.
    pub fn recover(digest: B256, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Decode {
            what: "signature",
            detail,
        };
        if bytes.len() != SIGNATURE_LEN {
            return Err(refuse(format!(
                "expected {SIGNATURE_LEN} bytes, found {}",
                bytes.len()
            )));
        }
        if recovery_input(digest, bytes).is_none() {
            let expected = "expected v to be 27 or 28, and s in the lower half of the order";
            return Err(refuse(expected.to_owned()));
        }
        let signature = Signature::from_raw(bytes).map_err(|e| refuse(e.to_string()))?;
        let signer = recover_signer(&signature, digest).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { signer, signature })
    }
}

/// Signatures as the contract takes them: 65 bytes each, in ascending order of their signers, each
/// signer once.
pub fn concatenate(mut signatures: Vec<Signed>) -> Bytes {
    signatures.sort_by_key(|signed| signed.signer);
    signatures.dedup_by_key(|signed| signed.signer);
    signatures
        .iter()
        .flat_map(|signed| signed.signature.as_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{U256, keccak256};
    use alloy::signers::local::PrivateKeySigner;
    use alloy::sol_types::SolValue;
    use vouch_abi::signature::HALF_ORDER;

    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            order: B256::with_last_byte(1),
            phase: 1,
            reason: 110,
            clauses: U256::from(7),
            devices: vec![B256::with_last_byte(9)],
            datasets: vec![Default::default()],
            ..Default::default()
        }
    }

    /// The type string is the contract's; writing it out keeps the two from drifting together.
    #[test]
    fn the_type_hash_is_that_of_the_written_type() {
        let written = "Verdict(bytes32 order,uint8 phase,uint8 attempt,bytes32 evidence,uint256 clauses,uint16 reason,bytes32[] devices,bytes32 sessionKey,bytes32 measurement,bytes32 inputs,bytes32 outputs,Counters counters,DatasetMeasure[] datasets,uint64 observedAt)Counters(uint64 outputBytes,uint64 outputRows)DatasetMeasure(uint64 records,uint64 size,bytes32 schema,uint32 quality)";
        assert_eq!(verdict().eip712_type_hash(), keccak256(written));
    }

    #[test]
    fn the_digest_depends_on_chain_contract_and_content() {
        let base = digest(&verdict(), &domain(1, Address::ZERO));
        assert_ne!(base, digest(&verdict(), &domain(2, Address::ZERO)));
        assert_ne!(
            base,
            digest(&verdict(), &domain(1, Address::with_last_byte(1)))
        );
        let other = Verdict {
            reason: 0,
            ..verdict()
        };
        assert_ne!(base, digest(&other, &domain(1, Address::ZERO)));
    }

    #[test]
    fn signatures_are_ascending_once_each_and_recover() {
        let digest = digest(&verdict(), &domain(1, Address::ZERO));
        let keys: Vec<_> = (0..5).map(|_| PrivateKeySigner::random()).collect();
        let mut signed: Vec<_> = keys
            .iter()
            .map(|k| Signed::new(digest, k).unwrap())
            .collect();
        signed.push(signed[0]);
        let bytes = concatenate(signed);
        assert_eq!(bytes.len(), 5 * SIGNATURE_LEN);
        let signers: Vec<_> = bytes
            .chunks(SIGNATURE_LEN)
            .map(|chunk| Signed::recover(digest, chunk).unwrap().signer)
            .collect();
        assert!(signers.is_sorted());
        assert!(keys.iter().all(|key| signers.contains(&key.address())));
        assert!(matches!(bytes[64], 27 | 28));
    }

    /// Each of these is a true signature, and each would have a transaction fail.
    #[test]
    fn what_contracts_do_not_take_is_no_signature() {
        let digest = digest(&verdict(), &domain(1, Address::ZERO));
        let signed = Signed::new(digest, &PrivateKeySigner::random()).unwrap();
        let good = signed.signature.as_bytes();
        assert_eq!(Signed::recover(digest, &good).unwrap(), signed);
        let mut short_v = good;
        short_v[64] -= 27;
        assert!(Signed::recover(digest, &short_v).is_err());
        let order = HALF_ORDER * U256::from(2) + U256::from(1);
        let mut other_s = good;
        other_s[32..64].copy_from_slice(&(order - signed.signature.s()).to_be_bytes::<32>());
        other_s[64] = 27 + 28 - good[64];
        assert!(Signed::recover(digest, &other_s).is_err());
    }

    #[test]
    fn other_lengths_and_values_are_no_signature() {
        assert!(Signed::recover(B256::ZERO, &[0; 64]).is_err());
        assert!(Signed::recover(B256::ZERO, &[0; 65]).is_err());
        assert!(Signed::recover(B256::ZERO, &[0xff; 65]).is_err());
    }

    #[test]
    fn a_verdict_survives_abi_encoding() {
        assert_eq!(
            Verdict::abi_decode(&verdict().abi_encode()).unwrap(),
            verdict()
        );
    }
}
