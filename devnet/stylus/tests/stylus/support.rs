//! A chain of one account, and programs written as text.

use revm::{
    DatabaseCommit,
    context::{BlockEnv, TxEnv, result::ExecutionResult},
    database::InMemoryDB,
    primitives::{Address, B256, Bytes, TxKind, U256, address, keccak256},
    state::{AccountInfo, Bytecode},
};
use vouch_stylus::{
    Checks, Env, HostioStep, Options, Outcome, Vm, code, genesis_accounts, precompiles::ARB_WASM,
};

pub(crate) const ALICE: Address = address!("0xa11ce00000000000000000000000000000000001");
pub(crate) const ETHER: u64 = 1_000_000_000_000_000_000;
pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const GAS: u64 = 50_000_000;

pub(crate) struct World {
    pub(crate) vm: Vm,
    pub(crate) env: Env,
    pub(crate) db: InMemoryDB,
}

impl World {
    pub(crate) fn new() -> Self {
        let block = BlockEnv {
            number: U256::from(7),
            timestamp: U256::from(NOW),
            gas_limit: 1 << 50,
            basefee: 0,
            ..BlockEnv::default()
        };
        let mut db = InMemoryDB::default();
        for (address, info, storage) in genesis_accounts() {
            db.insert_account_info(address, info);
            for (slot, value) in storage {
                db.insert_account_storage(address, slot, value).unwrap();
            }
        }
        let balance = U256::from(ETHER) * U256::from(1000);
        db.insert_account_info(
            ALICE,
            AccountInfo {
                balance,
                ..AccountInfo::default()
            },
        );
        Self {
            vm: Vm::new(),
            env: Env::new(412_346, block),
            db,
        }
    }

    pub(crate) fn run(&mut self, tx: TxEnv, options: Options) -> Outcome {
        vouch_stylus::transact(&self.vm, &self.env, &mut self.db, tx, options).unwrap()
    }

    pub(crate) fn tx(&self, to: Address, data: impl Into<Bytes>, value: U256, gas: u64) -> TxEnv {
        let nonce = self
            .db
            .cache
            .accounts
            .get(&ALICE)
            .map_or(0, |account| account.info.nonce);
        TxEnv {
            caller: ALICE,
            kind: TxKind::Call(to),
            data: data.into(),
            value,
            gas_limit: gas,
            nonce,
            chain_id: Some(412_346),
            ..TxEnv::default()
        }
    }

    /// Sends a transaction and commits it.
    pub(crate) fn send(
        &mut self,
        to: Address,
        data: impl Into<Bytes>,
        value: U256,
        gas: u64,
    ) -> ExecutionResult {
        let outcome = self.run(self.tx(to, data, value, gas), Options::default());
        self.db.commit(outcome.state);
        outcome.result
    }

    /// Sends a transaction without value that must succeed; returns its output.
    pub(crate) fn call(&mut self, to: Address, data: impl Into<Bytes>) -> Bytes {
        let result = self.send(to, data, U256::ZERO, GAS);
        assert!(result.is_success(), "{result:?}");
        result.into_output().unwrap_or_default()
    }

    /// What a call would return, with the steps of its programs.
    pub(crate) fn trace(
        &mut self,
        to: Address,
        data: impl Into<Bytes>,
    ) -> (ExecutionResult, Vec<HostioStep>) {
        let tx = self.tx(to, data, U256::ZERO, GAS);
        let outcome = self.run(
            tx,
            Options {
                checks: Checks::Call,
                record_hostios: true,
            },
        );
        (outcome.result, outcome.steps)
    }

    pub(crate) fn etch(&mut self, address: Address, code: impl Into<Bytes>) {
        let code = Bytecode::new_raw(code.into());
        self.db
            .insert_account_info(address, AccountInfo::from_bytecode(code));
    }

    /// Puts a program at `address` without activating it.
    pub(crate) fn place(&mut self, address: Address, text: &str) {
        self.etch(address, code::compress(&wat::parse_str(text).expect(text)));
    }

    /// Puts a program at `address` and activates it.
    pub(crate) fn install(&mut self, address: Address, text: &str) {
        self.place(address, text);
        let result = self.activate(address, U256::from(ETHER));
        assert!(result.is_success(), "{result:?}");
    }

    pub(crate) fn activate(&mut self, address: Address, value: U256) -> ExecutionResult {
        self.send(
            ARB_WASM,
            with_address("activateProgram(address)", address),
            value,
            GAS,
        )
    }

    pub(crate) fn slot(&self, address: Address, slot: u64) -> U256 {
        let account = self.db.cache.accounts.get(&address);
        account
            .and_then(|account| account.storage.get(&U256::from(slot)))
            .copied()
            .unwrap_or_default()
    }
}

pub(crate) fn selector(signature: &str) -> Vec<u8> {
    keccak256(signature)[..4].to_vec()
}

pub(crate) fn with_word(signature: &str, word: B256) -> Vec<u8> {
    [selector(signature).as_slice(), word.as_slice()].concat()
}

pub(crate) fn with_address(signature: &str, address: Address) -> Vec<u8> {
    with_word(signature, address.into_word())
}

/// A program around `body`, which runs with the length of its arguments in local 0 and must
/// leave a status. All host functions it needs are in `imports`, as names.
pub(crate) fn program(imports: &[&str], body: &str) -> String {
    let imports: String = imports.iter().map(|name| import(name)).collect();
    format!(
        "(module {imports} (memory (export \"memory\") 1 1)
           (func (export \"user_entrypoint\") (param i32) (result i32) {body}))"
    )
}

/// The import of one host function under its own name.
pub(crate) fn import(name: &str) -> String {
    let ty = match name {
        "read_args"
        | "exit_early"
        | "storage_flush_cache"
        | "msg_sender"
        | "msg_value"
        | "contract_address"
        | "tx_origin"
        | "block_basefee"
        | "block_coinbase"
        | "tx_gas_price"
        | "pay_for_memory_grow" => "(param i32)",
        "write_result"
        | "storage_load_bytes32"
        | "storage_cache_bytes32"
        | "transient_load_bytes32"
        | "transient_store_bytes32"
        | "account_balance"
        | "account_codehash"
        | "math_div"
        | "math_mod"
        | "math_pow" => "(param i32 i32)",
        "call_contract" => "(param i32 i32 i32 i32 i64 i32) (result i32)",
        "delegate_call_contract" | "static_call_contract" => {
            "(param i32 i32 i32 i64 i32) (result i32)"
        }
        "create1" => "(param i32 i32 i32 i32 i32)",
        "create2" => "(param i32 i32 i32 i32 i32 i32)",
        "read_return_data" => "(param i32 i32 i32) (result i32)",
        "emit_log" | "native_keccak256" | "math_add_mod" | "math_mul_mod" => "(param i32 i32 i32)",
        "account_code" => "(param i32 i32 i32 i32) (result i32)",
        "account_code_size" => "(param i32) (result i32)",
        "return_data_size" | "msg_reentrant" | "tx_ink_price" => "(result i32)",
        "block_gas_limit" | "block_number" | "block_timestamp" | "chainid" | "evm_gas_left"
        | "evm_ink_left" => "(result i64)",
        other => panic!("no type for {other}"),
    };
    format!("(import \"vm_hooks\" \"{name}\" (func ${name} {ty}))")
}

pub(crate) fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}
