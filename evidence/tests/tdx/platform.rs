//! A platform under a root of our own, which does everything as Intel's do, or one thing otherwise.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use serde_json::{Value, json};
use vouch_evidence::tdx::{self, Claims, Collateral, Quote, Signed};
use vouch_evidence::{Anchors, Rejection, Time};

pub(crate) const ISSUER_SERIAL: u8 = 2;
pub(crate) const PCK_SERIAL: u8 = 3;
pub(crate) const SIGNER_SERIAL: u8 = 4;

/// What a platform and its vendor say. Tests change it before it is signed.
pub(crate) struct Platform {
    pub(crate) version: u16,
    /// 584 or 648 bytes.
    pub(crate) report: Vec<u8>,
    pub(crate) qe_report: [u8; 384],
    /// Whether the quoting enclave binds the attestation key.
    pub(crate) binds: bool,
    pub(crate) certification: u16,
    pub(crate) pck_name: &'static str,
    pub(crate) pck_is_authority: bool,
    pub(crate) pck_extension: bool,
    pub(crate) pck_chain_in_collateral: bool,
    pub(crate) tcb_info: Value,
    pub(crate) qe_identity: Value,
    pub(crate) revoked_by_root: Vec<u8>,
    pub(crate) revoked_pcks: Vec<u8>,
}

const SIGNER: &str = "DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5";

pub(crate) fn level(sgx: u8, pce_svn: u16, tdx: u8, status: &str, advisories: &[&str]) -> Value {
    let components = |svn: u8| vec![json!({ "svn": svn }); 16];
    json!({
        "tcb": {
            "sgxtcbcomponents": components(sgx),
            "pcesvn": pce_svn,
            "tdxtcbcomponents": components(tdx),
        },
        "tcbDate": "2024-03-13T00:00:00Z",
        "tcbStatus": status,
        "advisoryIDs": advisories,
    })
}

pub(crate) fn svn(svn: u16, status: &str) -> Value {
    json!({ "tcb": { "isvsvn": svn }, "tcbDate": "2023-08-09T00:00:00Z", "tcbStatus": status })
}

impl Platform {
    pub(crate) fn honest() -> Self {
        let module = |id: &str| {
            json!({
                "id": id,
                "mrsigner": "00".repeat(48),
                "attributes": "00".repeat(8),
                "attributesMask": "FF".repeat(8),
                "tcbLevels": [svn(5, "UpToDate"), svn(3, "OutOfDate")],
            })
        };
        let mut report = vec![0; 584];
        report[..3].copy_from_slice(&[6, 1, 7]);
        report[3..16].fill(7);
        report[120..128].copy_from_slice(&(1u64 << 28).to_le_bytes());
        report[136..184].fill(0x11);
        report[520..584].fill(0x22);
        let mut qe_report = [0; 384];
        qe_report[48] = 0x11;
        qe_report[128..160].copy_from_slice(&hex::decode(SIGNER).unwrap());
        qe_report[256] = 2;
        qe_report[258] = 4;
        Self {
            version: 4,
            report,
            qe_report,
            binds: true,
            certification: 5,
            pck_name: "Intel SGX PCK Certificate",
            pck_is_authority: false,
            pck_extension: true,
            pck_chain_in_collateral: false,
            tcb_info: json!({
                "id": "TDX",
                "version": 3,
                "issueDate": "2026-01-01T00:00:00Z",
                "nextUpdate": "2026-02-01T00:00:00Z",
                "fmspc": "B0C06F000000",
                "pceId": "0000",
                "tcbType": 0,
                "tcbEvaluationDataNumber": 18,
                "tdxModule": {
                    "mrsigner": "00".repeat(48),
                    "attributes": "00".repeat(8),
                    "attributesMask": "FF".repeat(8),
                },
                "tdxModuleIdentities": [module("TDX_03"), module("TDX_01")],
                // Not in order: the reader sorts.
                "tcbLevels": [
                    level(3, 5, 3, "OutOfDate", &["INTEL-SA-00002", "INTEL-SA-00001"]),
                    level(5, 13, 5, "UpToDate", &[]),
                ],
            }),
            qe_identity: json!({
                "id": "TD_QE",
                "version": 2,
                "issueDate": "2026-01-02T00:00:00Z",
                "nextUpdate": "2026-02-02T00:00:00Z",
                "tcbEvaluationDataNumber": 17,
                "miscselect": "00000000",
                "miscselectMask": "FFFFFFFF",
                "attributes": "11000000000000000000000000000000",
                "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
                "mrsigner": SIGNER,
                "isvprodid": 2,
                "tcbLevels": [svn(4, "UpToDate"), svn(2, "OutOfDate")],
            }),
            revoked_by_root: Vec::new(),
            revoked_pcks: Vec::new(),
        }
    }

    /// A domain of TDX 1.5, launched with `launched` and running with `current` (module's version).
    pub(crate) fn td15(launched: u8, current: u8) -> Self {
        let mut platform = Self::honest();
        platform.version = 5;
        platform.report.resize(648, 0);
        platform.report[0] = launched;
        platform.report.copy_within(0..16, 584);
        platform.report[584] = current;
        platform
    }

    /// The machine's quote and its vendor's collateral, verified by whoever trusts this root.
    pub(crate) fn verify(&self) -> Result<Claims, Rejection> {
        let made = self.make();
        let anchors = Anchors::vendor().with_simulated_intel(&made.root).unwrap();
        made.verify(Some(&made.collateral), &anchors)
    }

    pub(crate) fn make(&self) -> Made {
        let root = Authority::root();
        let issuer = root.issue("Intel SGX PCK Platform CA", ISSUER_SERIAL, true, None);
        let extension = self.pck_extension.then(sgx_extension);
        let pck = Authority {
            params: params(self.pck_name, PCK_SERIAL, self.pck_is_authority, extension),
            ..Authority::root()
        }
        .under(&issuer);
        let signer = root.issue("Intel SGX TCB Signing", SIGNER_SERIAL, false, None);
        let sign_json = |json: &Value| Signed {
            text: json.to_string(),
            signature: signer.sign(json.to_string().as_bytes()),
            chain: vec![signer.der.clone(), root.der.clone()],
        };
        let pck_chain = vec![pck.der.clone(), issuer.der.clone(), root.der.clone()];
        Made {
            quote: self.quote(&pck, &pck_chain),
            collateral: Collateral {
                root_crl: Some(root.crl(&self.revoked_by_root)),
                pck_crl: Some(issuer.crl(&self.revoked_pcks)),
                pck_crl_chain: vec![issuer.der.clone(), root.der.clone()],
                tcb_info: Some(sign_json(&self.tcb_info)),
                qe_identity: Some(sign_json(&self.qe_identity)),
                pck_chain: if self.pck_chain_in_collateral {
                    pck_chain
                } else {
                    Vec::new()
                },
            },
            root: root.der,
        }
    }

    fn quote(&self, pck: &Authority, pck_chain: &[Vec<u8>]) -> Vec<u8> {
        let attestation = Authority::root();
        let mut quote = self.version.to_le_bytes().to_vec();
        quote.extend([2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
        quote.extend(hex::decode("939a7233f79c4ca9940a0db3957f0607").unwrap());
        quote.extend([0; 20]);
        if self.version == 5 {
            let kind: u16 = if self.report.len() == 584 { 2 } else { 3 };
            quote.extend(kind.to_le_bytes());
            quote.extend((self.report.len() as u32).to_le_bytes());
        }
        quote.extend(&self.report);
        let signature = attestation.sign(&quote);

        let mut qe_report = self.qe_report;
        let key = &attestation.key.public_key_raw()[1..];
        if self.binds {
            let bound = aws_lc_rs::digest::digest(
                &aws_lc_rs::digest::SHA256,
                &[key, b"authentication"].concat(),
            );
            qe_report[320..352].copy_from_slice(bound.as_ref());
        }
        let mut inner = qe_report.to_vec();
        inner.extend(pck.sign(&qe_report));
        inner.extend(14u16.to_le_bytes());
        inner.extend(b"authentication");
        let certification: Vec<u8> = match self.certification {
            5 => pck_chain
                .iter()
                .flat_map(|der| pem(der).into_bytes())
                .collect(),
            _ => vec![0; 36],
        };
        inner.extend(self.certification.to_le_bytes());
        inner.extend((certification.len() as u32).to_le_bytes());
        inner.extend(certification);

        let mut data = signature.to_vec();
        data.extend(key);
        data.extend(6u16.to_le_bytes());
        data.extend((inner.len() as u32).to_le_bytes());
        data.extend(inner);
        quote.extend((data.len() as u32).to_le_bytes());
        quote.extend(data);
        quote
    }
}

/// What a platform made.
pub(crate) struct Made {
    pub(crate) quote: Vec<u8>,
    pub(crate) collateral: Collateral,
    pub(crate) root: Vec<u8>,
}

impl Made {
    pub(crate) fn verify(
        &self,
        collateral: Option<&Collateral>,
        anchors: &Anchors,
    ) -> Result<Claims, Rejection> {
        let quote = Quote::parse(&self.quote)?;
        let at = Time::from_rfc3339_utc("2026-01-15T00:00:00Z").unwrap();
        Ok(tdx::verify(&quote, collateral, anchors, at)?.claims())
    }
}

struct Authority {
    key: KeyPair,
    params: CertificateParams,
    der: Vec<u8>,
}

impl Authority {
    fn root() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = params("Simulated SGX Root CA", 1, true, None);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { key, params, der }
    }

    fn issue(
        &self,
        name: &str,
        serial: u8,
        authority: bool,
        extension: Option<CustomExtension>,
    ) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = params(name, serial, authority, extension);
        Self {
            key,
            params,
            der: Vec::new(),
        }
        .under(self)
    }

    fn under(mut self, issuer: &Self) -> Self {
        let issuer = Issuer::new(issuer.params.clone(), &issuer.key);
        self.der = self
            .params
            .signed_by(&self.key, &issuer)
            .unwrap()
            .der()
            .to_vec();
        self
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.key.serialized_der())
                .unwrap();
        let signature = key.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().try_into().unwrap()
    }

    fn crl(&self, revoked: &[u8]) -> Vec<u8> {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2026, 2, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(vec![*serial]),
                    revocation_time: date_time_ymd(2025, 12, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::new(self.params.clone(), &self.key);
        params.signed_by(&issuer).unwrap().der().to_vec()
    }
}

fn params(
    name: &str,
    serial: u8,
    authority: bool,
    extension: Option<CustomExtension>,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(vec![serial]));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    params.custom_extensions.extend(extension);
    params
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=127 => out.push(length as u8),
        length @ 128..=255 => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// Components of 7, PCESVN 13, FMSPC B0C06F000000.
fn sgx_extension() -> CustomExtension {
    const OID: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
    let field =
        |arcs: &[u8], value: Vec<u8>| tlv(0x30, &[tlv(6, &[&OID, arcs].concat()), value].concat());
    let mut tcb: Vec<u8> = (1..=16)
        .flat_map(|arc| field(&[2, arc], tlv(2, &[7])))
        .collect();
    tcb.extend(field(&[2, 17], tlv(2, &[13])));
    tcb.extend(field(&[2, 18], tlv(4, &[7; 16])));
    let content = [
        field(&[1], tlv(4, &[0xaa; 16])),
        field(&[2], tlv(0x30, &tcb)),
        field(&[3], tlv(4, &[0; 2])),
        field(&[4], tlv(4, &[0xb0, 0xc0, 0x6f, 0, 0, 0])),
        field(&[5], tlv(0x0a, &[1])),
        field(&[6], tlv(4, &[0xbb; 16])),
    ]
    .concat();
    CustomExtension::from_oid_content(&[1, 2, 840, 113741, 1, 13, 1], tlv(0x30, &content))
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
