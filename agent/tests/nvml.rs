//! NVIDIA's library is played by one that this test compiles: it answers like the driver, well and badly. No GPU
//! has been asked yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vouch_agent::backend::nvml::{Nvml, reports, usable};

/// The calls that the agent makes, with the layouts of `nvml.h`. What is in capitals is set when it is compiled.
const DRIVER: &str = r#"
#include <string.h>

#ifndef FEATURE
#define FEATURE 1
#endif
#ifndef DEVTOOLS
#define DEVTOOLS 0
#endif
#ifndef ENVIRONMENT
#define ENVIRONMENT 2
#endif
#ifndef READY
#define READY 1
#endif
#ifndef GPUS
#define GPUS 2
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef REPORT
#define REPORT 0
#endif
#ifndef REPORT_SIZE
#define REPORT_SIZE 100
#endif
#ifndef CHAIN_SIZE
#define CHAIN_SIZE (sizeof pem - 1)
#endif

static const char pem[] = PEM;
static int handles[16];

int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    if (length < 7) return 7;
    strcpy(text, "570.00");
    return 0;
}
struct state { unsigned environment, feature, devtools; };
int nvmlSystemGetConfComputeState(struct state *state) {
    state->environment = ENVIRONMENT;
    state->feature = FEATURE;
    state->devtools = DEVTOOLS;
    return 0;
}
int nvmlSystemGetConfComputeGpusReadyState(unsigned *ready) { *ready = READY; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index >= GPUS) return 6;
    *device = &handles[index];
    return 0;
}
struct certificates { unsigned size, attestation_size; unsigned char chain[0x1000], attestation[0x1400]; };
int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct certificates *out) {
    memset(out->chain, 'x', sizeof out->chain);
    out->size = 10;
    memcpy(out->attestation, pem, sizeof pem);
    out->attestation_size = CHAIN_SIZE;
    return 0;
}
#ifndef OLD
struct report {
    unsigned cec_present, size, cec_size;
    unsigned char nonce[32], report[0x2000], cec[0x1000];
};
int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *out) {
    memset(out->report, 0xff, sizeof out->report);
    memcpy(out->report + 4, out->nonce, 32);
    out->report[36] = (int *)device - handles;
    out->size = REPORT_SIZE;
    return REPORT;
}
#endif
"#;

struct Driver {
    dir: tempfile::TempDir,
    pem: String,
}

impl Driver {
    /// None where there is no C compiler.
    fn new() -> Option<Self> {
        let found = Command::new("cc")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            println!("skipped: no C compiler");
            return None;
        }
        let certificate = || {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
            let made = rcgen::CertificateParams::new(Vec::new())
                .unwrap()
                .self_signed(&key);
            made.unwrap().pem().replace('\r', "")
        };
        Some(Self {
            dir: tempfile::tempdir().unwrap(),
            pem: certificate() + &certificate(),
        })
    }

    /// The library, with something of it defined otherwise.
    fn with(&self, name: &str, defined: &str) -> PathBuf {
        let source = self.dir.path().join("driver.c");
        let pem = format!("\"{}\"", self.pem.replace('\n', "\\n"));
        std::fs::write(&source, DRIVER.replace("PEM;", &format!("{pem};"))).unwrap();
        let library = self.dir.path().join(name);
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-o"])
            .arg(&library)
            .args(defined.split_whitespace())
            .arg(&source)
            .status();
        assert!(compiled.unwrap().success(), "{defined}");
        library
    }
}

#[test]
fn every_gpu_reports_over_the_nonce_with_its_chain() {
    let Some(driver) = Driver::new() else { return };
    let library = driver.with("good.so", "");
    let nonce = [0xab; 32];
    let found = reports(&library, nonce).unwrap();
    assert_eq!(found.len(), 2);
    for (index, gpu) in found.iter().enumerate() {
        assert_eq!(gpu.report.len(), 100);
        assert_eq!(gpu.report[4..36], nonce);
        assert_eq!(usize::from(gpu.report[36]), index);
        assert_eq!(gpu.chain.len(), 2);
        // DER, in the order of the driver's.
        assert!(gpu.chain.iter().all(|der| der.first() == Some(&0x30)));
    }
    assert_ne!(found[0].chain[0], found[0].chain[1]);
    assert_eq!(Nvml::load(&library).unwrap().driver().unwrap(), "570.00");
}

#[test]
fn a_driver_that_answers_badly_is_refused_with_its_reason() {
    let Some(driver) = Driver::new() else { return };
    for (index, (defined, reason)) in [
        ("-DINIT=9", "driver is not loaded"),
        ("-DINIT=18", "different versions"),
        ("-DINIT=77", "nvmlInit_v2: error 77"),
        ("-DFEATURE=0", "expected on, found off"),
        ("-DDEVTOOLS=1", "found devtools"),
        ("-DENVIRONMENT=1", "production environment"),
        ("-DREADY=0", "take no work yet"),
        ("-DGPUS=0", "expected 1 to 16, found 0"),
        ("-DGPUS=17", "expected 1 to 16, found 17"),
        (
            "-DREPORT=3",
            "GPU 0: nvmlDeviceGetConfComputeGpuAttestationReport: not supported",
        ),
        ("-DREPORT=4", "no permission"),
        ("-DREPORT=15", "the GPU is lost"),
        (
            "-DREPORT_SIZE=0",
            "attestation report: expected 1 to 8192 bytes, found 0",
        ),
        ("-DREPORT_SIZE=8193", "found 8193"),
        ("-DREPORT_SIZE=4294967295u", "found 4294967295"),
        (
            "-DCHAIN_SIZE=0",
            "attestation certificates: expected 1 to 5120 bytes, found 0",
        ),
        ("-DCHAIN_SIZE=5121", "found 5121"),
        ("-DCHAIN_SIZE=40", "attestation certificates"),
        ("-DOLD", "older than R550"),
    ]
    .into_iter()
    .enumerate()
    {
        // Each under a name of its own: the loader knows a library by its file.
        let library = driver.with(&format!("driver-{index}.so"), defined);
        let error = format!("{:#}", reports(&library, [1; 32]).unwrap_err());
        assert!(error.contains(reason), "{defined}: {error}");
    }
}

#[test]
fn what_is_no_library_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    for path in [Path::new("/no/such/libnvidia-ml.so.1"), &text] {
        let error = format!("{:#}", Nvml::load(path).unwrap_err());
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    let Some(driver) = Driver::new() else { return };
    let nvml = Nvml::load(&driver.with("off.so", "-DFEATURE=0")).unwrap();
    assert!(usable(&nvml).is_err());
}
