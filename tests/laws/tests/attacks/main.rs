//! Attacks on the market, each named, on the contracts as a chain runs them.

mod amounts;
mod batches;
mod bonds;
mod disputes;
mod governance;
mod multicall;
mod quorum;
mod swaps;
mod time;
mod tokens;

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
