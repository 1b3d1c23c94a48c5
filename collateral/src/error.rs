//! Why collateral is not to be had: what it is, where it would come from, what happened.

use vouch_evidence::Time;
use vouch_protocol::Reason;

use crate::request::Service;

/// A piece of collateral that could not be had. It never says anything about evidence.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {cause}; {place}", place = self.place())]
pub struct Error {
    /// What was wanted: `manifest NV_GPU_DRIVER_GH100_550.90.07`.
    pub what: String,
    /// Where it would be fetched from.
    pub address: String,
    /// What happened.
    pub cause: Cause,
    /// What it means for evidence that needs it: missing or stale, never a verdict.
    pub reason: Reason,
}

impl Error {
    /// Where it was looked for, or would be.
    pub fn place(&self) -> String {
        let address = &self.address;
        match self.cause {
            Cause::Offline | Cause::OfflineExpired { .. } => {
                format!("it would be fetched from {address}")
            }
            _ => format!("asked at {address}"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The service does not have it.
    #[error("the service does not have it")]
    NotFound,
    /// The service refuses to answer.
    #[error("the service answered {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The service asks for more patience than there is.
    #[error("the service asks to be left alone for {seconds} s")]
    Busy {
        /// How long.
        seconds: u64,
    },
    /// The service does not answer, or fails.
    #[error("no answer after {tries} {}, last: {last}", if *tries == 1 { "try" } else { "tries" })]
    Unreachable {
        /// How often it was asked.
        tries: u32,
        /// The last failure.
        last: String,
    },
    /// The answer is too long.
    #[error("expected at most {limit} bytes, found more")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is something else.
    #[error("the answer is something else: {detail}")]
    Garbage {
        /// What was expected and what came.
        detail: String,
    },
    /// The answer no longer counts.
    #[error("the answer counted until {until}")]
    Expired {
        /// Until when.
        until: Time,
    },
    /// It is not kept, and nobody may be asked.
    #[error("not in the cache, and nobody may be asked (offline)")]
    Offline,
    /// What is kept no longer counts, and nobody may be asked.
    #[error("what is in the cache counted until {until}, and nobody may be asked (offline)")]
    OfflineExpired {
        /// Until when.
        until: Time,
    },
    /// The service has no address.
    #[error("{} has no address, so it is not asked", service.key())]
    Disabled {
        /// The service.
        service: Service,
    },
    /// A task died.
    #[error("the fetch was interrupted")]
    Interrupted,
}

impl Cause {
    /// Whether the same question may have an answer in a moment.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. } | Self::Unreachable { .. } | Self::Interrupted
        )
    }
}
