//! What operators tell each other: a verdict about a job, signed twice. Once for the contract, and
//! once together with the block of the announcement, so that two verdicts about the same evidence are
//! a proof against their signer, and a reorganisation is not.

use alloy::primitives::{B256, Bytes};
use alloy::sol_types::{Eip712Domain, SolStruct, SolValue};
use serde::{Deserialize, Serialize};
use vouch_abi::{Verdict, VerdictShare};
use vouch_client::verdict::{Signed, digest};

use crate::keys::Signer;
use crate::schema::{Hex, Word};
use crate::store::model::{JobId, Share, StoredVerdict};
use crate::time::now_ms;

/// An operator's verdict about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The job.
    pub job: JobId,
    /// Hash of the block in which the evidence was announced.
    #[schema(value_type = Word)]
    pub block: B256,
    /// ABI encoding of the interface's `Verdict`.
    #[schema(value_type = Hex)]
    pub verdict: Bytes,
    /// EIP-712 signature of the verdict, as the contract takes it.
    #[schema(value_type = Hex)]
    pub signature: Bytes,
    /// EIP-712 signature of `VerdictShare` in the same domain.
    #[schema(value_type = Hex)]
    pub statement: Bytes,
}

/// Why a message is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The verdict cannot be read.
    #[error("verdict: expected the ABI encoding of a Verdict: {0}")]
    Malformed(String),
    /// The verdict is about something else.
    #[error("verdict: its {0} is not the job's")]
    OtherJob(&'static str),
    /// A signature is none, or not of this.
    #[error("{0}: no signature of it by an operator")]
    Signature(&'static str),
    /// The two signatures are by two.
    #[error("signature and statement: expected one signer")]
    TwoSigners,
    /// The signer is no operator.
    #[error("signer: no operator of the attestation contract")]
    NotOperator,
    /// No such job here, or not yet.
    #[error("job: not known here")]
    NoJob,
    /// The announcement is in another block here.
    #[error("block: the announcement is in another block here")]
    OtherBlock,
    /// Too many unknown signers lately.
    #[error("busy: too many unknown signers, try again later")]
    Busy,
}

impl Refused {
    /// Its stable name, in answers and as a metric's label.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::OtherJob(_) => "other_job",
            Self::Signature(_) => "signature_invalid",
            Self::TwoSigners => "two_signers",
            Self::NotOperator => "not_operator",
            Self::NoJob => "job_unknown",
            Self::OtherBlock => "other_block",
            Self::Busy => "busy",
        }
    }

    /// Whether the same message may be welcome later.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoJob | Self::OtherBlock | Self::Busy | Self::NotOperator
        )
    }
}

impl Message {
    /// A job's verdict, signed by `signer`.
    ///
    /// # Errors
    /// Why it could not be signed.
    pub async fn sign(
        job: JobId,
        block: B256,
        stored: &StoredVerdict,
        signer: &Signer,
        domain: &Eip712Domain,
    ) -> Result<Share, vouch_client::Error> {
        let hash = statement(&job, block, stored.digest).eip712_signing_hash(domain);
        let (signature, statement) =
            futures::try_join!(signer.sign(stored.digest), signer.sign(hash))?;
        Ok(Share {
            signer: signer.address(),
            block,
            verdict: stored.verdict.clone(),
            digest: stored.digest,
            signature: signature.as_bytes().to_vec().into(),
            statement: statement.as_bytes().to_vec().into(),
            at_ms: now_ms(),
        })
    }

    /// The message that carries a signature.
    pub fn of(job: JobId, share: Share) -> Self {
        Self {
            job,
            block: share.block,
            verdict: share.verdict,
            signature: share.signature,
            statement: share.statement,
        }
    }

    /// Checks everything that the message itself shows. Whether the signer is an operator is the
    /// caller's to find out.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(self, domain: &Eip712Domain) -> Result<(JobId, Share), Refused> {
        let verdict = Verdict::abi_decode_validate(&self.verdict)
            .map_err(|e| Refused::Malformed(e.to_string()))?;
        // One verdict, one encoding: what is kept is bounded by what was signed.
        if verdict.abi_encode() != self.verdict {
            let detail = "another encoding of it".to_owned();
            return Err(Refused::Malformed(detail));
        }
        let job = self.job;
        let same = [
            (verdict.order == job.order, "order"),
            (verdict.phase == u8::from(job.phase), "phase"),
            (verdict.attempt == job.attempt, "attempt"),
            (verdict.evidence == job.evidence, "evidence"),
        ];
        if let Some((_, field)) = same.iter().find(|(same, _)| !same) {
            return Err(Refused::OtherJob(field));
        }
        let digest = digest(&verdict, domain);
        let signed = Signed::recover(digest, &self.signature)
            .map_err(|_| Refused::Signature("signature"))?;
        let hash = statement(&job, self.block, digest).eip712_signing_hash(domain);
        let stated =
            Signed::recover(hash, &self.statement).map_err(|_| Refused::Signature("statement"))?;
        if signed.signer != stated.signer {
            return Err(Refused::TwoSigners);
        }
        let share = Share {
            signer: signed.signer,
            block: self.block,
            verdict: self.verdict,
            digest,
            signature: self.signature,
            statement: self.statement,
            at_ms: now_ms(),
        };
        Ok((job, share))
    }
}

fn statement(job: &JobId, block: B256, digest: B256) -> VerdictShare {
    VerdictShare {
        verdict: digest,
        order: job.order,
        phase: job.phase.into(),
        attempt: job.attempt,
        evidence: job.evidence,
        outputs: job.outputs,
        announcedIn: block,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use alloy::signers::local::PrivateKeySigner;
    use vouch_client::verdict::domain;
    use vouch_protocol::Phase;

    use super::*;

    fn job() -> JobId {
        JobId {
            order: B256::with_last_byte(1),
            phase: crate::store::model::Phase(Phase::Start),
            attempt: 0,
            evidence: B256::with_last_byte(2),
            outputs: B256::ZERO,
        }
    }

    fn random() -> Signer {
        PrivateKeySigner::random().into()
    }

    async fn message(signer: &Signer) -> Message {
        let verdict = Verdict {
            order: job().order,
            phase: 1,
            evidence: job().evidence,
            ..Default::default()
        };
        let domain = domain(31337, Address::ZERO);
        let stored = StoredVerdict {
            digest: digest(&verdict, &domain),
            verdict: verdict.abi_encode().into(),
            reason: 0,
            detail: String::new(),
            signatures: Vec::new(),
        };
        let share = Message::sign(job(), B256::with_last_byte(9), &stored, signer, &domain);
        Message::of(job(), share.await.unwrap())
    }

    #[tokio::test]
    async fn a_message_names_its_signer() {
        let signer = random();
        let message = message(&signer).await;
        let here = domain(31337, Address::ZERO);
        let (id, share) = message.clone().check(&here).unwrap();
        assert_eq!((id, share.signer), (job(), signer.address()));
        let text = serde_json::to_string(&message).unwrap();
        let read: Message = serde_json::from_str(&text).unwrap();
        assert_eq!(read, message);
    }

    #[tokio::test]
    async fn what_was_changed_is_not_the_signers() {
        let signer = random();
        let here = domain(31337, Address::ZERO);
        let base = message(&signer).await;
        let other = Message {
            statement: message(&random()).await.statement,
            ..base.clone()
        };
        assert_eq!(other.check(&here), Err(Refused::TwoSigners));
        type Change = fn(&mut Message);
        let cases: [(&str, Change); 7] = [
            ("verdict", |m| m.verdict = Bytes::from_static(b"garbage")),
            ("trailing", |m| {
                m.verdict = [&m.verdict[..], &[0; 32]].concat().into()
            }),
            ("job", |m| m.job.order = B256::ZERO),
            ("phase", |m| m.job.phase.0 = Phase::Finish),
            ("outputs", |m| m.job.outputs = B256::with_last_byte(1)),
            ("block", |m| m.block = B256::ZERO),
            ("signature", |m| m.signature = vec![0; 65].into()),
        ];
        for (what, change) in cases {
            let mut changed = base.clone();
            change(&mut changed);
            // Either refused, or somebody's whom nobody knows.
            if let Ok((_, share)) = changed.check(&here) {
                assert_ne!(share.signer, signer.address(), "{what}");
            }
        }
        let elsewhere = base.check(&domain(1, Address::ZERO));
        assert!(elsewhere.map_or(true, |(_, share)| share.signer != signer.address()));
    }
}
