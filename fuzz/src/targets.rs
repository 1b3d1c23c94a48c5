//! What each parser is asked, and what must hold of the answer.

use std::sync::OnceLock;

use vouch_content::seal::{KeyPair, Purpose};
use vouch_content::{MANIFEST_LEN, Manifest, Tree};
use vouch_evidence::azure::{HclReport, TpmQuote};
use vouch_evidence::bundle::Bundle;
use vouch_evidence::nvidia::{self, rim};
use vouch_evidence::revocation::ocsp;
use vouch_evidence::x509::Certificate;
use vouch_evidence::{Anchors, Rejection, Time, decode, fuzz, sev_snp, tdx};
use vouch_protocol::Statement;
use vouch_simulator::{Machine, Options, Session, roots};

use crate::Target;
use crate::seeds::{SEALED_FOR, SEALED_KEY, SEALED_TO, report_around};

macro_rules! targets {
    ($($name:ident,)*) => {
        &[$(Target { name: stringify!($name), run: $name },)*]
    };
}

pub(crate) const ALL: &[Target] = targets![
    azure_hcl,
    azure_tpm_quote,
    bundle,
    certificate,
    certificate_chain,
    crl,
    decode,
    nvidia_opaque,
    nvidia_report,
    ocsp_response,
    pack,
    qe_identity,
    rim,
    rim_xml,
    sealed_key,
    sev_snp_report,
    statement,
    tcb_info,
    tdx_collateral,
    tdx_quote,
];

/// Every certificate of the captures is valid then.
const AT: Time = Time::from_unix(1_780_272_000);
/// Longest explanation of a refusal: it shows what came, but never all of it.
const MAX_EXPLANATION_LEN: usize = 2_048;

/// A refusal names the field, what was expected and what came, and does not repeat the input.
fn sound<T>(result: Result<T, Rejection>) -> Option<T> {
    let rejection = match result {
        Ok(value) => return Some(value),
        Err(rejection) => rejection,
    };
    let text = format!("{rejection}");
    assert!(!rejection.field.is_empty(), "no field: {text}");
    assert!(!rejection.expected.is_empty(), "nothing expected: {text}");
    assert!(!rejection.found.is_empty(), "nothing found: {text}");
    assert!(text.len() <= MAX_EXPLANATION_LEN, "{} bytes", text.len());
    None
}

/// As [`sound`], of binary formats: says also where, unless the input as a whole is too long.
fn located<T>(result: Result<T, Rejection>) -> Option<T> {
    if let Err(rejection) = &result {
        assert!(
            rejection.offset.is_some() || rejection.expected.starts_with("at most"),
            "no offset: {rejection}"
        );
    }
    sound(result)
}

fn anchors() -> &'static Anchors {
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    ANCHORS.get_or_init(|| {
        let roots = roots();
        Anchors::vendor()
            .with_simulated(&roots.nvidia, roots.amd_ark, roots.amd_ask)
            .unwrap_or_else(|rejection| panic!("{rejection}"))
    })
}

/// Signed bytes are a prefix, and the signature follows them.
fn nvidia_report(bytes: &[u8]) {
    let Some(report) = located(nvidia::Report::parse(bytes)) else {
        return;
    };
    assert_eq!(
        report.signed.len() + report.signature.len(),
        report.bytes.len()
    );
    assert_eq!(report.bytes.len() + report.trailing_zeros, bytes.len());
    assert!(bytes.starts_with(report.bytes));
    assert!(report.measurements.len() <= nvidia::MAX_MEASUREMENTS);
}

/// The opaque data alone, in a report that is otherwise fine.
fn nvidia_opaque(bytes: &[u8]) {
    if let Some(report) = report_around(bytes) {
        nvidia_report(&report);
    }
}

/// A chain for a genuine report: only the genuine one is accepted.
fn certificate_chain(bytes: &[u8]) {
    static EVIDENCE: OnceLock<(Vec<u8>, Vec<Vec<u8>>)> = OnceLock::new();
    let (report, genuine) = EVIDENCE.get_or_init(|| {
        let statement = Session::from_secret([1; 32]).start(Default::default(), Default::default());
        let evidence = Machine::new(b"fuzz").evidence(&statement, &Options::default());
        let gpu = &evidence.gpus[0];
        (gpu.report.clone(), gpu.chain.clone())
    });
    let Some(chain) = sound(decode::certificates(bytes)) else {
        return;
    };
    let slices: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let Ok(report) = nvidia::Report::parse(report) else {
        panic!("the simulator's report is one")
    };
    if sound(nvidia::verify(&report, &slices, anchors(), AT)).is_some() {
        assert_eq!(chain, *genuine, "another chain was accepted");
    }
}

fn certificate(bytes: &[u8]) {
    let Some(certificate) = sound(Certificate::parse(bytes)) else {
        return;
    };
    assert_eq!(certificate.der, bytes);
    // Whether it issued itself, whatever its key.
    let _ = certificate.is_signed_by(&certificate.key);
    let _ = certificate.common_name();
}

fn sev_snp_report(bytes: &[u8]) {
    if let Some(report) = located(sev_snp::Report::parse(bytes)) {
        assert!(bytes.starts_with(report.signed));
        assert!((2..=5).contains(&report.version));
    }
}

/// No bytes but the captures' own are a quote of Intel's: what is accepted has a whole chain.
fn tdx_quote(bytes: &[u8]) {
    let Some(quote) = located(tdx::Quote::parse(bytes)) else {
        return;
    };
    assert_eq!(quote.length + quote.trailing, bytes.len());
    assert!(bytes.starts_with(quote.signed));
    sound(tdx::verify(&quote, None, &Anchors::vendor(), AT));
}

/// The JSON that Intel signs, as if it had been signed.
fn tcb_info(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes) {
        sound(fuzz::tcb_info(text));
    }
}

fn qe_identity(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes) {
        sound(fuzz::qe_identity(text));
    }
}

/// What is read and written again reads the same; what is verified is Intel's.
fn tdx_collateral(bytes: &[u8]) {
    let Some(collateral) = sound(tdx::Collateral::from_json(bytes)) else {
        return;
    };
    let again = sound(tdx::Collateral::from_json(collateral.to_json().as_bytes()));
    assert_eq!(again.as_ref(), Some(&collateral));
    let anchors = Anchors::vendor();
    let verifier = vouch_evidence::Verifier::new(&anchors, AT);
    sound(tdx::verify_collateral(&collateral, &verifier, &mut ()));
}

fn crl(bytes: &[u8]) {
    located(fuzz::crl(bytes));
}

fn ocsp_response(bytes: &[u8]) {
    let Some(response) = sound(ocsp::Response::parse(bytes)) else {
        return;
    };
    let roots = roots();
    if let Ok(root) = Certificate::parse(&roots.nvidia) {
        assert!(!response.is_about(&root, &root));
    }
}

fn azure_hcl(bytes: &[u8]) {
    if let Some(report) = located(HclReport::parse(bytes)) {
        assert!(report.runtime_data.len() < bytes.len());
    }
}

fn azure_tpm_quote(bytes: &[u8]) {
    located(TpmQuote::parse(bytes));
}

/// What is read and written again reads the same.
fn bundle(bytes: &[u8]) {
    if let Some(bundle) = sound(Bundle::from_json(bytes)) {
        let again = sound(Bundle::from_json(&bundle.to_json()));
        assert_eq!(again.as_ref(), Some(&bundle));
    }
}

fn decode(bytes: &[u8]) {
    sound(decode::binary(bytes));
    sound(decode::certificates(bytes));
    sound(decode::nvidia_evidence(bytes));
}

/// The whole path of a manifest: tree, digest, signature, chain, measurements.
fn rim(bytes: &[u8]) {
    if let Some(manifest) = sound(rim::verify(bytes, anchors(), AT)) {
        assert!(!manifest.report().golden.is_empty());
        assert_eq!(manifest.device().chain.len(), 4);
    }
}

/// Canonical form is its own canonical form.
fn rim_xml(bytes: &[u8]) {
    let Some(canonical) = sound(fuzz::canonical_xml(bytes)) else {
        return;
    };
    let again = sound(fuzz::canonical_xml(&canonical));
    assert_eq!(again.as_ref(), Some(&canonical));
}

/// The first bytes of a pack: its manifest and the whole tree. What is read is written as it was.
fn pack(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_at_checked(MANIFEST_LEN) else {
        assert!(Manifest::decode(bytes).is_err());
        return;
    };
    let Ok(manifest) = Manifest::decode(head) else {
        return;
    };
    assert_eq!(manifest.encode(), head, "a manifest has one encoding");
    assert!(manifest.chunks() >= 1 || manifest.size == 0);
    assert!(manifest.data_len() >= manifest.size);
    let Ok(tree) = Tree::decode(rest, &manifest) else {
        return;
    };
    assert_eq!(tree.encode(), rest, "a tree has one encoding");
    assert_eq!(tree.root(), manifest.root);
    assert!(
        tree.check(0, bytes).is_err(),
        "a chunk that contains its own digest"
    );
}

/// A sealed key opens for its recipient and purpose, or not at all.
fn sealed_key(bytes: &[u8]) {
    let pair = KeyPair::from_secret(&SEALED_FOR).expect("a key pair");
    if let Ok(key) = pair.open(bytes, &SEALED_TO) {
        assert_eq!(key.as_bytes(), &SEALED_KEY, "a key that nobody sealed");
    }
    let Purpose::Use { order, .. } = SEALED_TO else {
        return;
    };
    assert!(pair.open(bytes, &Purpose::Result { order }).is_err());
}

/// A session statement is read from its one encoding, or refused in few words.
fn statement(bytes: &[u8]) {
    match Statement::decode(bytes) {
        Ok(statement) => assert_eq!(statement.encode(), bytes, "a statement has one encoding"),
        Err(error) => assert!(error.to_string().len() <= MAX_EXPLANATION_LEN),
    }
}
