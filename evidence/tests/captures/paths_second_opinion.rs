//! The same verdicts as `rustls-webpki` on certificate paths: NVIDIA's devices and manifests, Intel's
//! platforms. AMD's certificates are not for it: it knows no RSASSA-PSS parameters as AMD writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use vouch_evidence::nvidia::rim;
use vouch_evidence::{Anchors, Rejection, anchors, decode, nvidia, tdx};
use vouch_protocol::Reason;

use crate::folder::{folder, read, slices, time};
use crate::table::{Capture, ROWS, Row, devices, is_here};

/// What was done to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Byte,
    RootsByte,
    Fewer,
    Order,
}

/// Where we differ on purpose.
const ONLY_WE_REFUSE: &[(Change, Reason, &str)] = &[
    (
        Change::RootsByte,
        Reason::GpuRootUntrusted,
        "they do not look at the root that a chain brings, ours must be the pinned one",
    ),
    (
        Change::RootsByte,
        Reason::CpuRootUntrusted,
        "the same, in a TDX quote",
    ),
    (
        Change::RootsByte,
        Reason::CollateralForged,
        "the same, in a manifest",
    ),
    (
        Change::Order,
        Reason::GpuChainInvalid,
        "they look for a path among the intermediates, for us each is signed by the next",
    ),
    (
        Change::Order,
        Reason::CollateralForged,
        "the same, in a manifest",
    ),
];

const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ECDSA_P256_SHA256,
];

/// Whether `chain`, leaf first, leads to `root` for them. What stands last in the chain is not asked.
fn theirs(chain: &[Vec<u8>], root: &[u8], at: &str) -> Result<(), webpki::Error> {
    let root = CertificateDer::from(root);
    let anchor = [webpki::anchor_from_trusted_cert(&root)?];
    let [leaf, intermediates @ .., _] = chain else {
        return Err(webpki::Error::UnknownIssuer);
    };
    let leaf = CertificateDer::from(leaf.as_slice());
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(time(at).unix()));
    webpki::EndEntityCert::try_from(&leaf)?
        .verify_for_usage(
            ALGORITHMS,
            &anchor,
            &intermediates,
            at,
            // These certificates have no extended key usage, so none is asked for.
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
}

/// Our verdict on a chain in the place of the row's.
type Ours = Box<dyn Fn(&[Vec<u8>]) -> Result<(), Rejection>>;

/// A chain as the row has it, the root that it must lead to, and our verdict on others.
type Path = (Vec<Vec<u8>>, &'static [u8], Ours);

fn paths(row: &'static Row) -> Vec<Path> {
    let at = time(row.at);
    match row.capture {
        Capture::Nvidia(_) | Capture::NvidiaJson | Capture::NvidiaMachine => devices(row)
            .into_iter()
            .map(|(report, chain)| {
                let ours = move |chain: &[Vec<u8>]| {
                    let report = nvidia::Report::parse(&report).unwrap();
                    nvidia::verify(&report, &slices(chain), &Anchors::vendor(), at).map(|_| ())
                };
                let ours: Ours = Box::new(ours);
                (chain, anchors::NVIDIA_DEVICE_IDENTITY_CA, ours)
            })
            .collect(),
        Capture::Manifest => {
            let xml = String::from_utf8(read(row.file)).unwrap();
            let manifest = rim::verify(xml.as_bytes(), &Anchors::vendor(), at).unwrap();
            let chain = manifest.device().chain.clone();
            // Certificates stand in the manifest outside of what its signature covers.
            let ours = move |changed: &[Vec<u8>]| {
                let other = with_certificates(&xml, changed);
                rim::verify(other.as_bytes(), &Anchors::vendor(), at).map(|_| ())
            };
            vec![(chain, anchors::NVIDIA_CORIM_SIGNING_ROOT_CA, Box::new(ours))]
        }
        Capture::Tdx | Capture::TdxRated(_) => {
            let bytes = crate::folder::binary(row.file);
            let quote = tdx::Quote::parse(&bytes).unwrap();
            let tdx::Certification::Chain(pem) = quote.certification else {
                return Vec::new();
            };
            let text = std::str::from_utf8(pem).unwrap().trim_end_matches('\0');
            let chain = decode::certificates(text.as_bytes()).unwrap();
            let pem_at = quote.length - pem.len();
            let ours = move |chain: &[Vec<u8>]| {
                let changed = with_chain(&bytes, pem_at, chain).unwrap();
                let quote = tdx::Quote::parse(&changed)?;
                tdx::verify(&quote, None, &Anchors::vendor(), at).map(|_| ())
            };
            vec![(chain, anchors::INTEL_SGX_ROOT_CA, Box::new(ours))]
        }
        _ => Vec::new(),
    }
}

fn base64(der: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(der)
}

/// The manifest with other certificates, as many as it has.
fn with_certificates(xml: &str, chain: &[Vec<u8>]) -> String {
    const TAG_END: &str = "X509Certificate>";
    let pieces = xml.split(TAG_END).enumerate().map(|(index, piece)| {
        let (text, rest) = piece.split_at(piece.find('<').unwrap_or(piece.len()));
        // Every other end of a tag is that of a start tag.
        match index % 2 {
            0 => format!("{text}{rest}"),
            _ => format!("{}{rest}", base64(&chain[index / 2])),
        }
    });
    pieces.collect::<Vec<_>>().join(TAG_END)
}

/// The quote with another chain: the PEM and the three lengths around it.
fn with_chain(quote: &[u8], pem_at: usize, chain: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut pem = String::new();
    for der in chain {
        pem += &format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            base64(der)
        );
    }
    let parsed = tdx::Quote::parse(quote).ok()?;
    let difference = i64::try_from(pem.len()).ok()? - i64::try_from(parsed.length - pem_at).ok()?;
    let mut changed = quote[..pem_at].to_vec();
    changed.extend(pem.as_bytes());
    // Signature data, certification data, PCK chain: each a length that takes the change.
    let report_end = parsed.signed.len();
    for at in [report_end, report_end + 4 + 64 + 64 + 2, pem_at - 4] {
        let length = u32::from_le_bytes(changed[at..at + 4].try_into().ok()?);
        let length = u32::try_from(i64::from(length) + difference).ok()?;
        changed[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    Some(changed)
}

#[test]
fn captures_and_changed_captures() {
    if folder().is_none() {
        return println!("paths, second opinion: captures are not here, skipped");
    }
    let (mut chains, mut verdicts, mut seen) = (0, 0, Vec::new());
    let mut differences = BTreeMap::new();
    let genuine = ROWS
        .iter()
        .filter(|row| row.expected.is_ok() && is_here(row));
    for row in genuine {
        for (chain, root, ours) in paths(row) {
            if seen.contains(&chain) {
                continue;
            }
            chains += 1;
            let verdict = ours(&chain);
            assert!(verdict.is_ok(), "{}: we refuse: {verdict:?}", row.file);
            let opinion = theirs(&chain, root, row.at);
            assert!(opinion.is_ok(), "{}: they refuse: {opinion:?}", row.file);
            let mut compare = |change: Change, at: usize, changed: &[Vec<u8>]| {
                verdicts += 1;
                match (ours(changed), theirs(changed, root, row.at)) {
                    (Ok(()), Err(theirs)) => {
                        panic!("{} {change:?} {at}: only they refuse: {theirs:?}", row.file)
                    }
                    (Err(ours), Ok(())) => {
                        *differences.entry((change, ours.reason)).or_insert(0) += 1;
                    }
                    _ => {}
                }
            };
            let mut changed = chain.clone();
            for index in 0..chain.len() {
                for at in (0..chain[index].len()).step_by(151) {
                    changed[index][at] ^= 1 << (at % 8);
                    let last = index + 1 == chain.len();
                    let change = if last {
                        Change::RootsByte
                    } else {
                        Change::Byte
                    };
                    compare(change, at, &changed);
                    changed[index][at] ^= 1 << (at % 8);
                }
                if !matches!(row.capture, Capture::Manifest) {
                    let mut fewer = chain.clone();
                    fewer.remove(index);
                    compare(Change::Fewer, index, &fewer);
                }
                let mut swapped = chain.clone();
                swapped.swap(index, chain.len() - 1 - index);
                compare(Change::Order, index, &swapped);
            }
            seen.push(chain);
        }
    }
    println!(
        "paths, second opinion: {chains} chains, {verdicts} verdicts; only we refuse: {differences:?}"
    );
    assert!(chains > 0);
    // Both ways: nothing that is not on the list, and nothing on it that shows no longer.
    let found: Vec<_> = differences.into_keys().collect();
    let mut reviewed: Vec<_> = ONLY_WE_REFUSE
        .iter()
        .map(|(change, reason, _)| (*change, *reason))
        .collect();
    reviewed.sort_unstable();
    assert_eq!(found, reviewed);
}
