//! A simulated SEV-SNP processor: its VCEK and its attestation reports.
//!
//! Shapes: AMD 56860 (SEV-SNP firmware ABI), table 23 and chapter 3; AMD 57230 (VCEK certificate).

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::{
    der,
    keys::Key,
    x509::{self, Attribute, Certificate},
};

/// Bytes of a report, and of the part its signature covers.
pub(crate) const REPORT_LEN: usize = 0x4a0;
pub(crate) const SIGNED_LEN: usize = 0x2a0;
const POLICY: usize = 0x008;
const REPORT_DATA: usize = 0x050;
const DEBUG_BIT: u64 = 1 << 19;

/// In the place of AMD's root key, for every generation. DER.
pub(crate) const ARK: &[u8] = include_bytes!("../roots/ark.der");
/// In the place of AMD's signing key. DER.
pub(crate) const ASK: &[u8] = include_bytes!("../roots/ask.der");
const ASK_KEY: &[u8] = include_bytes!("../roots/ask.key.der");

/// The generation of a simulated processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Product {
    /// Report version 3.
    #[default]
    Genoa,
    /// Report version 5: another TCB layout and a chip id of 8 bytes.
    Turin,
}

impl Product {
    /// Every simulated generation.
    pub const ALL: [Self; 2] = [Self::Genoa, Self::Turin];

    /// AMD's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    const fn report_version(self) -> u32 {
        match self {
            Self::Genoa => 3,
            Self::Turin => 5,
        }
    }

    /// Family, model and stepping as CPUID has them.
    const fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Genoa => [0x19, 0x11, 0x01],
            Self::Turin => [0x1a, 0x02, 0x01],
        }
    }

    /// Security patch levels in the layout of the generation.
    const fn tcb(self) -> [u8; 8] {
        match self {
            Self::Genoa => [10, 0, 0, 0, 0, 0, 23, 84],
            Self::Turin => [1, 1, 1, 4, 0, 0, 0, 81],
        }
    }

    /// The TCB's byte that each extension `3.n` of the VCEK certifies; none for reserved ones.
    const fn patch_levels(self) -> &'static [(u64, Option<usize>)] {
        match self {
            Self::Genoa => &[
                (1, Some(0)),
                (2, Some(1)),
                (4, None),
                (5, None),
                (6, None),
                (7, None),
                (3, Some(6)),
                (8, Some(7)),
            ],
            Self::Turin => &[
                (9, Some(0)),
                (1, Some(1)),
                (2, Some(2)),
                (3, Some(3)),
                (5, None),
                (6, None),
                (7, None),
                (8, Some(7)),
            ],
        }
    }

    const fn chip_id_len(self) -> usize {
        match self {
            Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

/// What the guest's owner and host chose when it was launched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    pub(crate) measurement: [u8; 48],
    pub(crate) debug: bool,
}

/// One simulated processor.
#[derive(Debug)]
pub struct Cpu {
    product: Product,
    key: Key,
    /// The report's field: zero after the chip id's own length.
    chip_id: [u8; 64],
    vcek: Vec<u8>,
}

impl Cpu {
    pub(crate) fn new(product: Product, seed: &[u8]) -> Self {
        let key = Key::derive(seed, product.name());
        let mut chip_id = [0; 64];
        let length = product.chip_id_len();
        chip_id[..length].copy_from_slice(&Sha512::digest(key.identifier())[..length]);
        let vcek = vcek(product, &key, &chip_id[..length]);
        Self {
            product,
            key,
            chip_id,
            vcek,
        }
    }

    /// The generation.
    pub fn product(&self) -> Product {
        self.product
    }

    /// What tells one chip from another: 64 bytes, on Turin 8.
    pub fn chip_id(&self) -> &[u8] {
        &self.chip_id[..self.product.chip_id_len()]
    }

    /// The certificate of the key that signs reports, DER.
    pub fn vcek(&self) -> &[u8] {
        &self.vcek
    }

    /// The signed report, 1184 bytes.
    pub(crate) fn report(&self, report_data: [u8; 64], launch: Launch) -> Vec<u8> {
        let mut report = vec![0; REPORT_LEN];
        let mut put = |offset: usize, bytes: &[u8]| {
            report[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        let tcb = self.product.tcb();
        // SMT allowed, the bit that must be one, ABI 0.31.
        let policy = 0x3_001f | if launch.debug { DEBUG_BIT } else { 0 };
        put(0x000, &self.product.report_version().to_le_bytes());
        put(0x004, &2u32.to_le_bytes()); // guest SVN
        put(POLICY, &u64::to_le_bytes(policy));
        put(0x034, &1u32.to_le_bytes()); // ECDSA P-384 with SHA-384
        put(0x038, &tcb);
        put(0x040, &0x25u64.to_le_bytes()); // SMT, ECC, alias check complete
        put(REPORT_DATA, &report_data);
        put(0x090, &launch.measurement);
        put(0x0e0, &Sha384::digest(b"vouch/simulator/id key/v1"));
        put(0x140, &Sha256::digest(report_data)); // report id: the guest's, fresh
        put(0x160, &[0xff; 32]); // no migration agent
        put(0x180, &tcb);
        put(0x188, &self.product.cpuid());
        put(0x1a0, &self.chip_id);
        put(0x1e0, &tcb);
        put(0x1e8, &[41, 55, 1, 0, 41, 55, 1, 0]); // current and committed firmware
        put(0x1f0, &tcb);
        let signature = self.key.sign_report(&report[..SIGNED_LEN]);
        for (i, part) in signature.chunks_exact(48).enumerate() {
            let start = SIGNED_LEN + 72 * i;
            for (byte, source) in report[start..start + 48].iter_mut().zip(part.iter().rev()) {
                *byte = *source;
            }
        }
        report
    }
}

fn vcek(product: Product, key: &Key, chip_id: &[u8]) -> Vec<u8> {
    let name = |common_name: &str| {
        x509::name(&[
            Attribute::Unit("Engineering"),
            Attribute::Country("US"),
            Attribute::Locality("Santa Clara"),
            Attribute::State("CA"),
            Attribute::Organization("Simulated by Vouch, not AMD"),
            Attribute::CommonName(common_name),
        ])
    };
    let amd = |suffix: &[u64], content: &[u8]| {
        x509::extension(
            &[&[1, 3, 6, 1, 4, 1, 3704, 1], suffix].concat(),
            false,
            content,
        )
    };
    let version = match product {
        Product::Genoa => 0,
        Product::Turin => 1,
    };
    let mut extensions = vec![
        amd(&[1], &der::integer(&[version])),
        amd(
            &[2],
            &der::value(der::IA5_STRING, product.name().as_bytes()),
        ),
    ];
    for (number, byte) in product.patch_levels() {
        let level = byte.map_or(0, |byte| product.tcb()[byte]);
        extensions.push(amd(&[3, *number], &der::integer(&[level])));
    }
    extensions.push(amd(&[4], chip_id));
    Certificate {
        serial: vec![0],
        issuer: name("SEV-Simulated"),
        subject: name("SEV-VCEK"),
        not_before: "20240101000000Z",
        not_after: "20440101000000Z",
        public_key_info: key.public_key_info(),
        extensions,
    }
    .sign(&Key::embedded(ASK_KEY))
}
