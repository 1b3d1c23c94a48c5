//! What the actors offer and ask for.

use std::time::Duration;

use alloy::primitives::{B256, U256};
use vouch_abi::{Fee, Offer, OrderRequest, Policy, Requirements};
use vouch_client::order::{COMPUTE, Schedule, Wish, leg};
use vouch_protocol::{Clause, Clauses};

use super::cast::Cast;
use super::job;
use super::ledger::Deal;
use crate::chain::Token;

/// How long the job takes on the chain's clock.
pub(super) const JOB_SECONDS: u64 = 20 * 60;
/// Longest attested time that is paid for.
const MAX_DURATION: u32 = 60 * 60;
const DAY: u64 = 86_400;
/// Bit of the purpose "train".
const TRAIN: u8 = 1;

/// One offer with its policy, and how it is told.
#[derive(Clone, Debug)]
pub(super) struct Ware {
    pub(super) offer: Offer,
    pub(super) policy: Policy,
    pub(super) text: String,
}

/// The prices, in units of the token.
pub(super) fn deal(token: &Token, operators: usize) -> Deal {
    let unit = U256::from(10).pow(U256::from(token.decimals));
    let whole = |amount: u64| unit * U256::from(amount);
    Deal {
        dataset: whole(120),
        model: whole(80),
        workload: whole(10),
        rate: unit / U256::from(50),
        max_duration: MAX_DURATION,
        bond: whole(50),
        oracle_fee: whole(3),
        operators,
    }
}

/// Digests of what is for sale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assets {
    pub(super) dataset: B256,
    pub(super) model: B256,
    pub(super) workload: B256,
}

/// Everything for sale; `now` is the chain's time. With `api_only`, the dataset's owner lets nothing but
/// API answers leave.
pub(super) fn wares(
    cast: &Cast,
    deal: &Deal,
    token: &Token,
    now: u64,
    assets: Assets,
    api_only: bool,
) -> [Ware; 4] {
    let Assets {
        dataset,
        model,
        workload,
    } = assets;
    let offer = |owner, kind, digest, price, volume, policy: &Policy| Offer {
        owner,
        kind,
        digest,
        metadata: B256::ZERO,
        token: token.address,
        price,
        policy: vouch_abi::id::policy_id(policy),
        volume,
        openUntil: now + 30 * DAY,
        shared: false,
        lineage: B256::ZERO,
        salt: B256::ZERO,
    };
    let asks = |clauses: &[Clause]| {
        let required = clauses
            .iter()
            .fold(Clauses::NONE, |set, clause| set.with(*clause));
        Policy {
            any: Clauses::POLICY.without(required).0,
            ..Policy::default()
        }
    };

    let mut dataset_policy = Policy {
        cpuKinds: 1,
        gpuArchitectures: 1,
        minGpus: 1,
        gpuModes: 1,
        evidenceMaxAge: MAX_DURATION,
        workloads: vec![workload],
        purposes: TRAIN,
        maxUses: 100,
        maxDuration: MAX_DURATION,
        outputBytes: 1_000_000,
        ..asks(&[
            Clause::CpuKind,
            Clause::DebugOff,
            Clause::GpuArchitecture,
            Clause::GpuCount,
            Clause::GpuMode,
            Clause::EvidenceAge,
            Clause::Workload,
            Clause::Purposes,
            Clause::MaxUses,
            Clause::MaxDuration,
            Clause::OutputBytes,
        ])
    };
    if api_only {
        dataset_policy.any &= !Clause::Export.bit().0;
    }
    let model_policy = Policy {
        cpuKinds: 1,
        gpuArchitectures: 0b11,
        purposes: 0b11,
        notAfter: now + 365 * DAY,
        ..asks(&[
            Clause::CpuKind,
            Clause::DebugOff,
            Clause::GpuArchitecture,
            Clause::Purposes,
            Clause::Window,
        ])
    };
    let workload_policy = asks(&[Clause::DebugOff]);
    let compute_policy = Policy {
        maxDuration: MAX_DURATION,
        buyers: vec![cast.buyer.address()],
        ..asks(&[Clause::DebugOff, Clause::MaxDuration, Clause::Buyers])
    };

    let per_use = |price| format!("{} per use", token.show(price));
    [
        Ware {
            offer: offer(
                cast.dataset.address(),
                1,
                dataset,
                deal.dataset,
                10,
                &dataset_policy,
            ),
            policy: dataset_policy,
            text: format!(
                "offers {} numbers in words, {}",
                super::screen::thousands(job::RECORDS),
                per_use(deal.dataset)
            ),
        },
        Ware {
            offer: offer(
                cast.model.address(),
                2,
                model,
                deal.model,
                10,
                &model_policy,
            ),
            policy: model_policy,
            text: format!("offers a classifier to be trained, {}", per_use(deal.model)),
        },
        Ware {
            offer: offer(
                cast.workload.address(),
                3,
                workload,
                deal.workload,
                1000,
                &workload_policy,
            ),
            policy: workload_policy,
            text: format!("offers the training program, {}", per_use(deal.workload)),
        },
        Ware {
            offer: offer(
                cast.provider.address(),
                COMPUTE,
                B256::ZERO,
                deal.rate,
                1000,
                &compute_policy,
            ),
            policy: compute_policy,
            text: format!(
                "offers an H100 in a SEV-SNP machine, {} per second",
                token.show(deal.rate)
            ),
        },
    ]
}

/// The order over all of it.
pub(super) fn order(wares: &[Ware; 4], deal: &Deal, result_key: B256, now: u64) -> OrderRequest {
    let hour = Duration::from_secs(3600);
    let wish = Wish {
        purpose: TRAIN,
        max_duration: MAX_DURATION,
        result_key,
        requirements: Requirements {
            minRecords: job::RECORDS,
            minBytes: 0,
            schema: job::schema(),
            minQuality: 950_000,
        },
        schedule: Schedule {
            accept: hour,
            start: hour,
            finish: 2 * hour,
            settle: hour,
        },
        challenge_window: 0,
        bond: deal.bond,
        oracle_fee: deal.oracle_fee,
        max_protocol_fee: 0,
        marketplace_fee: Fee::default(),
        salt: B256::ZERO,
    };
    let legs = wares
        .iter()
        .map(|ware| leg(ware.offer.clone(), ware.policy.clone()))
        .collect();
    wish.request(legs, now)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    const ASSETS: Assets = Assets {
        dataset: B256::repeat_byte(1),
        model: B256::repeat_byte(2),
        workload: B256::repeat_byte(3),
    };

    #[test]
    fn every_leg_refuses_a_machine_that_can_be_debugged() {
        let token = Token {
            address: address!("0x0000000000000000000000000000000000000001"),
            symbol: "T".into(),
            decimals: 6,
        };
        let cast = Cast::new(1).unwrap();
        let deal = deal(&token, 1);
        let both = [false, true].map(|api_only| wares(&cast, &deal, &token, 1, ASSETS, api_only));
        for ware in both.into_iter().flatten() {
            assert!(
                !Clauses(ware.policy.any).contains(Clause::DebugOff),
                "{}",
                ware.text
            );
            // The file form checks what the contract checks.
            let shown = crate::policy_file::show(&ware.policy).to_string();
            assert_eq!(
                crate::policy_file::parse(&shown).unwrap(),
                ware.policy,
                "{}",
                ware.text
            );
        }
    }

    #[test]
    fn the_order_locks_what_the_deal_says() {
        let token = Token {
            address: address!("0x0000000000000000000000000000000000000001"),
            symbol: "T".into(),
            decimals: 6,
        };
        let cast = Cast::new(3).unwrap();
        let deal = deal(&token, 3);
        let request = order(
            &wares(&cast, &deal, &token, 1, ASSETS, false),
            &deal,
            B256::ZERO,
            1,
        );
        assert_eq!(vouch_client::order::price(&request), deal.locked());
    }
}
