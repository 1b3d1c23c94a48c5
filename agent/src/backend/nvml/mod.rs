//! NVIDIA's GPUs through NVML, the driver's management library.
//!
//! **Decides** that all GPUs of the machine vouch for the session, in the library's order. **Trusts** nothing
//! that the library answers further than its length: whoever gets the evidence checks it. **Leaves alone**
//! switches, which NVML does not speak for.

mod library;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use vouch_evidence::bundle::{DeviceEvidence, MAX_GPUS};
use vouch_evidence::decode;

pub use library::{Error, LIBRARY, Nvml, State};

/// What keeps the GPUs from vouching for a session, as far as the library says.
///
/// # Errors
/// What is wrong, and what to do.
pub fn usable(nvml: &Nvml) -> Result<u32> {
    let state = nvml.state()?;
    ensure!(
        state.enabled,
        "confidential computing: expected on, found off: the host has to set the GPUs' CC mode and reset them"
    );
    ensure!(
        !state.dev_tools,
        "confidential computing: expected mode on, found devtools: developers may look into such GPUs"
    );
    ensure!(
        state.production,
        "confidential computing: expected NVIDIA's production environment, found another"
    );
    let count = nvml.count()?;
    let most = MAX_GPUS as u32;
    ensure!(
        (1..=most).contains(&count),
        "GPUs: expected 1 to {most}, found {count}"
    );
    Ok(count)
}

/// Reports of all GPUs over a nonce, each with its certificates.
///
/// # Errors
/// What the GPUs or their driver refused.
pub fn reports(library: &Path, nonce: [u8; 32]) -> Result<Vec<DeviceEvidence>> {
    let nvml = Nvml::load(library)?;
    let count = usable(&nvml)?;
    if !nvml.is_ready()? {
        bail!("the GPUs take no work yet: nvidia-smi conf-compute -srs 1");
    }
    (0..count)
        .map(|index| report(&nvml, index, nonce).with_context(|| format!("GPU {index}")))
        .collect()
}

fn report(nvml: &Nvml, index: u32, nonce: [u8; 32]) -> Result<DeviceEvidence> {
    let report = nvml.report(index, nonce)?;
    let chain = nvml.certificates(index)?;
    let chain = decode::certificates(&chain)
        .map_err(|rejection| anyhow::anyhow!("attestation certificates: {rejection}"))?;
    Ok(DeviceEvidence { report, chain })
}
