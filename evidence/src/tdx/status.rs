//! Intel's ratings, and how several of them make one.

use core::fmt;
use std::string::String;
use std::vec::Vec;

use serde::Deserialize;

use crate::time::Time;

/// How Intel rates a TCB. The discriminant is the status's bit in `Policy.tdxStatuses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[repr(u8)]
pub enum TcbStatus {
    /// Nothing is known to be wrong.
    UpToDate = 0,
    /// Software inside must work around a known weakness.
    #[serde(rename = "SWHardeningNeeded")]
    SwHardeningNeeded = 1,
    /// The platform must be configured otherwise.
    ConfigurationNeeded = 2,
    /// Both of these.
    #[serde(rename = "ConfigurationAndSWHardeningNeeded")]
    ConfigurationAndSwHardeningNeeded = 3,
    /// A security update is missing.
    OutOfDate = 4,
    /// A security update is missing, and the platform must be configured otherwise.
    OutOfDateConfigurationNeeded = 5,
    /// The platform's keys are not to be trusted. Verification refuses it.
    Revoked = 6,
    /// The platform was updated under the running domain, which was launched out of date.
    #[serde(skip_deserializing)]
    TdRelaunchAdvised = 7,
    /// That, and the platform must be configured otherwise.
    #[serde(skip_deserializing)]
    TdRelaunchAdvisedConfigurationNeeded = 8,
}

impl TcbStatus {
    /// Every status, by bit.
    pub const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
        Self::TdRelaunchAdvised,
        Self::TdRelaunchAdvisedConfigurationNeeded,
    ];

    /// The status's bit in `Policy.tdxStatuses`.
    pub const fn bit(self) -> u32 {
        match self {
            Self::UpToDate => 0,
            Self::SwHardeningNeeded => 1,
            Self::ConfigurationNeeded => 2,
            Self::ConfigurationAndSwHardeningNeeded => 3,
            Self::OutOfDate => 4,
            Self::OutOfDateConfigurationNeeded => 5,
            Self::Revoked => 6,
            Self::TdRelaunchAdvised => 7,
            Self::TdRelaunchAdvisedConfigurationNeeded => 8,
        }
    }

    /// Intel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
        }
    }

    /// The status of a platform one of whose parts has the status `part`: what is missing of either
    /// is missing of both.
    #[must_use]
    pub const fn with_part(self, part: Self) -> Self {
        if matches!(self, Self::Revoked) || matches!(part, Self::Revoked) {
            return Self::Revoked;
        }
        let (platform, part) = (self.needs(), part.needs());
        match (
            platform.update || part.update,
            platform.configuration || part.configuration,
            platform.hardening || part.hardening,
        ) {
            (true, true, _) => Self::OutOfDateConfigurationNeeded,
            (true, false, _) => Self::OutOfDate,
            (false, true, true) => Self::ConfigurationAndSwHardeningNeeded,
            (false, true, false) => Self::ConfigurationNeeded,
            (false, false, true) => Self::SwHardeningNeeded,
            (false, false, false) => Self::UpToDate,
        }
    }

    /// The status of a domain that was launched on a platform of status `self` which has the status
    /// `now` after an update that preserved the domain.
    #[must_use]
    pub const fn updated_to(self, now: Self) -> Self {
        if matches!(self, Self::Revoked) || matches!(now, Self::Revoked) {
            return Self::Revoked;
        }
        let (launch, now) = (self.needs(), now.needs());
        match (
            launch.update && !now.update,
            launch.configuration || now.configuration,
        ) {
            (true, true) => Self::TdRelaunchAdvisedConfigurationNeeded,
            (true, false) => Self::TdRelaunchAdvised,
            (false, _) => self,
        }
    }

    const fn needs(self) -> Needs {
        Needs {
            update: matches!(
                self,
                Self::OutOfDate | Self::OutOfDateConfigurationNeeded | Self::Revoked
            ),
            configuration: matches!(
                self,
                Self::ConfigurationNeeded
                    | Self::ConfigurationAndSwHardeningNeeded
                    | Self::OutOfDateConfigurationNeeded
                    | Self::TdRelaunchAdvisedConfigurationNeeded
            ),
            hardening: matches!(
                self,
                Self::SwHardeningNeeded | Self::ConfigurationAndSwHardeningNeeded
            ),
        }
    }
}

/// What a status asks for.
struct Needs {
    update: bool,
    configuration: bool,
    hardening: bool,
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level of Intel's that something reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// How Intel rates the level.
    pub status: TcbStatus,
    /// Up to when security updates are in it.
    pub date: Time,
    /// Advisories that the level does not answer.
    pub advisories: Vec<String>,
}

#[cfg(test)]
mod tests {
    use TcbStatus::*;

    use super::*;

    /// Intel's table: a part that is out of date or revoked makes the platform so.
    #[test]
    fn parts_converge_as_intel_says() {
        for (platform, expected) in [
            (UpToDate, OutOfDate),
            (SwHardeningNeeded, OutOfDate),
            (ConfigurationNeeded, OutOfDateConfigurationNeeded),
            (
                ConfigurationAndSwHardeningNeeded,
                OutOfDateConfigurationNeeded,
            ),
            (OutOfDate, OutOfDate),
            (OutOfDateConfigurationNeeded, OutOfDateConfigurationNeeded),
            (Revoked, Revoked),
        ] {
            assert_eq!(platform.with_part(OutOfDate), expected, "{platform}");
            assert_eq!(platform.with_part(UpToDate), platform);
            assert_eq!(platform.with_part(Revoked), Revoked);
        }
    }

    #[test]
    fn a_part_never_makes_a_platform_better() {
        for platform in &TcbStatus::ALL[..7] {
            for part in &TcbStatus::ALL[..7] {
                let both = platform.with_part(*part);
                assert!(both == Revoked || both.needs().update >= platform.needs().update);
                assert!(
                    both == Revoked
                        || both.needs().configuration
                            == (platform.needs().configuration || part.needs().configuration)
                );
                assert_eq!(both, part.with_part(*platform), "{platform} and {part}");
            }
        }
    }

    #[test]
    fn only_an_update_under_a_running_domain_advises_relaunch() {
        for launch in &TcbStatus::ALL[..7] {
            for now in &TcbStatus::ALL[..7] {
                let found = launch.updated_to(*now);
                let stale = matches!(launch, OutOfDate | OutOfDateConfigurationNeeded);
                let fresh = matches!(
                    now,
                    UpToDate
                        | SwHardeningNeeded
                        | ConfigurationNeeded
                        | ConfigurationAndSwHardeningNeeded
                );
                let configure = *launch == OutOfDateConfigurationNeeded
                    || matches!(now, ConfigurationNeeded | ConfigurationAndSwHardeningNeeded);
                let expected = match (*now == Revoked, stale && fresh, configure) {
                    (true, ..) => Revoked,
                    (false, true, true) => TdRelaunchAdvisedConfigurationNeeded,
                    (false, true, false) => TdRelaunchAdvised,
                    (false, false, _) => *launch,
                };
                assert_eq!(found, expected, "{launch} updated to {now}");
            }
        }
    }

    #[test]
    fn names_and_bits_are_intels_and_the_contracts() {
        for (bit, status) in (0u32..).zip(TcbStatus::ALL) {
            assert_eq!((status.bit(), u32::from(status as u8)), (bit, bit));
            let read: Result<TcbStatus, _> =
                serde_json::from_value(serde_json::json!(status.name()));
            assert_eq!(read.ok(), (bit < 7).then_some(status), "{status}");
        }
    }
}
