//! What a program needs from the EVM around it, whatever its database and inspector.

use revm::{
    Database, Inspector,
    bytecode::Bytecode,
    context::{ContextTr, FrameStack, JournalTr, result::EVMError},
    context_interface::{Cfg, context::ContextError},
    handler::{EthFrame, FrameResult, Handler, MainnetHandler},
    inspector::InspectorHandler,
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, CreateInputs, CreateScheme, FrameInput,
        InstructionResult, interpreter::EthInterpreter, interpreter_action::FrameInit,
    },
    primitives::{Address, B256, Bytes, Log, U256},
};

use crate::{
    chain::Chain,
    evm::{Ctx, StylusEvm},
};

/// The execution cannot go on: the database failed. The cause is kept by the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fatal;

/// The frame a program runs in.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The account it acts as.
    pub acting: Address,
    pub caller: Address,
    pub value: U256,
    pub is_static: bool,
    pub depth: usize,
}

/// How a call treats the callee's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Call,
    Delegate,
    Static,
}

/// What a call or creation gave back.
#[derive(Clone, Debug)]
pub(crate) struct Returned {
    pub success: bool,
    pub reverted: bool,
    pub output: Bytes,
    pub gas_left: u64,
    pub refund: i64,
    /// The account created.
    pub created: Option<Address>,
}

/// An account as the journal has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountView {
    pub is_cold: bool,
    pub is_empty: bool,
    pub balance: U256,
    /// Zero for an empty account.
    pub code_hash: B256,
}

/// The EVM around a program. Every method that touches the database may fail fatally.
pub(crate) trait Machine {
    fn chain(&mut self) -> &mut Chain;
    /// A slot and whether it was cold.
    fn sload(&mut self, address: Address, key: U256) -> Result<(U256, bool), Fatal>;
    /// Stores a slot; returns the gas to pay and the refund to record.
    fn sstore(&mut self, address: Address, key: U256, value: U256) -> Result<(u64, i64), Fatal>;
    fn tload(&mut self, address: Address, key: U256) -> U256;
    fn tstore(&mut self, address: Address, key: U256, value: U256);
    fn account(&mut self, address: Address) -> Result<AccountView, Fatal>;
    /// An account's code and whether the account was cold.
    fn code(&mut self, address: Address) -> Result<(Bytes, bool), Fatal>;
    fn log(&mut self, log: Log);
    fn call(
        &mut self,
        frame: &Frame,
        kind: CallKind,
        to: Address,
        data: Bytes,
        value: U256,
        gas: u64,
    ) -> Result<Returned, Fatal>;
    fn create(
        &mut self,
        frame: &Frame,
        scheme: CreateScheme,
        code: Bytes,
        value: U256,
        gas: u64,
    ) -> Result<Returned, Fatal>;
}

impl<DB, I> StylusEvm<DB, I>
where
    DB: Database,
    I: Inspector<Ctx<DB>, EthInterpreter>,
{
    /// Keeps the first cause of a failure and reports it as fatal.
    fn fail<T>(&mut self, error: DB::Error) -> Result<T, Fatal> {
        self.fatal.get_or_insert(ContextError::Db(error));
        Err(Fatal)
    }

    /// Runs a frame started by a program, and all frames it starts, to its end.
    fn nested(&mut self, frame_input: FrameInput, depth: usize) -> Result<FrameResult, Fatal> {
        let memory = self
            .inner
            .frame_stack
            .get()
            .interpreter
            .memory
            .new_child_context();
        let saved = std::mem::replace(&mut self.inner.frame_stack, FrameStack::new());
        let init = FrameInit {
            depth: depth + 1,
            memory,
            frame_input,
        };
        let mut handler = MainnetHandler::<Self, EVMError<DB::Error>, EthFrame>::default();
        let result = if self.inspecting {
            handler.inspect_run_exec_loop(self, init)
        } else {
            handler.run_exec_loop(self, init)
        };
        self.inner.frame_stack = saved;
        self.inner
            .frame_stack
            .get()
            .interpreter
            .memory
            .free_child_context();
        result.map_err(|error| {
            self.fatal.get_or_insert(match error {
                EVMError::Database(error) => ContextError::Db(error),
                EVMError::Custom(text) => ContextError::Custom(text),
                _ => ContextError::Custom("nested execution failed".to_owned()),
            });
            Fatal
        })
    }
}

fn returned(result: &FrameResult) -> Returned {
    let interpreter = result.interpreter_result();
    let (outcome, gas) = (interpreter.result, interpreter.gas);
    let success = outcome.is_ok();
    Returned {
        success,
        reverted: outcome == InstructionResult::Revert,
        output: if outcome.is_ok_or_revert() {
            interpreter.output.clone()
        } else {
            Bytes::new()
        },
        gas_left: if outcome.is_ok_or_revert() {
            gas.remaining()
        } else {
            0
        },
        refund: if success { gas.refunded() } else { 0 },
        created: match result {
            FrameResult::Create(outcome) if success => outcome.address,
            _ => None,
        },
    }
}

impl<DB, I> Machine for StylusEvm<DB, I>
where
    DB: Database,
    I: Inspector<Ctx<DB>, EthInterpreter>,
{
    fn chain(&mut self) -> &mut Chain {
        &mut self.inner.ctx.chain
    }

    fn sload(&mut self, address: Address, key: U256) -> Result<(U256, bool), Fatal> {
        match self.inner.ctx.journal_mut().sload(address, key) {
            Ok(load) => Ok((load.data, load.is_cold)),
            Err(error) => self.fail(error),
        }
    }

    fn sstore(&mut self, address: Address, key: U256, value: U256) -> Result<(u64, i64), Fatal> {
        let (cfg, journal) = self.inner.ctx.cfg_journal_mut();
        match journal.sstore(address, key, value) {
            Ok(load) => {
                let prices = cfg.gas_params();
                let cost = prices.sstore_static_gas()
                    + prices.sstore_dynamic_gas(true, &load.data, load.is_cold);
                Ok((cost, prices.sstore_refund(true, &load.data)))
            }
            Err(error) => self.fail(error),
        }
    }

    fn tload(&mut self, address: Address, key: U256) -> U256 {
        self.inner.ctx.journal_mut().tload(address, key)
    }

    fn tstore(&mut self, address: Address, key: U256, value: U256) {
        self.inner.ctx.journal_mut().tstore(address, key, value);
    }

    fn account(&mut self, address: Address) -> Result<AccountView, Fatal> {
        match self.inner.ctx.journal_mut().load_account(address) {
            Ok(account) => {
                let is_empty = account.is_empty();
                Ok(AccountView {
                    is_cold: account.is_cold,
                    is_empty,
                    balance: account.info.balance,
                    code_hash: if is_empty {
                        B256::ZERO
                    } else {
                        account.info.code_hash
                    },
                })
            }
            Err(error) => self.fail(error),
        }
    }

    fn code(&mut self, address: Address) -> Result<(Bytes, bool), Fatal> {
        match self.inner.ctx.journal_mut().code(address) {
            Ok(code) => Ok((code.data, code.is_cold)),
            Err(error) => self.fail(error),
        }
    }

    fn log(&mut self, log: Log) {
        if self.inspecting {
            self.inner.inspector.log(&mut self.inner.ctx, log.clone());
        }
        self.inner.ctx.journal_mut().log(log);
    }

    fn call(
        &mut self,
        frame: &Frame,
        kind: CallKind,
        to: Address,
        data: Bytes,
        value: U256,
        gas: u64,
    ) -> Result<Returned, Fatal> {
        let journal = self.inner.ctx.journal_mut();
        let loaded = |account: &revm::state::Account| {
            (
                account.info.code_hash,
                account.info.code.clone().unwrap_or_default(),
            )
        };
        let own = match journal.load_account_with_code(to) {
            Ok(account) => loaded(account.data),
            Err(error) => return self.fail(error),
        };
        let known_bytecode = match Bytecode::eip7702_address(&own.1) {
            Some(delegate) => match journal.load_account_with_code(delegate) {
                Ok(account) => loaded(account.data),
                Err(error) => return self.fail(error),
            },
            None => own,
        };
        let (target_address, caller, value, scheme) = match kind {
            CallKind::Call => (
                to,
                frame.acting,
                CallValue::Transfer(value),
                CallScheme::Call,
            ),
            CallKind::Static => (
                to,
                frame.acting,
                CallValue::Transfer(U256::ZERO),
                CallScheme::StaticCall,
            ),
            CallKind::Delegate => {
                let apparent = CallValue::Apparent(frame.value);
                (
                    frame.acting,
                    frame.caller,
                    apparent,
                    CallScheme::DelegateCall,
                )
            }
        };
        let inputs = CallInputs {
            input: CallInput::Bytes(data),
            return_memory_offset: 0..0,
            gas_limit: gas,
            reservoir: 0,
            bytecode_address: to,
            known_bytecode,
            target_address,
            caller,
            value,
            scheme,
            is_static: frame.is_static || kind == CallKind::Static,
            charged_new_account_state_gas: false,
        };
        let result = self.nested(FrameInput::Call(Box::new(inputs)), frame.depth)?;
        Ok(returned(&result))
    }

    fn create(
        &mut self,
        frame: &Frame,
        scheme: CreateScheme,
        code: Bytes,
        value: U256,
        gas: u64,
    ) -> Result<Returned, Fatal> {
        let inputs = CreateInputs::new(frame.acting, scheme, value, code, gas, 0);
        let result = self.nested(FrameInput::Create(Box::new(inputs)), frame.depth)?;
        Ok(returned(&result))
    }
}
