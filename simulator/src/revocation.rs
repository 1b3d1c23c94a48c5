//! What the simulated vendors say about their certificates: OCSP answers and a revocation list.
//!
//! Source: RFC 6960, 4.2.1; RFC 5280, 5.1.

use sha2::{Digest, Sha384};

use crate::gpu::Vendor;
use crate::keys::Key;
use crate::machine::Machine;
use crate::x509::{self, Attribute, Certificate, Usage};
use crate::{der, snp};

const ENUMERATED: u8 = 0x0a;
const OCTET_STRING: u8 = 0x04;
const GENERALIZED_TIME: u8 = 0x18;
/// `good`, an implicitly tagged `NULL`.
const GOOD: [u8; 2] = [0x80, 0x00];
/// `responderID`, by key.
const BY_KEY: u8 = 2;
const ARK_KEY: &[u8] = include_bytes!("../roots/ark.key.der");

/// From when until when an answer counts, `YYYYMMDDhhmmssZ` both.
#[derive(Clone, Copy, Debug)]
pub struct Period<'a> {
    /// `thisUpdate`
    pub from: &'a str,
    /// `nextUpdate`
    pub until: &'a str,
}

impl Machine {
    /// NVIDIA's answers about every GPU's certificates but leaf and root: all are good.
    pub fn ocsp(&self, period: Period<'_>) -> Vec<Vec<u8>> {
        let vendor = Vendor::simulated();
        let chains = self.gpus().iter().map(crate::gpu::Gpu::chain);
        // The leaf's issuer is the chip itself, which answers nobody.
        chains
            .flat_map(|chain| chain[1..].windows(2).zip(vendor.issuers()))
            .map(|(pair, issuer)| {
                let (subject, by) = (own(&pair[0]), own(&pair[1]));
                answer(subject.serial, by.subject, issuer, period)
            })
            .collect()
    }
}

/// AMD's revocation list, with nobody on it.
pub fn amd_crl(period: Period<'_>) -> Vec<u8> {
    let key = Key::embedded(ARK_KEY);
    let issuer = own(snp::ARK).subject;
    let version_2 = der::integer(&[1]);
    let algorithm = key.algorithm();
    let tbs = der::sequence(&[
        &version_2,
        &algorithm,
        issuer,
        &time(period.from),
        &time(period.until),
    ]);
    let signature = key.sign_certificate(&tbs);
    der::sequence(&[&tbs, &algorithm, &der::bit_string(&signature)])
}

fn answer(serial: &[u8], issuer_name: &[u8], issuer: &Key, period: Period<'_>) -> Vec<u8> {
    let responder = Key::derive(b"vouch/simulator/ocsp responder/v1", "key");
    let certificate = Certificate {
        serial: vec![7],
        issuer: issuer_name.to_vec(),
        subject: x509::name(&[Attribute::CommonName("Simulated OCSP responder")]),
        not_before: "20211105000000Z",
        not_after: x509::NEVER,
        public_key_info: responder.public_key_info(),
        extensions: vec![x509::usage(Usage::DigitalSignature), ocsp_signing()],
    }
    .sign(issuer);

    let hash = der::sequence(&[&der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2]), &der::null()]);
    let octets = |bytes: &[u8]| der::value(OCTET_STRING, bytes);
    let id = der::sequence(&[
        &hash,
        &octets(&Sha384::digest(issuer_name)),
        &octets(&Sha384::digest(issuer.public_point())),
        &der::integer(serial),
    ]);
    let single = der::sequence(&[
        &id,
        &GOOD,
        &time(period.from),
        &der::context(0, &time(period.until)),
    ]);
    let data = der::sequence(&[
        &der::context(BY_KEY, &octets(&responder.identifier())),
        &time(period.from),
        &der::sequence(&[&single]),
    ]);
    let basic = der::sequence(&[
        &data,
        &responder.algorithm(),
        &der::bit_string(&responder.sign_certificate(&data)),
        &der::context(0, &der::sequence(&[&certificate])),
    ]);
    let bytes = der::sequence(&[&der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), &octets(&basic)]);
    der::sequence(&[&der::value(ENUMERATED, &[0]), &der::context(0, &bytes)])
}

fn ocsp_signing() -> Vec<u8> {
    let usages = der::sequence(&[&der::oid(&[1, 3, 6, 1, 5, 5, 7, 3, 9])]);
    x509::extension(&[2, 5, 29, 37], false, &usages)
}

fn time(text: &str) -> Vec<u8> {
    der::value(GENERALIZED_TIME, text.as_bytes())
}

/// # Panics
/// Never: the simulator's own certificates are well formed.
fn own(der: &[u8]) -> vouch_evidence::x509::Certificate<'_> {
    vouch_evidence::x509::Certificate::parse(der).expect("the simulator's own certificate")
}
