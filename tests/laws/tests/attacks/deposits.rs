//! Attacks on what accounts sign so that their tokens may be taken.

use alloy::primitives::{Address, B256, Bytes, Signature, U256, address};
use alloy::signers::SignerSync;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolCall, SolStruct, eip712_domain};
use vouch_abi::IEscrow;
use vouch_laws::lab::{Done, Reverted, is_error, word};
use vouch_laws::market::{GOVERNOR, ITrouble, LOCKED, Market, STRANGER, creation_code};
use vouch_laws::step::Mode;

use super::{balanced, refused, tell};

sol! {
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct PermitTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
    }

    error AuthorizationUsed(address authorizer, bytes32 nonce);
    error AuthorizationExpired();
    error WrongSigner(address signer);
    error InvalidNonce();
    error InvalidSigner();
    error SignatureExpired(uint256 signatureDeadline);
}

const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
/// The key of the buyer, who signs and has approved nothing of the escrow's.
const KEY: usize = 4;

/// What the buyer can sign: each pays for as much.
#[derive(Clone, Copy, Debug)]
enum Way {
    Authorization,
    Permit2,
}

const WAYS: [Way; 2] = [Way::Authorization, Way::Permit2];

/// A market in whose first token the buyer can pay for two orders.
fn market() -> (Market, Address) {
    let mut market = Market::new();
    let code = creation_code("Permit2.sol", "Permit2").expect("compiled");
    let made = market.lab.create(GOVERNOR, code).expect("created");
    market.lab.copy_code(made, PERMIT2);
    let buyer = market.keys[KEY].address();
    let (token, value) = (market.tokens[0], U256::from(2 * LOCKED));
    let mint = ITrouble::mintCall { to: buyer, value };
    market.must(GOVERNOR, token, &mint).expect("minted");
    let approve = ITrouble::approveCall {
        spender: PERMIT2,
        value: U256::MAX,
    };
    market.must(buyer, token, &approve).expect("approved");
    (market, buyer)
}

fn sign(market: &Market, said: &impl SolStruct, domain: &Eip712Domain) -> Signature {
    let digest = said.eip712_signing_hash(domain);
    market.keys[KEY].sign_hash_sync(&digest).expect("signed")
}

/// A deposit of the buyer's, signed for `receiver`.
fn signed_for(market: &Market, way: Way, value: u128, receiver: Address, nonce: u64) -> Bytes {
    let (token, from) = (market.tokens[0], market.keys[KEY].address());
    let (value, until) = (U256::from(value), U256::from(market.lab.now() + 100));
    let chain_id = market.lab.chain_id();
    match way {
        Way::Authorization => {
            let said = ReceiveWithAuthorization {
                from,
                to: receiver,
                value,
                validAfter: U256::ZERO,
                validBefore: until,
                nonce: word(nonce),
            };
            let domain = eip712_domain! {
                name: "Coin",
                version: "1",
                chain_id: chain_id,
                verifying_contract: token,
            };
            let signature = sign(market, &said, &domain);
            let deposit = IEscrow::depositWithAuthorizationCall {
                token,
                from,
                value,
                validAfter: said.validAfter,
                validBefore: until,
                nonce: said.nonce,
                v: 27 + u8::from(signature.v()),
                r: signature.r().into(),
                s: signature.s().into(),
            };
            deposit.abi_encode().into()
        }
        Way::Permit2 => {
            let permitted = TokenPermissions {
                token,
                amount: value,
            };
            let said = PermitTransferFrom {
                permitted,
                spender: receiver,
                nonce: U256::from(nonce),
                deadline: until,
            };
            let domain = eip712_domain! {
                name: "Permit2",
                chain_id: chain_id,
                verifying_contract: PERMIT2,
            };
            let signature = sign(market, &said, &domain).as_bytes().to_vec();
            let deposit = IEscrow::depositWithPermit2Call {
                token,
                owner: from,
                value,
                nonce: said.nonce,
                deadline: until,
                signature: signature.into(),
            };
            deposit.abi_encode().into()
        }
    }
}

fn signed(market: &Market, way: Way, value: u128, nonce: u64) -> Bytes {
    signed_for(market, way, value, market.escrow, nonce)
}

fn send(market: &mut Market, from: Address, data: Bytes) -> Result<Done, Reverted> {
    let escrow = market.escrow;
    market.lab.send(from, escrow, data)
}

/// Places the buyer's next order in one batch with a deposit.
fn place(market: &mut Market, deposit: Bytes, salt: u64) -> Result<Done, Reverted> {
    let (buyer, request) = (market.keys[KEY].address(), market.request(0, 0, salt));
    let calls = vec![deposit, IEscrow::placeCall { request }.abi_encode().into()];
    tell(market, buyer, &IEscrow::multicallCall { calls })
}

fn credit(market: &mut Market, account: Address) -> u128 {
    market.credit(0, account).expect("an answer")
}

#[test]
fn a_signature_pays_for_an_order_without_an_approval() {
    for way in WAYS {
        let (mut market, buyer) = market();
        let deposit = signed(&market, way, LOCKED, 1);
        let done = place(&mut market, deposit, 1).expect("placed");
        let spent: IEscrow::CreditSpent = done.event().expect("an event");
        assert_eq!(spent.account, buyer);
        assert_eq!(spent.amount, U256::from(LOCKED));
        assert_eq!(market.balance(0, buyer), LOCKED, "{way:?}");
        assert_eq!(credit(&mut market, buyer), 0, "{way:?}");
        assert_eq!(market.owed(0).expect("an answer"), LOCKED, "{way:?}");
        balanced(&mut market);
    }
}

#[test]
fn a_signature_for_less_than_the_order_does_not_place_it() {
    for way in WAYS {
        let (mut market, buyer) = market();
        let deposit = signed(&market, way, LOCKED - 1, 1);
        assert!(place(&mut market, deposit, 1).is_err(), "{way:?}");
        assert_eq!(market.balance(0, buyer), 2 * LOCKED, "{way:?}");
        assert_eq!(credit(&mut market, buyer), 0, "{way:?}");
        balanced(&mut market);
    }
}

#[test]
fn a_signature_is_used_once() {
    for way in WAYS {
        let (mut market, buyer) = market();
        let deposit = signed(&market, way, LOCKED, 1);
        place(&mut market, deposit.clone(), 1).expect("placed");
        let again = send(&mut market, buyer, deposit.clone());
        match way {
            Way::Authorization => refused::<AuthorizationUsed>(again, "again"),
            Way::Permit2 => refused::<InvalidNonce>(again, "again"),
        }
        let order = place(&mut market, deposit, 2);
        refused::<IEscrow::BatchFailed>(order, "another order");
        assert_eq!(market.balance(0, buyer), LOCKED, "{way:?}");
        balanced(&mut market);
    }
}

#[test]
fn whoever_brings_a_signature_first_helps_its_owner_only() {
    for way in WAYS {
        let (mut market, buyer) = market();
        let deposit = signed(&market, way, LOCKED, 1);
        send(&mut market, STRANGER, deposit.clone()).expect("relayed");
        assert_eq!(credit(&mut market, buyer), LOCKED, "{way:?}");
        assert_eq!(credit(&mut market, STRANGER), 0, "{way:?}");
        let token = market.tokens[0];
        let stolen = tell(&mut market, STRANGER, &IEscrow::withdrawCall { token });
        refused::<IEscrow::NothingToWithdraw>(stolen, "withdrawing");
        place(&mut market, deposit, 1).expect("placed all the same");
        assert_eq!(market.balance(0, buyer), LOCKED, "{way:?}");
        assert_eq!(credit(&mut market, buyer), 0, "{way:?}");
        balanced(&mut market);
    }
}

#[test]
fn a_signature_for_somebody_else_or_of_something_else_is_refused() {
    for way in WAYS {
        let (mut market, buyer) = market();
        let elsewhere = signed_for(&market, way, LOCKED, market.usage, 1);
        let mut more = signed(&market, way, LOCKED, 2).to_vec();
        // The last byte of the third argument: the value.
        more[4 + 95] += 1;
        let mut of_another = signed(&market, way, LOCKED, 3).to_vec();
        of_another[4 + 63] ^= 1;
        for data in [elsewhere, more.into(), of_another.into()] {
            let found = send(&mut market, STRANGER, data);
            match way {
                Way::Authorization => refused::<WrongSigner>(found, "forged"),
                Way::Permit2 => refused::<InvalidSigner>(found, "forged"),
            }
        }
        let late = signed(&market, way, LOCKED, 4);
        market.lab.pass(200);
        let found = send(&mut market, buyer, late);
        match way {
            Way::Authorization => refused::<AuthorizationExpired>(found, "late"),
            Way::Permit2 => refused::<SignatureExpired>(found, "late"),
        }
        assert_eq!(market.balance(0, buyer), 2 * LOCKED, "{way:?}");
        balanced(&mut market);
    }
}

#[test]
fn a_token_that_brings_less_than_was_signed_credits_nothing() {
    for way in WAYS {
        for mode in [Mode::TakesFee, Mode::Refuses, Mode::Reverts, Mode::Burns] {
            let (mut market, buyer) = market();
            market
                .misbehave(0, mode as u8, STRANGER, Bytes::new())
                .expect("a mode");
            let deposit = signed(&market, way, LOCKED, 1);
            let found = send(&mut market, STRANGER, deposit);
            let data = found.expect_err("nothing came");
            let own = matches!(mode, Mode::TakesFee)
                || matches!((way, mode), (Way::Authorization, Mode::Refuses));
            assert!(
                !own || is_error::<IEscrow::TokenRefused>(&data),
                "{way:?} {mode:?}"
            );
            assert_eq!(credit(&mut market, buyer), 0, "{way:?} {mode:?}");
            assert_eq!(market.balance(0, buyer), 2 * LOCKED, "{way:?} {mode:?}");
            balanced(&mut market);
        }
    }
}

/// What others have locked is there to be taken for a deposit that never came.
#[test]
fn a_call_that_does_nothing_credits_nothing_of_what_is_there() {
    let (mut market, buyer) = market();
    let (token, escrow) = (market.tokens[0], market.escrow);
    let mint = ITrouble::mintCall {
        to: escrow,
        value: U256::from(LOCKED),
    };
    market.must(STRANGER, token, &mint).expect("minted");
    market
        .misbehave(0, Mode::Refuses as u8, STRANGER, Bytes::new())
        .expect("a mode");
    let deposit = signed(&market, Way::Authorization, LOCKED, 1);
    let found = send(&mut market, buyer, deposit);
    refused::<IEscrow::TokenRefused>(found, "a call that does nothing");
    // Nobody stands where Permit2 should.
    market.lab.copy_code(Address::ZERO, PERMIT2);
    let deposit = signed(&market, Way::Permit2, LOCKED, 1);
    let found = send(&mut market, buyer, deposit);
    refused::<IEscrow::TokenRefused>(found, "a call of nobody");
    assert_eq!(credit(&mut market, buyer), 0);
}

#[test]
fn a_token_cannot_reenter_while_it_is_deposited() {
    for way in WAYS {
        let (market, buyer) = market();
        let (token, escrow) = (market.tokens[0], market.escrow);
        for inner in [
            signed(&market, Way::Authorization, 7, 2),
            signed(&market, Way::Permit2, 7, 3),
            IEscrow::withdrawCall { token }.abi_encode().into(),
        ] {
            let mut market = market.clone();
            market
                .misbehave(0, Mode::Reenters as u8, escrow, inner)
                .expect("a mode");
            let deposit = signed(&market, way, LOCKED, 1);
            send(&mut market, buyer, deposit).expect("deposited");
            let entered = market.lab.ask(token, &ITrouble::reenteredCall {});
            assert!(!entered.expect("an answer"), "{way:?}");
            assert_eq!(credit(&mut market, buyer), LOCKED, "{way:?}");
            balanced(&mut market);
        }
        assert_eq!(market.balance(0, buyer), 2 * LOCKED);
    }
}

#[test]
fn credit_that_is_too_little_is_spent_before_the_balance_is() {
    let (mut market, buyer) = market();
    let (token, escrow) = (market.tokens[0], market.escrow);
    let approve = ITrouble::approveCall {
        spender: escrow,
        value: U256::MAX,
    };
    market.must(buyer, token, &approve).expect("approved");
    let deposit = signed(&market, Way::Authorization, LOCKED - 5, 1);
    place(&mut market, deposit, 1).expect("placed");
    assert_eq!(market.balance(0, buyer), LOCKED);
    assert_eq!(credit(&mut market, buyer), 0);
    balanced(&mut market);
    // What is left over is the owner's to withdraw.
    let deposit = signed(&market, Way::Permit2, 9, 2);
    send(&mut market, STRANGER, deposit).expect("deposited");
    tell(&mut market, buyer, &IEscrow::withdrawCall { token }).expect("withdrawn");
    assert_eq!(market.balance(0, buyer), LOCKED);
    assert_eq!(market.state(B256::ZERO).expect("an answer"), 0);
    balanced(&mut market);
}
