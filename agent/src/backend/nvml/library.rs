//! NVIDIA's management library, loaded at run time: the calls that evidence needs, and no more.
//!
//! Layouts and numbers are those of NVIDIA's `nvml.h`. All unsafe code of the agent is here.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

/// Where the loader looks for it.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

const CERTIFICATES: usize = 0x1000;
const ATTESTATION_CERTIFICATES: usize = 0x1400;
const REPORT: usize = 0x2000;
const CEC_REPORT: usize = 0x1000;
const NONCE: usize = 32;
const VERSION: usize = 80;

/// What went wrong with the library.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be loaded.
    #[error("loading NVIDIA's library: {0}")]
    Load(String),
    /// It is older than what is needed.
    #[error("{}: expected the function {function}, found none: the driver is older than R550", path.display())]
    Missing {
        /// What was loaded.
        path: PathBuf,
        /// What it lacks.
        function: &'static str,
    },
    /// A call failed.
    #[error("{function}: {}", meaning(*code))]
    Call {
        /// Which.
        function: &'static str,
        /// What it returned.
        code: c_int,
    },
    /// An answer is longer than its place, or empty.
    #[error("{what}: expected 1 to {most} bytes, found {found}")]
    Length {
        /// Of what.
        what: &'static str,
        /// Bytes of its place.
        most: usize,
        /// Bytes, as it says.
        found: u64,
    },
}

/// What `nvmlReturn_t` means, and what to do.
fn meaning(code: c_int) -> String {
    let known = match code {
        2 => "invalid argument",
        3 => "not supported by this GPU or driver",
        4 => "no permission: run as root, or as a user who may open /dev/nvidiactl",
        6 => "not found",
        7 => "the place for the answer is too small: library and agent differ in their layouts",
        9 => "NVIDIA's driver is not loaded",
        10 => "timeout",
        12 => "a library of the driver is missing",
        13 => "not known to the driver: it is older than the library",
        15 => "the GPU is lost: reset it or the machine",
        16 => "the GPU has to be reset",
        17 => "the operating system refused a GPU's device node",
        18 => "driver and library have different versions: load the driver again",
        19 => "the GPU is in use by somebody else",
        20 => "not enough memory",
        999 => "unknown error",
        _ => return format!("error {code}"),
    };
    format!("{known} (error {code})")
}

/// `nvmlConfComputeSystemState_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct RawState {
    environment: c_uint,
    feature: c_uint,
    dev_tools: c_uint,
}

/// `nvmlConfComputeGpuCertificate_t`.
#[repr(C)]
struct RawCertificates {
    size: c_uint,
    attestation_size: c_uint,
    chain: [u8; CERTIFICATES],
    attestation_chain: [u8; ATTESTATION_CERTIFICATES],
}

/// `nvmlConfComputeGpuAttestationReport_t`.
#[repr(C)]
struct RawReport {
    cec_present: c_uint,
    size: c_uint,
    cec_size: c_uint,
    nonce: [u8; NONCE],
    report: [u8; REPORT],
    cec_report: [u8; CEC_REPORT],
}

/// The machine's confidential-compute state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether the GPUs are in a confidential mode.
    pub enabled: bool,
    /// Whether it is the mode that lets developers look in.
    pub dev_tools: bool,
    /// Whether it is NVIDIA's production environment.
    pub production: bool,
}

/// The loaded and initialised library; shut down when dropped.
#[derive(Debug)]
pub struct Nvml {
    library: Library,
    path: PathBuf,
}

/// A GPU's place in the library's list.
type Device = *mut c_void;

impl Nvml {
    /// Loads and initialises it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        // SAFETY: running the constructors of NVIDIA's library is what loading it means; its path is the
        // machine's own or its configuration's, both of which the guest's measurement covers.
        let library = unsafe { Library::new(path) };
        let library = library.map_err(|error| Error::Load(error.to_string()))?;
        let path = path.to_owned();
        let nvml = Self { library, path };
        nvml.call("nvmlInit_v2")?;
        Ok(nvml)
    }

    /// The driver's version.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn driver(&self) -> Result<String, Error> {
        let mut text = [0_u8; VERSION];
        type Function = unsafe extern "C" fn(*mut c_char, c_uint) -> c_int;
        let function = "nvmlSystemGetDriverVersion";
        let call = self.symbol::<Function>(function)?;
        // SAFETY: the place is as long as is said.
        let code = unsafe { call(text.as_mut_ptr().cast(), VERSION as c_uint) };
        checked(function, code)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(VERSION);
        Ok(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    /// The confidential-compute state.
    ///
    /// # Errors
    /// [`Error`].
    pub fn state(&self) -> Result<State, Error> {
        let mut raw = RawState::default();
        self.fill("nvmlSystemGetConfComputeState", &mut raw)?;
        Ok(State {
            enabled: raw.feature == 1,
            dev_tools: raw.dev_tools != 0,
            production: raw.environment == 2,
        })
    }

    /// Whether the GPUs take work: in a confidential mode they do once they were told to.
    ///
    /// # Errors
    /// [`Error`].
    pub fn is_ready(&self) -> Result<bool, Error> {
        let mut ready: c_uint = 0;
        self.fill("nvmlSystemGetConfComputeGpusReadyState", &mut ready)?;
        Ok(ready == 1)
    }

    /// How many GPUs there are.
    ///
    /// # Errors
    /// [`Error`].
    pub fn count(&self) -> Result<u32, Error> {
        let mut count: c_uint = 0;
        self.fill("nvmlDeviceGetCount_v2", &mut count)?;
        Ok(count)
    }

    /// The certificates above a GPU's attestation key: PEM, as the driver has them.
    ///
    /// # Errors
    /// [`Error`].
    pub fn certificates(&self, index: u32) -> Result<Vec<u8>, Error> {
        let mut raw = Box::new(RawCertificates {
            size: 0,
            attestation_size: 0,
            chain: [0; CERTIFICATES],
            attestation_chain: [0; ATTESTATION_CERTIFICATES],
        });
        let device = self.device(index)?;
        self.ask("nvmlDeviceGetConfComputeGpuCertificate", device, &mut *raw)?;
        answer(
            "attestation certificates",
            &raw.attestation_chain,
            raw.attestation_size,
        )
    }

    /// A GPU's attestation report over a nonce.
    ///
    /// # Errors
    /// [`Error`].
    pub fn report(&self, index: u32, nonce: [u8; NONCE]) -> Result<Vec<u8>, Error> {
        let mut raw = Box::new(RawReport {
            cec_present: 0,
            size: 0,
            cec_size: 0,
            nonce,
            report: [0; REPORT],
            cec_report: [0; CEC_REPORT],
        });
        let function = "nvmlDeviceGetConfComputeGpuAttestationReport";
        let device = self.device(index)?;
        self.ask(function, device, &mut *raw)?;
        answer("attestation report", &raw.report, raw.size)
    }

    fn device(&self, index: u32) -> Result<Device, Error> {
        type Function = unsafe extern "C" fn(c_uint, *mut Device) -> c_int;
        let function = "nvmlDeviceGetHandleByIndex_v2";
        let call = self.symbol::<Function>(function)?;
        let mut device: Device = std::ptr::null_mut();
        // SAFETY: the place is one handle's.
        checked(function, unsafe { call(index, &raw mut device) })?;
        Ok(device)
    }

    fn call(&self, function: &'static str) -> Result<(), Error> {
        let call = self.symbol::<unsafe extern "C" fn() -> c_int>(function)?;
        // SAFETY: it takes nothing.
        checked(function, unsafe { call() })
    }

    /// A call that fills one place.
    fn fill<T>(&self, function: &'static str, place: &mut T) -> Result<(), Error> {
        let call = self.symbol::<unsafe extern "C" fn(*mut T) -> c_int>(function)?;
        // SAFETY: the type is the one that the header gives this function.
        checked(function, unsafe { call(place) })
    }

    /// A call that fills one place for a device.
    fn ask<T>(&self, function: &'static str, device: Device, place: &mut T) -> Result<(), Error> {
        let call = self.symbol::<unsafe extern "C" fn(Device, *mut T) -> c_int>(function)?;
        // SAFETY: the type is the one that the header gives this function, the handle the library's own.
        checked(function, unsafe { call(device, place) })
    }

    fn symbol<T: Copy>(&self, function: &'static str) -> Result<T, Error> {
        // SAFETY: callers name the type that the header gives the function, and use it while the library is
        // loaded.
        let found = unsafe { self.library.get::<T>(function.as_bytes()) };
        found.map(|symbol| *symbol).map_err(|_| Error::Missing {
            path: self.path.clone(),
            function,
        })
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // Without effect where it was not initialised; there is nobody left to tell.
        let _ = self.call("nvmlShutdown");
    }
}

fn checked(function: &'static str, code: c_int) -> Result<(), Error> {
    match code {
        0 => Ok(()),
        code => Err(Error::Call { function, code }),
    }
}

/// The part of a place that an answer says it fills.
fn answer(what: &'static str, place: &[u8], size: c_uint) -> Result<Vec<u8>, Error> {
    let found = usize::try_from(size).ok().filter(|size| *size > 0);
    let found = found.and_then(|size| place.get(..size));
    found.map(<[u8]>::to_vec).ok_or(Error::Length {
        what,
        most: place.len(),
        found: size.into(),
    })
}
