//! What verification hands out: a report whose chain and signature have been checked.

use crate::time::Time;

/// A report `R` that was verified, and what its chain `C` says of the device that signed it. Only
/// this crate's verifiers make one.
#[derive(Clone, Debug)]
pub struct Authentic<R, C> {
    report: R,
    device: C,
    simulated: bool,
    verified_at: Time,
}

impl<R, C> Authentic<R, C> {
    pub(crate) const fn new(report: R, device: C, simulated: bool, verified_at: Time) -> Self {
        Self {
            report,
            device,
            simulated,
            verified_at,
        }
    }

    /// The report.
    pub const fn report(&self) -> &R {
        &self.report
    }

    /// What the chain says of the device.
    pub const fn device(&self) -> &C {
        &self.device
    }

    /// Whether the chain ends in a simulator's root.
    pub const fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// The time at which every certificate of the chain was valid.
    pub const fn verified_at(&self) -> Time {
        self.verified_at
    }
}
