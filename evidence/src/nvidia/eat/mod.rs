//! Tokens of NVIDIA's remote attestation service (NRAS): its own verdict about GPUs and switches, as
//! a detached EAT of JSON web tokens.
//!
//! **Decides** whether a set of tokens belongs together and was signed by one of the given keys.
//!
//! **Trusts** the [`KeySet`] it is given. It is not a report: NVIDIA's service looked at the
//! hardware's evidence, and this looks at what the service says.
//!
//! **Leaves alone** where the keys come from, and which claims are good enough.
//!
//! Source: RFC 9711 (EAT), RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518, 3.4 (ES384); captures.

mod keys;
mod token;
mod verify;

pub use keys::{KeySet, MAX_KEYS};
pub use token::{DeviceToken, Eat, MAX_EAT_LEN, MAX_TOKENS, OverallToken};
pub use verify::{AuthenticEat, ISSUER, check_nonce, check_result, verify};
