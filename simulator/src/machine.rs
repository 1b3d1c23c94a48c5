//! A simulated trusted machine: one processor, some GPUs, and the evidence they give.

use alloy_primitives::B256;
use sha2::{Digest, Sha384};
use vouch_evidence::bundle::{self, Bundle, Collateral, DeviceEvidence, SevSnpChain};
use vouch_protocol::{Statement, device};

use crate::{
    gpu::{Gpu, Vendor},
    session::Session,
    snp::{self, Cpu, Launch, Product, SIGNED_LEN},
    tamper::Tamper,
};

/// What a machine consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Number of GPUs.
    pub gpus: u8,
    /// Generation of the processor.
    pub cpu: Product,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            gpus: 1,
            cpu: Product::Genoa,
        }
    }
}

/// How evidence is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Launch measurement of the guest: the workload.
    pub measurement: [u8; 48],
    /// The lie to tell, if any.
    pub tamper: Option<Tamper>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            measurement: default_measurement(),
            tamper: None,
        }
    }
}

/// The launch measurement of the guest that a machine runs unless told otherwise.
pub fn default_measurement() -> [u8; 48] {
    Sha384::digest(b"vouch/simulator/workload/v1").into()
}

/// The launch measurement of a guest that was built for the workload with this SHA-256.
pub fn guest_measurement(workload: &[u8; 32]) -> [u8; 48] {
    let mut hash = Sha384::new();
    hash.update(b"vouch/simulator/guest/v1");
    hash.update(workload);
    hash.finalize().into()
}

/// A GPU's report and its chain.
#[derive(Clone, Debug)]
pub struct GpuEvidence {
    /// Request and response as the GPU signed them.
    pub report: Vec<u8>,
    /// Certificates, DER, leaf first, root last.
    pub chain: Vec<Vec<u8>>,
}

/// A processor's report and its chain.
#[derive(Clone, Debug)]
pub struct CpuEvidence {
    /// 1184 bytes.
    pub report: Vec<u8>,
    /// VCEK, ASK, ARK, DER.
    pub chain: [Vec<u8>; 3],
}

/// All that a machine gives for one statement.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The statement that the hardware vouches for.
    pub statement: Statement,
    /// One for each GPU.
    pub gpus: Vec<GpuEvidence>,
    /// The processor's.
    pub cpu: CpuEvidence,
}

/// One simulated machine. The same seed gives the same devices.
#[derive(Debug)]
pub struct Machine {
    seed: Vec<u8>,
    gpus: Vec<Gpu>,
    cpu: Cpu,
}

impl Machine {
    /// A machine with one GPU and a Genoa processor.
    pub fn new(seed: &[u8]) -> Self {
        Self::with_hardware(seed, Hardware::default())
    }

    /// A machine with this hardware.
    pub fn with_hardware(seed: &[u8], hardware: Hardware) -> Self {
        let vendor = Vendor::simulated();
        Self {
            seed: seed.to_vec(),
            gpus: (0..hardware.gpus)
                .map(|index| Gpu::new(&vendor, seed, index))
                .collect(),
            cpu: Cpu::new(hardware.cpu, seed),
        }
    }

    /// The GPUs.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// The processor.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The identities that a verdict names: the GPUs', then the processor's.
    pub fn devices(&self) -> Vec<B256> {
        self.gpus
            .iter()
            .map(|gpu| device::gpu(&gpu.serial()))
            .chain([device::cpu(self.cpu.chip_id())])
            .collect()
    }

    /// Evidence for `statement`, as a bundle.
    pub fn bundle(&self, statement: &Statement, options: &Options) -> Bundle {
        self.evidence(statement, options).bundle()
    }

    /// Evidence for `statement`. A lie is told as late as it can be, and everything that an attacker
    /// could still make consistent around it is consistent: so exactly one reason is found.
    pub fn evidence(&self, statement: &Statement, options: &Options) -> Evidence {
        let lie = |kind| options.tamper == Some(kind);
        let mut statement = statement.clone();
        if lie(Tamper::OutputsDigest) {
            statement.outputs.0[0] ^= 1;
        }
        let transcript = statement.transcript();
        let nonce = transcript.gpu_nonce();

        let mut gpus: Vec<GpuEvidence> = self
            .gpus
            .iter()
            .map(|gpu| GpuEvidence {
                report: gpu.report(nonce),
                chain: gpu.chain().to_vec(),
            })
            .collect();
        if let (Some(evidence), Some(gpu)) = (gpus.first_mut(), self.gpus.first()) {
            if lie(Tamper::GpuSignature) {
                flip_last(&mut evidence.report);
            }
            if lie(Tamper::GpuNonce) {
                evidence.report = gpu.report(nonce.map(|byte| !byte));
            }
            if lie(Tamper::SwappedGpu) {
                let other = Session::from_secret(nonce).start(B256::repeat_byte(1), B256::ZERO);
                evidence.report = gpu.report(other.transcript().gpu_nonce());
            }
            if lie(Tamper::GpuChain) {
                flip_last(&mut evidence.chain[1]);
            }
            if lie(Tamper::WrongRoot) {
                evidence.chain = Gpu::new(&Vendor::untrusted(), &self.seed, 0)
                    .chain()
                    .to_vec();
            }
        }

        let mut report_data = transcript.report_data(gpus.iter().map(|gpu| gpu.report.as_slice()));
        if lie(Tamper::CpuReportData) {
            report_data[0] ^= 1;
        }
        let launch = Launch {
            measurement: options.measurement,
            debug: lie(Tamper::CpuDebug),
        };
        let mut report = self.cpu.report(report_data, launch);
        if lie(Tamper::CpuSignature) {
            report[SIGNED_LEN] ^= 1;
        }
        let chain = [
            self.cpu.vcek().to_vec(),
            snp::ASK.to_vec(),
            snp::ARK.to_vec(),
        ];
        Evidence {
            statement,
            gpus,
            cpu: CpuEvidence { report, chain },
        }
    }
}

impl Evidence {
    /// The evidence as a bundle, with AMD's certificates beside it and no collateral.
    pub fn bundle(&self) -> Bundle {
        let [vek, signer, root] = self.cpu.chain.clone();
        let gpu = |gpu: &GpuEvidence| DeviceEvidence {
            report: gpu.report.clone(),
            chain: gpu.chain.clone(),
        };
        Bundle {
            statement: self.statement.encode(),
            gpus: self.gpus.iter().map(gpu).collect(),
            switches: Vec::new(),
            cpu: bundle::CpuEvidence::SevSnp {
                report: self.cpu.report.clone(),
                vek,
                chain: Some(SevSnpChain { signer, root }),
            },
            collateral: Collateral::default(),
        }
    }
}

fn flip_last(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}
