//! What a contract's code sees of its machine while it runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::slice;

use alloy::primitives::{Address, B256, U256};
use stylus_test::{
    AccountAccess, BlockAccess, CalldataAccess, ChainAccess, CryptographyAccess, Host,
    MemoryAccess, MessageAccess, MeteringAccess, RawLogAccess, StorageAccess, TestVM,
    UnsafeCallAccess, UnsafeDeploymentAccess,
};

use super::machine::{Machine, Outcome};

/// A word as it was read or written, and whether the storage does not have it yet.
type Cached = (B256, bool);

/// A running program: storage, block and chain are those of the contract's [`TestVM`]; calls reach the
/// other contracts. As on a chain, each program has a cache of its own before the storage, and writes
/// what is in it when it is flushed.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) machine: Machine,
    pub(super) vm: TestVM,
    from: Address,
    /// The contract was being called when this call came.
    reentrant: bool,
    /// Nothing may be written.
    fixed: bool,
    cache: Rc<RefCell<BTreeMap<U256, Cached>>>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, at) = (self.from, self.vm.contract_address());
        write!(f, "{from} calls {at}")
    }
}

impl Frame {
    pub(super) fn new(
        machine: &Machine,
        vm: &TestVM,
        from: Address,
        reentrant: bool,
        fixed: bool,
    ) -> Self {
        Self {
            machine: machine.clone(),
            vm: vm.clone(),
            from,
            reentrant,
            fixed,
            cache: Rc::default(),
        }
    }

    /// Another program on the same storage, as the same contract, with a cache of its own.
    pub(super) fn beside(&self) -> Self {
        Self {
            cache: Rc::default(),
            ..self.clone()
        }
    }

    /// The same program, called by somebody else.
    pub(super) fn sent_by(&self, from: Address) -> Self {
        Self {
            from,
            ..self.clone()
        }
    }

    /// Writes what was cached.
    pub(super) fn flush(&self) {
        for (key, (value, pending)) in self.cache.borrow_mut().iter_mut() {
            if std::mem::take(pending) {
                self.machine.write(&self.vm, *key, *value);
            }
        }
    }

    /// Hands an answer to the program that asked.
    fn answered(&self, outcome: Outcome, length: &mut usize) -> u8 {
        let status = u8::from(outcome.is_err());
        let (Ok(data) | Err(data)) = outcome;
        *length = data.len();
        self.vm.write_result(&data);
        status
    }

    fn call(&self, to: Address, data: &[u8], fixed: bool) -> Outcome {
        let from = self.vm.contract_address();
        self.machine.call(from, to, data, self.fixed || fixed)
    }
}

/// What the SDK's pointers point to.
///
/// # Safety
/// An address at `to`, and `length` bytes at `data`.
unsafe fn given<'a>(to: *const u8, data: *const u8, length: usize) -> (Address, &'a [u8]) {
    unsafe {
        let to = slice::from_raw_parts(to, Address::len_bytes());
        (Address::from_slice(to), slice::from_raw_parts(data, length))
    }
}

impl Host for Frame {}

// Whoever calls, the SDK, hands over addresses and calldata that are as long as it says.
unsafe impl UnsafeCallAccess for Frame {
    unsafe fn call_contract(
        &self,
        to: *const u8,
        data: *const u8,
        data_len: usize,
        _value: *const u8,
        _gas: u64,
        outs_len: &mut usize,
    ) -> u8 {
        let (to, data) = unsafe { given(to, data, data_len) };
        self.answered(self.call(to, data, false), outs_len)
    }

    unsafe fn static_call_contract(
        &self,
        to: *const u8,
        data: *const u8,
        data_len: usize,
        _gas: u64,
        outs_len: &mut usize,
    ) -> u8 {
        let (to, data) = unsafe { given(to, data, data_len) };
        self.answered(self.call(to, data, true), outs_len)
    }

    unsafe fn delegate_call_contract(
        &self,
        to: *const u8,
        data: *const u8,
        data_len: usize,
        _gas: u64,
        outs_len: &mut usize,
    ) -> u8 {
        let (to, data) = unsafe { given(to, data, data_len) };
        self.answered(self.machine.delegate(self, to, data), outs_len)
    }
}

impl StorageAccess for Frame {
    fn storage_load_bytes32(&self, key: U256) -> B256 {
        let mut cache = self.cache.borrow_mut();
        let read = || (self.vm.get_storage(key), false);
        cache.entry(key).or_insert_with(read).0
    }

    unsafe fn storage_cache_bytes32(&self, key: U256, value: B256) {
        assert!(!self.fixed, "{self:?} and writes where it may only read");
        self.cache.borrow_mut().insert(key, (value, true));
    }

    fn flush_cache(&self, clear: bool) {
        self.flush();
        if clear {
            self.cache.borrow_mut().clear();
        }
    }
}

impl RawLogAccess for Frame {
    fn emit_log(&self, input: &[u8], num_topics: usize) {
        let (topics, data) = input.split_at(num_topics * 32);
        let topics: Vec<B256> = topics.chunks(32).map(B256::from_slice).collect();
        self.machine.log(&topics, data);
        assert!(!self.fixed, "{self:?} and logs where it may only read");
    }

    fn raw_log(&self, topics: &[B256], data: &[u8]) -> Result<(), &'static str> {
        self.emit_log(&[&topics.concat(), data].concat(), topics.len());
        Ok(())
    }
}

impl MessageAccess for Frame {
    fn msg_sender(&self) -> Address {
        self.from
    }

    fn msg_reentrant(&self) -> bool {
        self.reentrant
    }

    fn msg_value(&self) -> U256 {
        self.vm.msg_value()
    }

    fn tx_origin(&self) -> Address {
        self.vm.tx_origin()
    }
}

impl CryptographyAccess for Frame {
    fn native_keccak256(&self, input: &[u8]) -> B256 {
        self.vm.native_keccak256(input)
    }
}

impl CalldataAccess for Frame {
    fn read_args(&self, len: usize) -> Vec<u8> {
        self.vm.read_args(len)
    }

    fn read_return_data(&self, offset: usize, size: Option<usize>) -> Vec<u8> {
        self.vm.read_return_data(offset, size)
    }

    fn return_data_size(&self) -> usize {
        self.vm.return_data_size()
    }

    fn write_result(&self, data: &[u8]) {
        self.vm.write_result(data);
    }
}

impl Frame {
    fn creates(&self) -> ! {
        panic!("{self:?}: contracts that create others are not played here");
    }
}

// Loudly none: no contract of the market creates any.
unsafe impl UnsafeDeploymentAccess for Frame {
    unsafe fn create1(
        &self,
        _code: *const u8,
        _code_len: usize,
        _endowment: *const u8,
        _contract: *mut u8,
        _revert_data_len: *mut usize,
    ) {
        self.creates();
    }

    unsafe fn create2(
        &self,
        _code: *const u8,
        _code_len: usize,
        _endowment: *const u8,
        _salt: *const u8,
        _contract: *mut u8,
        _revert_data_len: *mut usize,
    ) {
        self.creates();
    }
}

impl BlockAccess for Frame {
    fn block_basefee(&self) -> U256 {
        self.vm.block_basefee()
    }

    fn block_coinbase(&self) -> Address {
        self.vm.block_coinbase()
    }

    fn block_number(&self) -> u64 {
        self.vm.block_number()
    }

    fn block_timestamp(&self) -> u64 {
        self.vm.block_timestamp()
    }

    fn block_gas_limit(&self) -> u64 {
        self.vm.block_gas_limit()
    }
}

impl ChainAccess for Frame {
    fn chain_id(&self) -> u64 {
        self.vm.chain_id()
    }
}

impl AccountAccess for Frame {
    fn balance(&self, account: Address) -> U256 {
        self.vm.balance(account)
    }

    fn contract_address(&self) -> Address {
        self.vm.contract_address()
    }

    fn code(&self, account: Address) -> Vec<u8> {
        self.vm.code(account)
    }

    fn code_size(&self, account: Address) -> usize {
        self.vm.code_size(account)
    }

    fn code_hash(&self, account: Address) -> B256 {
        self.vm.code_hash(account)
    }
}

impl MemoryAccess for Frame {
    fn pay_for_memory_grow(&self, pages: u16) {
        self.vm.pay_for_memory_grow(pages);
    }
}

impl MeteringAccess for Frame {
    fn evm_gas_left(&self) -> u64 {
        self.vm.evm_gas_left()
    }

    fn evm_ink_left(&self) -> u64 {
        self.vm.evm_ink_left()
    }

    fn tx_gas_price(&self) -> U256 {
        self.vm.tx_gas_price()
    }

    fn tx_ink_price(&self) -> u32 {
        self.vm.tx_ink_price()
    }
}
