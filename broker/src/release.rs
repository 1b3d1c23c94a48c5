//! The decision: whether a session may have an asset's key.
//!
//! Pure: the same request, view and evidence give the same answer.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use vouch_abi::{Leg, Verdict};
use vouch_client::{State, convert};
use vouch_evidence::Anchors;
use vouch_evidence::bundle::Bundle;
use vouch_evidence::session::Supplement;
use vouch_protocol::statement::{Statement, inputs_digest};
use vouch_protocol::{Clauses, Reason};
use vouch_verdict::{Case, Decision};

use crate::request::Request;
use crate::view::{OrderView, ViewError};

/// Whose word a release needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The operators' start verdict alone.
    Chain,
    /// The broker's own verification alone.
    Evidence,
    /// Both.
    #[default]
    Both,
}

impl Trust {
    const fn needs_verdict(self) -> bool {
        matches!(self, Self::Chain | Self::Both)
    }

    const fn needs_evidence(self) -> bool {
        matches!(self, Self::Evidence | Self::Both)
    }
}

/// On what releases depend beside the order.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The owner's accounts: nobody else's offer, and so nobody else's policy, counts.
    pub owners: Vec<Address>,
    /// Whose word a release needs.
    pub trust: Trust,
    /// Whom evidence is checked against.
    pub anchors: Arc<Anchors>,
}

/// Why a key is not released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The broker has no key for it.
    #[error("asset {0}: expected one whose key is here")]
    UnknownAsset(B256),
    /// The owner revoked it.
    #[error("asset {asset}: expected one that is not revoked, found it revoked at {at}")]
    Revoked {
        /// Which.
        asset: B256,
        /// Unix seconds.
        at: u64,
    },
    /// The session has had it.
    #[error("asset {0}: expected a session that has not had its key; each gets it once")]
    Replayed(B256),
    /// There is no view of the chain to decide on.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The order does not use the asset.
    #[error("asset {asset}: expected it among the order's datasets and models, found {found}")]
    NotOrdered {
        /// Which.
        asset: B256,
        /// The order's legs.
        found: String,
    },
    /// The order uses the asset under somebody else's offer, whose policy the owner never chose: anybody may offer
    /// any digest.
    #[error("asset {asset}: expected it under an offer of {expected}, found one of {found}")]
    NotOwned {
        /// Which.
        asset: B256,
        /// The owner's accounts.
        expected: String,
        /// Who offered it.
        found: Address,
    },
    /// The order does not run.
    #[error("order: expected state {expected}, found {found}")]
    OrderState {
        /// Needed.
        expected: &'static str,
        /// Found.
        found: State,
    },
    /// The verdict is not the one that the chain keeps, or does not authorise this release.
    #[error("start verdict: {field}: expected {expected}, found {found}")]
    Verdict {
        /// Which part.
        field: &'static str,
        /// What it has to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Another session is asking.
    #[error("session key: expected {expected}, found {found}")]
    SessionKey {
        /// Attested.
        expected: B256,
        /// Asked for.
        found: B256,
    },
    /// The attested session did not make the request.
    #[error("request: expected a signature by the session's signing key {0}")]
    Signature(B256),
    /// No source has the evidence.
    #[error("evidence: expected the bundle at a source, found {0}")]
    EvidenceMissing(String),
    /// The evidence does not verify here.
    #[error("evidence: {reason}: {detail}")]
    Evidence {
        /// Stable reason.
        reason: Reason,
        /// What decided it.
        detail: String,
    },
    /// The evidence cannot be judged yet: collateral is missing or stale.
    #[error("evidence: {reason}: {detail}")]
    Open {
        /// Stable reason.
        reason: Reason,
        /// What it waits for, and what could not be had.
        detail: String,
    },
    /// The broker itself failed.
    #[error("broker: {0}")]
    Internal(String),
}

impl Refusal {
    /// The refusal's stable name, in answers and in the journal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownAsset(_) => "unknown_asset",
            Self::Revoked { .. } => "revoked",
            Self::Replayed(_) => "replayed",
            Self::View(ViewError::Unreachable { .. }) => "chain_unreachable",
            Self::View(ViewError::Stale { .. }) => "chain_stale",
            Self::View(ViewError::Disagree { .. }) => "endpoints_disagree",
            Self::View(ViewError::Unknown(_)) => "unknown_order",
            Self::NotOrdered { .. } => "asset_not_ordered",
            Self::NotOwned { .. } => "offer_not_owned",
            Self::OrderState { .. } => "order_state",
            Self::Verdict { .. } => "verdict_refused",
            Self::SessionKey { .. } => "session_key",
            Self::Signature(_) => "signature",
            Self::EvidenceMissing(_) => "evidence_missing",
            Self::Evidence { .. } => "evidence_refused",
            Self::Open { .. } => "evidence_open",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same request may be granted later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::View(
                ViewError::Unreachable { .. }
                    | ViewError::Stale { .. }
                    | ViewError::Disagree { .. }
            ) | Self::EvidenceMissing(_)
                | Self::Open { .. }
                | Self::Internal(_)
        )
    }
}

/// Decides a request. Returns the digest of the evidence that it may be granted on. `supplement` is
/// collateral that the evidence does not bring itself.
///
/// # Errors
/// The [`Refusal`].
pub fn decide(
    request: &Request,
    view: &OrderView,
    bundle: &[u8],
    supplement: Option<&Supplement>,
    rules: &Rules,
) -> Result<B256, Refusal> {
    let Rules {
        owners,
        trust,
        anchors,
    } = rules;
    let leg = leg_of(request.asset, &view.terms.legs, owners)?;
    let verdict = authorised(request, view, leg, *trust)?;
    let statement = statement(view, bundle)?;
    // Before the evidence is judged: nobody but the session has the broker work, or fetch, for it.
    if statement.encryption_key != request.session {
        return Err(Refusal::SessionKey {
            expected: statement.encryption_key,
            found: request.session,
        });
    }
    if !request.is_signed_by(statement.signing_key) {
        return Err(Refusal::Signature(statement.signing_key));
    }
    if trust.needs_evidence() {
        let found = verified(request, view, bundle, supplement, anchors)?;
        covers(&found, view, leg).map_err(|(expected, held)| Refusal::Evidence {
            reason: Reason::NoLegHolds,
            detail: format!("leg {leg}: expected {expected}, found {held}"),
        })?;
        if let Some(verdict) = verdict {
            same_session(verdict, &found)?;
        }
    }
    Ok(Bundle::digest(bundle))
}

/// The leg that uses an asset under an offer of its owner.
fn leg_of(asset: B256, legs: &[Leg], owners: &[Address]) -> Result<usize, Refusal> {
    let using = || {
        let legs = legs.iter().enumerate();
        legs.filter(|(_, leg)| is_content(leg) && leg.digest == asset)
    };
    let Some((_, other)) = using().next() else {
        return Err(Refusal::NotOrdered {
            asset,
            found: format!("{} legs without it", legs.len()),
        });
    };
    let own = using().find(|(_, leg)| owners.contains(&leg.payee));
    own.map(|(index, _)| index).ok_or_else(|| {
        let owners: Vec<String> = owners.iter().map(Address::to_string).collect();
        Refusal::NotOwned {
            asset,
            expected: owners.join(" or "),
            found: other.payee,
        }
    })
}

const fn is_content(leg: &Leg) -> bool {
    matches!(leg.kind, 1 | 2)
}

/// The verdict under which the order runs, where one is needed: it names this session and this leg.
fn authorised<'a>(
    request: &Request,
    view: &'a OrderView,
    leg: usize,
    trust: Trust,
) -> Result<Option<&'a Verdict>, Refusal> {
    let found = view.record.state;
    if !trust.needs_verdict() {
        return match found {
            State::Accepted | State::Running => Ok(None),
            _ => Err(Refusal::OrderState {
                expected: "accepted or running",
                found,
            }),
        };
    }
    if found != State::Running {
        return Err(Refusal::OrderState {
            expected: "running",
            found,
        });
    }
    let refuse = |field, expected: String, found: String| Refusal::Verdict {
        field,
        expected,
        found,
    };
    // The escrow keeps no verdict of an order that runs: its event says which one started it.
    let started = view.order(request.order).and_then(|order| order.started);
    let (Some(verdict), Some(digest), Some(started)) =
        (&view.verdict, view.verdict_digest, started)
    else {
        let expected = "in the transaction that started the order".to_owned();
        return Err(refuse("calldata", expected, "another call".into()));
    };
    if digest != started.verdict {
        return Err(refuse(
            "digest",
            started.verdict.to_string(),
            digest.to_string(),
        ));
    }
    if verdict.phase != 1 || verdict.reason != Reason::Accepted.code() {
        let found = format!("phase {}, reason {}", verdict.phase, verdict.reason);
        return Err(refuse("outcome", "an accepted start".into(), found));
    }
    let inputs = inputs_digest(
        view.terms
            .legs
            .iter()
            .filter(|leg| is_content(leg))
            .map(|leg| &leg.digest),
    );
    if verdict.inputs != inputs {
        return Err(refuse(
            "inputs",
            inputs.to_string(),
            verdict.inputs.to_string(),
        ));
    }
    covers(verdict, view, leg)
        .map_err(|(expected, found)| refuse("clauses of the asset's leg", expected, found))?;
    if verdict.sessionKey != request.session {
        return Err(Refusal::SessionKey {
            expected: verdict.sessionKey,
            found: request.session,
        });
    }
    Ok(Some(verdict))
}

/// Whether all clauses of a leg that a start is judged by hold: an order starts where any leg's do.
fn covers(verdict: &Verdict, view: &OrderView, leg: usize) -> Result<(), (String, String)> {
    let required = view
        .terms
        .legs
        .get(leg)
        .map_or(Clauses::NONE, |leg| Clauses(leg.clauses));
    let required = required.intersection(Clauses::AT_START);
    let found = convert::clauses_from_abi(verdict.clauses).leg(leg);
    if found.covers(required) {
        return Ok(());
    }
    Err((required.to_string(), found.to_string()))
}

/// What the session of the announced evidence says of itself.
fn statement(view: &OrderView, bundle: &[u8]) -> Result<Statement, Refusal> {
    let refuse = |reason, detail: String| Refusal::Evidence { reason, detail };
    let Some((job, _)) = &view.announced else {
        return Err(Refusal::EvidenceMissing(
            "no announcement of it on the chain".into(),
        ));
    };
    let found = Bundle::digest(bundle);
    if found != job.evidence {
        let detail = format!("expected {}, found {found}", job.evidence);
        return Err(refuse(Reason::EvidenceDigestMismatch, detail));
    }
    let bundle = Bundle::from_json(bundle)
        .map_err(|rejection| refuse(rejection.reason, rejection.to_string()))?;
    Statement::decode(&bundle.statement)
        .map_err(|error| refuse(Reason::Malformed, error.to_string()))
}

/// The verdict that this broker would sign.
fn verified(
    request: &Request,
    view: &OrderView,
    bundle: &[u8],
    supplement: Option<&Supplement>,
    anchors: &Anchors,
) -> Result<Verdict, Refusal> {
    let missing = || Refusal::EvidenceMissing("no announcement of it on the chain".into());
    let order = view
        .order(request.order)
        .ok_or(ViewError::Unknown(request.order))?;
    let (job, announced_in) = view.announced.ok_or_else(missing)?;
    let accepted = order.accepted.ok_or_else(missing)?;
    let case = Case {
        bundle: bundle.to_vec(),
        announced: job.announcement(),
        policies: view.policies.clone(),
        challenge: view.challenge.ok_or_else(missing)?,
        challenged_at: accepted.block.timestamp,
        observed_at: announced_in.timestamp,
        started: None,
        supplement: supplement.cloned(),
        terms: order.terms,
    };
    match vouch_verdict::decide(&case, anchors, None, &mut ()) {
        Decision::Conclusive {
            verdict,
            reason: Reason::Accepted,
            ..
        } => Ok(*verdict),
        Decision::Conclusive { reason, detail, .. } => Err(Refusal::Evidence { reason, detail }),
        Decision::Inconclusive { reason, detail } => Err(Refusal::Open { reason, detail }),
    }
}

/// What operators and broker must agree on, whatever else they judge.
fn same_session(chain: &Verdict, own: &Verdict) -> Result<(), Refusal> {
    let parts = [
        ("session key", chain.sessionKey == own.sessionKey),
        ("evidence", chain.evidence == own.evidence),
        ("devices", chain.devices == own.devices),
        ("measurement", chain.measurement == own.measurement),
        ("inputs", chain.inputs == own.inputs),
    ];
    match parts.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((field, _)) => Err(Refusal::Verdict {
            field,
            expected: "what the evidence says".into(),
            found: "something else".into(),
        }),
    }
}
