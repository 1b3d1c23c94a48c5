//! The names of things on chain: hashes of their ABI encoding, and the EIP-712 digests that are
//! signed. Contracts and clients share these functions.
//!
//! The type hashes are constants, because building the type strings costs a contract more than the
//! hashes do; the tests compare them with what the declarations of this crate give.

use alloc::{borrow::Cow, vec::Vec};

use alloy_primitives::{Address, B256, U256, b256, keccak256};
use alloy_sol_types::Eip712Domain;

use crate::{Offer, Policy, Receipt, Royalty, Terms, Verdict, VerdictShare, codec};

/// `keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")`
pub const DOMAIN_TYPE: B256 =
    b256!("0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
/// `keccak256("Vouch")`
pub const DOMAIN_NAME: B256 =
    b256!("0xb0744cea4bae4302ebd785c65304df58df4478b657cf0400fb5c98365946ff5d");
/// `keccak256("1")`
pub const DOMAIN_VERSION: B256 =
    b256!("0xc89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");
/// EIP-712 type hash of `Verdict`.
pub const VERDICT_TYPE: B256 =
    b256!("0x92609aa8f2efcd8ffecf6b2cbe44f11addb1a0ea5426ce2cacb6a23f71696bbe");
/// EIP-712 type hash of `VerdictBatch`.
pub const VERDICT_BATCH_TYPE: B256 =
    b256!("0xca75bfadd2726ee99f0221162bc02e7fb795bfdea0907fddb90a8fdb9ce4730a");
/// EIP-712 type hash of `VerdictShare`.
pub const VERDICT_SHARE_TYPE: B256 =
    b256!("0xa493a03266b12d944e48a827de6ebaf58e4e367dd6d2f53784b2ad817554c8f7");
/// EIP-712 type hash of `Counters`.
pub const COUNTERS_TYPE: B256 =
    b256!("0x1602f7ef96c33f04451a54e06184b6229bc4ed70eccfd1ab5c460de5fae560a0");
/// EIP-712 type hash of `DatasetMeasure`.
pub const DATASET_MEASURE_TYPE: B256 =
    b256!("0x92334635691580a3183e5b09bf57a95e8a2915fb26fc7e59c48cf352fa964df5");
/// EIP-712 type hash of EIP-2612's `Permit`.
pub const PERMIT_TYPE: B256 =
    b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9");

/// EIP-712 type hash of `Offer`.
pub const OFFER_TYPE: B256 =
    b256!("0x256cfc9010342d1f73be764e2dd6d63f8e42dea7a892078cceafb3a339fa87dc");

/// The digest that an owner signs instead of publishing an offer: equal to
/// `offer.eip712_signing_hash(&domain(chain_id, offers))`.
pub fn offer_digest(chain_id: u64, offers: Address, offer: &Offer) -> B256 {
    // All fields are words: the type hash, then what `abi.encode` makes of them.
    let mut encoding = OFFER_TYPE.to_vec();
    codec::append(offer, &mut encoding);
    typed_data_digest(
        domain_separator(DOMAIN_NAME, chain_id, offers),
        keccak256(encoding),
    )
}

/// `keccak256(abi.encode(offer))`
pub fn offer_id(offer: &Offer) -> B256 {
    keccak256(codec::encode(offer))
}

/// `keccak256(abi.encode(royalties))`; zero where there are none.
pub fn lineage(royalties: &Vec<Royalty>) -> B256 {
    if royalties.is_empty() {
        return B256::ZERO;
    }
    keccak256(codec::encode(royalties))
}

/// `keccak256(abi.encode(policy))`
pub fn policy_id(policy: &Policy) -> B256 {
    keccak256(codec::encode(policy))
}

/// `keccak256(abi.encode(receipt))` with its first byte zero: the escrow keeps the other 31 in one
/// word with the order's state.
pub fn receipt_id(receipt: &Receipt) -> B256 {
    let mut id = keccak256(codec::encode(receipt));
    id.0[0] = 0;
    id
}

/// `keccak256(abi.encode(chainId, escrow, terms))`: the same terms are another order on another
/// chain or in another escrow.
pub fn order_id(chain_id: u64, escrow: Address, terms: &Terms) -> B256 {
    let mut encoding = Vec::new();
    codec::append(terms, &mut encoding);
    order_id_of(chain_id, escrow, &encoding)
}

/// As [`order_id`], of terms that are encoded already (without the offset in front).
pub fn order_id_of(chain_id: u64, escrow: Address, terms: &[u8]) -> B256 {
    let mut encoding = Vec::with_capacity(96 + terms.len());
    encoding.extend_from_slice(word(chain_id).as_slice());
    encoding.extend_from_slice(escrow.into_word().as_slice());
    encoding.extend_from_slice(word(96).as_slice());
    encoding.extend_from_slice(terms);
    keccak256(encoding)
}

/// The EIP-712 domain in which operators sign verdicts, for clients.
pub const fn verdict_domain(chain_id: u64, attestation: Address) -> Eip712Domain {
    domain(chain_id, attestation)
}

/// The EIP-712 domain of what is signed for one of the contracts: verdicts for `attestation`, offers
/// for `offers`.
pub const fn domain(chain_id: u64, contract: Address) -> Eip712Domain {
    Eip712Domain::new(
        Some(Cow::Borrowed("Vouch")),
        Some(Cow::Borrowed("1")),
        Some(U256::from_limbs([chain_id, 0, 0, 0])),
        Some(contract),
        None,
    )
}

/// The separator of a domain `{name, version: "1", chainId, verifyingContract}`.
pub fn domain_separator(name_hash: B256, chain_id: u64, contract: Address) -> B256 {
    hash([
        DOMAIN_TYPE,
        name_hash,
        DOMAIN_VERSION,
        word(chain_id),
        contract.into_word(),
    ])
}

/// EIP-712 digest of a struct hash in a domain.
pub fn typed_data_digest(separator: B256, struct_hash: B256) -> B256 {
    let mut encoding = [0; 66];
    let (prefix, rest) = encoding.split_at_mut(2);
    prefix.copy_from_slice(&[0x19, 0x01]);
    let (head, tail) = rest.split_at_mut(32);
    head.copy_from_slice(separator.as_slice());
    tail.copy_from_slice(struct_hash.as_slice());
    keccak256(encoding)
}

/// The digest that operators sign: equal to `verdict.eip712_signing_hash(&verdict_domain(..))`.
pub fn verdict_digest(chain_id: u64, attestation: Address, verdict: &Verdict) -> B256 {
    let datasets = keccak_words(verdict.datasets.iter().map(|dataset| {
        hash([
            DATASET_MEASURE_TYPE,
            word(dataset.records),
            word(dataset.size),
            dataset.schema,
            word(dataset.quality.into()),
        ])
    }));
    let struct_hash = hash([
        VERDICT_TYPE,
        verdict.order,
        word(verdict.phase.into()),
        word(verdict.attempt.into()),
        verdict.evidence,
        verdict.clauses.into(),
        word(verdict.reason.into()),
        keccak_words(verdict.devices.iter().copied()),
        verdict.sessionKey,
        verdict.measurement,
        verdict.inputs,
        verdict.outputs,
        hash([
            COUNTERS_TYPE,
            word(verdict.counters.outputBytes),
            word(verdict.counters.outputRows),
        ]),
        datasets,
        word(verdict.observedAt),
    ]);
    typed_data_digest(
        domain_separator(DOMAIN_NAME, chain_id, attestation),
        struct_hash,
    )
}

/// The digest by which operators sign all verdicts of a Merkle tree at once: equal to
/// `VerdictBatch { root }.eip712_signing_hash(&verdict_domain(..))`.
pub fn batch_digest(chain_id: u64, attestation: Address, root: B256) -> B256 {
    typed_data_digest(
        domain_separator(DOMAIN_NAME, chain_id, attestation),
        hash([VERDICT_BATCH_TYPE, root]),
    )
}

/// The digest of an operator's statement to the others: equal to
/// `share.eip712_signing_hash(&verdict_domain(..))`.
pub fn share_digest(chain_id: u64, attestation: Address, share: &VerdictShare) -> B256 {
    let struct_hash = hash([
        VERDICT_SHARE_TYPE,
        share.verdict,
        share.order,
        word(share.phase.into()),
        word(share.attempt.into()),
        share.evidence,
        share.outputs,
        share.announcedIn,
    ]);
    typed_data_digest(
        domain_separator(DOMAIN_NAME, chain_id, attestation),
        struct_hash,
    )
}

/// EIP-712 struct hash of an EIP-2612 permit.
pub fn permit_hash(
    owner: Address,
    spender: Address,
    value: U256,
    nonce: U256,
    deadline: U256,
) -> B256 {
    hash([
        PERMIT_TYPE,
        owner.into_word(),
        spender.into_word(),
        value.into(),
        nonce.into(),
        deadline.into(),
    ])
}

/// The word of an unsigned number.
fn word(number: u64) -> B256 {
    let mut word = B256::ZERO;
    word.0[24..].copy_from_slice(&number.to_be_bytes());
    word
}

fn hash<const N: usize>(words: [B256; N]) -> B256 {
    keccak_words(words)
}

fn keccak_words(words: impl IntoIterator<Item = B256>) -> B256 {
    let mut encoding = Vec::new();
    for word in words {
        encoding.extend_from_slice(word.as_slice());
    }
    keccak256(encoding)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use alloy_sol_types::{SolStruct, SolType, sol_data};

    use super::*;
    use crate::{Counters, DatasetMeasure, Deadlines, Leg, VerdictBatch};

    fn verdict() -> Verdict {
        Verdict {
            order: B256::repeat_byte(1),
            phase: 2,
            attempt: 3,
            evidence: B256::repeat_byte(4),
            clauses: U256::from(5) << 200,
            reason: 206,
            devices: vec![B256::repeat_byte(7), B256::repeat_byte(8)],
            sessionKey: B256::repeat_byte(9),
            measurement: B256::repeat_byte(10),
            inputs: B256::repeat_byte(11),
            outputs: B256::repeat_byte(12),
            counters: Counters {
                outputBytes: 13,
                outputRows: 14,
            },
            datasets: vec![
                DatasetMeasure {
                    records: 15,
                    size: 16,
                    schema: B256::repeat_byte(17),
                    quality: 18,
                },
                DatasetMeasure {
                    records: 19,
                    size: 20,
                    schema: B256::ZERO,
                    quality: 21,
                },
            ],
            observedAt: 22,
        }
    }

    fn terms() -> Terms {
        Terms {
            buyer: Address::repeat_byte(1),
            provider: Address::repeat_byte(2),
            legs: vec![
                Leg {
                    rate: U256::from(3),
                    ..Default::default()
                };
                2
            ],
            deadlines: Deadlines {
                accept: 1,
                start: 2,
                finish: 3,
                settle: 4,
            },
            ..Default::default()
        }
    }

    #[test]
    fn constants_are_the_hashes_of_their_types() {
        assert_eq!(DOMAIN_NAME, keccak256("Vouch"));
        assert_eq!(DOMAIN_VERSION, keccak256("1"));
        assert_eq!(
            DOMAIN_TYPE,
            keccak256(
                "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
            )
        );
        assert_eq!(VERDICT_TYPE, verdict().eip712_type_hash());
        assert_eq!(
            VERDICT_BATCH_TYPE,
            VerdictBatch::default().eip712_type_hash()
        );
        assert_eq!(
            VERDICT_SHARE_TYPE,
            VerdictShare::default().eip712_type_hash()
        );
        assert_eq!(OFFER_TYPE, Offer::default().eip712_type_hash());
        assert_eq!(COUNTERS_TYPE, Counters::default().eip712_type_hash());
        assert_eq!(
            DATASET_MEASURE_TYPE,
            DatasetMeasure::default().eip712_type_hash()
        );
        assert_eq!(
            PERMIT_TYPE,
            keccak256(
                "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
            )
        );
        assert_eq!(
            crate::call::CONSTRUCTOR,
            keccak256("stylus_constructor()")[..4]
        );
    }

    #[test]
    fn digest_is_alloys_signing_hash() {
        let contract = Address::repeat_byte(5);
        let domain = verdict_domain(412_346, contract);
        assert_eq!(
            domain_separator(DOMAIN_NAME, 412_346, contract),
            domain.separator()
        );
        for verdict in [verdict(), Verdict::default()] {
            assert_eq!(
                verdict_digest(412_346, contract, &verdict),
                verdict.eip712_signing_hash(&domain)
            );
        }
    }

    #[test]
    fn statements_are_signed_as_alloy_signs_them() {
        let contract = Address::repeat_byte(5);
        let mut share = VerdictShare::default();
        for change in 0..8 {
            match change {
                0 => {}
                1 => share.verdict = B256::repeat_byte(1),
                2 => share.order = B256::repeat_byte(2),
                3 => share.phase = 3,
                4 => share.attempt = 4,
                5 => share.evidence = B256::repeat_byte(5),
                6 => share.outputs = B256::repeat_byte(6),
                _ => share.announcedIn = B256::repeat_byte(7),
            }
            assert_eq!(
                share_digest(412_346, contract, &share),
                share.eip712_signing_hash(&verdict_domain(412_346, contract))
            );
        }
    }

    #[test]
    fn batches_are_signed_as_alloy_signs_them() {
        let (contract, root) = (Address::repeat_byte(5), B256::repeat_byte(6));
        let expected = VerdictBatch { root }.eip712_signing_hash(&verdict_domain(7, contract));
        assert_eq!(batch_digest(7, contract, root), expected);
        assert_ne!(batch_digest(8, contract, root), expected);
        assert_ne!(batch_digest(7, Address::ZERO, root), expected);
    }

    #[test]
    fn offers_are_signed_as_alloy_signs_them() {
        let contract = Address::repeat_byte(5);
        let offer = Offer {
            owner: Address::repeat_byte(1),
            kind: 4,
            price: U256::from(7),
            openUntil: 9,
            shared: true,
            salt: B256::repeat_byte(3),
            ..Default::default()
        };
        let expected = offer.eip712_signing_hash(&domain(7, contract));
        assert_eq!(offer_digest(7, contract, &offer), expected);
        assert_ne!(offer_digest(8, contract, &offer), expected);
        assert_ne!(offer_digest(7, Address::ZERO, &offer), expected);
    }

    #[test]
    fn every_field_reaches_the_digest() {
        let digest = |verdict: &Verdict| verdict_digest(1, Address::ZERO, verdict);
        let base = digest(&verdict());
        let changes: [fn(&mut Verdict); 14] = [
            |v| v.order.0[0] ^= 1,
            |v| v.phase ^= 1,
            |v| v.attempt ^= 1,
            |v| v.evidence.0[0] ^= 1,
            |v| v.clauses ^= U256::from(1),
            |v| v.reason ^= 1,
            |v| v.devices.swap(0, 1),
            |v| v.sessionKey.0[0] ^= 1,
            |v| v.measurement.0[0] ^= 1,
            |v| v.inputs.0[0] ^= 1,
            |v| v.outputs.0[0] ^= 1,
            |v| v.counters.outputRows ^= 1,
            |v| v.datasets.swap(0, 1),
            |v| v.observedAt ^= 1,
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut other = verdict();
            change(&mut other);
            assert_ne!(digest(&other), base, "change {i}");
        }
        assert_ne!(verdict_digest(2, Address::ZERO, &verdict()), base);
        assert_ne!(verdict_digest(1, Address::repeat_byte(1), &verdict()), base);
    }

    #[test]
    fn order_id_is_the_hash_of_the_parameters() {
        type Parameters = (sol_data::Uint<256>, sol_data::Address, Terms);
        let escrow = Address::repeat_byte(9);
        let encoding = Parameters::abi_encode_params(&(U256::from(7), escrow, terms()));
        assert_eq!(order_id(7, escrow, &terms()), keccak256(encoding));
        assert_ne!(order_id(8, escrow, &terms()), order_id(7, escrow, &terms()));
        assert_ne!(
            order_id(7, Address::ZERO, &terms()),
            order_id(7, escrow, &terms())
        );
    }
}
