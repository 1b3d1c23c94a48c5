//! What a session asks for: one key, in a request that only the attested session can have made.

use alloy::primitives::B256;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

const DOMAIN: &[u8] = b"vouch/key-request/v1";

/// A request for the key of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The order.
    pub order: B256,
    /// The asset.
    pub asset: B256,
    /// The session's X25519 key, to which the content key is to be sealed.
    pub session: B256,
    /// Ed25519 signature by the session's signing key over [`message`], hex. Without it, anybody who
    /// reads the chain could use up the one release there is.
    pub signature: String,
}

/// What a request's signature is over.
pub fn message(order: B256, asset: B256, session: B256) -> Vec<u8> {
    [
        DOMAIN,
        order.as_slice(),
        asset.as_slice(),
        session.as_slice(),
    ]
    .concat()
}

impl Request {
    /// Whether the holder of an Ed25519 key signed the request.
    pub fn is_signed_by(&self, key: B256) -> bool {
        let Ok(signature) = hex::decode(&self.signature) else {
            return false;
        };
        let message = message(self.order, self.asset, self.session);
        UnparsedPublicKey::new(&ED25519, key.as_slice())
            .verify(&message, &signature)
            .is_ok()
    }
}

/// What a session is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The content key, sealed to the session for this order and asset, hex.
    pub sealed: String,
    /// Hash of the journal's entry.
    pub entry: B256,
}
