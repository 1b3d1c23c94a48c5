//! Accounts whose keys the node holds. All of them are public knowledge: never send them money
//! on a real chain.

use alloy::{
    consensus::{SignableTransaction, TxEnvelope, TypedTransaction},
    primitives::{Address, B256, Signature, b256},
    signers::{
        SignerSync,
        local::{LocalSignerError, MnemonicBuilder, PrivateKeySigner, coins_bip39::English},
    },
};

/// The key of the funded account of Arbitrum's own development nodes, which is also the chain
/// owner. It is a public constant of the crate `stylus-tools`.
pub const ARBITRUM_DEV_KEY: B256 =
    b256!("b6b15c8cb491557369f3c7d2c287b053eb229daa9c22138887752191c9520659");

/// The node's keys, those derived from the mnemonic first.
#[derive(Clone, Debug)]
pub struct Accounts {
    derived: Vec<PrivateKeySigner>,
    arbitrum: PrivateKeySigner,
}

impl Accounts {
    /// Derives `count` keys from `mnemonic` at `path` followed by the index.
    ///
    /// # Errors
    /// The mnemonic is not a valid English BIP-39 phrase or the path not a valid path.
    pub fn derive(mnemonic: &str, path: &str, count: u32) -> Result<Self, LocalSignerError> {
        let separator = if path.ends_with('/') { "" } else { "/" };
        let derived = (0..count)
            .map(|index| {
                MnemonicBuilder::<English>::default()
                    .phrase(mnemonic)
                    .derivation_path(format!("{path}{separator}{index}"))?
                    .build()
            })
            .collect::<Result<_, _>>()?;
        let arbitrum = PrivateKeySigner::from_bytes(&ARBITRUM_DEV_KEY)?;
        Ok(Self { derived, arbitrum })
    }

    /// The accounts derived from the mnemonic, with their keys.
    pub fn derived(&self) -> impl Iterator<Item = (Address, B256)> {
        self.derived
            .iter()
            .map(|signer| (signer.address(), signer.to_bytes()))
    }

    /// The addresses of all accounts.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.derived
            .iter()
            .chain([&self.arbitrum])
            .map(PrivateKeySigner::address)
    }

    fn signer(&self, address: &Address) -> Option<&PrivateKeySigner> {
        self.derived
            .iter()
            .chain([&self.arbitrum])
            .find(|signer| signer.address() == *address)
    }

    /// Whether the node holds the key of `address`.
    pub fn holds(&self, address: &Address) -> bool {
        self.signer(address).is_some()
    }

    /// Signs a message with the prefix of EIP-191; `None` without the key.
    pub fn sign_message(&self, address: &Address, message: &[u8]) -> Option<Signature> {
        self.signer(address)?.sign_message_sync(message).ok()
    }

    /// Signs a hash as it is; `None` without the key.
    pub fn sign_hash(&self, address: &Address, hash: &B256) -> Option<Signature> {
        self.signer(address)?.sign_hash_sync(hash).ok()
    }

    /// Signs a transaction; `None` without the key.
    pub fn sign_transaction(&self, address: &Address, tx: TypedTransaction) -> Option<TxEnvelope> {
        let signature = self.sign_hash(address, &tx.signature_hash())?;
        Some(envelope(tx, signature))
    }
}

/// A transaction with a signature.
pub fn envelope(tx: TypedTransaction, signature: Signature) -> TxEnvelope {
    tx.into_signed(signature).into()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    #[test]
    fn derives_the_well_known_accounts() {
        let accounts =
            Accounts::derive(crate::config::DEFAULT_MNEMONIC, "m/44'/60'/0'/0/", 10).unwrap();
        let addresses: Vec<_> = accounts.addresses().collect();
        assert_eq!(
            addresses[0],
            address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
        assert_eq!(
            addresses[9],
            address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720")
        );
        assert_eq!(
            addresses[10],
            address!("3f1Eae7D46d88F08fc2F8ed27FCb2AB183EB2d0E")
        );
    }

    #[test]
    fn refuses_a_phrase_that_is_no_mnemonic() {
        assert!(Accounts::derive("test test", "m/44'/60'/0'/0/", 1).is_err());
        assert!(Accounts::derive(crate::config::DEFAULT_MNEMONIC, "nonsense", 1).is_err());
    }
}
