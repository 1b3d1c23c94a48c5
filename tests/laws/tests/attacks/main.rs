//! Attacks on the market, each named, on the contracts as a chain runs them; those that look into storage or try every
//! function on test machines.
//!
//! | attack | tests |
//! | --- | --- |
//! | reentrancy through a token | `functions::no_function_of_the_escrow_is_entered_from_inside_a_transfer`, `functions::no_function_of_the_bonds_is_entered_from_inside_a_transfer`, `tokens::reentrancy_through_a_token_gets_nowhere`, `multicall::a_batch_cannot_be_entered_from_a_token_nor_enter_itself`, `bonds::a_token_that_misbehaves_bonds_and_takes_nothing` |
//! | reentrancy through a callback | `vouch-tests`: `interop::a_contract_buys_and_is_told_the_result_once`; through an owner's signature: `owners::an_owner_changes_nothing_while_it_is_asked`; through a governed contract: `governance::a_target_that_reenters_finds_nothing_to_execute` |
//! | signature replay across chain, contract, order, phase, attempt | `quorum::a_signature_of_another_chain_is_worth_nothing`, `quorum::a_signature_for_another_contract_is_worth_nothing`, `quorum::a_verdict_of_another_order_phase_or_attempt_is_worth_nothing`, `replays::a_verdict_of_one_phase_is_none_of_another`, `replays::a_signed_root_is_no_signed_verdict`, `replays::an_owners_signature_is_for_one_offer_on_one_chain_of_one_contract`, `replays::a_finish_verdict_settles_the_order_it_finished`, `bonds::a_proof_is_not_made_of_others_signatures` |
//! | verdicts replayed, reordered, duplicated | `quorum::a_paid_order_is_not_paid_again`, `multicall::one_verdict_does_not_count_twice_in_a_batch`, `time::verdicts_of_another_time_do_not_count` |
//! | malleable signatures | `quorum::the_other_form_of_a_signature_is_refused` |
//! | a quorum with duplicate or removed operators | `quorum::one_operator_is_not_two`, `quorum::a_removed_operator_no_longer_counts`, `batches::a_remembered_root_ends_with_the_operators_who_signed_it`, `bonds::a_quorum_remembered_for_a_batch_ends_with_its_signer` |
//! | operators that contradict themselves or have nothing at stake | `bonds::*` |
//! | front-run price and policy swaps | `swaps::a_price_cannot_change_under_an_order`, `swaps::a_policy_cannot_change_under_an_offer` |
//! | fees raised in front of an order or under it, above their limits, of what nobody earned | `fees::*` |
//! | owners that are contracts and revert, burn gas, lie, change their mind | `owners::*` |
//! | griefing of refunds | `griefing::a_refund_needs_no_contract_but_the_escrow_and_its_token`, `time::nobody_holds_up_a_refund`, `tokens::a_token_cannot_hold_up_a_refund`, `tokens::a_refund_cannot_be_starved_into_credits` |
//! | griefing by disputes | `disputes::*` |
//! | overflow at every arithmetic boundary | `boundaries::*`, `amounts::sums_that_do_not_fit_are_refused`, `amounts::the_largest_order_is_refused_by_its_token_only`, `amounts::deadlines_at_the_end_of_time_are_deadlines`; of offsets and lengths in calldata: `functions::hostile_words_wrap_nowhere_and_change_nothing_of_the_market` |
//! | storage collision | `storage::a_call_changes_the_slots_of_what_it_is_about_and_no_other`, `tokens::storage_of_one_thing_is_not_storage_of_another`, `multicall::annex_and_desk_alone_are_empty_houses`, `multicall::a_batch_does_not_construct_the_escrow_anew` |
//! | selectors that collide | `functions::no_function_passes_for_another` |
//! | dust, zero amounts | `amounts::dust_is_paid_to_the_unit`, `amounts::amounts_of_zero_are_amounts` |
//! | past deadlines | `time::orders_whose_deadlines_lie_behind_are_not_placed`, `time::the_last_second_counts_and_the_next_does_not` |
//! | Merkle second preimage | `swaps::an_inner_node_of_the_tree_is_no_workload`, `batches::an_inner_node_is_no_verdict_and_a_verdict_no_root` |
//! | permit front-running | `tokens::a_permit_that_somebody_else_brings_first_stops_nobody`, `deposits::whoever_brings_a_signature_first_helps_its_owner_only` |
//! | authorisations replayed, relayed, forged, for others, of tokens that bring less | `deposits::*` |
//! | weights of operators | `quorum::a_quorum_is_what_its_signers_weigh_and_not_how_many_they_are` |
//! | royalties dodged, redirected, invented; what others made | `lineage::*` |
//! | budgets overdrawn, or given back twice or on false papers | `budgets::*` |
//! | top-ups of what is over, overflows, or is not paid | `topup::*` |
//! | changes of the market made early, twice, otherwise than announced; ownership taken | `governance::*` |

mod amounts;
mod batches;
mod bonds;
mod boundaries;
mod budgets;
mod deposits;
mod disputes;
mod fees;
mod functions;
mod governance;
mod griefing;
mod heartbeats;
mod lineage;
mod multicall;
mod owners;
mod quorum;
mod replays;
mod storage;
mod swaps;
mod time;
mod tokens;
mod topup;

use alloy::primitives::{Address, B256};
use alloy::sol_types::{SolCall, SolError};
use vouch_abi::{IEscrow, Terms, Verdict};
use vouch_laws::lab::{Done, Reverted};
use vouch_laws::market::{BUYERS, Market, PROVIDER};
use vouch_protocol::Phase;

/// The first two operators: a quorum.
const BOTH: [usize; 2] = [0, 1];

/// An order of the first buyer in the first token.
fn placed(market: &mut Market, salt: u64) -> (B256, Terms) {
    let request = market.request(0, 0, salt);
    market.place(BUYERS[0], request).expect("an order")
}

fn tell(market: &mut Market, from: Address, call: &impl SolCall) -> Result<Done, Reverted> {
    let escrow = market.escrow;
    market.lab.tell(from, escrow, call)
}

/// The same, accepted by its provider.
fn accepted(market: &mut Market, salt: u64) -> (B256, Terms) {
    let (order, terms) = placed(market, salt);
    let accept = IEscrow::acceptCall {
        terms: terms.clone(),
    };
    tell(market, PROVIDER, &accept).expect("accepted");
    (order, terms)
}

/// The same, running on a device of its own.
fn running(market: &mut Market, salt: u64) -> (B256, Terms) {
    let (order, terms) = accepted(market, salt);
    let verdict = market.verdict(order, &terms, Phase::Start, salt as u8 + 1);
    submit(market, &terms, &verdict).expect("started");
    (order, terms)
}

/// Submits a verdict signed by [`BOTH`].
fn submit(market: &mut Market, terms: &Terms, verdict: &Verdict) -> Result<Done, Reverted> {
    let signatures = market.sign(verdict, &BOTH);
    market.submit(terms, verdict, signatures)
}

/// Asserts that a call was refused with error `E`.
#[track_caller]
fn refused<E: SolError>(result: Result<impl Sized, Reverted>, what: &str) {
    match result {
        Ok(_) => panic!("{what}: expected {}, but it succeeded", E::SIGNATURE),
        Err(data) => assert!(
            data.get(..4) == Some(&E::SELECTOR),
            "{what}: expected {}, found {data}",
            E::SIGNATURE
        ),
    }
}

/// Asserts that of both tokens the escrow holds what it owes.
#[track_caller]
fn balanced(market: &mut Market) {
    for token in 0..2 {
        let held = market.balance(token, market.escrow);
        assert_eq!(
            held,
            market.owed(token).expect("an answer"),
            "token {token}"
        );
    }
}

/// The table above names tests that are there.
#[test]
fn the_table_of_attacks_names_tests() {
    let folder = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let table = include_str!("main.rs")
        .lines()
        .filter(|line| line.starts_with("//! |"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|name| name.split_once("::"));
    let mut named = 0;
    for (module, test) in table {
        let places = [folder("tests/attacks"), folder("../it")];
        let source: String = places
            .iter()
            .filter_map(|place| std::fs::read_to_string(format!("{place}/{module}.rs")).ok())
            .collect();
        let is_there = match test {
            "*" => source.contains("#[test]"),
            test => source.contains(&format!("fn {test}(")),
        };
        assert!(is_there, "{module}::{test}");
        named += 1;
    }
    assert!(named > 30, "only {named} tests are named");
}
