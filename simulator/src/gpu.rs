//! A simulated GH100: its certificate chain and its attestation reports.
//!
//! Shapes: NVIDIA's attestation SDK and SPDM 1.1 (DSP0274), `GET_MEASUREMENTS` and `MEASUREMENTS`.

use sha2::{Digest, Sha256, Sha384};

use crate::{
    der,
    keys::Key,
    x509::{self, Attribute, Certificate, Usage},
};

/// Measurements of a GH100 report.
const MEASUREMENTS: u8 = 64;
/// `GET_MEASUREMENTS` request, which the report begins with.
const REQUEST_LEN: usize = 37;
/// DICE TCB info of Hopper leaves: version, the parent's key, the firmware identity.
const DICE: [u64; 6] = [2, 23, 133, 5, 4, 1];
const ORGANIZATION: &str = "Simulated by Vouch, not NVIDIA";

/// Authorities that all simulated GPUs share.
#[derive(Debug)]
pub(crate) struct Vendor {
    root: Key,
    identity: Key,
    provisioner: Key,
}

impl Vendor {
    /// The one that operators of development chains may trust.
    pub(crate) fn simulated() -> Self {
        Self::from_seed(b"vouch/simulator/vendor/v1")
    }

    /// One with the same names and other keys, which nobody trusts.
    pub(crate) fn untrusted() -> Self {
        Self::from_seed(b"vouch/simulator/untrusted vendor/v1")
    }

    fn from_seed(seed: &[u8]) -> Self {
        Self {
            root: Key::derive(seed, "root"),
            identity: Key::derive(seed, "identity"),
            provisioner: Key::derive(seed, "provisioner"),
        }
    }

    /// The root certificate, DER; always the same bytes.
    pub(crate) fn root(&self) -> Vec<u8> {
        let name = vendor_name("NVIDIA Device Identity CA");
        self.authority(&self.root, name.clone(), &self.root, name)
    }

    /// Who signed the certificates of a chain between its leaf and its root, from below.
    pub(crate) fn issuers(&self) -> [&Key; 3] {
        [&self.provisioner, &self.identity, &self.root]
    }

    fn authority(&self, key: &Key, subject: Vec<u8>, issuer: &Key, by: Vec<u8>) -> Vec<u8> {
        let [subject_id, issuer_id] = x509::identifiers(key, issuer);
        Certificate {
            serial: Sha256::digest(key.identifier())[..16].to_vec(),
            issuer: by,
            subject,
            not_before: "20211105000000Z",
            not_after: x509::NEVER,
            public_key_info: key.public_key_info(),
            extensions: vec![
                x509::authority(),
                x509::usage(Usage::CertAndCrlSign),
                subject_id,
                issuer_id,
            ],
        }
        .sign(issuer)
    }

    /// The chain of one device, leaf first, root last.
    fn chain(&self, device: &Device) -> Vec<Vec<u8>> {
        let root = vendor_name("NVIDIA Device Identity CA");
        let identity = vendor_name("NVIDIA GH100 Identity");
        let provisioner = vendor_name("NVIDIA GH100 Provisioner ICA 1");
        let mut boot_rom_serial = device.boot_rom.identifier()[..9].to_vec();
        boot_rom_serial[0] &= 0x7f;
        let boot_rom = device_name("GH100 A01 GSP BROM", &boot_rom_serial);
        let leaf = device_name("GH100 A01 GSP FMC LF", &device.serial);

        let [leaf_id, boot_rom_id] = x509::identifiers(&device.leaf, &device.boot_rom);
        let leaf = Certificate {
            serial: device.serial.to_vec(),
            issuer: boot_rom.clone(),
            subject: leaf,
            not_before: "20201017000000Z",
            not_after: x509::NEVER,
            public_key_info: device.leaf.public_key_info(),
            extensions: vec![
                x509::usage(Usage::DigitalSignature),
                leaf_id,
                boot_rom_id,
                device.alternative_name(),
                device.dice(),
            ],
        }
        .sign(&device.boot_rom);

        let [boot_rom_id, provisioner_id] = x509::identifiers(&device.boot_rom, &self.provisioner);
        let boot_rom = Certificate {
            serial: boot_rom_serial,
            issuer: provisioner.clone(),
            subject: boot_rom,
            not_before: "20201017000000Z",
            not_after: x509::NEVER,
            public_key_info: device.boot_rom.public_key_info(),
            extensions: vec![
                x509::authority(),
                x509::usage(Usage::CertSign),
                boot_rom_id,
                provisioner_id,
            ],
        }
        .sign(&self.provisioner);

        vec![
            leaf,
            boot_rom,
            self.authority(
                &self.provisioner,
                provisioner,
                &self.identity,
                identity.clone(),
            ),
            self.authority(&self.identity, identity, &self.root, root),
            self.root(),
        ]
    }
}

fn vendor_name(common_name: &str) -> Vec<u8> {
    x509::name(&[
        Attribute::CommonName(common_name),
        Attribute::Organization(ORGANIZATION),
    ])
}

fn device_name(common_name: &str, serial: &[u8]) -> Vec<u8> {
    x509::name(&[
        Attribute::SerialNumber(&hex::encode_upper(serial)),
        Attribute::Country("US"),
        Attribute::Organization(ORGANIZATION),
        Attribute::CommonName(common_name),
    ])
}

/// What makes one GPU another than the next.
#[derive(Debug)]
struct Device {
    leaf: Key,
    boot_rom: Key,
    serial: [u8; 20],
    firmware: [u8; 48],
}

impl Device {
    /// `otherName` with the platform's serial number, as on the real leaf.
    fn alternative_name(&self) -> Vec<u8> {
        let text = format!("NVIDIA:GH100:{}", hex::encode_upper(&self.serial[..8]));
        let text = der::context(0, &der::value(der::UTF8_STRING, text.as_bytes()));
        let other = [der::oid(&[1, 3, 6, 1, 4, 1, 412, 274, 1]), text].concat();
        x509::extension(
            &[2, 5, 29, 17],
            false,
            &der::sequence(&[&der::context(0, &other)]),
        )
    }

    fn dice(&self) -> Vec<u8> {
        let sha384 = der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2]);
        let firmware = der::sequence(&[&sha384, &der::value(der::OCTET_STRING, &self.firmware)]);
        let content = der::sequence(&[
            &der::integer(&[1]),
            &self.boot_rom.public_key_info(),
            &firmware,
        ]);
        x509::extension(&DICE, false, &content)
    }
}

/// One simulated GPU.
#[derive(Debug)]
pub struct Gpu {
    device: Device,
    chain: Vec<Vec<u8>>,
}

impl Gpu {
    pub(crate) fn new(vendor: &Vendor, seed: &[u8], index: u8) -> Self {
        let leaf = Key::derive(seed, &format!("gpu {index} leaf"));
        let mut serial = leaf.identifier();
        serial[0] &= 0x7f; // positive
        let device = Device {
            boot_rom: Key::derive(seed, &format!("gpu {index} boot rom")),
            leaf,
            serial,
            firmware: Sha384::digest(b"vouch/simulator/gpu firmware/v1").into(),
        };
        let chain = vendor.chain(&device);
        Self { device, chain }
    }

    /// The leaf certificate's serial number: the device's identity.
    pub fn serial(&self) -> [u8; 20] {
        self.device.serial
    }

    /// Certificates, DER, leaf first, root last.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The signed attestation report for `nonce`: request and response.
    pub fn report(&self, nonce: [u8; 32]) -> Vec<u8> {
        let mut report = Vec::with_capacity(4200);
        // SPDM 1.1, GET_MEASUREMENTS, signature requested, all measurements.
        report.extend([0x11, 0xe0, 0x01, 0xff]);
        report.extend(nonce);
        report.push(0); // slot
        debug_assert_eq!(report.len(), REQUEST_LEN);

        let record: Vec<u8> = (1..=MEASUREMENTS).flat_map(measurement_block).collect();
        report.extend([0x11, 0x60, 0, 0, MEASUREMENTS]);
        report.extend(&(record.len() as u32).to_le_bytes()[..3]);
        report.extend(record);
        // The responder's nonce: any value that differs from report to report.
        report.extend(Sha256::digest([&self.device.serial[..], &nonce].concat()));
        let opaque = self.opaque();
        report.extend((opaque.len() as u16).to_le_bytes());
        report.extend(opaque);
        let signature = self.device.leaf.sign_report(&report);
        report.extend(signature);
        report
    }

    /// Type, length, value; numbers are little-endian.
    fn opaque(&self) -> Vec<u8> {
        let counts: Vec<u8> = (1..=MEASUREMENTS)
            .flat_map(|index| u32::from(is_measured(index)).to_le_bytes())
            .collect();
        let fields: [(u16, &[u8]); 16] = [
            (6, &[0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0]), // VBIOS 96.00.9F.00.01
            (14, &[0xb1, 0x03, 0, 0]),                     // board
            (15, b"882\0\0\0\0\0\0"),                      // chip SKU
            (16, b"0\0\0\0\0"),
            (17, b"1010\0"), // project
            (18, b"0200\0"),
            (19, &[0, 0]),
            (3, b"550.90.07\0"), // driver
            (4, &[0x80, 0x01, 0, 0, 0, 0, 0, 0]),
            (12, &counts),
            (13, &[0x00, 0xc0, 0x01, 0x00]),
            (11, &[0x55]), // NVDEC0 disabled
            (20, &self.device.firmware),
            (21, &[0x55]), // protected PCIe off
            (34, &[1, 0]), // version of the opaque data
            (36, &[0, 0]), // one GPU in confidential-computing mode
        ];
        let mut out = Vec::new();
        for (kind, value) in fields {
            out.extend(kind.to_le_bytes());
            out.extend((value.len() as u16).to_le_bytes());
            out.extend(value);
        }
        out
    }
}

/// Slots that a GH100 fills; the others are zero.
const fn is_measured(index: u8) -> bool {
    matches!(index, 2..=8 | 10 | 12 | 22..=23 | 26..=28 | 30..=41)
}

fn measurement_block(index: u8) -> Vec<u8> {
    let mut digest = [0; 48];
    if is_measured(index) {
        digest = Sha384::digest([b"vouch/simulator/measurement/v1".as_slice(), &[index]].concat())
            .into();
    }
    // Index, DMTF specification, size, digest of mutable firmware, size.
    let mut block = vec![index, 1, 51, 0, 1, 48, 0];
    block.extend(digest);
    block
}
