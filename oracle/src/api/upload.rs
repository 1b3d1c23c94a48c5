//! Who may leave evidence: the provider or the buyer of an order that is not over, by their signature.

use alloy::primitives::{Address, B256};
use alloy::sol_types::Eip712Domain;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use vouch_client::upload::{Authorization, SCHEME};

use super::{Api, Refusal};
use crate::facts::Order;
use crate::time::now_ms;

/// Longest time for which an authorization may be good: a leaked one is soon worth nothing.
const LONGEST: u64 = 3600;

/// Why evidence is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// No `Authorization`.
    Missing,
    /// It cannot be read.
    Malformed,
    /// Its deadline has passed.
    Expired,
    /// Its deadline is too far away.
    TooLong,
    /// The order was not seen here.
    OrderUnknown,
    /// Nobody needs evidence for it any more.
    OrderOver,
    /// Neither provider nor buyer signed this.
    NotAParty,
    /// Too much was left for the order and not announced.
    TooMany,
}

impl Unwelcome {
    /// Its stable name, in answers and as a metric's label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "authorization_missing",
            Self::Malformed => "authorization_malformed",
            Self::Expired => "authorization_expired",
            Self::TooLong => "authorization_too_long",
            Self::OrderUnknown => "order_unknown",
            Self::OrderOver => "order_over",
            Self::NotAParty => "not_a_party",
            Self::TooMany => "too_many_unannounced",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Malformed | Self::Expired | Self::TooLong => {
                StatusCode::UNAUTHORIZED
            }
            Self::NotAParty => StatusCode::FORBIDDEN,
            Self::OrderUnknown => StatusCode::NOT_FOUND,
            Self::OrderOver => StatusCode::CONFLICT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The answer.
    pub(super) fn refuse(self, message: impl Into<String>) -> Refusal {
        Refusal(self.status(), self.code(), message.into())
    }
}

/// What the market says of an order, as far as its evidence is concerned.
struct Parties {
    provider: Address,
    buyer: Address,
    over: bool,
}

impl Api {
    /// The order for which a request may leave evidence.
    pub(super) fn welcome(&self, evidence: B256, headers: &HeaderMap) -> Result<B256, Refusal> {
        let domain = self.pipeline.market.upload_domain();
        let header = headers.get(header::AUTHORIZATION);
        let authorization = read(header).and_then(|read| timely(read, now_ms() / 1000));
        let checked = authorization.and_then(|authorization| {
            let facts = match self.store.facts(authorization.order) {
                Ok(facts) => facts,
                Err(error) => return Ok(Err(error)),
            };
            let order = Order::from_facts(authorization.order, &facts).map(|order| Parties {
                provider: order.terms.provider,
                buyer: order.terms.buyer,
                over: order.is_over(),
            });
            party(&authorization, order, evidence, &domain)?;
            Ok(Ok(authorization.order))
        });
        match checked {
            Ok(found) => Ok(found?),
            Err((unwelcome, message)) => {
                self.metrics.upload_refused(unwelcome);
                Err(unwelcome.refuse(message))
            }
        }
    }
}

fn read(header: Option<&HeaderValue>) -> Result<Authorization, (Unwelcome, String)> {
    let header = header.ok_or_else(|| {
        let message =
            format!("expected `Authorization: {SCHEME} …`, signed by a party of the order");
        (Unwelcome::Missing, message)
    })?;
    let text = header.to_str().unwrap_or_default();
    text.parse()
        .map_err(|e| (Unwelcome::Malformed, format!("authorization: {e}")))
}

fn timely(read: Authorization, now: u64) -> Result<Authorization, (Unwelcome, String)> {
    let deadline = read.deadline;
    if deadline < now {
        let message = format!("deadline: expected {now} or later, found {deadline}");
        return Err((Unwelcome::Expired, message));
    }
    if deadline - now > LONGEST {
        let message = format!("deadline: expected at most {LONGEST} s from now, found {deadline}");
        return Err((Unwelcome::TooLong, message));
    }
    Ok(read)
}

fn party(
    authorization: &Authorization,
    order: Option<Parties>,
    evidence: B256,
    domain: &Eip712Domain,
) -> Result<(), (Unwelcome, String)> {
    let id = authorization.order;
    let signer = authorization
        .signer(evidence, domain)
        .map_err(|e| (Unwelcome::Malformed, format!("authorization: {e}")))?;
    let order = order.ok_or_else(|| {
        let message = format!("order {id}: not seen here, or not yet");
        (Unwelcome::OrderUnknown, message)
    })?;
    if signer != order.provider && signer != order.buyer {
        let message = format!(
            "order {id}: expected the signature of provider {} or buyer {}, found {signer}'s or another text's",
            order.provider, order.buyer
        );
        return Err((Unwelcome::NotAParty, message));
    }
    if order.over {
        let message = format!("order {id}: paid or refunded");
        return Err((Unwelcome::OrderOver, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::signers::local::PrivateKeySigner;
    use vouch_abi::id::domain;

    use super::*;

    const ORDER: B256 = B256::repeat_byte(1);
    const EVIDENCE: B256 = B256::repeat_byte(2);
    const NOW: u64 = 1_800_000_000;

    fn signed(signer: &PrivateKeySigner) -> Authorization {
        let domain = domain(31337, Address::ZERO);
        Authorization::sign(ORDER, EVIDENCE, NOW + 60, &domain, signer).unwrap()
    }

    fn judged(
        authorization: &Authorization,
        order: Option<Parties>,
        evidence: B256,
    ) -> Result<(), Unwelcome> {
        let domain = domain(31337, Address::ZERO);
        party(authorization, order, evidence, &domain).map_err(|(unwelcome, _)| unwelcome)
    }

    #[test]
    fn only_parties_of_an_open_order_are_welcome() {
        let [provider, buyer, stranger] = std::array::from_fn(|_| PrivateKeySigner::random());
        let order = |over| {
            Some(Parties {
                provider: provider.address(),
                buyer: buyer.address(),
                over,
            })
        };
        for party in [&provider, &buyer] {
            let authorization = signed(party);
            assert_eq!(judged(&authorization, order(false), EVIDENCE), Ok(()));
            for (found, evidence, expected) in [
                (order(true), EVIDENCE, Unwelcome::OrderOver),
                (None, EVIDENCE, Unwelcome::OrderUnknown),
                (order(false), ORDER, Unwelcome::NotAParty),
            ] {
                assert_eq!(judged(&authorization, found, evidence), Err(expected));
            }
        }
        let refused = judged(&signed(&stranger), order(false), EVIDENCE);
        assert_eq!(refused, Err(Unwelcome::NotAParty));
        let garbled = Authorization {
            signature: vec![0xff; 65].into(),
            ..signed(&provider)
        };
        let refused = judged(&garbled, order(false), EVIDENCE);
        assert_eq!(refused, Err(Unwelcome::Malformed));
    }

    #[test]
    fn deadlines_are_neither_past_nor_far() {
        let authorization = signed(&PrivateKeySigner::random());
        let at = |now| timely(authorization.clone(), now).map_err(|(unwelcome, _)| unwelcome);
        assert!(at(NOW).is_ok());
        assert!(at(NOW + 60).is_ok());
        assert!(at(NOW + 60 - LONGEST).is_ok());
        assert_eq!(at(NOW + 61), Err(Unwelcome::Expired));
        assert_eq!(at(NOW + 60 - LONGEST - 1), Err(Unwelcome::TooLong));
        assert_eq!(at(0), Err(Unwelcome::TooLong));
    }

    #[test]
    fn a_header_that_is_none_is_said_to_be() {
        let code = |header: Option<&str>| {
            let header = header.map(|text| HeaderValue::from_str(text).unwrap());
            read(header.as_ref()).map_err(|(unwelcome, _)| unwelcome)
        };
        assert_eq!(code(None), Err(Unwelcome::Missing));
        for text in ["", "Vouch", "Bearer x", "Vouch order=1", "\u{e4}"] {
            assert_eq!(code(Some(text)), Err(Unwelcome::Malformed), "{text}");
        }
    }
}
