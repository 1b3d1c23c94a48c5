//! Operators' signatures of verdicts: one for each operator and job, and proofs against those who
//! signed two.

use super::columns::{Direction, Equivocations, Jobs, Key, Shares};
use super::model::{Equivocation, JobId, Share, ShareKey};
use super::{Store, StoreError};

/// What became of an operator's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// It is kept.
    New,
    /// It was here already.
    Known,
    /// The operator said something else about the same block before: both statements are kept as
    /// proof, and the first counts.
    Equivocated,
    /// There is no such job.
    NoJob,
    /// It is about an announcement in another block than ours.
    OtherBlock,
}

impl Store {
    /// Keeps an operator's signature, which the caller has checked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn share(&self, id: &JobId, share: &Share) -> Result<Shared, StoreError> {
        let key = ShareKey {
            job: *id,
            signer: share.signer,
        };
        self.write(id.order, |tx| {
            let Some(job) = tx.get::<Jobs>(id)? else {
                return Ok(Shared::NoJob);
            };
            if job.block.hash != share.block {
                return Ok(Shared::OtherBlock);
            }
            match tx.get::<Shares>(&key)? {
                // A reorganisation moved the announcement: what was said about the old block is moot.
                Some(first) if first.block == share.block => {
                    if first.digest == share.digest {
                        return Ok(Shared::Known);
                    }
                    let (job, second) = (*id, share.clone());
                    tx.put::<Equivocations>(&key, &Equivocation { job, first, second })?;
                    Ok(Shared::Equivocated)
                }
                _ => {
                    tx.put::<Shares>(&key, share)?;
                    Ok(Shared::New)
                }
            }
        })
    }

    /// Operators' signatures about a job, in ascending order of the operators.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn shares(&self, id: &JobId) -> Result<Vec<Share>, StoreError> {
        let rows = self.all::<Shares>(&id.to_bytes())?;
        Ok(rows.into_iter().map(|(_, share)| share).collect())
    }

    /// Proofs against operators.
    pub fn equivocations(&self) -> impl Iterator<Item = Result<Equivocation, StoreError>> + '_ {
        let rows = self.pages::<Equivocations>(Direction::Forward);
        rows.map(|row| row.map(|(_, proof)| proof))
    }
}
