//! Records of activated programs.

use revm::{
    Database,
    context::Journal,
    primitives::{B256, U256},
};

use crate::params::{Packer, Params, Unpacker, peek, put, slot};

/// Activation times count hours from here, in seconds of Unix time.
const EPOCH: u64 = 1_421_388_000;

/// Why a program cannot run, or a request about one fails.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// Never activated.
    #[error("program is not activated")]
    NotActivated,
    /// Activated for another version.
    #[error("program has version {have}, the chain runs {want}")]
    NeedsUpgrade {
        /// Version activated with.
        have: u16,
        /// Version in force.
        want: u16,
    },
    /// Activated too long ago.
    #[error("program was activated {age} seconds ago")]
    Expired {
        /// Seconds since activation.
        age: u64,
    },
}

/// What the chain remembers of an activated program, under its code hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Version in force when it was activated; zero if it never was.
    pub version: u16,
    /// Gas units to load it.
    pub init_cost: u16,
    /// Gas units to start it when cached.
    pub cached_cost: u16,
    /// Pages of memory it begins with.
    pub footprint: u16,
    /// Hours between the epoch of programs and its activation (24 bits).
    pub activated_at: u32,
    /// Estimated size of its native code in KiB (24 bits).
    pub asm_kb: u32,
    /// Whether a cache manager keeps it cached.
    pub cached: bool,
}

/// Hours since the programs' epoch at `now`, seconds of Unix time.
pub(crate) fn hours(now: u64) -> u32 {
    (now.saturating_sub(EPOCH) / 3600).min(0xff_ffff) as u32
}

impl Program {
    fn slot(codehash: B256) -> U256 {
        slot("programs", codehash.as_slice())
    }

    /// The record of `codehash`; all zero if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn load<DB: Database>(
        journal: &mut Journal<DB>,
        codehash: B256,
    ) -> Result<Self, DB::Error> {
        let Some(mut reader) = Unpacker::new(peek(journal, Self::slot(codehash))?) else {
            return Ok(Self::default());
        };
        Ok(Self {
            version: reader.field(16) as u16,
            init_cost: reader.field(16) as u16,
            cached_cost: reader.field(16) as u16,
            footprint: reader.field(16) as u16,
            activated_at: reader.field(24) as u32,
            asm_kb: reader.field(24) as u32,
            cached: reader.field(8) != 0,
        })
    }

    /// Stores the record.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn save<DB: Database>(
        &self,
        journal: &mut Journal<DB>,
        codehash: B256,
    ) -> Result<(), DB::Error> {
        let word = Packer::present()
            .field(16, self.version)
            .field(16, self.init_cost)
            .field(16, self.cached_cost)
            .field(16, self.footprint)
            .field(24, self.activated_at)
            .field(24, self.asm_kb)
            .field(8, self.cached)
            .word();
        put(journal, Self::slot(codehash), word)
    }

    /// Seconds since activation.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(EPOCH + u64::from(self.activated_at) * 3600)
    }

    /// Seconds until the activation expires.
    pub fn time_left(&self, params: &Params, now: u64) -> u64 {
        (u64::from(params.expiry_days) * 86_400).saturating_sub(self.age(now))
    }

    /// Whether the program may run at `now`.
    ///
    /// # Errors
    /// It was not activated, for another version, or too long ago.
    pub fn check(&self, params: &Params, now: u64) -> Result<(), ProgramError> {
        if self.version == 0 {
            return Err(ProgramError::NotActivated);
        }
        if self.version != params.version {
            return Err(ProgramError::NeedsUpgrade {
                have: self.version,
                want: params.version,
            });
        }
        let age = self.age(now);
        if age > u64::from(params.expiry_days) * 86_400 {
            return Err(ProgramError::Expired { age });
        }
        Ok(())
    }

    /// Gas to load the program and to start it once cached.
    pub fn init_gas(&self, params: &Params) -> (u64, u64) {
        // Scalars count in units of two percent; a started percent is charged.
        let scale = |cost: u16, scalar: u8| (u64::from(cost) * u64::from(scalar) * 2).div_ceil(100);
        let load =
            u64::from(params.min_init_gas) * 128 + scale(self.init_cost, params.init_cost_scalar);
        let start = u64::from(params.min_cached_init_gas) * 32
            + scale(self.cached_cost, params.cached_cost_scalar);
        (load, start)
    }

    /// Gas charged before the program runs, beside its pages.
    pub fn start_gas(&self, params: &Params, recent: bool) -> u64 {
        let (load, start) = self.init_gas(params);
        let cached = self.cached || recent;
        let mut gas = 0;
        if cached || self.version > 1 {
            gas += start;
        }
        if !cached {
            gas += load;
        }
        gas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::{context::JournalTr, database::InMemoryDB};

    const NOW: u64 = 1_700_000_000;

    fn program() -> Program {
        Program {
            version: 2,
            init_cost: 500,
            cached_cost: 40,
            footprint: 1,
            activated_at: hours(NOW),
            asm_kb: 0xff_ffff,
            cached: true,
        }
    }

    #[test]
    fn records_survive_storage() {
        let mut journal = Journal::<InMemoryDB>::new(InMemoryDB::default());
        let hash = B256::repeat_byte(7);
        assert_eq!(Program::load(&mut journal, hash), Ok(Program::default()));
        program().save(&mut journal, hash).unwrap();
        assert_eq!(Program::load(&mut journal, hash), Ok(program()));
        assert_eq!(
            Program::load(&mut journal, B256::ZERO),
            Ok(Program::default())
        );
    }

    #[test]
    fn only_a_current_activation_may_run() {
        let params = Params::default();
        assert_eq!(
            Program::default().check(&params, NOW),
            Err(ProgramError::NotActivated)
        );
        assert_eq!(
            Program {
                version: 1,
                ..program()
            }
            .check(&params, NOW),
            Err(ProgramError::NeedsUpgrade { have: 1, want: 2 })
        );
        assert_eq!(program().check(&params, NOW), Ok(()));
        let year = 365 * 86_400;
        let activated = NOW - program().age(NOW);
        assert_eq!(program().check(&params, activated + year), Ok(()));
        assert_eq!(
            program().check(&params, activated + year + 1),
            Err(ProgramError::Expired { age: year + 1 })
        );
        assert_eq!(program().time_left(&params, activated + year - 5), 5);
    }

    #[test]
    fn start_gas_by_hand() {
        let params = Params::default();
        // 32 * 11 + 40 when cached; 128 * 69 + 500 more when not.
        assert_eq!(program().start_gas(&params, false), 392);
        let cold = Program {
            cached: false,
            ..program()
        };
        assert_eq!(cold.start_gas(&params, false), 392 + 9332);
        assert_eq!(cold.start_gas(&params, true), 392);
    }
}
