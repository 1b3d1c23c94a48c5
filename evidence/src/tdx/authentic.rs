//! From collateral as it came to collateral that Intel signed.

use std::borrow::ToOwned;
use std::format;
use std::vec::Vec;

use vouch_protocol::Reason;

use super::chain;
use super::collateral::{Collateral, Signed};
use super::tcb_info::{QeIdentity, TcbInfo};
use crate::check::{Compared, Observe, Rule, ensure};
use crate::rejection::Rejection;
use crate::revocation::crl::{Crl, Revoked};
use crate::signature::{self, P256_KEY_LEN};
use crate::time::Time;
use crate::verifier::Verifier;
use crate::x509::{Certificate, ChainReasons};

const PCS: &str = "Intel PCS API v4";
const SIGNER_NAME: &str = "Intel SGX TCB Signing";
static RULES: ChainReasons = ChainReasons::new(Reason::CollateralForged);
static ROOT: Rule = Rule {
    field: "chain.root",
    reason: Reason::CollateralForged,
    source: "pinned by SHA-256, evidence/roots/README.md",
};
static NAME: Rule = Rule {
    field: "chain.subject",
    reason: Reason::CollateralForged,
    source: PCS,
};
static KEY: Rule = Rule {
    field: "chain.key",
    reason: Reason::CollateralForged,
    source: PCS,
};
static USAGE: Rule = Rule {
    field: "chain.key_usage",
    reason: Reason::CollateralForged,
    source: PCS,
};
static SIGNATURE: Rule = Rule {
    field: "signature",
    reason: Reason::CollateralForged,
    source: PCS,
};
static VALIDITY: Rule = Rule {
    field: "next_update",
    reason: Reason::CollateralExpired,
    source: PCS,
};
static SAME_ROOT: Rule = Rule {
    field: "chain.root",
    reason: Reason::CollateralForged,
    source: PCS,
};

/// Collateral whose signatures, chains and dates hold. Only [`verify_collateral`] makes it.
#[derive(Clone, Debug)]
pub struct AuthenticCollateral {
    pub(crate) tcb_info: TcbInfo,
    pub(crate) qe_identity: QeIdentity,
    /// Encoded name and key of the PCK issuer whose list this is.
    pub(crate) pck_issuer: Vec<u8>,
    pub(crate) pck_issuer_spki: Vec<u8>,
    pub(crate) revoked_pcks: Revoked,
    pub(crate) revoked_by_root: Revoked,
    /// Not verified: a quote's chain is.
    pub(crate) pck_chain: Vec<Vec<u8>>,
    pub(crate) root: Vec<u8>,
    /// When the older of the two revocation lists was made.
    pub(crate) revocation_made: Time,
    from: Time,
    until: Time,
}

impl AuthenticCollateral {
    /// Processors that the TCB info is about.
    pub const fn fmspc(&self) -> &[u8; 6] {
        &self.tcb_info.fmspc
    }

    /// From when the collateral says something.
    pub const fn valid_from(&self) -> Time {
        self.from
    }

    /// When the older of the two revocation lists was made.
    pub const fn revocation_made(&self) -> Time {
        self.revocation_made
    }

    /// When its first part is past its next update, or its first certificate expires.
    pub const fn valid_until(&self) -> Time {
        self.until
    }

    /// The collateral says something at `time`.
    pub(crate) fn check_time<O: Observe>(
        &self,
        time: Time,
        observer: &mut O,
    ) -> Result<(), Rejection> {
        check_dates(self.from, self.until, time, observer)
    }
}

/// Verifies collateral. What comes out serves any number of quotes until it expires.
///
/// # Errors
/// `collateral_forged`, `revoked`, `certificate_expired`, `collateral_expired`; `tcb_info_missing`,
/// `revocation_missing` or `certificate_missing` for what is not there; `version_unsupported`, or
/// `malformed`.
pub fn verify_collateral<O: Observe>(
    collateral: &Collateral,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticCollateral, Rejection> {
    observer.enter(|| "collateral".to_owned());
    let verified = verify_all(collateral, verifier, observer);
    observer.leave();
    verified.map_err(|r| r.within("collateral"))
}

fn verify_all<O: Observe>(
    collateral: &Collateral,
    verifier: &Verifier<'_>,
    observer: &mut O,
) -> Result<AuthenticCollateral, Rejection> {
    let missing = |reason, field, expected| Rejection::new(reason, field, expected, "none");
    let crl_missing = |field| {
        missing(
            Reason::RevocationMissing,
            field,
            "a certificate revocation list",
        )
    };
    let root_crl = collateral
        .root_crl
        .as_deref()
        .ok_or_else(|| crl_missing("root_crl"))?;
    let pck_crl = collateral
        .pck_crl
        .as_deref()
        .ok_or_else(|| crl_missing("pck_crl"))?;
    let json_missing = |field| missing(Reason::TcbInfoMissing, field, "Intel's signed JSON");
    let tcb_signed = collateral
        .tcb_info
        .as_ref()
        .ok_or_else(|| json_missing("tcb_info"))?;
    let qe_signed = collateral
        .qe_identity
        .as_ref()
        .ok_or_else(|| json_missing("qe_identity"))?;

    let (issuer_der, root_der) =
        signer_and_root(&collateral.pck_crl_chain).map_err(|r| r.within("pck_crl"))?;
    let anchor = chain::anchor(root_der, verifier.anchors, &ROOT, observer)
        .map_err(|r| r.within("pck_crl"))?;
    let root = Certificate::parse(anchor.der()).map_err(|r| r.within("root"))?;
    let mut dates = Dates::new(&root);
    scope("root", observer, |observer| {
        chain::link(&root, None, true, verifier.time, &RULES, observer)
    })?;
    let (revoked_by_root, root_list_made) = scope("root_crl", observer, |observer| {
        let crl = Crl::parse(root_crl)?;
        dates.narrow(crl.this_update, crl.next_update);
        Ok((crl.verify(&root, verifier.time, observer)?, crl.this_update))
    })?;

    let issuer = Certificate::parse(issuer_der).map_err(|r| r.within("pck_crl.chain"))?;
    let (revoked_pcks, pck_list_made) = scope("pck_crl", observer, |observer| {
        chain::link(&issuer, Some(&root), true, verifier.time, &RULES, observer)?;
        revoked_by_root.check(issuer.serial, observer)?;
        let crl = Crl::parse(pck_crl)?;
        dates.narrow(issuer.not_before, issuer.not_after);
        dates.narrow(crl.this_update, crl.next_update);
        Ok((
            crl.verify(&issuer, verifier.time, observer)?,
            crl.this_update,
        ))
    })?;

    let signers = Signers {
        root: &root,
        revoked: &revoked_by_root,
        time: verifier.time,
    };
    let (tcb_info, tcb_key) = scope("tcb_info", observer, |observer| {
        let key = signers.key(&tcb_signed.chain, &mut dates, observer)?;
        check_signed(tcb_signed, &key, observer)?;
        let info = TcbInfo::read(&tcb_signed.text)?;
        dates.narrow(info.issued, info.next_update);
        check_dates(info.issued, info.next_update, verifier.time, observer)?;
        Ok((info, key))
    })?;
    let qe_identity = scope("qe_identity", observer, |observer| {
        // Both usually come with the same chain, which was verified just now.
        let key = if qe_signed.chain == tcb_signed.chain {
            tcb_key
        } else {
            signers.key(&qe_signed.chain, &mut dates, observer)?
        };
        check_signed(qe_signed, &key, observer)?;
        let identity = QeIdentity::read(&qe_signed.text)?;
        dates.narrow(identity.issued, identity.next_update);
        check_dates(
            identity.issued,
            identity.next_update,
            verifier.time,
            observer,
        )?;
        Ok(identity)
    })?;
    Ok(AuthenticCollateral {
        tcb_info,
        qe_identity,
        pck_issuer: issuer.subject.to_vec(),
        pck_issuer_spki: issuer.spki.to_vec(),
        revoked_pcks,
        revoked_by_root,
        pck_chain: collateral.pck_chain.clone(),
        root: root_der.to_vec(),
        revocation_made: root_list_made.min(pck_list_made),
        from: dates.from,
        until: dates.until,
    })
}

/// Whom Intel's root lets sign JSON.
struct Signers<'a> {
    root: &'a Certificate<'a>,
    revoked: &'a Revoked,
    time: Time,
}

impl Signers<'_> {
    /// The key of Intel's signer, whose certificate is under the root.
    fn key<O: Observe>(
        &self,
        chain: &[Vec<u8>],
        dates: &mut Dates,
        observer: &mut O,
    ) -> Result<[u8; P256_KEY_LEN], Rejection> {
        let (signer_der, root_der) = signer_and_root(chain)?;
        let same = root_der == self.root.der;
        ensure(observer, &SAME_ROOT, same, || {
            Compared::new(
                "the root of the revocation lists",
                if same { "it" } else { "another" },
            )
        })?;
        let signer = Certificate::parse(signer_der).map_err(|r| r.within("chain"))?;
        chain::check_name(&signer, &[SIGNER_NAME], &NAME, observer)?;
        let key = chain::signing_key(&signer, &KEY, &USAGE, observer)?;
        chain::link(&signer, Some(self.root), false, self.time, &RULES, observer)?;
        self.revoked.check(signer.serial, observer)?;
        dates.narrow(signer.not_before, signer.not_after);
        Ok(key)
    }
}

/// The text is signed with Intel's key. Nothing in it is read before.
fn check_signed<O: Observe>(
    signed: &Signed,
    key: &[u8; P256_KEY_LEN],
    observer: &mut O,
) -> Result<(), Rejection> {
    let verifies = signature::verify_p256(key, signed.text.as_bytes(), &signed.signature);
    ensure(observer, &SIGNATURE, verifies, || {
        Compared::new(
            format!(
                "ECDSA P-256 with SHA-256 over {} bytes of JSON",
                signed.text.len()
            ),
            if verifies {
                "a signature that verifies"
            } else {
                "a signature that does not verify"
            },
        )
    })
}

/// What several dates have in common.
struct Dates {
    from: Time,
    until: Time,
}

impl Dates {
    const fn new(root: &Certificate<'_>) -> Self {
        Self {
            from: root.not_before,
            until: root.not_after,
        }
    }

    fn narrow(&mut self, from: Time, until: Time) {
        self.from = self.from.max(from);
        self.until = self.until.min(until);
    }
}

fn check_dates<O: Observe>(
    from: Time,
    until: Time,
    time: Time,
    observer: &mut O,
) -> Result<(), Rejection> {
    ensure(observer, &VALIDITY, from <= time && time <= until, || {
        Compared::new(
            format!("collateral valid at {time}"),
            format!("issued {from}, next update {until}"),
        )
    })
}

fn signer_and_root(chain: &[Vec<u8>]) -> Result<(&[u8], &[u8]), Rejection> {
    match chain {
        [signer, root] => Ok((signer, root)),
        _ => Err(Rejection::new(
            Reason::CertificateMissing,
            "chain",
            "2 certificates: the signer and the root",
            format!("{}", chain.len()),
        )),
    }
}

fn scope<O: Observe, T>(
    name: &'static str,
    observer: &mut O,
    check: impl FnOnce(&mut O) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    observer.enter(|| name.to_owned());
    let checked = check(observer);
    observer.leave();
    checked.map_err(|r| r.within(name))
}
