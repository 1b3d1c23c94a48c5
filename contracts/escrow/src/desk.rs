//! What is about no order: questions, credits, deposits, the governor's settings, and the escrow's
//! construction. The program `desk` is made of it; the escrow's other programs run that on the escrow's
//! storage.

use alloc::vec;

use alloy_primitives::{Address, B256, U256};
use stylus_sdk::prelude::*;
use vouch_abi::{
    IContract, IEscrow, IToken, OrderRecord,
    call::{self, Answer, CONSTRUCTOR, Revert, SolCall, SolEvent},
    dispatch,
};

use crate::{Escrow, rules::State, token::refused};

impl Escrow {
    /// Answers one call of the escrow that neither the escrow's own program nor the annex answers.
    ///
    /// # Errors
    /// Whatever the called function refuses; `ValueRefused`, `UnknownFunction`, `MalformedCalldata`.
    pub fn answer_desk(&mut self, calldata: &[u8]) -> Answer {
        let value = self.vm().msg_value();
        if !value.is_zero() {
            return Err(IContract::ValueRefused { value }.into());
        }
        let (selector, arguments) = call::split(calldata);
        match selector {
            CONSTRUCTOR => return self.appoint(arguments),
            IEscrow::depositWithAuthorizationCall::SELECTOR
            | IEscrow::depositWithPermit2Call::SELECTOR => {
                return self.deposit(selector, arguments);
            }
            _ => {}
        }
        dispatch!(calldata, {
            call: IEscrow::withdrawCall => self.withdraw(call.token),
            call: IEscrow::permitCall => self.permit(call),
            call: IEscrow::creditOfCall => {
                call::returns::<IEscrow::creditOfCall>(self.credit(call.account, call.token))
            },
            call: IEscrow::owedCall => {
                call::returns::<IEscrow::owedCall>(self.owed.get(call.token))
            },
            call: IEscrow::orderOfCall => self.order_of(call.order),
            call: IEscrow::challengeOfCall => {
                self.challenge_of(call.order, call.phase, call.attempt)
            },
            call: IEscrow::disputeOfCall => self.dispute_answer(call.order),
            call: IEscrow::setResolverCall => self.set_resolver(call),
            call: IEscrow::resolverCall => {
                call::returns::<IEscrow::resolverCall>(self.resolver.get())
            },
            call: IEscrow::setPausedCall => self.set_paused(call.paused),
            call: IEscrow::pausedCall => {
                call::returns::<IEscrow::pausedCall>(self.paused.get())
            },
            call: IEscrow::offersCall => {
                call::returns::<IEscrow::offersCall>(self.offers.get())
            },
            call: IEscrow::usageCall => call::returns::<IEscrow::usageCall>(self.usage.get()),
            call: IEscrow::attestationCall => {
                call::returns::<IEscrow::attestationCall>(self.attestation.get())
            },
            call: IEscrow::deskCall => call::returns::<IEscrow::deskCall>(self.desk.get()),
            call: IEscrow::annexCall => call::returns::<IEscrow::annexCall>(self.annex.get()),
            call: IEscrow::governorCall => {
                call::returns::<IEscrow::governorCall>(self.governor.get())
            },
        })
    }

    /// Fixes whom the escrow works with.
    fn appoint(&mut self, arguments: &[u8]) -> Answer {
        // Deployers construct everything; the desk itself has nothing to construct.
        if arguments.is_empty() {
            return Ok(vec![]);
        }
        let IEscrow::constructorCall {
            governor,
            offers,
            usage,
            attestation,
            annex,
            desk,
        } = call::arguments(CONSTRUCTOR, arguments)?;
        if !self.governor.get().is_zero() {
            return Err(IContract::AlreadyConstructed {}.into());
        }
        if governor.is_zero() {
            return Err(IContract::ZeroAddress {}.into());
        }
        // A call of an address without code would succeed and mean nothing.
        for contract in [offers, usage, attestation, annex, desk] {
            if self.vm().code_size(contract) == 0 {
                return Err(IContract::UnexpectedAnswer { from: contract }.into());
            }
        }
        self.governor.set(governor);
        self.offers.set(offers);
        self.usage.set(usage);
        self.attestation.set(attestation);
        self.annex.set(annex);
        self.desk.set(desk);
        Ok(vec![])
    }

    pub(crate) fn only_governor(&self) -> Result<(), Revert> {
        let caller = self.vm().msg_sender();
        if caller != self.governor.get() {
            return Err(IEscrow::NotGovernor { caller }.into());
        }
        Ok(())
    }

    /// Whoever saw the permit may have used it: what counts is the allowance.
    fn permit(&mut self, permit: IEscrow::permitCall) -> Answer {
        self.enter()?;
        let IEscrow::permitCall {
            token,
            value,
            deadline,
            v,
            r,
            s,
        } = permit;
        let permit = IToken::permitCall {
            owner: self.vm().msg_sender(),
            spender: self.vm().contract_address(),
            value,
            deadline,
            v,
            r,
            s,
        };
        let _ = self.call(token, &call::encode(&permit));
        Ok(vec![])
    }

    fn withdraw(&mut self, token: Address) -> Answer {
        self.enter()?;
        let account = self.vm().msg_sender();
        let amount = self.credit(account, token);
        if amount.is_zero() {
            return Err(IEscrow::NothingToWithdraw { account, token }.into());
        }
        self.set_credit(account, token, U256::ZERO);
        self.release_owed(token, &amount);
        self.log_credit(IEscrow::Withdrawn::SIGNATURE_HASH, token, account, amount);
        if !self.push(token, account, amount)? {
            return Err(refused(token, amount, U256::ZERO));
        }
        call::returns::<IEscrow::withdrawCall>(amount)
    }

    fn set_paused(&mut self, paused: bool) -> Answer {
        self.only_governor()?;
        self.paused.set(paused);
        self.log(&IEscrow::PausedSet { paused });
        Ok(vec![])
    }

    fn order_of(&self, order: B256) -> Answer {
        let record = self.record(order);
        call::returns::<IEscrow::orderOfCall>(OrderRecord {
            state: record.state as u8,
            sinceBlock: record.since_block,
            startedAt: record.started_at,
            finishedAt: record.finished_at,
            beatAt: record.beat_at,
            toppedUp: record.topped_up,
            commitment: match record.state {
                State::Finished | State::Disputed => self.disputable.get(order),
                _ => record.receipt,
            },
        })
    }
}
