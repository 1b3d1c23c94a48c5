//! Evidence on its way to an operator: who may leave it, and how that is shown.
//!
//! A party of the order, its provider or its buyer, signs that this evidence belongs to this order. The signature
//! travels in the request's `Authorization`: the daemon needs no accounts, and a stranger cannot fill its disk.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, Bytes};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{Eip712Domain, SolStruct};
use serde::Deserialize;
use vouch_abi::id::domain;

use crate::verdict::Signed;
use crate::{Error, Market};

/// The scheme of the `Authorization`.
pub const SCHEME: &str = "Vouch";
/// How long what [`put`] signs is good for.
const GOOD_FOR: Duration = Duration::from_secs(300);
/// How long an operator may take to learn of the order.
const PATIENCE: Duration = Duration::from_secs(60);
/// First wait before asking again; it doubles, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

alloy::sol! {
    /// What a party signs, in the escrow's domain.
    struct EvidenceUpload {
        /// The order.
        bytes32 order;
        /// SHA-256 of the bundle.
        bytes32 evidence;
        /// Until when it is good, in Unix seconds.
        uint64 deadline;
    }
}

/// Leave to upload evidence for an order, as it stands in `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The order.
    pub order: B256,
    /// Until when it is good, in Unix seconds.
    pub deadline: u64,
    /// EIP-712 signature of [`EvidenceUpload`].
    pub signature: Bytes,
}

/// A header that is no [`Authorization`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `{SCHEME} order=0x…,deadline=…,signature=0x…`, found {0}")]
pub struct Malformed(&'static str);

impl Authorization {
    /// Signs that `evidence` is an order's, until `deadline` (Unix seconds).
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn sign(
        order: B256,
        evidence: B256,
        deadline: u64,
        domain: &Eip712Domain,
        signer: &PrivateKeySigner,
    ) -> Result<Self, Error> {
        let signed = Signed::new(hash(order, evidence, deadline, domain), signer)?;
        Ok(Self {
            order,
            deadline,
            signature: signed.signature.as_bytes().to_vec().into(),
        })
    }

    /// Who signed, if it was about this evidence in this domain. Anything else gives an account that nobody has.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are no signature.
    pub fn signer(&self, evidence: B256, domain: &Eip712Domain) -> Result<Address, Error> {
        let hash = hash(self.order, evidence, self.deadline, domain);
        Ok(Signed::recover(hash, &self.signature)?.signer)
    }
}

fn hash(order: B256, evidence: B256, deadline: u64, domain: &Eip712Domain) -> B256 {
    let upload = EvidenceUpload {
        order,
        evidence,
        deadline,
    };
    upload.eip712_signing_hash(domain)
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order,
            deadline,
            signature,
        } = self;
        write!(
            f,
            "{SCHEME} order={order},deadline={deadline},signature={signature}"
        )
    }
}

impl FromStr for Authorization {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (scheme, rest) = text.split_once(' ').ok_or(Malformed("no parameters"))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Malformed("another scheme"));
        }
        let (mut order, mut deadline, mut signature) = (None, None, None);
        for parameter in rest.split(',') {
            let (name, value) = parameter
                .trim()
                .split_once('=')
                .ok_or(Malformed("a parameter without a value"))?;
            let again = match name {
                "order" => order.replace(value).is_some(),
                "deadline" => deadline.replace(value).is_some(),
                "signature" => signature.replace(value).is_some(),
                _ => return Err(Malformed("an unknown parameter")),
            };
            if again {
                return Err(Malformed("a parameter twice"));
            }
        }
        let order = order.and_then(|value| value.parse().ok());
        let deadline = deadline.and_then(|value| value.parse().ok());
        let signature = signature.and_then(|value| value.parse().ok());
        Ok(Self {
            order: order.ok_or(Malformed("no order of 32 bytes of hex"))?,
            deadline: deadline.ok_or(Malformed("no deadline in Unix seconds"))?,
            signature: signature.ok_or(Malformed("no signature in hex"))?,
        })
    }
}

/// Why evidence was not left with an operator.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] Error),
    /// The operator does not answer.
    #[error("leaving evidence at {url}")]
    NoAnswer {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The operator refuses it.
    #[error("leaving evidence at {url}: {status} {code}: {message}")]
    Refused {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// The operator's reason code.
        code: String,
        /// The reason in words.
        message: String,
    },
}

#[derive(Default, Deserialize)]
struct Answer {
    error: Reason,
}

#[derive(Default, Deserialize)]
struct Reason {
    code: String,
    message: String,
}

impl Market {
    /// The EIP-712 domain of evidence's authorizations.
    pub const fn upload_domain(&self) -> Eip712Domain {
        domain(self.chain_id, self.addresses.escrow)
    }

    /// Leaves a bundle with the operator at `base`, in the name of a party of the order. An operator that has not
    /// seen the order yet is asked again for a minute. Returns where the bundle is then.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn upload(
        &self,
        base: &str,
        order: B256,
        evidence: B256,
        bundle: Vec<u8>,
        signer: &PrivateKeySigner,
    ) -> Result<String, UploadError> {
        let base = base.trim_end_matches('/');
        let url = format!("{base}/v1/evidence/{}", hex::encode(evidence));
        let bundle = Bytes::from(bundle);
        let http = reqwest::Client::new();
        let (begun, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let deadline = (now.unwrap_or_default() + GOOD_FOR).as_secs();
            let domain = self.upload_domain();
            let authorization =
                Authorization::sign(order, evidence, deadline, &domain, signer)?.to_string();
            let request = http.put(&url).body(bundle.0.clone());
            let answer = request.header("authorization", authorization).send().await;
            let patient = begun.elapsed() < PATIENCE;
            match answer {
                Ok(answer) if answer.status().is_success() => return Ok(url),
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let Reason { code, message } =
                        answer.json::<Answer>().await.unwrap_or_default().error;
                    if code != "order_unknown" || !patient {
                        return Err(UploadError::Refused {
                            url,
                            status,
                            code,
                            message,
                        });
                    }
                }
                // A refusal may come before the whole bundle was sent, and be lost with the connection.
                Err(error) if !error.is_connect() && patient => {}
                Err(source) => return Err(UploadError::NoAnswer { url, source }),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::keccak256;

    use super::*;

    const ORDER: B256 = B256::repeat_byte(1);
    const EVIDENCE: B256 = B256::repeat_byte(2);

    fn signed(signer: &PrivateKeySigner) -> Authorization {
        Authorization::sign(ORDER, EVIDENCE, 1_800_000_000, &here(), signer).unwrap()
    }

    fn here() -> Eip712Domain {
        domain(31337, Address::repeat_byte(3))
    }

    /// Written out: other programs sign it too.
    #[test]
    fn the_type_is_the_documented_one() {
        let written = "EvidenceUpload(bytes32 order,bytes32 evidence,uint64 deadline)";
        let upload = EvidenceUpload {
            order: ORDER,
            evidence: EVIDENCE,
            deadline: 1,
        };
        assert_eq!(upload.eip712_type_hash(), keccak256(written));
    }

    #[test]
    fn an_authorization_survives_the_header_and_names_its_signer() {
        let signer = PrivateKeySigner::random();
        let authorization = signed(&signer);
        let text = authorization.to_string();
        let read: Authorization = text.parse().unwrap();
        assert_eq!(read, authorization);
        assert_eq!(read.signer(EVIDENCE, &here()).unwrap(), signer.address());
        let spaced = text.replace("Vouch", "vouch").replace(',', ", ");
        assert_eq!(spaced.parse(), Ok(authorization));
    }

    #[test]
    fn what_was_changed_is_somebody_elses() {
        let signer = PrivateKeySigner::random();
        let base = signed(&signer);
        let other_order = Authorization {
            order: EVIDENCE,
            ..base.clone()
        };
        let later = Authorization {
            deadline: base.deadline + 1,
            ..base.clone()
        };
        let elsewhere = domain(31337, Address::repeat_byte(4));
        let other_chain = domain(1, Address::repeat_byte(3));
        for (what, authorization, evidence, domain) in [
            ("order", &other_order, EVIDENCE, here()),
            ("deadline", &later, EVIDENCE, here()),
            ("evidence", &base, ORDER, here()),
            ("escrow", &base, EVIDENCE, elsewhere),
            ("chain", &base, EVIDENCE, other_chain),
        ] {
            let found = authorization.signer(evidence, &domain).ok();
            assert_ne!(found, Some(signer.address()), "{what}");
        }
        for signature in [vec![], vec![0; 64], vec![0; 65], vec![0xff; 65]] {
            let none = Authorization {
                signature: signature.into(),
                ..base.clone()
            };
            assert!(none.signer(EVIDENCE, &here()).is_err());
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let good = signed(&PrivateKeySigner::random()).to_string();
        for (from, to) in [
            ("Vouch ", "Bearer "),
            ("Vouch ", "Vouch"),
            ("order=0x01", "order=0x"),
            ("order=", "Order="),
            ("deadline=", "deadline=-"),
            ("deadline=1800000000", "deadline"),
            ("deadline=1800000000", "deadline=1,deadline=2"),
            ("deadline=1800000000,", ""),
            ("signature=0x", "signature=zz"),
            ("signature=", "user=me,signature="),
        ] {
            assert!(good.contains(from), "{from}");
            let text = good.replacen(from, to, 1);
            assert!(text.parse::<Authorization>().is_err(), "{text}");
        }
        assert!("".parse::<Authorization>().is_err());
    }
}
