//! Protected PCIe: eight GPUs and four switches that name each other, and nobody else.
//!
//! Every device's own name is the one in its chip's certificate, so a list cannot be lived up to by
//! a device that is not there. Source: NVIDIA PPCIE verifier, topology check; captures.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use vouch_protocol::Reason;

use super::claims::{Claims, Mode};
use crate::check::{Compared, Observe, Rule, ensure};
use crate::rejection::Rejection;

/// GPUs of a protected-PCIe machine.
pub const PPCIE_GPUS: usize = 8;
/// Switches of a protected-PCIe machine.
pub const PPCIE_SWITCHES: usize = 4;

const SOURCE: &str = "NVIDIA PPCIE verifier, topology check";
static COUNT: Rule = Rule {
    field: "topology.devices",
    reason: Reason::GpuTopologyMismatch,
    source: SOURCE,
};
static MODE: Rule = Rule {
    field: "topology.mode",
    reason: Reason::GpuTopologyMismatch,
    source: SOURCE,
};
static NAMES: Rule = Rule {
    field: "topology.links",
    reason: Reason::GpuTopologyMismatch,
    source: SOURCE,
};

/// Checks that these GPUs and switches are one protected-PCIe machine. Without switches, and without
/// a GPU in that mode, there is nothing to check.
///
/// # Errors
/// `gpu_topology_mismatch`.
pub fn check_topology<O: Observe>(
    gpus: &[Claims],
    switches: &[Claims],
    observer: &mut O,
) -> Result<(), Rejection> {
    if switches.is_empty() && gpus.iter().all(|gpu| gpu.mode != Some(Mode::ProtectedPcie)) {
        return Ok(());
    }
    let counts = (gpus.len(), switches.len()) == (PPCIE_GPUS, PPCIE_SWITCHES);
    ensure(observer, &COUNT, counts, || {
        Compared::new(
            format!("{PPCIE_GPUS} GPUs and {PPCIE_SWITCHES} switches"),
            format!("{} GPUs and {} switches", gpus.len(), switches.len()),
        )
    })?;
    let other = gpus
        .iter()
        .position(|gpu| gpu.mode != Some(Mode::ProtectedPcie) || gpu.protected_pcie != Some(true));
    ensure(observer, &MODE, other.is_none(), || {
        let found = other.map_or_else(
            || "protected_pcie".into(),
            |index| format!("gpus[{index}] is not"),
        );
        Compared::new("every GPU in protected PCIe", found)
    })?;
    let (gpu_names, switch_names) = (names(gpus), names(switches));
    for (kind, devices, others) in [
        ("gpus", gpus, &switch_names),
        ("switches", switches, &gpu_names),
    ] {
        for (index, device) in devices.iter().enumerate() {
            let listed = if kind == "gpus" {
                &device.switch_pdis
            } else {
                &device.gpu_pdis
            };
            ensure(observer, &NAMES, Some(listed) == others.as_ref(), || {
                let expected = others.as_ref().map_or_else(
                    || "devices with distinct names".into(),
                    |names| shown(names),
                );
                Compared::new(
                    format!("{kind}[{index}] linked to {expected}"),
                    shown(listed),
                )
            })?;
        }
    }
    Ok(())
}

/// The names of all devices, ascending; `None` where one has none, or two have the same.
fn names(devices: &[Claims]) -> Option<Vec<u64>> {
    let mut names: Vec<u64> = devices
        .iter()
        .map(|device| device.pdi)
        .collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    (names.len() == devices.len()).then_some(names)
}

fn shown(names: &[u64]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:016x}")).collect();
    names.join(", ")
}
