//! AMD's revocation list: one per product, signed by its root.
//!
//! Source: AMD 57230, `GET /vcek/v1/{product_name}/crl`.

use std::borrow::ToOwned;

use vouch_protocol::Reason;

use super::verify::AuthenticReport;
use crate::check::Observe;
use crate::rejection::Rejection;
use crate::revocation::crl::Crl;
use crate::time::Time;
use crate::x509::Certificate;

/// None of the report's certificates is on its root's list, which is among `lists`. Gives when the
/// list was made.
///
/// # Errors
/// `revocation_missing` where no list is the root's; `collateral_forged`, `collateral_expired`,
/// `revoked`, `malformed`.
pub fn check_revocation<O: Observe>(
    report: &AuthenticReport<'_>,
    lists: &[Vec<u8>],
    time: Time,
    observer: &mut O,
) -> Result<Time, Rejection> {
    let key = report.device();
    let (root, signer) = (
        Certificate::parse(&key.root)?,
        Certificate::parse(&key.signer)?,
    );
    for list in lists {
        let Ok(list) = Crl::parse(list) else { continue };
        if list.issuer() != root.subject {
            continue;
        }
        observer.enter(|| "crl".to_owned());
        let checked = list.verify(&root, time, observer).and_then(|revoked| {
            revoked.check(signer.serial, observer)?;
            // All VCEKs have serial number zero, which names none of them.
            if key.serial.iter().any(|byte| *byte != 0) {
                revoked.check(&key.serial, observer)
            } else {
                Ok(())
            }
        });
        observer.leave();
        return checked
            .map(|()| list.this_update)
            .map_err(|r| r.within("crl"));
    }
    Err(Rejection::new(
        Reason::RevocationMissing,
        "crl",
        std::format!(
            "the revocation list of {:?}",
            root.common_name().unwrap_or_default()
        ),
        "none",
    ))
}
