//! Revocation: OCSP responses and certificate revocation lists, as documents given by the caller.
//!
//! An answer counts between its `thisUpdate` and its `nextUpdate`; one without an end is refused.

pub(crate) mod crl;
pub mod ocsp;

pub use crl::MAX_CRL_LEN;
use vouch_protocol::Reason;

use crate::check::{Compared, Observe, Rule, ensure};
use crate::rejection::Rejection;
use crate::time::Time;

static CURRENT: Rule = Rule {
    field: "validity",
    reason: Reason::CollateralExpired,
    source: "RFC 6960, 4.2.2.1",
};

/// From when until when a revocation list says that it counts. Nobody has checked that yet.
///
/// # Errors
/// `malformed`.
pub fn crl_window(der: &[u8]) -> Result<Window, Rejection> {
    let list = crl::Crl::parse(der)?;
    Ok(Window {
        this_update: list.this_update,
        next_update: list.next_update,
    })
}

/// From when until when an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the answer was made.
    pub this_update: Time,
    /// When a newer one is due.
    pub next_update: Time,
}

impl Window {
    pub(crate) fn check<O: Observe>(self, time: Time, observer: &mut O) -> Result<(), Rejection> {
        let current = self.this_update <= time && time <= self.next_update;
        ensure(observer, &CURRENT, current, || {
            Compared::new(
                std::format!("an answer that counts at {time}"),
                std::format!("one from {} to {}", self.this_update, self.next_update),
            )
        })
    }
}
