//! What could stand in the way of a refund is not there: neither sellers, operators and governor, nor any
//! contract but the escrow and the order's token.

use alloy::sol_types::SolInterface;
use vouch_abi::IEscrow::{self, IEscrowCalls};
use vouch_laws::market::{BUYERS, MINTED, PACE, PROVIDER, STRANGER, verdict};
use vouch_laws::shares;
use vouch_laws::testvm::{ATTESTATION, Code, ESCROW, Machine, Machines};
use vouch_laws::world::World;
use vouch_protocol::Phase;

#[test]
fn a_refund_needs_no_contract_but_the_escrow_and_its_token() {
    for calls in 0..=2 {
        let mut machines = Machines::fresh();
        let mut request = machines.request(0, 0, 1);
        shares::agree(&mut request, 25_000);
        let (order, terms) = machines.place(BUYERS[0], request).expect("placed");
        let verdict = verdict(machines.now(), order, &terms, Phase::Start, 1);
        let signatures = machines.sign(&verdict, &[0, 1], machines.chain_id(), ATTESTATION);
        let accept = IEscrow::acceptCall {
            terms: terms.clone(),
        };
        let start = IEscrow::submitVerdictCall {
            terms: terms.clone(),
            verdict,
            signatures,
        };
        let calls = [
            IEscrowCalls::accept(accept),
            IEscrowCalls::submitVerdict(start),
        ]
        .into_iter()
        .take(calls);
        for call in calls {
            machines.tell(PROVIDER, call).expect("done");
        }
        let states = machines.machine.states().into_iter();
        let rest = states.filter(|(code, _)| matches!(code, Code::Escrow | Code::Token));
        machines.machine = Machine::new(rest);
        machines.pass(3 * PACE + 1);
        let refund = IEscrowCalls::refund(IEscrow::refundCall { terms }).abi_encode();
        let done = machines.machine.send(STRANGER, ESCROW, &refund);
        done.unwrap_or_else(|data| panic!("reverted with {data}"));
        for account in [BUYERS[0], PROVIDER] {
            assert_eq!(machines.balance(0, Some(account)), MINTED, "{account}");
        }
        assert_eq!(machines.balance(0, None), 0);
    }
}
