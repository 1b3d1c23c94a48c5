//! The processor through Linux's configfs-tsm (`Documentation/ABI/testing/configfs-tsm-report`): write
//! 64 bytes of report data, read a report. For SEV-SNP the certificate table comes with it, where the
//! host gives one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use vouch_evidence::bundle::{Bundle, Collateral, CpuEvidence, DeviceEvidence};
use vouch_protocol::Statement;

/// Where the kernel shows it.
pub const ROOT: &str = "/sys/kernel/config/tsm/report";
/// GUIDs of the certificate table's entries, as they stand in it (GHCB specification, revision 2.02,
/// section 4.1.8.1).
const VCEK: [u8; 16] = guid(
    0x63da_758d,
    0xe664,
    0x4564,
    [0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd],
);
const VLEK: [u8; 16] = guid(
    0xa807_4bc2,
    0xa25a,
    0x483e,
    [0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1],
);
const MAX_FILE: u64 = 1 << 20;

/// A GUID as it is stored: the first three parts little-endian.
const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> [u8; 16] {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6],
        d[7],
    ]
}

/// The kernel's interface.
#[derive(Clone, Debug)]
pub struct Tsm {
    root: PathBuf,
}

impl Tsm {
    /// # Errors
    /// Where the kernel does not show it.
    pub fn open(root: &Path) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "{}: not there; run `vouch-agent doctor` for what is missing",
            root.display()
        );
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Evidence for a statement: the processor's, over these reports of GPUs.
    ///
    /// # Errors
    /// What the kernel refused, or what does not belong into a bundle.
    pub fn evidence(&self, statement: &Statement, gpus: Vec<DeviceEvidence>) -> Result<Bundle> {
        let reports = gpus.iter().map(|gpu| gpu.report.as_slice());
        let report_data = statement.transcript().report_data(reports);
        Ok(Bundle {
            statement: statement.encode(),
            gpus,
            switches: Vec::new(),
            cpu: self.quote(&report_data)?,
            collateral: Collateral::default(),
        })
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<CpuEvidence> {
        let entry = Entry::create(&self.root)?;
        let before = entry.generation()?;
        entry.write("inblob", report_data)?;
        let (outblob, auxblob) = (
            entry.read("outblob")?,
            entry.read("auxblob").unwrap_or_default(),
        );
        let provider =
            String::from_utf8(entry.read("provider")?).context("provider: expected text")?;
        // Another process that wrote in between would have its report data in this report.
        let after = entry.generation()?;
        ensure!(
            after == before + 1,
            "generation: expected {}, found {after}: somebody else used the entry",
            before + 1
        );
        match provider.trim() {
            "sev_guest" => Ok(CpuEvidence::SevSnp {
                report: outblob,
                vek: endorsement(&auxblob)?.to_vec(),
                chain: None,
            }),
            "tdx_guest" => Ok(CpuEvidence::Tdx {
                quote: outblob,
                collateral: None,
            }),
            other => bail!("provider: expected sev_guest or tdx_guest, found {other:?}"),
        }
    }
}

/// The certificate of the signing chip or version in a certificate table: entries of GUID, offset and
/// length, up to one of zeros.
fn endorsement(table: &[u8]) -> Result<&[u8]> {
    for entry in table.chunks_exact(24) {
        let (guid, place) = entry.split_at(16);
        if guid.iter().all(|byte| *byte == 0) {
            break;
        }
        if guid != VCEK && guid != VLEK {
            continue;
        }
        let word =
            |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default() as usize;
        let (offset, length) = (word(&place[..4]), word(&place[4..]));
        let end = offset
            .checked_add(length)
            .context("certificate table: an entry without end")?;
        let found = table.len();
        return table
            .get(offset..end)
            .with_context(|| format!("certificate table: expected {end} bytes, found {found}"));
    }
    bail!(
        "certificate table: expected a VCEK or VLEK, found none; the host has to give it, or fetch it from AMD's KDS"
    )
}

/// One report's folder; removed when dropped.
struct Entry(PathBuf);

impl Entry {
    fn create(root: &Path) -> Result<Self> {
        let mut name = [0; 8];
        aws_lc_rs::rand::fill(&mut name)
            .map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
        let path = root.join(format!("vouch-{}", hex::encode(name)));
        std::fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        use std::io::Read;
        let path = self.0.join(name);
        let context = || format!("reading {}", path.display());
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).with_context(context)?;
        file.take(MAX_FILE)
            .read_to_end(&mut bytes)
            .with_context(context)?;
        Ok(bytes)
    }

    fn generation(&self) -> Result<u64> {
        let text =
            String::from_utf8(self.read("generation")?).context("generation: expected text")?;
        text.trim().parse().context("generation: expected a number")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(guid: [u8; 16], offset: u32, length: u32, rest: &[u8]) -> Vec<u8> {
        [
            &guid[..],
            &offset.to_le_bytes(),
            &length.to_le_bytes(),
            &[0; 24],
            rest,
        ]
        .concat()
    }

    #[test]
    fn the_chip_s_certificate_is_found() {
        assert_eq!(endorsement(&table(VCEK, 48, 3, b"abc")).unwrap(), b"abc");
        assert_eq!(endorsement(&table(VLEK, 49, 2, b"abc")).unwrap(), b"bc");
        // 63da758d-e664-4564-adc5-f4b93be8accd, as a guest sees it in memory.
        assert_eq!(hex::encode(VCEK), "8d75da6364e66445adc5f4b93be8accd");
    }

    #[test]
    fn broken_tables_are_refused() {
        for bad in [
            table(VCEK, 48, 4, b"abc"),
            table(VCEK, u32::MAX, u32::MAX, b"abc"),
            table([1; 16], 48, 3, b"abc"),
            table([0; 16], 48, 3, b"abc"),
            Vec::new(),
            vec![1; 23],
        ] {
            assert!(endorsement(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_machine_without_the_interface_says_so() {
        let error = Tsm::open(Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("doctor"), "{error}");
    }
}
