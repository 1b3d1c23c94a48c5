//! What an authentic report says, in owned form.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use alloy_primitives::B256;
use vouch_protocol::device;

use super::chain::{Architecture, Kind};
use super::opaque::Status;
use super::verify::AuthenticReport;

/// A GPU's mode of confidential computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One GPU for one machine (SPT).
    Single,
    /// Several GPUs for one machine, links encrypted (MPT).
    Multi,
    /// Eight GPUs and their switches for one machine, links trusted (PPCIE).
    ProtectedPcie,
}

impl Mode {
    /// `single_gpu`, `multi_gpu` or `protected_pcie`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single_gpu",
            Self::Multi => "multi_gpu",
            Self::ProtectedPcie => "protected_pcie",
        }
    }
}

/// Whether the report repeats the certificate's firmware identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareBinding {
    /// The report repeats it.
    Bound,
    /// The report does not say: drivers of the 535 series, and every switch.
    Absent,
}

/// What a GPU or switch says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// GPU or switch.
    pub kind: Kind,
    /// `GH100`
    pub chip: String,
    /// `GH100 A01 GSP BROM`
    pub model: String,
    /// The identity under which the device is busy on chain.
    pub device: B256,
    /// Serial number of the leaf certificate.
    pub leaf_serial: Vec<u8>,
    /// The device's PDI, as a number: the same that switches and GPUs report of each other.
    pub pdi: Option<u64>,
    /// The nonce that the report answers.
    pub nonce: [u8; 32],
    /// GPUs only.
    pub driver_version: Option<String>,
    /// `96.00.9F.00.01`
    pub vbios_version: Option<String>,
    /// Board project, `1010`.
    pub project: Option<String>,
    /// Board variant, `0200`.
    pub project_sku: Option<String>,
    /// `882`
    pub chip_sku: Option<String>,
    /// Mode of confidential computing; `None` where the report does not say.
    pub mode: Option<Mode>,
    /// Protected PCIe is on; `None` where the report does not say.
    pub protected_pcie: Option<bool>,
    /// Whether the video decoder is on; `None` where the report does not say.
    pub nvdec0: Option<bool>,
    /// The certificate says that the device can be debugged; `None` where it does not say.
    pub debug: Option<bool>,
    /// Whether the report repeats the certificate's firmware identity.
    pub firmware: FirmwareBinding,
    /// Measurements by index of the manifests, from 0.
    pub measurements: Vec<(u8, [u8; 48])>,
    /// Where each of them stands in the report, in the same order.
    pub measured_at: Vec<usize>,
    /// The switches behind a GPU's links, without empty links, ascending, each once.
    pub switch_pdis: Vec<u64>,
    /// The GPUs behind a switch's ports, likewise.
    pub gpu_pdis: Vec<u64>,
    /// The chain ends in a simulator's root.
    pub simulated: bool,
}

impl Claims {
    /// The GPU architecture; `None` for a switch.
    pub const fn architecture(&self) -> Option<Architecture> {
        match self.kind {
            Kind::Gpu(architecture) => Some(architecture),
            Kind::Switch => None,
        }
    }
}

impl AuthenticReport<'_> {
    /// What the device says, without the bytes it said it in.
    pub fn claims(&self) -> Claims {
        let (report, identity) = (self.report(), self.device());
        let opaque = &report.opaque;
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        let on = |status: Option<Status>| status.map(|status| status == Status::On);
        let is_gpu = matches!(identity.kind, Kind::Gpu(_));
        let (switch_pdis, gpu_pdis) = if is_gpu {
            // A GPU writes the switches' identities backwards.
            (
                pdis(opaque.pdi.unwrap_or_default(), u64::from_le_bytes),
                Vec::new(),
            )
        } else {
            // Eight identities, then port numbers.
            let field = opaque.switch_gpu_pdis.and_then(|field| field.get(..64));
            (
                Vec::new(),
                pdis(field.unwrap_or_default(), u64::from_be_bytes),
            )
        };
        Claims {
            kind: identity.kind,
            chip: identity.chip.clone(),
            model: identity.model.clone(),
            device: device::gpu(&identity.leaf_serial),
            leaf_serial: identity.leaf_serial.clone(),
            pdi: pdi(&identity.chip_serial),
            nonce: *report.nonce,
            driver_version: owned(opaque.driver_version),
            vbios_version: if is_gpu {
                opaque.gpu_vbios()
            } else {
                opaque.switch_vbios()
            },
            project: owned(opaque.project),
            project_sku: owned(opaque.project_sku),
            chip_sku: owned(opaque.chip_sku),
            mode: mode(opaque.feature_flag, opaque.protected_pcie, identity.kind),
            protected_pcie: on(opaque.protected_pcie),
            nvdec0: on(opaque.nvdec0),
            debug: identity.debug,
            firmware: if opaque.fwid.is_some() {
                FirmwareBinding::Bound
            } else {
                FirmwareBinding::Absent
            },
            measurements: report
                .measurements
                .iter()
                .map(|measurement| (measurement.index.saturating_sub(1), *measurement.digest))
                .collect(),
            measured_at: report.measurements.iter().map(|m| m.offset).collect(),
            switch_pdis,
            gpu_pdis,
            simulated: self.is_simulated(),
        }
    }
}

/// The feature flag, where there is one; before it, the state of protected PCIe told the two modes
/// of Hopper apart.
fn mode(flag: Option<u16>, protected_pcie: Option<Status>, kind: Kind) -> Option<Mode> {
    match (flag, protected_pcie, kind) {
        (Some(0), _, _) | (None, Some(Status::Off), Kind::Gpu(Architecture::Hopper)) => {
            Some(Mode::Single)
        }
        (Some(1), _, _) => Some(Mode::Multi),
        (Some(2), _, _) | (None, Some(Status::On), Kind::Gpu(_)) => Some(Mode::ProtectedPcie),
        _ => None,
    }
}

/// The low eight bytes of a chip's serial number.
fn pdi(serial: &[u8]) -> Option<u64> {
    serial
        .last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

fn pdis(field: &[u8], number: fn([u8; 8]) -> u64) -> Vec<u64> {
    let mut pdis: Vec<u64> = field
        .chunks_exact(8)
        .filter_map(|chunk| chunk.try_into().ok().map(number))
        .filter(|pdi| *pdi != 0 && *pdi != u64::MAX)
        .collect();
    pdis.sort_unstable();
    pdis.dedup();
    pdis
}
