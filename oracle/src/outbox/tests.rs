//! Against a real chain whose mining, fees and code the tests hold in their hands.

use alloy::primitives::{B256, Bytes, U256, address, hex};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolError;
use serde_json::{Value, json};
use vouch_abi::IEscrow;
use vouch_client::connect;
use vouch_protocol::Phase;
use vouch_tests::node::{ACCOUNTS, Node};

use super::follow::LEAST_PERCENT;
use super::*;
use crate::keys::Signers;
use crate::store::model::{self, EvidenceMeta, Job, OutboxEntry, StoredVerdict};
use crate::store::{Intake, MarketId};

const ESCROW: Address = address!("0x00000000000000000000000000000000000e5c09");
const GWEI: u128 = 1_000_000_000;
/// Writes five words of storage, which an estimate made before it was there does not allow for.
const HUNGRY: &str = "0x60015f5560016001556001600255600160035560016004550000";

struct Rig {
    node: Node,
    provider: DynProvider,
    store: Arc<Store>,
    keys: Arc<Keyring>,
    outbox: Outbox,
    done: (mpsc::Sender<JobId>, mpsc::Receiver<JobId>),
    _dir: tempfile::TempDir,
}

fn key(index: usize) -> PrivateKeySigner {
    ACCOUNTS[index].1.parse().unwrap()
}

fn signers(gas: PrivateKeySigner) -> Signers {
    Signers {
        verdict: vec![key(2).into()],
        retiring: Vec::new(),
        gas: gas.into(),
    }
}

fn id(order: u8) -> JobId {
    JobId {
        order: B256::with_last_byte(order),
        phase: model::Phase(Phase::Start),
        attempt: 0,
        evidence: B256::with_last_byte(7),
        outputs: B256::ZERO,
    }
}

impl Rig {
    /// A chain that mines when it is told to, with an escrow that accepts everything, and an outbox
    /// that holds one entry.
    async fn new() -> Self {
        let node = Node::devnet(&["--silent"]).await.unwrap();
        let url = node.url();
        let provider = connect(&url, None).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let chain_id = 31337;
        let escrow = ESCROW;
        let store = Store::open(&dir.path().join("db"), MarketId { chain_id, escrow }).unwrap();
        let store = Arc::new(store);
        let timeout = Duration::from_secs(10);
        let endpoint = ("chain".to_owned(), url, Some(provider.clone()));
        let keys = Arc::new(Keyring::new(signers(key(0))));
        let outbox = Outbox {
            store: Arc::clone(&store),
            endpoints: Arc::new(Endpoints::new(vec![endpoint], escrow, timeout)),
            escrow,
            chain_id,
            keys: Arc::clone(&keys),
            gas: key(0).into(),
            replace_after: Duration::from_secs(3600),
            max_fee: 100 * GWEI,
            head: watch::channel(None).1,
            metrics: Arc::default(),
            resting: HashMap::new(),
            flying: HashMap::new(),
            sent: HashMap::new(),
            landed: HashMap::new(),
            failed: HashMap::new(),
        };
        let rig = Self {
            node,
            provider,
            store,
            keys,
            outbox,
            done: mpsc::channel(8),
            _dir: dir,
        };
        rig.call("evm_setAutomine", json!([false])).await;
        rig.enter(1);
        rig
    }

    /// A job that has come to the outbox.
    fn enter(&self, order: u8) {
        let id = id(order);
        let number = self.store.cursor().unwrap().map_or(1, |c| c.number + 1);
        let block = BlockRef {
            number,
            hash: B256::with_last_byte(order),
            timestamp: 1,
        };
        let taken = Intake {
            jobs: vec![Job::new(id, block, String::new(), 1)],
            ..Intake::default()
        };
        self.store.take_in(number, block, taken).unwrap();
        let meta = EvidenceMeta {
            size: 1,
            source: String::new(),
            at_ms: 1,
        };
        let verdict = StoredVerdict {
            verdict: Bytes::new(),
            digest: B256::with_last_byte(order),
            reason: 0,
            detail: String::new(),
            signatures: Vec::new(),
        };
        let entry = OutboxEntry {
            input: Bytes::from(vec![order; 8]),
            at_ms: u64::from(order),
            flight: None,
            released: false,
        };
        self.store.fetched(&id, &meta).unwrap();
        self.store.verified(&id, &verdict).unwrap();
        self.store.signed(&id, &verdict).unwrap();
        self.store.submitted(&id, &entry).unwrap();
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.node.rpc.call(method, params).await.unwrap()
    }

    async fn mine(&self) {
        self.call("evm_mine", json!([])).await;
    }

    async fn set_base_fee(&self, wei: u128) {
        let params = json!([format!("{wei:#x}")]);
        self.call("anvil_setNextBlockBaseFeePerGas", params).await;
    }

    async fn set_code(&self, code: &str) {
        self.call("anvil_setCode", json!([ESCROW, code])).await;
    }

    /// Looks after the entries, without the waits between two looks.
    async fn tick(&mut self) {
        for (until, _) in self.outbox.resting.values_mut() {
            *until = Instant::now();
        }
        self.outbox.sent.clear();
        self.outbox.landed.clear();
        self.outbox.tick(&self.done.0).await.unwrap();
    }

    fn flight(&self, order: u8) -> Option<Flight> {
        let entry = self.store.outbox_entry(&id(order)).unwrap();
        entry.unwrap().flight
    }

    fn flying(&self) -> Flight {
        self.flight(1).unwrap()
    }

    fn job(&self) -> Job {
        self.store.job(&id(1)).unwrap().unwrap()
    }

    /// The transaction that was mined for the job.
    fn landed(&self) -> Option<B256> {
        self.job().mined.map(|mined| mined.tx)
    }

    fn trouble(&self) -> String {
        self.job().trouble.unwrap().detail
    }
}

#[tokio::test]
async fn what_is_mined_is_noted_and_waits_for_the_event_without_being_sent_again() {
    let mut rig = Rig::new().await;
    rig.enter(2);
    rig.tick().await;
    let (first, second) = (rig.flying(), rig.flight(2).unwrap());
    assert_eq!(first.hashes, second.hashes, "they go together");
    assert_eq!((first.raw.is_empty(), second.raw.is_empty()), (false, true));
    rig.mine().await;
    for _ in 0..2 {
        rig.tick().await;
        assert_eq!(rig.landed(), Some(first.hashes[0]));
        assert_eq!(
            (rig.flying(), rig.flight(2)),
            (first.clone(), Some(second.clone()))
        );
    }
    assert_eq!(
        rig.provider
            .get_transaction_count(key(0).address())
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn what_waits_too_long_is_replaced_and_either_may_be_mined() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let first = rig.flying();
    rig.tick().await;
    assert_eq!(rig.flying(), first, "it has not waited long");
    rig.outbox.replace_after = Duration::ZERO;
    rig.tick().await;
    let second = rig.flying();
    assert_eq!((second.nonce, second.hashes.len()), (first.nonce, 2));
    assert_eq!(second.hashes[0], first.hashes[0]);
    assert!(second.max_fee_per_gas * 100 >= first.max_fee_per_gas * 110);
    assert!(second.max_priority_fee_per_gas * 100 >= first.max_priority_fee_per_gas * 110);
    // The node forgets the replacement, and mines the first.
    rig.call("anvil_dropTransaction", json!([second.hashes[1]]))
        .await;
    rig.provider
        .send_raw_transaction(&first.raw)
        .await
        .map(drop)
        .unwrap();
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(first.hashes[0]));
}

#[tokio::test]
async fn replacements_follow_the_base_fee_up_to_the_limit() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let first = rig.flying();
    rig.set_base_fee(20 * GWEI).await;
    rig.mine().await;
    assert!(first.max_fee_per_gas < 20 * GWEI);
    rig.outbox.replace_after = Duration::ZERO;
    rig.tick().await;
    assert!(
        rig.flying().max_fee_per_gas >= 20 * GWEI,
        "one step is enough"
    );
    for _ in 0..20 {
        rig.tick().await;
    }
    let last = rig.flying();
    assert!(last.max_fee_per_gas <= rig.outbox.max_fee);
    // So near the limit that no node would take another.
    assert!(last.max_fee_per_gas * LEAST_PERCENT / 100 >= rig.outbox.max_fee);
    assert!(last.max_priority_fee_per_gas <= last.max_fee_per_gas);
    rig.mine().await;
    rig.tick().await;
    assert!(rig.landed().is_some());
}

#[tokio::test]
async fn while_gas_is_too_dear_nothing_is_sent_and_then_it_is() {
    let mut rig = Rig::new().await;
    rig.set_base_fee(1000 * GWEI).await;
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.flight(1), None);
    assert!(
        rig.trouble().contains("submit.max_fee_gwei"),
        "{}",
        rig.trouble()
    );
    rig.set_base_fee(GWEI).await;
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.flying().nonce, 0);
}

#[tokio::test]
async fn a_nonce_that_went_to_another_transaction_is_taken_again() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let lost = rig.flying();
    let intruder = connect(&rig.node.url(), Some(key(0))).await.unwrap();
    let request = TransactionRequest::default()
        .to(Address::ZERO)
        .nonce(lost.nonce)
        .max_fee_per_gas(lost.max_fee_per_gas * 2)
        .max_priority_fee_per_gas(lost.max_fee_per_gas);
    let _ = intruder.send_transaction(request).await.unwrap();
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.flight(1), None);
    rig.tick().await;
    assert_eq!(rig.flying().nonce, lost.nonce + 1);
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(rig.flying().hashes[0]));
}

#[tokio::test]
async fn a_reorganisation_brings_a_transaction_back() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    rig.mine().await;
    rig.tick().await;
    let flight = rig.flying();
    assert!(rig.landed().is_some());
    rig.call("anvil_rollback", json!([1])).await;
    rig.call("anvil_dropAllTransactions", json!([])).await;
    rig.tick().await;
    rig.mine().await;
    let hash = flight.hashes[0];
    let receipt = rig.provider.get_transaction_receipt(hash).await.unwrap();
    assert!(receipt.is_some(), "sent again as it was");
    assert_eq!(rig.flying(), flight);
}

#[tokio::test]
async fn what_the_contract_refuses_costs_nothing_and_is_tried_again() {
    let mut rig = Rig::new().await;
    rig.set_code("0x5f5ffd").await;
    rig.tick().await;
    assert_eq!(rig.flight(1), None);
    assert!(!rig.trouble().is_empty());
    assert_eq!(rig.job().stage, Stage::Submitted);
    rig.set_code("0x00").await;
    rig.tick().await;
    assert_eq!(rig.flying().nonce, 0);
}

#[tokio::test]
async fn what_comes_too_late_is_given_up() {
    let mut rig = Rig::new().await;
    let late = IEscrow::DeadlinePassed {
        deadline: 1,
        time: 2,
    };
    // Copies the error from behind the code, and reverts with it.
    let data = late.abi_encode();
    let code = format!(
        "0x60{0:02x}600a5f3960{0:02x}5ffd{1}",
        data.len(),
        hex::encode(data)
    );
    rig.set_code(&code).await;
    rig.tick().await;
    assert!(
        matches!(rig.job().stage, Stage::Abandoned { .. }),
        "{:?}",
        rig.job()
    );
    assert_eq!(rig.done.1.recv().await, Some(id(1)));
    assert!(rig.store.outbox().unwrap().is_empty());
}

#[tokio::test]
async fn who_ran_out_of_gas_gets_more_each_time() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let mut last = rig.flying().gas;
    for nonce in 0..3 {
        rig.set_code(HUNGRY).await;
        rig.mine().await;
        // Cheap again, for whoever asks.
        rig.set_code("0x00").await;
        rig.tick().await;
        assert_eq!((rig.flight(1), rig.landed()), (None, None));
        rig.tick().await;
        assert_eq!(rig.flying().nonce, nonce + 1);
        assert!(
            rig.flying().gas * 10 >= last * 12,
            "{} after {last}",
            rig.flying().gas
        );
        last = rig.flying().gas;
    }
    rig.set_code(HUNGRY).await;
    rig.outbox.failed.insert(id(1), 100);
    rig.mine().await;
    rig.tick().await;
    rig.tick().await;
    rig.mine().await;
    rig.tick().await;
    assert!(rig.landed().is_some());
}

#[tokio::test]
async fn those_who_failed_together_go_alone() {
    let mut rig = Rig::new().await;
    rig.enter(2);
    rig.tick().await;
    let together = rig.flying();
    assert_eq!(rig.flight(2).unwrap().hashes, together.hashes);
    rig.set_code(HUNGRY).await;
    rig.mine().await;
    rig.tick().await;
    assert_eq!((rig.flight(1), rig.flight(2)), (None, None));
    rig.tick().await;
    let nonces = [1, 2].map(|order| rig.flight(order).unwrap().nonce);
    assert_eq!(nonces, [1, 2]);
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(rig.flying().hashes[0]));
}

#[tokio::test]
async fn what_was_not_written_after_all_is_sent_anew() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let lost = rig.flying();
    rig.call("anvil_dropAllTransactions", json!([])).await;
    // As a disk that fails leaves it: the sender remembers what the store does not.
    rig.store.grounded(&id(1)).unwrap();
    rig.tick().await;
    rig.tick().await;
    assert_eq!(rig.flying().nonce, lost.nonce);
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(rig.flying().hashes[0]));
}

#[tokio::test]
async fn an_empty_account_sends_once_it_is_filled() {
    let mut rig = Rig::new().await;
    let (gas, full) = (key(0).address(), U256::from(10).pow(U256::from(20)));
    rig.call("anvil_setBalance", json!([gas, "0x0"])).await;
    rig.tick().await;
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), None);
    rig.call("anvil_setBalance", json!([gas, full])).await;
    rig.tick().await;
    rig.tick().await;
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), rig.flying().hashes.last().copied());
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_hold_up_a_replacement() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let ahead = Flight {
        at_ms: now_ms() + 86_400_000,
        ..rig.flying()
    };
    rig.store.replaced(&[id(1)], &ahead).unwrap();
    rig.outbox.flying.clear();
    rig.tick().await;
    assert_eq!(rig.flying().hashes.len(), 2);
    rig.tick().await;
    assert_eq!(rig.flying().hashes.len(), 2, "once");
}

#[tokio::test]
async fn a_new_gas_key_leaves_the_formers_transactions_their_time() {
    let mut rig = Rig::new().await;
    rig.tick().await;
    let former = rig.flying();
    rig.keys.change(signers(key(1)));
    rig.enter(2);
    rig.tick().await;
    assert_eq!(rig.flying(), former);
    let new = rig.flight(2).unwrap();
    assert_eq!((new.from, new.nonce), (key(1).address(), 0));
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(former.hashes[0]));
}

#[tokio::test]
async fn what_the_former_gas_key_cannot_bring_the_new_one_does() {
    let mut rig = Rig::new().await;
    let former = key(0).address();
    rig.tick().await;
    rig.keys.change(signers(key(1)));
    rig.call("anvil_dropAllTransactions", json!([])).await;
    rig.call("anvil_setBalance", json!([former, "0x0"])).await;
    rig.outbox.replace_after = Duration::ZERO;
    rig.tick().await;
    assert_eq!(rig.flight(1), None);
    rig.tick().await;
    assert_eq!(rig.flying().from, key(1).address());
    rig.mine().await;
    rig.tick().await;
    assert_eq!(rig.landed(), Some(rig.flying().hashes[0]));
}
