//! Calls of a model behind an API: what a buyer signs, and what the session answers under its own signature.

use alloy::primitives::{B256, keccak256};

/// Header of a request: a number that grows with every call, so that none is played again.
pub const SEQUENCE: &str = "vouch-sequence";
/// Header of a request: the buyer's signature over [`message`] (EIP-191), 65 bytes of hex.
pub const SIGNATURE: &str = "vouch-signature";
/// Header of an answer: the session's Ed25519 signature over [`answered`], 64 bytes of hex.
pub const ANSWER_SIGNATURE: &str = "vouch-answer-signature";

/// What a buyer asks of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One answer of the model.
    Infer,
    /// That the session goes on to its end.
    End,
}

impl Ask {
    /// Where a session listens for it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Infer => "/v1/infer",
            Self::End => "/v1/end",
        }
    }
}

/// What a call's signature is over: text, so that a wallet can show it.
pub fn message(order: B256, sequence: u64, ask: Ask, body: &[u8]) -> Vec<u8> {
    let (path, body) = (ask.path(), keccak256(body));
    format!("vouch call {path}\norder: {order}\nsequence: {sequence}\nbody: {body}").into_bytes()
}

/// What an answer's signature is over. It names the question, so that an answer proves what it is an
/// answer to.
pub fn answered(order: B256, sequence: u64, body: &[u8], answer: &[u8]) -> Vec<u8> {
    [
        b"vouch/answer/v1".as_slice(),
        order.as_slice(),
        &sequence.to_be_bytes(),
        keccak256(body).as_slice(),
        keccak256(answer).as_slice(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_call_is_signed() {
        let base = message(B256::ZERO, 1, Ask::Infer, b"body");
        for other in [
            message(B256::repeat_byte(1), 1, Ask::Infer, b"body"),
            message(B256::ZERO, 2, Ask::Infer, b"body"),
            message(B256::ZERO, 1, Ask::End, b"body"),
            message(B256::ZERO, 1, Ask::Infer, b"bodz"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn every_part_of_an_answer_is_signed() {
        let base = answered(B256::ZERO, 1, b"question", b"answer");
        for other in [
            answered(B256::repeat_byte(1), 1, b"question", b"answer"),
            answered(B256::ZERO, 2, b"question", b"answer"),
            answered(B256::ZERO, 1, b"questiom", b"answer"),
            answered(B256::ZERO, 1, b"question", b"answeq"),
        ] {
            assert_ne!(base, other);
        }
    }
}
