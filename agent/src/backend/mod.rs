//! The hardware that vouches for a session: the GPUs first, then the processor over their reports.

pub mod nvml;
pub mod tsm;

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::{Context, Result, ensure};
use vouch_client::is_development;
use vouch_evidence::bundle::Bundle;
use vouch_protocol::statement::workload_digest;
use vouch_protocol::{Counters, Statement};
use vouch_simulator::{Machine, Options, Tamper};

use crate::config;

/// What vouches for the session.
#[derive(Debug)]
pub enum Backend {
    /// Simulated hardware.
    Simulator {
        /// The devices.
        machine: Box<Machine>,
        /// The guest's launch measurement.
        measurement: [u8; 48],
        /// The lie to tell.
        tamper: Option<Tamper>,
    },
    /// The processor, through Linux.
    Tsm(tsm::Tsm),
    /// The GPUs through NVML, and the processor over them.
    Nvml {
        /// NVIDIA's library.
        library: PathBuf,
        /// The processor.
        tsm: tsm::Tsm,
    },
}

impl Backend {
    /// The configured hardware. A simulator's guest is made of the agent and the workload, so that its
    /// measurement is the workload's.
    ///
    /// # Errors
    /// What is missing, or may not be used on this chain.
    pub fn open(config: &config::Backend, workload: B256, chain_id: u64) -> Result<Self> {
        match config {
            config::Backend::Simulator { machine, tamper } => {
                ensure!(
                    is_development(chain_id),
                    "backend: expected hardware, found a simulator; chain id {chain_id} is no development chain"
                );
                let tamper = tamper.as_deref().map(str::parse::<Tamper>).transpose();
                Ok(Self::Simulator {
                    machine: Box::new(Machine::new(machine.as_bytes())),
                    measurement: vouch_simulator::guest_measurement(&workload.0),
                    tamper: tamper.context("backend.tamper")?,
                })
            }
            config::Backend::ConfigfsTsm => Ok(Self::Tsm(tsm::Tsm::open(Path::new(tsm::ROOT))?)),
            config::Backend::Nvml { library } => {
                let library = library.clone().unwrap_or_else(|| nvml::LIBRARY.into());
                nvml::usable(&nvml::Nvml::load(&library)?)?;
                let tsm = tsm::Tsm::open(Path::new(tsm::ROOT))?;
                Ok(Self::Nvml { library, tsm })
            }
        }
    }

    /// The digest under which the workload is offered, where it is known before there is evidence.
    pub fn workload(&self) -> Option<B256> {
        match self {
            Self::Simulator { measurement, .. } => Some(workload_digest(measurement)),
            Self::Tsm(_) | Self::Nvml { .. } => None,
        }
    }

    /// Evidence for a statement.
    ///
    /// # Errors
    /// What the hardware refused.
    pub fn evidence(&self, statement: &Statement) -> Result<Bundle> {
        match self {
            Self::Simulator {
                machine,
                measurement,
                tamper,
            } => {
                let idle = statement.counters == Counters::default();
                let phase = if idle && statement.outputs.is_zero() && statement.datasets.is_empty()
                {
                    vouch_protocol::Phase::Start
                } else {
                    vouch_protocol::Phase::Finish
                };
                let options = Options {
                    measurement: *measurement,
                    tamper: tamper.filter(|tamper| tamper.phase() == phase),
                };
                Ok(machine.bundle(statement, &options))
            }
            Self::Tsm(tsm) => tsm.evidence(statement, Vec::new()),
            Self::Nvml { library, tsm } => {
                let gpus = nvml::reports(library, statement.transcript().gpu_nonce())?;
                tsm.evidence(statement, gpus)
            }
        }
    }
}
