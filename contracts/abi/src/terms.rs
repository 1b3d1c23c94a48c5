//! From what a buyer asks for to the terms of an order. Contract `offers` derives them; a client
//! that does so beforehand knows the order's id.

use alloc::{string::ToString, vec::Vec};

use alloy_primitives::{Address, B256, U256};
use vouch_protocol::clause::{Clause, Clauses, MAX_LEGS};

use crate::{
    Deadlines, Fee, IEscrow, IOffers, Leg, Requirements, Royalty, Terms,
    call::Revert,
    id,
    wire::{Request, RequestedLeg},
};

/// Kind of a leg that uses a dataset.
pub const DATASET: u8 = 1;
/// Kind of a leg that uses a model.
pub const MODEL: u8 = 2;
/// Kind of the leg that names the workload.
pub const WORKLOAD: u8 = 3;
/// Kind of the leg that is paid by the second.
pub const COMPUTE: u8 = 4;
/// Kind of a leg that uses no offer: a share of what other legs earn, on top of it.
pub const SHARE: u8 = 5;
/// Kind of a leg that is paid out of another leg's price, if that leg is.
pub const ROYALTY: u8 = 6;
/// Purposes: train, fine-tune, infer, evaluate.
const PURPOSES: u8 = 0b1111;
/// Those that make something.
pub const DERIVING: u8 = 0b0011;
/// A share or quality of 1, in millionths.
const WHOLE: u32 = 1_000_000;
/// Highest rate of the protocol's fee.
pub const MAX_PROTOCOL_FEE: u32 = 50_000;
/// Highest rate of a marketplace's fee.
pub const MAX_MARKETPLACE_FEE: u32 = 200_000;
/// Highest rate of the royalties of an offer together.
pub const MAX_ROYALTIES: u32 = 500_000;
/// Legs an order can have: those that use offers have clauses, for which a verdict has room [`MAX_LEGS`]
/// times; as many others.
const MAX_ALL_LEGS: usize = 2 * MAX_LEGS;

/// Derives the terms of an order. Whether the offers exist and the policies allow the use is for
/// the other contracts.
///
/// # Errors
/// `InvalidOrder`, `InvalidLeg`, `MixedTokens`, `DeadlinesNotAscending`, `DeadlinePassed`, `InvalidFee`.
pub fn derive(
    request: &Request,
    buyer: Address,
    protocol_fee: Fee,
    now: u64,
) -> Result<Terms, Revert> {
    if request.legs.is_empty() {
        return Err(invalid("legs"));
    }
    if request.maxDuration == 0 {
        return Err(invalid("maxDuration"));
    }
    if !request.purpose.is_power_of_two() || request.purpose & !PURPOSES != 0 {
        return Err(invalid("purpose"));
    }
    if request.resultKey.is_zero() {
        return Err(invalid("resultKey"));
    }
    if request.requirements.minQuality > WHOLE {
        return Err(invalid("requirements.minQuality"));
    }
    check_deadlines(&request.deadlines, request.challengeWindow, now)?;
    check_fee(&protocol_fee, request.maxProtocolFee)?;
    check_fee(&request.marketplaceFee, MAX_MARKETPLACE_FEE)?;

    let wants = demands(&request.requirements);
    let token = request
        .legs
        .first()
        .map(|leg| leg.offer.token)
        .unwrap_or_default();
    let mut legs: Vec<Leg> = Vec::with_capacity(request.legs.len());
    let mut royalties = Vec::new();
    let mut compute = None;
    for (index, requested) in (0..).zip(&request.legs) {
        let mut leg = derive_leg(index, requested, request.maxDuration, wants)?;
        pay_royalties(&mut leg, requested, &mut royalties)
            .ok_or_else(|| invalid_leg(index, "royalties"))?;
        if requested.offer.token != token {
            let found = requested.offer.token;
            return Err(IEscrow::MixedTokens {
                leg: index,
                expected: token,
                found,
            }
            .into());
        }
        if legs.iter().any(|other| other.offer == leg.offer) {
            return Err(invalid_leg(index, "offer"));
        }
        let single = leg.kind == WORKLOAD || leg.kind == COMPUTE;
        if single && legs.iter().any(|other| other.kind == leg.kind) {
            return Err(invalid_leg(index, "kind"));
        }
        if leg.kind == COMPUTE {
            compute = Some((leg.payee, requested.offer.shared));
        }
        legs.push(leg);
    }
    let (provider, shared) = compute.ok_or_else(|| invalid("compute"))?;
    if wants && legs.iter().all(|leg| leg.kind != DATASET) {
        return Err(invalid("requirements"));
    }
    if legs.len() > MAX_LEGS {
        return Err(invalid("legs"));
    }
    legs.append(&mut royalties);
    let prices = checked_sum(&legs).ok_or_else(|| invalid("total"))?;
    for fee in [&protocol_fee, &request.marketplaceFee] {
        if fee.rate == 0 {
            continue;
        }
        let amount = checked_share(&prices, fee.rate).ok_or_else(|| invalid("total"))?;
        legs.push(share(fee, amount));
    }
    if legs.len() > MAX_ALL_LEGS {
        return Err(invalid("legs"));
    }
    let terms = Terms {
        buyer,
        provider,
        token,
        legs,
        requirements: request.requirements.clone(),
        resultKey: request.resultKey,
        purpose: request.purpose,
        maxDuration: request.maxDuration,
        deadlines: request.deadlines.clone(),
        challengeWindow: request.challengeWindow,
        bond: request.bond,
        oracleFee: request.oracleFee,
        shared,
        salt: request.salt,
    };
    // No sum over an order's money can overflow.
    checked_total(&terms).ok_or_else(|| invalid("total"))?;
    Ok(terms)
}

fn derive_leg(
    index: u8,
    requested: &RequestedLeg,
    max_duration: u32,
    wants: bool,
) -> Result<Leg, Revert> {
    let offer = &requested.offer;
    let (amount, rate) = match offer.kind {
        DATASET | MODEL | WORKLOAD => (Some(offer.price), U256::ZERO),
        COMPUTE => (
            checked_scale(&offer.price, max_duration.into()),
            offer.price,
        ),
        _ => return Err(invalid_leg(index, "kind")),
    };
    let required = Clauses::POLICY.without(Clauses(requested.any));
    let measured = offer.kind == DATASET && wants;
    let clauses = if measured {
        required.with(Clause::Requirements)
    } else {
        required
    };
    Ok(Leg {
        offer: id::offer_id(offer),
        policy: offer.policy,
        kind: offer.kind,
        digest: offer.digest,
        payee: offer.owner,
        amount: amount.ok_or_else(|| invalid_leg(index, "amount"))?,
        rate,
        clauses: clauses.0,
    })
}

/// Moves the royalties of a leg's offer out of its price, into legs of their own. None where they are not those
/// that the offer names, or are none that can be paid.
fn pay_royalties(leg: &mut Leg, requested: &RequestedLeg, to: &mut Vec<Leg>) -> Option<()> {
    let (offer, royalties) = (&requested.offer, &requested.royalties);
    if id::lineage(royalties) != offer.lineage || !are_payable(royalties) {
        return None;
    }
    for royalty in royalties {
        let amount = checked_share(&offer.price, royalty.rate)?;
        leg.amount = leg.amount.checked_sub(amount)?;
        to.push(Leg {
            offer: leg.offer,
            kind: ROYALTY,
            digest: royalty.digest,
            payee: royalty.payee,
            amount,
            rate: U256::from(royalty.rate),
            ..Leg::default()
        });
    }
    Some(())
}

/// Whether royalties can be paid out of a price: each to somebody, together at most [`MAX_ROYALTIES`].
pub fn are_payable(royalties: &[Royalty]) -> bool {
    let mut sum = 0_u32;
    for royalty in royalties {
        sum = sum.saturating_add(royalty.rate);
        if royalty.rate == 0 || royalty.payee.is_zero() {
            return false;
        }
    }
    sum <= MAX_ROYALTIES
}

/// Raises what the legs of an order lock as if it had been placed for `duration` more seconds of compute. None
/// where the prices do not fit a word; whether the total does, [`checked_total`] says.
pub fn extend(terms: &mut Terms, duration: u32) -> Option<()> {
    if duration == 0 {
        return Some(());
    }
    let seconds = u64::from(terms.maxDuration) + u64::from(duration);
    let mut prices = U256::ZERO;
    for leg in &mut terms.legs {
        match leg.kind {
            COMPUTE => leg.amount = checked_scale(&leg.rate, seconds)?,
            // Behind all of which it is a share.
            SHARE => {
                leg.amount = checked_share(&prices, leg.rate.saturating_to())?;
                continue;
            }
            _ => {}
        }
        prices = prices.checked_add(leg.amount)?;
    }
    Some(())
}

/// Whether the buyer asks anything of the datasets.
fn demands(requirements: &Requirements) -> bool {
    *requirements != Requirements::default()
}

/// The deadlines lie ahead, in order, and the challenge window fits before the last.
fn check_deadlines(deadlines: &Deadlines, window: u64, now: u64) -> Result<(), Revert> {
    let &Deadlines {
        accept,
        start,
        finish,
        settle,
    } = deadlines;
    if accept <= now {
        return Err(IEscrow::DeadlinePassed {
            deadline: accept,
            time: now,
        }
        .into());
    }
    let closes = finish
        .checked_add(window)
        .ok_or_else(|| invalid("challengeWindow"))?;
    for (earlier, later, ascending) in [
        (accept, start, accept < start),
        (start, finish, start < finish),
        (closes, settle, closes <= settle),
    ] {
        if !ascending {
            return Err(IEscrow::DeadlinesNotAscending { earlier, later }.into());
        }
    }
    Ok(())
}

/// A fee has a rate, within its limit, and a recipient; or neither.
///
/// # Errors
/// `InvalidFee`.
pub fn check_fee(fee: &Fee, limit: u32) -> Result<(), Revert> {
    if fee.rate > limit || (fee.rate == 0) != fee.recipient.is_zero() {
        let found = fee.clone();
        return Err(IOffers::InvalidFee { found, limit }.into());
    }
    Ok(())
}

/// The leg of a fee: no offer, no policy and no clause, only who gets how much at most.
fn share(fee: &Fee, amount: U256) -> Leg {
    Leg {
        kind: SHARE,
        payee: fee.recipient,
        amount,
        rate: U256::from(fee.rate),
        ..Leg::default()
    }
}

/// Prices, fees and bond together, where they fit a word.
pub fn checked_total(terms: &Terms) -> Option<U256> {
    checked_sum(&terms.legs)?
        .checked_add(terms.oracleFee)?
        .checked_add(terms.bond)
}

fn checked_sum(legs: &[Leg]) -> Option<U256> {
    let mut sum = U256::ZERO;
    for leg in legs {
        sum = sum.checked_add(leg.amount)?;
    }
    Some(sum)
}

/// Some millionths of an amount, rounded down; none where the amount is too large to be split so.
pub fn checked_share(amount: &U256, rate: u32) -> Option<U256> {
    if rate == 0 {
        return Some(U256::ZERO);
    }
    checked_scale(amount, rate.into()).map(|scaled| divide(&scaled, WHOLE).0)
}

/// Quotient and remainder, byte by byte: a general 256-bit division costs a contract kilobytes. The
/// divisor has at most 24 bits.
pub fn divide(dividend: &U256, divisor: u32) -> (U256, U256) {
    let mut bytes = dividend.to_be_bytes::<32>();
    let mut rest = 0_u32;
    for byte in &mut bytes {
        // Less than 2^32, as the rest is less than the divisor.
        let part = rest << 8 | u32::from(*byte);
        *byte = (part / divisor).to_be_bytes()[3];
        rest = part % divisor;
    }
    (U256::from_be_bytes(bytes), U256::from(rest))
}

/// Digest and owner of the order's workload leg; zeros where it has none.
pub fn workload(terms: &Terms) -> (B256, Address) {
    let leg = terms.legs.iter().find(|leg| leg.kind == WORKLOAD);
    leg.map(|leg| (leg.digest, leg.payee)).unwrap_or_default()
}

/// The asset digests of the dataset and model legs, one after the other: SHA-256 of this is what a
/// verdict must name as its inputs.
pub fn inputs(terms: &Terms) -> Vec<u8> {
    let mut digests = Vec::new();
    for leg in &terms.legs {
        if is_asset(leg) {
            digests.extend_from_slice(leg.digest.as_slice());
        }
    }
    digests
}

/// Whether a leg is paid by attested time.
pub const fn is_compute(leg: &Leg) -> bool {
    leg.kind == COMPUTE
}

/// Whether a leg is a share of what others earn.
pub const fn is_share(leg: &Leg) -> bool {
    leg.kind == SHARE
}

/// Whether a leg uses a dataset or a model.
pub const fn is_asset(leg: &Leg) -> bool {
    matches!(leg.kind, DATASET | MODEL)
}

/// Whether a leg uses an offer, under a policy; others are parts of what such legs earn.
pub const fn uses_offer(leg: &Leg) -> bool {
    leg.kind <= COMPUTE
}

/// A rate times a number of seconds, where it fits a word. Byte by byte: a
/// general 256-bit multiplication costs a contract kilobytes.
pub fn checked_scale(rate: &U256, seconds: u64) -> Option<U256> {
    let mut bytes = rate.to_be_bytes::<32>();
    let mut carry = 0_u128;
    for byte in bytes.iter_mut().rev() {
        // Less than 2^73.
        let part = u128::from(*byte) * u128::from(seconds) + carry;
        *byte = part as u8;
        carry = part >> 8;
    }
    (carry == 0).then_some(U256::from_be_bytes(bytes))
}

/// `InvalidOrder` with the name of the field.
pub fn invalid(field: &str) -> Revert {
    IEscrow::InvalidOrder {
        field: field.to_string(),
    }
    .into()
}

fn invalid_leg(leg: u8, field: &str) -> Revert {
    IEscrow::InvalidLeg {
        leg,
        field: field.to_string(),
    }
    .into()
}
